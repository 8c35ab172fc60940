import ClusterModel
import Wire

/// A replica's part in another's reign, as in-sync member or learner.
struct Following {
    var primary: NodeID
    var epoch: Epoch
    var attempt: UInt32
    var phase: Phase
    /// Durable work that the answer to `attach` waits for.
    var waitsFor = 0
    var standing: Attached.Standing
    /// The primary's log, as it was offered.
    var log: EpochHistory
    /// The primary wants the log stable through here.
    var stableWanted: EntryName = .zero
    var stableTold: EntryName = .zero
    var appendedTold: EntryName = .zero
    var roomTold: UInt64 = .max
    var learner = LearnerState()

    enum Phase {
        /// The promise and the cut are being made durable. Then → `streaming` (same log) or `waitingToLearn`.
        case attaching
        /// The primary knows that this replica is behind. `learn` → `marking`.
        case waitingToLearn
        /// The learning mark is being made durable. Then → `waitingForStart`.
        case marking
        /// `start` → `streaming`.
        case waitingForStart
        /// Entries are taken.
        case streaming
    }
}

extension PlacementGroup {
    // MARK: Taking part

    func attachArrived(from node: NodeID, epoch: Epoch, _ a: Attach) {
        guard a.record.pg == pg, let theirs = EpochHistory(a.history) else { return }
        // Under a promise to a later primary, and never with a log of a later epoch.
        if epoch < state.promised || epoch < history.end.epoch {
            mark(.oldEpochRefused)
            send(.refused(promised: max(state.promised, history.end.epoch), record), to: node, epoch: epoch)
            return
        }
        // An earlier attempt's offer, late: the primary has forgotten it.
        if let f = following, f.primary == node, f.epoch == epoch, a.attempt <= f.attempt { return }
        // From sending a claim until its outcome is known no stream is accepted: the claim may have won, and then nobody else
        // could reign until this lease ends. A later record tells that it never can.
        if let p = proposal, case .claim = p.kind, !mutated(.streamAcceptedWhileClaiming) {
            guard a.record.epoch >= p.proposal.record.epoch, a.record != p.proposal.record else {
                mark(.streamRefusedWhileClaiming)
                return
            }
            proposalLost(p)
        }
        if role == .primary {
            if epoch == reign.epoch { return }
            mark(.deposedByAttach)
            endReign()
        }
        role = .follower
        claim = ClaimState()
        if a.record.epoch > (record?.epoch ?? .zero) {
            record = a.record
            recordVersion = nil
            emit(.readRecord)
        }
        forgetFollowing()
        state.promised = epoch
        var f = Following(
            primary: node, epoch: epoch, attempt: a.attempt, phase: .attaching, standing: .behind(fork: .zero),
            log: theirs)
        f.stableTold = .zero
        if isRecorded {
            // Recorded under this boot: either nothing was lost, or the claim after a loss of power took us in.
            rebooted = false
            state.lostPower = false
            state.boot = local.boot ?? state.boot
            state.formerBoots.removeAll { _ in record?.inSyncMember(on: local.node)?.boot == local.boot }
        }
        let common =
            mutated(.comparesNumbersOnly)
            ? history.name(at: min(history.end.n, theirs.end.n)) ?? history.end
            : history.common(with: theirs, notBeyond: history.end)
        if isRecorded, !state.learning, !absent || history.end == .zero && theirs.end.n <= history.end.n,
            common.n >= decided.n
        {
            absent = false
            // What the log is still to get counts as little as on the way: the primary decides by what it is told.
            let end = mutated(.keepDivergentTail) ? history.end : common
            mark(.attachedWhileAppending, if: appended.n < end.n)
            f.standing = .sameLog(end: appended.n < end.n && !mutated(.countsUnwritten) ? appended : end)
            if history.end != common, !mutated(.keepDivergentTail) {
                mark(.divergentTailCut)
                cutTail(after: common)
                f.waitsFor += 1
                emit(.cutLog(after: common, begin(.attach(attempt: a.attempt, epoch: epoch))))
            }
        } else {
            // A recorded member with more decided than the primary's log has would be one that a claim passed over: no seed has
            // shown one, and it learns.
            mark(.voidEndsCompleteness, if: !state.learning && !absent && completeEnd < history.end)
            f.standing = .behind(fork: fork(with: theirs))
        }
        following = f
        var wanted = state
        wanted.history = writtenState?.history ?? wanted.history
        if writtenState != wanted, !mutated(.promiseNotDurable) {
            following?.waitsFor += 1
            keepState(then: .attach(attempt: a.attempt, epoch: epoch))
        }
        if following?.waitsFor == 0 { answerAttach() }
    }

