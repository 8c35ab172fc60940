import ClusterModel
import Gateway
import Glibc

/// The machine's clocks as the gateway machine wants them.
public enum FilesystemClock {
    /// CLOCK_BOOTTIME goes on while the machine sleeps and knows no steps (traps 14); CLOCK_REALTIME is what files show.
    @Sendable public static func system() -> GatewayTime {
        var boot = timespec()
        var wall = timespec()
        clock_gettime(CLOCK_BOOTTIME, &boot)
        clock_gettime(CLOCK_REALTIME, &wall)
        return GatewayTime(
            now: Instant(nanoseconds: UInt64(boot.tv_sec) * 1_000_000_000 + UInt64(boot.tv_nsec)),
            wall: Timestamp(nanoseconds: Int64(wall.tv_sec) * 1_000_000_000 + Int64(wall.tv_nsec)))
    }
}
