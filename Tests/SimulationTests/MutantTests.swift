import Replication
import Simulation
import Testing

#if DEBUG
    /// Each rule that replication.md marks is left out once, to see that the checkers find it: a campaign that stays green
    /// without a rule proves nothing about it. `firstSeed` is where a failure is known to be near; the search goes on from
    /// there, so that a changed schedule does not break the test.
    struct MutantTests {
        struct Mutant: Sendable, CustomTestStringConvertible {
            var name: String
            var rule: Mutation
            var firstSeed: UInt64
            var seeds: UInt64 = 45
            var tune: @Sendable (inout Scenario) -> Void = { _ in }
            var testDescription: String { name }
        }

        static let mutants: [Mutant] = [
            Mutant(name: "answers before the last backup has the entry", rule: .answerBeforeLastBackup, firstSeed: 11) {
                $0.nodes = 3
                $0.copies = 3
                $0.faults = [.kill, .pause, .partition, .reset]
            },
            Mutant(name: "counts a removal as won when it is sent", rule: .removalTakenAsWon, firstSeed: 150) {
                $0.faults = [.pause, .partition, .coordinatorAway, .kill]
                $0.nodes = 3
                $0.copies = 3
            },
            Mutant(name: "shrinks the set below the least number", rule: .belowMinInSync, firstSeed: 2),
            Mutant(name: "promotes with pieces missing", rule: .promoteWithPiecesMissing, firstSeed: 18),
            Mutant(name: "answers stable writes after the append", rule: .stableAfterAppendOnly, firstSeed: 1) {
                $0.faults = [.powerLossOfAll]
            },
            Mutant(name: "does not raise the loss number", rule: .lossNumberNotRaised, firstSeed: 3) {
                $0.faults = [.powerLossOfAll]
            },
            Mutant(name: "waits for a replica whose disk is out of use", rule: .goneUnheard, firstSeed: 33),
            Mutant(name: "keeps no request window", rule: .noRequestWindow, firstSeed: 4),
        ]

        /// Rules that no seed has shown on the real store so far; looked for only when STAVE_MUTANT_SEEDS says in how many.
        static let sought: [Mutant] = [
            Mutant(
                name: "serves before all members hold the log", rule: .serveBeforeAllHoldTheLog, firstSeed: 81
            ) {
                $0.nodes = 3
                $0.copies = 3
                $0.faults = [.kill, .pause, .partition, .powerLossOfAll]
            },
            Mutant(name: "answers reads of its tail while it activates", rule: .answerReadsOfTheTail, firstSeed: 3) {
                $0.nodes = 3
                $0.copies = 3
                $0.faults = [.kill, .pause, .newSession]
            },
            Mutant(name: "promotes what is not synced", rule: .promoteNotSynced, firstSeed: 38) {
                $0.nodes = 3
                $0.copies = 3
                $0.faults = [.powerLoss, .powerLossOfAll, .kill]
            },
            Mutant(name: "reads pieces over undecided entries", rule: .pieceOverUndecided, firstSeed: 1) {
                $0.nodes = 3
                $0.copies = 3
                $0.dataGroups = 1
                $0.metadata = false
                $0.sessions = 3
                $0.lanes = 3
                $0.files = 12
                $0.cuts = false
                $0.faults = [.killAgain]
            },
            Mutant(name: "ignores void records", rule: .voidIgnored, firstSeed: 34) {
                $0.dataGroups = 1
                $0.metadata = false
                $0.faults = [.powerLossOfAll]
            },
        ]

        static func findFailure(_ mutant: Mutant) -> (seed: UInt64, failure: String)? {
            let count = CampaignTests.number("STAVE_MUTANT_SEEDS") ?? mutant.seeds
            for seed in mutant.firstSeed..<mutant.firstSeed + count {
                var scenario = Scenario.drawn(seed: seed)
                mutant.tune(&scenario)
                scenario.mutations = mutant.rule
                // A group that comes to a standstill shows nothing about a rule of safety.
                if let failure = Simulator(seed: seed, scenario: scenario).run().failure,
                    !failure.hasPrefix("does not settle")
                {
                    return (seed, failure)
                }
            }
            return nil
        }

        /// STAVE_MUTANT: only the one at this place of the list.
        static let chosen = chosenMutants()
        private static func chosenMutants() -> [Mutant] {
            let all = CampaignTests.number("STAVE_MUTANT_SEEDS") == nil ? mutants : mutants + sought
            return CampaignTests.number("STAVE_MUTANT").map { [all[Int($0)]] } ?? all
        }

        @Test("a machine without one of its rules is found out", arguments: chosen)
        func found(_ mutant: Mutant) {
            let found = MutantTests.findFailure(mutant)
            #expect(found != nil, "no seed finds a machine that \(mutant.name)")
            if CampaignTests.number("STAVE_SHOW_MUTANTS") != nil, let found {
                print("MUTANT \(mutant.name): seed \(found.seed): \(found.failure.prefix(160))")
            }
        }
    }
#endif