    /// Where this replica's content is known to be complete and the same as in a log with that history.
    func fork(with theirs: EpochHistory) -> EntryName {
        if absent { return .zero }
        if state.learning {
            let bound =
                mutated(.completeThroughFollowsLog) ? history.end : state.completeThrough
            let mine = mutated(.completeThroughFollowsLog) ? history : state.completeHistory
            return mine.common(with: theirs, notBeyond: bound)
        }
        return history.common(with: theirs, notBeyond: completeEnd)
    }

    /// The end of what the log has, or the entry before the first void record.
    var completeEnd: EntryName {
        let end = appended.n < history.end.n ? appended : history.end
        guard let first = state.voids.map(\.entry.n).min(), first <= end.n, !mutated(.voidIgnored) else { return end }
        return history.name(at: first - 1) ?? .zero
    }

    func attachWorkDone(_ attempt: UInt32, _ epoch: Epoch) {
        guard following?.attempt == attempt, following?.epoch == epoch, following?.phase == .attaching else { return }
        following?.waitsFor -= 1
        if following?.waitsFor == 0 { answerAttach() }
    }

    private func answerAttach() {
        guard let f = following else { return }
        switch f.standing {
        case .sameLog: following?.phase = .streaming
        case .behind: following?.phase = .waitingToLearn
        }
        following?.stableTold = stable
        following?.roomTold = room
        if case .sameLog = f.standing, let name = askOwnSync() { following?.stableWanted = name }
        send(
            .attached(
                Attached(
                    attempt: f.attempt, standing: f.standing, member: local, stable: stable, voids: state.voids,
                    room: room)), to: f.primary, epoch: f.epoch)
        noteDecided()
    }

    /// Undecided entries that were to be stable may have been appended by another process, or for another primary: their sync
    /// is asked for (again). The last of them, if it is not stable.
    func askOwnSync() -> EntryName? {
        var k = tail.count - 1
        while k >= 0, tail[k].entry.durability != .stable { k -= 1 }
        guard k >= 0, tail[k].entry.name.n > stable.n else { return nil }
        emit(.sync(through: tail[k].entry.name))
        return tail[k].entry.name
    }

    /// Removes undecided entries behind `name` from memory.
    func cutTail(after name: EntryName) {
        while !tail.isEmpty, tail[tail.count - 1].entry.name.n > name.n {
            let item = tail.removeLast()
            windows.takeBack(item)
            drop(item.entry.payload)
        }
        history.cut(after: name)
        if appended.n > name.n { appended = name }
        if stable.n > name.n { stable = name }
        if announced.n > name.n { announced = decided }
    }

    func forgetFollowing() {
        if let f = following { dropLearnerWork(f) }
        following = nil
        windowsAsked = nil
    }

    // MARK: Entries

    func appendArrived(from node: NodeID, epoch: Epoch, _ a: Append) {
        guard let f = following, f.primary == node, f.epoch == epoch, f.phase == .streaming,
            a.entry.name.epoch <= epoch
        else {
            drop(a.entry.payload)
            if epoch < state.promised {
                mark(.oldStreamRefused)
                send(.refused(promised: state.promised, record), to: node, epoch: epoch)
            }
            return
        }
        guard a.previous == history.end, a.entry.name.n == history.end.n + 1 else {
            // Already there (sent again after a new attachment), or a gap: then the primary attaches anew.
            if a.entry.name.n > history.end.n + 1 { mark(.gapInTheStream) }
            drop(a.entry.payload)
            announce(a.decided, a.stamp)
            return
        }
        let entry = a.entry
        history.append(entry.name)
        let displaced = windows.record(entry.session, entry.request, entry: entry.name, stamp: entry.lossNumber)
        tail.append(entry, token: .none, displaced: displaced)
        if windowsAsked != nil { answerWindows(at: entry.name) }
        clock.saw(entry.time)
        if entry.durability == .stable { following?.stableWanted = entry.name }
        emit(.append(entry, entry.durability))
        if mutated(.acknowledgesBeforeWritten) {
            appended = entry.name
            acknowledgeProgress()
        }
        if mutated(.completeThroughFollowsLog) { state.completeThrough = entry.name }
        announce(mutated(.applyUndecided) ? entry.name : a.decided, a.stamp)
    }

