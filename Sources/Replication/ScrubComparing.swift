import ClusterModel
import Wire

/// What one member answered of all objects of a question.
struct ScrubCopy {
    var node: NodeID
    var found: [ObjectFinding]
}

/// What one member remembers of the recent requests of sessions.
struct WindowCopy {
    var node: NodeID
    var map: MapVersion
    var found: [WindowFinding]
}

/// What the answers to a scrub's question say (replication.md, 17; the invariants stand in Scrubbing.swift).
extension PlacementGroup {
    func compare(_ copies: [ScrubCopy], _ depth: ScrubDepth) {
        guard let run = scrub else { return }
        var bytes: UInt64 = 0
        for (i, item) in run.window.enumerated() {
            let found = copies.map { $0.found[i] }
            for copy in copies { noteMended(copy.node, UInt64(copy.found[i].mended)) }
            if depth == .blocks {
                let blocks = min(found.map(\.blocks).max() ?? 0, UInt32(Geometry.blocksPerObject))
                bytes += UInt64(blocks) * UInt64(Geometry.blockSize)
            }
            // Nothing of a fileset that is gone is compared: its members remove it each in its own time.
            if map?.filesets.isGone(item.object.file.fileset) == true { continue }
            let isSameEntry = found.allSatisfy { $0.asOf.n >= run.mark.n } && !wasOvertaken(run, i, found)
            guard isSameEntry, found.allSatisfy({ $0.verdict != .unknown }) else {
                lookAgain(item, moved: true)
                continue
            }
            judge(item, copies.map { ($0.node, $0.found[i]) }, depth)
        }
        scrub?.progress.done += UInt64(run.window.count)
        scrub?.progress.bytes += bytes
        let isWaiting = scrub?.next == scrub?.names.count && scrub?.again.isEmpty == false
        let pace = TimeSpan(nanoseconds: bytes * 1_000_000_000 / max(scrubPace, 1))
        scrub?.due = now.now + (isWaiting ? max(pace, limits.retry) : pace)
    }

    /// Whether a copy has an entry behind the mark that touched the object.
    private func wasOvertaken(_ run: ScrubRun, _ i: Int, _ found: [ObjectFinding]) -> Bool {
        run.touched[i] != 0 && found.contains { $0.asOf.n >= run.touched[i] }
    }

    private func judge(_ item: ScrubRun.Again, _ copies: [(node: NodeID, found: ObjectFinding)], _ depth: ScrubDepth) {
        guard let mine = copies.first(where: { $0.node == local.node })?.found else { return }
        // What the primary knows was judged when it named it.
        if depth == .index, mine.version != .zero { return }
        // Versions may differ where the content is the same: a cut that a learner was told of clips its rows without raising
        // them, and an object without content may be a tombstone at one and forgotten at another.
        func agrees(_ other: ObjectFinding) -> Bool { mine.digest == other.digest && mine.blocks == other.blocks }
        let bad = copies.filter { $0.found.verdict == .lost }.map(\.node)
        let others = copies.filter { !agrees($0.found) }.map(\.node)
        if bad.isEmpty, others.isEmpty {
            if depth == .blocks {
                if let i = scrub?.result.lost.firstIndex(where: { $0.object == item.object }) {
                    scrub?.result.lost.remove(at: i)
                    scrub?.result.lostCount -= 1
                }
                scrub?.result.objects += 1
                scrub?.result.blocks += UInt64(mine.blocks)
            }
            return
        }
        // A difference that stays is one; a block that is nowhere may be on a disk that did not answer in time.
        if item.differed < limits.scrubRepeats { return lookAgain(item, moved: false) }
        if others.isEmpty {
            noteLost(item.object, copies.flatMap(\.found.lost))
        } else if !bad.isEmpty, others.allSatisfy({ bad.contains($0) }), !bad.contains(local.node), relearn(bad) {
            scrub?.result.relearning += bad
        } else {
            if !bad.isEmpty { noteLost(item.object, copies.flatMap(\.found.lost)) }
            noteDifference(.object(item.object), others)
        }
    }

