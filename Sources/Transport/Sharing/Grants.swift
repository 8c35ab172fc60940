import Synchronization
import Wire

/// What one connection has lent to its peer.
struct LentRegions {
    private var regions: [UInt64: SharedRegion] = [:]
    private var lastGrant: UInt64 = 0

    /// Keeps the region until it is returned; its number on this connection.
    mutating func lend(_ region: SharedRegion) -> UInt64 {
        lastGrant += 1
        regions[lastGrant] = region
        return lastGrant
    }

    /// False for a number that was not lent, or was returned before.
    mutating func returned(_ grant: UInt64) -> Bool { regions.removeValue(forKey: grant) != nil }

    /// The connection is lost: the arenas in which the peer may still read.
    mutating func lose() -> (arenas: Set<ArenaID>, regions: [SharedRegion]) {
        let all = Array(regions.values)
        regions = [:]
        return (Set(all.map(\.mapping.id)), all)
    }
}

/// Collects what a peer lent and nobody here reads any more; regions end on whatever thread used them last.
final class GrantReturns: Sendable {
    private let waiting = Mutex<[UInt64]>([])
    private let wake: @Sendable () -> Void

    /// `wake` is called when something waits that has not been taken; it comes back on the connection's loop.
    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    func add(_ grant: UInt64) {
        let isFirst = waiting.withLock {
            $0.append(grant)
            return $0.count == 1
        }
        if isFirst { wake() }
    }

    func take() -> [UInt64] {
        waiting.withLock { list in
            let all = list
            list = []
            return all
        }
    }
}
