import ClusterModel

/// A disk's index: rows of byte strings under integer keys, in one SQLite database on one thread. What the bytes mean is
/// the store's business (store.md, Parts).
public final class IndexRows {
    /// A position in the order of (version, object) within a placement group.
    public struct ChangePosition: Hashable, Sendable {
        public var version: EntryName
        public var object: ObjectID
        public init(version: EntryName, object: ObjectID) {
            self.version = version
            self.object = object
        }
    }

    public static let fileName = "index"
    public let database: SQLiteDatabase

    private let putRow: SQLiteStatement
    private let getRow: SQLiteStatement
    private let deleteRow: SQLiteStatement
    private let deleteRows: SQLiteStatement
    private let rowsInRange: SQLiteStatement
    private let putObject: SQLiteStatement
    private let getObject: SQLiteStatement
    private let deleteObject: SQLiteStatement
    private let objectsInRange: SQLiteStatement
    private let objectsOfGroup: SQLiteStatement
    private let countObjects: SQLiteStatement
    private let blobs: BlobStatements

    /// Opens the index of a disk, or makes one (`.new`). One of an unknown format is refused.
    public init(
        in folder: DiskFolder, _ existence: DiskFile.Existence,
        options: SQLiteDatabase.Options = SQLiteDatabase.Options()
    ) throws(DiskError) {
        let database = try SQLiteDatabase(in: folder, name: IndexRows.fileName, existence, options: options)
        switch existence {
        case .new:
            try IndexSchema.create(in: database)
            // Durable before anyone calls the folder a disk: the tables are in the database file, both synced.
            try database.passiveCheckpoint()
        case .existing: try IndexSchema.checkFormat(of: database)
        }
        self.database = database
        let key = "fileset=? AND inode=? AND object=?"
        putRow = try database.prepare(
            """
            INSERT INTO rows(fileset,inode,object,mebibyte,value) VALUES(?,?,?,?,?)
            ON CONFLICT(fileset,inode,object,mebibyte) DO UPDATE SET value=excluded.value
            """)
        getRow = try database.prepare("SELECT value FROM rows WHERE \(key) AND mebibyte=?")
        deleteRow = try database.prepare("DELETE FROM rows WHERE \(key) AND mebibyte=?")
        deleteRows = try database.prepare("DELETE FROM rows WHERE \(key)")
        rowsInRange = try database.prepare(
            """
            SELECT fileset,inode,object,mebibyte,value FROM rows
            WHERE fileset=? AND inode=? AND object BETWEEN ? AND ? ORDER BY object,mebibyte LIMIT ?
            """)
        let columns = "fileset,inode,object,pg,epoch,n,truncation,value"
        putObject = try database.prepare("INSERT OR REPLACE INTO objects(\(columns)) VALUES(?,?,?,?,?,?,?,?)")
        getObject = try database.prepare("SELECT \(columns) FROM objects WHERE \(key)")
        deleteObject = try database.prepare("DELETE FROM objects WHERE \(key)")
        objectsInRange = try database.prepare(
            """
            SELECT \(columns) FROM objects
            WHERE (fileset,inode,object)>=(?,?,?) AND (fileset,inode,object)<=(?,?,?)
            ORDER BY fileset,inode,object LIMIT ?
            """)
        objectsOfGroup = try database.prepare(
            """
            SELECT \(columns) FROM objects WHERE pg=? AND (epoch,n,fileset,inode,object)>(?,?,?,?,?)
            ORDER BY epoch,n,fileset,inode,object LIMIT ?
            """)
        countObjects = try database.prepare("SELECT COUNT(*) FROM objects WHERE pg=?")
        blobs = try BlobStatements(database)
    }

    // MARK: Changes

    /// Makes all changes in one transaction, or none. At most `DiskLimits.batchChanges`, a value of at most
    /// `DiskLimits.rowBytes` each. Committed, not yet
    /// durable: that is a sync of `database.walFile()`.
    public func apply(_ changes: [IndexChange]) throws(DiskError) {
        guard changes.count <= DiskLimits.batchChanges else {
            throw refused("\(changes.count) changes in one transaction, at most \(DiskLimits.batchChanges)")
        }
        try database.transaction { () throws(DiskError) in
            for change in changes { try apply(change) }
        }
    }

