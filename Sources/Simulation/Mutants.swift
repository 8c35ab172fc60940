#if DEBUG || STAVE_MUTANTS
    import Replication
    import Store

    /// A machine with one of its rules left out, and where a seed is known to be near that finds it: a campaign that stays
    /// green without a rule proves nothing about it. The search goes on from there, so that a changed schedule does not break
    /// the test.
    public struct Mutant: Sendable {
        /// What the machine does wrong.
        public var name: String
        /// Where the rule stands.
        public var rule: String
        var mutation: Mutation?
        var storeMutation: StoreMutation?
        public var firstSeed: UInt64
        public var seeds: UInt64 = 400
        /// What the seeds' scenarios are turned to; nil: to what each draws.
        var theme: Scenario.Theme?
        /// Without the rule, groups come to a standstill.
        var stands = false
        /// No seed shows it, because another rule keeps the promise: the test that takes the machine through the steps, and fails
        /// without the rule. Why stands beside that test.
        public var test: String?

        /// The seed whose run failed, and what the checker said.
        public struct Finding: Sendable {
            public var seed: UInt64
            public var failure: String
        }

        /// What the mutant runs with that seed.
        public func scenario(_ seed: UInt64) -> Scenario {
            var scenario = Scenario.drawn(seed: seed)
            if let theme { scenario.turn(to: theme, seed: seed) }
            scenario.mutation = mutation
            scenario.storeMutation = storeMutation
            return scenario
        }

        /// The first seed that fails with the mutation, and not without it. `begin` and `end` hear which is under way with it.
        public func find(
            seeds count: UInt64? = nil, begin: (UInt64) -> Void = { _ in }, end: (UInt64) -> Void = { _ in }
        ) -> Finding? {
            for seed in firstSeed..<firstSeed + (count ?? seeds) {
                var scenario = scenario(seed)
                begin(seed)
                let found = failure(seed, scenario)
                end(seed)
                guard let failure = found else { continue }
                scenario.mutation = nil
                scenario.storeMutation = nil
                if self.failure(seed, scenario) != nil { continue }
                return Finding(seed: seed, failure: String(failure.prefix { $0 != "\n" }))
            }
            return nil
        }

        /// A group that comes to a standstill shows nothing about a rule of safety.
        private func failure(_ seed: UInt64, _ scenario: Scenario) -> String? {
            Simulator(seed: seed, scenario: scenario).run().failure.flatMap {
                $0.hasPrefix("does not settle") && !stands ? nil : $0
            }
        }
    }
#endif
