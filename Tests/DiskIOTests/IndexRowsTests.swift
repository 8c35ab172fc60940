import CSupport
import ClusterModel
import DiskIO
import Glibc
import Testing

enum CRC {
    static func of(_ bytes: [UInt8]) -> UInt32 { cs_crc32c(0, bytes, bytes.count) }
}

func testObject(_ index: UInt64, inode: UInt64 = 7, fileset: UInt32 = 1) -> ObjectID {
    ObjectID(file: FileID(fileset: FilesetID(fileset), inode: InodeNumber(inode)), index: index)
}

func testKey(_ number: UInt64) -> RowKey { RowKey(object: testObject(number / 4), mebibyte: Int(number % 4)) }

private func version(_ epoch: UInt64, _ n: UInt64) -> EntryName { EntryName(epoch: Epoch(epoch), n: n) }

private func objectRow(
    _ object: ObjectID, _ version: EntryName, group: UInt32 = 3, _ value: [UInt8] = []
) -> ObjectRow {
    let truncation = TruncationNumber(version.n / 2)
    return ObjectRow(object: object, group: .data(group), version: version, truncation: truncation, value: value)
}

@Suite struct SQLiteDatabaseTests {
    @Test("the settings that durability rests on are in force")
    func pragmas() throws {
        let disk = try TestDisk()
        let database = try SQLiteDatabase(in: disk.folder, name: "db", .new, options: .init(cacheBytes: 1 << 20))
        #expect(try database.pragma("journal_mode") == "wal")
        #expect(try database.pragma("synchronous") == "1")
        #expect(try database.pragma("wal_autocheckpoint") == "0")
        #expect(try database.pragma("locking_mode") == "exclusive")
        #expect(try database.pragma("page_size") == "4096")
        #expect(try database.pragma("cache_size") == "-1024")
        // No -shm file: nothing but this connection can use the WAL.
        #expect(try disk.folder.names() == ["db", "db-wal"])
    }

    @Test("opening creates nothing, and creating overwrites nothing")
    func existence() throws {
        let disk = try TestDisk()
        let missing = failure { () throws(DiskError) in try SQLiteDatabase(in: disk.folder, name: "db", .existing) }
        #expect(missing?.isMissing == true)
        #expect(try disk.folder.names() == [])
        _ = try SQLiteDatabase(in: disk.folder, name: "db", .new)
        let present = failure { () throws(DiskError) in try SQLiteDatabase(in: disk.folder, name: "db", .new) }
        #expect(present?.isPresent == true)
    }

    @Test("the WAL grows with commits, a passive checkpoint empties it, and the file begins anew")
    func checkpoint() throws {
        let disk = try TestDisk()
        let database = try SQLiteDatabase(in: disk.folder, name: "db", .new)
        try database.execute("CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB)")
        let insert = try database.prepare("INSERT INTO t(v) VALUES(?)")
        let value = [UInt8](repeating: 1, count: 1000)
        func fill() throws {
            try database.transaction { () throws(DiskError) in
                var error: DiskError?
                for _ in 0..<1000 {
                    value.withUnsafeBytes { raw in
                        insert.bindBorrowed(raw, at: 1)
                        error = failure { () throws(DiskError) in try insert.run() }
                    }
                    if let error { throw error }
                }
            }
        }
        try fill()
        let grown = database.walBytes
        #expect(grown > 1_000_000)
        let wal = try database.walFile()
        #expect(try wal.size() >= Int64(grown))
        try wal.sync()
        let result = try database.passiveCheckpoint()
        #expect(result.isComplete && result.framesInWAL > 200)
        #expect(database.walBytes == 0)
        let size = try wal.size()
        try fill()
        #expect(database.walBytes > 0 && database.walBytes < grown + grown / 2)
        #expect(try wal.size() < size + size / 2, "the WAL file began anew instead of growing on")
    }

