import ClusterModel
import Wire

/// What comes from peers, the coordination store and the lease, each to its handler.
extension PlacementGroup {
    public func messageArrived(from node: NodeID, _ message: ReplicaMessage, at now: Moment) {
        self.now = now
        let epoch = message.epoch
        switch message.body {
        case .attach(let a): attachArrived(from: node, epoch: epoch, a)
        case .attached(let a): attachedArrived(from: node, epoch: epoch, a)
        case .append(let a): appendArrived(from: node, epoch: epoch, a)
        case .acknowledge(let a): acknowledged(from: node, epoch: epoch, a)
        case .decided(let through, let stamp):
            decidedArrived(from: node, epoch: epoch, through: through, stamp: stamp)
        case .sync(let through): syncArrived(from: node, epoch: epoch, through: through)
        case .refused(let promised, let known): refusedArrived(epoch: epoch, promised, known)
        case .learn(let attempt, let fork): learnArrived(from: node, epoch: epoch, attempt: attempt, fork: fork)
        case .learning(let attempt): learningArrived(from: node, epoch: epoch, attempt: attempt)
        case .tables(let attempt, let part): tablesArrived(from: node, epoch: epoch, attempt: attempt, part)
        case .start(let s): startArrived(from: node, epoch: epoch, s)
        case .changedKeys(let c): changedKeysArrived(from: node, epoch: epoch, c)
        case .piece(let p): pieceArrived(from: node, epoch: epoch, p)
        case .removeObject(let attempt, let step, let object):
            removeObjectArrived(from: node, epoch: epoch, attempt: attempt, step: step, object)
        case .installed(let attempt, let step):
            installedArrived(from: node, epoch: epoch, attempt: attempt, step: step)
        case .snapshot(let part): snapshotArrived(from: node, epoch: epoch, part)
        case .finish(let attempt, let through):
            finishArrived(from: node, epoch: epoch, attempt: attempt, through: through)
        case .finished(let attempt): finishedArrived(from: node, epoch: epoch, attempt: attempt)
        case .askStatus: statusAsked(by: node, epoch: epoch)
        case .status(let s): statusArrived(from: node, s)
        case .gone: goneArrived(from: node)
        case .takeOver(let attempt): takeOverArrived(from: node, epoch: epoch, attempt: attempt)
        case .willing(let attempt, let number):
            willingArrived(from: node, epoch: epoch, attempt: attempt, under: number)
        case .handedOver(let record, let version):
            if record.pg == pg { recordRead(record, RecordVersion(version), at: now) }
        case .askBlocks(let ask): askBlocksArrived(from: node, epoch: epoch, ask)
        case .blocks(let given): blocksArrived(from: node, given)
        case .askScrub(let ask): askScrubArrived(from: node, epoch: epoch, ask)
        case .scrubbed(let answer): scrubbedArrived(from: node, epoch: epoch, answer)
        case .mustLearn: mustLearnArrived(from: node, epoch: epoch)
        }
        continueHandover()
    }

    /// A later primary reigns, or a claim of this epoch can never be answered: the record tells.
    private func refusedArrived(epoch: Epoch, _ promised: Epoch, _ known: PGRecord?) {
        guard role == .primary, epoch == reign.epoch, promised > reign.epoch else { return }
        emit(.readRecord)
    }

    // MARK: Peers

    /// A connection to that node has been made (both directions), after its hello.
    public func peerConnected(_ facts: PeerFacts, at now: Moment) {
        self.now = now
        if let i = peers.firstIndex(where: { $0.node == facts.node }) {
            // A new connection without word of the old one's end: what was on its way is lost.
            if peers[i].connected { detach(facts.node) }
            if peers[i].boot != facts.boot { peers[i].status = nil }
            peers[i].boot = facts.boot
            peers[i].spoken = facts.spoken
            peers[i].connected = true
            peers[i].silent = false
            peers[i].isGone = false
            peers[i].leavingSince = nil
            peers[i].since = now.now
            peers[i].status = nil
        } else {
            peers.append(
                Peer(node: facts.node, boot: facts.boot, spoken: facts.spoken, connected: true, since: now.now))
            peers.sort { $0.node < $1.node }
        }
        claim.statusAsked = Instant(nanoseconds: 0)
        if let i = reign.members.firstIndex(where: { $0.node == facts.node }) {
            reign.members[i].attemptAt = Instant(nanoseconds: 0)
        }
        attachMembers()
    }

    public func peerDisconnected(_ node: NodeID, at now: Moment) {
        self.now = now
        if let i = peers.firstIndex(where: { $0.node == node }) {
            if peers[i].connected, !peers[i].silent { peers[i].since = now.now }
            peers[i].connected = false
            peers[i].status = nil
        } else {
            peers.append(Peer(node: node, boot: nil, connected: false, since: now.now))
            peers.sort { $0.node < $1.node }
        }
        detach(node)
        searchesLost(node)
    }

    /// Nothing has come from that node for `ReplicationLimits.silence`, although there is a connection.
    public func peerFellSilent(_ node: NodeID, at now: Moment) {
        self.now = now
        guard let i = peers.firstIndex(where: { $0.node == node }), peers[i].connected, !peers[i].silent else { return }
        peers[i].silent = true
        peers[i].since = Instant(
            nanoseconds: now.now.nanoseconds - min(now.now.nanoseconds, limits.silence.nanoseconds))
        if role == .primary {
            considerRemoval()
            checkCatchUps()
        }
    }

