import ONCRPC

/// GETATTR (RFC 1813, section 3.3.1).
func getattrOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let handle = try NFS3.HandleArguments(from: &reader)
    switch call.resolve(handle) {
    case .failure(let status): call.answer(NFS3.GetattrResult.failed(status, NFS3.Nothing()))
    case .success(let target):
        call.vfs.attributes(target.context, of: target.file) { result in
            switch result {
            case .success(let inode) where inode.attributes.generation != target.generation:
                call.answer(NFS3.GetattrResult.failed(.stale, NFS3.Nothing()))
            case .success(let inode): call.answer(NFS3.GetattrResult.ok(NFS3.Attributes(inode.attributes)))
            case .failure(let failure): call.fail(failure, NFS3.GetattrResult.self, NFS3.Nothing())
            }
        }
    }
}
