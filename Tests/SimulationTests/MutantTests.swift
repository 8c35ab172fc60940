import Simulation
import Testing

#if DEBUG
    /// Rules that replication.md marks are left out once each, to see that the checkers find it. `tools/simulate --mutants` looks
    /// for all of them; here are those that a few seeds find.
    struct MutantTests {
        static let quick = [
            "shrinks the set below the least number", "promotes with pieces missing",
            "answers stable writes after the append", "does not raise the loss number", "keeps no request window",
            "waits for a replica whose disk is out of use",
            "answers after it sent the handover",
        ]
        /// With STAVE_MUTANT_SEEDS all are looked for.
        static let chosen =
            CampaignTests.number("STAVE_MUTANT_SEEDS") == nil
            ? Mutant.all.filter { quick.contains($0.name) } : Mutant.all.filter { $0.test == nil }

        @Test("a machine without one of its rules is found out", arguments: chosen)
        func found(_ mutant: Mutant) {
            let found = mutant.find(seeds: CampaignTests.number("STAVE_MUTANT_SEEDS") ?? 60)
            #expect(found != nil, "no seed finds a machine that \(mutant.name)")
        }

        @Test("those that are looked for are in the list")
        func names() {
            #expect(MutantTests.quick.allSatisfy { name in Mutant.all.contains { $0.name == name } })
        }
    }

    extension Mutant: CustomTestStringConvertible {
        public var testDescription: String { name }
    }
#endif
