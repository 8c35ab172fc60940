import ClusterModel
import DiskIO
import NIOCore
import Wire

/// Questions to other nodes that wait for their answers. When a connection ends, all that waited on it end without one.
struct Exchanges {
    private struct Waiting {
        var node: NodeID
        var began: Instant
        var done: (Answer) -> Void
    }

    enum Answer {
        case response(PGResponse, ByteBuffer?)
        case flushed([PGResponse])
        case lost
    }

    private var waiting: [UInt64: Waiting] = [:]
    private var last: UInt64 = 0

    var count: Int { waiting.count }

    mutating func begin(with node: NodeID, done: @escaping (Answer) -> Void) -> ExchangeID {
        last += 1
        waiting[last] = Waiting(node: node, began: BootClock.now(), done: done)
        return ExchangeID(last)
    }

    /// The one who waits for this answer of `node`; nil for an answer that nobody waits for.
    mutating func end(_ id: ExchangeID, from node: NodeID) -> ((Answer) -> Void)? {
        guard let waiter = waiting[id.rawValue], waiter.node == node else { return nil }
        waiting[id.rawValue] = nil
        LayerTimers.record(LayerTimers.transport, since: waiter.began)
        return waiter.done
    }

    /// Ends everything that waited for `node`; the caller calls what is given, in the order of the questions.
    mutating func lost(_ node: NodeID) -> [(Answer) -> Void] {
        let ids = waiting.filter { $0.value.node == node }.map(\.key).sorted()
        return ids.compactMap { waiting.removeValue(forKey: $0)?.done }
    }
}
