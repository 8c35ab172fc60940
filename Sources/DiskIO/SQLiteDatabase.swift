import CSupport
import GRDBSQLite
import Glibc

/// SQLite result codes that are told apart here (the low byte of an extended code).
enum SQLiteCode {
    static let busy: Int32 = SQLITE_BUSY
    static let ioError: Int32 = SQLITE_IOERR
    static let full: Int32 = SQLITE_FULL
    static let corrupt: Int32 = SQLITE_CORRUPT
    static let notADatabase: Int32 = SQLITE_NOTADB
    static let readOnly: Int32 = SQLITE_READONLY
    static let cannotOpen: Int32 = SQLITE_CANTOPEN

    /// The file can no longer be trusted, or the kernel failed a call: the end of the disk (store.md, rule 4). SQLITE_FULL
    /// is among them: space is reserved before admission, so meeting it means that a commit was lost.
    static func endsTheDisk(_ code: Int32) -> Bool {
        switch code & 0xff {
        case ioError, full, corrupt, notADatabase, readOnly, cannotOpen: true
        default: false
        }
    }
}

/// One SQLite database with its one connection, used on one thread.
///
/// Invariants:
/// - WAL with synchronous=NORMAL: after a loss of power a consistent prefix is left; what is committed is durable once
///   the -wal file was synced (`walFile`), and the log replays the rest.
/// - Exclusive locking: no other process can open the database, and there is no -shm file. (It also saves the locking
///   calls of each transaction: measured 10 instead of 18 µs for a lone put.)
/// - No checkpoint happens but by `passiveCheckpoint`, on this connection; not by closing, either (with SQLite before 3.51.3 a checkpoint by
///   another connection may reset a WAL that is in use).
/// - Nothing else of the process opens the database file: closing any descriptor of it would drop SQLite's locks
///   (traps.md, 67). The -wal file has none and may be opened.
/// - Errors of input or output, a full or a corrupt file fail the disk.
///
/// SQLite is called directly, through the C module that GRDB brings: what is needed here is one connection, a dozen
/// statements and blobs that are not copied. Measured for a row of 1.2 KiB: put 3.6 µs against 5.0 by GRDB's cached
/// statements inside one hop, get 1.7 against 2.8; and GRDB's commit hook traps on transactions that it did not begin.
public final class SQLiteDatabase {
    /// What a file means that SQLite finds corrupt.
    public enum Corruption: Hashable, Sendable {
        /// Nothing on the disk can be found any more.
        case endsTheDisk
        /// The content can be made anew from elsewhere: the error tells (`DiskError.isDamage`).
        case isTold
    }

    public struct Options: Hashable, Sendable {
        /// Bytes of a page, a power of two from 512 to 65,536; only a new database takes it.
        public var pageBytes = 4096
        /// Bytes of pages that the connection keeps in memory.
        public var cacheBytes = 8 << 20
        public var corruption = Corruption.endsTheDisk
        public init(pageBytes: Int = 4096, cacheBytes: Int = 8 << 20) {
            self.pageBytes = pageBytes
            self.cacheBytes = cacheBytes
        }
    }

    /// The outcome of a checkpoint, in pages of the WAL.
    public struct CheckpointResult: Hashable, Sendable {
        public var framesInWAL: Int
        public var framesCheckpointed: Int
        /// Everything in the WAL is in the database file: the next commit begins the WAL anew.
        public var isComplete: Bool { framesInWAL == framesCheckpointed }
    }

    public let path: String
    public let health: DiskHealth
    private let folder: DiskFolder
    private let name: String
    let connection: OpaquePointer
    /// Frames in the WAL since it began anew, kept by SQLite's hook.
    private let frames = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    private var pageBytes = 0
    private let corruption: Corruption
    private var begin: SQLiteStatement?
    private var commit: SQLiteStatement?
    private var rollback: SQLiteStatement?

