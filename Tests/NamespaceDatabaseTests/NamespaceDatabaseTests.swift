import ClusterModel
import DiskIO
import Foundation
import Namespace
import Testing
import Wire

@Suite struct NamespaceDatabaseTests {
    @Test("both implementations give equal results, digests and states for the same log", arguments: 1...4)
    func equal(seed: UInt64) throws {
        let log = RandomLog(seed: seed, count: 1500).changes
        let temporary = try TemporaryFolder()
        let arrays = RowArrays()
        let database = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
        var first = try NamespaceMachine(fileset: .root, rows: arrays)
        var second = try NamespaceMachine(fileset: .root, rows: database)
        let results = try first.apply(log, batch: 1, to: arrays)
        #expect(try second.apply(log, batch: 16, to: database) == results, "seed \(seed)")
        #expect(try RowDigest(arrays) == RowDigest(database), "seed \(seed)")
        #expect(first.state == second.state)
        #expect(try arrays.replies(after: 0, limit: Int.max) == database.replies(after: 0, limit: Int.max))
        let failures = Set(try results.map { try decode($0).failure })
        #expect(failures.count >= 6, "the log of seed \(seed) hardly fails: \(failures.count) kinds")
    }

    @Test(
        "a database is there whole as soon as its name is: a loss of power takes nothing of its making",
        arguments: [true, false])
    func made(isCutOff: Bool) throws {
        let temporary = try TemporaryFolder()
        if isCutOff {
            // The process ended before the tables were made.
            _ = try SQLiteDatabase(in: temporary.folder, name: "m1", .new)
        } else {
            _ = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
        }
        // What was not synced is lost.
        for name in isCutOff ? ["m1", "m1-wal"] : ["m1-wal"] where try temporary.folder.names().contains(name) {
            try Data().write(to: URL(fileURLWithPath: temporary.folder.path + "/" + name))
        }
        let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", .existing)
        var machine = try NamespaceMachine(fileset: .root, rows: rows)
        try machine.apply(RandomLog(seed: 1, count: 50).changes, batch: 16, to: rows)
        #expect(machine.applied.n == 50)
    }

    @Test("after a restart only what was committed is there, and the log's rest makes it whole", arguments: [11, 12])
    func restart(seed: UInt64) throws {
        let log = RandomLog(seed: seed, count: 600).changes
        let temporary = try TemporaryFolder()
        var whole = try NamespaceMachine(fileset: .root, rows: RowArrays())
        let arrays = RowArrays()
        try whole.apply(log, batch: 16, to: arrays)
        var random = SplitMix64(seed: seed)
        var existence = DiskFile.Existence.new
        var applied: UInt64 = 0
        while applied < 600 {
            let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", existence)
            existence = .existing
            var machine = try NamespaceMachine(fileset: .root, rows: rows)
            #expect(machine.applied.n == applied)
            let end = min(applied + 1 + UInt64(random.below(150)), 600)
            try machine.apply(log.prefix(Int(end)), batch: 16, to: rows)
            applied = end
            // Applied but not committed: gone with the connection.
            for change in log[Int(end)...].prefix(5) { _ = try machine.apply(change, rows: rows) }
            try rows.rollback()
        }
        let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", .existing)
        #expect(try RowDigest(rows) == RowDigest(arrays))
        #expect(try NamespaceMachine(fileset: .root, rows: rows).state == whole.state)
    }

    @Test(
        "what has changed in the file is told, and never given",
        arguments: [
            "UPDATE rows SET value=CAST(X'00' || substr(value,2) AS BLOB)", "UPDATE rows SET version=version+1",
            "UPDATE rows SET value=X''",
        ])
    func rot(change: String) throws {
        let temporary = try TemporaryFolder()
        let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
        let key = NamespaceKey(bytes: [1, 2, 3])
        try rows.put(key, [9, 8, 7], version: 5)
        try rows.commit()
        #expect(try rows.value(of: key) == [9, 8, 7])
        try rows.database.execute(change)
        for read in [
            { _ = try rows.value(of: key) }, { _ = try rows.rows(from: .least, below: .greatest, limit: 10) },
            { _ = try rows.changes(after: ChangePosition(version: 0, key: .least), limit: 10) },
        ] as [() throws -> Void] {
            let error = #expect(throws: DiskError.self) { try read() }
            #expect(error?.isDamage == true)
        }
        // What is written over it is as good as new.
        try rows.put(key, [1], version: 6)
        #expect(try rows.value(of: key) == [1])
        #expect(!temporary.folder.health.hasFailed)
    }

    @Test("replies and the state are told to have changed, too")
    func rotBesideRows() throws {
        let temporary = try TemporaryFolder()
        let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
        try rows.putReply(7, [1, 2, 3])
        try rows.putState([4, 5, 6])
        try rows.commit()
        #expect(try rows.reply(7) == [1, 2, 3] && rows.state() == [4, 5, 6])
        // A reply that lies under another number is none, either.
        try rows.database.execute(
            "UPDATE replies SET n=8; UPDATE state SET value=CAST(X'04' || substr(value,2,1) || X'07' || substr(value,4) AS BLOB)"
        )
        #expect(throws: DiskError.self) { try rows.reply(8) }
        #expect(throws: DiskError.self) { try rows.replies(after: 0, limit: 10) }
        #expect(throws: DiskError.self) { try rows.state() }
    }

