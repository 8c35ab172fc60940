/// Names payload bytes that the shell holds; machines never see the bytes.
public struct PayloadHandle: Hashable, Sendable {
    /// Unique within one shell's life; 0 is never used.
    public var id: UInt64
    /// Bytes.
    public var length: Int
    public init(id: UInt64, length: Int) {
        self.id = id
        self.length = length
    }
}

/// Whether an answer waits for the log to be synced on every in-sync member.
public enum Durability: UInt8, Hashable, Sendable {
    /// In the log file of every in-sync member: survives kill -9 of all processes, not a loss of power of all machines.
    case unstable = 0
    /// Stable (architecture.md, Names) on every in-sync member.
    case stable = 1
}

/// The identity of a non-idempotent NFS call, the same through whichever gateway it comes (replication.md, 20).
public struct CallIdentity: Hashable, Sendable {
    /// Hash of client address, machine name, uid and gids.
    public var origin: UInt128
    /// Hash of xid, procedure and arguments.
    public var request: UInt64
    public init(origin: UInt128, request: UInt64) {
        self.origin = origin
        self.request = request
    }
}

/// Whole blocks of one object with their checksums; the payload holds exactly these blocks.
public struct BlockWrite: Hashable, Sendable {
    public var object: ObjectID
    public var blocks: BlockRange
    /// One CRC32C over identity and bytes per block (`CRC32C.block`).
    public var checksums: [UInt32]
    public var truncation: TruncationMark
    public init(object: ObjectID, blocks: BlockRange, checksums: [UInt32], truncation: TruncationMark) {
        self.object = object
        self.blocks = blocks
        self.checksums = checksums
        self.truncation = truncation
    }
}

/// Whole blocks that become zero and cost no disk (a hole punched, a long run of zeros written).
public struct BlockZero: Hashable, Sendable {
    public var object: ObjectID
    public var blocks: BlockRange
    public var truncation: TruncationMark
    public init(object: ObjectID, blocks: BlockRange, truncation: TruncationMark) {
        self.object = object
        self.blocks = blocks
        self.truncation = truncation
    }
}

/// Cuts every object of a file that this placement group holds to what a file of `truncation.size` bytes has, where the
/// object's content is older than `truncation.number`. With `removal` the file is gone: later requests for it are stale.
public struct RangeDeletion: Hashable, Sendable {
    public var file: FileID
    public var truncation: TruncationMark
    public var layout: Layout
    public var kind: Kind
    /// The file's limit before the cut: no byte at or beyond it was ever sent, so no object there needs the deletion.
    public var limit: UInt64
    /// The block that the cut goes through, completed with zeros, if this group holds it and it has content; the payload
    /// holds that one block.
    public var edge: BlockWrite?

    public enum Kind: UInt8, Hashable, Sendable {
        case truncation = 0
        case removal = 1
    }

    /// Without a known limit the deletion goes to every group.
    public init(
        file: FileID, truncation: TruncationMark, layout: Layout, kind: Kind, limit: UInt64 = .max, edge: BlockWrite?
    ) {
        self.file = file
        self.truncation = truncation
        self.layout = layout
        self.kind = kind
        self.limit = limit
        self.edge = edge
    }
}

/// A request that was lost with a void object's content; it leaves the request windows of all members.
public struct LostRequest: Hashable, Sendable {
    public var session: SessionID
    public var request: RequestNumber
    public init(session: SessionID, request: RequestNumber) {
        self.session = session
        self.request = request
    }
}

/// An object's whole content under a new version, after a void record (store.md, rule 2).
public struct Restatement: Hashable, Sendable {
    public var object: ObjectID
    public var lost: [LostRequest]
    public init(object: ObjectID, lost: [LostRequest]) {
        self.object = object
        self.lost = lost
    }
}

/// What an entry does when it is applied.
public enum EntryBody: Hashable, Sendable {
    /// A primary's first entry of its epoch.
    case empty
    case write(BlockWrite)
    case zero(BlockZero)
    /// Rare and large: beside the others it would double the size of every entry.
    indirect case deleteRange(RangeDeletion)
    case restate(Restatement)
    /// The payload is an encoded `NamespaceEntry`.
    case namespace
    /// A point at which replicas compare digests.
    case scrubMark
}

/// One entry of a placement group's log, as all its members hold it.
public struct Entry: Hashable, Sendable {
    public var name: EntryName
    public var body: EntryBody
    public var session: SessionID
    public var request: RequestNumber
    public var call: CallIdentity?
    public var durability: Durability
    /// The loss number that the primary knew when it named the entry.
    public var lossNumber: LossNumber
    public var snapshot: SnapshotNumber
    /// Fixed by the primary when the entry is named.
    public var time: Timestamp
    public var payload: PayloadHandle?

    public init(
        name: EntryName, body: EntryBody, session: SessionID = .none, request: RequestNumber = .none,
        call: CallIdentity? = nil, durability: Durability, lossNumber: LossNumber, snapshot: SnapshotNumber = .zero,
        time: Timestamp, payload: PayloadHandle? = nil
    ) {
        self.name = name
        self.body = body
        self.session = session
        self.request = request
        self.call = call
        self.durability = durability
        self.lossNumber = lossNumber
        self.snapshot = snapshot
        self.time = time
        self.payload = payload
    }
}
