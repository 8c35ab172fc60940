import CSupport
import ClusterModel

/// The boot-time clock (CLOCK_BOOTTIME): never steps, goes on while the machine sleeps, starts anew with each boot.
public enum LeaseClock {
    @inlinable public static var now: Instant { Instant(nanoseconds: UInt64(bitPattern: cs_boot_time_ns())) }

    /// The present boot of this machine, from /proc/sys/kernel/random/boot_id.
    public static func boot() throws(CoordinationError) -> BootID {
        var bytes: [UInt8] = Array(repeating: 0, count: 16)
        let result = cs_boot_id(&bytes)
        guard result >= 0 else {
            throw .system("the boot id cannot be read from /proc/sys/kernel/random/boot_id (error \(-result))")
        }
        return BootID(bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) })
    }
}

extension Instant {
    /// Whole milliseconds, the unit of lease words.
    var milliseconds: UInt64 { nanoseconds / 1_000_000 }
    init(milliseconds: UInt64) { self.init(nanoseconds: milliseconds &* 1_000_000) }
}

extension TimeSpan {
    var milliseconds: UInt64 { nanoseconds / 1_000_000 }
}
