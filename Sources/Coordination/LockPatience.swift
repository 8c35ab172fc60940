import CSupport
import ClusterModel
import Foundation

/// How long and in which steps this process waits for SQLite's lock, and what it does about stopped holders.
///
/// `@unchecked Sendable`: SQLite calls back inside a call that the worker's thread makes; nobody else uses it.
final class LockPatience: @unchecked Sendable {
    /// How long one request waits at most.
    static let longest: TimeSpan = .seconds(10)
    /// After this time it is looked who holds the lock.
    private static let beforeLooking: TimeSpan = .milliseconds(250)
    /// Longest pause between two tries, in microseconds: while a commit may be what holds the lock, and after that.
    private static let shortPause: UInt32 = 2_000
    private static let longestPause: UInt32 = 20_000

    private var started = Instant(nanoseconds: 0)
    private var pause: UInt32 = 500
    private var looked = Instant(nanoseconds: 0)
    private let holderWatch: StoppedHolderWatch
    private(set) var holders: [Int32] = []

    init(holderWatch: StoppedHolderWatch) { self.holderWatch = holderWatch }

    /// A new request begins.
    func begin() {
        started = LeaseClock.now
        pause = 500
        looked = started
        holders = []
    }

    /// SQLite found the lock taken: waits a little; false if it has been long enough.
    func waitAndTryAgain() -> Bool {
        let now = LeaseClock.now
        let waited = now - started
        if waited > Self.beforeLooking, now - looked > Self.beforeLooking {
            looked = now
            holders = holderWatch.look(at: now)
        }
        guard waited < Self.longest else { return false }
        usleep(pause)
        pause = min(pause * 2, waited < Self.beforeLooking ? Self.shortPause : Self.longestPause)
        return true
    }
}
