import CSupport
import Glibc

/// What went wrong at the files of a disk: which operation, on what, and why.
public struct DiskError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Operation: String, Hashable, Sendable, CaseIterable {
        case open, read, write, allocate, punch, truncate, sync, writeback, status, list, rename, remove, lock
        /// SQLite: opening and preparing, a row or query, a commit, a WAL checkpoint.
        case database, commit, checkpoint
        case thread
    }

    public enum Cause: Hashable, Sendable {
        /// The kernel's errno.
        case system(Int32)
        /// SQLite's extended result code and message.
        case database(code: Int32, message: String)
        /// A read of so many bytes met the end of the file after so many.
        case endOfFile(wanted: Int, got: Int)
        /// The content is not what was written here, or of a format this version does not know; the text says what.
        case malformed(String)
        /// The content is not what was written here, and can be made anew from elsewhere.
        case damaged(String)
        /// A bound of `DiskLimits` or of the format would be passed; the text says which.
        case limit(String)
        /// One call did not come back for as long as the watchdog allows.
        case stuck
        /// The disk had failed before (rule 4 of store.md: no retry); this call was not made.
        case diskFailed
    }

    public let operation: Operation
    /// Path of the file or folder.
    public let path: String
    public let cause: Cause

    public init(_ operation: Operation, path: String, _ cause: Cause) {
        self.operation = operation
        self.path = path
        self.cause = cause
    }

    /// No space, no inodes or no quota left: the operation can succeed later.
    public var isNoSpace: Bool {
        switch cause {
        case .system(let errno): errno == ENOSPC || errno == EDQUOT
        case .database(let code, _): code & 0xff == SQLiteCode.full
        case .endOfFile, .malformed, .damaged, .limit, .stuck, .diskFailed: false
        }
    }

    /// The content of a file has rotted, and nothing else is known to be wrong with its disk.
    public var isDamage: Bool {
        switch cause {
        case .database(let code, _): code & 0xff == SQLiteCode.corrupt || code & 0xff == SQLiteCode.notADatabase
        case .damaged: true
        case .system, .endOfFile, .malformed, .limit, .stuck, .diskFailed: false
        }
    }

    /// The file or folder does not exist.
    public var isMissing: Bool { cause == .system(ENOENT) }

    /// It exists already.
    public var isPresent: Bool { cause == .system(EEXIST) }

    /// Another process holds the lock.
    public var isLocked: Bool { operation == .lock && cause == .system(EWOULDBLOCK) }

    public var description: String {
        switch cause {
        case .system(let errno): "\(operation.rawValue) \(path): \(String(cString: strerror(errno))) (errno \(errno))"
        case .database(let code, let message): "\(operation.rawValue) \(path): \(message) (SQLite \(code))"
        case .endOfFile(let wanted, let got):
            "\(operation.rawValue) \(path): file ended after \(got) of \(wanted) bytes"
        case .malformed(let what), .damaged(let what): "\(operation.rawValue) \(path): \(what)"
        case .limit(let what): "\(operation.rawValue) \(path): \(what)"
        case .stuck: "\(operation.rawValue) \(path): a call has not returned; the disk is taken out of service"
        case .diskFailed: "\(operation.rawValue) \(path): not tried, the disk has failed before"
        }
    }
}
