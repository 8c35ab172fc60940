import ClusterModel
import ONCRPC

/// COMMIT (RFC 1813, section 3.3.21). The range is only as wide as its client says, but the placement groups that it maps
/// to are flushed whoever wrote to them. For clients that compare no verifiers, loss is told as an error (replication.md,
/// Loss number).
func commitOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.RangeArguments(from: &reader)
    let nothing = NFS3.CacheData()
    func refuse(_ status: NFS3.Status) { call.answer(NFS3.CommitResult.failed(status, nothing)) }
    let target: NFSCall.Target
    switch call.resolve(arguments.file) {
    case .failure(let status): return refuse(status)
    case .success(let resolved): target = resolved
    }
    guard arguments.offset <= Geometry.maximumFileSize else { return refuse(.invalid) }
    let key = call.historyKey(target)
    let isWholeFile = arguments.offset == 0 && arguments.count == 0
    let gateway = call.gateway
    let covered = key.flatMap {
        isWholeFile ? gateway.history.commitBegan($0) : gateway.history.partialCommitBegan($0)
    }
    call.vfs.commit(target.context, file: target.file, offset: arguments.offset, count: UInt64(arguments.count)) {
        result in
        switch result {
        case .failure(let failure):
            if let key, isWholeFile { gateway.history.commitFailed(key, covered: covered) }
            call.fail(failure, NFS3.CommitResult.self, nothing)
        case .success(let committed):
            if let key {
                let verdict = gateway.history.committed(
                    key, covered: covered, stamp: committed.stamp,
                    knowledge: call.connection.knows(target.file) ? .sinceOpened : .unknown,
                    sinceRise: gateway.secondsSinceRise)
                if isWholeFile { call.connection.opened(target.file, name: nil) }
                switch verdict {
                case .ok: break
                case .lost(let rise):
                    let name = call.connection.name(of: target.file).map { " (\($0))" } ?? ""
                    gateway.logger.error(
                        """
                        unflushed writes to \(target.file)\(name) in \(target.export.path) may have been lost in a \
                        power loss; its client's flush is answered with an error once, check the image
                        """, metadata: ["client": "\(call.caller.address)", "rise": "\(rise)"])
                    return refuse(.io)
                }
            }
            call.answer(
                NFS3.CommitResult.ok(
                    NFS3.Committed(cache: nothing, verifier: NFS3.Verifier(committed.stamp.rawValue))))
        }
    }
}
