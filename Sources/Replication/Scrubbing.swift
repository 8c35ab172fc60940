import ClusterModel
import Wire

/// Scrub, the primary's side and the members' (replication.md, 17).
///
/// Invariants:
/// - copies are compared as of one entry: a mark that the primary puts into the log behind the question. What an entry behind
///   the mark has touched before a member looked is compared again at a later mark, or counted as unsettled. Of windows of
///   requests, which change as entries are appended, members tell what they were when the mark was;
/// - only members that are in sync and lack nothing are asked, and only such answer: never a learner, nor one that speaks a
///   version of the protocol without scrub, which does not count as compared;
/// - bad blocks are mended by their checksums, at whoever meets them; copies that differ and all hold are never touched;
/// - a copy is learned anew only if it is proven bad, all others hold and agree, and writes need not wait for it;
/// - no request of a client waits for anything here.
extension PlacementGroup {
    // MARK: From outside

    /// Begins a scrub if this replica serves; `scrubEnded` tells how it went. It goes on at a position if every member of now
    /// was compared before it, and from the beginning otherwise.
    public func beginScrub(_ scope: ScrubScope = .whole, from position: ScrubPosition? = nil, at now: Moment) {
        self.now = now
        guard scrub == nil else { return }
        guard isServing, lease == reign.lease, let record else {
            emit(.scrubEnded(.interrupted("this replica does not serve", nil)))
            return
        }
        let others = scrubMembers.map(\.node)
        let members = (others + [local.node]).sorted()
        let targets = record.inSync.filter { members.contains($0.node) }
            .map { PlacementTarget(node: $0.node, disk: $0.disk) }
        var run = ScrubRun(
            scope: scope, stage: pg.isMetadata ? .rows : .naming, began: targets,
            result: ScrubResult(members: members), decided: decided, askedAt: now.now, due: now.now)
        run.listers = [local.node] + others
        if let position, scope == .whole, targets.allSatisfy({ position.members.contains($0) }) {
            resume(&run, position)
        }
        scrub = run
        scrubMoved()
    }

    private func resume(_ run: inout ScrubRun, _ position: ScrubPosition) {
        switch position.place {
        case .rows(let from):
            guard pg.isMetadata else { return }
            run.from = from
        case .objects(let after):
            guard !pg.isMetadata else { return }
            run.cursor = after
        case .others:
            guard !pg.isMetadata else { return }
            run.listers.removeFirst()
        }
        mark(.scrubGoesOn)
        run.again = position.again.map { ScrubRun.Again(object: $0) }
        run.progress = position.progress
        let members = run.result.members
        run.result = position.result
        run.result.members.removeAll { !members.contains($0) }
    }

    /// Where another scrub could go on; nil while none of the whole group is under way.
    public var scrubPosition: ScrubPosition? {
        guard let scrub, scrub.scope == .whole else { return nil }
        return scrub.position(of: pg, at: local.node)
    }

    /// Ends a scrub under way.
    public func stopScrub(_ reason: String, at now: Moment) {
        self.now = now
        interruptScrub(reason)
    }

    /// Nil while none is under way.
    public var scrubProgress: ScrubProgress? { scrub?.progress }

    /// Bytes a second that a scrub may read on each member; 0: it rests, and asks nothing.
    public func scrubPaceChanged(_ bytes: UInt64) { scrubPace = bytes == 0 ? 0 : max(bytes, limits.scrubPaceFloor) }

    func interruptScrub(_ reason: String) {
        guard scrub != nil else { return }
        let position = scrubPosition
        scrub = nil
        emit(.scrubEnded(.interrupted(reason, position)))
    }

    // MARK: Going on

    /// Who is compared with the primary now.
    private var scrubMembers: [MemberProgress] {
        let able = reign.members.filter { speaks(.v9, $0.node) }
        if mutated(.scrubAsksLearners) { return able.filter { $0.phase == .streaming && isPresent($0.node) } }
        return able.filter {
            $0.isInSync && $0.isNeeded && $0.isComplete && $0.phase == .streaming && isPresent($0.node)
        }
    }

    /// Goes on as far as it can: called when time has passed, or an answer has come.
    func scrubMoved() {
        while let run = scrub, !isDraining {
            guard isServing else { return interruptScrub("the primary serves no more") }
            if !run.asked.isEmpty {
                if run.answers.count == run.asked.count {
                    scrubAnswered()
                    continue
                }
                guard now.now - run.askedAt > limits.scrubPatience || !areThere(run.asked) else { return }
                scrubFailed()
                continue
            }
            guard scrubPace > 0, now.now >= run.due, tail.count < limits.entriesInFlight / 2 else { return }
            askNext(run)
        }
    }

