import ClusterModel
import ONCRPC

/// FSINFO (RFC 1813, section 3.3.19).
func fsinfoOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let handle = try NFS3.HandleArguments(from: &reader)
    switch call.resolve(handle) {
    case .failure(let status): call.answer(NFS3.FsinfoResult.failed(status, NFS3.PostAttributes()))
    case .success(let target):
        call.vfs.attributes(target.context, of: target.file) { result in
            switch result {
            case .failure(let failure): call.fail(failure, NFS3.FsinfoResult.self, NFS3.PostAttributes())
            case .success(let inode):
                let transfer = UInt32(Geometry.maximumTransfer)
                let block = UInt32(Geometry.blockSize)
                call.answer(
                    NFS3.FsinfoResult.ok(
                        NFS3.FileSystemInfo(
                            attributes: NFS3.Attributes(inode.attributes), readMaximum: transfer,
                            readPreferred: transfer,
                            readMultiple: block, writeMaximum: transfer, writePreferred: transfer, writeMultiple: block,
                            directoryPreferred: UInt32(NFSLimits.directoryBytes), fileMaximum: Geometry.maximumFileSize,
                            timeDelta: NFS3.Time(seconds: 0, nanoseconds: 1),
                            properties: [.link, .symlink, .homogeneous, .canSetTime])))
            }
        }
    }
}
