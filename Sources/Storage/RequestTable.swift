import ClusterModel
import DiskIO
import Replication
import Wire

/// Requests that placement groups of this node are dealing with, by token.
///
/// Invariant: every token is answered once; `take` forgets it.
struct RequestTable {
    struct Waiting {
        var pg: PGID
        var session: SessionID
        var kind: RequestKind
        var began: Instant
        var reply: (PGResponse) -> Void
    }
    private var waiting: [RequestToken: Waiting] = [:]
    private var last: UInt64 = 0

    var count: Int { waiting.count }

    mutating func add(_ request: PGRequest, reply: @escaping (PGResponse) -> Void) -> RequestToken {
        last += 1
        let token = RequestToken(last)
        waiting[token] = Waiting(
            pg: request.pg, session: request.session, kind: RequestKind(request), began: BootClock.now(), reply: reply)
        return token
    }

    /// All that wait for a group that cannot answer any more, in the order of their coming.
    mutating func takeAll(of pg: PGID) -> [Waiting] {
        let tokens = waiting.filter { $0.value.pg == pg }.map(\.key).sorted { $0.rawValue < $1.rawValue }
        return tokens.compactMap { take($0) }
    }

    mutating func take(_ token: RequestToken) -> Waiting? {
        guard let one = waiting.removeValue(forKey: token) else { return nil }
        LayerTimers.record(LayerTimers.group[one.kind.rawValue], since: one.began)
        return one
    }
}