    @Test("a file that is no database any more is damage, and does not end the use of its disk")
    func noDatabase() throws {
        let temporary = try TemporaryFolder()
        try Data(repeating: 0x5a, count: 8192).write(to: URL(fileURLWithPath: temporary.path + "/m1"))
        let error = #expect(throws: DiskError.self) {
            try NamespaceDatabase(in: temporary.folder, name: "m1", .existing)
        }
        #expect(error?.isDamage == true)
        #expect(!temporary.folder.health.hasFailed)
    }

    @Test("rows of another fileset and rows of an unknown format are refused")
    func refused() throws {
        let temporary = try TemporaryFolder()
        do {
            let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
            var machine = try NamespaceMachine(fileset: .root, rows: rows)
            try machine.apply(RandomLog(seed: 1, count: 1).changes, batch: 1, to: rows)
            #expect(throws: NamespaceFault.otherFileset(.root)) {
                try NamespaceMachine(fileset: FilesetID(2), rows: rows)
            }
            try rows.database.execute("UPDATE format SET number=99")
        }
        #expect(throws: DiskError.self) { try NamespaceDatabase(in: temporary.folder, name: "m1", .existing) }
    }

    @Test("an export through pieces while the source goes on makes an equal copy", arguments: Implementation.allCases)
    func export(_ target: Implementation) throws {
        let log = RandomLog(seed: 5, count: 1200).changes
        let temporary = try TemporaryFolder()
        let source = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
        var machine = try NamespaceMachine(fileset: .root, rows: source)
        try machine.apply(log.prefix(1000), batch: 16, to: source)
        var export = try NamespaceExport(after: 0, changedByLearner: [], rows: source)
        try target.withRows { rows throws in
            var install = try NamespaceInstall(export.scope, rows: rows)
            var copy: NamespaceMachine?
            var next = 1000
            var pieces = 0
            while copy == nil {
                // The source changes between the pieces.
                try machine.apply(log[next..<min(next + 20, 1200)], batch: 16, to: source)
                next = min(next + 20, 1200)
                let piece = try export.next(machine, rows: source, limit: 8192)
                pieces += 1
                copy = try install.receive(piece, fileset: .root, rows: rows)
            }
            #expect(pieces > 10)
            try copy?.apply(log, batch: 16, to: rows)
            try machine.apply(log, batch: 16, to: source)
            #expect(try RowDigest(rows) == RowDigest(source))
            #expect(copy?.state == machine.state)
        }
    }

    @Test("a directory of 100,000 entries is listed in pages under churn: who stays is listed once")
    func greatDirectory() throws {
        let temporary = try TemporaryFolder()
        let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
        var machine = try NamespaceMachine(fileset: .root, rows: rows)
        var n: UInt64 = 0
        func run(_ operation: NamespaceOperation) throws {
            n += 1
            let change = NamespaceChange(
                name: EntryName(epoch: Epoch(1), n: n), time: Timestamp(nanoseconds: Int64(n)), session: .none,
                request: .none, call: nil,
                entry: NamespaceEntry(semantics: 1, credentials: .superuser, operation: operation))
            let result = try #require(try machine.apply(change, rows: rows)).result
            if let failure = result.failure { throw failure }
            if n % 512 == 0 { try machine.commit(rows: rows) }
        }
        func file(_ i: Int) throws -> FileName { try #require(FileName("file-\(i)")) }
        try run(.initialize(FilesetSetup()))
        for i in 0..<100_000 {
            if let through = machine.wantedReservation { try run(.reserveInodes(through: through)) }
            try run(
                .create(
                    directory: .root, name: try file(i), file: .regular(.unchecked), attributes: AttributeChanges()))
        }
        try machine.commit(rows: rows)
        var random = SplitMix64(seed: 3)
        var removed: Set<Int> = []
        var listed: [FileName] = []
        var cookie: UInt64 = 0
        var added = 100_000
        while true {
            let query = NamespaceQuery.list(directory: .root, cookie: cookie, limit: 512, detail: .names)
            let question = NamespaceQuestion(credentials: .superuser, session: .none, query: query)
            guard case .entries(let page, _, let end) = try machine.answer(question, at: .zero, rows: rows).answer
            else {
                Issue.record("no listing")
                return
            }
            #expect(page.count <= 512)
            listed += page.map(\.name)
            cookie = page.last?.cookie ?? cookie
            if end == .reached { break }
            // One goes (perhaps the very one that the cookie names), one comes.
            let victim = random.below(100_000)
            if removed.insert(victim).inserted { try run(.remove(directory: .root, name: try file(victim))) }
            if added < 100_100 {
                try run(
                    .create(
                        directory: .root, name: try file(added), file: .regular(.unchecked),
                        attributes: AttributeChanges()))
                added += 1
            }
            try machine.commit(rows: rows)
        }
        let seen = Set(listed)
        #expect(seen.count == listed.count, "an entry was listed twice")
        let missing = try (0..<100_000).filter { try !removed.contains($0) && !seen.contains(file($0)) }
        #expect(missing.isEmpty, "entries that stayed were not listed")
    }
}

private func decode(_ bytes: [UInt8]) throws -> NamespaceResult {
    try bytes.withUnsafeBytes {
        var reader = WireReader($0)
        return try NamespaceResult(from: &reader)
    }
}
