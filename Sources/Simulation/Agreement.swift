import ClusterModel
import Namespace
import Store
import Wire

/// The checks at the end of a run, when nothing moves any more.
extension Simulator {
    func checkAtTheEnd() {
        guard isDone else { return fail("the agenda is empty: \(stateOfThings)") }
        if destruction.losesContent { return checkWhatIsLeft() }
        // Accepting a loss raises the number, too, and loses nothing if what is left was whole.
        if lossesOfPower == 0 {
            if let wrong = Checkers.linearizable(history) { return fail(wrong) }
            if let wrong = Checkers.neverStale(history) { return fail(wrong) }
            if let wrong = checkEntries() { return fail(wrong) }
        }
        if let wrong = Checkers.promisesKept(history) { return fail(wrong) }
        checkTheTree()
        checkWhatIsLeft()
    }

    private func checkEntries() -> String? {
        do {
            var checker = try EntryChecker(history, isSteady: !scenario.faults.contains(.clockStep))
            defer { counts["undecided names", default: 0] += checker.undecided }
            return checker.findings()
        } catch {
            return "an answer of the namespace cannot be read: \(error)"
        }
    }

    /// The namespace's history, and what is in the rows.
    private func checkTheTree() {
        guard let pg = metadataGroup,
            let primary = nodes.first(where: { replica($0.index, pg)?.group.isServing == true }),
            let namespace = replica(primary.index, pg)?.namespace
        else { return }
        guard let chain = lineage.chain(to: namespace.applied) else {
            return fail("nobody is known to have applied all entries up to \(namespace.applied) of \(pg)")
        }
        var checker = TreeChecker(history, chain)
        do {
            if let wrong = try checker.replay() ?? checker.once()
                ?? checker.observed(isLossless: lossesOfPower == 0)
            {
                return fail(wrong)
            }
            if let wrong = try TreeAudit(namespace, liveSessions: map.sessions.map(\.id)).findings(checker.model) {
                return fail("the rows of \(primary.id): \(wrong)")
            }
        } catch {
            fail("the namespace of \(primary.id) at the end: \(error)")
        }
    }

    private func checkWhatIsLeft() {
        for node in nodes {
            guard let pg = metadataGroup, let namespace = replica(node.index, pg)?.namespace else { continue }
            do {
                // What a learner got of a session's window may have been dropped by the others meanwhile; nobody finds it again.
                let leads = replica(node.index, pg)?.group.isServing == true
                let audit = TreeAudit(namespace, liveSessions: leads ? map.sessions.map(\.id) : nil)
                if let wrong = try audit.findings() {
                    fail("the rows of \(node.id): \(wrong)")
                }
            } catch {
                fail("the namespace of \(node.id) at the end: \(error)")
            }
        }
        for g in groups.indices { checkAgreement(g) }
        for node in nodes where failure == nil { checkSlots(node) }
        checkBounds()
    }

    /// Every slot that is given is named by what a group uses, or becomes free with the next checkpoint.
    private func checkSlots(_ node: Node) {
        guard node.isOpen, !node.lostItsDisk, let host = node.host, !host.isClosing else { return }
        let store = host.store
        let used = store.knownGroups.reduce(Int64(0)) { sum, pg in
            store.usage(pg).reduce(sum) { $0 + $1.usage.slots }
        }
        let given = Int64(store.takenSlots - store.pendingSlotCount)
        if given != used { fail("\(node.id) has given \(given) slots, of which its groups use \(used)") }
    }

