import ClusterModel
import Foundation
import GRDB

/// The one connection of this process to the SQLite file. Used on the worker's thread only.
///
/// Invariants:
/// - Nothing else in this process opens or closes the database file: closing any descriptor of it would drop SQLite's
///   locks (traps 67).
/// - Every statement is stepped to its end at once, so that no read lock is held between two requests.
/// - What has won is durable: a rollback journal that stays (its header is cleared and synced at the end of a commit) and
///   synchronous=EXTRA. A journal that is deleted could come back at a power loss, and with it the state before the commit.
final class LocalStore {
    static let applicationID: Int32 = 0x5354_5643
    static let format: Int32 = 1

    /// What a transaction against SQLite came to.
    enum Result<Value> {
        case made(Value)
        /// Rolled back; surely nothing was changed.
        case notMade(CoordinationError)
        /// The commit failed in a way that leaves open what is on disk.
        case unknown(CoordinationError)
    }

    /// The singular row of the table `store`.
    struct Header {
        var cluster: ClusterID
        var revision: Revision
        /// Deletions up to this revision are forgotten.
        var forgotten: Revision
        var nextLease: UInt32
        var nextWord: Int
        var leaseFile: LeaseFileRecord?
    }

    /// Which lease file is in force.
    struct LeaseFileRecord: Equatable {
        var id: LeaseFileID
        var boot: BootID
        var path: String
        var silentUntil: Instant
        /// Lower numbers belong to earlier files.
        var firstLease: UInt32
    }

    struct LeaseRow {
        var number: LeaseNumber
        var word: Int
        /// When it was drawn, ms of the boot-time clock.
        var drawn: UInt64
        var owner: LeaseOwner
    }

    let path: String
    private let queue: DatabaseQueue
    private let patience: LockPatience
    /// Set by an error after which it is open what is on disk.
    private(set) var outOfService: CoordinationError?
    /// Whether the last transaction that was made changed a row.
    private(set) var lastTransactionWrote = false

    /// Opens the store that exists at `path`.
    init(path: String, patience: LockPatience) throws(CoordinationError) {
        self.path = path
        self.patience = patience
        var status = stat()
        guard stat(path, &status) == 0 else { throw .absent(path: path) }
        guard status.st_size > 0 else { throw .foreign(path: path, detail: "it is empty") }
        patience.begin()
        do {
            queue = try DatabaseQueue(path: path, configuration: Self.configuration(patience: patience))
        } catch {
            throw Self.describe(error, path: path, patience: patience)
        }
        let read = transact(.deferred) { db in
            let application = try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0
            let format = try Int32.fetchOne(db, sql: "PRAGMA user_version") ?? 0
            return (application, format)
        }
        switch read {
        case .made(let (application, format)):
            guard application == Self.applicationID else {
                throw .foreign(path: path, detail: "it is another program's database")
            }
            guard format == Self.format else {
                throw .foreign(path: path, detail: "its format is \(format), this program knows \(Self.format)")
            }
        case .notMade(let error), .unknown(let error):
            throw error
        }
        try prepare()
    }

    /// Columns of this program, and what must hold of the rows together: a header that went back would give revisions twice.
    private func prepare() throws(CoordinationError) {
        let looked = transact(.deferred) { db in
            let header = try Self.header(db)
            let newest = try Int64.fetchOne(db, sql: "SELECT max(revision) FROM records") ?? 0
            let lease = try Int64.fetchOne(db, sql: "SELECT max(number) FROM leases") ?? 0
            guard newest <= header.revision.rawValue, lease < Int64(header.nextLease) else {
                throw DatabaseError(
                    message: "its header has rotted: it is at revision \(header.revision.rawValue) and lease "
                        + "\(header.nextLease), and there are revision \(newest) and lease \(lease)")
            }
            return try Self.hasChecksums(db)
        }
        switch looked {
        case .made(true): return
        case .notMade(let error), .unknown(let error): throw error
        case .made(false): break
        }
        switch transact(.immediate, { try Self.addChecksums($0) }) {
        case .made: return
        case .notMade(let error), .unknown(let error): throw error
        }
    }