    /// Something has come again from a node that had fallen silent, on the same connection.
    public func peerSpoke(_ node: NodeID, at now: Moment) {
        self.now = now
        guard let i = peers.firstIndex(where: { $0.node == node }), peers[i].silent else { return }
        peers[i].silent = false
        peers[i].since = now.now
        attachMembers()
    }

    /// That node lives, and its replica is out of use: what it was needed for goes on without it.
    private func goneArrived(from node: NodeID) {
        guard let i = peers.firstIndex(where: { $0.node == node }), peers[i].connected, !mutated(.goneUnheard) else {
            return
        }
        if !peers[i].isGone {
            mark(.diskGoneBesideLivingNode)
            peers[i].isGone = true
            // Nothing of it is on its way any more: it is not waited for as a node is that may only be slow.
            peers[i].since = Instant(
                nanoseconds: now.now.nanoseconds - min(now.now.nanoseconds, limits.silence.nanoseconds))
            peers[i].status = nil
        }
        detach(node)
        searchesLost(node)
        if role == .primary { considerRemoval() }
    }

    /// A replica has answered from a node that said it had none in use.
    func replicaSpoke(_ node: NodeID) {
        guard let i = peers.firstIndex(where: { $0.node == node }), peers[i].isGone else { return }
        peers[i].isGone = false
        peers[i].since = now.now
    }

    private func detach(_ node: NodeID) {
        if let i = reign.members.firstIndex(where: { $0.node == node }) {
            reign.members[i].phase = .detached
            reign.members[i].owes = nil
            if isPromoting(node) { return }
            if reign.catchUps.contains(where: { $0.node == node }) { abandonCatchUp(node) }
        }
    }

    /// A promotion of that node has been proposed, and its outcome is not known.
    func isPromoting(_ node: NodeID) -> Bool {
        guard case .promotion(let promoted)? = proposal?.kind else { return false }
        return promoted == node
    }

    // MARK: Map and leases

    public func mapChanged(_ facts: MapFacts, at now: Moment) {
        self.now = now
        if let known = map, facts.version < known.version { return }
        map = facts
        windows.retain { !facts.hasEnded($0) }
        if role == .primary {
            for k in 0..<tail.count where tail[k].entry.session != .none && !facts.isLive(tail[k].entry.session) {
                reign.fencedThrough = tail[k].entry.name.n
            }
        }
        admitWaiting()
    }

    /// The node has taken a lease: roles can be claimed under it.
    public func leaseTaken(_ number: LeaseNumber, at now: Moment) {
        self.now = now
        if lease != .none, lease != number { leaseLapsed(lease, at: now) }
        lease = number
        if mutated(.lapseIgnored), role == .primary { reign.lease = number }
    }

    /// The node's lease has ended, if only for an instant: every role held under it is over.
    public func leaseLapsed(_ number: LeaseNumber, at now: Moment) {
        self.now = now
        leaseSeenEnded(number, at: now)
        guard lease == number, !mutated(.lapseIgnored) else { return }
        lease = .none
        endReign()
    }

    /// Somebody's lease has ended for good (revoked, if it had run out).
    public func leaseSeenEnded(_ number: LeaseNumber, at now: Moment) {
        self.now = now
        guard number != .none, !endedLeases.contains(number) else { return }
        endedLeases.append(number)
        if endedLeases.count > 64 { endedLeases.removeFirst() }
    }

    // MARK: What is waited for

    /// The replica's progress in one line, for people.
    public var progress: String {
        var text = "log \(history.end) appended \(appended.n) stable \(stable.n) decided \(decided.n)"
        for m in reign.members where role == .primary {
            text += "; \(m.node) \(m.phase) appended \(m.appended) stable \(m.stable)"
            if !m.isComplete { text += " incomplete" }
            if !m.isNeeded { text += " not needed" }
        }
        for c in reign.catchUps where role == .primary {
            text += "; \(c.node) catches up, \(c.stage), \(c.next) of \(c.keys.count) keys"
        }
        return text
    }

    /// The first thing in the way of serving, by name; nil when there is none, or when another node is primary and followed.
    public var waiting: WaitReason? {
        guard let record else { return .record }
        if lease == .none { return .lease }
        if case .handover(let node)? = proposal?.kind { return .handover(node) }
        if proposal != nil { return .proposal }
        switch role {
        case .claiming: return .proposal
        case .follower:
            if state.learning || absent, record.primary != nil, leaseHasEnded(record.primaryLease) {
                return .wholeReplica(
                    record.inSync.map(\.node).filter { $0 != local.node && !isPresent($0) })
            }
            if state.learning || following?.phase == .waitingToLearn { return .learning }
            if following?.phase == .streaming { return nil }
            if let primary = record.primary, !leaseHasEnded(record.primaryLease) {
                return .leaseToEnd(primary, record.primaryLease)
            }
            let missing = record.inSync.map(\.node).filter { $0 != local.node && !isPresent($0) }
            return rebooted ? .powerLoss(missing) : .members(missing)
        case .primary:
            if let oldest = reign.waiting.first, let map, oldest.request.mapVersion > map.version {
                return .mapVersion(oldest.request.mapVersion)
            }
            let late = reign.members.filter { m in
                m.isNeeded && (!m.isComplete || m.phase != .streaming || m.appended < history.end.n && !reign.serving)
            }
            if !late.isEmpty { return .members(late.map(\.node)) }
            if !reign.serving { return reign.mapRead ? .log : .mapVersion(.zero) }
            if let h = reign.handover { return .handover(h.to) }
            return reign.waiting.isEmpty ? nil : .entriesInFlight
        }
    }
}