    @Test("a transaction that throws leaves nothing, and the next one works")
    func rollback() throws {
        let disk = try TestDisk()
        let database = try SQLiteDatabase(in: disk.folder, name: "db", .new)
        try database.execute("CREATE TABLE t(k INTEGER PRIMARY KEY)")
        let stop = DiskError(.database, path: "x", .limit("stop"))
        let error = failure { () throws(DiskError) in
            try database.transaction { () throws(DiskError) in
                try database.execute("INSERT INTO t VALUES(1)")
                throw stop
            }
        }
        #expect(error == stop)
        try database.transaction { () throws(DiskError) in try database.execute("INSERT INTO t VALUES(2)") }
        let count = try database.prepare("SELECT k FROM t")
        #expect(try count.step() && count.integer(0) == 2)
        #expect(try !count.step())
        #expect(!disk.health.hasFailed)
    }

    @Test("a mistake in SQL is an error that says so and leaves the disk in use")
    func mistake() throws {
        let disk = try TestDisk()
        let database = try SQLiteDatabase(in: disk.folder, name: "db", .new)
        let error = failure { () throws(DiskError) in try database.prepare("SELEC 1") }
        #expect(error?.description.contains("syntax error") == true)
        #expect(!disk.health.hasFailed)
    }

    @Test("a commit that the disk refuses ends the disk and leaves nothing of the transaction", arguments: [1, 2])
    func failedCommit(_ nth: Int) throws {
        let disk = try TestDisk([.init(.commit, calls: nth...nth, effect: .fail(errno: EIO))])
        do {
            let database = try SQLiteDatabase(in: disk.folder, name: "db", .new)
            try database.execute("CREATE TABLE t(k INTEGER PRIMARY KEY)")
            for index in 1...nth {
                let error = failure { () throws(DiskError) in
                    try database.transaction { () throws(DiskError) in
                        try database.execute("INSERT INTO t VALUES(\(index))")
                    }
                }
                #expect((error != nil) == (index == nth))
            }
            #expect(disk.health.hasFailed)
        }
        let again = try DiskFolder(path: disk.folder.path, health: DiskHealth { _ in })
        let database = try SQLiteDatabase(in: again, name: "db", .existing)
        let count = try database.prepare("SELECT COUNT(*) FROM t")
        #expect(try count.step() && count.integer(0) == Int64(nth - 1))
    }

    @Test("closing a database writes nothing into its file, and nothing is lost by that")
    func close() throws {
        let disk = try TestDisk()
        let value = [UInt8](repeating: 1, count: 1000)
        do {
            let index = try IndexRows(in: disk.folder, .new)
            #expect(index.database.walBytes == 0, "the tables of a new index are in its file")
            try index.apply((0..<500).map { .putRow(testKey($0), value) })
        }
        #expect(try disk.folder.names() == ["index", "index-wal"])
        let other = try DiskFolder(path: disk.folder.path, health: DiskHealth { _ in })
        do {
            let file = try other.open("index", .existing, .read)
            #expect(try file.size() < 100_000)
        }
        let index = try IndexRows(in: other, .existing)
        #expect(index.database.walBytes > 500_000)
        #expect(try index.row(testKey(499)) == value)
    }

    @Test("a database file of garbage is refused, and the disk is failed")
    func garbage() throws {
        let disk = try TestDisk()
        try disk.folder.replaceFile("db", with: [UInt8](repeating: 0x5A, count: 8192))
        let error = failure { () throws(DiskError) in try SQLiteDatabase(in: disk.folder, name: "db", .existing) }
        #expect(error?.description.contains("not a database") == true)
        #expect(disk.health.hasFailed)
    }

