import ClusterModel
import Wire

/// What a primary sees of its members' disks, and what becomes of members that are far slower than the others (`PaceJudge`).
///
/// Invariants:
/// - a slow member is let go only beyond `minInSync`, and kept out only while every other member holds everything and is here:
///   it is always better than none;
/// - a slow node leads nothing that others can lead, as if it were suspended.
extension PlacementGroup {
    /// Something that members are asked to make stable, one at a time.
    struct StableProbe {
        var n: UInt64
        var since: Instant
        /// When it was last told that it takes long.
        var toldAt: Instant
    }

    /// The nodes that are judged slow, and those that are out; ascending, the latter among the former.
    public func pacesJudged(slow: [NodeID], out: [NodeID], at now: Moment) {
        self.now = now
        slowNodes = slow
        outNodes = out
    }

    /// Everything through `n` is to be made stable by all.
    func beginProbes(through n: UInt64) {
        let probe = StableProbe(n: n, since: now.now, toldAt: now.now)
        if reign.ownProbe == nil, stable.n < n { reign.ownProbe = probe }
        for i in reign.members.indices where reign.members[i].probe == nil {
            let m = reign.members[i]
            if m.phase == .streaming, m.isComplete, m.stable < n { reign.members[i].probe = probe }
        }
    }

    func ownProbeMoved() {
        guard let p = reign.ownProbe, stable.n >= p.n else { return }
        reign.ownProbe = nil
        emit(.stableAfter(local.node, now.now - p.since))
    }

    func probeMoved(_ i: Int) {
        guard let p = reign.members[i].probe, reign.members[i].stable >= p.n else { return }
        reign.members[i].probe = nil
        emit(.stableAfter(reign.members[i].node, now.now - p.since))
    }

    /// What takes long is told every second: it may never end.
    func probesTicked() {
        if let p = reign.ownProbe, now.now >= p.toldAt + .seconds(1) {
            reign.ownProbe?.toldAt = now.now
            emit(.stableAfter(local.node, now.now - p.since))
        }
        for i in reign.members.indices {
            guard let p = reign.members[i].probe else { continue }
            if reign.members[i].phase != .streaming || !isPresent(reign.members[i].node) {
                // A member that is away is another matter.
                reign.members[i].probe = nil
            } else if now.now >= p.toldAt + .seconds(1) {
                reign.members[i].probe?.toldAt = now.now
                emit(.stableAfter(reign.members[i].node, now.now - p.since))
            }
        }
    }

    /// Whether the group does better without that node.
    func isKeptOut(_ node: NodeID) -> Bool {
        guard outNodes.contains(node), node != local.node, let record, let map else { return false }
        let others = record.inSync.filter { $0.node != node }
        let isKept = others.count >= map.policy.minInSync && others.allSatisfy { isSound($0.node) }
        mark(.slowMemberKeptOut, if: isKept)
        return isKept
    }
}