    private func apply(_ change: IndexChange) throws(DiskError) {
        switch change {
        case .putRow(let key, let value):
            try bind(key, to: putRow)
            try run(putRow, value, at: 5)
        case .deleteRow(let key):
            try bind(key, to: deleteRow)
            try deleteRow.run()
        case .putObject(let row):
            try bind(row.object, to: putObject)
            putObject.bind(Int64(row.group.rawValue), at: 4)
            putObject.bind(try stored(row.version.epoch.rawValue), at: 5)
            putObject.bind(try stored(row.version.n), at: 6)
            putObject.bind(try stored(row.truncation.rawValue), at: 7)
            try run(putObject, row.value, at: 8)
        case .deleteObject(let object):
            // Its content goes with it: what lies in rows without an object nobody finds again.
            try bind(object, to: deleteRows)
            try deleteRows.run()
            try bind(object, to: deleteObject)
            try deleteObject.run()
        case .putGroup(let group, let value):
            blobs.putGroup.bind(Int64(group.rawValue), at: 1)
            try run(blobs.putGroup, value, at: 2)
        case .deleteGroup(let group):
            blobs.deleteGroup.bind(Int64(group.rawValue), at: 1)
            try blobs.deleteGroup.run()
        case .putChunk(let kind, let number, let value):
            blobs.putChunk.bind(kind.rawValue, at: 1)
            blobs.putChunk.bind(try stored(number), at: 2)
            try run(blobs.putChunk, value, at: 3)
        case .deleteChunk(let kind, let number):
            blobs.deleteChunk.bind(kind.rawValue, at: 1)
            blobs.deleteChunk.bind(try stored(number), at: 2)
            try blobs.deleteChunk.run()
        case .deleteChunks(let kind, let numbers):
            blobs.deleteChunks.bind(kind.rawValue, at: 1)
            blobs.deleteChunks.bind(try stored(numbers.lowerBound), at: 2)
            blobs.deleteChunks.bind(try stored(numbers.upperBound), at: 3)
            try blobs.deleteChunks.run()
        case .putMeta(let key, let value):
            blobs.putMeta.bind(key.rawValue, at: 1)
            try run(blobs.putMeta, value, at: 2)
        case .deleteMeta(let key):
            blobs.deleteMeta.bind(key.rawValue, at: 1)
            try blobs.deleteMeta.run()
        }
    }

    // MARK: Single rows

    /// The row of one MiB of an object, or nil.
    public func row(_ key: RowKey) throws(DiskError) -> [UInt8]? {
        try bind(key, to: getRow)
        return try blob(getRow)
    }

    /// The rows of several keys, nil where there is none, in the keys' order.
    public func rows(_ keys: [RowKey]) throws(DiskError) -> [[UInt8]?] {
        guard keys.count <= DiskLimits.queryRows else {
            throw refused("\(keys.count) keys, at most \(DiskLimits.queryRows)")
        }
        var found: [[UInt8]?] = []
        found.reserveCapacity(keys.count)
        for key in keys { found.append(try row(key)) }
        return found
    }

    /// An object's row, or nil.
    public func object(_ id: ObjectID) throws(DiskError) -> ObjectRow? {
        try bind(id, to: getObject)
        guard try getObject.step() else { return nil }
        defer { getObject.reset() }
        return objectRow(getObject)
    }

    public func group(_ id: PGID) throws(DiskError) -> [UInt8]? {
        blobs.getGroup.bind(Int64(id.rawValue), at: 1)
        return try blob(blobs.getGroup)
    }

    public func chunk(_ kind: ChunkKind, number: UInt64) throws(DiskError) -> [UInt8]? {
        blobs.getChunk.bind(kind.rawValue, at: 1)
        blobs.getChunk.bind(try stored(number), at: 2)
        return try blob(blobs.getChunk)
    }

    public func meta(_ key: MetaKey) throws(DiskError) -> [UInt8]? {
        blobs.getMeta.bind(key.rawValue, at: 1)
        return try blob(blobs.getMeta)
    }

    // MARK: Ranges, bounded

