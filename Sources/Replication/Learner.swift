import ClusterModel
import Wire

/// What a learner keeps of one attempt to catch up.
struct LearnerState {
    /// A metadata replica: rows cannot take entries before the snapshot is in.
    var holdsApplying = false
    var fork: EntryName = .zero
    var tables: [UInt8] = []
    /// What has changed here after the fork: objects, and the versions of cuts. Listed before anything of the group's is put
    /// over it.
    var changes: [ObjectID] = []
    var cuts: [ListedCut] = []
    /// Durable work under way; the mark is cleared only when there is none.
    var pending = 0
    /// The primary's `finish`.
    var finish: EntryName?
    var syncing = false
}

/// Catching up, the learner's side (replication.md, 11 to 15).
///
/// Invariants:
/// - the learning mark is durable before the old log is forgotten or content is put over;
/// - complete-through and the log's history up to it stand still until everything is in and stable;
/// - no cut stays here that the group does not have (a lost lineage's, after an operator accepted a loss, or after a loss of
///   power): it would hide content behind it from then on, and whatever is learned. Who has one begins with an empty disk. A
///   cut is judged by the primary's whole log: what it decides later may be what is cut here already. And one hides nothing that
///   the group's newest cut of that file does not hide, whatever it is named after;
/// - live entries are applied to all objects as they are decided: entries are whole blocks, and a piece is as of an entry
///   that is not before any applied one which touches it, so that order makes no difference to the outcome.
extension PlacementGroup {
    private func current(_ node: NodeID, _ epoch: Epoch, _ attempt: UInt32) -> Following? {
        guard let f = following, f.primary == node, f.epoch == epoch, f.attempt == attempt else { return nil }
        return f
    }

    func learnArrived(from node: NodeID, epoch: Epoch, attempt: UInt32, fork: EntryName) {
        guard let f = current(node, epoch, attempt), f.phase == .waitingToLearn || f.phase == .streaming else { return }
        if !state.learning {
            state.learning = true
            // The primary may know less of us than we do, never more.
            let bound = fork.n <= completeEnd.n ? fork : completeEnd
            state.completeThrough = history.contains(bound) ? bound : .zero
            state.completeHistory = history
            state.completeHistory.cut(after: state.completeThrough)
            emit(.report(.mustLearn("the log or its content ends at \(state.completeThrough)")))
        } else if fork.n < state.completeThrough.n {
            mark(.shorterForkWhileLearning)
            state.completeHistory.cut(after: fork)
            state.completeThrough = state.completeHistory.end
        }
        following?.phase = .marking
        following?.learner = LearnerState()
        following?.learner.fork = state.completeThrough
        absent = false
        keepState(then: .markedLearning(attempt: attempt, epoch: epoch))
    }

    func markedLearning(_ attempt: UInt32, _ epoch: Epoch) {
        guard let f = following, f.attempt == attempt, f.epoch == epoch, f.phase == .marking else { return }
        if pg.isMetadata { return askForStart(f) }
        emit(.listChanges(after: f.learner.fork, begin(.ownChanges(attempt: attempt, epoch: epoch))))
    }

    private func askForStart(_ f: Following) {
        following?.phase = .waitingForStart
        send(.learning(attempt: f.attempt), to: f.primary, epoch: f.epoch)
    }

    func tablesArrived(from node: NodeID, epoch: Epoch, attempt: UInt32, _ part: [UInt8]) {
        guard let f = current(node, epoch, attempt), f.phase == .waitingForStart,
            f.learner.tables.count + part.count <= ReplicaMessageLimits.tables
        else { return }
        following?.learner.tables.append(contentsOf: part)
    }

