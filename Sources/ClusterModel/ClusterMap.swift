/// The small, shared description of the cluster, changed only by compare-and-set; every change raises `version` by one.
public struct ClusterMap: Hashable, Sendable {
    public var version: MapVersion
    public var cluster: ClusterID
    /// Raised in the transaction of an activation that lost unstable data.
    public var lossNumber: LossNumber
    /// When the loss number last rose, by the wall clock of the node that raised it; nil before its first rise, and in a map
    /// that a program wrote which did not keep it.
    public var lossRaised: Timestamp?
    public var policy: ReplicationPolicy
    /// A power of two, fixed at creation.
    public var dataPGCount: UInt32
    /// Which meaning of metadata operations is in force; raised by `stave cluster upgrade` only.
    public var semantics: UInt32
    /// Of new clusters. 2: a cut of a file waits for the cuts before it. 3: SETATTR tells no attributes of before while somebody
    /// writes.
    public static let newestSemantics: UInt32 = 3
    public var nodes: [ClusterNode]
    public var disks: [ClusterDisk]
    /// Live sessions, ascending by id. Who is not here is not served.
    public var sessions: [Session]
    /// The greatest session id ever given.
    public var lastSession: SessionID
    public var filesets: [Fileset]
    public var lastFileset: FilesetID
    public var exports: [Export]
    public var lastExport: ExportID

    public init(cluster: ClusterID, policy: ReplicationPolicy, dataPGCount: UInt32) {
        version = MapVersion(1)
        self.cluster = cluster
        lossNumber = .zero
        self.policy = policy
        self.dataPGCount = dataPGCount
        semantics = ClusterMap.newestSemantics
        nodes = []
        disks = []
        sessions = []
        lastSession = .none
        filesets = []
        lastFileset = FilesetID(0)
        exports = []
        lastExport = ExportID(0)
    }

    public func node(_ id: NodeID) -> ClusterNode? { nodes.first { $0.id == id } }
    public func disk(_ id: DiskID) -> ClusterDisk? { disks.first { $0.id == id } }
    public func fileset(_ id: FilesetID) -> Fileset? { filesets.first { $0.id == id } }

    /// Whether `session` may be served. For changes of the map: placement groups, which ask for every entry, have the ids alone.
    public func isLive(_ session: SessionID) -> Bool { sessions.contains { $0.id == session } }

    /// Every placement group there is, data groups first.
    public var placementGroups: [PGID] {
        (0..<dataPGCount).map { PGID.data($0) } + filesets.map { PGID.metadata($0.id) }
    }
}

/// What a node does, any mix, as in SONAS.
public struct NodeRoles: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Owns disks and hosts replicas.
    public static let storage = NodeRoles(rawValue: 1)
    /// Serves NFS.
    public static let interface = NodeRoles(rawValue: 2)
    /// Administration and placement.
    public static let management = NodeRoles(rawValue: 4)
}

public struct ClusterNode: Hashable, Sendable {
    public var id: NodeID
    public var name: String
    /// IPv4 or IPv6 address that clients and other nodes reach it at.
    public var address: String
    public var roles: NodeRoles
    /// From the outermost to the innermost, e.g. ["site-a", "rack-2"]; the node itself is the innermost domain.
    public var failureDomain: [String]
    public var duty = Duty.full

    /// What a node takes on of what others can do as well.
    public enum Duty: UInt8, Hashable, Sendable {
        case full = 0
        /// It leads no placement group that another member can lead; replicas, reads and gateways go on.
        case suspended = 1
        /// Likewise; and its replicas go to other nodes, so that it can be removed.
        case draining = 2

        /// Whether it leads a group that others can lead.
        public var leads: Bool { self == .full }
        /// Whether placement gives it replicas.
        public var holds: Bool { self != .draining }
    }

    public init(id: NodeID, name: String, address: String, roles: NodeRoles, failureDomain: [String]) {
        self.id = id
        self.name = name
        self.address = address
        self.roles = roles
        self.failureDomain = failureDomain
    }
}

public struct ClusterDisk: Hashable, Sendable {
    public var id: DiskID
    public var node: NodeID
    /// In GiB-like units, 1 … 1,048,576; shares of data are in proportion.
    public var weight: UInt32
    /// The folder on its node.
    public var path: String
    /// What placement hashes: the id of the first disk that had this place. A disk that replaces another one has its place, so
    /// that nothing else moves.
    public var place: DiskID
    public var duty = Duty.full

    public enum Duty: UInt8, Hashable, Sendable {
        case full = 0
        /// Its replicas go to other disks, so that it can be removed.
        case draining = 1
    }

    public init(id: DiskID, node: NodeID, weight: UInt32, path: String) {
        self.id = id
        self.node = node
        self.weight = weight
        self.path = path
        place = id
    }
}

/// A gateway or mount that placement groups serve. It lives by a lease: once that has ended, any node may remove it.
public struct Session: Hashable, Sendable {
    public var id: SessionID
    /// The node whose gateway this is; for a mount, the node it registered at.
    public var node: NodeID
    public var lease: LeaseNumber
    public init(id: SessionID, node: NodeID, lease: LeaseNumber) {
        self.id = id
        self.node = node
        self.lease = lease
    }
}

public struct Fileset: Hashable, Sendable {
    public enum State: UInt8, Hashable, Sendable {
        case live = 1
        /// Handles are stale at once; ranges are being deleted; its metadata group goes last.
        case deleting = 2
    }
    public var id: FilesetID
    public var name: String
    public var layout: Layout
    public var state: State
    /// Where it is joined into the tree: the parent's directory and the name there; nil for the root fileset.
    public var junction: Junction?
    /// Of its root directory, when that is made.
    public var rootMode: UInt16 = 0o755
    public var rootUID: UInt32 = 0
    public var rootGID: UInt32 = 0
    public init(id: FilesetID, name: String, layout: Layout, state: State, junction: Junction?) {
        self.id = id
        self.name = name
        self.layout = layout
        self.state = state
        self.junction = junction
    }
}

public struct Junction: Hashable, Sendable {
    public var directory: FileID
    /// 1 … 255 bytes, no NUL and no slash.
    public var name: [UInt8]
    public init(directory: FileID, name: [UInt8]) {
        self.directory = directory
        self.name = name
    }
}

/// Which callers' identities are replaced by the anonymous one.
public enum Squash: UInt8, Hashable, Sendable {
    case none = 0
    case root = 1
    case all = 2
}

public struct Export: Hashable, Sendable {
    public var id: ExportID
    /// The name that clients mount, "/images".
    public var path: String
    public var root: FileID
    /// CIDR blocks, e.g. "127.0.0.0/8"; a client outside all of them is refused.
    public var clients: [String]
    public var squash: Squash
    public var anonymousUID: UInt32
    public var anonymousGID: UInt32
    public var access: Access
    /// Clients of this export do not compare write verifiers, as libnfs does not (replication.md, Loss number).
    public var verifierBlind: Bool

    public enum Access: UInt8, Hashable, Sendable {
        case readOnly = 0
        case readWrite = 1
    }

    public init(
        id: ExportID, path: String, root: FileID, clients: [String], squash: Squash, anonymousUID: UInt32 = 65534,
        anonymousGID: UInt32 = 65534, access: Access = .readWrite, verifierBlind: Bool = false
    ) {
        self.id = id
        self.path = path
        self.root = root
        self.clients = clients
        self.squash = squash
        self.anonymousUID = anonymousUID
        self.anonymousGID = anonymousGID
        self.access = access
        self.verifierBlind = verifierBlind
    }
}