    private func lookAgain(_ item: ScrubRun.Again, moved: Bool) {
        var item = item
        if moved { item.moved += 1 } else { item.differed += 1 }
        if item.moved > limits.scrubAttempts {
            scrub?.result.unsettled += 1
        } else {
            scrub?.again.append(item)
        }
    }

    private func noteMended(_ node: NodeID, _ blocks: UInt64) {
        guard blocks > 0 else { return }
        if let i = scrub?.result.mended.firstIndex(where: { $0.node == node }) {
            scrub?.result.mended[i].blocks += blocks
        } else {
            scrub?.result.mended.append(ScrubResult.Mended(node: node, blocks: blocks))
        }
    }

    private func noteLost(_ object: ObjectID, _ blocks: [UInt16]) {
        guard let run = scrub else { return }
        var unique: [UInt16] = []
        for block in blocks.sorted() where unique.last != block { unique.append(block) }
        // What changed since the beginning is looked at once more.
        if let i = run.result.lost.firstIndex(where: { $0.object == object }) {
            scrub?.result.lost[i].blocks = unique
            return
        }
        scrub?.result.lostCount += 1
        guard run.result.lost.count < limits.scrubbedNames else { return }
        scrub?.result.lost.append(ScrubResult.Lost(object: object, blocks: unique))
    }

    private func noteDifference(_ place: ScrubResult.Place, _ members: [NodeID]) {
        guard let run = scrub else { return }
        // Two other members may have named it.
        if run.result.differing.contains(where: { $0.place == place }) { return }
        scrub?.result.differingCount += 1
        guard run.result.differing.count < limits.scrubbedNames else { return }
        scrub?.result.differing.append(ScrubResult.Difference(place: place, members: members))
    }

    // MARK: Rows

    func compareRows(_ copies: [(node: NodeID, found: RowsFinding)]) {
        guard let run = scrub, let mine = copies.first(where: { $0.node == local.node })?.found else { return }
        let isSameEntry = copies.allSatisfy { $0.found.asOf == run.mark }
        let others = copies.filter {
            $0.found.digest != mine.digest || $0.found.count != mine.count || $0.found.end != mine.end
        }
        scrub?.due = now.now + TimeSpan(nanoseconds: UInt64(mine.count) * limits.scrubRowNanoseconds)
        guard isSameEntry || others.isEmpty && mutated(.scrubWithoutMark) else {
            scrub?.rowAttempts += 1
            scrub?.due = now.now + limits.retry
            if run.rowAttempts > limits.scrubAttempts {
                scrub?.result.unsettled += 1
                goOn(behind: mine.end)
            }
            return
        }
        scrub?.rowAttempts = 0
        if others.isEmpty {
            if run.isAtReplies {
                scrub?.result.replies += UInt64(mine.count)
            } else {
                scrub?.result.rows += UInt64(mine.count)
            }
            scrub?.progress.done += UInt64(mine.count)
            goOn(behind: mine.end)
            return
        }
        // The least end: what lies behind it is looked at next.
        var end = mine.end
        for copy in copies {
            guard let theirs = copy.found.end else { continue }
            if end.map({ theirs.lexicographicallyPrecedes($0) }) ?? true { end = theirs }
        }
        if run.level + 1 < ScrubRun.rowLevels.count {
            scrub?.level += 1
            scrub?.fineUntil.append(end)
        } else {
            noteDifference(Self.place(of: end ?? run.from), others.map(\.node))
            goOn(behind: end)
        }
    }

    /// What a key of rows and replies is of.
    private static func place(of key: [UInt8]) -> ScrubResult.Place {
        key.first == ScrubAsk.replies ? .reply(n: ScrubAsk.entry(before: key + [0])) : .row(key)
    }

