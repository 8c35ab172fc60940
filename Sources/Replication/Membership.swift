import ClusterModel
import Wire

/// A change of the record whose outcome is not known.
struct PendingProposal {
    var proposal: Proposal
    var base: Epoch
    var kind: ProposalKind
    /// An earlier sending may have been made, or may still be.
    var mayHaveBeenMade = false
    /// When to send it again; nil while it is under way.
    var resendAt: Instant?
}

enum ClaimKind: Hashable {
    case normal
    case powerLoss
    /// An operator has given up the other members.
    case acceptedLoss
}

enum ProposalKind {
    case claim(ClaimKind, LeaseNumber)
    case removal([NodeID])
    case promotion(NodeID)
    /// A member that was closed in order is back under another boot.
    case newBoot(NodeID)
    /// To that member; whoever proposes it has stopped.
    case handover(NodeID)
    /// Other disks are to hold the group.
    case placement
}

/// Changing the members (replication.md, 6, 15).
///
/// Invariants:
/// - a member's acknowledgement is needed until the record without it is known to have won; a learner's from before the
///   record with it is proposed;
/// - one change at a time; one of unknown outcome is proposed again until it is known;
/// - the in-sync set never has fewer members than `minInSync`; at that size a member is only replaced.
extension PlacementGroup {
    // MARK: Proposals

    func propose(
        _ new: PGRecord, base: PGRecord, version: RecordVersion, requiresEnded: LeaseNumber?, raises: LossNumber?,
        kind: ProposalKind
    ) {
        let p = Proposal(
            token: begin(.proposal), expected: version, record: new, requiresEnded: requiresEnded,
            raisesLossNumber: raises)
        proposal = PendingProposal(proposal: p, base: base.epoch, kind: kind)
        emit(.propose(p))
    }

    public func proposalEnded(_ token: WorkToken, _ outcome: ProposalOutcome, at now: Moment) {
        self.now = now
        guard var p = proposal, p.proposal.token == token else { return }
        switch outcome {
        case .won(let version): proposalWon(p, version)
        case .lost(let found, let version):
            if found == p.proposal.record {
                mark(.unknownOutcomeHadWon, if: p.mayHaveBeenMade)
                proposalWon(p, version)
            } else if version == p.proposal.expected, p.mayHaveBeenMade, !raiseIsStale(p) {
                // The record is as before: an earlier sending may still be made.
                mark(.unknownOutcomeStillOpen)
                p.resendAt = now.now + limits.retry
                proposal = p
            } else {
                if p.mayHaveBeenMade { mark(.unknownOutcomeHadLost) }
                proposalLost(p)
                adopt(found, version)
            }
        case .unknown:
            if case .promotion = p.kind, mutated(.unknownPromotionTakenAsFailed) {
                proposalLost(p)
                return
            }
            if case .promotion = p.kind { mark(.promotionOfUnknownOutcome) }
            p.mayHaveBeenMade = true
            p.resendAt = now.now + limits.retry
            proposal = p
        case .refused:
            if p.mayHaveBeenMade {
                mark(.refusedAfterUnknown)
                p.resendAt = now.now + limits.retry
                proposal = p
            } else {
                proposalLost(p)
            }
        }
    }

    /// A proposal to raise the loss number from one that is not the present one can never be made again.
    private func raiseIsStale(_ p: PendingProposal) -> Bool {
        guard let from = p.proposal.raisesLossNumber, let map else { return false }
        return map.lossNumber > from
    }

    func resendProposal() {
        guard let at = proposal?.resendAt, now.now >= at, let p = proposal?.proposal else { return }
        proposal?.resendAt = nil
        emit(.propose(p))
    }

    private func proposalWon(_ p: PendingProposal, _ version: RecordVersion) {
        _ = end(p.proposal.token)
        proposal = nil
        let newer = record.map { $0.epoch > p.proposal.record.epoch } ?? false
        if !newer {
            record = p.proposal.record
            recordVersion = version
        }
        switch p.kind {
        case .claim(let kind, let number):
            if newer {
                role = role == .claiming ? .follower : role
            } else {
                claimWon(kind, under: number)
            }
        case .removal(let nodes):
            emit(.report(.removed(nodes)))
            memberChangeWon(newer)
        case .promotion(let node):
            emit(.report(.promoted(node)))
            reign.catchUps.removeAll { $0.node == node }
            memberChangeWon(newer)
        case .newBoot: memberChangeWon(newer)
        case .handover(let node): handoverWon(node, version)
        case .placement:
            if !newer { placementWon() }
            memberChangeWon(newer)
        }
    }

