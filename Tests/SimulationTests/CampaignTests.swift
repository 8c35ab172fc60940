import Simulation
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Campaigns of seeds. STAVE_SEEDS: how many; STAVE_SEED: only this one, with its story.
struct CampaignTests {
    static func number(_ name: String) -> UInt64? {
        guard let text = getenv(name) else { return nil }
        return UInt64(String(cString: text))
    }

    @Test("whatever fails, and in whatever order, what was promised is kept and the replicas agree")
    func campaign() {
        if let seed = CampaignTests.number("STAVE_SEED") {
            let simulator = Simulator(seed: seed, scenario: .drawn(seed: seed))
            simulator.tracing = true
            let outcome = simulator.run()
            #expect(outcome.failure == nil, "\(outcome.report)")
            return
        }
        let count = CampaignTests.number("STAVE_SEEDS") ?? 30
        let first = CampaignTests.number("STAVE_FIRST_SEED") ?? 1
        var answered = 0
        var failures = 0
        let isTold = CampaignTests.number("STAVE_TELL_SEEDS") != nil
        for seed in first..<first + count {
            // Before the run: a trap in a machine ends the process.
            if isTold { print("seed \(seed)") }
            let outcome = Simulator(seed: seed, scenario: .drawn(seed: seed)).run()
            answered += outcome.answered
            if outcome.failure != nil {
                failures += 1
                if failures <= 3 {
                    Issue.record("\(outcome.report)")
                } else {
                    Issue.record("seed \(seed): \(outcome.failure ?? "")")
                }
            }
        }
        print("\(count) seeds, \(answered) operations answered, \(failures) failed")
    }

    @Test("a disk that rots under everything else that fails gives nobody a wrong byte, and is whole again at the end")
    func rot() {
        let one = CampaignTests.number("STAVE_SEED")
        let count = one == nil ? CampaignTests.number("STAVE_SEEDS") ?? 20 : 1
        var mended = 0
        var damaged = 0
        for seed in (one ?? 1)..<(one ?? 1) + count {
            let simulator = Simulator(seed: seed, scenario: .rotting(seed: seed))
            simulator.tracing = one != nil
            let outcome = simulator.run()
            #expect(outcome.failure == nil, "\(outcome.report)")
            mended += outcome.counts["mended"] ?? 0
            damaged += outcome.counts["damaged rows"] ?? 0
        }
        #expect(mended > 0 || one != nil, "the campaign meets rot")
        #expect(damaged > 0 || one != nil, "the campaign meets rot of rows")
        print("\(count) seeds, \(mended) blocks mended, \(damaged) namespaces made anew")
    }

    @Test(
        "when most disks are destroyed, the rest goes on once the loss is accepted, and whoever comes back agrees with it"
    )
    func destructions() {
        let one = CampaignTests.number("STAVE_SEED")
        let count = one == nil ? CampaignTests.number("STAVE_SEEDS") ?? 12 : 1
        let first = one ?? CampaignTests.number("STAVE_FIRST_SEED") ?? 1
        var accepted = 0
        for seed in first..<first + count {
            var scenario = Scenario.drawn(seed: seed)
            guard scenario.with("theme=destructions", seed: seed) else {
                Issue.record("the theme is known")
                return
            }
            let simulator = Simulator(seed: seed, scenario: scenario)
            simulator.tracing = one != nil
            let outcome = simulator.run()
            #expect(outcome.failure == nil, "\(outcome.report)")
            accepted += outcome.counts["losses accepted"] ?? 0
        }
        #expect(accepted > 0 || one != nil, "the campaign accepts losses")
        print("\(count) seeds, \(accepted) losses accepted")
    }

    @Test("a process is not silent because the one before it was stopped")
    func silenceOfAnEarlierProcess() {
        let outcome = Simulator(seed: 6185, scenario: .drawn(seed: 6185)).run()
        #expect(outcome.failure == nil, "\(outcome.report)")
    }

    @Test(
        "a node that is frozen while it is about to stop, stops when it goes on", arguments: [5463, 5806] as [UInt64])
    func frozenWhileLeaving(_ seed: UInt64) {
        let outcome = Simulator(seed: seed, scenario: .drawn(seed: seed)).run()
        #expect(outcome.failure == nil, "\(outcome.report)")
    }

    @Test("the same seed gives the same run")
    func determinism() {
        for seed: UInt64 in [3, 7, 11] {
            let a = Simulator(seed: seed, scenario: .drawn(seed: seed)).run()
            let b = Simulator(seed: seed, scenario: .drawn(seed: seed)).run()
            #expect(a.replays(as: b), "seed \(seed): \(a.fingerprint) and \(b.fingerprint)")
        }
    }
}
