import ClusterModel
import ONCRPC
import Wire

/// SETATTR (RFC 1813, section 3.3.2).
func setattrOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.SetattrArguments(from: &reader)
    let nothing = NFS3.CacheData()
    switch call.resolve(arguments.file) {
    case .failure(let status): call.answer(NFS3.CacheResult.failed(status, nothing))
    case .success(let target):
        guard let changes = AttributeChanges(arguments.attributes) else {
            return call.answer(NFS3.CacheResult.failed(.invalid, nothing))
        }
        if let size = changes.size, size > Geometry.maximumFileSize {
            return call.answer(NFS3.CacheResult.failed(.tooBig, nothing))
        }
        var guardTime: Timestamp?
        if let given = arguments.guardTime {
            // No file has a change time that is no time.
            guard let stamp = given.timestamp else { return call.answer(NFS3.CacheResult.failed(.notSync, nothing)) }
            guardTime = stamp
        }
        call.vfs.setAttributes(target.context, of: target.file, changes: changes, guardTime: guardTime) { result in
            switch result {
            case .success(let result):
                let after = result.inode?.attributes ?? result.directory?.after
                let cache = NFS3.CacheData(before: result.directory?.before, after: after)
                if let failure = result.failure {
                    call.answer(NFS3.CacheResult.failed(NFS3.Status(failure), cache))
                } else {
                    call.answer(NFS3.CacheResult.ok(cache))
                }
            case .failure(let failure): call.fail(failure, NFS3.CacheResult.self, nothing)
            }
        }
    }
}
