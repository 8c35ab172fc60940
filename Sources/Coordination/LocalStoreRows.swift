import CSupport
import ClusterModel
import Foundation
import GRDB

/// The rows of the store. All of these are called inside a transaction.
extension LocalStore {
    static let schema = """
        CREATE TABLE store (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            cluster BLOB NOT NULL,
            revision INTEGER NOT NULL,
            forgotten INTEGER NOT NULL,
            nextLease INTEGER NOT NULL,
            nextWord INTEGER NOT NULL,
            leaseFile BLOB,
            leaseBoot BLOB,
            leasePath TEXT,
            silentUntil INTEGER,
            firstLease INTEGER
        ) STRICT;
        CREATE TABLE records (
            key BLOB PRIMARY KEY NOT NULL,
            value BLOB,
            revision INTEGER NOT NULL,
            checksum INTEGER,
            checksumOf INTEGER
        ) STRICT;
        CREATE INDEX recordsByRevision ON records (revision);
        CREATE INDEX deletions ON records (revision) WHERE value IS NULL;
        CREATE TABLE leases (
            number INTEGER PRIMARY KEY,
            word INTEGER NOT NULL,
            drawn INTEGER NOT NULL,
            owner TEXT NOT NULL
        ) STRICT;
        """

    static func initialise(_ db: Database, cluster: ClusterID) throws {
        try db.execute(sql: schema)
        try db.execute(
            sql: "INSERT INTO store (one, cluster, revision, forgotten, nextLease, nextWord) VALUES (1, ?, 0, 0, 1, 0)",
            arguments: [bytes(cluster.rawValue)])
        try db.execute(sql: "PRAGMA application_id = \(applicationID); PRAGMA user_version = \(format)")
    }

    // MARK: header

    static func header(_ db: Database) throws -> Header {
        let statement = try db.cachedStatement(sql: "SELECT * FROM store")
        guard let row = try Row.fetchAll(statement).first, let cluster = number(try row.decode(forColumn: "cluster"))
        else { throw DatabaseError(message: "the store has no header") }
        var record: LeaseFileRecord?
        if let id = number(try row.decode(forColumn: "leaseFile")),
            let boot = number(try row.decode(forColumn: "leaseBoot"))
        {
            record = LeaseFileRecord(
                id: LeaseFileID(id), boot: BootID(boot), path: try row.decode(forColumn: "leasePath"),
                silentUntil: Instant(nanoseconds: try row.decode(forColumn: "silentUntil")),
                firstLease: try row.decode(forColumn: "firstLease"))
        }
        let header = Header(
            cluster: ClusterID(cluster), revision: Revision(try row.decode(forColumn: "revision")),
            forgotten: Revision(try row.decode(forColumn: "forgotten")),
            nextLease: try row.decode(forColumn: "nextLease"), nextWord: try row.decode(forColumn: "nextWord"),
            leaseFile: record)
        guard header.revision >= .zero, header.revision.rawValue < .max, header.forgotten <= header.revision,
            (0...CoordinationLimits.leaseWords).contains(header.nextWord),
            record.map({ $0.firstLease <= header.nextLease }) ?? true
        else { throw DatabaseError(message: "the store's header has rotted: \(row)") }
        return header
    }

    /// Brings a store of an earlier program up to this one's columns; such a program goes on beside it.
    static func addChecksums(_ db: Database) throws {
        if try hasChecksums(db) { return }
        for column in ["checksum", "checksumOf"] {
            try db.execute(sql: "ALTER TABLE records ADD COLUMN \(column) INTEGER")
        }
    }

    /// The columns come together, in one transaction.
    static func hasChecksums(_ db: Database) throws -> Bool {
        try String.fetchAll(db, sql: "SELECT name FROM pragma_table_info('records')").contains("checksumOf")
    }

    static func setRevision(_ db: Database, _ revision: Revision) throws {
        try run(db, "UPDATE store SET revision = ?", [revision.rawValue])
    }

    static func setLeaseFile(_ db: Database, _ record: LeaseFileRecord) throws {
        try run(
            db,
            "UPDATE store SET nextWord = 0, leaseFile = ?, leaseBoot = ?, leasePath = ?, silentUntil = ?, firstLease = ?",
            [
                bytes(record.id.rawValue), bytes(record.boot.rawValue), record.path,
                Int64(bitPattern: record.silentUntil.nanoseconds), record.firstLease,
            ])
        try run(db, "DELETE FROM leases", [])
    }

