import ClusterModel

/// What kind of thing an inode is. Raw values are ours, on disk and wire.
public enum FileKind: UInt8, Hashable, Sendable {
    case regular = 1
    case directory = 2
    case symbolicLink = 3
    case blockDevice = 4
    case characterDevice = 5
    case fifo = 6
    case socket = 7
}

/// Who asks, after squashing.
public struct Credentials: Hashable, Sendable {
    public var uid: UInt32
    public var gid: UInt32
    /// Supplementary groups, at most 1,024.
    public var groups: [UInt32]
    public init(uid: UInt32, gid: UInt32, groups: [UInt32] = []) {
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }
    public static let superuser = Credentials(uid: 0, gid: 0)
}

/// A name in a directory: 1 … 255 bytes, no NUL, no slash, neither "." nor "..".
public struct FileName: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]
    public static let maximumLength = 255

    /// Nil when the bytes are no name; `tooLong` tells the one case that has a status of its own.
    public init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count <= FileName.maximumLength, !bytes.contains(0), !bytes.contains(0x2F),
            bytes != [0x2E], bytes != [0x2E, 0x2E]
        else { return nil }
        self.bytes = bytes
    }
    public init?(_ text: String) { self.init(Array(text.utf8)) }
    public static func < (a: FileName, b: FileName) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

public struct DeviceNumber: Hashable, Sendable {
    public var major: UInt32
    public var minor: UInt32
    public init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }
}

/// An inode's attributes as doors show them.
public struct FileAttributes: Hashable, Sendable {
    public var kind: FileKind
    /// Permission bits with setuid, setgid and sticky: 0 … 0o7777.
    public var mode: UInt16
    public var linkCount: UInt32
    public var uid: UInt32
    public var gid: UInt32
    /// Bytes. A directory's is the sum of its names' lengths rounded up to blocks; a symbolic link's its target's length.
    public var size: UInt64
    /// Bytes in blocks that hold data, one copy, as last measured; exact once nobody writes.
    public var used: UInt64
    public var device: DeviceNumber
    public var file: FileID
    public var generation: UInt64
    public var accessTime: Timestamp
    public var modificationTime: Timestamp
    public var changeTime: Timestamp
    /// Rises with every change.
    public var changeCounter: UInt64

    public init(
        kind: FileKind, mode: UInt16, linkCount: UInt32, uid: UInt32, gid: UInt32, size: UInt64, used: UInt64,
        device: DeviceNumber, file: FileID, generation: UInt64, accessTime: Timestamp, modificationTime: Timestamp,
        changeTime: Timestamp, changeCounter: UInt64
    ) {
        self.kind = kind
        self.mode = mode
        self.linkCount = linkCount
        self.uid = uid
        self.gid = gid
        self.size = size
        self.used = used
        self.device = device
        self.file = file
        self.generation = generation
        self.accessTime = accessTime
        self.modificationTime = modificationTime
        self.changeTime = changeTime
        self.changeCounter = changeCounter
    }
}

/// What a gateway needs to know of a regular file beyond its attributes, in order to read and write its objects.
public struct FileHint: Hashable, Sendable {
    public var layout: Layout
    /// At least every byte that was ever sent to the objects since the last truncation.
    public var limit: UInt64
    public var truncation: TruncationMark
    /// Measurements of what the file uses count only if they begin after this is known.
    public var usageMark: UsageMark
    /// Of the fileset.
    public var quota: QuotaStanding
    /// How long after it was asked for a gateway may use it for permission, size and truncation (namespace.md, Attributes
    /// before tokens exist).
    public static let lifetime = TimeSpan.seconds(1)

    public init(
        layout: Layout, limit: UInt64, truncation: TruncationMark, usageMark: UsageMark = .zero,
        quota: QuotaStanding = .within
    ) {
        self.layout = layout
        self.limit = limit
        self.truncation = truncation
        self.usageMark = usageMark
        self.quota = quota
    }
}

public struct Inode: Hashable, Sendable {
    public var attributes: FileAttributes
    /// Of regular files only.
    public var hint: FileHint?
    public init(attributes: FileAttributes, hint: FileHint?) {
        self.attributes = attributes
        self.hint = hint
    }
}

