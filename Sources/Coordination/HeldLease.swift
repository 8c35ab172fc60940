import ClusterModel
import Synchronization

/// A lease that this process took. Any thread may ask whether it is still surely valid; one thread (`LeaseKeeper`)
/// renews it.
///
/// Invariants:
/// - `validUntil` is the expiry last *written* by this process less the margin, never what the lease file says.
/// - Once a check has failed because the time had passed, `validUntil` is 0 and stays 0: a renewal that arrives later
///   does not bring the lease back (traps 55).
public final class HeldLease: Sendable {
    public let number: LeaseNumber
    public let owner: LeaseOwner
    /// Before this instant nobody serves, whatever lease it holds (see `Coordinator.servingAllowedFrom`).
    public let servingFrom: Instant
    /// Nanoseconds of the boot-time clock; 0 once the lease has ended.
    @usableFromInline let validUntil: Atomic<UInt64>
    private let releaseAsked = Atomic<Bool>(false)
    private let wake: @Sendable () -> Void

    init(
        number: LeaseNumber, owner: LeaseOwner, validUntil: Instant, servingFrom: Instant,
        wake: @escaping @Sendable () -> Void
    ) {
        self.number = number
        self.owner = owner
        self.servingFrom = servingFrom
        self.validUntil = Atomic(validUntil.nanoseconds)
        self.wake = wake
    }

    /// Whether nobody else can have ended this lease at `now`, which must be the boot-time clock read just before. One
    /// atomic load; to be asked last, as an answer leaves (traps 21).
    @inlinable public func isSurelyValid(at now: Instant) -> Bool {
        if now.nanoseconds < validUntil.load(ordering: .acquiring) { return now.nanoseconds >= servingFrom.nanoseconds }
        return endIfPassed(now)
    }

    /// Reads the clock and checks.
    @inlinable public var isSurelyValid: Bool { isSurelyValid(at: LeaseClock.now) }

    /// Whether it has ended for good, as far as this process knows.
    public var hasEnded: Bool { validUntil.load(ordering: .acquiring) == 0 }

    /// Gives the lease back: from now on `isSurelyValid` is false; others see it ended as soon as the keeper has written
    /// it, at the latest when `Coordinator.close` has called back. Every role held under it must have been laid down.
    public func release() {
        releaseAsked.store(true, ordering: .releasing)
        latch()
        wake()
    }

    var isReleaseAsked: Bool { releaseAsked.load(ordering: .acquiring) }

    /// Ends it for this process; the keeper notices.
    func latch() { validUntil.store(0, ordering: .sequentiallyConsistent) }

    /// The keeper's publication of a renewal; false if the lease ended meanwhile.
    func renewed(from old: Instant, to new: Instant) -> Bool {
        validUntil.compareExchange(
            expected: old.nanoseconds, desired: new.nanoseconds, ordering: .sequentiallyConsistent
        ).exchanged
    }

    @usableFromInline func endIfPassed(_ now: Instant) -> Bool {
        var seen = validUntil.load(ordering: .sequentiallyConsistent)
        while seen != 0 {
            if now.nanoseconds < seen { return now.nanoseconds >= servingFrom.nanoseconds }
            let result = validUntil.compareExchange(expected: seen, desired: 0, ordering: .sequentiallyConsistent)
            if result.exchanged {
                wake()
                return false
            }
            seen = result.original
        }
        return false
    }
}