    // MARK: records

    static func version(_ db: Database, _ key: Key) throws -> KeyVersion {
        let statement = try db.cachedStatement(sql: "SELECT revision FROM records WHERE key = ? AND value IS NOT NULL")
        guard let revision = try Int64.fetchAll(statement, arguments: [Data(key.bytes)]).first else { return .absent }
        return .changed(Revision(revision))
    }

    static func entry(_ db: Database, _ key: Key) throws -> KeyValue? {
        let statement = try db.cachedStatement(
            sql: "SELECT \(checkedColumns) FROM records WHERE key = ? AND value IS NOT NULL")
        guard let row = try Row.fetchAll(statement, arguments: [Data(key.bytes)]).first else { return nil }
        return KeyValue(key: key, value: try checkedValue(row, key) ?? [], revision: try rowRevision(row))
    }

    static func entries(_ db: Database, prefix: Key) throws -> [KeyValue] {
        let limit = CoordinationLimits.entriesPerRead
        let statement = try db.cachedStatement(
            sql: """
                SELECT key, \(checkedColumns) FROM records
                WHERE key >= ? AND (? IS NULL OR key < ?) AND value IS NOT NULL ORDER BY key LIMIT ?
                """)
        let end = prefix.firstBehindPrefix.map { Data($0.bytes) }
        let rows = try Row.fetchAll(statement, arguments: [Data(prefix.bytes), end, end, limit + 1])
        guard rows.count <= limit else {
            throw CoordinationError.invalid("a read of more than \(limit) records (prefix \(prefix))")
        }
        return try rows.map { row in
            let key = try rowKey(row)
            return KeyValue(key: key, value: try checkedValue(row, key) ?? [], revision: try rowRevision(row))
        }
    }

    static func put(_ db: Database, _ key: Key, _ value: [UInt8], at revision: Revision) throws {
        try run(
            db,
            """
            INSERT INTO records (key, value, revision, checksum, checksumOf) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision,
                checksum = excluded.checksum, checksumOf = excluded.checksumOf
            """,
            [
                Data(key.bytes), Data(value), revision.rawValue, Int64(checksum(key, value, revision)),
                revision.rawValue,
            ])
    }

    /// False if there was nothing to delete.
    static func delete(_ db: Database, _ key: Key, at revision: Revision) throws -> Bool {
        try run(
            db, "UPDATE records SET value = NULL, revision = ? WHERE key = ? AND value IS NOT NULL",
            [revision.rawValue, Data(key.bytes)])
        return db.changesCount > 0
    }

    /// Keeps the number of remembered deletions bounded: of too many, the older half is forgotten.
    static func forgetDeletions(_ db: Database) throws {
        let limit = CoordinationLimits.rememberedDeletions
        let statement = try db.cachedStatement(
            sql: "SELECT revision FROM records WHERE value IS NULL ORDER BY revision DESC LIMIT 1 OFFSET ?")
        guard try !Int64.fetchAll(statement, arguments: [limit]).isEmpty,
            let last = try Int64.fetchAll(statement, arguments: [limit / 2]).first
        else { return }
        try run(db, "DELETE FROM records WHERE value IS NULL AND revision <= ?", [last])
        try run(db, "UPDATE store SET forgotten = ?", [last])
    }

    /// A place in the order of changes: behind `key` of `revision`, or behind all of `revision`.
    struct Place: Equatable {
        var revision: Revision
        var key: Key?
    }