/// A time to set: to the server's clock, or to a given one.
public enum TimeChange: Hashable, Sendable {
    case now
    case to(Timestamp)
}

public struct AttributeChanges: Hashable, Sendable {
    public var mode: UInt16?
    public var uid: UInt32?
    public var gid: UInt32?
    public var size: UInt64?
    public var accessTime: TimeChange?
    public var modificationTime: TimeChange?
    public init(
        mode: UInt16? = nil, uid: UInt32? = nil, gid: UInt32? = nil, size: UInt64? = nil,
        accessTime: TimeChange? = nil, modificationTime: TimeChange? = nil
    ) {
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.accessTime = accessTime
        self.modificationTime = modificationTime
    }
}

/// How CREATE treats a name that exists (RFC 1813, 3.3.8).
public enum CreateMode: Hashable, Sendable {
    case unchecked
    case guarded
    /// The same verifier again finds the file that it made.
    case exclusive(verifier: UInt64)
}

/// What a new inode is.
public enum NewFile: Hashable, Sendable {
    case regular(CreateMode)
    case directory
    /// 1 … 4,096 bytes.
    case symbolicLink(target: [UInt8])
    case device(FileKind, DeviceNumber)
    case fifo
    case socket
}

/// An operation that changes a fileset. Logged as an entry, applied when decided: `apply(operation, rows) -> result`.
public enum NamespaceOperation: Hashable, Sendable {
    case create(directory: InodeNumber, name: FileName, file: NewFile, attributes: AttributeChanges)
    /// `guardTime`: refuse unless the change time is this one (RFC 1813, 3.3.2).
    case setAttributes(inode: InodeNumber, changes: AttributeChanges, guardTime: Timestamp?)
    case link(inode: InodeNumber, directory: InodeNumber, name: FileName)
    case remove(directory: InodeNumber, name: FileName)
    case removeDirectory(directory: InodeNumber, name: FileName)
    case rename(from: InodeNumber, name: FileName, to: InodeNumber, newName: FileName)
    /// Raises the limit to at least this many bytes, before data goes there. Stable.
    case raiseLimit(inode: InodeNumber, limit: UInt64)
    /// Raises the size to at least `size` after data within truncation `number` was acknowledged; nothing if truncated since.
    case extend(inode: InodeNumber, size: UInt64, truncation: TruncationNumber)
    /// The session begins to write to the inode: until it settles, its times move (namespace.md, Attributes before tokens).
    case registerWriter(inode: InodeNumber, session: SessionID)
    /// The end of a registration with the time of the last write; never earlier than a time that was answered.
    /// `usage` was measured after the session's last write.
    case settle(inode: InodeNumber, session: SessionID, modified: Timestamp, usage: MeasuredUsage? = nil)
    /// Ends all registrations of sessions that are gone.
    case settleSession(session: SessionID)
    /// The relatime rule's update. Unstable.
    case touchAccessTime(inode: InodeNumber)
    /// A range deletion has been executed in all placement groups; its row goes.
    case finishRangeDeletion(inode: InodeNumber, truncation: TruncationNumber)
    /// Reserves inode numbers up to this one; always stable, and logged before numbers beyond the last reservation are given.
    case reserveInodes(through: InodeNumber)
    /// After a loss of unstable entries: what was reserved may have been given and seen, and is never given again.
    case abandonReservation
    /// What the file uses, measured by the metadata primary's node. Unstable.
    case recordFileUsage(inode: InodeNumber, MeasuredUsage)
    /// Takes in the usage of the fileset that data groups report, in bytes.
    case recordUsage(bytes: UInt64)
    /// Makes the root directory of a new fileset; nothing if it is there. Always stable, the first operation of a fileset.
    case initialize(FilesetSetup)
    /// Sets what the fileset may use; operations that need more than it answer `quotaExceeded`.
    case setQuota(FilesetQuota)