    @Test("no descriptor is left when a database with statements and its -wal descriptor are gone")
    func descriptors() throws {
        let temporary = try TemporaryFolder()
        do {
            let folder = try DiskFolder(path: temporary.path, health: DiskHealth { _ in })
            for round in 0..<5 {
                let index = try IndexRows(in: folder, round == 0 ? .new : .existing)
                try index.apply([.putMeta(.appliedPosition, [UInt8(round)])])
                let wal = try index.database.walFile()
                try wal.sync()
                #expect(try index.meta(.appliedPosition) == [UInt8(round)])
            }
            try folder.sync()
        }
        #expect(temporary.openDescriptors == [])
    }

    @Test("what was committed before a sync of the -wal is there after the files are copied as a power cut leaves them")
    func prefix() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        for number in 0..<20 { try index.apply([.putMeta(.appliedPosition, [UInt8(number)])]) }
        try index.database.walFile().sync()
        // The database file and the -wal as they are now, without the connection's end: what kill -9 leaves. Read by
        // another process: a descriptor of the database file must not be opened and closed in this one.
        let copy = try TestDisk()
        let status = run("cp", ["\(disk.folder.path)/index", "\(disk.folder.path)/index-wal", copy.folder.path])
        #expect(status == 0)
        #expect(try IndexRows(in: copy.folder, .existing).meta(.appliedPosition) == [19])
        #expect(try index.meta(.appliedPosition) == [19])
    }
}

/// Runs a program and waits for its end.
private func run(_ program: String, _ arguments: [String]) -> Int32 {
    var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process = pid_t()
    guard posix_spawnp(&process, program, nil, nil, &words, environ) == 0 else { return -1 }
    var status: Int32 = 0
    waitpid(process, &status, 0)
    return status
}

