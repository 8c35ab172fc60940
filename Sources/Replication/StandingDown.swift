import ClusterModel
import Wire

/// Who leads the group where there is a choice: a node that is suspended, or about to stop, does not (replication.md, 8).
///
/// Invariants:
/// - a suspended node, or one that leaves, takes no group over, and claims one only when it is suspended and nobody else does;
/// - a node that leaves is removed before it is gone, so that nobody waits for its silence; never below `minInSync`;
/// - who leaves together with this node is not removed by it: both come back with what they have.
extension PlacementGroup {
    /// The node of this replica is about to stop.
    public func leavingBegan(at now: Moment) {
        self.now = now
        isLeaving = true
    }

    /// That node is about to stop, in order.
    public func peerLeaving(_ node: NodeID, at now: Moment) {
        self.now = now
        guard let i = peers.firstIndex(where: { $0.node == node }), peers[i].connected, peers[i].leavingSince == nil
        else {
            return
        }
        peers[i].leavingSince = now.now
        // What it would learn is of no use to the group any more.
        if role == .primary, !isPromoting(node), reign.catchUps.contains(where: { $0.node == node }) {
            abandonCatchUp(node)
        }
    }

    func isLeaving(_ node: NodeID) -> Bool { peers.contains { $0.node == node && $0.leavingSince != nil } }

    /// Whether that node should lead nothing.
    func standsDown(_ node: NodeID) -> Bool {
        (map?.isSuspended(node) ?? false) || slowNodes.contains(node)
            || (node == local.node ? isLeaving : isLeaving(node))
    }

    /// A member that leaves, and has been heard of long enough ago for this node to have heard if it should leave, too.
    func isToBeLetGo(_ node: NodeID) -> Bool {
        guard !isLeaving, let since = peer(node)?.leavingSince else { return false }
        return now.now >= since + limits.leavingGrace
    }

    /// The node that placement would have lead the group, of those that can now; nil while this replica does not serve.
    public var preferredPrimary: NodeID? {
        guard isServing, let record else { return nil }
        let order = record.placement.filter(record.holds).map(\.node) + record.inSync.map(\.node)
        return order.first { !standsDown($0) && isSound($0) }
    }

    /// Whether every member is here and nobody learns: then a change of the primary is hardly felt.
    public var isCalm: Bool {
        isServing && proposal == nil && reign.handover == nil && reign.catchUps.isEmpty && reign.waiting.isEmpty
            && reign.members.allSatisfy {
                !$0.isNeeded || $0.isComplete && $0.phase == .streaming && isPresent($0.node)
            }
    }

    /// Where the group should go from here, if anywhere.
    public var handoverCandidate: PrimaryBalancer.Candidate? {
        guard let to = preferredPrimary, to != local.node, !isHandingOver, mayHandOver(to: to) else { return nil }
        if standsDown(local.node) { return PrimaryBalancer.Candidate(pg: pg, to: to, cause: .standingDown) }
        return isCalm ? PrimaryBalancer.Candidate(pg: pg, to: to, cause: .placement) : nil
    }

    /// Whether the group still needs this node, which is about to leave, though it could do without: it leads, or the record
    /// names it beside enough others.
    public var holdsLeaving: Bool {
        guard let record, let map else { return false }
        if isHandingOver || handoverCandidate != nil { return true }
        if role == .primary { return preferredPrimary.map { $0 != local.node } ?? false }
        guard record.inSyncMember(on: local.node) != nil, let primary = record.primary, primary != local.node else {
            return false
        }
        return isPresent(primary) && !isLeaving(primary) && record.inSync.count > map.policy.minInSync
    }
}
