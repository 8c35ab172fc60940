import ClusterModel
import Wire

/// A digest of kept replies in the order of their entries: equal on all replicas that have applied the same entries.
public struct ReplyDigest: Hashable, Sendable {
    public private(set) var value: UInt64 = 0
    /// Replies that went into it.
    public private(set) var count = 0
    /// The entry of the last one, if there may be others behind it.
    public private(set) var end: UInt64?
}

extension NamespaceMachine {
    /// At most `limit` replies of entries behind n. Those that nothing finds any more do not count: replicas drop their rows at
    /// different times.
    public func replyDigest(after n: UInt64, limit: Int, rows: some NamespaceRowReader) throws -> ReplyDigest {
        var digest = ReplyDigest()
        var last = n
        while true {
            let page = try rows.replies(after: last, limit: 1024)
            for reply in page {
                last = reply.n
                let row = try ReplyRow(reply.bytes)
                let isOfSession = windows.isKept(reply.n, for: row.session, row.number)
                let isOfCall = windows.isKept(reply.n, for: row.call, at: state.lastTime)
                guard isOfSession || isOfCall else { continue }
                digest.add(reply.n, row, isOfSession: isOfSession, isOfCall: isOfCall)
                if digest.count == limit {
                    digest.end(at: reply.n)
                    return digest
                }
            }
            if page.count < 1024 { return digest }
        }
    }
}

extension ReplyDigest {
    fileprivate mutating func add(_ n: UInt64, _ row: ReplyRow, isOfSession: Bool, isOfCall: Bool) {
        var w = WireWriter(capacity: 64)
        w.u64(n)
        w.i64(row.time.nanoseconds)
        w.u64(isOfSession ? row.session.rawValue : 0)
        w.u64(isOfSession ? row.number.rawValue : 0)
        w.optional(isOfCall ? row.call : nil) { $0.call($1) }
        value = StableHash.combine(value, StableHash.bytes(w.bytes))
        value = StableHash.combine(value, StableHash.bytes(row.result))
        count += 1
    }

    fileprivate mutating func end(at n: UInt64) { end = n }
}
