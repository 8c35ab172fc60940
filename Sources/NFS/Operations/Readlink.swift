import ONCRPC

/// READLINK (RFC 1813, section 3.3.5).
func readlinkOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let handle = try NFS3.HandleArguments(from: &reader)
    switch call.resolve(handle) {
    case .failure(let status): call.answer(NFS3.ReadlinkResult.failed(status, NFS3.PostAttributes()))
    case .success(let target):
        call.vfs.readSymbolicLink(target.context, of: target.file) { result in
            switch result {
            case .success(let (path, attributes)):
                call.answer(
                    NFS3.ReadlinkResult.ok(
                        NFS3.LinkTarget(attributes: NFS3.Attributes(attributes), target: path)))
            case .failure(let failure): call.fail(failure, NFS3.ReadlinkResult.self, NFS3.PostAttributes())
            }
        }
    }
}
