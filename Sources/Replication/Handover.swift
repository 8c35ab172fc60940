import ClusterModel
import Wire

/// A planned change of the primary, as the one that gives the group up sees it until it stops.
struct Handover {
    var to: NodeID
    var attempt: UInt32
    /// When the stage has taken too long.
    var until: Instant
    var stage: Stage
    /// The coordination store has answered since the handover began: the change of the record is likely to get through.
    var storeAnswers = false

    enum Stage {
        /// The successor is asked whether it will take over. Its lease → `agreed`; a no, or silence → given up.
        case asking
        /// The successor has named its lease; the store is waited for. → `draining`, or given up.
        case agreed(LeaseNumber)
        /// Nothing new is named; what was named gets decided, for a while. → the reign ends, and the change is sent.
        case draining(LeaseNumber)
    }
}

/// Requests that came when the old primary had stopped: they hear who is the new one as soon as that is known.
struct HeldRequests {
    var requests: [WaitingRequest] = []
    var until: Instant
}

/// Handing the group over to another member (replication.md, 8).
///
/// Invariants:
/// - nothing is answered, reads included, from before the change of the record is sent; its sender reigns again only by a
///   claim, in a new epoch;
/// - the successor is an in-sync member that lacks nothing, and the record names the lease that it holds: it reigns from the
///   moment it knows of the record, if it holds that lease still. If not, the lease has ended, and any member may claim;
/// - a change that is refused, or lost, leaves nobody who reigns: the old primary claims anew, under the lease that the record
///   names, for it knows best that nothing is served under it.
extension PlacementGroup {
    // MARK: The old primary

    /// Whether the group can be handed over to that node now.
    public func mayHandOver(to node: NodeID) -> Bool {
        guard isServing, lease == reign.lease, proposal == nil, node != local.node, !standsDown(node), let record,
            let successor = reign.members.first(where: { $0.node == node }), successor.isInSync,
            successor.member == record.inSyncMember(on: node)
        else { return false }
        // Where a member is waited for, the successor would only wait for it in turn.
        return reign.members.allSatisfy {
            !$0.isNeeded || $0.isComplete && $0.phase == .streaming && isPresent($0.node)
        }
    }

    /// Whether the group is on its way to another primary.
    public var isHandingOver: Bool {
        if case .handover? = proposal?.kind { return true }
        return reign.handover != nil
    }

    /// The group should be served by that node. It is handed over, or nothing changes.
    public func handoverWanted(to node: NodeID, at now: Moment) {
        self.now = now
        guard reign.handover == nil, mayHandOver(to: node) else { return }
        reign.attempts += 1
        reign.handover = Handover(
            to: node, attempt: reign.attempts, until: now.now + limits.handoverPatience, stage: .asking)
        send(.takeOver(attempt: reign.attempts), to: node)
        emit(.readMap(begin(.handover(reign: reign.number, attempt: reign.attempts))))
    }

    func willingArrived(from node: NodeID, epoch: Epoch, attempt: UInt32, under number: LeaseNumber) {
        guard role == .primary, epoch == reign.epoch, let h = reign.handover, h.to == node, h.attempt == attempt,
            case .asking = h.stage
        else { return }
        guard number != .none else { return giveUpHandover() }
        reign.handover?.stage = .agreed(number)
        continueHandover()
    }

    func storeAnswered(_ number: UInt64, _ attempt: UInt32) {
        guard role == .primary, number == reign.number, reign.handover?.attempt == attempt else { return }
        reign.handover?.storeAnswers = true
        continueHandover()
    }

    /// While what was named gets decided, nothing new is.
    var isDraining: Bool {
        if case .draining? = reign.handover?.stage { return true }
        return false
    }

    /// Called at the end of each event that may bring the handover further: it may end the reign.
    func continueHandover() {
        guard role == .primary, let h = reign.handover else { return }
        guard mayHandOver(to: h.to) else { return giveUpHandover() }
        switch h.stage {
        case .asking: if now.now >= h.until { giveUpHandover() }
        case .agreed(let number):
            if h.storeAnswers {
                reign.handover?.stage = .draining(number)
                reign.handover?.until = now.now + limits.handoverDrain
                continueHandover()
            } else if now.now >= h.until {
                giveUpHandover()
            }
        case .draining(let number):
            let isDrained =
                tail.isEmpty && reign.parked.isEmpty && reign.reads.isEmpty && reign.flushes.isEmpty
                && reign.applying.isEmpty
            if isDrained || now.now >= h.until { stopForHandover(to: h.to, under: number) }
        }
    }

    private func giveUpHandover() {
        guard let h = reign.handover else { return }
        reign.handover = nil
        emit(.report(.handoverGivenUp(h.to)))
        admitWaiting()
    }

    /// The reign ends here; only then the change is sent.
    private func stopForHandover(to node: NodeID, under number: LeaseNumber) {
        guard let record, let version = recordVersion else { return giveUpHandover() }
        tellDecided()
        let waiting = reign.waiting
        reign.waiting = []
        reign.handover = nil
        if mutated(.answersAfterHandover) { reign.waiting = waiting } else { endReign() }
        var new = record
        new.epoch = record.epoch.next
        new.primary = node
        new.primaryLease = number
        new.learners = []
        propose(new, base: record, version: version, requiresEnded: nil, raises: nil, kind: .handover(node))
        guard role == .follower else { return }
        held = HeldRequests(requests: waiting, until: now.now + limits.handoverHold)
    }

    /// Whether the request is kept until the successor is known, which is soon.
    func holds(_ token: RequestToken, _ request: PGRequest, _ checksums: [UInt32]) -> Bool {
        guard role == .follower, let h = held, now.now < h.until, h.requests.count < limits.waitingRequests else {
            return false
        }
        held?.requests.append(WaitingRequest(token: token, request: request, checksums: checksums, since: now.now))
        return true
    }

    /// Tells those who wait what the record says now.
    func releaseHeld() {
        guard let h = held else { return }
        held = nil
        for w in h.requests { refuse(w.token, w.request, .notPrimary(record)) }
    }

    /// The successor is told at once: its own watch of the record may take longer.
    func handoverWon(_ node: NodeID, _ version: RecordVersion) {
        if let record, record.primary == node {
            send(.handedOver(record, version: version.rawValue), to: node, epoch: record.epoch)
            emit(.report(.handedOver(node)))
        }
        if role == .primary { endReign() }
        releaseHeld()
    }

    /// The record names this replica, which does not reign and has nothing under way: a handover of its own did not come about.
    /// Nothing is served under the lease that the record names, for it is this node's own.
    var mayResume: Bool {
        guard let record else { return false }
        return role == .follower && proposal == nil && record.primary == local.node && record.primaryLease == lease
            && lease != .none
    }

    // MARK: The successor

    func takeOverArrived(from node: NodeID, epoch: Epoch, attempt: UInt32) {
        guard let f = following, f.primary == node, f.epoch == epoch, f.phase == .streaming else { return }
        let isWilling = isWhole && proposal == nil && !standsDown(local.node)
        send(.willing(attempt: attempt, under: isWilling ? lease : .none), to: node, epoch: epoch)
    }

    /// Recorded, and lacks nothing.
    private var isWhole: Bool { isRecorded && !rebooted && !state.learning && !absent }

    /// The record, which this replica has not changed, names it and the lease that its node holds.
    func tookOver(_ record: PGRecord) {
        guard role == .follower, proposal == nil, isWhole, record.epoch > state.promised else { return }
        forgetFollowing()
        claim = ClaimState()
        role = .claiming
        claimWon(.normal, under: lease)
    }
}
