/// A placement group: the unit of replication, ordering and failover. Data groups hold objects, a metadata group holds
/// one fileset's namespace.
public struct PGID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    private static let metadataBit: UInt32 = 1 << 31

    public static func data(_ index: UInt32) -> PGID { PGID(rawValue: index & ~metadataBit) }
    public static func metadata(_ fileset: FilesetID) -> PGID { PGID(rawValue: fileset.rawValue | metadataBit) }

    public var isMetadata: Bool { rawValue & PGID.metadataBit != 0 }
    /// The fileset of a metadata group; nil for a data group.
    public var fileset: FilesetID? { isMetadata ? FilesetID(rawValue & ~PGID.metadataBit) : nil }
    public static func < (a: PGID, b: PGID) -> Bool { a.rawValue < b.rawValue }
    public var description: String { isMetadata ? "m\(rawValue & ~PGID.metadataBit)" : "d\(rawValue)" }

    /// "d12" or "m1"; nil for anything else.
    public init?(_ text: some StringProtocol) {
        // Digits only: `UInt32` would take a sign, too.
        guard let kind = text.first, text.dropFirst().utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = UInt32(text.dropFirst()), number & PGID.metadataBit == 0
        else { return nil }
        switch kind {
        case "d": self = .data(number)
        case "m": self = .metadata(FilesetID(number))
        default: return nil
        }
    }
}

/// A replica's identity. One that comes back under another boot is another member: what it held unstable may be gone.
public struct Member: Hashable, Sendable, CustomStringConvertible {
    public var node: NodeID
    public var disk: DiskID
    /// Nil for a member that was absent when the set was rebuilt after a total loss of power: it has no vote.
    public var boot: BootID?
    public init(node: NodeID, disk: DiskID, boot: BootID?) {
        self.node = node
        self.disk = disk
        self.boot = boot
    }
    public var description: String { "\(node)" }
}

/// Where a replica should be.
public struct PlacementTarget: Hashable, Sendable {
    public var node: NodeID
    public var disk: DiskID
    public init(node: NodeID, disk: DiskID) {
        self.node = node
        self.disk = disk
    }
}

/// What the coordination store holds of a placement group; changed only by compare-and-set, epoch + 1 each time.
public struct PGRecord: Hashable, Sendable {
    public var pg: PGID
    public var epoch: Epoch
    /// Nil until the group is first claimed.
    public var primary: NodeID?
    /// The lease under which the primary claimed; a claimant needs exactly this one ended.
    public var primaryLease: LeaseNumber
    /// Members that have every decided entry, in order of node id; never fewer than `minInSync` once it was reached.
    public var inSync: [Member]
    /// Members that receive entries but lack content; no vote.
    public var learners: [Member]
    /// The disks that should hold the group.
    public var placement: [PlacementTarget]
    /// The loss number of the last activation that lost unstable data here.
    public var lossNumber: LossNumber

    public init(
        pg: PGID, epoch: Epoch, primary: NodeID?, primaryLease: LeaseNumber, inSync: [Member], learners: [Member],
        placement: [PlacementTarget], lossNumber: LossNumber
    ) {
        self.pg = pg
        self.epoch = epoch
        self.primary = primary
        self.primaryLease = primaryLease
        self.inSync = inSync
        self.learners = learners
        self.placement = placement
        self.lossNumber = lossNumber
    }

    public func inSyncMember(on node: NodeID) -> Member? { inSync.first { $0.node == node } }
    public func learner(on node: NodeID) -> Member? { learners.first { $0.node == node } }

    /// Whether the disk is one of those that should hold the group.
    public func places(_ node: NodeID, _ disk: DiskID) -> Bool {
        placement.contains { $0.node == node && $0.disk == disk }
    }
    /// Whether a member in sync lies there.
    public func holds(_ target: PlacementTarget) -> Bool {
        inSync.contains { $0.node == target.node && $0.disk == target.disk }
    }
    /// Whether the disk is a member's, a learner's, or one that should hold the group.
    public func names(_ node: NodeID, _ disk: DiskID) -> Bool {
        (inSync + learners).contains { $0.node == node && $0.disk == disk } || places(node, disk)
    }
}

/// How many copies a placement group keeps, and how few of them may answer a write.
public struct ReplicationPolicy: Hashable, Sendable {
    /// 1 … 5.
    public let copies: Int
    /// 1 … copies; by default copies / 2 + 1, which is 1, 2, 2, 3, 3.
    public let minInSync: Int

    /// Nil when a value is outside its range.
    public init?(copies: Int, minInSync: Int? = nil) {
        let least = minInSync ?? (copies / 2 + 1)
        guard (1...5).contains(copies), (1...max(copies, 1)).contains(least) else { return nil }
        self.copies = copies
        self.minInSync = least
    }
}
