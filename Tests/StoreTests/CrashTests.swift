import ClusterModel
import Simulation
import Store
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// How many seeds the random tests run: STAVE_SEEDS multiplies.
func seeds(_ standard: Int) -> Range<UInt64> {
    guard let text = getenv("STAVE_SEEDS"), let n = UInt64(String(cString: text)) else {
        return 1..<UInt64(standard + 1)
    }
    return 1..<(UInt64(standard) * n + 1)
}

@Suite struct CrashTests {
    @Test func aDiskThatLosesPowerAtAnyInstantKeepsWhatWasStableAndNothingHalf() {
        var voids = 0
        for seed in seeds(30) {
            let h = History(seed: seed)
            for _ in 0..<3 {
                for _ in 0..<(20 + h.random.below(120)) { h.act() }
                h.crash(.power)
            }
            voids += h.voidsSeen
            h.host.settle()
            h.checkSpace("at the end")
        }
        #expect(voids > 0, "the campaign meets void records")
    }

    @Test func aKilledProcessLosesNothingThatWasAppended() {
        for seed in seeds(20) {
            let h = History(seed: 10_000 + seed)
            for _ in 0..<3 {
                for _ in 0..<(20 + h.random.below(120)) { h.act() }
                h.crash(.kill)
            }
            h.host.settle()
            h.checkSpace("at the end")
        }
    }

    @Test func kindsOfCrashesFollowOneAnother() {
        for seed in seeds(30) {
            let h = History(seed: 20_000 + seed)
            for _ in 0..<5 {
                for _ in 0..<(5 + h.random.below(80)) { h.act() }
                h.crash([.kill, .power, .power, .close][h.random.below(4)])
            }
            h.host.settle()
            h.checkSpace("at the end")
        }
    }

    @Test func aCrashAtEveryStepOfOneHistoryIsSurvived() {
        for seed in [UInt64(5), 77] {
            let whole = History(seed: seed)
            for _ in 0..<40 { whole.act() }
            let steps = whole.host.steps
            for stop in stride(from: 1, through: steps, by: 4) {
                for kind in [Crash.kill, .power] {
                    let h = History(seed: seed)
                    h.stop = stop
                    var acts = 0
                    while h.host.steps < stop, acts < 40 {
                        h.act()
                        acts += 1
                    }
                    h.crash(kind)
                    if stop % 9 == 1 {
                        h.host.settle()
                        h.checkSpace("after a crash at step \(stop)")
                    }
                }
            }
        }
    }
}
