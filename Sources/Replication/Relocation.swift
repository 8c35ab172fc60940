import ClusterModel
import Wire

/// Moving the group to other disks: when nodes or disks come, drain, or are replaced, placement names other ones. The primary
/// puts them into the record, takes them as learners one after the other, and lets go of who is not placed any more
/// (architecture.md, Names; replication.md, 6, 15).
///
/// Invariants:
/// - a member is let go for placement's sake only while as many others as there are to be copies hold everything and are here:
///   moving never lowers the number of copies, but between two disks of one node;
/// - between two disks of one node, which holds one replica of a group at a time, the member is let go first, and only beyond
///   `minInSync`;
/// - a member that leads is not let go: it hands the group over first;
/// - only a disk that the record names is attached: what lies elsewhere is remains.
extension PlacementGroup {
    /// The disks that should hold the group, by the newest map that this node knows; best first.
    public func placementWanted(_ targets: [PlacementTarget], at now: Moment) {
        self.now = now
        wantedPlacement = targets
    }

    /// Whether a disk that the record does not name may remove what it has of the group: every disk that is to hold the group
    /// does, so nobody can need the remains.
    public static func remainsMayGo(_ record: PGRecord, policy: ReplicationPolicy) -> Bool {
        record.inSync.count >= min(policy.copies, max(record.placement.count, 1))
            && record.placement.allSatisfy(record.holds)
    }

    /// Puts what placement wants into the record, or lets one member go that is not placed any more.
    func considerPlacement() {
        guard reign.promised, reign.handover == nil, proposal == nil, let record, let map, let version = recordVersion
        else { return }
        // Also before writes are served: a member whose disk was replaced is waited for until the new one is in its place.
        if let wanted = wantedPlacement, !wanted.isEmpty, wanted != record.placement {
            var new = record
            new.epoch = record.epoch.next
            new.placement = wanted
            propose(new, base: record, version: version, requiresEnded: nil, raises: nil, kind: .placement)
            return
        }
        guard reign.serving, let leaving = memberToLetGo(record, map) else { return }
        var new = record
        new.epoch = record.epoch.next
        new.inSync.removeAll { $0.node == leaving }
        propose(new, base: record, version: version, requiresEnded: nil, raises: nil, kind: .removal([leaving]))
    }

    private func memberToLetGo(_ record: PGRecord, _ map: MapFacts) -> NodeID? {
        let strangers = record.inSync.filter { !record.places($0.node, $0.disk) && $0.node != local.node }
        guard !strangers.isEmpty else { return nil }
        let sound = record.inSync.filter { isSound($0.node) }
        let enough = min(map.policy.copies, max(record.placement.count, 1))
        func mayGo(_ m: Member, leaving least: Int) -> Bool {
            sound.filter { $0.node != m.node }.count >= least && record.inSync.count - 1 >= map.policy.minInSync
        }
        // Who is away goes first.
        let elsewhere = strangers.filter { m in !record.placement.contains { $0.node == m.node } }
        let order = elsewhere.filter { !isSound($0.node) } + elsewhere.filter { isSound($0.node) }
        if let m = order.first(where: { mayGo($0, leaving: enough) }) { return m.node }
        guard elsewhere.isEmpty, reign.catchUps.isEmpty else { return nil }
        // The others are all in place: now those that move within their node, one after the other.
        let others = record.placement.filter { !record.holds($0) && $0.node != local.node }
        guard others.allSatisfy({ t in strangers.contains { $0.node == t.node } }) else { return nil }
        return strangers.first { m in isSound(m.node) && mayGo(m, leaving: map.policy.minInSync) }?.node
    }

    /// Holds everything, and is here.
    func isSound(_ node: NodeID) -> Bool {
        if node == local.node { return true }
        return isPresent(node)
            && reign.members.contains { $0.node == node && $0.isInSync && $0.isComplete && $0.phase == .streaming }
    }

    /// The replica is given up: what it holds of payloads is dropped. No event may reach it any more.
    public func retired() {
        forgetFollowing()
        for waiting in reign.waiting { drop(waiting.request.payload) }
        for write in reign.parked { drop(write.request.payload) }
        for read in reign.reads { drop(read.request.payload) }
        for asked in reign.asked { drop(asked.request.payload) }
        reign.waiting = []
        reign.parked = []
        reign.reads = []
        reign.asked = []
        cutTail(after: decided)
    }

    /// The record has the new placement: who was learning for the old one stops.
    func placementWon() {
        guard role == .primary, let record else { return }
        for c in reign.catchUps where !isPromoting(c.node) {
            let member = reign.members.first { $0.node == c.node }?.member
            if let member, record.names(c.node, member.disk) { continue }
            mark(.learnerNotPlacedAnyMore)
            abandonCatchUp(c.node)
        }
        emit(.report(.placed(record.placement.map(\.node))))
    }
}
