import ClusterModel
import Wire

/// One learner's catching up, as the primary sees it.
struct CatchUp {
    var node: NodeID
    var attempt: UInt32
    var fork: EntryName
    var stage: Stage = .waiting
    /// The learner's new log begins after this entry.
    var start: EntryName = .zero
    var keys: [ObjectID] = []
    var ownListed = false
    var theirsListed = false
    /// The object that is being copied, and the next block of it.
    var next = 0
    var block = 0
    var reading = false
    var steps: UInt32 = 0
    var unfinished = 0
    /// Snapshot of a metadata group: all parts have been read.
    var snapshotEnded = false
    var snapshot: WorkToken?
    var rowsCopied = 0
    /// About how many there are.
    var rowCount = 0
    var progressAt: Instant
    /// Nothing is sent before this, for the sake of the pace: what was sent so far is worth the time until then.
    var paceUntil = Instant(nanoseconds: 0)
    var copiedBytes: UInt64 = 0
    var meter: ProgressMeter
    /// Every entry needs it from now on.
    var isNeeded = false
    /// Pieces that are on their way although entries that touch them are not decided.
    var early: [EarlyPiece] = []
    /// One of these entries was decided before its piece was installed: the learner may have put the piece over it.
    var isOvertaken = false

    struct EarlyPiece {
        var step: UInt32
        var object: ObjectID
        var blocks: BlockRange
    }

    init(node: NodeID, attempt: UInt32, fork: EntryName, at now: Instant) {
        self.node = node
        self.attempt = attempt
        self.fork = fork
        progressAt = now
        meter = ProgressMeter(at: now)
    }

    enum Stage {
        /// Nothing is sent to the learner: others of this node catch up first. → `marking`.
        case waiting
        /// The learner puts its mark down. → `listing` (data) or `copying` (metadata).
        case marking
        /// Cuts that the file marks may have forgotten. → `listing`.
        case listingCuts
        case listing
        case copying
        /// Nothing is missing; it makes all stable. → `finished`.
        case finishing
        /// Waits for its promotion, or for nothing if the record names it.
        case finished
    }
}

/// Catching up, the primary's side (replication.md, 11 to 15).
extension PlacementGroup {
    func beginCatchUp(_ i: Int, fork: EntryName) {
        let m = reign.members[i]
        reign.members[i].isComplete = false
        reign.catchUps.removeAll { $0.node == m.node }
        reign.pieceReads.removeAll { $0.node == m.node }
        // Members that the record names come first: writes wait for them.
        guard m.isInSync || reign.catchUps.filter({ !isInSync($0.node) }).count < limits.learners else {
            reign.members[i].phase = .detached
            reign.members[i].attemptAt = now.now
            return
        }
        reign.members[i].phase = .learning
        var c = CatchUp(node: m.node, attempt: m.attempt, fork: fork, at: now.now)
        if history.contains(fork) == false { c.fork = .zero }
        reign.catchUps.append(c)
        if limits.catchUpStart == .atOnce || writesWait(for: m.node) { startCatchUp(m.node) }
    }

    /// Its turn has come.
    func startCatchUp(_ node: NodeID) {
        guard let k = reign.catchUps.firstIndex(where: { $0.node == node }), reign.catchUps[k].stage == .waiting else {
            return
        }
        // What is not decided here leaves the learner's log, and is sent again: it does not hold it for good until then.
        if reign.catchUps[k].fork.n > decided.n, !mutated(.forkBeyondDecided) {
            mark(.forkBeyondDecided)
            reign.catchUps[k].fork = decided
        }
        reign.catchUps[k].stage = .marking
        reign.catchUps[k].progressAt = now.now
        reign.catchUps[k].meter = ProgressMeter(at: now.now)
        emit(.report(.learning(node)))
        send(.learn(attempt: reign.catchUps[k].attempt, fork: reign.catchUps[k].fork), to: node)
    }

    private func isInSync(_ node: NodeID) -> Bool { reign.members.contains { $0.node == node && $0.isInSync } }

    private func find(_ node: NodeID, _ attempt: UInt32) -> Int? {
        reign.catchUps.firstIndex { $0.node == node && $0.attempt == attempt }
    }

