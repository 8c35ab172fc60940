import ClusterModel
import NIOCore
import Wire

/// Who calls and how, the same for every door.
public struct CallContext: Sendable {
    /// After squashing.
    public var credentials: Credentials
    /// Of a non-idempotent call that its client may send again; nil where the door has no retransmissions.
    public var call: CallIdentity?
    /// The object of the door that waits for the answer, by which `abandoned` and `wanted` name what it asked for; it lives until
    /// then. Nil where nobody can go away.
    public var asker: ObjectIdentifier?
    public init(credentials: Credentials, call: CallIdentity? = nil, asker: ObjectIdentifier? = nil) {
        self.credentials = credentials
        self.call = call
        self.asker = asker
    }
}

/// What a door can be told instead of a result. Each wire's statuses are joined to these in one function of that door.
public enum VFSFailure: Error, Hashable, Sendable {
    case namespace(NamespaceFailure)
    /// The storage cannot answer now and the wait has ended (the cluster is going down, the session has ended).
    /// The caller must not run the request again under another session.
    case unavailable
    /// Blocks that are unreadable on every replica.
    case ioError
}

/// How long written data must survive before WRITE is answered (RFC 1813, 3.3.7). DATA_SYNC is given as `.stable`.
public typealias WriteDurability = Durability

public struct LookupResult: Sendable {
    public var inode: Inode
    public var directory: FileAttributes
    public init(inode: Inode, directory: FileAttributes) {
        self.inode = inode
        self.directory = directory
    }
}

public struct ReadResult: Sendable {
    /// Shorter than asked only at the end of the file. The slice may be sent as it is.
    public var data: ByteBuffer
    public var end: EndOfFile
    public init(data: ByteBuffer, end: EndOfFile) {
        self.data = data
        self.end = end
    }
}

public enum EndOfFile: Sendable {
    case reached
    case notReached
}

public struct WriteResult: Sendable {
    public var count: Int
    /// The NFS write verifier: the lowest stamp of the write's parts.
    public var stamp: LossNumber
    public init(count: Int, stamp: LossNumber) {
        self.count = count
        self.stamp = stamp
    }
}

public struct CommitResult: Sendable {
    /// The highest stamp of the placement groups that were flushed.
    public var stamp: LossNumber
    public init(stamp: LossNumber) { self.stamp = stamp }
}

public struct ListResult: Sendable {
    public var entries: [DirectoryEntry]
    public var directory: FileAttributes
    public var end: ListEnd
    public init(entries: [DirectoryEntry], directory: FileAttributes, end: ListEnd) {
        self.entries = entries
        self.directory = directory
        self.end = end
    }
}

public struct FilesystemUsage: Sendable {
    /// Bytes, as a client's `df` shows them: usable by data after replication.
    public var totalBytes: UInt64
    public var freeBytes: UInt64
    public var availableBytes: UInt64
    public var totalInodes: UInt64
    public var freeInodes: UInt64
    public init(totalBytes: UInt64, freeBytes: UInt64, availableBytes: UInt64, totalInodes: UInt64, freeInodes: UInt64)
    {
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
        self.availableBytes = availableBytes
        self.totalInodes = totalInodes
        self.freeInodes = freeInodes
    }
}

/// The one interface that all doors use. Called on its event loop only; `done` is called exactly once, on that loop,
/// possibly before the call returns. Nothing here blocks.
///
/// Permissions are checked within, by the caller's credentials; a door only squashes and checks its exports.
public protocol VirtualFilesystem: AnyObject {
    typealias Reply<T> = (Result<T, VFSFailure>) -> Void

    /// The loop that all calls come on.
    var eventLoop: any EventLoop { get }
    /// An empty buffer for a WRITE's data: bytes that come in it need not be copied on their way to the disks of this machine.
    func dataBuffer(capacity: Int) -> ByteBuffer
    /// The clients for whom these ask have gone: nothing more of what they asked for is begun, or tried again. `done` is called
    /// as ever, mostly with `.unavailable`.
    func abandoned(by askers: Set<ObjectIdentifier>)
    /// One of them has somebody to answer again, before `done` was called.
    func wanted(by asker: ObjectIdentifier)

    /// Crosses junctions: the inode found may lie in another fileset.
    func lookup(_ context: CallContext, directory: FileID, name: FileName, done: @escaping Reply<LookupResult>)
    /// The parent of a directory, across junctions; of the whole tree's root, itself.
    func parent(_ context: CallContext, directory: FileID, done: @escaping Reply<LookupResult>)
    func attributes(_ context: CallContext, of file: FileID, done: @escaping Reply<Inode>)
    func setAttributes(
        _ context: CallContext, of file: FileID, changes: AttributeChanges, guardTime: Timestamp?,
        done: @escaping Reply<NamespaceResult>)
    func access(
        _ context: CallContext, to file: FileID, rights: AccessRights,
        done: @escaping Reply<(AccessRights, FileAttributes)>)
    func readSymbolicLink(_ context: CallContext, of file: FileID, done: @escaping Reply<([UInt8], FileAttributes)>)

    /// At most `Geometry.maximumTransfer` bytes.
    func read(_ context: CallContext, from file: FileID, offset: UInt64, count: Int, done: @escaping Reply<ReadResult>)
    /// At most `Geometry.maximumTransfer` bytes.
    func write(
        _ context: CallContext, to file: FileID, offset: UInt64, data: ByteBuffer, durability: WriteDurability,
        done: @escaping Reply<WriteResult>)
    /// Makes stable what was written to the range through whatever gateway; `count` 0 means to the end of the file.
    func commit(
        _ context: CallContext, file: FileID, offset: UInt64, count: UInt64, done: @escaping Reply<CommitResult>)

    /// Every kind of inode, CREATE, MKDIR, SYMLINK and MKNOD. A failure of the namespace is in the result, so that the
    /// directory's attributes come with it.
    func create(
        _ context: CallContext, in directory: FileID, name: FileName, file: NewFile, attributes: AttributeChanges,
        done: @escaping Reply<NamespaceResult>)
    func remove(_ context: CallContext, in directory: FileID, name: FileName, done: @escaping Reply<NamespaceResult>)
    func removeDirectory(
        _ context: CallContext, in directory: FileID, name: FileName, done: @escaping Reply<NamespaceResult>)
    /// Across filesets: `.crossDevice`.
    func rename(
        _ context: CallContext, from directory: FileID, name: FileName, to newDirectory: FileID, newName: FileName,
        done: @escaping Reply<NamespaceResult>)
    func link(
        _ context: CallContext, file: FileID, in directory: FileID, name: FileName,
        done: @escaping Reply<NamespaceResult>)

    /// Entries after `cookie` (0 from the beginning), at most `limit`, 1 … 512. "." and ".." are the door's business.
    func list(
        _ context: CallContext, directory: FileID, cookie: UInt64, limit: Int, detail: ListDetail,
        done: @escaping Reply<ListResult>)
    func usage(_ context: CallContext, of file: FileID, done: @escaping Reply<FilesystemUsage>)
}