    private func memberChangeWon(_ newer: Bool) {
        guard role == .primary else { return }
        if newer, let record, let version = recordVersion {
            adopt(record, version)
            return
        }
        refreshMembers()
        advanceDecided()
        answerFlushes()
        considerServing()
    }

    func proposalLost(_ p: PendingProposal) {
        _ = end(p.proposal.token)
        proposal = nil
        switch p.kind {
        case .claim:
            if role == .claiming { role = .follower }
            emit(.readMap(begin(.nothing)))
        case .promotion(let node):
            // The learner is needed no more; it begins anew.
            if role == .primary { abandonCatchUp(node) }
        case .handover(let node):
            emit(.report(.handoverGivenUp(node)))
            releaseHeld()
        case .removal, .newBoot, .placement: break
        }
        emit(.readRecord)
    }

    // MARK: The record

    /// The record has been read, or has changed.
    public func recordRead(_ new: PGRecord, _ version: RecordVersion, at now: Moment) {
        self.now = now
        if let p = proposal, new.epoch >= p.proposal.record.epoch {
            // Read back: the proposal was made, or can never be.
            if new == p.proposal.record {
                if p.mayHaveBeenMade { mark(.unknownOutcomeHadWon) }
                proposalWon(p, version)
                return
            }
            proposalLost(p)
        }
        adopt(new, version)
    }

    func adopt(_ new: PGRecord, _ version: RecordVersion) {
        if let known = record, new.epoch < known.epoch { return }
        let changed = record != new
        let isNewer = new.epoch > record?.epoch ?? .zero
        record = new
        recordVersion = version
        if role == .primary {
            if new.primary != local.node || new.primaryLease != reign.lease {
                endReign()
            } else if changed {
                refreshMembers()
                advanceDecided()
            }
        }
        // Changes of its own do not come this way: another has named it.
        if isNewer, new.primary == local.node, new.primaryLease == lease, lease != .none {
            tookOver(new)
            // It agreed to lead, and what it holds was lost meanwhile: others can claim when the lease has ended.
            if role == .follower, state.learning || absent {
                mark(.successorLostItsContent)
                emit(.giveUpLease)
            }
        }
        if absent, new.primary == nil, new.inSync.contains(where: { $0.node == local.node && $0.disk == local.disk }) {
            // A trace of the group, so that this disk is a member and not absent from then on.
            absent = false
            keepState(then: .nothing)
        }
    }

    // MARK: Members

    /// Brings the list of members in line with the record; who is new is attached.
    func refreshMembers() {
        guard role == .primary, let record else { return }
        for i in reign.members.indices {
            var m = reign.members[i]
            m.isInSync = record.inSync.contains { $0.node == m.node }
            let finishing = reign.catchUps.contains { $0.node == m.node && $0.isNeeded }
            m.isNeeded = m.isInSync || finishing || isPromoting(m.node)
            let isLearner = reign.catchUps.contains { $0.node == m.node }
            if !m.isNeeded, reign.members[i].isNeeded || !isLearner, m.phase == .streaming {
                // Removed, though connected: it has to learn; anew, if it does already, for its pieces did not wait for entries
                // that could not be decided without it.
                mark(.removedThoughConnected)
                m.phase = .detached
                m.isComplete = false
                reign.catchUps.removeAll { $0.node == m.node }
                reign.pieceReads.removeAll { $0.node == m.node }
            }
            reign.members[i] = m
        }
        for m in record.inSync where m.node != local.node && !reign.members.contains(where: { $0.node == m.node }) {
            reign.members.append(MemberProgress(node: m.node, isInSync: true, isNeeded: true))
        }
        let targets = record.placement.map(\.node)
        let catchingUp = reign.catchUps.map(\.node)
        reign.members.removeAll { !$0.isNeeded && !targets.contains($0.node) && !catchingUp.contains($0.node) }
        for node in targets where node != local.node && !reign.members.contains(where: { $0.node == node }) {
            reign.members.append(MemberProgress(node: node, isInSync: false, isNeeded: false))
        }
        reign.members.sort { $0.node < $1.node }
        attachMembers()
        // Flushes and changes may have waited for one that is a member no more, and nothing else may come.
        answerFlushes()
        retryParked()
    }

