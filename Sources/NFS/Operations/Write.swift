import ClusterModel
import ONCRPC

/// WRITE (RFC 1813, section 3.3.7). DATA_SYNC is FILE_SYNC. Answers carry no attributes: until tokens keep them, a moving
/// pair would make clients drop their caches (namespace.md, Attributes before tokens exist).
func writeOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.WriteArguments(from: &reader)
    let nothing = NFS3.CacheData()
    func refuse(_ status: NFS3.Status) { call.answer(NFS3.WriteResult.failed(status, nothing)) }
    let target: NFSCall.Target
    switch call.resolve(arguments.file) {
    case .failure(let status): return refuse(status)
    case .success(let resolved): target = resolved
    }
    let count = Int(arguments.count)
    guard count <= arguments.data.count else { return refuse(.invalid) }
    guard arguments.offset <= Geometry.maximumFileSize - UInt64(count) else { return refuse(.tooBig) }
    guard
        let data = call.record.getSlice(
            at: call.record.readerIndex + arguments.data.lowerBound, length: count)
    else { return refuse(.invalid) }

    var durability: Durability = arguments.stability == .unstable ? .unstable : .stable
    let key = call.historyKey(target)
    if durability == .unstable, let key, !call.gateway.history.canRecord(key) { durability = .stable }
    call.connection.write(
        WriteRun.Part(
            call: call, target: target, offset: arguments.offset, data: data, durability: durability, history: key))
}

extension NFSCall {
    /// Names the history of this caller's writes to the file; nil for clients that compare verifiers themselves.
    func historyKey(_ target: Target) -> VerifierHistory.Key? {
        caller.isLibnfs || target.export.verifierBlind
            ? VerifierHistory.Key(client: caller, file: target.file) : nil
    }
}
