import Simulation
import Testing

#if DEBUG
    /// Rules that replication.md marks are left out once each, to see that the checkers find it.
    struct MutantTests {
        /// STAVE_MUTANT: only the one at this place of the list.
        static let chosen = CampaignTests.number("STAVE_MUTANT").map { [Mutant.all[Int($0)]] } ?? Mutant.all

        @Test("a machine without one of its rules is found out", arguments: chosen)
        func found(_ mutant: Mutant) {
            let found = mutant.find(seeds: CampaignTests.number("STAVE_MUTANT_SEEDS") ?? 45)
            #expect(found != nil, "no seed finds a machine that \(mutant.name)")
        }
    }

    extension Mutant: CustomTestStringConvertible {
        public var testDescription: String { name }
    }
#endif
