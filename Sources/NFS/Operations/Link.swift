import ONCRPC
import Wire

/// LINK (RFC 1813, section 3.3.15). File and directory must be seen through the same export.
func linkOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.LinkArguments(from: &reader)
    let nothing = NFS3.Linked(attributes: nil, directory: NFS3.CacheData())
    func refuse(_ status: NFS3.Status) { call.answer(NFS3.LinkResult.failed(status, nothing)) }
    switch (call.resolve(arguments.file), call.resolve(arguments.place.directory)) {
    case (.failure(let status), _), (_, .failure(let status)): refuse(status)
    case (.success(let file), .success(let directory)):
        guard file.export.id == directory.export.id else { return refuse(.crossDevice) }
        switch FileName.checked(arguments.place.name) {
        case .failure(let status): refuse(status)
        case .success(let name):
            call.vfs.link(file.context, file: file.file, in: directory.file, name: name) { result in
                switch result {
                case .failure(let failure): call.fail(failure, NFS3.LinkResult.self, nothing)
                case .success(let result):
                    let linked = NFS3.Linked(
                        attributes: result.inode.map { NFS3.Attributes($0.attributes) },
                        directory: NFS3.CacheData(result.directory))
                    if let failure = result.failure {
                        call.answer(NFS3.LinkResult.failed(NFS3.Status(failure), linked))
                    } else {
                        call.answer(NFS3.LinkResult.ok(linked))
                    }
                }
            }
        }
    }
}
