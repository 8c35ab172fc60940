import ClusterModel
import Wire

/// What a replica keeps between seeing that a claim is due and sending it.
struct ClaimState {
    /// Since when nothing but patience stands in the way.
    var since: Instant?
    /// When the other primary's lease was last asked about.
    var asked = Instant(nanoseconds: 0)
    /// After a loss of power: since when there is nobody to follow.
    var alone: Instant?
    var statusAsked = Instant(nanoseconds: 0)
    /// The last sign of a primary's life in this group.
    var heard = Instant(nanoseconds: 0)
}

/// Claiming the group and beginning to serve (replication.md, 7).
///
/// Invariants:
/// - only a member that the record names under a boot for which it speaks, and that lacks nothing, claims, and only when the
///   lease that the record names has ended;
/// - the claim is void unless the lease under which it was sent is still held when its outcome becomes known;
/// - writes are served when every in-sync member holds the same log, and the map has been read after the claim was won.
extension PlacementGroup {
    func followerTicked() {
        acknowledgeRest()
        guard let record, let map, recordVersion != nil, lease != .none, proposal == nil, role == .follower, !isLeaving
        else {
            claim.since = nil
            return
        }
        // It may resume, and never can: others claim when the lease that the record names has ended.
        if mayResume, state.learning || absent, !mutated(.formerPrimaryKeepsLease) {
            mark(.formerPrimaryLostItsContent)
            emit(.giveUpLease)
            claim.since = nil
            return
        }
        if record.primary != nil, !leaseHasEnded(record.primaryLease), !mayResume {
            claim.since = nil
            let calm =
                following?.phase == .streaming && following?.primary == record.primary
                && isPresent(record.primary ?? local.node)
            if now.now >= claim.asked + (calm ? .seconds(5) : limits.retry) {
                claim.asked = now.now
                emit(.askLease(record.primaryLease))
            }
            if !mutated(.claimWithoutLeaseEnd) { return }
        }
        if record.primary == nil, isFreshMember {
            // Whoever claims first must be known for a member after a kill: else all might come back as absent.
            if leavesTrace() { considerClaim(record, map, fresh: true) }
        } else if isRecorded, !rebooted, !state.learning, !absent {
            considerClaim(record, map, fresh: false)
        } else {
            claim.since = nil
            considerPowerLossClaim(record, map)
        }
    }

    /// Whether the disk knows of the group; sees to it, if not.
    func leavesTrace() -> Bool {
        switch trace {
        case .durable: return true
        case .underWay: return false
        case .unknown:
            trace = .underWay
            keepState(then: .traced)
            return false
        }
    }

    /// A group that was never claimed has nothing to lose: whoever should hold it may begin.
    var isFreshMember: Bool {
        history.end == .zero && record?.inSync.contains { $0.node == local.node && $0.disk == local.disk } == true
    }

    func leaseHasEnded(_ number: LeaseNumber) -> Bool {
        number != lease && (number == .none || endedLeases.contains(number))
    }

    private func considerClaim(_ record: PGRecord, _ map: MapFacts, fresh: Bool) {
        let since = claim.since ?? now.now
        claim.since = since
        let others = record.inSync.filter { $0.node != local.node }
        let live = others.filter { m in
            guard isPresent(m.node), let p = peer(m.node) else { return false }
            // Of a group that was never claimed only those whose disks know of it (`statusAsked`): one that lost power before
            // that would come back as absent, and a group with too few members could never be claimed again.
            if fresh { return p.status.map { $0.member.boot == p.boot && $0.continuity != .absent } ?? false }
            return m.boot != nil && m.boot == p.boot || p.status?.continuity == .kept
        }
        // Members whose boot is not the recorded one may have been closed in order: they are asked.
        askStatus(of: others.filter { m in !live.contains { $0.node == m.node } && isReachable(m.node) })
        // The lowest in the order of placement first; the rest a little later each, should it not.
        let order = record.placement.map(\.node)
        let mine = order.firstIndex(of: local.node) ?? order.count
        // Those that stand down come last.
        let isLast = standsDown(local.node)
        var rank = live.filter { m in
            if standsDown(m.node) != isLast { return isLast }
            let theirs = order.firstIndex(of: m.node) ?? order.count
            return theirs < mine || theirs == mine && m.node < local.node
        }.count
        if isLast, rank > 0 { rank += 2 }
        // Nobody else can claim while the record names this node's own lease.
        let steps = mayResume ? 0 : UInt64(rank)
        var patience = TimeSpan(nanoseconds: steps * limits.claimStep.nanoseconds)
        let expected = others.filter { $0.node != record.primary }
        if expected.contains(where: { e in !live.contains { $0.node == e.node } }) {
            // Those that are away longer than a silence are not waited for.
            let hopeful = expected.contains { e in
                !live.contains { $0.node == e.node }
                    && awaySince(e.node, orElse: since) + limits.claimPatience > now.now
            }
            if hopeful { patience = max(patience, limits.claimPatience) }
        }
        guard now.now >= since + patience else { return }
        // The members that are live, but not fewer than the least number: then some that are not stay in the record.
        var members = [ownMember(record)] + live.map { updated($0) }
        let least = mutated(.belowMinInSync) ? 1 : min(map.policy.minInSync, record.inSync.count)
        // A record that was never claimed names no boots: only members that are there can be told apart from later lives.
        if fresh, members.count < least { return }
        for m in others where members.count < least && !members.contains(where: { $0.node == m.node }) {
            mark(.claimNamesAbsentMember)
            members.append(m)
        }
        sendClaim(record, members: members, kind: .normal)
    }

