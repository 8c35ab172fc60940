import ClusterModel
import Replication
import Store
import Wire

/// Answers the questions of a scrub from a hosted replica, as `ScrubAnswering` does in production.
extension HostedReplica {
    struct AskedScrub {
        var ask: ScrubAsk
        var node: NodeID
        var epoch: Epoch
    }

    func answer(_ ask: ScrubAsk, to node: NodeID, epoch: Epoch) {
        askedScrub = AskedScrub(ask: ask, node: node, epoch: epoch)
        if case .objects(let objects, _) = ask.part {
            let whole = BlockRange(first: 0, count: Geometry.blocksPerObject)
            for object in objects {
                if let plan = disk.plan(pg, object, whole, again: {}) { disk.store.readFinished(plan.ticket) }
            }
        }
        if ask.mark == .zero || !pg.isMetadata && disk.store.appliedThrough(pg) >= ask.mark { lookForScrub() }
    }

    /// Everything through the mark has been applied, or has been handed to the rows.
    func lookForScrub() {
        guard let asked = askedScrub else { return }
        askedScrub = nil
        let done = { [unowned self] (content: ScrubAnswer.Content) in
            event {
                $0.scrubRead(
                    ScrubAnswer(request: asked.ask.request, content: content), to: asked.node, epoch: asked.epoch,
                    at: $1)
            }
        }
        switch asked.ask.part {
        case .names(let cursor):
            let start =
                cursor.map { ChangeCursor(version: $0.version, object: $0.object) } ?? ChangeCursor(after: .zero)
            disk.store.changes(
                pg, after: start,
                token: disk.token { notice in
                    guard case .changes(let page) = notice else { return }
                    let names = page.changes.compactMap { change -> ScrubName? in
                        guard case .object(let object, let version, _) = change else { return nil }
                        return ScrubName(version: version, object: object)
                    }
                    done(.names(names, next: page.next.map { ScrubName(version: $0.version, object: $0.object) }))
                })
            simulator.needsCycleEnd(n)
        case .objects(let objects, let depth): disk.find(objects, of: pg, depth, []) { done(.objects($0)) }
        case .rows(let from, let limit):
            ask({ done(.notReady) }) { namespace in
                let found = try namespace.digest(from: from, limit: Int(limit))
                return { done(.rows(found)) }
            }
        // The group answers it itself.
        case .windows: done(.notReady)
        }
    }
}

extension HostedDisk {
    /// What this disk holds of objects: first what the index has of all, then the bytes of each; bad blocks are mended on the
    /// way.
    func find(
        _ objects: [ObjectID], of pg: PGID, _ depth: ScrubDepth, _ found: [ObjectFinding],
        done: @escaping ([ObjectFinding]) -> Void
    ) {
        guard found.count < objects.count else {
            return depth == .blocks ? verify(objects, of: pg, 0, from: 0, found, done: done) : done(found)
        }
        let object = objects[found.count]
        let again = { [unowned self] in find(objects, of: pg, depth, found, done: done) }
        let whole = BlockRange(first: 0, count: Geometry.blocksPerObject)
        guard let version = version(pg, object, again: again), let plan = plan(pg, object, whole, again: again) else {
            return
        }
        let digest = ContentDigest(plan)
        store.readFinished(plan.ticket)
        let finding = ObjectFinding(
            asOf: store.appliedThrough(pg), version: version.version, digest: digest.value,
            blocks: UInt32(digest.blocks))
        find(objects, of: pg, depth, found + [finding], done: done)
    }

    private func verify(
        _ objects: [ObjectID], of pg: PGID, _ i: Int, from first: Int, _ found: [ObjectFinding],
        done: @escaping ([ObjectFinding]) -> Void
    ) {
        guard i < objects.count else { return done(found) }
        guard first < Geometry.blocksPerObject else {
            return verify(objects, of: pg, i + 1, from: 0, found, done: done)
        }
        let range = ObjectRange(
            object: objects[i], offset: first * Geometry.blockSize, length: Geometry.rowSize)
        read(pg, range, .none, keepsBytes: false) { [unowned self] holds in
            var found = found
            if holds == nil {
                found[i].verdict = .lost
                found[i].lost += bad(objects[i], of: pg, from: first)
            }
            verify(objects, of: pg, i, from: first + Geometry.blocksPerRow, found, done: done)
        }
    }

