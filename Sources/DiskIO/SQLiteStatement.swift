import CSupport
import GRDBSQLite

/// A compiled statement. Parameters are counted from 1, columns from 0. Used on its database's thread.
public final class SQLiteStatement {
    private let handle: OpaquePointer
    /// Nil once detached; see `database`.
    private var owner: SQLiteDatabase?
    private unowned let unownedOwner: SQLiteDatabase

    init(handle: OpaquePointer, database: SQLiteDatabase) {
        self.handle = handle
        owner = database
        unownedOwner = database
    }

    deinit { sqlite3_finalize(handle) }

    /// For a statement that its own database keeps.
    func detach() { owner = nil }

    /// Its text.
    public var sql: String { sqlite3_sql(handle).map { String(cString: $0) } ?? "" }

    // MARK: Parameters

    public func bind(_ value: Int64, at index: Int32) {
        // Fails only for an index that the statement does not have: a mistake in this code.
        let code = sqlite3_bind_int64(handle, index, value)
        precondition(code == SQLITE_OK, "statement has no parameter \(index)")
    }

    /// Binds memory that stays valid and unchanged until the statement has been run or reset: nothing is copied.
    public func bindBorrowed(_ bytes: UnsafeRawBufferPointer, at index: Int32) {
        let code: Int32
        if let base = bytes.baseAddress, !bytes.isEmpty {
            code = sqlite3_bind_blob64(handle, index, base, UInt64(bytes.count), nil)
        } else {
            code = sqlite3_bind_zeroblob(handle, index, 0)
        }
        precondition(code == SQLITE_OK, "statement has no parameter \(index)")
    }

    // MARK: Running

    /// Steps to the next row; false at the end, after which the statement is ready to be bound and run again.
    public func step() throws(DiskError) -> Bool { try step(.database) }

    /// Runs a statement without rows.
    public func run() throws(DiskError) { try run(.database) }

    func run(_ operation: DiskError.Operation) throws(DiskError) {
        while try step(operation) {}
    }

    /// Ends a run before its last row.
    public func reset() { sqlite3_reset(handle) }

    private func step(_ operation: DiskError.Operation) throws(DiskError) -> Bool {
        let database = unownedOwner
        if database.health.hasFailed { throw DiskError(operation, path: database.path, .diskFailed) }
        cs_call_enter(database.health.number)
        let code = sqlite3_step(handle)
        cs_call_leave()
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE {
            sqlite3_reset(handle)
            return false
        }
        let error = database.failed(operation, code)
        sqlite3_reset(handle)
        throw error
    }

    // MARK: Columns of the current row

    public func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    public func text(_ column: Int32) -> String? { sqlite3_column_text(handle, column).map { String(cString: $0) } }

    /// The blob, copied once.
    public func bytes(_ column: Int32) -> [UInt8] { withBlob(column) { Array($0) } }

    /// The blob in SQLite's memory, valid inside `body`.
    public func withBlob<Result>(_ column: Int32, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let base = sqlite3_column_blob(handle, column)
        return body(UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(handle, column))))
    }
}
