import ClusterModel
import ONCRPC
import Wire

/// READDIRPLUS (RFC 1813, section 3.3.17).
func readdirplusOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.ReaddirplusArguments(from: &reader)
    switch call.resolve(arguments.directory) {
    case .failure(let status): call.answer(NFS3.ReaddirplusResult.failed(status, NFS3.PostAttributes()))
    case .success(let target):
        // Attributes with their mark are 88 bytes, a handle with mark and length is 8 more than its own.
        let room = DirectoryRoom(
            maximum: arguments.maximumCount, names: arguments.directoryCount, entryRest: 88 + 8 + HandleCodec.bytes)
        call.list(target, after: arguments.cookie, room: room, detail: .namesAndInodes) { outcome in
            switch outcome {
            case .failed(let failure): call.fail(failure, NFS3.ReaddirplusResult.self, NFS3.PostAttributes())
            case .tooSmall(let directory):
                call.answer(NFS3.ReaddirplusResult.failed(.tooSmall, NFS3.PostAttributes(NFS3.Attributes(directory))))
            case .page(let page):
                let entries = page.entries.map { item in
                    if let details = item.details { call.connection.opened(details.file, name: nil) }
                    return NFS3.DirectoryEntryPlus(
                        entry: item.entry, attributes: item.details.map(NFS3.Attributes.init),
                        file: item.details.map { call.handle($0, from: target) })
                }
                call.answer(
                    NFS3.ReaddirplusResult.ok(
                        NFS3.DirectoryPage(
                            attributes: NFS3.Attributes(page.directory), verifier: NFS3.Verifier(0), entries: entries,
                            endOfDirectory: page.isLast)))
            }
        }
    }
}
