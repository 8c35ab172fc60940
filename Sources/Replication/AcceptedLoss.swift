import ClusterModel
import Wire

/// What an operator demands who gives members of a group up for good (replication.md, 10).
public struct LossDemand: Hashable, Sendable {
    /// The record that he has seen.
    public var epoch: Epoch
    public var content: Demanded
    /// Nodes whose members he gives up by name, ascending: those may have been here a moment ago.
    public var named: [NodeID]

    public enum Demanded: Hashable, Sendable {
        /// Only content that lacks nothing which was ever flushed.
        case whole
        /// What there is.
        case any
    }

    public init(epoch: Epoch, content: Demanded, named: [NodeID] = []) {
        self.epoch = epoch
        self.content = content
        self.named = named
    }
}

/// Why a loss is not accepted here.
public enum LossRefusal: Hashable, Sendable {
    /// The record is not the one that the operator has seen.
    case changed
    /// A primary serves, or its lease has not ended.
    case primary(NodeID)
    /// Enough members are here: the group goes on by itself.
    case enough
    /// This node's lease has ended, it is about to stop, or a change of the record is under way.
    case notNow
    /// These have not said yet what they have.
    case unasked([NodeID])
    /// That member is here and has more.
    case better(NodeID)
    /// These are here and catch up, or do not use their disk, or have not been away for long: they are given up by name only.
    case mayReturn([NodeID])
    /// The content is not what was demanded.
    case content(PlacementGroup.Content)
}

/// What is known of another member of the record.
public enum MemberStanding: Hashable, Sendable {
    /// Here, and lacks nothing through this entry.
    case whole(EntryName)
    /// Here after a loss of power: whole through this entry but for what was not flushed.
    case rebooted(EntryName)
    /// Here, and this primary brings it up to date.
    case catchingUp
    /// Here, and lacks content.
    case learning
    /// Its node is here, and has nothing of it that counts.
    case nothing
    /// Its node is here, and does not use the disk: it may hold everything, and be used again after a restart of that node.
    case outOfUse
    /// Its node is here, and has not said yet what it has.
    case unasked
    /// For so long; at most since this replica was opened.
    case away(TimeSpan)
}

/// Going on without members that never come back (replication.md, 10): an operator has said so.
///
/// Invariants:
/// - nothing is given up by itself: it takes an operator, who names the record that he has seen;
/// - of the members that are here and lack nothing, one that kept its boot goes before those that did not, and the greatest log
///   before others; the rest of them stay members, and whoever is given up comes back as a learner;
/// - the loss number rises in the claim's own transaction: whoever relies on what was not made stable hears of it;
/// - content that lacks something is taken only if the operator says that, too. It then begins a log of its own: nobody has an
///   entry in common with it, so that whoever comes back learns all of it, and nothing that only others have stays with them.
extension PlacementGroup {
    /// What this disk could go on with.
    public enum Content: Hashable, Sendable {
        /// A member's of the record: nothing that was decided is missing, but for what a loss of power took.
        case whole(EntryName)
        /// The record does not name it any more: nothing is missing through this entry, and all that came later is.
        case old(EntryName)
        /// A learner's, or what a disk that failed still has: parts are missing, or older than others.
        case incomplete(EntryName)
        case nothing
    }

    public var content: Content {
        // A disk that failed may have content, and no log: what was found there names it.
        if knowsNoLog { return found == .zero ? .nothing : .incomplete(found) }
        if state.learning { return .incomplete(history.end) }
        if record?.inSyncMember(on: local.node)?.disk == local.disk { return .whole(history.end) }
        return history.end == .zero ? .nothing : .old(history.end)
    }

    /// Whatever the disk has, no log says so: it had no trace of the group, and has not got a primary's log since.
    private var knowsNoLog: Bool { absent || state.learning && history.end == .zero }

    /// The other members of the record, as this replica sees them.
    public func memberStandings(at now: Moment) -> [(member: Member, standing: MemberStanding)] {
        (record?.inSync ?? []).filter { $0.node != local.node }.map { ($0, standing(of: $0, now.now)) }
    }

    private func standing(of m: Member, _ now: Instant) -> MemberStanding {
        guard let p = peer(m.node), p.isReachable else {
            let since = peer(m.node)?.since ?? opened
            return .away(now > since ? now - since : TimeSpan(nanoseconds: 0))
        }
        if p.isGone { return .outOfUse }
        if role == .primary, let own = reign.members.first(where: { $0.node == m.node }) {
            if own.phase == .streaming, own.isComplete {
                return .whole(history.name(at: min(own.appended, history.end.n)) ?? decided)
            }
            return reign.catchUps.contains { $0.node == m.node } ? .catchingUp : .unasked
        }
        guard let s = p.status, s.member.boot == p.boot else { return .unasked }
        if s.member.disk != m.disk { return .nothing }
        switch s.continuity {
        case .kept: return .whole(s.end)
        case .rebooted: return .rebooted(s.end)
        case .learning: return .learning
        case .absent: return .nothing
        }
    }

