import ClusterModel
import Testing

@testable import Replication

struct CatchUpTurnsTests {
    private func candidate(
        _ n: UInt32, inSync: Int = 2, _ standing: CatchUpTurns.Standing = .waiting
    ) -> CatchUpTurns.Candidate {
        CatchUpTurns.Candidate(pg: .data(n), node: NodeID(3), inSync: inSync, standing: standing)
    }

    @Test("Of many, four begin, those with the fewest members in sync first, then those with the lowest number")
    func order() {
        let all = [
            candidate(0), candidate(1), candidate(2, inSync: 1), candidate(3), candidate(4), candidate(5, inSync: 1),
        ]
        #expect(CatchUpTurns.choose(all).map(\.pg) == [.data(2), .data(5), .data(0), .data(1)])
    }

    @Test("What is under way keeps its place; what only waits for its promotion takes none")
    func places() {
        let all = [
            candidate(0, .underWay), candidate(1), candidate(2, .ending), candidate(3, .underWay), candidate(4),
            candidate(5, .underWay), candidate(6, inSync: 1),
        ]
        #expect(CatchUpTurns.choose(all).map(\.pg) == [.data(6)])
        #expect(CatchUpTurns.choose(all + [candidate(7, .underWay)]).isEmpty)
        #expect(CatchUpTurns.choose(all + [candidate(7, .underWay), candidate(8, .underWay)]).isEmpty)
    }
}
