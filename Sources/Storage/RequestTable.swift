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
        var load: Governor.RequestClass
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
            pg: request.pg, session: request.session, kind: RequestKind(request),
            load: Governor.RequestClass(request), began: BootClock.now(), reply: reply)
        return token
    }

    /// All that wait for a group that cannot answer any more, in the order of their coming.
    mutating func takeAll(of pg: PGID) -> [Waiting] {
        let tokens = waiting.filter { $0.value.pg == pg }.map(\.key).sorted { $0.rawValue < $1.rawValue }
        return tokens.compactMap { waiting.removeValue(forKey: $0) }
    }

    /// For the answer; the governor hears how long it took.
    mutating func take(_ token: RequestToken, _ governor: inout Governor) -> Waiting? {
        guard let one = waiting.removeValue(forKey: token) else { return nil }
        let span = BootClock.now() - one.began
        LayerTimers.group[one.kind.rawValue].recordNanoseconds(Int64(clamping: span.nanoseconds))
        governor.answered(one.load, after: span)
        return one
    }
}

extension Governor.RequestClass {
    init(_ request: PGRequest) {
        switch request.body {
        case .read, .readVersion, .query: self = .read
        case .write(_, _, let durability), .zero(_, _, _, let durability), .mutate(let durability, _):
            self = durability == .stable ? .stable : .unstable
        case .deleteRange, .flush: self = .stable
        }
    }
}
