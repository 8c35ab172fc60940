import CSupport
import ClusterModel
import Foundation
import Synchronization

/// What a lease is kept in: renews and ends one lease number. Called on the keeper's thread only.
protocol LeaseTenure: AnyObject, Sendable {
    /// Extends the lease to `before` + duration. `before` was read before anything else was done for this renewal.
    func renew(before: Instant) -> RenewalResult
    /// Ends the lease number for good, for others to see.
    func end()
}

enum RenewalResult: Equatable {
    /// The expiry that was written.
    case renewed(until: Instant)
    /// It cannot be extended any more.
    case ended(LapseReason)
}

/// Renews one lease on a thread of its own until it lapses or is released.
///
/// Invariants:
/// - It is never renewed at or after the instant at which it stopped being surely valid.
/// - `lapsed` is called once at most, and never for a released lease.
final class LeaseKeeper: Sendable {
    let lease: HeldLease
    private let tenure: any LeaseTenure
    private let request: LeaseRequest
    private let terms: LeaseTerms
    private let executor: CompletionExecutor
    private let wakeDescriptor: Int32
    private let lost = Mutex<LapseReason?>(nil)
    private let finished = DispatchSemaphore(value: 0)
    private let isDone = Atomic<Bool>(false)

    /// `expiry` is what was written into the lease when it was taken.
    init(
        number: LeaseNumber, expiry: Instant, servingFrom: Instant, tenure: any LeaseTenure, request: LeaseRequest,
        terms: LeaseTerms, executor: @escaping CompletionExecutor
    ) throws(CoordinationError) {
        let descriptor = cs_eventfd()
        guard descriptor >= 0 else { throw .system("no eventfd for the renewal of \(number) (error \(-descriptor))") }
        wakeDescriptor = descriptor
        self.tenure = tenure
        self.request = request
        self.terms = terms
        self.executor = executor
        // The lease may be asked for after its keeper has gone: then there is nobody to wake, and a descriptor of that
        // number may be something else. So the lease wakes a copy that lives as long as the lease.
        let bell = Bell(copyOf: descriptor)
        lease = HeldLease(
            number: number, owner: request.owner, validUntil: Self.validUntil(expiry, terms), servingFrom: servingFrom,
            wake: { bell.ring() })
    }

    deinit { _ = cs_close(wakeDescriptor) }

    func start() {
        let thread = Thread { self.run() }
        thread.stackSize = 256 * 1024
        thread.start()
    }

    /// Ends the lease at once because what it is kept in is not valid any more.
    func lose(_ reason: LapseReason) {
        lost.withLock { $0 = $0 ?? reason }
        lease.latch()
        _ = cs_eventfd_signal(wakeDescriptor)
    }

    /// Whether the lease has ended for others, too.
    var isFinished: Bool { isDone.load(ordering: .acquiring) }

    /// Waits until the keeper's thread has ended the lease.
    func waitUntilFinished() {
        finished.wait()
        finished.signal()
    }

    private static func validUntil(_ expiry: Instant, _ terms: LeaseTerms) -> Instant {
        Instant(nanoseconds: (expiry - Instant(nanoseconds: terms.margin.nanoseconds)).nanoseconds)
    }

    private func run() {
        cs_set_thread_name("stave-lease")
        let reason = keep()
        lease.latch()
        tenure.end()
        isDone.store(true, ordering: .releasing)
        if reason != .released {
            let request = request
            let number = lease.number
            executor { request.lapsed(number, reason) }
        }
        finished.signal()
    }

    private func keep() -> LapseReason {
        var nextRenewal = LeaseClock.now + terms.interval
        var lastProgress = true
        while true {
            let known = Instant(nanoseconds: lease.validUntil.load(ordering: .acquiring))
            let waitUntil = min(nextRenewal, known)
            sleep(until: waitUntil)

            let before = LeaseClock.now
            if let reason = lost.withLock({ $0 }) { return reason }
            if lease.isReleaseAsked { return .released }
            guard before < known, !lease.hasEnded else { return lastProgress ? .late : .noProgress }
            guard before >= nextRenewal else { continue }
            nextRenewal = before + terms.interval

            lastProgress = request.hasProgress()
            guard lastProgress else { continue }
            switch tenure.renew(before: before) {
            case .renewed(let expiry):
                guard lease.renewed(from: known, to: Self.validUntil(expiry, terms)) else { continue }
            case .ended(let reason):
                return reason
            }
        }
    }

    private func sleep(until instant: Instant) {
        let wait = instant - LeaseClock.now
        var descriptor = pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)
        let milliseconds = Int32(min((wait.nanoseconds + 999_999) / 1_000_000, 60_000))
        if poll(&descriptor, 1, milliseconds) > 0 { _ = cs_eventfd_take(wakeDescriptor) }
    }
}

/// A descriptor of its own for waking a thread, valid as long as this object.
final class Bell: Sendable {
    private let descriptor: Int32
    init(copyOf original: Int32) { descriptor = fcntl(original, F_DUPFD_CLOEXEC, 0) }
    deinit { if descriptor >= 0 { _ = cs_close(descriptor) } }
    func ring() { if descriptor >= 0 { _ = cs_eventfd_signal(descriptor) } }
}
