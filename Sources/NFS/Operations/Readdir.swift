import ClusterModel
import ONCRPC
import Wire

/// READDIR (RFC 1813, section 3.3.16).
func readdirOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.ReaddirArguments(from: &reader)
    switch call.resolve(arguments.directory) {
    case .failure(let status): call.answer(NFS3.ReaddirResult.failed(status, NFS3.PostAttributes()))
    case .success(let target):
        let room = DirectoryRoom(maximum: arguments.count, names: arguments.count, entryRest: 0)
        call.list(target, after: arguments.cookie, room: room, detail: .names) { outcome in
            switch outcome {
            case .failed(let failure): call.fail(failure, NFS3.ReaddirResult.self, NFS3.PostAttributes())
            case .tooSmall(let directory):
                call.answer(NFS3.ReaddirResult.failed(.tooSmall, NFS3.PostAttributes(NFS3.Attributes(directory))))
            case .page(let page):
                call.answer(
                    NFS3.ReaddirResult.ok(
                        NFS3.DirectoryPage(
                            attributes: NFS3.Attributes(page.directory), verifier: NFS3.Verifier(0),
                            entries: page.entries.map(\.entry), endOfDirectory: page.isLast)))
            }
        }
    }
}