    /// Opens `name` in `folder`. A database that must be `.new` and exists is refused, one that must exist and does not
    /// likewise; nothing is created by mistake. Durable when it returns.
    public init(
        in folder: DiskFolder, name: String, _ existence: DiskFile.Existence, options: Options = Options()
    ) throws(DiskError) {
        let path = folder.path + "/" + name
        let health = folder.health
        if health.hasFailed { throw DiskError(.database, path: path, .diskFailed) }
        let exists = try folder.names().contains(name)
        switch existence {
        case .existing: guard exists else { throw DiskError(.database, path: path, .system(ENOENT)) }
        case .new: guard !exists else { throw DiskError(.database, path: path, .system(EEXIST)) }
        }
        connection = try SQLiteDatabase.connect(path, existence, health, options.corruption)
        self.path = path
        self.health = health
        self.folder = folder
        self.name = name
        corruption = options.corruption
        frames.initialize(to: 0)
        // From here on `deinit` closes the connection if anything throws.
        try configure(options)
        pageBytes = Int(try pragma("page_size") ?? "") ?? options.pageBytes
        // The files' names, -wal included, must survive a loss of power: SQLite syncs the folder only when it syncs the
        // WAL itself, and ours is synced through another descriptor.
        try folder.sync()
    }

    deinit {
        begin = nil
        commit = nil
        rollback = nil
        sqlite3_wal_hook(connection, nil, nil)
        cs_call_enter(health.number)
        sqlite3_close_v2(connection)
        cs_call_leave()
        frames.deallocate()
    }

    private static func connect(
        _ path: String, _ existence: DiskFile.Existence, _ health: DiskHealth, _ corruption: Corruption
    ) throws(DiskError) -> OpaquePointer {
        // No mutex: the connection is used on one thread at a time.
        var flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        switch existence {
        case .existing: break
        case .new: flags |= SQLITE_OPEN_CREATE
        }
        var opened: OpaquePointer?
        cs_call_enter(health.number)
        let code = sqlite3_open_v2(path, &opened, flags, nil)
        cs_call_leave()
        guard code == SQLITE_OK, let opened else {
            let message = String(cString: opened.map { sqlite3_errmsg($0) } ?? sqlite3_errstr(code))
            sqlite3_close_v2(opened)
            let error = DiskError(.database, path: path, .database(code: code, message: message))
            if SQLiteCode.endsTheDisk(code), !(error.isDamage && corruption == .isTold) { health.fail(error) }
            throw error
        }
        return opened
    }

    private func configure(_ options: Options) throws(DiskError) {
        // Before anything reads the file: the page size is taken by the first write, and a WAL that is first opened under
        // exclusive locking needs no -shm file.
        try execute("PRAGMA page_size=\(options.pageBytes); PRAGMA locking_mode=EXCLUSIVE")
        guard try pragma("journal_mode=WAL") == "wal" else {
            throw DiskError(.database, path: path, .malformed("the database cannot be put into WAL mode"))
        }
        try execute(
            """
            PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-\(options.cacheBytes / 1024);
            PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;
            """)
        // After wal_autocheckpoint, which takes SQLite's one hook for itself.
        sqlite3_wal_hook(
            connection,
            { context, _, _, count in
                context?.assumingMemoryBound(to: Int32.self).pointee = count
                return SQLITE_OK
            }, frames)
        // A write, so that the -wal file exists from here on and exclusive locking has taken its lock.
        try execute("BEGIN IMMEDIATE; PRAGMA user_version=1; COMMIT")
        // Closing writes nothing and removes nothing: the disk may have failed, and the -wal file's name stays durable.
        try guarded(.database) { cs_sqlite_no_checkpoint_on_close(UnsafeMutableRawPointer(connection)) }
    }

    // MARK: Statements

    /// Compiles a statement; keep it and use it again. It must not outlive the database.
    public func prepare(_ sql: String) throws(DiskError) -> SQLiteStatement {
        var handle: OpaquePointer?
        let code = sqlite3_prepare_v3(connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil)
        guard code == SQLITE_OK, let handle else { throw failed(.database, code) }
        return SQLiteStatement(handle: handle, database: self)
    }