    /// Offers the reign to whoever should hold the group and is connected.
    func attachMembers() {
        guard role == .primary, let record else { return }
        for i in reign.members.indices {
            let m = reign.members[i]
            guard isReachable(m.node), m.phase == .detached || m.phase == .attaching, !isPromoting(m.node) else {
                continue
            }
            if isLeaving(m.node) || isKeptOut(m.node) || !reign.promised, !m.isInSync { continue }
            if m.attemptAt.nanoseconds != 0, now.now < m.attemptAt + limits.retry { continue }
            reign.attempts += 1
            reign.members[i].phase = .attaching
            reign.members[i].attempt = reign.attempts
            reign.members[i].attemptAt = now.now
            send(
                .attach(Attach(attempt: reign.attempts, record: record, history: history.spans)), to: m.node)
        }
    }

    func attachedArrived(from node: NodeID, epoch: Epoch, _ a: Attached) {
        guard role == .primary, epoch == reign.epoch,
            let i = reign.members.firstIndex(where: { $0.node == node }), reign.members[i].attempt == a.attempt,
            reign.members[i].phase == .attaching
        else { return }
        replicaSpoke(node)
        // What lies on a disk that the record does not name is remains: that node is about to open the right one.
        guard let record, record.names(node, a.member.disk) else {
            reign.members[i].phase = .detached
            return
        }
        reign.members[i].room = a.room
        reign.members[i].member = a.member
        reign.members[i].voids = a.voids
        reign.members[i].reported = true
        switch a.standing {
        case .sameLog(let end):
            let recorded = record.inSyncMember(on: node)
            // The tail must be there to fill what it lacks, and what it once acknowledged must still be there.
            guard reign.members[i].isInSync, recorded?.disk == a.member.disk, end.n >= decided.n,
                end.n >= reign.members[i].appended, history.contains(end) || mutated(.keepDivergentTail)
            else {
                beginCatchUp(i, fork: end)
                break
            }
            // What is void anywhere has been restated: its content is not the primary's before it has been copied.
            if reign.voidsSettled, !reign.restated.isEmpty || !a.voids.isEmpty, !reign.members[i].hasRestated,
                !mutated(.voidIgnored), !mutated(.voidsOnceOnly)
            {
                mark(.restatedLate)
                reign.members[i].isComplete = false
                let first = a.voids.map(\.entry.n).min().map { history.name(at: min($0 - 1, end.n)) ?? .zero }
                beginCatchUp(i, fork: first ?? end)
                break
            }
            if recorded?.boot != a.member.boot {
                // Closed in order: its new boot goes into the record before it appends anything.
                reign.members[i].phase = .detached
                proposeNewBoot(a.member)
                return
            }
            reign.members[i].phase = .streaming
            reign.members[i].isComplete = true
            reign.members[i].appended = end.n
            reign.members[i].stable = min(a.stable.n, end.n)
            sendTail(to: i, after: end.n)
            send(.decided(through: decided, stamp: record.lossNumber), to: node)
            askSyncAgain()
        case .behind(let fork):
            reign.members[i].isComplete = false
            beginCatchUp(i, fork: fork)
        }
        considerServing()
        advanceDecided()
    }

    private func proposeNewBoot(_ member: Member) {
        guard proposal == nil, var new = record, let version = recordVersion else { return }
        mark(.newBootOfCleanMember)
        let base = new
        new.epoch = new.epoch.next
        new.inSync = new.inSync.map { $0.node == member.node ? member : $0 }
        propose(new, base: base, version: version, requiresEnded: nil, raises: nil, kind: .newBoot(member.node))
    }

    /// Nothing has come from it for so long that nobody is to wait for it.
    func isSilent(_ node: NodeID) -> Bool {
        let since = peer(node).map { $0.isPresent ? nil : $0.since } ?? reign.since
        return since.map { now.now >= max($0, reign.since) + limits.silence } ?? false
    }

