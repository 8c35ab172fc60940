import ClusterModel
import Namespace

/// The rows of one fileset in a SQLite database, used on one thread (store.md, Namespace rows).
///
/// A transaction begins with the first change and ends with `commit`: a consistent prefix survives a loss of power, and
/// the log replays the rest. What is committed is durable after a sync of `database.walFile()`.
///
/// All tables' rows lie in one, ordered by key, so that a digest is one walk; changes are found by an index on version.
/// Replies lie by n: they only come at the end and go from the beginning.
///
/// Every value has a checksum: what has rotted is told (`DiskError.isDamage`), and never given. Nor is it passed by: rot in a
/// key, or in an entry of an index, leads a search astray. A search that finds nothing, and both ends of every range, look at
/// the rows next to the place; versions and keys come from the index, values by key, and the two must agree.
public final class NamespaceDatabase: NamespaceRows {
    public let database: SQLiteDatabase

    private let statements: NamespaceStatements
    private var isInTransaction = false

    /// Opens the rows of a fileset, or makes empty ones (`.new`). A format that is not known is refused.
    public init(
        in folder: DiskFolder, name: String, _ existence: DiskFile.Existence,
        options: SQLiteDatabase.Options = SQLiteDatabase.Options()
    ) throws {
        var options = options
        options.corruption = .isTold
        let database = try SQLiteDatabase(in: folder, name: name, existence, options: options)
        switch existence {
        case .new: try NamespaceSchema.create(in: database)
        // Its making was cut off: nothing was ever kept in it.
        case .existing where try NamespaceSchema.isMissing(in: database): try NamespaceSchema.create(in: database)
        case .existing: try NamespaceSchema.checkFormat(of: database)
        }
        self.database = database
        statements = try NamespaceStatements(database)
    }

    // MARK: Reading

    public func value(of key: NamespaceKey) throws -> [UInt8]? {
        if let found = try find(key) { return try open(found.sealed, key.bytes, found.version) }
        // What would hide it, had it rotted, lies next to its place.
        _ = try rows(from: key, below: .greatest, limit: 1)
        return nil
    }

    private func find(_ key: NamespaceKey) throws -> (sealed: [UInt8], version: UInt64)? {
        try key.bytes.withUnsafeBytes { key throws -> (sealed: [UInt8], version: UInt64)? in
            let statement = statements.get
            statement.bindBorrowed(key, at: 1)
            guard try statement.step() else { return nil }
            defer { statement.reset() }
            return (statement.bytes(0), UInt64(bitPattern: statement.integer(1)))
        }
    }

    /// The value without its checksum.
    private func open(_ sealed: [UInt8], _ name: [UInt8], _ version: UInt64) throws(DiskError) -> [UInt8] {
        guard let value = SealedValue.open(sealed, name: name, version: version) else {
            throw damage("the row \(NamespaceDatabase.hex(name)) does not match its checksum")
        }
        return value
    }

    private func damage(_ what: String) -> DiskError { DiskError(.database, path: database.path, .damaged(what)) }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.prefix(32).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private static func name(ofReply n: UInt64) -> [UInt8] { withUnsafeBytes(of: n.littleEndian) { Array($0) } }

    public func rows(from lower: NamespaceKey, below upper: NamespaceKey, limit: Int) throws -> [NamespaceRow] {
        try checkRow(before: lower)
        return try lower.bytes.withUnsafeBytes { lower throws -> [NamespaceRow] in
            let statement = statements.from
            statement.bindBorrowed(lower, at: 1)
            defer { statement.reset() }
            var result: [NamespaceRow] = []
            while result.count < limit, try statement.step() {
                // The row that ends the range counts only if it is what was put there.
                let row = try row(of: statement)
                if row.key >= upper { break }
                result.append(row)
            }
            return result
        }
    }

    /// A search passes by a row whose key has rotted; its place is then next to where the search ended.
    private func checkRow(before key: NamespaceKey) throws {
        try key.bytes.withUnsafeBytes { key in
            let statement = statements.before
            statement.bindBorrowed(key, at: 1)
            defer { statement.reset() }
            if try statement.step() { _ = try row(of: statement) }
        }
    }

