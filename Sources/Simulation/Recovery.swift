import ClusterModel
import Replication

extension ReplicationLimits {
    /// As production's nodes run groups.
    static func simulated(_ scenario: Scenario) -> ReplicationLimits {
        var limits = ReplicationLimits()
        limits.catchUpStart = .byTurn
        limits.fileMarks = scenario.fileMarks
        return limits
    }
}

extension Simulator {
    /// Gives catch-ups their turns, one at a time, at a pace that moves.
    func pursueRecovery(_ n: Int) {
        let node = nodes[n]
        let candidates = node.replicas.flatMap(\.group.catchUpCandidates)
        guard !candidates.isEmpty else { return }
        for c in CatchUpTurns.choose(candidates, most: 1) {
            replica(n, c.pg)?.event { $0.catchUpTurnCame(c.node, at: $1) }
        }
        guard chance(10) else { return }
        let pace = Pace.mebibytes(1 << below(9))
        for replica in node.replicas where replica.group.pacedCatchUps > 0 {
            replica.event { $0.paceChanged(pace, at: $1) }
        }
    }
}
