import ClusterModel
import Namespace
import Testing
import Wire

/// replication.md, 11, 13 and 14, with learners that have diverged.
@Suite struct ExportTests {
    @Test("a learner with entries of its own after the fork becomes equal to the primary", arguments: 1...6)
    func diverged(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var primary = try TestFileset(mode: 0o777)
        var learner = try TestFileset(mode: 0o777)
        func operation() -> NamespaceOperation {
            let text = name("n\(random.below(30))")
            return switch random.below(4) {
            case 0: .remove(directory: .root, name: text)
            case 1: .rename(from: .root, name: text, to: .root, newName: name("n\(random.below(30))"))
            default: .create(directory: .root, name: text, file: .fifo, attributes: AttributeChanges())
            }
        }
        for i in 1...100 {
            let common = operation()
            try primary.run(common, session: 1, request: UInt64(i))
            try learner.run(common, session: 1, request: UInt64(i))
        }
        let fork = learner.machine.applied.n
        for i in 101...130 { try learner.run(operation(), session: 1, request: UInt64(i)) }
        for i in 101...160 { try primary.run(operation(), session: 2, request: UInt64(i)) }

        let own = try #require(try NamespaceExport.changedKeys(after: fork, limit: 1000, rows: learner.rows))
        var export = try NamespaceExport(after: fork, changedByLearner: own, rows: primary.rows)
        #expect(export.scope == .changes(after: fork))
        var install = try NamespaceInstall(export.scope, rows: learner.rows)
        var installed: NamespaceMachine?
        while installed == nil {
            let piece = try roundTrip(try export.next(primary.machine, rows: primary.rows))
            installed = try install.receive(piece, fileset: .root, rows: learner.rows)
        }
        #expect(try RowDigest(learner.rows) == RowDigest(primary.rows), "seed \(seed)")
        #expect(installed?.state == primary.machine.state)
        // The windows came along: the primary's requests are known, the learner's own are not.
        for number in [UInt64(101), 160] {
            #expect(try installed?.keptResult(SessionID(2), RequestNumber(number), rows: learner.rows) != nil)
        }
        #expect(try installed?.keptResult(SessionID(1), RequestNumber(130), rows: learner.rows) == nil)
    }

