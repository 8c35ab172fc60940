import ONCRPC
import Wire

/// PATHCONF (RFC 1813, section 3.3.20).
func pathconfOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let handle = try NFS3.HandleArguments(from: &reader)
    switch call.resolve(handle) {
    case .failure(let status): call.answer(NFS3.PathconfResult.failed(status, NFS3.PostAttributes()))
    case .success(let target):
        call.vfs.attributes(target.context, of: target.file) { result in
            switch result {
            case .failure(let failure): call.fail(failure, NFS3.PathconfResult.self, NFS3.PostAttributes())
            case .success(let inode):
                call.answer(
                    NFS3.PathconfResult.ok(
                        NFS3.PathConfiguration(
                            attributes: NFS3.Attributes(inode.attributes), linkMaximum: 65_000,
                            nameMaximum: UInt32(FileName.maximumLength),
                            traits: [.noTruncation, .chownRestricted, .casePreserving])))
            }
        }
    }
}
