import ClusterModel
import Testing
import Wire

@testable import Storage

@Suite struct ExchangesTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)
    private let two = NodeID(2)
    private let three = NodeID(3)

    /// What ended, in order.
    private final class Ends {
        var lost: [Int] = []
        var answered: [Int] = []
        func waiter(_ number: Int) -> (Exchanges.Answer) -> Void {
            { answer in
                switch answer {
                case .lost: self.lost.append(number)
                case .response, .flushed: self.answered.append(number)
                }
            }
        }
    }

    @Test(
        "A question without an answer ends at its deadline, sooner if its node is silent, and its late answer is nobody's"
    )
    func deadlines() {
        var exchanges = Exchanges(at: start)
        let ends = Ends()
        let ids = [two, three, two, three].enumerated().map { i, node in
            exchanges.begin(with: node, at: start + .seconds(UInt64(i)), done: ends.waiter(i))
        }
        let isHeard = { $0 == NodeID(2) }
        for waiter in exchanges.expired(at: start + .milliseconds(3900), isHeard: isHeard) { waiter(.lost) }
        #expect(ends.lost == [])
        for waiter in exchanges.expired(at: start + .milliseconds(4100), isHeard: isHeard) { waiter(.lost) }
        #expect(ends.lost == [1], "node 3 has been asked more than three seconds ago")
        #expect(exchanges.end(ids[1], from: three) == nil, "its answer comes too late")
        exchanges.end(ids[0], from: two)?(.flushed(.each([])))
        #expect(ends.answered == [0])
        for waiter in exchanges.expired(at: start + .seconds(60), isHeard: { _ in true }) { waiter(.lost) }
        #expect(ends.lost == [1, 2, 3] && exchanges.count == 0 && exchanges.expiredCount == 3)
        for (id, node) in zip(ids, [two, three, two, three]) { #expect(exchanges.end(id, from: node) == nil) }
    }

    @Test("An answer of another node, or to a question of this node's former process, ends nothing")
    func foreignAnswers() {
        var former = Exchanges(at: start)
        let old = (0..<1000).map { _ in former.begin(with: two, at: start) { _ in } }
        var exchanges = Exchanges(at: start + .milliseconds(1))
        let ends = Ends()
        let ids = (0..<1000).map { exchanges.begin(with: two, at: start, done: ends.waiter($0)) }
        for id in old { #expect(exchanges.end(id, from: two) == nil) }
        for id in ids { #expect(exchanges.end(id, from: three) == nil) }
        #expect(exchanges.count == 1000)
        for waiter in exchanges.lost(two) { waiter(.lost) }
        #expect(ends.lost == Array(0..<1000))
    }
}