    func abandonCatchUp(_ node: NodeID) {
        reign.catchUps.removeAll { $0.node == node }
        reign.pieceReads.removeAll { $0.node == node }
        guard let i = reign.members.firstIndex(where: { $0.node == node }) else { return }
        reign.members[i].phase = .detached
        reign.members[i].isComplete = false
        reign.members[i].isNeeded = reign.members[i].isInSync
        if isPromoting(node) { reign.members[i].isNeeded = true }
        advanceDecided()
        // A flush may have waited for it.
        answerFlushes()
        retryParked()
    }

    func learningArrived(from node: NodeID, epoch: Epoch, attempt: UInt32) {
        guard role == .primary, epoch == reign.epoch, let k = find(node, attempt),
            reign.catchUps[k].stage == .marking, let i = reign.members.firstIndex(where: { $0.node == node })
        else { return }
        guard pg.isMetadata || !marks.mayHaveForgotten(limit: limits.fileMarks) || mutated(.forgottenCutsUntold) else {
            // The learner gets neither the entries that cut nor anything else that tells of objects that are gone: what the marks
            // have forgotten, the disk still has.
            mark(.cutsListedForLearner)
            reign.catchUps[k].stage = .listingCuts
            let token = begin(.cuts(reign: reign.number, node, attempt: attempt))
            emit(.listChanges(after: reign.catchUps[k].fork, token))
            return
        }
        startLearning(k, i, [])
    }

    /// What was cut while these were listed is in the marks: they forget the oldest only.
    func cutsListed(_ number: UInt64, _ node: NodeID, _ attempt: UInt32, _ cuts: [ListedCut]) {
        guard role == .primary, number == reign.number, let k = find(node, attempt),
            reign.catchUps[k].stage == .listingCuts, let i = reign.members.firstIndex(where: { $0.node == node })
        else { return }
        startLearning(k, i, cuts)
    }

    /// The learner's log begins behind what is decided now.
    private func startLearning(_ k: Int, _ i: Int, _ cuts: [ListedCut]) {
        let (node, attempt) = (reign.catchUps[k].node, reign.catchUps[k].attempt)
        var h = history
        h.cut(after: decided)
        var marks = marks
        marks.add(older: cuts)
        let tables = ReplicaTables(asOf: decided, history: h, windows: decidedWindows, marks: marks).encoded()
        var from = 0
        while from < tables.count {
            let to = min(from + ReplicaMessageLimits.tablesPart, tables.count)
            send(.tables(attempt: attempt, Array(tables[from..<to])), to: node)
            from = to
        }
        send(.start(LearningStart(attempt: attempt, after: decided, history: h.spans)), to: node)
        reign.members[i].phase = .streaming
        reign.members[i].appended = decided.n
        reign.members[i].stable = decided.n
        sendTail(to: i, after: decided.n)
        reign.catchUps[k].start = decided
        reign.catchUps[k].progressAt = now.now
        if pg.isMetadata {
            reign.catchUps[k].stage = .copying
            let token = begin(.snapshot(reign: reign.number, node, attempt: attempt))
            reign.catchUps[k].snapshot = token
            reign.catchUps[k].reading = true
            emit(.readSnapshot(token))
        } else {
            reign.catchUps[k].stage = .listing
            emit(
                .listChanges(
                    after: reign.catchUps[k].fork,
                    begin(.changes(reign: reign.number, node, attempt: attempt))))
        }
    }

    func primaryChangesListed(_ number: UInt64, _ node: NodeID, _ attempt: UInt32, _ objects: [ObjectID]) {
        guard role == .primary, number == reign.number, let k = find(node, attempt) else { return }
        reign.catchUps[k].keys.append(contentsOf: objects)
        reign.catchUps[k].ownListed = true
        keysListed(k)
    }

    func changedKeysArrived(from node: NodeID, epoch: Epoch, _ c: ChangedKeys) {
        guard role == .primary, epoch == reign.epoch, let k = find(node, c.attempt),
            reign.catchUps[k].stage == .listing, !reign.catchUps[k].theirsListed
        else { return }
        mark(
            .learnerChangedOtherKeys,
            if: reign.catchUps[k].ownListed && c.objects.contains(where: { !reign.catchUps[k].keys.contains($0) }))
        reign.catchUps[k].keys.append(contentsOf: c.objects)
        reign.catchUps[k].theirsListed = c.end == .last
        reign.catchUps[k].progressAt = now.now
        keysListed(k)
    }

