import CSupport
import ClusterModel
import DiskIO
import Dispatch
import Foundation
import Logging
import Synchronization

/// Bounds a node's stop: what hangs is named, and the process ends all the same. Its disks are left as by a kill, which their
/// logs are made for.
///
/// Invariant: from `begin` on the process ends within the patience, whichever thread hangs: the deadline has a thread of its own.
final class StopPatience: Sendable {
    private struct State {
        var hasBegun = false
        var step = "its event loop"
    }
    private let state = Mutex(State())
    private let ended = DispatchSemaphore(value: 0)
    private let seconds: Int

    /// Less than `stave cluster down` waits before it kills (30 s).
    static let standard = 20

    init(seconds: Int = StopPatience.standard) { self.seconds = seconds }

    /// What the stop waits for from now on, as in "it waits for …".
    func wait(for step: String) { state.withLock { $0.step = step } }

    /// Starts the deadline, once. `gaveUp` is called on the deadline's own thread with what hangs; then the process ends.
    func begin(_ gaveUp: @escaping @Sendable (_ seconds: Int, _ step: String) -> Void) {
        let isFirst = state.withLock { state in
            defer { state.hasBegun = true }
            return !state.hasBegun
        }
        guard isFirst else { return }
        Thread.detachNewThread { [self] in
            guard ended.wait(timeout: .now() + .seconds(seconds)) == .timedOut else { return }
            gaveUp(seconds, state.withLock { $0.step })
        }
    }

    /// The stop is done.
    func end() { ended.signal() }
}
