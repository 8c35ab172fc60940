import Synchronization

/// Whether a disk may be used. Invariants:
/// - The first failed write or sync, SQLite I/O error or stuck call ends the use of the disk (store.md, rule 4).
/// - After it no call reaches the disk: a second sync would lie, the kernel reports a failure once.
/// - `onFailure` is called exactly once, on the thread that met the failure; after a stuck call once more, if that call (or
///   another that was under way) comes back with an error after all: only then the medium has lost something.
public final class DiskHealth: Sendable {
    private struct State {
        var failure: DiskError?
        var observer: (@Sendable (DiskError) -> Void)?
    }

    /// Names the disk in call marks; unique in the process.
    public let number: UInt64
    /// Faults to inject, for tests only.
    let faults: DiskFaults?
    private let failedFlag = Atomic<Bool>(false)
    private let state: Mutex<State>

    private static let lastNumber = Atomic<UInt64>(0)

    /// `onFailure` is given the failure; it must not block.
    public init(faults: DiskFaults? = nil, onFailure: @escaping @Sendable (DiskError) -> Void) {
        number = DiskHealth.lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
        self.faults = faults
        state = Mutex(State(failure: nil, observer: onFailure))
    }

    public var hasFailed: Bool { failedFlag.load(ordering: .acquiring) }

    /// The failure that ended the disk's use, or what a stuck call turned out to be.
    public var failure: DiskError? { state.withLock { $0.failure } }

    /// Ends the use of the disk. Only the first call has an effect, and the first one after a stuck call.
    public func fail(_ error: DiskError) {
        let observer: (@Sendable (DiskError) -> Void)? = state.withLock { state in
            let isKnown = state.failure.map {
                $0.cause != .stuck || error.cause == .stuck || error.cause == .diskFailed
            }
            if isKnown ?? false { return nil }
            state.failure = error
            let observer = state.observer
            if error.cause != .stuck { state.observer = nil }
            failedFlag.store(true, ordering: .releasing)
            return observer
        }
        observer?(error)
    }
}