    private func keysListed(_ k: Int) {
        guard reign.catchUps[k].ownListed, reign.catchUps[k].theirsListed, reign.catchUps[k].stage == .listing
        else { return }
        reign.catchUps[k].keys.append(contentsOf: reign.restated)
        reign.catchUps[k].keys.sort()
        var unique: [ObjectID] = []
        for key in reign.catchUps[k].keys where unique.last != key { unique.append(key) }
        reign.catchUps[k].keys = unique
        guard unique.count <= limits.missingKeys else {
            abandonCatchUp(reign.catchUps[k].node)
            return
        }
        reign.catchUps[k].stage = .copying
        copyMore(reign.catchUps[k].node)
    }

    /// Sends the next pieces, two at a time, or finishes.
    func copyMore(_ node: NodeID) {
        guard let k = reign.catchUps.firstIndex(where: { $0.node == node }), reign.catchUps[k].stage == .copying
        else { return }
        let c = reign.catchUps[k]
        if pg.isMetadata {
            if c.snapshotEnded {
                if c.unfinished == 0 { finish(k) }
            } else if !c.reading, c.unfinished < limits.piecesInFlight, !isPaused(c), let token = c.snapshot {
                reign.catchUps[k].reading = true
                emit(.readSnapshot(token))
            }
            return
        }
        if c.reading || c.unfinished >= limits.piecesInFlight || isPaused(c) { return }
        guard c.next < c.keys.count, !mutated(.promoteWithPiecesMissing) else {
            if c.unfinished == 0 { finish(k) }
            return
        }
        let count = min(ReplicaMessageLimits.blocksPerPiece, Geometry.blocksPerObject - c.block)
        reign.catchUps[k].reading = true
        reign.pieceReads.append(
            PieceRead(node: node, token: nil, object: c.keys[c.next], blocks: BlockRange(first: c.block, count: count)))
        startPieceReads()
    }

    /// Starts the reads that waited for entries which are decided now.
    func startPieceReads() {
        for i in reign.pieceReads.indices where reign.pieceReads[i].token == nil {
            let read = reign.pieceReads[i]
            guard !waitsForTail(read), let c = reign.catchUps.first(where: { $0.node == read.node }) else { continue }
            let token = begin(.piece(reign: reign.number, read.node, attempt: c.attempt))
            reign.pieceReads[i].token = token
            reign.pieceReads[i].isDisturbed = false
            reign.pieceReads[i].isDisturbedBehind = false
            emit(.readPiece(read.object, read.blocks, token))
        }
    }

    /// Whether entries that touch the piece are to be decided first. Not where that may take for ever, because a member is
    /// away that this learner may have to replace: then the piece goes early.
    private func waitsForTail(_ read: PieceRead) -> Bool {
        isEarly(read, read.blocks) && !needsAbsentMember(beside: nil)
    }

    /// Whether an entry that touches these blocks might be decided, and so applied by the learner, before the piece reaches it.
    /// Nothing is decided without a member that is needed.
    private func isEarly(_ read: PieceRead, _ blocks: BlockRange) -> Bool {
        if mutated(.pieceOverUndecided) || reign.members.contains(where: { $0.node == read.node && $0.isNeeded }) {
            return false
        }
        return (0..<tail.count).contains { tail[$0].entry.body.touches(read.object, blocks) }
    }

    /// A last piece says that the object has nothing behind it. That was so when it was read, and is said only if no entry
    /// since then may have changed it: the next piece will tell.
    private func position(_ read: PieceRead, _ found: ListPosition) -> ListPosition {
        guard let behind = read.behind else { return .last }
        guard found == .last, read.isDisturbedBehind || isEarly(read, behind), !mutated(.lastPieceTrusted) else {
            return found
        }
        mark(.lastPieceOutdated)
        return .more
    }