    func startArrived(from node: NodeID, epoch: Epoch, _ s: LearningStart) {
        guard let f = current(node, epoch, s.attempt), f.phase == .waitingForStart,
            let theirs = EpochHistory(s.history), theirs.end == s.after,
            let tables = try? ReplicaTables(decoding: f.learner.tables), tables.asOf == s.after
        else { return }
        if beginsAnewForCut(f, theirs, tables.marks) { return }
        let bytes = f.learner.tables
        following?.learner.tables = []
        // Both have what is in the log through the fork, and nobody will send it again: it is decided, so it is applied
        // before the log is forgotten.
        let shared = min(f.learner.fork.n, s.after.n)
        if shared > decided.n, !pg.isMetadata, let name = history.name(at: shared), theirs.contains(name) {
            mark(.learnerAppliesWhatBothHave)
            announced = name
            noteDecided()
        }
        while !tail.isEmpty { drop(tail.removeLast().entry.payload) }
        history = theirs
        decided = s.after
        announced = s.after
        appended = s.after
        stable = s.after
        if !mutated(.windowLeftBehind) { windows = tables.windows }
        marks = tables.marks
        emit(.restartLog(after: s.after, cuts: cuts))
        following?.phase = .streaming
        following?.stableTold = stable
        following?.learner.pending += 1
        following?.learner.holdsApplying = pg.isMetadata
        keepState(tables: bytes, then: .tablesKept(attempt: s.attempt, epoch: epoch))
        if !pg.isMetadata { tellChanges(f) }
    }

    /// Begins with an empty disk if a file was cut here by an entry that the group does not have. The primary's own entries come by
    /// its stream only, and of older ones it has none but those that it offered its log with.
    private func beginsAnewForCut(_ f: Following, _ decided: EpochHistory, _ marks: FileMarks) -> Bool {
        if mutated(.foreignCutStays) { return false }
        for cut in f.learner.cuts where cut.version.epoch != f.epoch && !decided.contains(cut.version) {
            if f.log.contains(cut.version), !mutated(.cutsJudgedEarly) {
                mark(.cutBeyondTheDecided)
                continue
            }
            if marks.covers(cut), !mutated(.cutsJudgedByName) { continue }
            mark(.foreignCutErased)
            emit(.report(.mustLearn("a file was cut here by the entry \(cut.version), which the group does not have")))
            forgetFollowing()
            send(.gone, to: f.primary, epoch: f.epoch)
            var erased = state
            erased.completeThrough = .zero
            erased.completeHistory = EpochHistory()
            erased.history = history
            emit(.eraseContent(state: erased.encoded()))
            return true
        }
        following?.learner.cuts = []
        return false
    }

    func tablesKept(_ attempt: UInt32, _ epoch: Epoch) { pendingDone(attempt, epoch) }

    private func pendingDone(_ attempt: UInt32, _ epoch: Epoch) {
        guard let f = following, f.attempt == attempt, f.epoch == epoch else { return }
        following?.learner.pending -= 1
        learnerLogMoved()
    }

    /// The objects whose version is later than asked for, tombstones and those without a version included, and later cuts; at
    /// the primary and at the learner.
    public func changesListed(_ token: WorkToken, _ objects: [ObjectID], cuts: [ListedCut], at now: Moment) {
        self.now = now
        switch end(token) {
        case .ownChanges(let attempt, let epoch): ownChangesListed(attempt, epoch, objects, cuts)
        case .cuts(let number, let node, let attempt): cutsListed(number, node, attempt, cuts)
        case .takenCuts(let epoch, let number): takenCutsListed(epoch, under: number, cuts)
        case .changes(let number, let node, let attempt): primaryChangesListed(number, node, attempt, objects)
        default: break
        }
    }

    private func ownChangesListed(_ attempt: UInt32, _ epoch: Epoch, _ objects: [ObjectID], _ cuts: [ListedCut]) {
        guard let f = following, f.attempt == attempt, f.epoch == epoch, f.phase == .marking else { return }
        following?.learner.changes = objects
        following?.learner.cuts = cuts
        askForStart(f)
    }

    private func tellChanges(_ f: Following) {
        var keys = mutated(.oneSidedChanges) ? [] : f.learner.changes
        following?.learner.changes = []
        if !mutated(.voidIgnored) { keys.append(contentsOf: state.voids.map(\.object)) }
        var from = 0
        repeat {
            let to = min(from + ReplicaMessageLimits.keysPerPage, keys.count)
            send(
                .changedKeys(
                    ChangedKeys(
                        attempt: f.attempt, objects: Array(keys[from..<to]), end: to == keys.count ? .last : .more)),
                to: f.primary, epoch: f.epoch)
            from = to
        } while from < keys.count
    }

    func pieceArrived(from node: NodeID, epoch: Epoch, _ p: Piece) {
        guard let f = current(node, epoch, p.attempt), f.phase == .streaming, state.learning else {
            drop(p.payload)
            return
        }
        announce(throughPiece: p.asOf)
        following?.learner.pending += 1
        emit(.installPiece(p, begin(.installedStep(attempt: p.attempt, epoch: epoch, step: p.step))))
        drop(p.payload)
    }

