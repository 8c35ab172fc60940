import Foundation
import Synchronization

/// A broken invariant of a machine ends the process by a signal; then the seeds that were under way are named.
enum Traps {
    private static let underWay = Mutex<[UInt64]>([])

    static func begin(_ seed: UInt64) { underWay.withLock { $0.append(seed) } }
    static func end(_ seed: UInt64) {
        underWay.withLock { seeds in
            if let i = seeds.firstIndex(of: seed) { seeds.remove(at: i) }
        }
    }

    /// The process is about to die: what the handler does beyond what signals allow can only fail to tell.
    static func tellSeeds() {
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS] {
            signal(number) { caught in
                signal(caught, SIG_DFL)
                fflush(nil)
                let seeds = Traps.underWay.withLockIfAvailable { $0 } ?? []
                say(
                    "a machine trapped; one of the seeds \(seeds.map(String.init).joined(separator: ", ")): "
                        + "tools/simulate --seed N for each")
                raise(caught)
            }
        }
    }
}
