import ClusterModel
import Wire

/// A row's table and primary key, in an order of bytes that is the order of the key: numbers are big-endian.
public struct NamespaceKey: Hashable, Comparable, Sendable {
    public let bytes: [UInt8]

    /// A key as it was stored or received.
    public init(bytes: [UInt8]) { self.bytes = bytes }

    public static func < (a: NamespaceKey, b: NamespaceKey) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    /// Before every key, and after every key.
    public static let least = NamespaceKey(bytes: [])
    public static let greatest = NamespaceKey(bytes: [0xFF])

    /// The greatest length of a key: an entry's with a name of 255 bytes.
    public static let maximumLength = 1 + 8 + FileName.maximumLength
}

/// A live row. `version` is the n of the entry that last changed it.
public struct NamespaceRow: Hashable, Sendable {
    public var key: NamespaceKey
    public var version: UInt64
    public var value: [UInt8]
    public init(key: NamespaceKey, version: UInt64, value: [UInt8]) {
        self.key = key
        self.version = version
        self.value = value
    }
}

/// A row as it is now, or the tombstone that it left.
public struct ChangedRow: Hashable, Sendable {
    public var key: NamespaceKey
    public var version: UInt64
    /// Nil when the row was deleted.
    public var value: [UInt8]?
    public init(key: NamespaceKey, version: UInt64, value: [UInt8]?) {
        self.key = key
        self.version = version
        self.value = value
    }
}

/// A place in the order of changes: by version, then by key.
public struct ChangePosition: Hashable, Comparable, Sendable {
    public var version: UInt64
    public var key: NamespaceKey
    public init(version: UInt64, key: NamespaceKey) {
        self.version = version
        self.key = key
    }
    /// Behind every change of version `version`.
    public static func after(version: UInt64) -> ChangePosition {
        ChangePosition(version: version, key: .greatest)
    }
    public static func < (a: ChangePosition, b: ChangePosition) -> Bool {
        a.version != b.version ? a.version < b.version : a.key < b.key
    }
}

/// The result of a request as it is kept, under the n of its entry.
public struct KeptReply: Hashable, Sendable {
    public var n: UInt64
    public var bytes: [UInt8]
    public init(n: UInt64, bytes: [UInt8]) {
        self.n = n
        self.bytes = bytes
    }
}

/// What a fileset's namespace is stored in, for reading: rows by key, replies by n, and one record of state.
/// An error means that the disk below failed: its use ends (store.md, rule 4).
public protocol NamespaceRowReader: AnyObject {
    func value(of key: NamespaceKey) throws -> [UInt8]?
    /// Live rows with `lower` ≤ key < `upper`, ascending, at most `limit`.
    func rows(from lower: NamespaceKey, below upper: NamespaceKey, limit: Int) throws -> [NamespaceRow]
    /// Rows changed and tombstones left behind `position`, ascending by version and key, at most `limit`. A tombstone of a
    /// key that is live again is not given.
    func changes(after position: ChangePosition, limit: Int) throws -> [ChangedRow]
    /// Throws if one of these rows, which are as `rows` gave them, is not where `changes` looks for it: it has rotted there.
    func checkVersions(of rows: [NamespaceRow]) throws
    /// `changes` after a version lower than this may lack deletions: their tombstones have been pruned.
    func tombstoneHorizon() throws -> UInt64
    func reply(_ n: UInt64) throws -> [UInt8]?
    /// Replies with greater n, ascending, at most `limit`.
    func replies(after n: UInt64, limit: Int) throws -> [KeptReply]
    /// The record of state; nil in a new store.
    func state() throws -> [UInt8]?
}

extension NamespaceRowReader {
    /// For rows that cannot rot.
    public func checkVersions(of rows: [NamespaceRow]) {}
}

/// The rows of one fileset. Two implementations pass one conformance suite: sorted arrays (`RowArrays`), and SQLite in
/// production. Changes are seen at once by the one who makes them, and become one with `commit`; what was not committed is
/// gone after a crash.
public protocol NamespaceRows: NamespaceRowReader {
    func put(_ key: NamespaceKey, _ value: [UInt8], version: UInt64) throws
    /// Deletes the row, if it is there, and leaves a tombstone in any case.
    func delete(_ key: NamespaceKey, version: UInt64) throws
    func putReply(_ n: UInt64, _ bytes: [UInt8]) throws
    func deleteReply(_ n: UInt64) throws
    func deleteAllReplies() throws
    func putState(_ bytes: [UInt8]) throws
    /// Drops tombstones up to this version, the oldest first, at most `limit`; the horizon becomes the version of the last
    /// one, if it was lower.
    func pruneTombstones(through version: UInt64, atMost limit: Int) throws
    /// Empties the store before a whole copy; tombstones are complete from `horizon` on.
    func removeEverything(horizon: UInt64) throws
    func commit() throws
    func rollback() throws
}