    private func row(of statement: SQLiteStatement) throws(DiskError) -> NamespaceRow {
        let key = statement.bytes(0)
        let version = UInt64(bitPattern: statement.integer(1))
        return NamespaceRow(
            key: NamespaceKey(bytes: key), version: version, value: try open(statement.bytes(2), key, version))
    }

    public func changes(after position: ChangePosition, limit: Int) throws -> [ChangedRow] {
        var found: [ChangedRow] = []
        for place in try indexed(after: position, limit) {
            let value = try value(of: place.key, version: place.version)
            found.append(ChangedRow(key: place.key, version: place.version, value: value))
        }
        found += try tombstones(after: position, limit)
        found.sort { $0.version != $1.version ? $0.version < $1.version : $0.key < $1.key }
        return Array(found.prefix(limit))
    }

    /// What the index of versions has behind `position`, in its order; entries out of order are damage.
    private func indexed(after position: ChangePosition, _ limit: Int) throws -> [ChangePosition] {
        let before = statements.changesBefore
        before.bind(Int64(bitPattern: position.version), at: 1)
        // As for keys: what a search passes by lies next to its end.
        if let place = try nextPlace(before) {
            before.reset()
            _ = try value(of: place.key, version: place.version)
        }
        let statement = statements.changesFrom
        statement.bind(Int64(bitPattern: position.version), at: 1)
        defer { statement.reset() }
        var result: [ChangePosition] = []
        var last: ChangePosition?
        while result.count < limit, let place = try nextPlace(statement) {
            if let last, place <= last { throw damage("the index of versions is out of order at \(place.version)") }
            last = place
            if place > position { result.append(place) }
        }
        return result
    }

    private func nextPlace(_ statement: SQLiteStatement) throws(DiskError) -> ChangePosition? {
        guard try statement.step() else { return nil }
        return ChangePosition(
            version: UInt64(bitPattern: statement.integer(1)), key: NamespaceKey(bytes: statement.bytes(0)))
    }

    private func tombstones(after position: ChangePosition, _ limit: Int) throws -> [ChangedRow] {
        try position.key.bytes.withUnsafeBytes { key throws -> [ChangedRow] in
            let statement = statements.tombstones
            statement.bind(Int64(bitPattern: position.version), at: 1)
            statement.bindBorrowed(key, at: 2)
            statement.bind(Int64(limit), at: 3)
            var result: [ChangedRow] = []
            while let place = try nextPlace(statement) {
                result.append(ChangedRow(key: place.key, version: place.version, value: nil))
            }
            return result
        }
    }

    /// The value of a row that the index of versions names.
    private func value(of key: NamespaceKey, version: UInt64) throws -> [UInt8] {
        guard let found = try find(key), found.version == version else {
            throw damage("the row \(NamespaceDatabase.hex(key.bytes)) of version \(version) is in its index only")
        }
        return try open(found.sealed, key.bytes, version)
    }

    public func checkVersions(of rows: [NamespaceRow]) throws {
        for row in rows {
            let isThere = try row.key.bytes.withUnsafeBytes { key throws -> Bool in
                let statement = statements.isIndexed
                statement.bind(Int64(bitPattern: row.version), at: 1)
                statement.bindBorrowed(key, at: 2)
                defer { statement.reset() }
                return try statement.step()
            }
            guard isThere else {
                throw damage("the row \(NamespaceDatabase.hex(row.key.bytes)) is not in the index of versions")
            }
        }
    }

    public func tombstoneHorizon() throws -> UInt64 {
        let statement = statements.horizon
        guard try statement.step() else { return 0 }
        defer { statement.reset() }
        return UInt64(bitPattern: statement.integer(0))
    }

    public func reply(_ n: UInt64) throws -> [UInt8]? {
        statements.getReply.bind(Int64(bitPattern: n), at: 1)
        return try NamespaceDatabase.firstBlob(statements.getReply).map {
            try open($0, NamespaceDatabase.name(ofReply: n), 0)
        }
    }

