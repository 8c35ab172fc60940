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
/// Every value has a checksum: what has rotted is told (`DiskError.isDamage`), and never given.
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
        let found = try key.bytes.withUnsafeBytes { key throws -> (sealed: [UInt8], version: UInt64)? in
            let statement = statements.get
            statement.bindBorrowed(key, at: 1)
            guard try statement.step() else { return nil }
            defer { statement.reset() }
            return (statement.bytes(0), UInt64(bitPattern: statement.integer(1)))
        }
        return try found.map { try open($0.sealed, key.bytes, $0.version) }
    }

    /// The value without its checksum.
    private func open(_ sealed: [UInt8], _ name: [UInt8], _ version: UInt64) throws(DiskError) -> [UInt8] {
        guard let value = SealedValue.open(sealed, name: name, version: version) else {
            let hex = name.prefix(32).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            throw DiskError(.database, path: database.path, .damaged("the row \(hex) does not match its checksum"))
        }
        return value
    }

    private static func name(ofReply n: UInt64) -> [UInt8] { withUnsafeBytes(of: n.littleEndian) { Array($0) } }

    public func rows(from lower: NamespaceKey, below upper: NamespaceKey, limit: Int) throws -> [NamespaceRow] {
        try lower.bytes.withUnsafeBytes { lower in
            try upper.bytes.withUnsafeBytes { upper throws -> [NamespaceRow] in
                let statement = statements.range
                statement.bindBorrowed(lower, at: 1)
                statement.bindBorrowed(upper, at: 2)
                statement.bind(Int64(limit), at: 3)
                var result: [NamespaceRow] = []
                while try statement.step() {
                    let key = statement.bytes(0)
                    let version = UInt64(bitPattern: statement.integer(1))
                    let sealed = statement.bytes(2)
                    do {
                        result.append(
                            NamespaceRow(
                                key: NamespaceKey(bytes: key), version: version, value: try open(sealed, key, version)))
                    } catch {
                        statement.reset()
                        throw error
                    }
                }
                return result
            }
        }
    }

    public func changes(after position: ChangePosition, limit: Int) throws -> [ChangedRow] {
        var found = try changes(statements.changes, after: position, limit)
        found += try changes(statements.tombstones, after: position, limit)
        found.sort { $0.version != $1.version ? $0.version < $1.version : $0.key < $1.key }
        return Array(found.prefix(limit))
    }

    private func changes(
        _ statement: SQLiteStatement, after position: ChangePosition, _ limit: Int
    ) throws -> [ChangedRow] {
        try position.key.bytes.withUnsafeBytes { key throws -> [ChangedRow] in
            statement.bind(Int64(bitPattern: position.version), at: 1)
            statement.bindBorrowed(key, at: 2)
            statement.bind(Int64(limit), at: 3)
            var result: [ChangedRow] = []
            while try statement.step() {
                let key = statement.bytes(0)
                let version = UInt64(bitPattern: statement.integer(1))
                let sealed = statement === statements.changes ? statement.bytes(2) : nil
                do {
                    result.append(
                        ChangedRow(
                            key: NamespaceKey(bytes: key), version: version,
                            value: try sealed.map { try open($0, key, version) }))
                } catch {
                    statement.reset()
                    throw error
                }
            }
            return result
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

    public func pruneTombstones(through version: UInt64) throws {
        try begin()
        for statement in [statements.pruneTombstones, statements.raiseHorizon] {
            statement.bind(Int64(bitPattern: version), at: 1)
            try statement.run()
        }
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
