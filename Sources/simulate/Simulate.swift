import ArgumentParser
import Foundation
import Simulation

/// Runs the simulated cluster: many seeds, one seed with its story, or the search for rules that were left out.
///
/// Exit codes: 0 all held, 1 a check failed, 2 wrong usage.
@main
struct Simulate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tools/simulate",
        abstract: "Run the whole cluster on virtual time, with faults that a seed chooses.",
        discussion: """
            Examples:
              tools/simulate --seeds 1000                 seeds 1 to 1000
              tools/simulate --from 5000 --minutes 30     as many as fit, from 5000 on
              tools/simulate --seed 4711                  one seed, with its story
              tools/simulate --mutants                    each rule left out once: is it found?
              tools/simulate --coverage                   is every rare situation met?
            """)

    @Option(help: ArgumentHelp("How many seeds (1000 unless --minutes is given).", valueName: "n"))
    var seeds: UInt64?
    @Option(help: ArgumentHelp("The first seed.", valueName: "seed"))
    var from: UInt64 = 1
    @Option(help: ArgumentHelp("Begin no seed after so many minutes.", valueName: "minutes"))
    var minutes: Double?
    @Option(
        help: ArgumentHelp("Only this seed, with its story; it is run twice and must end the same.", valueName: "seed"))
    var seed: UInt64?
    @Option(
        help: ArgumentHelp(
            "With --seed: what differs from what the seed draws, as a shrunk failure says it.", valueName: "words"))
    var with: String?
    @Flag(help: "Leave out one rule after the other and look for the seed whose checks find it.")
    var mutants = false
    @Flag(help: "Run seeds until every rare situation that the machines mark was met, at most --seeds (5000).")
    var coverage = false
    @Option(help: ArgumentHelp("With --mutants: only those whose name has this in it.", valueName: "text"))
    var only: String?
    @Option(help: .hidden)
    var mutant: String?
    @Flag(help: "One node's disk rots all the while, whatever else the seed chooses.")
    var rot = false
    @Option(
        help: ArgumentHelp(
            "Turn every seed to this theme (\(Scenario.Theme.allCases.map(\.rawValue).joined(separator: ", "))), or to all in turn.",
            valueName: "name or all"))
    var theme: String?
    @Option(help: ArgumentHelp("Seeds to run at once (one for each processor).", valueName: "n"))
    var jobs: Int?

    func validate() throws {
        if let minutes, minutes <= 0 { throw ValidationError("--minutes takes a number above 0") }
        if let jobs, jobs < 1 { throw ValidationError("--jobs takes a number from 1 on") }
        if let seeds, seeds < 1 { throw ValidationError("--seeds takes a number from 1 on") }
        if with != nil, seed == nil { throw ValidationError("--with goes with --seed") }
        if let theme, theme != "all", Scenario.Theme(rawValue: theme) == nil {
            throw ValidationError("--theme \(theme): there is none of this name")
        }
        if theme != nil, seed != nil || mutants { throw ValidationError("--theme goes with many seeds") }
        if only != nil, !mutants { throw ValidationError("--only chooses among --mutants") }
        if coverage, mutants || seed != nil || theme != nil { throw ValidationError("--coverage goes alone") }
        if mutants, seed != nil { throw ValidationError("--mutants chooses its own seeds") }
    }

    func run() async throws {
        let workers = jobs ?? max(1, ProcessInfo.processInfo.activeProcessorCount)
        Traps.tellSeeds()
        let held: Bool
        if let seed {
            held = tell(seed)
        } else if let mutant {
            held = MutantSearch.look(mutant, seeds: seeds)
        } else if mutants {
            held = await MutantSearch(workers: workers, only: only, seeds: seeds).run()
        } else if coverage {
            held = await Coverage(first: from, limit: seeds ?? 5000, workers: workers).run()
        } else {
            let soak = Soak(
                first: from, count: seeds ?? (minutes == nil ? 1000 : .max - from), minutes: minutes, workers: workers,
                scenario: scenario)
            held = await soak.run()
        }
        if !held { throw ExitCode.failure }
    }

    private var scenario: @Sendable (UInt64) -> Scenario {
        let rot = rot
        let themes: [Scenario.Theme?] =
            theme == "all" ? [nil] + Scenario.Theme.allCases : [theme.flatMap { Scenario.Theme(rawValue: $0) }]
        return { seed in
            var scenario = rot ? Scenario.rotting(seed: seed) : Scenario.drawn(seed: seed)
            if let theme = themes[Int(seed % UInt64(themes.count))] { scenario.turn(to: theme, seed: seed) }
            return scenario
        }
    }

    /// One seed with its story, twice.
    private func tell(_ seed: UInt64) -> Bool {
        Traps.begin(seed)
        defer { Traps.end(seed) }
        var scenario = self.scenario(seed)
        if let with, !scenario.with(with, seed: seed) {
            say("--with \(with): not understood")
            return false
        }
        let simulator = Simulator(seed: seed, scenario: scenario)
        simulator.tracing = true
        let outcome = simulator.run()
        let again = Simulator(seed: seed, scenario: scenario).run()
        print(outcome.report)
        guard outcome.replays(as: again) else {
            print("seed \(seed): two runs differ: \(outcome.fingerprint) and \(again.fingerprint)")
            return false
        }
        print("two runs end alike: \(outcome.fingerprint)")
        return outcome.failure == nil
    }
}
