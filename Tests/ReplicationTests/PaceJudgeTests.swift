import ClusterModel
import Replication
import Testing
import Wire

@Suite struct PaceJudgeTests {
    private static let one = NodeID(1)
    private static let two = NodeID(2)
    private static let three = NodeID(3)

    /// Each second of `seconds`, ten samples of each node; gives the changes with their seconds.
    private func run(
        _ judge: inout PaceJudge, seconds: ClosedRange<UInt64>, _ milliseconds: (NodeID) -> UInt64?
    ) -> [(second: UInt64, node: NodeID, verdict: PaceJudge.Verdict)] {
        var found: [(second: UInt64, node: NodeID, verdict: PaceJudge.Verdict)] = []
        for second in seconds {
            for i in 0..<10 {
                let at = Instant(nanoseconds: second * 1_000_000_000 + UInt64(i) * 1_000_000)
                for node in [Self.one, Self.two, Self.three] {
                    if let took = milliseconds(node) { judge.took(node, .milliseconds(took), at: at) }
                }
            }
            let now = Instant(nanoseconds: second * 1_000_000_000 + 500_000_000)
            found += judge.judge(at: now).map { (second, $0.node, $0.verdict) }
        }
        return found
    }

    @Test("A disk that stays far slower than the others is slow first, then out, and is tried again after a while")
    func stepByStep() throws {
        var judge = PaceJudge(local: Self.one)
        #expect(run(&judge, seconds: 1...40) { _ in 3 }.isEmpty)
        let found = run(&judge, seconds: 41...280) { $0 == Self.two ? 400 : 3 }
        #expect(found.map(\.node) == [Self.two, Self.two, Self.two, Self.two])
        #expect(found.map(\.verdict) == [.slow, .out, .good, .slow])
        try #require(found.count == 4)
        // Older samples are in the majority at first; then each step takes its time.
        #expect((45...75).contains(found[0].second) && found[1].second >= found[0].second + 50)
        #expect(found[2].second >= found[1].second + 119)
    }

    @Test("A disk that gets well is good again, but not at once")
    func recovers() {
        var judge = PaceJudge(local: Self.one)
        let slow = run(&judge, seconds: 1...20) { $0 == Self.three ? 90 : 4 }
        #expect(slow.map(\.verdict) == [.slow])
        #expect(judge.standings.map(\.node) == [Self.three])
        let good = run(&judge, seconds: 21...100) { _ in 4 }
        #expect(good.map(\.verdict) == [.good] && good[0].second > 50)
        #expect(judge.standings.isEmpty)
    }

    @Test("When all disks are slow, when there is nobody to compare with, and where little is known, nobody is judged")
    func unjudged() {
        var judge = PaceJudge(local: Self.one)
        #expect(run(&judge, seconds: 1...120) { _ in 700 }.isEmpty)
        judge = PaceJudge(local: Self.one)
        #expect(run(&judge, seconds: 1...120) { $0 == Self.one ? 700 : nil }.isEmpty)
        judge = PaceJudge(local: Self.one)
        for second: UInt64 in 1...120 {
            let at = Instant(nanoseconds: second * 1_000_000_000)
            if second % 12 == 0 { judge.took(Self.two, .milliseconds(900), at: at) }
            for _ in 0..<10 { judge.took(Self.one, .milliseconds(2), at: at) }
            #expect(judge.judge(at: at).isEmpty)
        }
    }

    @Test("A fast disk beside faster ones is not slow, however many times they are faster")
    func fastEnough() {
        var judge = PaceJudge(local: Self.one)
        #expect(run(&judge, seconds: 1...120) { $0 == Self.two ? 40 : 1 }.isEmpty)
    }

    @Test(
        "A node whose groups have nothing to do believes what others say of its disk, until they stop or it knows better"
    )
    func word() {
        var judge = PaceJudge(local: Self.one)
        let word = PaceWord(median: .milliseconds(900), others: .milliseconds(4))
        var found: [(second: UInt64, verdict: PaceJudge.Verdict)] = []
        for second: UInt64 in 1...60 {
            let now = Instant(nanoseconds: second * 1_000_000_000)
            if second < 20 { judge.told(word, at: now) }
            found += judge.judge(at: now).map { (second, $0.verdict) }
            #expect(judge.words.isEmpty)
        }
        #expect(found.map(\.verdict) == [.slow, .good])
        #expect(found.first?.second == 1 && found.last.map { (50...60).contains($0.second) } == true)

        judge = PaceJudge(local: Self.one)
        judge.told(word, at: Instant(nanoseconds: 1_000_000_000))
        #expect(run(&judge, seconds: 1...4) { _ in 3 }.isEmpty)
    }

    @Test("Others are told that they are slow, and how much")
    func words() {
        var judge = PaceJudge(local: Self.one)
        _ = run(&judge, seconds: 1...20) { $0 == Self.three ? 90 : 4 }
        #expect(judge.words.map(\.node) == [Self.three])
        #expect(judge.words.first?.word == PaceWord(median: .milliseconds(90), others: .milliseconds(4)))
    }
}