    private func areThere(_ asked: [(node: NodeID, attempt: UInt32)]) -> Bool {
        let members = scrubMembers
        return asked.allSatisfy { asked in
            asked.node == local.node || members.contains { $0.node == asked.node && $0.attempt == asked.attempt }
        }
    }

    /// The question is asked again, of those who are there then.
    private func scrubFailed() {
        guard let run = scrub else { return }
        scrub?.asked = []
        scrub?.failures += 1
        scrub?.due = now.now + limits.retry
        if case .objects = run.part, !mutated(.scrubForgetsWindow) { scrub?.windowAgain() }
        if run.failures >= limits.scrubAttempts { interruptScrub("members do not answer") }
    }

    /// Who is not there to be asked does not count as compared, whoever is asked of the rest.
    private func leaveOutWhoIsGone() {
        let members = scrubMembers.map(\.node) + [local.node]
        scrub?.result.members.removeAll { !members.contains($0) }
    }

    private func askNext(_ run: ScrubRun) {
        switch run.stage {
        case .naming:
            guard let lister = run.listers.first else { return compareWindowsNext() }
            guard lister == local.node || scrubMembers.contains(where: { $0.node == lister }) else {
                scrub?.listers.removeFirst()
                scrub?.cursor = nil
                return
            }
            ask(.names(after: run.cursor), of: [lister])
        case .comparing:
            if run.next < run.names.count || !run.again.isEmpty {
                askObjects(run)
            } else if run.isLastPage {
                scrub?.listers.removeFirst()
                scrub?.cursor = nil
                scrub?.late = []
                scrub?.stage = .naming
            } else {
                scrub?.stage = .naming
            }
        case .rows:
            // One of an older version knows of no keys behind the rows.
            let others = scrubMembers.map(\.node).filter { !run.isAtReplies || speaks(.v10, $0) }
            ask(
                .rows(from: run.from, limit: ScrubRun.rowLevels[run.level]), of: (others + [local.node]).sorted())
        case .windows:
            let others = scrubMembers.map(\.node).filter { speaks(.v10, $0) }
            if others.isEmpty || mutated(.scrubWithoutMark) { return finishScrub() }
            ask(.windows, of: (others + [local.node]).sorted())
        }
    }

    /// Rows or objects are done.
    func compareWindowsNext() {
        guard let run = scrub else { return }
        if run.scope != .whole { return finishScrub() }
        scrub?.stage = .windows
    }

    func finishScrub() {
        guard let run = scrub else { return }
        scrub = nil
        emit(.scrubEnded(.finished(run.result)))
    }

    private func askObjects(_ run: ScrubRun) {
        var window: [ScrubRun.Again] = []
        // What is to be looked at again comes last, so that time has passed.
        if run.next < run.names.count, run.again.count < limits.scrubAgain {
            let to = min(run.next + limits.objectsPerScrub, run.names.count)
            window = run.names[run.next..<to].map { ScrubRun.Again(object: $0.object) }
            scrub?.next = to
        } else {
            window = Array(run.again.prefix(limits.objectsPerScrub))
            scrub?.again.removeFirst(window.count)
        }
        scrub?.window = window
        // Each member's own bytes are read in the primary's pass; the others' names are compared by the index only.
        let depth: ScrubDepth = run.listers.first == local.node ? .blocks : .index
        ask(.objects(window.map(\.object), depth), of: (scrubMembers.map(\.node) + [local.node]).sorted())
    }

    /// Sends the question, and then the mark: a member has it when the mark comes.
    private func ask(_ part: ScrubAsk.Part, of nodes: [NodeID]) {
        lastWork += 1
        let isMarked = if case .names = part { false } else { !mutated(.scrubWithoutMark) }
        let mark = isMarked ? EntryName(epoch: reign.epoch, n: history.end.n + 1) : .zero
        if isMarked { leaveOutWhoIsGone() }
        scrub?.request = lastWork
        scrub?.part = part
        scrub?.mark = mark
        scrub?.answers = []
        scrub?.touched = if case .objects(let objects, _) = part { objects.map { _ in 0 } } else { [] }
        scrub?.askedAt = now.now
        scrub?.asked = nodes.map { node in (node, reign.members.first { $0.node == node }?.attempt ?? 0) }
        let question = ScrubAsk(request: lastWork, mark: mark, part: part)
        for node in nodes {
            if node != local.node {
                send(.askScrub(question), to: node)
            } else if part != .windows {
                emit(.scrub(question, to: node, epoch: reign.epoch))
            }
        }
        guard isMarked else { return }
        name(.scrubMark, nil, .unstable)
        if part == .windows { scrub?.answers.append((local.node, windowsNow)) }
        advanceDecided()
    }