    /// Whether it is refused when a disk is full. What frees space, or keeps books, never is (traps.md, 30).
    public var takesSpace: Bool {
        switch self {
        case .create, .link: true
        case .setAttributes, .remove, .removeDirectory, .rename, .raiseLimit, .extend, .registerWriter, .settle,
            .settleSession, .touchAccessTime, .finishRangeDeletion, .reserveInodes, .abandonReservation,
            .recordFileUsage, .recordUsage, .initialize, .setQuota:
            false
        }
    }

    /// Whether it may wait at its primary: what a settlement fixes depends on what was answered before it came.
    public var mayWait: Bool { if case .settle = self { false } else { true } }

    /// Whether it fixes times of files that are written, which moved until then.
    public var fixesTimes: Bool {
        switch self {
        case .settle, .settleSession: true
        case .setAttributes(_, let changes, _):
            changes.size != nil || changes.accessTime != nil || changes.modificationTime != nil
        // Of a file that is there it sets the size (RFC 1813, 3.3.8).
        case .create(directory: _, name: _, file: _, let attributes): attributes.size != nil
        case .link, .remove, .removeDirectory, .rename, .raiseLimit, .extend, .registerWriter,
            .touchAccessTime, .finishRangeDeletion, .reserveInodes, .abandonReservation, .recordFileUsage,
            .recordUsage, .initialize, .setQuota:
            false
        }
    }
}

/// What a new fileset begins with.
public struct FilesetSetup: Hashable, Sendable {
    /// Permission bits of the root directory: 0 … 0o7777.
    public var mode: UInt16
    public var uid: UInt32
    public var gid: UInt32
    /// Of every file that is made in the fileset.
    public var layout: Layout
    public init(mode: UInt16 = 0o755, uid: UInt32 = 0, gid: UInt32 = 0, layout: Layout = .standard) {
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.layout = layout
    }
}

/// What a fileset may use; nil is without limit.
public struct FilesetQuota: Hashable, Sendable {
    public var bytes: UInt64?
    public var inodes: UInt64?
    public init(bytes: UInt64? = nil, inodes: UInt64? = nil) {
        self.bytes = bytes
        self.inodes = inodes
    }
    public static let unlimited = FilesetQuota()
}

/// An operation as it is logged: all that could differ between replicas is fixed here.
public struct NamespaceEntry: Hashable, Sendable {
    /// The meaning of operations that it was logged under.
    public var semantics: UInt32
    public var credentials: Credentials
    public var operation: NamespaceOperation
    public init(semantics: UInt32, credentials: Credentials, operation: NamespaceOperation) {
        self.semantics = semantics
        self.credentials = credentials
        self.operation = operation
    }
}

/// Why a namespace operation or query failed; each door has its own code for it.
public enum NamespaceFailure: UInt8, Hashable, Sendable, Error {
    case notFound = 1
    case exists = 2
    case notDirectory = 3
    case isDirectory = 4
    case notEmpty = 5
    case accessDenied = 6
    case notPermitted = 7
    case stale = 8
    case invalid = 9
    case nameTooLong = 10
    case noSpace = 11
    case quotaExceeded = 12
    case crossDevice = 13
    case tooManyLinks = 14
    case fileTooBig = 15
    case notSynchronized = 16
    case readOnly = 17
    case badCookie = 18
    case badType = 19
    case symlinkLoop = 20
    case ioError = 21
    /// An earlier cut of the file has not reached all of its data: the result's deletion is to be executed, then the
    /// operation is sent anew. Between a metadata group and its gateways only.
    case cutUnfinished = 22
}

/// A directory before and after an operation, for weak cache consistency (RFC 1813, 2.6).
public struct DirectoryChange: Hashable, Sendable {
    public var before: FileAttributes
    public var after: FileAttributes
    public init(before: FileAttributes, after: FileAttributes) {
        self.before = before
        self.after = after
    }
}

/// What an operation gives. Kept in the group's state for retransmitted calls (replication.md, 20).
public struct NamespaceResult: Hashable, Sendable {
    /// Nil when the operation succeeded.
    public var failure: NamespaceFailure?
    /// The inode made, found or changed.
    public var inode: Inode?
    /// Of the inode before a SETATTR, of the directory of the others.
    public var directory: DirectoryChange?
    /// Of the second directory of a rename.
    public var secondDirectory: DirectoryChange?
    /// Objects to cut or remove before the answer goes out (truncate), or afterwards (remove); with `cutUnfinished`, before
    /// the operation can be executed.
    public var deletion: RangeDeletion?

