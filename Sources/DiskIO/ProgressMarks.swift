import CSupport
import ClusterModel
import Synchronization

/// One event loop's sign of life.
public final class ProgressMark: Sendable {
    /// Whose it is, for "who stalls?".
    public let name: String
    private let last: Atomic<UInt64>

    init(name: String, now: Instant) {
        self.name = name
        last = Atomic(now.nanoseconds)
    }

    /// The loop has come round; an idle loop ticks by a timer, at least every 250 ms.
    public func tick(_ now: Instant) { last.store(now.nanoseconds, ordering: .relaxed) }

    var lastTick: Instant { Instant(nanoseconds: last.load(ordering: .relaxed)) }
}

/// All event loops of a process. A lease is renewed only while every one of them has ticked within a second
/// (architecture.md, Leases; traps.md, 24).
public final class ProgressMarks: Sendable {
    private let marks = Mutex<[ProgressMark]>([])

    public init() {}

    /// Adds a loop, counted as alive now.
    public func register(_ name: String, now: Instant) -> ProgressMark {
        let mark = ProgressMark(name: name, now: now)
        marks.withLock { marks in
            let most = DiskLimits.progressMarks
            precondition(marks.count < most, "a process does not have \(most) event loops")
            marks.append(mark)
        }
        return mark
    }

    /// Takes out a loop that has ended on purpose.
    public func remove(_ mark: ProgressMark) { marks.withLock { $0.removeAll { $0 === mark } } }

    /// The names of the loops that have not ticked for more than `limit` before `now`; empty: the lease may be renewed.
    public func stalled(
        now: Instant, limit: TimeSpan = .milliseconds(DiskLimits.loopStall)
    ) -> [String] {
        marks.withLock { $0.filter { now - $0.lastTick > limit }.map(\.name) }
    }
}

/// The boot-time clock (CLOCK_BOOTTIME), which goes on while the machine sleeps and never steps.
public enum BootClock {
    public static func now() -> Instant { Instant(nanoseconds: UInt64(cs_boot_time_ns())) }

    /// This boot of the machine's kernel.
    public static func bootID() throws(DiskError) -> BootID {
        var bytes = [UInt8](repeating: 0, count: 16)
        let result = bytes.withUnsafeMutableBufferPointer { cs_boot_id($0.baseAddress) }
        guard result >= 0 else { throw DiskError(.read, path: "/proc/sys/kernel/random/boot_id", .system(-result)) }
        return BootID(bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) })
    }
}