    /// An entry is named behind the mark.
    func scrubOvertaken(by body: EntryBody, _ n: UInt64) {
        guard let run = scrub, n > run.mark.n, !mutated(.scrubWithoutMark) else { return }
        let whole = BlockRange(first: 0, count: Geometry.blocksPerObject)
        for (i, first) in run.touched.enumerated() where first == 0 && body.touches(run.window[i].object, whole) {
            scrub?.touched[i] = n
        }
    }

    func scrubbedArrived(from node: NodeID, epoch: Epoch, _ answer: ScrubAnswer) {
        guard role == .primary, epoch == reign.epoch, let run = scrub, run.request == answer.request,
            run.asked.contains(where: { $0.node == node }), !run.answers.contains(where: { $0.node == node })
        else { return }
        scrub?.answers.append((node, answer.content))
        scrubMoved()
    }

    private func scrubAnswered() {
        guard let run = scrub else { return }
        let answers = run.answers.sorted { $0.node < $1.node }
        if answers.contains(where: { $0.content == .notReady }) { return scrubFailed() }
        scrub?.asked = []
        scrub?.failures = 0
        switch run.part {
        case .names:
            guard case .names(let names, let next)? = answers.first?.content else { return scrubFailed() }
            namesArrived(names, next: next)
        case .objects(let objects, let depth):
            var copies: [ScrubCopy] = []
            for answer in answers {
                guard case .objects(let found) = answer.content, found.count == objects.count else {
                    return scrubFailed()
                }
                copies.append(ScrubCopy(node: answer.node, found: found))
            }
            compare(copies, depth)
        case .rows:
            var copies: [(node: NodeID, found: RowsFinding)] = []
            for answer in answers {
                guard case .rows(let found) = answer.content else { return scrubFailed() }
                copies.append((answer.node, found))
            }
            compareRows(copies)
        case .windows:
            var copies: [WindowCopy] = []
            for answer in answers {
                guard case .windows(let map, let found) = answer.content else { return scrubFailed() }
                copies.append(WindowCopy(node: answer.node, map: map, found: found))
            }
            compareWindows(copies)
        }
    }

    private func namesArrived(_ names: [ScrubName], next: ScrubName?) {
        guard let run = scrub else { return }
        var wanted: [ScrubName] = []
        var isCut = false
        for name in names where run.scope.holds(name.object) {
            if name.version.n <= run.decided.n {
                wanted.append(name)
            } else if run.late.count + wanted.count >= limits.scrubLate {
                // More has changed since the beginning than is kept in mind: the next scrub sees to it.
                isCut = true
                scrub?.result.unsettled += 1
            } else if scrub?.late.insert(name.object).inserted == true {
                wanted.append(name)
            }
        }
        scrub?.names = wanted
        scrub?.next = 0
        scrub?.pageAfter = run.cursor
        scrub?.cursor = next
        scrub?.isLastPage = next == nil || isCut
        scrub?.stage = .comparing
    }

    // MARK: Members

    func askScrubArrived(from node: NodeID, epoch: Epoch, _ ask: ScrubAsk) {
        guard canReadLocally || mutated(.scrubAsksLearners), following?.primary == node, following?.epoch == epoch
        else {
            send(.scrubbed(ScrubAnswer(request: ask.request, content: .notReady)), to: node, epoch: epoch)
            return
        }
        if case .windows = ask.part {
            windowsAsked = (ask, node, epoch)
        } else {
            emit(.scrub(ask, to: node, epoch: epoch))
        }
    }

    private var windowsNow: ScrubAnswer.Content { .windows(map?.version ?? MapVersion(0), windows.findings) }

    /// An entry was appended: if it is the mark, the windows are what all have with it.
    func answerWindows(at name: EntryName) {
        guard let (ask, node, epoch) = windowsAsked, name.n >= ask.mark.n else { return }
        windowsAsked = nil
        guard speaks(.v10, node) else { return }
        let isAsked = name == ask.mark && (canReadLocally || mutated(.scrubAsksLearners))
        send(
            .scrubbed(ScrubAnswer(request: ask.request, content: isAsked ? windowsNow : .notReady)), to: node,
            epoch: epoch)
    }

    /// What the own replica found.
    public func scrubRead(_ answer: ScrubAnswer, to node: NodeID, epoch: Epoch, at now: Moment) {
        self.now = now
        if node == local.node {
            scrubbedArrived(from: node, epoch: epoch, answer)
        } else if speaks(.v9, node) {
            // (It may be back as an older program since it asked.) This one may have become a learner while it looked.
            var answer = answer
            if !canReadLocally, !mutated(.scrubAsksLearners) { answer.content = .notReady }
            send(.scrubbed(answer), to: node, epoch: epoch)
        }
    }
}