    public init(
        failure: NamespaceFailure? = nil, inode: Inode? = nil, directory: DirectoryChange? = nil,
        secondDirectory: DirectoryChange? = nil, deletion: RangeDeletion? = nil
    ) {
        self.failure = failure
        self.inode = inode
        self.directory = directory
        self.secondDirectory = secondDirectory
        self.deletion = deletion
    }
}

/// Access rights asked for and granted (RFC 1813, 3.3.4).
public struct AccessRights: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = AccessRights(rawValue: 0x01)
    public static let lookup = AccessRights(rawValue: 0x02)
    public static let modify = AccessRights(rawValue: 0x04)
    public static let extend = AccessRights(rawValue: 0x08)
    public static let delete = AccessRights(rawValue: 0x10)
    public static let execute = AccessRights(rawValue: 0x20)
}

/// A question to a fileset's metadata group; reads every decided entry and nothing else.
public enum NamespaceQuery: Hashable, Sendable {
    case lookup(directory: InodeNumber, name: FileName)
    /// The parent of a directory, for "..".
    case parent(directory: InodeNumber)
    case attributes(inode: InodeNumber)
    case access(inode: InodeNumber, rights: AccessRights)
    case readSymbolicLink(inode: InodeNumber)
    /// Entries with cookies greater than `cookie` (0 from the beginning), at most `limit` (1 … 512).
    case list(directory: InodeNumber, cookie: UInt64, limit: Int, detail: ListDetail)
    case usage
    /// Range deletions that have not been finished, for the metadata primary itself; at most `limit`.
    case pendingDeletions(after: InodeNumber, limit: Int)
    /// Files to be measured, for the metadata primary itself; at most `limit`.
    case measurable(after: InodeNumber, limit: Int, MeasuringScope)
    /// What a file has in a data group: the one question that is put to those.
    case allocation(FileID)
}

/// A query as it travels: who asks, through which session.
public struct NamespaceQuestion: Hashable, Sendable {
    /// After squashing.
    public var credentials: Credentials
    /// The gateway that asks. While other sessions write to an inode its times move; for its own writes it knows better.
    public var session: SessionID
    public var query: NamespaceQuery
    public init(credentials: Credentials, session: SessionID, query: NamespaceQuery) {
        self.credentials = credentials
        self.session = session
        self.query = query
    }
}

public enum ListDetail: UInt8, Hashable, Sendable {
    case names = 0
    case namesAndInodes = 1
}

public struct DirectoryEntry: Hashable, Sendable {
    public var name: FileName
    public var inode: InodeNumber
    /// Stable for the entry's life, ≥ 3, never reused in its directory.
    public var cookie: UInt64
    /// With `ListDetail.namesAndInodes`.
    public var details: Inode?
    public init(name: FileName, inode: InodeNumber, cookie: UInt64, details: Inode?) {
        self.name = name
        self.inode = inode
        self.cookie = cookie
        self.details = details
    }
}

public struct FilesetUsage: Hashable, Sendable {
    public var inodes: UInt64
    public var bytes: UInt64
    public init(inodes: UInt64, bytes: UInt64) {
        self.inodes = inodes
        self.bytes = bytes
    }
}

public enum NamespaceAnswer: Hashable, Sendable {
    case failed(NamespaceFailure)
    /// The inode found, and the directory it was looked up in.
    case found(Inode, directory: FileAttributes)
    case inode(Inode)
    case access(AccessRights, FileAttributes)
    case symbolicLink(target: [UInt8], FileAttributes)
    case entries([DirectoryEntry], directory: FileAttributes, end: ListEnd)
    case usage(FilesetUsage, FilesetQuota)
    case deletions([RangeDeletion])
    /// `next`: what to ask for next is after this inode; nil at the end.
    case measurable([MeasurableFile], next: InodeNumber?)
    case allocation(FileAllocation)
}

public enum ListEnd: UInt8, Hashable, Sendable {
    case more = 0
    case reached = 1
}