    /// What reads and early pieces an entry overtakes.
    func noteDecision(of body: EntryBody) {
        if mutated(.pieceOverUndecided) { return }
        for i in reign.pieceReads.indices where reign.pieceReads[i].token != nil {
            let read = reign.pieceReads[i]
            if body.touches(read.object, read.blocks) { reign.pieceReads[i].isDisturbed = true }
            if let behind = read.behind, body.touches(read.object, behind) {
                reign.pieceReads[i].isDisturbedBehind = true
            }
        }
        for k in reign.catchUps.indices {
            if reign.catchUps[k].early.contains(where: { body.touches($0.object, $0.blocks) }) {
                mark(.earlyPieceOvertaken)
                reign.catchUps[k].isOvertaken = true
            }
        }
    }

    /// Who may have put a piece over a later entry learns anew.
    func abandonOvertaken() {
        for c in reign.catchUps where c.isOvertaken { abandonCatchUp(c.node) }
    }

    /// Blocks of an object as decided entries left them.
    public func pieceRead(_ token: WorkToken, _ content: PieceContent, at now: Moment) {
        self.now = now
        guard case .piece(let number, let node, let attempt)? = end(token), role == .primary, number == reign.number,
            let r = reign.pieceReads.firstIndex(where: { $0.token == token }), let k = find(node, attempt)
        else {
            drop(content.payload)
            return
        }
        if reign.pieceReads[r].isDisturbed || waitsForTail(reign.pieceReads[r]) {
            mark(.pieceReadAnew)
            reign.pieceReads[r].token = nil
            drop(content.payload)
            startPieceReads()
            return
        }
        let read = reign.pieceReads.remove(at: r)
        var c = reign.catchUps[k]
        c.reading = false
        c.steps += 1
        c.unfinished += 1
        c.progressAt = now.now
        let position = position(read, content.position)
        note(
            &c, bytes: content.payload?.length ?? 0,
            blocks: position == .last ? Geometry.blocksPerObject - read.blocks.first : read.blocks.count)
        if position == .last {
            c.next += 1
            c.block = 0
        } else {
            c.block = read.blocks.end
        }
        if isEarly(read, read.blocks) {
            mark(.earlyPieceSent)
            c.early.append(CatchUp.EarlyPiece(step: c.steps, object: read.object, blocks: read.blocks))
        }
        reign.catchUps[k] = c
        if content.version == .zero, read.blocks.first == 0, content.content == 0, content.zero == 0, position == .last
        {
            mark(.objectRemovedAtLearner)
            send(.removeObject(attempt: attempt, step: c.steps, read.object), to: node)
            drop(content.payload)
        } else {
            send(
                .piece(
                    Piece(
                        attempt: attempt, step: c.steps, object: read.object, blocks: read.blocks,
                        content: content.content, zero: content.zero, lost: content.lost, checksums: content.checksums,
                        asOf: decided,
                        version: content.version, truncation: content.truncation, position: position,
                        payload: content.payload)), to: node)
            drop(content.payload)
        }
        // What was held back for this piece follows it in the stream.
        retryParked()
        admitWaiting()
        copyMore(node)
    }

    /// The blocks cannot be read here: the catching up cannot go on.
    public func pieceFailed(_ token: WorkToken, at now: Moment) {
        self.now = now
        guard case .piece(let number, let node, _)? = end(token), role == .primary, number == reign.number else {
            return
        }
        reign.pieceReads.removeAll { $0.token == token }
        abandonCatchUp(node)
    }

    /// The next part of a metadata group's rows. `last`: the export is over. `rows`: how many it has, and about how many there
    /// are in all, for the progress.
    public func snapshotRead(
        _ token: WorkToken, _ payload: PayloadHandle?, asOf: EntryName, position: ListPosition,
        rows: (Int, of: Int) = (0, of: 0), at now: Moment
    ) {
        self.now = now
        guard let w = works.first(where: { $0.token == token })?.work,
            case .snapshot(let number, let node, let attempt) = w,
            role == .primary, number == reign.number, let k = find(node, attempt)
        else {
            drop(payload)
            return
        }
        if asOf.n < reign.catchUps[k].start.n {
            // Rows from before the learner's log do not join. Rows are read behind all that was decided (`ApplyQueue`), and the
            // learner's log begins there: a guard.
            drop(payload)
            _ = end(token)
            abandonCatchUp(node)
            return
        }
        reign.catchUps[k].reading = false
        reign.catchUps[k].unfinished += 1
        reign.catchUps[k].progressAt = now.now
        note(&reign.catchUps[k], bytes: payload?.length ?? 0, blocks: rows.0)
        reign.catchUps[k].rowsCopied += rows.0
        reign.catchUps[k].rowCount = max(rows.of, reign.catchUps[k].rowsCopied)
        let step = reign.catchUps[k].steps
        reign.catchUps[k].steps += 1
        if position == .last {
            reign.catchUps[k].snapshotEnded = true
            _ = end(token)
        }
        send(
            .snapshot(SnapshotPart(attempt: attempt, step: step, asOf: asOf, position: position, payload: payload)),
            to: node)
        drop(payload)
        copyMore(node)
    }

