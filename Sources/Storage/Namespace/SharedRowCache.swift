import Namespace

/// The row cache of a node: one bound for all its namespaces together. Used on the node's loop only.
final class SharedRowCache {
    var rows: RowCache
    private(set) var counters = RowCacheCounters()
    private var lastOwner: UInt32 = 0

    init(limit: Int = StorageLimits.rowCacheBytes) {
        rows = RowCache(limit: limit)
    }

    /// For a host of its own: a database that is opened again never sees rows of its former life.
    func newOwner() -> RowCache.Owner {
        lastOwner += 1
        return RowCache.Owner(lastOwner)
    }

    func hit() { counters.hits += 1 }
    func missed() { counters.misses += 1 }
    func wasBehind() { counters.behind += 1 }
}

/// Questions about single inodes and names since the start.
public struct RowCacheCounters: Sendable, Hashable {
    /// Answered on the loop.
    public var hits: UInt64 = 0
    /// A row was not there: asked of the namespace thread.
    public var misses: UInt64 = 0
    /// Entries were under way on the namespace thread, or waited for it: asked behind them.
    public var behind: UInt64 = 0
}