    /// Rows through this key were looked at; nil: all.
    private func goOn(behind end: [UInt8]?) {
        guard let run = scrub else { return }
        guard let end else {
            if run.isAtReplies || run.scope != .whole { return compareWindowsNext() }
            scrub?.from = ScrubRun.replies
            scrub?.rowAttempts = 0
            scrub?.level = 0
            scrub?.fineUntil = []
            return
        }
        scrub?.from = end + [0]
        scrub?.rowAttempts = 0
        while let until = scrub?.fineUntil.last, let until, !end.lexicographicallyPrecedes(until) {
            scrub?.fineUntil.removeLast()
            scrub?.level -= 1
        }
    }

    // MARK: Windows

    /// Sessions that have ended are left out: each member drops them when it hears of that.
    func compareWindows(_ copies: [WindowCopy]) {
        guard let run = scrub, let map else { return }
        let known = copies.map { copy in
            Dictionary(copy.found.map { ($0.session, $0.digest) }, uniquingKeysWith: { first, _ in first })
        }
        guard let own = copies.firstIndex(where: { $0.node == local.node }) else { return }
        var sessions = copies.flatMap { $0.found.map(\.session) }.filter { !map.hasEnded($0) }
        sessions.sort()
        var alike: UInt64 = 0
        var differing: [(session: SessionID, members: [NodeID])] = []
        for (i, session) in sessions.enumerated() where i == 0 || sessions[i - 1] != session {
            let others = copies.indices.filter { known[$0][session] != known[own][session] }
            if others.isEmpty {
                alike += 1
            } else {
                differing.append((session, others.map { copies[$0].node }))
            }
        }
        // A member knows of the end of a session that the primary has not heard of.
        let isBehind = copies.contains { $0.map > map.version }
        if !differing.isEmpty, run.windowLooks < (isBehind ? limits.scrubAttempts : limits.scrubRepeats) {
            scrub?.windowLooks += 1
            scrub?.due = now.now + limits.scrubWindowRest
            return
        }
        scrub?.result.sessions = alike
        if isBehind, !differing.isEmpty {
            scrub?.result.unsettled += 1
        } else {
            for one in differing { noteDifference(.window(one.session), one.members) }
        }
        finishScrub()
    }

    // MARK: Learning anew

    /// Has members learn everything anew, if enough others remain: they leave the record, and are told so.
    private func relearn(_ nodes: [NodeID]) -> Bool {
        guard proposal == nil, let record, let map, let version = recordVersion, reign.promised,
            record.inSync.count - nodes.count >= map.policy.minInSync
        else { return false }
        var new = record
        new.epoch = record.epoch.next
        new.inSync.removeAll { nodes.contains($0.node) }
        for node in nodes { send(.mustLearn, to: node) }
        propose(new, base: record, version: version, requiresEnded: nil, raises: nil, kind: .removal(nodes))
        return true
    }

    /// The primary says that the own copy is proven bad.
    func mustLearnArrived(from node: NodeID, epoch: Epoch) {
        guard let f = following, f.primary == node, f.epoch == epoch else { return }
        contentIsLost("its copy does not match its checksums, and other copies do")
    }

    /// What the own disk has of the group cannot be trusted any more: everything is learned anew, whatever is recorded. It is
    /// said so durably before anything else, and to the primary.
    public func contentLost(_ reason: String, at now: Moment) {
        self.now = now
        contentIsLost(reason)
    }

    /// The disk had something of the group, erased it by `eraseContent`, and opens the group as one that it has no trace of. It
    /// leaves one before anything else: a member whose disk has none has no vote after a loss of power, and where there are two
    /// members the group would wait for an operator.
    public func contentErased(at now: Moment) {
        self.now = now
        guard absent else { return }
        mark(.erasedDiskLeavesTrace)
        contentIsLost("all that the disk had of it has been erased")
    }

    private func contentIsLost(_ reason: String) {
        if role == .primary { endReign() }
        absent = false
        state.learning = true
        state.completeThrough = .zero
        state.completeHistory = EpochHistory()
        emit(.report(.mustLearn(reason)))
        let primary = following?.primary
        let epoch = following?.epoch
        forgetFollowing()
        keepState(then: .contentForgotten)
        // The primary need not wait for it: it attaches it as a learner.
        if let primary, let epoch { send(.gone, to: primary, epoch: epoch) }
    }
}