    private func awaySince(_ node: NodeID, orElse since: Instant) -> Instant {
        guard let p = peer(node) else { return since }
        return p.isPresent ? now.now : p.since
    }

    private func ownMember(_ record: PGRecord) -> Member { local }

    /// A member under its present boot, which it vouched for or which the record names.
    func updated(_ m: Member) -> Member {
        Member(node: m.node, disk: m.disk, boot: peer(m.node)?.boot ?? m.boot)
    }

    func sendClaim(_ record: PGRecord, members: [Member], kind: ClaimKind) {
        guard let map, let version = recordVersion else { return }
        var new = record
        new.epoch = record.epoch.next
        new.primary = local.node
        new.primaryLease = lease
        new.inSync = members.sorted { $0.node < $1.node }
        new.learners = []
        var raises: LossNumber?
        if kind != .normal, !mutated(.lossNumberNotRaised) {
            raises = map.lossNumber
            new.lossNumber = map.lossNumber.next
        }
        let requiresEnded = record.primary == nil || mayResume ? nil : record.primaryLease
        claim = ClaimState()
        role = .claiming
        forgetFollowing()
        propose(
            new, base: record, version: version, requiresEnded: requiresEnded,
            raises: raises, kind: .claim(kind, lease))
    }

    // MARK: The claim is won

    func claimWon(_ kind: ClaimKind, under number: LeaseNumber) {
        guard role == .claiming else { return }
        guard number == lease || mutated(.activatesUnderNewerLease) && lease != .none, let record else {
            // The lease has lapsed meanwhile: the claim is void.
            mark(.claimVoidWithoutLease)
            role = .follower
            return
        }
        if kind == .acceptedLoss {
            emit(.report(.lossAccepted(record.lossNumber)))
            if case .incomplete(let end) = content { return takeAsItIs(end, under: number, record.epoch) }
        }
        beginReign(kind, under: number)
    }

    func beginReign(_ kind: ClaimKind, under number: LeaseNumber) {
        guard let record else { return }
        role = .primary
        let count = reign.number + 1
        reign = Reign()
        reign.number = count
        reign.epoch = record.epoch
        reign.lease = mutated(.activatesUnderNewerLease) ? lease : number
        reign.since = now.now
        reign.afterPowerLoss = kind != .normal
        reign.stamp = presentStamp
        reign.told = decided
        reign.lastNamed = now.now
        // A fresh member that was killed before its first claim landed is whole, too.
        rebooted = false
        if kind != .normal {
            emit(.report(.lossNumberRaised(record.lossNumber)))
        }
        state.promised = record.epoch
        state.boot = local.boot ?? state.boot
        state.formerBoots = []
        state.lostPower = false
        if absent {
            absent = false
            keepState(then: .nothing)
        }
        emit(.report(.claimed(record.epoch)))
        if mutated(.mapReadBeforeClaim) {
            reign.mapRead = true
        } else {
            let token = begin(.mapBarrier(reign: count))
            emit(recordVersion.map { .awaitMap(token, since: $0) } ?? .readMap(token))
        }
        for k in 0..<tail.count { marks.sequence(tail[k].entry) }
        for k in 0..<tail.count { reign.bytesInFlight += tail[k].entry.payload?.length ?? 0 }
        keepState(then: .promisedOwnReign(reign: count))
        // The others make their promise durable at the same time; nothing is named before the own one is.
        refreshMembers()
    }

