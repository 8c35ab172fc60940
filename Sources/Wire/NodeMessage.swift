import ClusterModel

/// The first message on a connection, from both sides.
public struct Hello: Hashable, Sendable {
    public var cluster: ClusterID
    public var node: NodeID
    public var boot: BootID
    public var lease: LeaseNumber
    /// The protocol versions that the sender speaks; the lower of the two highest is spoken.
    public var oldestProtocol: UInt16
    public var newestProtocol: UInt16
    public var mapVersion: MapVersion
    /// Bits of optional abilities; none are defined yet.
    public var features: UInt64
    /// What the connection is for.
    public var purpose: Purpose

    public enum Purpose: UInt8, Hashable, Sendable {
        /// Between members of placement groups and gateways.
        case peer = 1
        /// Administration over a node's own Unix socket.
        case admin = 2
    }

    public init(
        cluster: ClusterID, node: NodeID, boot: BootID, lease: LeaseNumber,
        oldestProtocol: UInt16 = ProtocolVersion.oldest.rawValue,
        newestProtocol: UInt16 = ProtocolVersion.newest.rawValue, mapVersion: MapVersion, features: UInt64 = 0,
        purpose: Purpose
    ) {
        self.cluster = cluster
        self.node = node
        self.boot = boot
        self.lease = lease
        self.oldestProtocol = oldestProtocol
        self.newestProtocol = newestProtocol
        self.mapVersion = mapVersion
        self.features = features
        self.purpose = purpose
    }
}

/// One placement group of a flush.
public struct FlushTarget: Hashable, Sendable {
    public var pg: PGID
    public var epoch: Epoch
    public init(pg: PGID, epoch: Epoch) {
        self.pg = pg
        self.epoch = epoch
    }
}

/// What became of a flush of several groups.
public enum FlushAnswer: Hashable, Sendable {
    /// Every one of them is flushed; the highest of their stamps.
    case all(LossNumber)
    /// Each one's own answer, in the order of the question.
    case each([PGResponse])
}

/// A question of the command line, or its answer: JSON in UTF-8, at most `Limits.adminBytes`.
public struct AdminText: Hashable, Sendable {
    public var json: [UInt8]
    public init(json: [UInt8]) { self.json = json }
}

/// What a node tells the others about itself.
public struct NodeStanding: Hashable, Sendable {
    /// The newest that it knows.
    public var mapVersion: MapVersion
    /// Bytes of its disks.
    public var totalBytes: UInt64
    public var freeBytes: UInt64
    /// Once a second.
    public var usage: GroupsUsage?
    public var intent: Intent

    public enum Intent: UInt8, Hashable, Sendable {
        case staying = 0
        /// It is about to stop, in order.
        case leaving = 1
    }

    public init(
        mapVersion: MapVersion, totalBytes: UInt64, freeBytes: UInt64, usage: GroupsUsage? = nil,
        intent: Intent = .staying
    ) {
        self.mapVersion = mapVersion
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
        self.usage = usage
        self.intent = intent
    }
}

/// How long a node's disk takes to make a write stable, and the disks of the others, as the sender sees it.
public struct PaceWord: Hashable, Sendable {
    public var median: TimeSpan
    public var others: TimeSpan
    public init(median: TimeSpan, others: TimeSpan) {
        self.median = median
        self.others = others
    }
}

/// Pairs an answer with its question on one connection.
public struct ExchangeID: Hashable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// What travels between nodes. Order is kept per connection; what needs order says so by numbers of its own.
public enum NodeMessage: Hashable, Sendable {
    case hello(Hello)
    case request(ExchangeID, PGRequest)
    case response(ExchangeID, PGResponse)
    case flush(ExchangeID, SessionID, MapVersion, [FlushTarget])
    case flushed(ExchangeID, FlushAnswer)
    case replica(ReplicaMessage)
    /// A sign of life, several times a second.
    case alive(NodeStanding)
    /// The receiver's disk is far slower than the others'. Once a second, as long as that is so.
    case slow(PaceWord)
    case ask(ExchangeID, AdminText)
    case tell(ExchangeID, AdminText)

    /// The payload that follows the header, if any.
    public var payload: PayloadHandle? {
        switch self {
        case .request(_, let r): r.payload
        case .response(_, let r): r.payload
        case .replica(let m): m.payload
        case .hello, .flush, .flushed, .alive, .slow, .ask, .tell: nil
        }
    }
}
