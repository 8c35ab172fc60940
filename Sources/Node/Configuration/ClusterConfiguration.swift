import ClusterModel
import Storage

/// A cluster as its configuration file describes it; every value is checked and complete.
public struct ClusterConfiguration: Sendable {
    /// 1 … 63 letters, digits, dashes.
    public var name: String
    /// Where relative paths begin, and where sockets and logs of a cluster on one machine are.
    public var dataFolder: String
    public var coordination: CoordinationConfiguration
    public var policy: ReplicationPolicy
    /// A power of two, 1 … 65,536.
    public var dataGroupCount: UInt32
    public var layout: Layout
    public var nodes: [NodeConfiguration]
    public var exports: [ExportConfiguration]
    public var limits: LimitsConfiguration
    /// How recovery, scrub and rebalancing share the nodes with clients.
    public var recovery: RecoverySettings
    public var scrub: ScrubConfiguration

    public func node(_ id: NodeID) -> NodeConfiguration? { nodes.first { $0.id == id } }

    /// Where node `id` listens for the other nodes and for the command line.
    public func socketPath(of id: NodeID) -> String { "\(runFolder)/node-\(id.rawValue).sock" }
    public var runFolder: String { "\(dataFolder)/run" }
    public func logPath(of id: NodeID) -> String { "\(dataFolder)/log/node-\(id.rawValue).log" }
    public func processPath(of id: NodeID) -> String { "\(runFolder)/node-\(id.rawValue).pid" }
    /// What the process of node `id` has locked as long as it lives (`NodeLock`).
    public func lockPath(of id: NodeID) -> String { "\(dataFolder)/node-\(id.rawValue).lock" }
}

/// Which coordination store the cluster uses.
public enum CoordinationConfiguration: Sendable, Hashable {
    /// Files on this one machine.
    case local(path: String)
}

public struct NodeConfiguration: Sendable, Hashable {
    public var id: NodeID
    public var name: String
    /// An IPv4 address that gateways listen on.
    public var address: String
    public var roles: NodeRoles
    public var failureDomain: [String]
    public var disks: [DiskConfiguration]
}

public struct DiskConfiguration: Sendable, Hashable {
    /// Absolute.
    public var path: String
    /// 1 … 1,048,576.
    public var weight: UInt32
    public init(path: String, weight: UInt32) {
        self.path = path
        self.weight = weight
    }
}

public struct ExportConfiguration: Sendable, Hashable {
    public var path: String
    public var clients: [String]
    public var squash: Squash
    public var anonymousUID: UInt32
    public var anonymousGID: UInt32
    public var access: Export.Access
    public var verifierBlind: Bool
    /// Owner and mode of the exported folder when it is made with the cluster.
    public var ownerUID: UInt32
    public var ownerGID: UInt32
    public var mode: UInt16
}

/// How replicas are compared in the background.
public struct ScrubConfiguration: Sendable, Hashable {
    /// Days from one scrub of a group to the next, 1 … 365; nil for none but those that are asked for.
    public var days: Int?
}

/// What an administrator may bound.
public struct LimitsConfiguration: Sendable, Hashable {
    /// Bytes that one disk may use of its filesystem; nil for all of it.
    public var diskBytes: UInt64?
    /// The NFS port of every gateway. 2049 unless another is wanted: QEMU's driver cannot be told another one.
    public var nfsPort: Int
    /// The port of the built-in portmapper; 0 for none.
    public var portmapPort: Int
}
