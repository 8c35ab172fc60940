import CSupport
import Synchronization

/// A region of a `BufferPool`: 1 MiB of page-aligned memory with an explicit count of its users.
///
/// `@unchecked Sendable`: owns raw memory; whoever writes it is its only user (a region starts with one).
public final class BufferRegion: @unchecked Sendable {
    /// The memory. Valid until the last user has released the region.
    public let bytes: UnsafeMutableRawBufferPointer
    fileprivate let users = Atomic<Int>(0)
    private unowned let pool: BufferPool

    fileprivate init(bytes: UnsafeMutableRawBufferPointer, pool: BufferPool) {
        self.bytes = bytes
        self.pool = pool
    }

    /// Adds a user.
    public func retain() {
        let before = users.wrappingAdd(1, ordering: .relaxed).oldValue
        precondition(before > 0, "a region is retained only by who may use it")
    }

    /// Takes a user away; the last one gives the region back to the pool.
    public func release() {
        let now = users.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        precondition(now >= 0, "a region was released more often than it was retained")
        if now == 0 { pool.giveBack(self) }
    }
}

/// Memory for large reads. malloc of 1 MiB is an mmap and 256 page faults each time; regions are made once, on first
/// use, up to a bound, and used again. The pool outlives its regions' users.
public final class BufferPool: Sendable {
    /// How full the pool is.
    public struct Metrics: Hashable, Sendable {
        /// Regions in use now, and the most at once so far.
        public var inUse = 0
        public var highWater = 0
        /// Regions that have memory.
        public var made = 0
        /// Requests that found the pool empty.
        public var refusals: UInt64 = 0
    }

    private struct State {
        var free: [BufferRegion] = []
        var all: [BufferRegion] = []
        var metrics = Metrics()
    }

    /// Regions at most.
    public let capacity: Int
    private let state = Mutex(State())

    public init(capacity: Int = DiskLimits.poolRegions) {
        precondition(capacity > 0, "a pool has at least one region")
        self.capacity = capacity
    }

    deinit {
        state.withLock { state in
            precondition(state.metrics.inUse == 0, "a buffer pool ended with regions in use")
            for region in state.all { _ = cs_unmap(region.bytes.baseAddress, region.bytes.count) }
        }
    }

    public var metrics: Metrics { state.withLock { $0.metrics } }

    /// A region with one user, the caller; nil if all are in use (or memory is exhausted): the request waits.
    public func take() -> BufferRegion? {
        state.withLock { state in
            var region = state.free.popLast()
            if region == nil, state.all.count < capacity, let memory = cs_map_anonymous(DiskLimits.regionBytes) {
                let made = BufferRegion(
                    bytes: UnsafeMutableRawBufferPointer(start: memory, count: DiskLimits.regionBytes), pool: self)
                state.all.append(made)
                state.metrics.made += 1
                region = made
            }
            guard let region else {
                state.metrics.refusals += 1
                return nil
            }
            region.users.store(1, ordering: .relaxed)
            state.metrics.inUse += 1
            state.metrics.highWater = max(state.metrics.highWater, state.metrics.inUse)
            return region
        }
    }

    fileprivate func giveBack(_ region: BufferRegion) {
        state.withLock { state in
            state.free.append(region)
            state.metrics.inUse -= 1
        }
    }
}
