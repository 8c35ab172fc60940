import ClusterModel
import Wire

/// The two clocks, read once when an event is handed in.
public struct Moment: Hashable, Sendable {
    /// The boot-time clock, for time-outs.
    public var now: Instant
    /// The wall clock, for the times of files.
    public var time: Timestamp
    public init(now: Instant, time: Timestamp) {
        self.now = now
        self.time = time
    }
}

/// A client's request as the shell knows it; comes back with the answer. 0 is never used.
public struct RequestToken: Hashable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    static let none = RequestToken(0)
}

/// Work that the shell was asked for by an effect; comes back with the outcome. Unique in a group's life in memory.
public struct WorkToken: Hashable, Comparable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: WorkToken, b: WorkToken) -> Bool { a.rawValue < b.rawValue }
}

/// The coordination store's version of a record (its revision), compared for equality in a compare-and-set.
public struct RecordVersion: Hashable, Sendable {
    public let rawValue: Int64
    public init(_ rawValue: Int64) { self.rawValue = rawValue }
}

/// What a group needs of the cluster map. The array is shared by all groups of a node.
public struct MapFacts: Hashable, Sendable {
    public var version: MapVersion
    public var lossNumber: LossNumber
    public var policy: ReplicationPolicy
    public var dataPGCount: UInt32
    /// Ascending.
    public var liveSessions: [SessionID]
    /// The last one that was ever given: those after it are newer than this map.
    public var lastSession: SessionID
    /// Nothing of a fileset that is gone is served any more.
    public var filesets: LiveFilesets
    /// Nodes that should lead nothing, ascending.
    public var suspended: [NodeID]
    public init(
        version: MapVersion, lossNumber: LossNumber, policy: ReplicationPolicy, dataPGCount: UInt32,
        liveSessions: [SessionID], lastSession: SessionID? = nil, filesets: LiveFilesets = LiveFilesets(),
        suspended: [NodeID] = []
    ) {
        self.version = version
        self.lossNumber = lossNumber
        self.policy = policy
        self.dataPGCount = dataPGCount
        self.liveSessions = liveSessions
        self.lastSession = lastSession ?? liveSessions.last ?? .none
        self.filesets = filesets
        self.suspended = suspended
    }
    public init(_ map: ClusterMap) {
        self.init(
            version: map.version, lossNumber: map.lossNumber, policy: map.policy, dataPGCount: map.dataPGCount,
            liveSessions: map.sessions.map(\.id), lastSession: map.lastSession, filesets: LiveFilesets(map),
            suspended: map.nodes.filter { !$0.duty.leads }.map(\.id).sorted())
    }
    /// It has been given, and is not live any more.
    func hasEnded(_ session: SessionID) -> Bool { session <= lastSession && !isLive(session) }
    func isSuspended(_ node: NodeID) -> Bool { suspended.contains(node) }
    func isLive(_ session: SessionID) -> Bool {
        var low = 0
        var high = liveSessions.count
        while low < high {
            let middle = (low + high) / 2
            if liveSessions[middle] < session { low = middle + 1 } else { high = middle }
        }
        return low < liveSessions.count && liveSessions[low] == session
    }
}

/// A node that answers, as its hello said.
public struct PeerFacts: Hashable, Sendable {
    public var node: NodeID
    public var boot: BootID
    /// The version of the protocol that is spoken with it.
    public var spoken: ProtocolVersion
    public init(node: NodeID, boot: BootID, spoken: ProtocolVersion = .newest) {
        self.node = node
        self.boot = boot
        self.spoken = spoken
    }
}

/// What the store found of a group when it was opened. Give nil to `PlacementGroup.init` if the disk has no trace of it.
public struct RecoveredReplica: Sendable {
    /// The last blob of `ReplicaEffect.writeState` that is durable (`ReplicaState`).
    public var state: [UInt8]
    /// The last tables that are durable: from `ReplicaEffect.writeState` or from `PlacementGroup.checkpointTables`.
    public var tables: [UInt8]?
    /// Every log entry of the group after the entry that the tables are as of, in order, cut entries left out. Those after
    /// `decided` have a payload handle (which may read the log when it is used).
    public var entries: [Entry]
    /// The greatest decided-through known on this disk.
    public var decided: EntryName
    /// The end of what is log-stable; after a loss of power the end of the log.
    public var stable: EntryName
    /// Void records (store.md, rule 2), ascending, that nobody has dealt with. The entries of all void records, of those that were
    /// dealt with too, are in `entries` without content, session and request: a retry must be executed.
    public var voids: [VoidRecord]
    public var opening: Opening

    /// How the disk was left.
    public enum Opening: UInt8, Hashable, Sendable {
        /// With the clean mark: closed in order, all stable.
        case clean = 1
        /// Without it: the process was killed, or the machine lost power (the boot tells which).
        case crashed = 2
    }

    /// Whether a durable state is one of a replica that learns; then nothing that it holds needs to be there.
    public static func isLearning(state: [UInt8]) -> Bool { (try? ReplicaState(decoding: state))?.learning == true }

    public init(
        state: [UInt8], tables: [UInt8]?, entries: [Entry], decided: EntryName, stable: EntryName, voids: [VoidRecord],
        opening: Opening
    ) {
        self.state = state
        self.tables = tables
        self.entries = entries
        self.decided = decided
        self.stable = stable
        self.voids = voids
        self.opening = opening
    }
}

/// A file's last cut, as the store lists it.
public struct ListedCut: Hashable, Sendable {
    public var version: EntryName
    public var file: FileID
    public var truncation: TruncationMark
    public var kind: RangeDeletion.Kind
    public init(version: EntryName, file: FileID, truncation: TruncationMark, kind: RangeDeletion.Kind) {
        self.version = version
        self.file = file
        self.truncation = truncation
        self.kind = kind
    }
}

/// How a proposed change of the record ended.
public enum ProposalOutcome: Hashable, Sendable {
    /// Durable; the record's new version.
    case won(RecordVersion)
    /// Not made; what is there instead.
    case lost(PGRecord, RecordVersion)
    /// May have been made or may still be. The group proposes the same again until it knows.
    case unknown
    /// Surely not made and not in flight any more.
    case refused
}

/// A result of a namespace entry, to be answered.
public struct AppliedResult: Hashable, Sendable {
    public var entry: EntryName
    /// An encoded `NamespaceResult`.
    public var payload: PayloadHandle
    public init(entry: EntryName, payload: PayloadHandle) {
        self.entry = entry
        self.payload = payload
    }
}

/// Content of part of an object as reads show it.
public struct PieceContent: Hashable, Sendable {
    /// Bit i: block i of the range asked for has content, which is in the payload, in order, unless it is lost.
    public var content: UInt64
    /// Bit i: block i is zero.
    public var zero: UInt64
    /// Bit i: block i has content that nobody holds; it is not in the payload.
    public var lost: UInt64
    public var checksums: [UInt32]
    public var version: EntryName
    public var truncation: TruncationMark
    /// Whether the object has content or zeros behind this range.
    public var position: ListPosition
    public var payload: PayloadHandle?
    public init(
        content: UInt64, zero: UInt64, lost: UInt64 = 0, checksums: [UInt32], version: EntryName,
        truncation: TruncationMark,
        position: ListPosition, payload: PayloadHandle?
    ) {
        self.content = content
        self.zero = zero
        self.lost = lost
        self.checksums = checksums
        self.version = version
        self.truncation = truncation
        self.position = position
        self.payload = payload
    }
}
