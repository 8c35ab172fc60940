import ClusterModel
import Simulation

/// Runs seeds until every rare situation was met at least once.
struct Coverage {
    let first: UInt64
    let limit: UInt64
    let workers: Int

    private struct Meeting {
        var seed: UInt64
        var seeds = 0
    }

    /// Every other seed as it is drawn, the rest turned to each theme in turn.
    private func scenario(_ seed: UInt64) -> Scenario {
        var scenario = Scenario.drawn(seed: seed)
        let themes = Scenario.Theme.allCases
        if seed % 2 == 1 { scenario.turn(to: themes[Int(seed / 2 % UInt64(themes.count))], seed: seed) }
        return scenario
    }

    func run() async -> Bool {
        var met: [Situation: Meeting] = [:]
        var seeds = 0
        var failed = 0
        await withTaskGroup(of: Outcome.self) { group in
            var next = first
            func add() {
                guard next - first < limit, met.count < Situation.allCases.count else { return }
                let seed = next
                next += 1
                group.addTask { Soak.outcome(of: seed, scenario(seed)) }
            }
            for _ in 0..<workers { add() }
            while let outcome = await group.next() {
                seeds += 1
                for situation in Situation.allCases where outcome.situations.contains(situation) {
                    met[situation, default: Meeting(seed: outcome.seed)].seeds += 1
                }
                add()
                if seeds % 200 == 0 { say("\(seeds) seeds: \(met.count) of \(Situation.allCases.count) situations") }
                if outcome.failure != nil {
                    failed += 1
                    print(outcome.report)
                }
            }
        }
        for situation in Situation.allCases {
            if let meeting = met[situation] {
                print("\(meeting.seeds) of \(seeds) seeds, as seed \(meeting.seed): \(situation): \(situation.meaning)")
            } else {
                print("never: \(situation): \(situation.meaning)")
            }
        }
        print("\(met.count) of \(Situation.allCases.count) situations met in \(seeds) seeds, \(failed) failed")
        return met.count == Situation.allCases.count && failed == 0
    }
}
