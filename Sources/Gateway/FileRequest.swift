import ClusterModel
import Wire

/// Names an operation of a door; given by the shell, unique within its life.
public struct OperationID: Hashable, Comparable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: OperationID, b: OperationID) -> Bool { a.rawValue < b.rawValue }
}

/// Names one copy of a request that was handed to the shell; brought back with what became of it.
public struct RequestToken: Hashable, Sendable {
    let slot: SlotID
    let attempt: UInt32
}

/// Names one flush message to one node.
public struct FlushToken: Hashable, Sendable {
    let slot: SlotID
}

/// Both clocks at one event.
public struct GatewayTime: Hashable, Sendable {
    /// For time-outs and the age of hints.
    public var now: Instant
    /// What files show.
    public var wall: Timestamp
    public init(now: Instant, wall: Timestamp) {
        self.now = now
        self.wall = wall
    }
}

/// Who calls, after squashing, and the identity of a call that may be retransmitted.
public struct Caller: Hashable, Sendable {
    public var credentials: Credentials
    public var call: CallIdentity?
    public init(credentials: Credentials, call: CallIdentity? = nil) {
        self.credentials = credentials
        self.call = call
    }
}

/// A part of a WRITE's payload that is all zeros. File offset and length are multiples of 64 KiB.
public struct ZeroRun: Hashable, Sendable {
    /// Bytes from the payload's begin.
    public var offset: Int
    public var length: Int
    public init(offset: Int, length: Int) {
        self.offset = offset
        self.length = length
    }
}

/// What a door asks for.
public enum FileRequest: Hashable, Sendable {
    case lookup(directory: FileID, name: FileName)
    /// The parent of a directory, across junctions.
    case parent(directory: FileID)
    case attributes(FileID)
    case setAttributes(FileID, AttributeChanges, guardTime: Timestamp?)
    case access(FileID, AccessRights)
    case readSymbolicLink(FileID)
    /// `count` is 0 … 1 MiB.
    case read(FileID, offset: UInt64, count: Int)
    /// The payload has at most 1 MiB; `zeros` ascend and do not overlap.
    case write(FileID, offset: UInt64, PayloadHandle, zeros: [ZeroRun], Durability)
    /// `count` 0: to the end of the file.
    case commit(FileID, offset: UInt64, count: UInt64)
    case create(directory: FileID, FileName, NewFile, AttributeChanges)
    case remove(directory: FileID, FileName)
    case removeDirectory(directory: FileID, FileName)
    case rename(from: FileID, FileName, to: FileID, FileName)
    case link(FileID, directory: FileID, FileName)
    case list(directory: FileID, cookie: UInt64, limit: Int, ListDetail)
    case usage(FileID)
}

/// A piece of what a READ gives, in file order.
public enum ReadPiece: Hashable, Sendable {
    /// The first `length` bytes of what the shell keeps under this handle.
    case bytes(PayloadHandle, length: Int)
    case zeros(Int)
}

/// Whether a READ came to the file's end.
public enum FileEnd: Hashable, Sendable {
    case reached
    case notReached
}

/// How an operation succeeded.
public enum FileAnswer: Hashable, Sendable {
    case found(Inode, directory: FileAttributes)
    case inode(Inode)
    /// Of a changing operation; a failure of the namespace is within, so that directories' attributes come with it.
    case result(NamespaceResult)
    case access(AccessRights, FileAttributes)
    case symbolicLink([UInt8], FileAttributes)
    case read([ReadPiece], FileEnd)
    /// The stamp is the lowest of the write's parts.
    case written(count: Int, LossNumber)
    /// The highest stamp of what was flushed.
    case committed(LossNumber)
    case entries([DirectoryEntry], directory: FileAttributes, ListEnd)
    case usage(FilesetUsage, FilesetQuota)
}

/// How an operation failed.
public enum FileFailure: Error, Hashable, Sendable {
    case namespace(NamespaceFailure)
    /// The session ended, or too much waits. Never to be run again under another session.
    case unavailable
    case ioError
}
