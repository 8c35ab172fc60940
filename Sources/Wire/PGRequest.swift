import ClusterModel

/// A client's request to the primary of a placement group.
public struct PGRequest: Hashable, Sendable {
    public var pg: PGID
    public var session: SessionID
    /// `.none` for requests that change nothing.
    public var number: RequestNumber
    /// Below this every number of (session, pg) has ended: the window may forget them.
    public var ended: RequestNumber
    public var epoch: Epoch
    /// Who has an older map reads the newer one first (replication.md, 1).
    public var mapVersion: MapVersion
    public var body: PGRequestBody
    /// Bytes of a write, or an encoded `NamespaceEntry` or `NamespaceQuery`.
    public var payload: PayloadHandle?
    /// Whether it is refused when a disk is full. Not on the wire: whoever executes it knows what a namespace's change is.
    public var takesSpace = true
    /// Whether it fixes times that moved (`NamespaceOperation.fixesTimes`). Not on the wire, likewise.
    public var fixesTimes = false
    /// Whether it may wait to be named (`NamespaceOperation.mayWait`); else it is named as it comes, or comes again. Not on the
    /// wire, likewise.
    public var mayWait = true

    public init(
        pg: PGID, session: SessionID, number: RequestNumber, ended: RequestNumber, epoch: Epoch, mapVersion: MapVersion,
        body: PGRequestBody, payload: PayloadHandle? = nil
    ) {
        self.pg = pg
        self.session = session
        self.number = number
        self.ended = ended
        self.epoch = epoch
        self.mapVersion = mapVersion
        self.body = body
        self.payload = payload
    }

    /// Sets what whoever executes it has to know of its change of the namespace.
    public mutating func describe(_ operation: NamespaceOperation) {
        takesSpace = operation.takesSpace
        fixesTimes = operation.fixesTimes
        mayWait = operation.mayWait
    }
}

/// Bytes of one object: offset ..< offset + length within 4 MiB, length 1 … 1 MiB.
public struct ObjectRange: Hashable, Sendable {
    public var object: ObjectID
    public var offset: Int
    public var length: Int
    public init(object: ObjectID, offset: Int, length: Int) {
        self.object = object
        self.offset = offset
        self.length = length
    }
    public var blocks: BlockRange { BlockRange(coveringOffset: offset, length: length) }
}

public enum PGRequestBody: Hashable, Sendable {
    /// Any byte range; the primary completes its edges to whole blocks.
    case write(ObjectRange, TruncationMark, Durability)
    /// Whole blocks to zero.
    case zero(ObjectID, BlockRange, TruncationMark, Durability)
    /// Cut or remove a file's objects. Always stable.
    indirect case deleteRange(RangeDeletion)
    case read(ObjectRange, TruncationMark)
    /// What version the primary has decided, and that its lease is valid: for a read from the asker's own replica.
    case readVersion(ObjectRange, TruncationMark)
    /// A namespace change; the payload is an encoded `NamespaceEntry`.
    case mutate(Durability, CallIdentity?)
    /// The payload is an encoded `NamespaceQuery` with credentials.
    case query
    /// Make stable all that is unstable now in this group.
    case flush
}

/// Why a request was not executed. It may be sent again after what the case says.
public enum PGRefusal: Hashable, Sendable {
    /// This node is not the primary; the record that it knows, if any.
    case notPrimary(PGRecord?)
    /// The request was sent in an older epoch than the primary's.
    case newerEpoch(PGRecord)
    /// The session is not in the map (any more): nothing of it is executed, now or later.
    case sessionEnded(MapVersion)
    /// A truncation that the sender did not know of.
    case truncated(TruncationMark)
    /// The file was removed.
    case removed
    /// The number lies below the window: it was answered long ago.
    case belowWindow
    /// The number lies beyond the window.
    case beyondWindow
    /// No room on an in-sync disk.
    case noSpace
    /// The request contradicts the protocol (ranges, sizes); a defect of the sender.
    case invalid
    /// These blocks are unreadable on every replica.
    case unreadable
    /// The node's lease was not surely valid when the answer left, or it is shutting down.
    case unavailable
}

public struct PGResponse: Hashable, Sendable {
    public var pg: PGID
    public var epoch: Epoch
    public var body: PGResponseBody
    /// Data of a read, or an encoded `NamespaceResult` or `NamespaceAnswer`.
    public var payload: PayloadHandle?
    public init(pg: PGID, epoch: Epoch, body: PGResponseBody, payload: PayloadHandle? = nil) {
        self.pg = pg
        self.epoch = epoch
        self.body = body
        self.payload = payload
    }
}

public enum PGResponseBody: Hashable, Sendable {
    /// Decided (and stable, if asked); the loss number that the primary knew after deciding.
    case written(stamp: LossNumber)
    /// The payload has the bytes asked for; `present` is false when any block of them is absent (a hole that was never written).
    case data(present: Presence)
    /// Objects's version at the primary and what is decided; the asker's replica applies through it and serves.
    case version(EntryName, decidedThrough: EntryName)
    /// The payload is an encoded `NamespaceResult`.
    case mutated(stamp: LossNumber)
    /// The payload is an encoded `NamespaceAnswer`.
    case answered
    case flushed(stamp: LossNumber)
    case refused(PGRefusal)
}

/// Whether every block of a read has content (data or explicit zero), or some were never written.
public enum Presence: UInt8, Hashable, Sendable {
    case complete = 0
    case someAbsent = 1
}