    /// Rows of the objects `indices` of a file in their order, at most `limit`; the continuation is the first object
    /// that is not given whole.
    public func rows(
        of file: FileID, indices: ClosedRange<UInt64>, limit: Int
    ) throws(DiskError) -> Page<(key: RowKey, value: [UInt8]), UInt64> {
        let limit = try checked(limit, atLeast: Geometry.rowsPerObject)
        rowsInRange.bind(Int64(file.fileset.rawValue), at: 1)
        rowsInRange.bind(try stored(file.inode.rawValue), at: 2)
        rowsInRange.bind(try stored(indices.lowerBound), at: 3)
        rowsInRange.bind(try stored(indices.upperBound), at: 4)
        rowsInRange.bind(Int64(limit + 1), at: 5)
        var rows: [(key: RowKey, value: [UInt8])] = []
        while try rowsInRange.step() {
            let index = UInt64(bitPattern: rowsInRange.integer(2))
            if rows.count == limit {
                rowsInRange.reset()
                // One more than asked for: its object begins the next page, so that no object is given in two halves.
                rows.removeAll { $0.key.object.index == index }
                return Page(rows: rows, next: index)
            }
            let key = RowKey(object: ObjectID(file: file, index: index), mebibyte: Int(rowsInRange.integer(3)))
            rows.append((key, rowsInRange.bytes(4)))
        }
        return Page(rows: rows, next: nil)
    }

    /// Object rows of `range` in the order of their ids, at most `limit`; the continuation is the next one's id.
    public func objects(
        in range: ClosedRange<ObjectID>, limit: Int
    ) throws(DiskError) -> Page<ObjectRow, ObjectID> {
        let limit = try checked(limit, atLeast: 1)
        try bind(range.lowerBound, to: objectsInRange)
        try bind(range.upperBound, to: objectsInRange, from: 4)
        objectsInRange.bind(Int64(limit + 1), at: 7)
        var rows = try objectRows(objectsInRange)
        guard rows.count > limit else { return Page(rows: rows, next: nil) }
        let next = rows.removeLast().object
        return Page(rows: rows, next: next)
    }

    /// Object rows of a placement group that were changed after `position`, in the order of their versions, at most
    /// `limit`; the continuation is the last one given.
    public func changed(
        in group: PGID, after position: ChangePosition, limit: Int
    ) throws(DiskError) -> Page<ObjectRow, ChangePosition> {
        let limit = try checked(limit, atLeast: 1)
        objectsOfGroup.bind(Int64(group.rawValue), at: 1)
        objectsOfGroup.bind(try stored(position.version.epoch.rawValue), at: 2)
        objectsOfGroup.bind(try stored(position.version.n), at: 3)
        try bind(position.object, to: objectsOfGroup, from: 4)
        objectsOfGroup.bind(Int64(limit + 1), at: 7)
        var rows = try objectRows(objectsOfGroup)
        guard rows.count > limit else { return Page(rows: rows, next: nil) }
        rows.removeLast()
        return Page(rows: rows, next: rows.last.map { ChangePosition(version: $0.version, object: $0.object) })
    }

    /// Object rows of a placement group with a version after `version`.
    public func changed(
        in group: PGID, since version: EntryName, limit: Int
    ) throws(DiskError) -> Page<ObjectRow, ChangePosition> {
        // After every object of `version` itself.
        try changed(in: group, after: ChangePosition(version: version, object: .last), limit: limit)
    }

    /// How many objects of a placement group are here.
    public func objectCount(in group: PGID) throws(DiskError) -> Int {
        countObjects.bind(Int64(group.rawValue), at: 1)
        defer { countObjects.reset() }
        return try countObjects.step() ? Int(countObjects.integer(0)) : 0
    }

    /// The state of all placement groups on the disk, by group, from `from` on, at most `limit`.
    public func groups(
        from: PGID = PGID(rawValue: 0), limit: Int
    ) throws(DiskError) -> Page<(group: PGID, value: [UInt8]), PGID> {
        let limit = try checked(limit, atLeast: 1)
        blobs.groupsFrom.bind(Int64(from.rawValue), at: 1)
        blobs.groupsFrom.bind(Int64(limit + 1), at: 2)
        var rows: [(group: PGID, value: [UInt8])] = []
        while try blobs.groupsFrom.step() {
            let group = PGID(rawValue: UInt32(truncatingIfNeeded: blobs.groupsFrom.integer(0)))
            rows.append((group, blobs.groupsFrom.bytes(1)))
        }
        guard rows.count > limit else { return Page(rows: rows, next: nil) }
        let next = rows.removeLast().group
        return Page(rows: rows, next: next)
    }