    /// An operator gives up the members of the record that are not here. Nil: the claim is on its way.
    public func lossAccepted(_ demand: LossDemand, at now: Moment) -> LossRefusal? {
        self.now = now
        guard let record, let map, recordVersion != nil, lease != .none, proposal == nil, role != .claiming, !isLeaving
        else { return .notNow }
        guard record.epoch == demand.epoch else { return .changed }
        if role != .primary, let primary = record.primary, !leaseHasEnded(record.primaryLease), !mayResume {
            emit(.askLease(record.primaryLease))
            return .primary(primary)
        }
        let others = memberStandings(at: now)
        let unasked = others.filter { $0.standing == .unasked && !demand.named.contains($0.member.node) }
        if !unasked.isEmpty {
            askStatus(of: unasked.map(\.member))
            return .unasked(unasked.map(\.member.node))
        }
        if let better = better(others) { return .better(better) }
        var members = [local]
        switch (content, demand.content) {
        case (.whole, _):
            // After a loss of power this one is no better than others to which the same happened; they stay, too.
            members += others.compactMap { m, standing in
                switch standing {
                case .whole: updated(m)
                case .rebooted: mayLackUnflushed ? updated(m) : nil
                case .catchingUp, .learning, .nothing, .outOfUse, .unasked, .away: nil
                }
            }
            let least = min(map.policy.minInSync, record.inSync.count)
            guard members.count < least else { return .enough }
        case (.old, .any), (.incomplete, .any): break
        case (.old, .whole), (.incomplete, .whole), (.nothing, _): return .content(content)
        }
        let mayReturn = others.filter { m, standing in
            if demand.named.contains(m.node) || members.contains(where: { $0.node == m.node }) { return false }
            switch standing {
            case .away(let time): return time < limits.lossPatience
            case .catchingUp, .outOfUse: return true
            case .whole, .rebooted, .learning, .nothing, .unasked: return false
            }
        }
        guard mayReturn.isEmpty else { return .mayReturn(mayReturn.map(\.member.node)) }
        if role == .primary { endReign() }
        mark(.membersKeptAtAcceptedLoss, if: members.count > 1)
        sendClaim(record, members: members, kind: .acceptedLoss)
        return nil
    }

    /// After a loss of power: what was not flushed may be missing here.
    public var mayLackUnflushed: Bool { rebooted || !isRecorded }

    /// A member that is here and to be preferred to this one.
    private func better(_ others: [(member: Member, standing: MemberStanding)]) -> NodeID? {
        // Its log is the truth already.
        if role == .primary { return nil }
        let isWhole = if case .whole = content { true } else { false }
        for (m, standing) in others {
            switch standing {
            case .whole(let end):
                if !isWhole || mayLackUnflushed || end > history.end { return m.node }
            case .rebooted(let end):
                if !isWhole || mayLackUnflushed && end > history.end { return m.node }
            case .catchingUp, .learning, .nothing, .outOfUse, .unasked, .away: break
            }
        }
        return nil
    }

    // MARK: Content that is not whole

    /// The claim has won: what is here counts from now on, once it is stable. A replica that dies before is what it was.
    func takeAsItIs(_ end: EntryName, under number: LeaseNumber, _ epoch: Epoch) {
        mark(.incompleteContentTaken)
        let knewNoLog = knowsNoLog
        // What came in order is applied; rows cannot take entries whose predecessors they lack.
        if !pg.isMetadata {
            if knewNoLog {
                emit(.decided(through: end))
            } else {
                announced = history.end
                noteDecided()
            }
        }
        while !tail.isEmpty { drop(tail.removeLast().entry.payload) }
        let begin = EntryName(epoch: epoch, n: max(end.n, 1))
        history = EpochHistory()
        history.append(begin)
        // What rows lack was not executed, whatever the windows say.
        if knewNoLog || pg.isMetadata { windows = RequestWindows() }
        decided = begin
        announced = begin
        appended = begin
        stable = begin
        state.promised = epoch
        emit(.restartLog(after: begin, cuts: cuts))
        if pg.isMetadata {
            emit(.forgoRows(through: begin, self.begin(.rowsForgone(epoch, under: number))))
        } else if knewNoLog {
            // The disk knows its files' cuts, and nobody else does any more.
            emit(.listChanges(after: .zero, self.begin(.takenCuts(epoch, under: number))))
        } else {
            emit(.syncAll(self.begin(.tookAsItIs(epoch, under: number))))
        }
    }

    func takenCutsListed(_ epoch: Epoch, under number: LeaseNumber, _ cuts: [ListedCut]) {
        marks.add(older: cuts)
        emit(.syncAll(begin(.tookAsItIs(epoch, under: number))))
    }

    /// The rows take the new log's entries; now they are made stable with it.
    func rowsForgone(_ epoch: Epoch, under number: LeaseNumber) {
        emit(.syncAll(begin(.tookAsItIs(epoch, under: number))))
    }

    func tookAsItIs(_ epoch: Epoch, under number: LeaseNumber) {
        guard role == .claiming, proposal == nil else { return }
        guard number == lease, record?.epoch == epoch else {
            mark(.claimVoidWithoutLease)
            role = .follower
            return
        }
        state.learning = false
        state.completeThrough = .zero
        state.completeHistory = EpochHistory()
        beginReign(.acceptedLoss, under: number)
    }
}