    func ownReignPromised(_ number: UInt64) {
        guard role == .primary, number == reign.number, !reign.promised else { return }
        reign.promised = true
        reign.first = history.end.n + 1
        _ = askOwnSync()
        refreshMembers()
        considerServing()
        advanceDecided()
    }

    /// The reign's first entry. Only once everybody is here by whom it is decided: a reign that decides nothing leaves no
    /// trace in the list of epochs, which is bounded, however often one begins.
    private func nameFirst() {
        guard !reign.hasNamedFirst,
            mutated(.namesFirstAtOnce) || reign.members.allSatisfy({ !$0.isNeeded || $0.phase == .streaming })
        else { return }
        reign.hasNamedFirst = true
        name(.empty, nil, .unstable)
        advanceDecided()
    }

    /// The map as it was read after the effect with this token.
    public func mapRead(_ token: WorkToken, _ facts: MapFacts, at now: Moment) {
        mapChanged(facts, at: now)
        switch end(token) {
        case .mapBarrier(let number):
            guard role == .primary, number == reign.number else { return }
            reign.mapRead = true
            considerServing()
            admitWaiting()
        case .handover(let number, let attempt): storeAnswered(number, attempt)
        default: break
        }
    }

    func askMap(_ version: MapVersion) {
        guard version > reign.mapAsked else { return }
        reign.mapAsked = version
        emit(.readMap(begin(.nothing)))
    }

    func considerServing() {
        guard role == .primary, reign.promised, !reign.serving else { return }
        settleVoids()
        nameFirst()
        guard !reign.serving else { return }
        mark(.mapIsLastToActivate, if: !reign.mapRead && decided.n >= reign.first)
        guard reign.mapRead, reign.voidsSettled || mutated(.serveBeforeAllHoldTheLog),
            decided.n >= reign.first || mutated(.serveBeforeAllHoldTheLog)
        else { return }
        reign.serving = true
        if !state.voids.isEmpty {
            state.voids = []
            keepState(then: .nothing)
        }
        emit(.report(.serving(reign.epoch)))
        retryParked()
        admitWaiting()
    }

    // MARK: The end of a reign

    /// The reign is over: what was promised to clients is refused, entries stay in the log as a member's.
    func endReign() {
        guard role == .primary else { return }
        role = .follower
        mark(.reignOverWithOpenRequests, if: (0..<tail.count).contains(where: { tail[$0].token != .none }))
        interruptScrub("the primary reigns no more")
        let over = reign
        reign = Reign()
        reign.number = over.number
        reign.epoch = over.epoch
        works.removeAll {
            switch $0.work {
            case .edges, .findCut, .changes, .cuts, .piece, .snapshot, .mapBarrier, .promisedOwnReign, .handover: true
            case .nothing, .contentForgotten, .traced, .attach, .markedLearning, .tablesKept, .ownChanges,
                .installedStep,
                .installedSnapshot,
                .syncedAll, .clearedLearning, .proposal, .rowsForgone, .tookAsItIs, .takenCuts:
                false
            }
        }
        for k in 0..<tail.count where tail[k].token != .none {
            refuse(tail[k].token, .notPrimary(record))
            tail[k].token = .none
        }
        marks.forgetSequenced()
        for w in over.waiting { refuse(w.token, w.request, .notPrimary(record)) }
        for p in over.parked { refuse(p.token, p.request, .notPrimary(record)) }
        for asked in over.askedReads { refuse(asked.read.token, asked.read.request, .notPrimary(record)) }
        for j in over.joined { refuse(j.token, .notPrimary(record)) }
        for r in over.reads { refuse(r.token, r.request, .notPrimary(record)) }
        // Their answers will come, and are refused then.
        for a in over.asked { drop(a.request.payload) }
        for f in over.flushes { refuse(f.token, .notPrimary(record)) }
        for a in over.applying { refuse(a.token, .notPrimary(record)) }
        claim = ClaimState()
    }
}