    static func configuration(patience: LockPatience?) -> Configuration {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        configuration.label = "stave.coordination"
        if let patience {
            configuration.busyMode = .callback { _ in patience.waitAndTryAgain() }
        }
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA synchronous = EXTRA; PRAGMA locking_mode = NORMAL; PRAGMA temp_store = MEMORY")
            let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode = PERSIST")
            guard mode == "persist" else {
                throw DatabaseError(message: "the journal mode is \(mode ?? "unknown") instead of persist")
            }
            // Beyond what ordinary transactions need it does not stay.
            _ = try Int.fetchOne(db, sql: "PRAGMA journal_size_limit = \(CoordinationLimits.journalBytes)")
        }
        return configuration
    }

    func close() throws { try queue.close() }

    // MARK: transactions

    enum Kind {
        /// Reads only.
        case deferred
        /// Takes the write lock at the beginning, so that it never has to give way in the middle.
        case immediate
    }

    func transact<Value>(_ kind: Kind, _ body: (Database) throws -> Value) -> Result<Value> {
        if let outOfService { return .notMade(outOfService) }
        patience.begin()
        return queue.inDatabase { db in
            do {
                try db.beginTransaction(kind == .deferred ? .deferred : .immediate)
            } catch {
                return .notMade(describe(error))
            }
            let changesBefore = db.totalChangesCount
            let value: Value
            do {
                value = try body(db)
            } catch {
                return undo(db, because: error)
            }
            do {
                try db.commit()
                lastTransactionWrote = db.totalChangesCount != changesBefore
                return .made(value)
            } catch {
                let code = (error as? DatabaseError)?.resultCode
                let isUndecided = db.isInsideTransaction && (code == .SQLITE_BUSY || code == .SQLITE_FULL)
                if isUndecided { return undo(db, because: error) }
                // SQLite has rolled back by itself.
                if code == .SQLITE_FULL, !db.isInsideTransaction { return .notMade(describe(error)) }
                if db.isInsideTransaction { try? db.rollback() }
                let reason = CoordinationError.outOfService("\(describe(error))")
                outOfService = reason
                return kind == .deferred ? .notMade(reason) : .unknown(reason)
            }
        }
    }

    private func undo<Value>(_ db: Database, because error: any Error) -> Result<Value> {
        do {
            try db.rollback()
        } catch let second {
            // The journal is still there: whoever opens the store next rolls back.
            outOfService = .outOfService("\(describe(second)) while rolling back")
        }
        return .notMade(describe(error))
    }

    private func describe(_ error: any Error) -> CoordinationError {
        Self.describe(error, path: path, patience: patience)
    }

    static func describe(_ error: any Error, path: String, patience: LockPatience) -> CoordinationError {
        if let known = error as? CoordinationError { return known }
        if let rot = error as? RowDecodingError {
            return .database("\(path): a row has a value that nobody has put there: \(rot)")
        }
        guard let failure = error as? DatabaseError else { return .database("\(error)") }
        switch failure.resultCode {
        case .SQLITE_BUSY: return .busy(holders: patience.holders)
        case .SQLITE_NOTADB, .SQLITE_CORRUPT:
            return .foreign(path: path, detail: "\(failure.message ?? "not a database")")
        default: return .database("\(path): \(failure.message ?? "") (SQLite \(failure.extendedResultCode.rawValue))")
        }
    }

    /// Whether another connection has changed the database since the last call (`PRAGMA data_version`); also true if it
    /// cannot be told.
    func wasChangedByOthers() -> Bool {
        patience.begin()
        let version = queue.inDatabase { db in try? Int64.fetchOne(db, sql: "PRAGMA data_version") }
        defer { dataVersion = version ?? nil }
        return version == nil || version != dataVersion
    }
    private var dataVersion: Int64?

    /// `journal_mode` and `synchronous` as they are in force.
    func durability() -> (journal: String, synchronous: Int)? {
        queue.inDatabase { db in
            guard let journal = try? String.fetchOne(db, sql: "PRAGMA journal_mode"),
                let synchronous = try? Int.fetchOne(db, sql: "PRAGMA synchronous")
            else { return nil }
            return (journal, synchronous)
        }
    }
}
