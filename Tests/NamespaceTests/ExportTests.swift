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

    @Test("where tombstones are gone, everything is sent")
    func everything() throws {
        var primary = try TestFileset()
        let learner = try TestFileset()
        _ = try primary.make("a")
        try primary.run(.remove(directory: .root, name: name("a")))
        primary.rows.pruneTombstones(through: primary.machine.applied.n)
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
