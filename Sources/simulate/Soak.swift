import Foundation
import Simulation

/// Many seeds, several at once; a line of progress every few seconds, totals at the end.
struct Soak {
    let first: UInt64
    let count: UInt64
    let minutes: Double?
    let workers: Int
    let scenario: @Sendable (UInt64) -> Scenario

    /// Of this many seeds one is run twice, to see that it ends the same.
    private static let replayed: UInt64 = 50
    private static let shownFailures = 3

    private struct Totals {
        var seeds = 0
        var answered = 0
        var milliseconds: UInt64 = 0
        var steps = 0
        var failed: [UInt64] = []
        var account = FaultAccount()
        /// The failure with the fewest steps.
        var toShrink: Outcome?
    }

    func run() async -> Bool {
        let start = ContinuousClock.now
        let deadline = minutes.map { start + .seconds($0 * 60) }
        var totals = Totals()
        var told = start
        await withTaskGroup(of: Outcome.self) { group in
            var next = first
            func add() {
                if next - first >= count { return }
                if let deadline, ContinuousClock.now >= deadline { return }
                let seed = next
                next += 1
                group.addTask { [scenario] in Soak.outcome(of: seed, scenario(seed)) }
            }
            for _ in 0..<workers { add() }
            while let outcome = await group.next() {
                add()
                take(outcome, into: &totals)
                let now = ContinuousClock.now
                if now - told >= .seconds(5) {
                    told = now
                    say(line(totals, now - start))
                }
            }
        }
        if let smallest = totals.toShrink { shrink(smallest) }
        for kind in Scenario.Fault.allCases {
            let line = totals.account.lines[Int(kind.rawValue)]
            print("\(kind): \(line.times) times, in effect in \(line.steps) steps")
        }
        print(line(totals, ContinuousClock.now - start) + String(format: ", %.0f s of CPU", Soak.processorSeconds))
        return totals.failed.isEmpty
    }

    /// A failure, too, when it is run twice and does not end the same.
    static func outcome(of seed: UInt64, _ scenario: Scenario) -> Outcome {
        Traps.begin(seed)
        defer { Traps.end(seed) }
        var outcome = Simulator(seed: seed, scenario: scenario).run()
        if seed % replayed == 0, outcome.failure == nil {
            let again = Simulator(seed: seed, scenario: scenario).run()
            if !outcome.replays(as: again) {
                outcome.failure = "two runs differ: \(outcome.fingerprint) and \(again.fingerprint)"
            }
        }
        return outcome
    }

    /// The first failure, made as small as it goes.
    private func shrink(_ outcome: Outcome) {
        say("making seed \(outcome.seed) smaller")
        var shrinking = Shrinking(seed: outcome.seed, scenario: scenario(outcome.seed), outcome: outcome)
        shrinking.run()
        print("\nsmaller, after \(shrinking.runs) runs:\n\(shrinking.outcome.report)")
    }

    private func take(_ outcome: Outcome, into totals: inout Totals) {
        totals.seeds += 1
        totals.answered += outcome.answered
        totals.milliseconds += outcome.virtualMilliseconds
        totals.steps += outcome.steps
        totals.account.add(outcome.account)
        guard let failure = outcome.failure else { return }
        totals.failed.append(outcome.seed)
        if outcome.steps < totals.toShrink?.steps ?? .max { totals.toShrink = outcome }
        print(totals.failed.count <= Soak.shownFailures ? outcome.report : "seed \(outcome.seed): \(failure)")
        fflush(nil)
    }

    /// Of this process so far.
    private static var processorSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func line(_ totals: Totals, _ elapsed: Duration) -> String {
        let seconds = max(Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18, 0.001)
        return String(
            format:
                "%d seeds from %llu (%.0f a minute), %.1f hours of virtual time, %d operations, %d steps, %d failed",
            totals.seeds, first, Double(totals.seeds) * 60 / seconds, Double(totals.milliseconds) / 3_600_000,
            totals.answered, totals.steps, totals.failed.count)
    }
}

/// Progress, on standard error: standard output is for results.
func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