@Suite struct IndexRowsTests {
    @Test("a row is what was put last, nil before and after")
    func rows() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        #expect(try index.row(testKey(5)) == nil)
        try index.apply([.putRow(testKey(5), [1, 2]), .putRow(testKey(6), []), .putRow(testKey(5), [3])])
        #expect(try index.rows([testKey(6), testKey(4), testKey(5)]) == [[], nil, [3]])
        try index.apply([.deleteRow(testKey(5)), .deleteRow(testKey(100))])
        #expect(try index.row(testKey(5)) == nil)
    }

    @Test("all kinds of rows survive closing and opening")
    func reopen() throws {
        let disk = try TestDisk()
        let row = objectRow(testObject(2), version(4, 9), [8, 8])
        do {
            let index = try IndexRows(in: disk.folder, .new)
            try index.apply([
                .putRow(testKey(1), [1]), .putObject(row), .putGroup(.data(3), [2]), .putGroup(.metadata(.root), [4]),
                .putChunk(.allocation, number: 0, [3]), .putChunk(.slotReferences, number: 0, [5]),
                .putMeta(.appliedPosition, [6]), .putMeta(.cleanMark, [7]),
            ])
        }
        let index = try IndexRows(in: disk.folder, .existing)
        #expect(try index.row(testKey(1)) == [1])
        #expect(try index.object(testObject(2)) == row)
        #expect(try index.object(testObject(3)) == nil)
        #expect(try index.group(.data(3)) == [2])
        #expect(try index.group(.metadata(.root)) == [4])
        #expect(try index.chunk(.allocation, number: 0) == [3])
        #expect(try index.chunk(.slotReferences, number: 0) == [5])
        #expect(try index.meta(.appliedPosition) == [6])
        #expect(try index.groups(limit: 1).rows.map(\.group) == [.data(3)])
        #expect(try index.groups(from: try #require(index.groups(limit: 1).next), limit: 9).rows.map(\.value) == [[4]])
        try index.apply([2, 4].map { .putRow(RowKey(object: testObject($0), mebibyte: 3), [7]) })
        try index.apply([
            .deleteObject(testObject(2)), .deleteGroup(.data(3)), .deleteChunk(.allocation, number: 0),
            .deleteMeta(.cleanMark),
        ])
        #expect(try index.object(testObject(2)) == nil)
        // Rows without an object are found by nobody.
        #expect(try index.row(RowKey(object: testObject(2), mebibyte: 3)) == nil)
        #expect(try index.row(RowKey(object: testObject(4), mebibyte: 3)) == [7])
        #expect(try index.group(.data(3)) == nil)
        #expect(try index.chunk(.allocation, number: 0) == nil)
        #expect(try index.chunk(.slotReferences, number: 0) == [5])
        #expect(try index.meta(.cleanMark) == nil)
        try index.apply((1...6).map { .putChunk(.groupTables, number: $0, [UInt8($0)]) })
        try index.apply([.deleteChunks(.groupTables, numbers: 2...4)])
        #expect(try index.chunks(.groupTables, limit: 9).rows.map(\.number) == [1, 5, 6])
        #expect(try index.chunk(.slotReferences, number: 0) == [5])
    }

    @Test("a batch or a row beyond its bound, a number beyond 63 bits are refused, whole")
    func bounds() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        let many = [IndexChange](repeating: .putRow(testKey(1), [1]), count: DiskLimits.batchChanges + 1)
        #expect(failure { () throws(DiskError) in try index.apply(many) } != nil)
        try index.apply(Array(many.prefix(3000)))
        let first = IndexChange.putMeta(.storeState, [1])
        let long = IndexChange.putRow(testKey(1), [UInt8](repeating: 0, count: DiskLimits.rowBytes + 1))
        let high = IndexChange.putChunk(.allocation, number: UInt64.max, [1])
        #expect(failure { () throws(DiskError) in try index.apply([first, long]) } != nil)
        #expect(failure { () throws(DiskError) in try index.apply([first, high]) } != nil)
        #expect(try index.meta(.storeState) == nil)
        #expect(try index.row(testKey(1)) == [1])
        #expect(!disk.health.hasFailed)
    }

    @Test("rows of a file come object by object, no object in two halves, and pages join without gap or repeat")
    func rowPages() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        var wanted: [RowKey] = []
        for object in stride(from: UInt64(0), to: 40, by: 2) {
            for mebibyte in 0..<(object % 4 == 0 ? 4 : 3) {
                wanted.append(RowKey(object: testObject(object), mebibyte: mebibyte))
            }
        }
        try index.apply(wanted.map { .putRow($0, [UInt8($0.mebibyte)]) })
        try index.apply([.putRow(RowKey(object: testObject(1, inode: 8), mebibyte: 0), [9])])
        let file = testObject(0).file
        for limit in 4...30 {
            var found: [RowKey] = []
            var from: UInt64? = 0
            while let start = from {
                let page = try index.rows(of: file, indices: start...1000, limit: limit)
                #expect(page.rows.count <= limit)
                #expect(found.last.map { last in page.rows.allSatisfy { $0.key.object > last.object } } ?? true)
                found += page.rows.map(\.key)
                from = page.next
            }
            #expect(found == wanted, "limit \(limit)")
        }
        #expect(try index.rows(of: file, indices: 4...6, limit: 100).rows.count == 7)
    }

    @Test("objects changed since a version come in the order of versions, pages join, other groups stay out")
    func changedSince() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        let seed: UInt64 = 0xC0FFEE
        var random = Generator(seed: seed)
        var rows: [ObjectRow] = []
        for object in 0..<300 {
            // Few versions, so that several objects share one.
            let row = objectRow(
                testObject(UInt64(object)), version(1 + random.next() % 3, random.next() % 20),
                group: UInt32(random.next() % 2))
            rows.append(row)
        }
        try index.apply(rows.map { .putObject($0) })
        // A later put moves the object.
        rows[10].version = version(9, 1)
        rows[10].group = .data(0)
        try index.apply([.putObject(rows[10])])
        for since in [version(0, 0), version(1, 19), version(2, 5), version(9, 0), version(9, 1)] {
            let wanted = rows.filter { $0.group == .data(0) && $0.version > since }
                .sorted { ($0.version, $0.object) < ($1.version, $1.object) }
            for limit in [1, 7, 100, 4096] {
                var page = try index.changed(in: .data(0), since: since, limit: limit)
                var found = page.rows
                while let next = page.next {
                    page = try index.changed(in: .data(0), after: next, limit: limit)
                    found += page.rows
                }
                #expect(found == wanted, "seed \(seed), since \(since), limit \(limit)")
            }
        }
        #expect(try index.objectCount(in: .data(0)) == rows.count { $0.group == .data(0) })
        #expect(try index.changed(in: .data(5), since: .zero, limit: 5).rows.isEmpty)
    }

    @Test("objects of a range of files come in the order of their ids, across inodes and filesets")
    func objectRange() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        let wanted = [
            testObject(3, inode: 5), testObject(0, inode: 6), testObject(9, inode: 6),
            testObject(1, inode: 2, fileset: 2),
        ]
        try index.apply(wanted.reversed().map { .putObject(objectRow($0, version(1, 1))) })
        try index.apply([.putObject(objectRow(testObject(2, inode: 5), version(1, 1)))])
        for limit in 1...5 {
            var found: [ObjectID] = []
            var from: ObjectID? = testObject(3, inode: 5)
            while let start = from {
                let page = try index.objects(in: start...testObject(1, inode: 2, fileset: 2), limit: limit)
                found += page.rows.map(\.object)
                from = page.next
            }
            #expect(found == wanted, "limit \(limit)")
        }
    }

    @Test("allocation chunks come back in order with their continuation")
    func chunks() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        try index.apply((0..<10).map { .putChunk(.allocation, number: UInt64($0 * 3), [UInt8($0)]) })
        try index.apply([.putChunk(.slotReferences, number: 1, [99])])
        let first = try index.chunks(.allocation, limit: 4)
        #expect(first.rows.map(\.number) == [0, 3, 6, 9] && first.next == 12)
        let rest = try index.chunks(.allocation, from: 12, limit: 100)
        #expect(rest.rows.map(\.value) == [[4], [5], [6], [7], [8], [9]] && rest.next == nil)
    }

    @Test("an index of a later format is refused by its number")
    func laterFormat() throws {
        let disk = try TestDisk()
        do {
            let index = try IndexRows(in: disk.folder, .new)
            try index.database.execute("UPDATE format SET number=3")
        }
        let error = failure { () throws(DiskError) in try IndexRows(in: disk.folder, .existing) }
        #expect(error?.description.contains("index format 3 is not known to this version") == true)
        #expect(!disk.health.hasFailed)
    }

    @Test("queries seek by an index and sort nothing")
    func plans() throws {
        let disk = try TestDisk()
        let index = try IndexRows(in: disk.folder, .new)
        for plan in try index.queryPlans() {
            #expect(plan.contains("SEARCH") && !plan.contains("TEMP B-TREE"), "\(plan)")
        }
    }

    @Test("an index lives on one disk thread and is reached from its jobs")
    func bound() throws {
        let disk = try TestDisk()
        let thread = try DiskThread(name: "index-test")
        let home = InlineHome().home
        let folder = disk.folder
        let bound = Recorder<ThreadBound<IndexRows>>()
        let values = Recorder<[UInt8]?>()
        #expect(
            thread.submit(to: home) {
                do {
                    bound.record(ThreadBound(try IndexRows(in: folder, .new), to: thread))
                } catch { Issue.record(error) }
                return nil
            } == .accepted)
        eventually("the index is open") { bound.count == 1 }
        let index = try #require(bound.all.first)
        #expect(
            thread.submit(to: home) {
                do {
                    try index.value?.apply([.putRow(testKey(1), [4])])
                    let row = try index.value?.row(testKey(1))
                    index.release()
                    return { values.record(row) }
                } catch { Issue.record(error) }
                return nil
            } == .accepted)
        thread.stop()
        #expect(values.all == [[4]])
    }
}