    /// Runs statements without results that are not hot: a schema, a pragma.
    public func execute(_ sql: String) throws(DiskError) {
        try guarded(.database) { sqlite3_exec(connection, sql, nil, nil, nil) }
    }

    /// Runs `body` in one transaction: all of it is committed, or nothing and the error of `body` or of the commit is
    /// thrown. Transactions do not nest.
    public func transaction<Result>(_ body: () throws(DiskError) -> Result) throws(DiskError) -> Result {
        try transactionStatement(&begin, "BEGIN IMMEDIATE").run(.database)
        let result: Result
        do throws(DiskError) {
            result = try body()
            try meetFaults(.commit)
            try transactionStatement(&commit, "COMMIT").run(.commit)
        } catch {
            if sqlite3_get_autocommit(connection) == 0 {
                // If it fails too, the disk has failed; the first error tells why.
                try? transactionStatement(&rollback, "ROLLBACK").run(.database)
            }
            throw error
        }
        return result
    }

    private func transactionStatement(
        _ cached: inout SQLiteStatement?, _ sql: String
    ) throws(DiskError) -> SQLiteStatement {
        if let cached { return cached }
        let statement = try prepare(sql)
        // The database owns this statement: a reference back would keep both alive for ever.
        statement.detach()
        cached = statement
        return statement
    }

    // MARK: Checkpoint and durability

    /// Bytes that the WAL holds since it began anew; checkpoint at 32 MiB. (The file itself stays as long as it once was.)
    public var walBytes: Int { Int(frames.pointee) * (pageBytes + 24) }

    /// Moves committed pages from the WAL into the database file (wal_checkpoint(PASSIVE)): waits for no one, syncs the
    /// WAL before and the database after. Let the sync thread sync `walFile` first: the call is shorter by that.
    @discardableResult
    public func passiveCheckpoint() throws(DiskError) -> CheckpointResult {
        var inWAL: Int32 = 0
        var moved: Int32 = 0
        try meetFaults(.checkpoint)
        try guarded(.checkpoint) {
            sqlite3_wal_checkpoint_v2(connection, nil, SQLITE_CHECKPOINT_PASSIVE, &inWAL, &moved)
        }
        if inWAL == moved { frames.pointee = 0 }
        return CheckpointResult(framesInWAL: Int(inWAL), framesCheckpointed: Int(moved))
    }

    /// A descriptor of its own of the -wal file, for the sync thread: what is committed before a sync of it is durable
    /// after. Good for as long as the database is open.
    public func walFile() throws(DiskError) -> DiskFile { try folder.open(name + "-wal") }

    /// The value of a pragma, as text, for tests and diagnosis.
    public func pragma(_ name: String) throws(DiskError) -> String? {
        let statement = try prepare("PRAGMA \(name)")
        return try statement.step() ? statement.text(0) : nil
    }

    // MARK: Errors

    func failed(_ operation: DiskError.Operation, _ code: Int32) -> DiskError {
        let extended = sqlite3_extended_errcode(connection)
        let message = String(cString: sqlite3_errmsg(connection))
        let error = DiskError(
            operation, path: path, .database(code: extended == SQLITE_OK ? code : extended, message: message))
        let isToldOnly = error.isDamage && corruption == .isTold
        if SQLiteCode.endsTheDisk(code), !isToldOnly { health.fail(error) }
        return error
    }

    private func meetFaults(_ operation: DiskError.Operation) throws(DiskError) {
        guard let faults = health.faults else { return }
        cs_call_enter(health.number)
        defer { cs_call_leave() }
        guard let errno = faults.meet(operation, name: name, offset: 0, count: 0) else { return }
        let error = DiskError(operation, path: path, .system(errno))
        health.fail(error)
        throw error
    }

    private func guarded(_ operation: DiskError.Operation, _ body: () -> Int32) throws(DiskError) {
        if health.hasFailed { throw DiskError(operation, path: path, .diskFailed) }
        cs_call_enter(health.number)
        let code = body()
        cs_call_leave()
        guard code == SQLITE_OK else { throw failed(operation, code) }
    }
}