    func decidedArrived(from node: NodeID, epoch: Epoch, through: EntryName, stamp: LossNumber) {
        guard let f = following, f.primary == node, f.epoch == epoch, f.phase == .streaming else { return }
        announce(through, stamp)
    }

    private func announce(_ through: EntryName, _ stamp: LossNumber) {
        guard through.n > decided.n else { return }
        announced = through
        noteDecided(stamp: stamp)
    }

    /// A read answered by the primary proved that entries through this one are decided. Whether the own replica can now
    /// serve the read: it is in-sync, and has applied through the entry.
    public func decidedReported(_ through: EntryName, epoch: Epoch) -> Bool {
        guard canReadLocally, record?.epoch == epoch else { return false }
        if through.n > decided.n, history.contains(through) {
            announced = through
            noteDecided()
        }
        return decided.n >= through.n
    }

    /// Decides what the log has of what was announced.
    func noteDecided(stamp: LossNumber? = nil) {
        let n = min(announced.n, history.end.n)
        guard n > decided.n, announced.n > history.end.n || history.contains(announced) else { return }
        while !tail.isEmpty, tail[0].entry.name.n <= n {
            let entry = tail.removeFirst().entry
            settle(entry, stamp: stamp)
            decided = entry.name
            drop(entry.payload)
        }
        if !(following?.learner.holdsApplying ?? false) { emit(.decided(through: decided)) }
    }

    /// What a decided entry changes in the replicated tables.
    func settle(_ entry: Entry, stamp: LossNumber?) {
        if let stamp { windows.stamp(entry.session, entry.request, entry: entry.name, stamp) }
        marks.decide(entry, limit: limits.fileMarks)
        if case .restate(let r) = entry.body {
            for lost in r.lost { windows.forget(lost.session, lost.request, before: entry.name) }
        }
    }

    /// The windows as they were with the last decided entry: without what the tail has put into them.
    var decidedWindows: RequestWindows {
        var windows = windows
        for k in (0..<tail.count).reversed() { windows.takeBack(tail[k]) }
        return windows
    }

    // MARK: Acknowledging

    func acknowledgeProgress() {
        guard let f = following, f.phase == .streaming else { return }
        following?.stableTold = stable
        following?.appendedTold = appended
        following?.roomTold = room
        send(
            .acknowledge(Acknowledgement(attempt: f.attempt, appended: appended, stable: stable, room: room)),
            to: f.primary, epoch: f.epoch)
        learnerLogMoved()
    }

    /// The log has more. Entries that are decided only once they are stable are acknowledged then; a sync that takes long is
    /// not waited for beyond the next tick.
    func acknowledgeAppended() {
        guard let f = following, f.phase == .streaming, !state.learning else { return acknowledgeProgress() }
        var k = tail.count - 1
        while k >= 0, tail[k].entry.name.n > f.appendedTold.n {
            if tail[k].entry.name.n <= appended.n, tail[k].entry.durability == .unstable {
                return acknowledgeProgress()
            }
            k -= 1
        }
    }

    /// What was appended and not told; and that there is room again: while there is little, the primary may admit nothing whose
    /// acknowledgement would tell it.
    func acknowledgeRest() {
        guard let f = following, f.phase == .streaming,
            appended.n > f.appendedTold.n || f.roomTold < limits.scarceRoom && room > f.roomTold
        else { return }
        acknowledgeProgress()
    }

    func acknowledgeStability() {
        guard let f = following, f.phase == .streaming, f.stableWanted.n > f.stableTold.n else { return }
        acknowledgeProgress()
    }

    func syncArrived(from node: NodeID, epoch: Epoch, through: EntryName) {
        guard let f = following, f.primary == node, f.epoch == epoch, f.phase == .streaming else { return }
        if through.n > f.stableWanted.n { following?.stableWanted = through }
        if stable.n >= through.n {
            acknowledgeProgress()
        } else {
            emit(.sync(through: through))
        }
    }
}