    public func replies(after n: UInt64, limit: Int) throws -> [KeptReply] {
        let statement = statements.replies
        statement.bind(Int64(bitPattern: n), at: 1)
        statement.bind(Int64(limit), at: 2)
        var result: [KeptReply] = []
        while try statement.step() {
            let n = UInt64(bitPattern: statement.integer(0))
            let sealed = statement.bytes(1)
            do {
                result.append(KeptReply(n: n, bytes: try open(sealed, NamespaceDatabase.name(ofReply: n), 0)))
            } catch {
                statement.reset()
                throw error
            }
        }
        return result
    }

    public func state() throws -> [UInt8]? {
        try NamespaceDatabase.firstBlob(statements.getState).map { try open($0, [], 0) }
    }

    private static func firstBlob(_ statement: SQLiteStatement) throws -> [UInt8]? {
        guard try statement.step() else { return nil }
        defer { statement.reset() }
        return statement.bytes(0)
    }

    // MARK: Changes

    private func begin() throws {
        if isInTransaction { return }
        try statements.begin.run()
        isInTransaction = true
    }

    public func put(_ key: NamespaceKey, _ value: [UInt8], version: UInt64) throws {
        try begin()
        let value = SealedValue.seal(value, name: key.bytes, version: version)
        try key.bytes.withUnsafeBytes { key in
            try value.withUnsafeBytes { value in
                let statement = statements.put
                statement.bindBorrowed(key, at: 1)
                statement.bind(Int64(bitPattern: version), at: 2)
                statement.bindBorrowed(value, at: 3)
                try statement.run()
            }
        }
    }

    public func delete(_ key: NamespaceKey, version: UInt64) throws {
        try begin()
        try key.bytes.withUnsafeBytes { key in
            statements.delete.bindBorrowed(key, at: 1)
            try statements.delete.run()
            statements.putTombstone.bindBorrowed(key, at: 1)
            statements.putTombstone.bind(Int64(bitPattern: version), at: 2)
            try statements.putTombstone.run()
        }
    }

    public func putReply(_ n: UInt64, _ bytes: [UInt8]) throws {
        try begin()
        let bytes = SealedValue.seal(bytes, name: NamespaceDatabase.name(ofReply: n), version: 0)
        try bytes.withUnsafeBytes { bytes in
            statements.putReply.bind(Int64(bitPattern: n), at: 1)
            statements.putReply.bindBorrowed(bytes, at: 2)
            try statements.putReply.run()
        }
    }

    public func deleteReply(_ n: UInt64) throws {
        try begin()
        statements.deleteReply.bind(Int64(bitPattern: n), at: 1)
        try statements.deleteReply.run()
    }

    public func deleteAllReplies() throws {
        try begin()
        try database.execute("DELETE FROM replies")
    }

    public func putState(_ bytes: [UInt8]) throws {
        try begin()
        let bytes = SealedValue.seal(bytes, name: [], version: 0)
        try bytes.withUnsafeBytes { bytes in
            statements.putState.bindBorrowed(bytes, at: 1)
            try statements.putState.run()
        }
    }

    public func pruneTombstones(through version: UInt64, atMost limit: Int) throws {
        let statement = statements.oldestTombstones
        statement.bind(Int64(bitPattern: version), at: 1)
        statement.bind(Int64(limit), at: 2)
        var old: [ChangePosition] = []
        while let tombstone = try nextPlace(statement) { old.append(tombstone) }
        guard let last = old.last else { return }
        try begin()
        for tombstone in old {
            try tombstone.key.bytes.withUnsafeBytes { key in
                statements.dropTombstone.bindBorrowed(key, at: 1)
                try statements.dropTombstone.run()
            }
        }
        statements.raiseHorizon.bind(Int64(bitPattern: last.version), at: 1)
        try statements.raiseHorizon.run()
    }

    public func removeEverything(horizon: UInt64) throws {
        try begin()
        try database.execute("DELETE FROM rows; DELETE FROM tombstones; DELETE FROM replies; DELETE FROM state")
        statements.setHorizon.bind(Int64(bitPattern: horizon), at: 1)
        try statements.setHorizon.run()
    }

    public func commit() throws {
        guard isInTransaction else { return }
        try statements.commit.run()
        isInTransaction = false
    }

    public func rollback() throws {
        guard isInTransaction else { return }
        try statements.rollback.run()
        isInTransaction = false
    }
}
