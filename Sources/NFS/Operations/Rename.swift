import ONCRPC
import Wire

/// RENAME (RFC 1813, section 3.3.14). Both directories must be seen through the same export.
func renameOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.RenameArguments(from: &reader)
    let nothing = NFS3.Renamed(from: NFS3.CacheData(), to: NFS3.CacheData())
    func refuse(_ status: NFS3.Status) { call.answer(NFS3.RenameResult.failed(status, nothing)) }
    switch (call.resolve(arguments.from.directory), call.resolve(arguments.to.directory)) {
    case (.failure(let status), _), (_, .failure(let status)): refuse(status)
    case (.success(let from), .success(let to)):
        guard from.export.id == to.export.id else { return refuse(.crossDevice) }
        switch (FileName.checked(arguments.from.name), FileName.checked(arguments.to.name)) {
        case (.failure(let status), _), (_, .failure(let status)): refuse(status)
        case (.success(let name), .success(let newName)):
            call.vfs.rename(from.context, from: from.file, name: name, to: to.file, newName: newName) { result in
                switch result {
                case .failure(let failure): call.fail(failure, NFS3.RenameResult.self, nothing)
                case .success(let result):
                    // Within one directory there is one change, which both sides tell.
                    let first = NFS3.CacheData(result.directory)
                    let second = result.secondDirectory.map { NFS3.CacheData($0) }
                    let both = NFS3.Renamed(
                        from: first, to: second ?? (from.file == to.file ? first : NFS3.CacheData()))
                    if let failure = result.failure {
                        call.answer(NFS3.RenameResult.failed(NFS3.Status(failure), both))
                    } else {
                        call.answer(NFS3.RenameResult.ok(both))
                    }
                }
            }
        }
    }
}