    /// The changes behind `place` with that prefix, in order of (revision, key), at most `limit`.
    static func changes(_ db: Database, prefix: Key, behind place: Place, limit: Int) throws -> [WatchEvent] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT key, \(checkedColumns) FROM records
                WHERE revision >= ? AND (revision > ? OR (? IS NOT NULL AND key > ?))
                    AND key >= ? AND (? IS NULL OR key < ?)
                ORDER BY revision, key LIMIT ?
                """)
        let revision = place.revision.rawValue
        let last = place.key.map { Data($0.bytes) }
        let end = prefix.firstBehindPrefix.map { Data($0.bytes) }
        let rows = try Row.fetchAll(
            statement, arguments: [revision, revision, last, last, Data(prefix.bytes), end, end, limit])
        return try rows.map { row in
            let key = try rowKey(row)
            return WatchEvent(key: key, value: try checkedValue(row, key), revision: try rowRevision(row))
        }
    }

    // MARK: checksums

    private static let checkedColumns = "value, revision, checksum, checksumOf"

    /// Of the key, the revision and the value, so that a row that got another one's content is found, too.
    private static func checksum(_ key: Key, _ value: [UInt8], _ revision: Revision) -> UInt32 {
        func continued(_ seed: UInt32, _ bytes: [UInt8]) -> UInt32 {
            bytes.withUnsafeBytes { cs_crc32c(seed, $0.baseAddress, $0.count) }
        }
        var place = withUnsafeBytes(of: revision.rawValue.bigEndian) { [UInt8]($0) }
        place += withUnsafeBytes(of: UInt32(key.bytes.count).bigEndian) { [UInt8]($0) }
        return continued(continued(continued(0, place), key.bytes), value)
    }

    /// The value, nil where the record was deleted. One that does not have its checksum comes empty, which is no record of
    /// anything: who reads decides whether it can do without. One that an earlier program has written since has none.
    private static func checkedValue(_ row: Row, _ key: Key) throws -> [UInt8]? {
        let value: [UInt8]
        do {
            guard let data = try row.decode(Data?.self, forColumn: "value") else { return nil }
            value = [UInt8](data)
        } catch { return [] }
        let revision = try rowRevision(row)
        guard let of = try? row.decode(Int64.self, forColumn: "checksumOf"), of == revision.rawValue,
            let known = try? row.decode(Int64.self, forColumn: "checksum")
        else { return value }
        return known == Int64(checksum(key, value, revision)) ? value : []
    }

    private static func rowKey(_ row: Row) throws -> Key { Key([UInt8](try row.decode(Data.self, forColumn: "key"))) }

    private static func rowRevision(_ row: Row) throws -> Revision { Revision(try row.decode(forColumn: "revision")) }

    // MARK: leases

    static func lease(_ db: Database, _ number: LeaseNumber) throws -> LeaseRow? {
        let statement = try db.cachedStatement(sql: "SELECT number, word, drawn, owner FROM leases WHERE number = ?")
        return try Row.fetchAll(statement, arguments: [number.rawValue]).first.map(leaseRow)
    }

    static func leases(_ db: Database) throws -> [LeaseRow] {
        let statement = try db.cachedStatement(sql: "SELECT number, word, drawn, owner FROM leases ORDER BY number")
        return try Row.fetchAll(statement).map(leaseRow)
    }

    static func addLease(_ db: Database, _ lease: LeaseRow, nextLease: UInt32, nextWord: Int) throws {
        try run(
            db, "INSERT INTO leases (number, word, drawn, owner) VALUES (?, ?, ?, ?)",
            [lease.number.rawValue, lease.word, Int64(lease.drawn), lease.owner.description])
        try run(db, "UPDATE store SET nextLease = ?, nextWord = ?", [nextLease, nextWord])
    }

    static func removeLease(_ db: Database, _ number: LeaseNumber) throws {
        try run(db, "DELETE FROM leases WHERE number = ?", [number.rawValue])
    }

    private static func leaseRow(_ row: Row) throws -> LeaseRow {
        let word = try row.decode(Int.self, forColumn: "word")
        guard (0..<CoordinationLimits.leaseWords).contains(word) else {
            throw DatabaseError(message: "a lease has rotted: \(row)")
        }
        return LeaseRow(
            number: LeaseNumber(try row.decode(forColumn: "number")), word: word,
            drawn: try row.decode(forColumn: "drawn"), owner: LeaseOwner(try row.decode(forColumn: "owner")))
    }

    // MARK: help

    private static func run(_ db: Database, _ sql: String, _ arguments: StatementArguments) throws {
        try db.cachedStatement(sql: sql).execute(arguments: arguments)
    }

    private static func bytes(_ number: UInt128) -> Data {
        withUnsafeBytes(of: number.bigEndian) { Data($0) }
    }

    private static func number(_ data: Data?) -> UInt128? {
        guard let data, data.count == 16 else { return nil }
        return data.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
    }
}