    /// It is here, and has not acknowledged for so long what it was sent.
    func owesTooLong(_ m: MemberProgress) -> Bool {
        m.owes.map { now.now >= $0 + limits.acknowledgement } ?? false
    }

    /// Removes members that are silent, or owe an acknowledgement or what they lack too long, or are back without what they had.
    /// Enough stay that lack nothing: a set of as many of which one is still learning waits for that one, whatever is removed, and
    /// whoever was removed may be the last that holds all.
    func considerRemoval() {
        for i in reign.members.indices {
            let isBehind = reign.members[i].reported && !reign.members[i].isComplete
            reign.members[i].behindSince = isBehind ? reign.members[i].behindSince ?? now.now : nil
        }
        guard proposal == nil, let record, let map, let version = recordVersion, reign.promised else { return }
        let least = mutated(.belowMinInSync) ? 1 : map.policy.minInSync
        var gone: [NodeID] = []
        func staying(without node: NodeID) -> Int {
            record.inSync.count { $0.node != node && !gone.contains($0.node) && isSound($0.node) }
        }
        for m in reign.members where m.isInSync && record.inSync.count - gone.count > least {
            let (silent, slow) = (isSilent(m.node), owesTooLong(m))
            let lost = m.reported && !m.isComplete && m.member?.boot != record.inSyncMember(on: m.node)?.boot
            let behind = m.behindSince.map { now.now >= $0 + limits.acknowledgement } ?? false
            guard silent || slow || lost || behind || isToBeLetGo(m.node) || isKeptOut(m.node) else { continue }
            guard staying(without: m.node) >= least || mutated(.removesLastWhole) else {
                mark(.removalWouldLeaveTooFewWhole)
                continue
            }
            mark(.removedWhileBehind, if: behind && !silent && !slow && !lost)
            gone.append(m.node)
        }
        mark(
            .waitsAtLeastSize,
            if: record.inSync.count <= least && reign.members.contains(where: { $0.isInSync && !isPresent($0.node) }))
        guard !gone.isEmpty else { return }
        mark(.removalWhileActivating, if: !reign.serving)
        var new = record
        new.epoch = record.epoch.next
        new.inSync.removeAll { gone.contains($0.node) }
        propose(new, base: record, version: version, requiresEnded: nil, raises: nil, kind: .removal(gone))
        if mutated(.removalTakenAsWon) {
            for i in reign.members.indices where gone.contains(reign.members[i].node) {
                reign.members[i].isNeeded = false
            }
            advanceDecided()
        }
    }

    /// A learner that has everything, stably, is proposed as member; at the least size it replaces one that is away.
    func proposePromotion(_ member: Member) {
        guard proposal == nil, let record, let map, let version = recordVersion else { return }
        var new = record
        new.epoch = record.epoch.next
        new.inSync.removeAll { $0.node == member.node }
        let copies = max(map.policy.copies, record.placement.count)
        while new.inSync.count + 1 > copies, let away = awayMember(new.inSync) {
            new.inSync.removeAll { $0.node == away }
        }
        // A member that is away is replaced, not waited for, if that leaves enough.
        if new.inSync.count + 1 > map.policy.minInSync, let away = awayMember(new.inSync) {
            mark(.replacedAtLeastSize, if: new.inSync.count == map.policy.minInSync)
            new.inSync.removeAll { $0.node == away }
        }
        mark(.promotionWhileActivating, if: !reign.serving)
        new.inSync.append(member)
        new.inSync.sort { $0.node < $1.node }
        propose(new, base: record, version: version, requiresEnded: nil, raises: nil, kind: .promotion(member.node))
    }

    private func awayMember(_ members: [Member]) -> NodeID? {
        members.first { m in
            guard m.node != local.node, let p = reign.members.first(where: { $0.node == m.node }) else { return false }
            return (p.phase == .detached || p.phase == .attaching) && !isPresent(m.node)
        }?.node
    }

    func primaryTicked() {
        guard role == .primary else { return }
        if lease != reign.lease {
            endReign()
            return
        }
        considerRemoval()
        considerPlacement()
        probesTicked()
        attachMembers()
        checkCatchUps()
        considerServing()
        refuseWhatWaitsLong()
        if let due = reign.decidedDue, now.now >= due { tellDecided() }
    }
}