    private func announce(throughPiece name: EntryName) {
        guard name.n > decided.n else { return }
        announced = name
        noteDecided()
    }

    func removeObjectArrived(from node: NodeID, epoch: Epoch, attempt: UInt32, step: UInt32, _ object: ObjectID) {
        guard let f = current(node, epoch, attempt), f.phase == .streaming, state.learning else { return }
        following?.learner.pending += 1
        emit(.removeObject(object, begin(.installedStep(attempt: attempt, epoch: epoch, step: step))))
    }

    func stepInstalled(_ attempt: UInt32, _ epoch: Epoch, _ step: UInt32) {
        guard let f = following, f.attempt == attempt, f.epoch == epoch else { return }
        send(.installed(attempt: attempt, step: step), to: f.primary, epoch: epoch)
        pendingDone(attempt, epoch)
    }

    func snapshotArrived(from node: NodeID, epoch: Epoch, _ part: SnapshotPart) {
        guard let f = current(node, epoch, part.attempt), f.phase == .streaming, f.learner.holdsApplying else {
            drop(part.payload)
            return
        }
        following?.learner.pending += 1
        emit(
            .installSnapshot(
                part,
                begin(
                    .installedSnapshot(attempt: part.attempt, epoch: epoch, step: part.step, part.position))))
        drop(part.payload)
    }

    func snapshotInstalled(_ attempt: UInt32, _ epoch: Epoch, _ step: UInt32, _ position: ListPosition) {
        guard let f = following, f.attempt == attempt, f.epoch == epoch else { return }
        if position == .last {
            following?.learner.holdsApplying = false
            // The rows are as of an entry that may lie beyond what is decided here: the shell skips what they have.
            emit(.decided(through: decided))
        }
        send(.installed(attempt: attempt, step: step), to: f.primary, epoch: epoch)
        pendingDone(attempt, epoch)
    }

    func finishArrived(from node: NodeID, epoch: Epoch, attempt: UInt32, through: EntryName) {
        guard let f = current(node, epoch, attempt), f.phase == .streaming else { return }
        following?.learner.finish = through
        if !state.learning {
            send(.finished(attempt: attempt), to: f.primary, epoch: epoch)
            return
        }
        learnerLogMoved()
    }

    /// All that was sent is here: make it stable, then clear the mark.
    func learnerLogMoved() {
        guard let f = following, let through = f.learner.finish, state.learning, !f.learner.syncing,
            f.learner.pending == 0, appended.n >= through.n
        else { return }
        following?.learner.syncing = true
        if mutated(.promoteNotSynced) {
            syncedAll(f.attempt, f.epoch)
        } else {
            emit(.syncAll(begin(.syncedAll(attempt: f.attempt, epoch: f.epoch))))
        }
    }

    func syncedAll(_ attempt: UInt32, _ epoch: Epoch) {
        guard let f = following, f.attempt == attempt, f.epoch == epoch, state.learning else { return }
        state.learning = false
        state.completeThrough = .zero
        state.completeHistory = EpochHistory()
        state.voids = []
        state.boot = local.boot ?? state.boot
        state.formerBoots = []
        state.lostPower = false
        rebooted = false
        keepState(then: .clearedLearning(attempt: attempt, epoch: epoch))
    }

    func clearedLearning(_ attempt: UInt32, _ epoch: Epoch) {
        guard let f = following, f.attempt == attempt, f.epoch == epoch else { return }
        acknowledgeProgress()
        send(.finished(attempt: attempt), to: f.primary, epoch: epoch)
    }

    /// An attempt is over: whatever is still under way for it comes back and is ignored.
    func dropLearnerWork(_ f: Following) {
        works.removeAll {
            switch $0.work {
            case .markedLearning, .tablesKept, .ownChanges, .installedStep, .installedSnapshot, .syncedAll,
                .clearedLearning, .attach:
                true
            case .nothing, .contentForgotten, .traced, .rowsForgone, .tookAsItIs, .takenCuts, .promisedOwnReign,
                .mapBarrier,
                .handover, .edges,
                .findCut, .changes, .cuts,
                .piece, .snapshot,
                .proposal:
                false
            }
        }
    }
}
