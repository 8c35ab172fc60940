import ClusterModel
import DiskIO
import Replication
import Wire

/// Requests that placement groups of this node are dealing with, by token.
///
/// Invariant: every token is answered once; `take` forgets it.
struct RequestTable {
    struct Waiting {
        var session: SessionID
        var kind: RequestKind
        var began: Instant
        var reply: (PGResponse) -> Void
    }
    private var waiting: [RequestToken: Waiting] = [:]
    private var last: UInt64 = 0

    var count: Int { waiting.count }

    mutating func add(session: SessionID, kind: RequestKind, reply: @escaping (PGResponse) -> Void) -> RequestToken {
        last += 1
        let token = RequestToken(last)
        waiting[token] = Waiting(session: session, kind: kind, began: BootClock.now(), reply: reply)
        return token
    }

    mutating func take(_ token: RequestToken) -> Waiting? {
        guard let one = waiting.removeValue(forKey: token) else { return nil }
        LayerTimers.record(LayerTimers.group[one.kind.rawValue], since: one.began)
        return one
    }
}