    @Test(
        "a session that is settled for after its replies were sent leaves none that count at the learner",
        arguments: 1...10)
    func endedWindow(pieces: Int) throws {
        var primary = try TestFileset()
        let learner = RowArrays()
        for i in UInt64(1)...60 {
            // Every third is a call's, too, and is found by it when the session has ended.
            let call = i.isMultiple(of: 3) ? CallIdentity(origin: 7, request: i) : nil
            try primary.run(.recordUsage(bytes: i), session: 3 + i % 2, request: i, call: call)
        }
        var export = try NamespaceExport(after: 0, changedByLearner: [], rows: primary.rows)
        var install = try NamespaceInstall(export.scope, rows: learner)
        var installed: NamespaceMachine?
        var count = 0
        while installed == nil {
            if count == pieces { try primary.run(.settleSession(session: SessionID(3))) }
            let piece = try roundTrip(try export.next(primary.machine, rows: primary.rows, limit: 200))
            installed = try install.receive(piece, fileset: .root, rows: learner)
            count += 1
        }
        #expect(count > pieces, "the session ended while the export was under way")
        var machine = try #require(installed)
        func digest(_ machine: NamespaceMachine, _ rows: RowArrays) throws -> ReplyDigest {
            try machine.replyDigest(after: 0, limit: 1000, rows: rows)
        }
        #expect(machine.sessions == [SessionID(4)])
        #expect(try digest(machine, learner) == digest(primary.machine, primary.rows))
        // What took the place of replies goes with the next entry.
        try primary.run(.recordUsage(bytes: 1))
        _ = try machine.apply(#require(primary.log.last), rows: learner)
        #expect(learner.replyCount == primary.rows.replyCount)
        #expect(try digest(machine, learner) == digest(primary.machine, primary.rows))
    }

    /// A source whose tombstones are pruned as in production, an entry a batch.
    private struct Pruned {
        var fileset: TestFileset
        var exports = ExportsUnderWay(most: 4)
        /// Names that are there.
        var names: [FileName] = []
        private var made = 0

        init() throws { fileset = try TestFileset(mode: 0o777) }

        mutating func run(_ operation: NamespaceOperation) throws {
            let change = fileset.next(operation)
            let outcome = try fileset.machine.apply(change, rows: fileset.rows)
            #expect(outcome?.result.failure == nil)
            try exports.pruneTombstones(after: 1, fileset.machine, rows: fileset.rows)
            try fileset.machine.commit(rows: fileset.rows)
        }

        mutating func create() throws {
            made += 1
            names.append(name("file-\(made)"))
            try run(
                .create(directory: .root, name: names[names.count - 1], file: .fifo, attributes: AttributeChanges()))
        }

        mutating func remove(_ place: Int) throws {
            try run(.remove(directory: .root, name: names.remove(at: place)))
        }
    }

    @Test("tombstones stay few, and an export under way misses no removal for that", arguments: 1...8)
    func prunedTombstones(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var source = try Pruned()
        for _ in 0..<300 { try source.create() }
        for _ in 0..<200 {
            try source.remove(random.below(source.names.count))
            #expect(source.fileset.rows.tombstoneCount <= 8)
        }
        let horizon = source.fileset.machine.applied.n
        let learner = RowArrays()
        var install: NamespaceInstall?
        var machine: NamespaceMachine?
        var pieces = 0
        var kept = 0
        while machine == nil {
            let next = try source.exports.next(1, source.fileset.machine, rows: source.fileset.rows, limit: 900)
            let (scope, piece) = try #require(next)
            // Nobody has a row that was removed before.
            #expect(scope == .everything(horizon: horizon))
            #expect(piece.rows.allSatisfy { $0.value != nil || $0.version > horizon })
            var receiving = try install ?? NamespaceInstall(scope, rows: learner)
            machine = try receiving.receive(roundTrip(piece), fileset: .root, rows: learner)
            install = receiving
            pieces += 1
            if machine != nil { break }
            for _ in 0..<2 { try source.remove(random.below(source.names.count)) }
            try source.create()
            kept = source.fileset.rows.tombstoneCount
        }
        #expect(pieces > 12)
        #expect(try RowDigest(learner) == RowDigest(source.fileset.rows), "seed \(seed)")
        #expect(machine?.state == source.fileset.machine.state)
        #expect(kept == 6 * (pieces - 1), "all that came meanwhile, and nothing else")
        for _ in 0..<20 { try source.create() }
        #expect(source.fileset.rows.tombstoneCount == 0)
    }

    @Test("an export that nobody asks for any more keeps tombstones for a while only, and does not go on afterwards")
    func forgottenExport() throws {
        var source = try Pruned()
        for _ in 0..<200 { try source.create() }
        func next() throws -> ExportPiece? {
            try source.exports.next(1, source.fileset.machine, rows: source.fileset.rows, limit: 900)?.piece
        }
        #expect(try next()?.state == nil)
        for _ in 0..<100 { try source.remove(0) }
        #expect(source.fileset.rows.tombstoneCount == 300)
        // Many entries later.
        let later = EntryName(epoch: Epoch(1), n: source.fileset.machine.applied.n + NamespaceLimits.exportPatience)
        source.fileset.machine.forgo(through: later)
        for n in 1...20 {
            try source.fileset.machine.skip(EntryName(epoch: Epoch(1), n: later.n + UInt64(n)))
            try source.exports.pruneTombstones(after: 1, source.fileset.machine, rows: source.fileset.rows)
            try source.fileset.machine.commit(rows: source.fileset.rows)
        }
        #expect(source.fileset.rows.tombstoneCount == 0)
        #expect(try next() == nil)
    }

    @Test("where tombstones are gone, everything is sent")
    func everything() throws {
        var primary = try TestFileset()
        let learner = try TestFileset()
        _ = try primary.make("a")
        try primary.run(.remove(directory: .root, name: name("a")))
        primary.rows.pruneTombstones(through: primary.machine.applied.n, atMost: .max)
        #expect(try NamespaceExport.changedKeys(after: 1, limit: 10, rows: primary.rows) == nil)
        var export = try NamespaceExport(after: 1, changedByLearner: [], rows: primary.rows)
        #expect(export.scope == .everything(horizon: 3))
        var install = try NamespaceInstall(export.scope, rows: learner.rows)
        let piece = try export.next(primary.machine, rows: primary.rows)
        _ = try #require(try install.receive(piece, fileset: .root, rows: learner.rows))
        #expect(try RowDigest(learner.rows) == RowDigest(primary.rows))
        #expect(learner.rows.tombstoneHorizon() == 3)
    }

    @Test("an install that was given up leaves the rows as they were")
    func abandoned() throws {
        var primary = try TestFileset()
        var learner = try TestFileset()
        _ = try primary.make("a")
        _ = try learner.make("b")
        let digest = try RowDigest(learner.rows)
        var export = try NamespaceExport(after: 0, changedByLearner: [], rows: primary.rows)
        var install = try NamespaceInstall(export.scope, rows: learner.rows)
        var piece = try export.next(primary.machine, rows: primary.rows)
        piece.state = nil
        #expect(try install.receive(piece, fileset: .root, rows: learner.rows) == nil)
        try NamespaceInstall.abandon(rows: learner.rows)
        #expect(try RowDigest(learner.rows) == digest)
    }

    @Test(
        "rows that lack entries which are given up take the next one, and go on from there when they are opened again")
    func forgone() throws {
        var fileset = try TestFileset()
        _ = try fileset.make("a")
        let digest = try RowDigest(fileset.rows)
        let end = EntryName(epoch: Epoch(7), n: 40)
        fileset.machine.forgo(through: end)
        try fileset.machine.commit(rows: fileset.rows)
        #expect(try RowDigest(fileset.rows) == digest)
        fileset.rows.crash()
        var machine = try NamespaceMachine(fileset: .root, rows: fileset.rows)
        #expect(machine.applied == end)
        #expect(throws: NamespaceFault.self) { try machine.skip(EntryName(epoch: Epoch(7), n: 42)) }
        try machine.skip(EntryName(epoch: Epoch(7), n: 41))
        // Nothing is taken back.
        machine.forgo(through: end)
        #expect(machine.applied.n == 41)
    }

    @Test("a loss of power leaves the first of the transactions that were not synced, whatever they changed")
    func unsynced() throws {
        func content(_ rows: RowArrays) -> [String] {
            rows.rows(from: .least, below: .greatest, limit: 99).map { "\($0)" }
                + rows.changes(after: .after(version: 0), limit: 99).map { "\($0)" }
                + rows.replies(after: 0, limit: 99).map { "\($0)" } + [
                    "\(rows.state() ?? [])", "\(rows.tombstoneHorizon())",
                ]
        }
        for kept in 0...6 {
            let rows = RowArrays(syncing: .apart)
            let keys = (0..<4).map { NamespaceKey(bytes: [UInt8($0)]) }
            rows.put(keys[0], [0], version: 1)
            rows.putReply(1, [1])
            rows.commit()
            rows.sync()
            var stages = [content(rows)]
            let transactions: [() -> Void] = [
                { rows.put(keys[0], [5], version: 2) },
                {
                    rows.delete(keys[0], version: 3); rows.put(keys[1], [1], version: 3); rows.putState([9])
                },
                {
                    rows.put(keys[0], [6], version: 4); rows.delete(keys[2], version: 4); rows.deleteReply(1)
                },
                {
                    rows.pruneTombstones(through: 3, atMost: .max); rows.putReply(5, [7])
                },
                {
                    rows.removeEverything(horizon: 2); rows.put(keys[3], [2], version: 6)
                },
                {
                    rows.deleteAllReplies(); rows.putState([8])
                },
            ]
            for transaction in transactions {
                transaction()
                rows.commit()
                stages.append(content(rows))
            }
            rows.put(keys[2], [3], version: 7)
            rows.crash()
            #expect(content(rows) == stages[6])
            rows.losePower(keeping: kept)
            #expect(content(rows) == stages[kept] && rows.unsynced == 0)
        }
    }

    @Test("digests of ranges find the rows that differ")
    func digest() throws {
        var first = try TestFileset()
        var second = try TestFileset()
        for i in 0..<30 {
            _ = try first.make("f\(i)")
            _ = try second.make("f\(i)")
        }
        try first.run(.setAttributes(inode: InodeNumber(9), changes: AttributeChanges(mode: 0o600), guardTime: nil))
        try second.run(.setAttributes(inode: InodeNumber(9), changes: AttributeChanges(mode: 0o640), guardTime: nil))
        #expect(try RowDigest(first.rows) != RowDigest(second.rows))
        let keys = first.rows.rows(from: .least, below: .greatest, limit: 1000).map(\.key)
        let bounds = keys + [.greatest]
        let differing = try keys.indices.filter {
            try RowDigest(first.rows, from: bounds[$0], below: bounds[$0 + 1])
                != RowDigest(second.rows, from: bounds[$0], below: bounds[$0 + 1])
        }
        #expect(differing.count == 1)
        #expect(keys[differing[0]].bytes.last == 9)
    }
}

private func roundTrip(_ piece: ExportPiece) throws -> ExportPiece {
    var w = WireWriter()
    piece.encode(into: &w)
    return try w.bytes.withUnsafeBytes {
        var r = WireReader($0)
        let piece = try ExportPiece(from: &r)
        try r.finish()
        return piece
    }
}