    func installedArrived(from node: NodeID, epoch: Epoch, attempt: UInt32, step: UInt32) {
        guard role == .primary, epoch == reign.epoch, let k = find(node, attempt), reign.catchUps[k].unfinished > 0
        else { return }
        reign.catchUps[k].unfinished -= 1
        reign.catchUps[k].early.removeAll { $0.step == step }
        reign.catchUps[k].progressAt = now.now
        copyMore(node)
    }

    /// Nothing is missing: from now on no entry is decided without the learner, through the end of the log.
    private func finish(_ k: Int) {
        let c = reign.catchUps[k]
        reign.catchUps[k].stage = .finishing
        reign.catchUps[k].progressAt = now.now
        if let i = reign.members.firstIndex(where: { $0.node == c.node }), !mutated(.promoteWithoutNeedingLearner) {
            reign.catchUps[k].isNeeded = true
            reign.members[i].isNeeded = true
            reign.members[i].isComplete = !reign.members[i].isInSync
        }
        let through = mutated(.promotesThroughDecided) ? decided : history.end
        send(.finish(attempt: c.attempt, through: through), to: c.node)
    }

    func finishedArrived(from node: NodeID, epoch: Epoch, attempt: UInt32) {
        guard role == .primary, epoch == reign.epoch, let k = find(node, attempt),
            reign.catchUps[k].stage == .finishing, let i = reign.members.firstIndex(where: { $0.node == node })
        else { return }
        reign.catchUps[k].stage = .finished
        reign.catchUps[k].progressAt = now.now
        reign.members[i].voids = []
        reign.members[i].hasRestated = true
        let recorded = record?.inSyncMember(on: node)
        if recorded != nil, recorded == reign.members[i].member {
            // The record names it already; now it is one in truth.
            mark(.recordedMemberLearned)
            reign.members[i].isComplete = true
            reign.catchUps.remove(at: k)
            considerServing()
            advanceDecided()
            answerFlushes()
            return
        }
        considerPromotion()
    }

    func considerPromotion() {
        guard proposal == nil, let c = reign.catchUps.first(where: { $0.stage == .finished }),
            let member = reign.members.first(where: { $0.node == c.node })?.member
        else { return }
        if let i = reign.members.firstIndex(where: { $0.node == c.node }) { reign.members[i].isComplete = true }
        proposePromotion(member)
    }

    /// Nothing is heard while all that has changed is listed.
    private func patience(_ c: CatchUp) -> TimeSpan {
        switch c.stage {
        case .waiting, .marking, .listingCuts, .listing: limits.listingPatience
        case .copying, .finishing, .finished: limits.learningPatience
        }
    }

    /// Whether entries wait for a learner that is about to be promoted, and that is away or does not take them: longer than for
    /// a member.
    private func holdsUpWrites(_ c: CatchUp) -> Bool {
        guard c.isNeeded, let m = reign.members.first(where: { $0.node == c.node }), !m.isInSync else { return false }
        return isSilent(c.node) || owesTooLong(m)
    }

    func checkCatchUps() {
        startPieceReads()
        for c in reign.catchUps {
            if c.stage == .waiting {
                if writesWait(for: c.node) { startCatchUp(c.node) }
            } else if !isPromoting(c.node), now.now >= c.progressAt + patience(c) || holdsUpWrites(c) {
                mark(.catchUpAbandoned)
                abandonCatchUp(c.node)
            } else {
                copyMore(c.node)
            }
        }
        considerPromotion()
    }
}