    /// All in-sync replicas hold the same at one entry: every block's state and bytes, as their stores read them.
    private func checkAgreement(_ g: Int) {
        let pg = groups[g]
        let members = records[g].placement.compactMap { t in nodes.first { $0.id == t.node } }
        guard let first = members.first, let one = replica(first.index, pg), let host = first.host else { return }
        var expected: [[ObjectBlocks]]?
        let objects = pg.isMetadata ? [] : everyObject.filter { group(of: $0) == g }
        for member in members {
            guard let other = replica(member.index, pg), let theirs = member.host else { continue }
            if other.group.decided != one.group.decided {
                return fail(
                    "\(member.id) has decided \(other.group.decided) of \(pg), \(first.id) \(one.group.decided)")
            }
            if pg.isMetadata {
                if other.namespace?.rows.everything != one.namespace?.rows.everything {
                    return fail("\(first.id) and \(member.id) differ in their rows")
                }
                continue
            }
            let applied = theirs.store.appliedThrough(pg)
            if applied != other.group.decided {
                return fail("\(member.id) has applied \(applied) of \(pg), decided \(other.group.decided)")
            }
            let content = objects.map { blocksNow(theirs, pg, $0) }
            guard failure == nil else { return }
            checkLosses(pg, objects, content)
            guard let known = expected else {
                expected = content
                continue
            }
            for (i, object) in objects.enumerated() {
                if let wrong = difference(known[i], content[i], of: object) {
                    return fail("\(first.id) and \(member.id) differ in \(object) of \(pg): \(wrong)")
                }
            }
            // A fileset that has nothing left may be counted as nothing, or not at all.
            let mine = host.store.usage(pg).filter { $0.usage.blocks != 0 }
            let its = theirs.store.usage(pg).filter { $0.usage.blocks != 0 }
            if mine.map(\.fileset) != its.map(\.fileset) || mine.map(\.usage.blocks) != its.map(\.usage.blocks) {
                return fail("\(first.id) and \(member.id) use \(mine) and \(its) of \(pg)")
            }
        }
    }

    /// What is bad everywhere at the end was found by the last scrub, by name.
    private func checkLosses(_ pg: PGID, _ objects: [ObjectID], _ content: [[ObjectBlocks]]) {
        guard scenario.rot == .allDisks else { return }
        for (object, blocks) in zip(objects, content) {
            for run in blocks where run.state == .present && run.bytes == HostedDisk.badBlock {
                counts["blocks lost on all", default: 0] += 1
                let place = BlockPlace(object: object, block: run.blocks.first)
                if lost[pg]?.contains(place) != true {
                    return fail("no scrub found block \(place.block) of \(object) in \(pg), which is bad everywhere")
                }
            }
        }
    }

    private func blocksNow(_ host: HostedDisk, _ pg: PGID, _ object: ObjectID) -> [ObjectBlocks] {
        var all: [ObjectBlocks] = []
        for first in stride(from: 0, to: 512, by: 256) {
            let runs = host.contentNow(pg, object, BlockRange(first: first, count: 256))
            // A bad block has no bytes to compare.
            guard failure == nil else { return [] }
            for run in runs where run.state != .absent {
                for i in 0..<run.blocks.count {
                    all.append(
                        ObjectBlocks(
                            blocks: BlockRange(first: run.blocks.first + i, count: 1), state: run.state,
                            bytes: run.state == .present
                                ? Array(run.bytes[i * Geometry.blockSize..<(i + 1) * Geometry.blockSize]) : []))
                }
            }
        }
        return all
    }

    private func difference(_ a: [ObjectBlocks], _ b: [ObjectBlocks], of object: ObjectID) -> String? {
        // What rotted on all disks may have been written to a slot since whose older bytes happen to hold.
        let bad = Set((a + b).filter { $0.bytes == HostedDisk.badBlock }.map(\.blocks.first))
            .filter { ruined.contains(BlockPlace(object: object, block: $0)) }
        let a = a.filter { !bad.contains($0.blocks.first) }
        let b = b.filter { !bad.contains($0.blocks.first) }
        var text: [String] = []
        var j = 0
        for x in a {
            while j < b.count, b[j].blocks.first < x.blocks.first {
                text.append("block \(b[j].blocks.first) is absent and \(show(b[j]))")
                j += 1
            }
            if j < b.count, b[j].blocks == x.blocks {
                if b[j].state != x.state || b[j].bytes != x.bytes {
                    let at = zip(x.bytes, b[j].bytes).enumerated().first { $0.element.0 != $0.element.1 }
                    let place = at.map { " from byte \($0.offset) on: \($0.element)" } ?? ""
                    text.append("block \(x.blocks.first) is \(show(x)) and \(show(b[j]))\(place)")
                }
                j += 1
            } else {
                text.append("block \(x.blocks.first) is \(show(x)) and absent")
            }
        }
        while j < b.count {
            text.append("block \(b[j].blocks.first) is absent and \(show(b[j]))")
            j += 1
        }
        return text.isEmpty ? nil : text.prefix(6).joined(separator: "; ")
    }

    private func show(_ run: ObjectBlocks) -> String {
        switch run.state {
        case .absent: "absent"
        case .zero: "zero"
        case .present: "\(BlockContent.values(run.bytes, first: 0, count: BlockContent.fieldsPerBlock))"
        }
    }
}
