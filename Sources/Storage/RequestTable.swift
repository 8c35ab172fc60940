import ClusterModel
import Replication
import Wire

/// Requests that placement groups of this node are dealing with, by token.
///
/// Invariant: every token is answered once; `take` forgets it.
struct RequestTable {
    struct Waiting {
        var session: SessionID
        var reply: (PGResponse) -> Void
    }
    private var waiting: [RequestToken: Waiting] = [:]
    private var last: UInt64 = 0

    var count: Int { waiting.count }

    mutating func add(session: SessionID, reply: @escaping (PGResponse) -> Void) -> RequestToken {
        last += 1
        let token = RequestToken(last)
        waiting[token] = Waiting(session: session, reply: reply)
        return token
    }

    mutating func take(_ token: RequestToken) -> Waiting? { waiting.removeValue(forKey: token) }
}
