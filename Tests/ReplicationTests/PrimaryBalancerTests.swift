import ClusterModel
import Testing

@testable import Replication

struct PrimaryBalancerTests {
    static func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: (100_000 + milliseconds) * 1_000_000) }
    static func wishes(_ groups: [UInt32], _ cause: PrimaryBalancer.Cause = .placement) -> [PrimaryBalancer.Candidate] {
        groups.map { PrimaryBalancer.Candidate(pg: .data($0), to: NodeID(2), cause: cause) }
    }

    @Test("Primaries go back after ten calm seconds, two at a time and a second apart")
    func pace() {
        var balancer = PrimaryBalancer()
        let all = Self.wishes([1, 2, 3, 4, 5])
        #expect(balancer.choose(all, underWay: 0, at: Self.at(0)).isEmpty)
        #expect(balancer.choose(all, underWay: 0, at: Self.at(9_900)).isEmpty)
        #expect(balancer.choose(all, underWay: 0, at: Self.at(10_000)).map(\.pg) == [.data(1), .data(2)])
        let left = Self.wishes([3, 4, 5])
        #expect(balancer.choose(left, underWay: 0, at: Self.at(10_500)).isEmpty)
        #expect(balancer.choose(left, underWay: 1, at: Self.at(11_000)).map(\.pg) == [.data(3)])
        #expect(balancer.choose(Self.wishes([4, 5]), underWay: 2, at: Self.at(12_100)).isEmpty)
    }

    @Test("A wish that was not there for a while, or names another node, begins anew")
    func hysteresis() {
        var balancer = PrimaryBalancer()
        _ = balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(0))
        _ = balancer.choose([], underWay: 0, at: Self.at(5_000))
        _ = balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(6_000))
        #expect(balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(12_000)).isEmpty)
        let elsewhere = [PrimaryBalancer.Candidate(pg: .data(1), to: NodeID(3), cause: .placement)]
        #expect(balancer.choose(elsewhere, underWay: 0, at: Self.at(17_000)).isEmpty)
        #expect(balancer.choose(elsewhere, underWay: 0, at: Self.at(27_000)) == elsewhere)
    }

    @Test("A node that stands down gives all away at once, and what was given up soon again")
    func standingDown() {
        var balancer = PrimaryBalancer()
        let all = Self.wishes(Array(1...100), .standingDown)
        #expect(balancer.choose(all, underWay: 0, at: Self.at(0)).count == PrimaryBalancer.standingDownLot)
        balancer.gaveUp(.data(1), at: Self.at(10))
        #expect(balancer.choose(Self.wishes([1], .standingDown), underWay: 0, at: Self.at(20)).isEmpty)
        #expect(balancer.choose(Self.wishes([1], .standingDown), underWay: 0, at: Self.at(270)).count == 1)
    }

    @Test("What placement wanted and was given up is left for half a minute, whatever comes between")
    func patience() {
        var balancer = PrimaryBalancer()
        _ = balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(0))
        #expect(balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(10_000)).count == 1)
        balancer.gaveUp(.data(1), at: Self.at(11_000))
        _ = balancer.choose([], underWay: 0, at: Self.at(12_000))
        _ = balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(13_000))
        #expect(balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(40_000)).isEmpty)
        #expect(balancer.choose(Self.wishes([1]), underWay: 0, at: Self.at(41_000)).count == 1)
    }
}
