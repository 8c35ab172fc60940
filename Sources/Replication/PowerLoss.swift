import ClusterModel
import Wire

/// After a loss of power (replication.md, 9).
///
/// Invariants:
/// - as long as a member of the record that kept its boot, or was closed in order, is live, those that rebooted are learners;
/// - at least `minInSync` members of the record are back before one of them claims (all, if it has fewer); one that is not
///   known to have rebooted is waited for longest; the greatest log claims, and a learning or absent replica never;
/// - the loss number rises in the claim's own transaction;
/// - what is void on any member is restated: all members then have what the primary has.
extension PlacementGroup {
    func considerPowerLossClaim(_ record: PGRecord, _ map: MapFacts) {
        let own = record.inSync.first { $0.node == local.node && $0.disk == local.disk }
        // Whoever was followed under this record is followed no more: its lease has ended.
        guard let own, own.boot != nil, rebooted || !isRecorded, !state.learning, !absent else {
            claim.alone = nil
            return
        }
        let alone = claim.alone ?? now.now
        claim.alone = alone
        let others = record.inSync.filter { $0.node != local.node && $0.boot != nil }
        askStatus(of: others)
        var present: [ReplicaStatus] = [ReplicaStatus(member: local, continuity: .rebooted, end: history.end)]
        var waitUntil = alone
        for m in others {
            guard isPresent(m.node), let p = peer(m.node), let boot = p.boot else {
                // It may have kept its boot.
                waitUntil = max(waitUntil, alone + limits.keptBootPatience)
                continue
            }
            guard let s = p.status, s.member.disk == m.disk, s.member.boot == boot else {
                waitUntil = max(
                    waitUntil, alone + (boot == m.boot ? limits.keptBootPatience : limits.powerLossPatience))
                continue
            }
            switch s.continuity {
            case .kept:
                mark(.keptBootSparesTheLoss)
                return
            case .rebooted, .learning: present.append(s)
            case .absent: waitUntil = max(waitUntil, alone + limits.powerLossPatience)
            }
        }
        let least = min(map.policy.minInSync, record.inSync.filter { $0.boot != nil }.count)
        guard now.now >= waitUntil, present.count >= least else { return }
        let candidates = present.filter { $0.continuity == .rebooted }
        let best = candidates.max { a, b in
            if a.end != b.end { return mutated(.shortestLogClaims) ? b.end < a.end : a.end < b.end }
            return a.member.node > b.member.node
        }
        guard best?.member.node == local.node else { return }
        // A member that is learning is taken in only where there are too few without it: writes wait for it then.
        var members = candidates.map(\.member)
        for s in present where s.continuity == .learning && members.count < least {
            mark(.learnerTakenInAfterPowerLoss)
            members.append(s.member)
        }
        if members.count < record.inSync.count { mark(.membersDroppedAfterPowerLoss) }
        sendClaim(record, members: members, kind: .powerLoss)
    }

    func askStatus(of members: [Member]) {
        guard now.now >= claim.statusAsked + limits.retry else { return }
        claim.statusAsked = now.now
        for m in members where isReachable(m.node) { send(.askStatus, to: m.node, epoch: record?.epoch ?? .zero) }
    }

    func statusAsked(by node: NodeID, epoch: Epoch) {
        // Continuity is told with respect to the record that the asker knows.
        guard let record, record.epoch >= epoch else {
            emit(.readRecord)
            return
        }
        // The asker may be about to name this member: it is asked again soon.
        if record.primary == nil, isFreshMember, !leavesTrace() { return }
        let continuity: ReplicaStatus.Continuity
        if absent {
            continuity = .absent
        } else if state.learning {
            continuity = .learning
        } else {
            // One that learned all again under a boot that the record does not name yet is no member that kept its boot: it
            // cannot claim by itself, and takes part like those that rebooted.
            continuity = rebooted || !isRecorded ? .rebooted : .kept
        }
        send(
            .status(ReplicaStatus(member: local, continuity: continuity, end: history.end)), to: node, epoch: epoch)
    }

    func statusArrived(from node: NodeID, _ status: ReplicaStatus) {
        guard let i = peers.firstIndex(where: { $0.node == node }) else { return }
        replicaSpoke(node)
        peers[i].status = status
    }

    /// Once every in-sync member has reported its void records: restates their objects, and has the members copy them.
    func settleVoids() {
        guard !reign.voidsSettled else { return }
        for m in reign.members where m.isInSync && !m.reported { return }
        reign.voidsSettled = true
        var voids = state.voids
        for m in reign.members where m.isInSync { voids.append(contentsOf: m.voids) }
        guard let first = voids.map(\.entry.n).min(), !mutated(.voidIgnored) else { return }
        var objects: [ObjectID] = []
        for o in voids.map(\.object).sorted() where objects.last != o { objects.append(o) }
        mark(.voidRestated)
        mark(.voidElsewhereOnly, if: state.voids.isEmpty)
        reign.restated = objects
        let fork = history.name(at: min(first - 1, history.end.n)) ?? .zero
        for i in reign.members.indices where reign.members[i].isInSync {
            reign.members[i].hasRestated = false
            // Who is not attached copies when it is: it would not hear of this attempt, or answers another one.
            guard reign.members[i].phase == .streaming || reign.members[i].phase == .learning || mutated(.voidsOnceOnly)
            else { continue }
            let known = reign.catchUps.first { $0.node == reign.members[i].node }?.fork
            beginCatchUp(i, fork: known.map { $0.n < fork.n ? $0 : fork } ?? fork)
        }
        for object in objects {
            // What is void here is lost; what is void elsewhere only is still here, and was executed.
            let lost = state.voids.filter { $0.object == object }.map(\.request)
            for l in lost { windows.forget(l.session, l.request) }
            if mutated(.lostRequestsStay) {
                for l in lost { windows.record(l.session, l.request, entry: decided, stamp: .zero) }
            }
            name(.restate(Restatement(object: object, lost: lost)), nil, .stable)
        }
        advanceDecided()
    }
}