    /// Chunks of a kind in the order of their numbers, from `from` on, at most `limit`.
    public func chunks(
        _ kind: ChunkKind, from: UInt64 = 0, limit: Int
    ) throws(DiskError) -> Page<(number: UInt64, value: [UInt8]), UInt64> {
        let limit = try checked(limit, atLeast: 1)
        blobs.chunksFrom.bind(kind.rawValue, at: 1)
        blobs.chunksFrom.bind(try stored(from), at: 2)
        blobs.chunksFrom.bind(Int64(limit + 1), at: 3)
        var rows: [(number: UInt64, value: [UInt8])] = []
        while try blobs.chunksFrom.step() {
            rows.append((UInt64(bitPattern: blobs.chunksFrom.integer(0)), blobs.chunksFrom.bytes(1)))
        }
        guard rows.count > limit else { return Page(rows: rows, next: nil) }
        let next = rows.removeLast().number
        return Page(rows: rows, next: next)
    }

    /// How SQLite will run each of the range queries, as EXPLAIN QUERY PLAN tells it: for a test that none of them scans.
    public func queryPlans() throws(DiskError) -> [String] {
        var plans: [String] = []
        let queries = [
            getRow, rowsInRange, getObject, objectsInRange, objectsOfGroup, countObjects, blobs.chunksFrom,
        ]
        for statement in queries {
            let explain = try database.prepare("EXPLAIN QUERY PLAN " + statement.sql)
            var lines: [String] = []
            while try explain.step() { lines.append(explain.text(3) ?? "") }
            plans.append(lines.joined(separator: "; "))
        }
        return plans
    }

    // MARK: Keys and values

    private func refused(_ what: String) -> DiskError { DiskError(.database, path: database.path, .limit(what)) }

    /// SQLite's integers are signed; none of ours comes near the last bit.
    private func stored(_ value: UInt64) throws(DiskError) -> Int64 {
        guard let stored = Int64(exactly: value) else {
            throw refused("the number \(value) does not fit the index")
        }
        return stored
    }

    private func bind(_ object: ObjectID, to statement: SQLiteStatement, from first: Int32 = 1) throws(DiskError) {
        statement.bind(Int64(object.file.fileset.rawValue), at: first)
        statement.bind(try stored(object.file.inode.rawValue), at: first + 1)
        statement.bind(try stored(object.index), at: first + 2)
    }

    private func bind(_ key: RowKey, to statement: SQLiteStatement) throws(DiskError) {
        try bind(key.object, to: statement)
        statement.bind(Int64(key.mebibyte), at: 4)
    }

    private func run(_ statement: SQLiteStatement, _ value: [UInt8], at index: Int32) throws(DiskError) {
        guard value.count <= DiskLimits.rowBytes else {
            throw refused("a row of \(value.count) bytes, at most \(DiskLimits.rowBytes)")
        }
        try value.withDiskBytes { (raw) throws(DiskError) in
            statement.bindBorrowed(raw, at: index)
            try statement.run()
        }
    }

    private func blob(_ statement: SQLiteStatement) throws(DiskError) -> [UInt8]? {
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return statement.bytes(0)
    }

    private func objectRows(_ statement: SQLiteStatement) throws(DiskError) -> [ObjectRow] {
        var rows: [ObjectRow] = []
        while try statement.step() { rows.append(objectRow(statement)) }
        return rows
    }

    private func objectRow(_ statement: SQLiteStatement) -> ObjectRow {
        let file = FileID(
            fileset: FilesetID(UInt32(truncatingIfNeeded: statement.integer(0))),
            inode: InodeNumber(UInt64(bitPattern: statement.integer(1))))
        return ObjectRow(
            object: ObjectID(file: file, index: UInt64(bitPattern: statement.integer(2))),
            group: PGID(rawValue: UInt32(truncatingIfNeeded: statement.integer(3))),
            version: EntryName(
                epoch: Epoch(UInt64(bitPattern: statement.integer(4))), n: UInt64(bitPattern: statement.integer(5))),
            truncation: TruncationNumber(UInt64(bitPattern: statement.integer(6))), value: statement.bytes(7))
    }

    private func checked(_ limit: Int, atLeast least: Int) throws(DiskError) -> Int {
        guard limit >= least, limit <= DiskLimits.queryRows else {
            throw refused("\(limit) rows asked for; \(least) to \(DiskLimits.queryRows) are given")
        }
        return limit
    }
}

extension ObjectID {
    /// After every object that the index can hold.
    static let last = ObjectID(
        file: FileID(fileset: FilesetID(UInt32.max), inode: InodeNumber(UInt64(Int64.max))), index: UInt64(Int64.max))
}
