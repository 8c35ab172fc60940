#if DEBUG || STAVE_MUTANTS
    import Replication

    /// A machine with one of its rules left out, and where a seed is known to be near that finds it: a campaign that stays
    /// green without a rule proves nothing about it. The search goes on from there, so that a changed schedule does not break
    /// the test.
    public struct Mutant: Sendable {
        /// What the machine does wrong.
        public var name: String
        /// Where the rule stands.
        public var rule: String
        var mutation: Mutation
        public var firstSeed: UInt64
        public var seeds: UInt64 = 200
        var tune: @Sendable (inout Scenario) -> Void = { _ in }

        /// The seed whose run failed, and what the checker said.
        public struct Finding: Sendable {
            public var seed: UInt64
            public var failure: String
        }

        /// What the mutant runs with that seed.
        public func scenario(_ seed: UInt64) -> Scenario {
            var scenario = Scenario.drawn(seed: seed)
            tune(&scenario)
            scenario.mutation = mutation
            return scenario
        }

        public func find(seeds count: UInt64? = nil) -> Finding? {
            for seed in firstSeed..<firstSeed + (count ?? seeds) {
                // A group that comes to a standstill shows nothing about a rule of safety.
                if let failure = Simulator(seed: seed, scenario: scenario(seed)).run().failure,
                    !failure.hasPrefix("does not settle")
                {
                    return Finding(seed: seed, failure: String(failure.prefix { $0 != "\n" }))
                }
            }
            return nil
        }
    }
#endif