    /// Blocks of a row that do not hold.
    private func bad(_ object: ObjectID, of pg: PGID, from first: Int) -> [UInt16] {
        let range = BlockRange(first: first, count: Geometry.blocksPerRow)
        guard let plan = plan(pg, object, range, again: {}) else { return [] }
        let pieces = plan.contentBlocks
        let found = readEach(pieces, object)
        store.readFinished(plan.ticket)
        return zip(pieces, found).compactMap { $1 == nil ? UInt16($0.blocks.first) : nil }
    }
}

extension Simulator {
    /// A primary somewhere begins a scrub of its group.
    func scrubSomething() {
        let serving = nodes.flatMap { node in node.isOpen ? node.replicas.filter(\.group.isServing) : [] }
        guard !serving.isEmpty else { return }
        let replica = serving[random.below(serving.count)]
        let isWhole = scenario.theme == .scrubs
        let position = isWhole ? scrubPositions[replica.pg] : nil
        replica.event {
            $0.scrubPaceChanged(.max)
            $0.beginScrub(isWhole ? .whole : .fileset(.root), from: position, at: $1)
        }
    }

    /// A node gives its lease up, and takes another: every role held under it is over.
    func startOver(_ n: Int) {
        let lease = nodes[n].lease
        guard lease != .none else { return }
        leases[Int(lease.rawValue) - 1].revoked = true
        nodes[n].lease = .none
        everyReplica(n) { $0.leaseLapsed(lease, at: $1) }
    }

    /// All groups are scrubbed, when all is quiet but for what has rotted.
    func scrubAll() {
        rotRowOnce()
        for pg in groups where !scrubbed.contains(pg) {
            guard let primary = nodes.first(where: { replica($0.index, pg)?.group.isServing == true }) else { continue }
            replica(primary.index, pg)?.event {
                $0.scrubPaceChanged(.max)
                if $0.scrubProgress == nil { $0.beginScrub(at: $1) }
            }
        }
    }

    func scrubEnded(_ pg: PGID, _ outcome: ScrubOutcome) {
        tell("the scrub of \(pg) ends: \(outcome)")
        guard case .finished(let result) = outcome else {
            if case .interrupted(_, let position?) = outcome { scrubPositions[pg] = position }
            return counts["scrubs interrupted", default: 0] += 1
        }
        scrubPositions[pg] = nil
        counts["scrubs", default: 0] += 1
        counts["scrubbed objects", default: 0] += Int(result.objects)
        counts["scrubbed rows", default: 0] += Int(result.rows)
        counts["scrubbed sessions", default: 0] += Int(result.sessions)
        counts["unsettled", default: 0] += Int(result.unsettled)
        if result.differingCount > 0 { fail("a scrub of \(pg) finds copies that differ: \(result.differing)") }
        switch scenario.rot {
        case .none: if result.lostCount > 0 { return found(result, lostIn: pg) }
        case .oneDisk:
            // Others may hold it that are learning, or have lost it with power before it rotted here.
            if result.lostCount > 0, healing, result.members.count == scenario.copies, lossesOfPower == 0 {
                return found(result, lostIn: pg)
            }
        case .allDisks:
            lost[pg] = Set(
                result.lost.flatMap { lost in
                    lost.blocks.map { BlockPlace(object: lost.object, block: Int($0)) }
                })
            if lost[pg]?.isSubset(of: ruined) != true { return found(result, lostIn: pg) }
        }
        if !result.relearning.isEmpty { fail("a scrub of \(pg) has \(result.relearning) learn anew") }
        if quietBegins, result.unsettled == 0, result.members.count == scenario.copies { scrubbed.insert(pg) }
    }

    private func found(_ result: ScrubResult, lostIn pg: PGID) {
        fail("a scrub of \(pg) finds blocks lost on all replicas: \(result.lost)")
    }
}
