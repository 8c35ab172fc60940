import ClusterModel
import DiskIO
import NIOCore
import Wire

/// Questions to other nodes that wait for their answers, each of which ends once: with its answer, with its connection, or at
/// its deadline.
///
/// Invariants:
/// - a number is never used again, not even by the next process of this boot: an answer can be taken for no other's;
/// - what comes for a question that has ended is nobody's, and is dropped by the caller;
/// - an end without an answer tells nothing: the question may be sent again under its request number only.
struct Exchanges {
    private struct Waiting {
        var node: NodeID
        var began: Instant
        var done: (Answer) -> Void
    }

    enum Answer {
        case response(PGResponse, ByteBuffer?)
        case flushed(FlushAnswer)
        /// The connection has ended, or the deadline has come.
        case lost
    }

    private var waiting: [UInt64: Waiting] = [:]
    private var last: UInt64
    /// Questions that ended at their deadline.
    private(set) var expiredCount: UInt64 = 0

    /// `now`, in nanoseconds of the boot-time clock, is where numbers begin: fewer questions are asked than nanoseconds pass.
    init(at now: Instant) { last = now.nanoseconds }

    var count: Int { waiting.count }

    mutating func begin(with node: NodeID, at now: Instant, done: @escaping (Answer) -> Void) -> ExchangeID {
        last += 1
        waiting[last] = Waiting(node: node, began: now, done: done)
        return ExchangeID(last)
    }

    /// The one who waits for this answer of `node`; nil for an answer that nobody waits for (any more).
    mutating func end(_ id: ExchangeID, from node: NodeID) -> ((Answer) -> Void)? {
        guard let waiter = waiting[id.rawValue], waiter.node == node else { return nil }
        waiting[id.rawValue] = nil
        LayerTimers.record(LayerTimers.transport, since: waiter.began)
        return waiter.done
    }

    /// Ends everything that waited for `node`; the caller calls what is given, in the order of the questions.
    mutating func lost(_ node: NodeID) -> [(Answer) -> Void] { take(where: { $0.node == node }) }

    /// Ends what has waited for too long, for a node that can be heard or for one that has fallen silent (a stopped process
    /// keeps its connections); the caller calls what is given, in the order of the questions.
    mutating func expired(at now: Instant, isHeard: (NodeID) -> Bool) -> [(Answer) -> Void] {
        let ended = take(where: {
            now - $0.began
                >= (isHeard($0.node) ? StorageLimits.exchangePatience : StorageLimits.silentExchangePatience)
        })
        expiredCount += UInt64(ended.count)
        return ended
    }

    private mutating func take(where isOver: (Waiting) -> Bool) -> [(Answer) -> Void] {
        let ids = waiting.filter { isOver($0.value) }.map(\.key).sorted()
        return ids.compactMap { waiting.removeValue(forKey: $0)?.done }
    }
}
