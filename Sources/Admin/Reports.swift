/// What commands show, as nodes answer it. Every field is part of the `--json` output: names change with a note only.

/// How one node stands.
public struct NodeReport: Codable, Sendable {
    public var node: Int
    public var name: String
    public var address: String
    public var roles: [String]
    /// Every node of the cluster, as this node's map has it; nil from a node of an earlier version.
    public var members: [NodeMember]?
    /// Process id, and seconds since its start.
    public var process: Int
    public var uptimeSeconds: Double
    public var cluster: String
    public var boot: String
    public var mapVersion: UInt64
    /// Metadata semantics in force, and the newest that its program knows; nil from a node of an earlier version.
    public var semantics: UInt32?
    public var newestSemantics: UInt32?
    public var lossNumber: UInt64
    /// Nil while it holds none.
    public var lease: UInt32?
    /// Nil while it has none: clients of its gateway wait.
    public var session: UInt64?
    /// Groups that this node is the serving primary of.
    public var serving: [String]
    /// Groups of this node's replicas that wait, with what they wait for.
    public var waiting: [WaitReport]
    /// Groups that replicas of this node learn.
    public var learning: [String]
    /// What this node's groups have left to copy to others.
    public var recovery: RecoverySummary
    public var groupCount: Int
    public var filesetCount: Int
    /// Names of filesets that were deleted and whose space has not come back yet.
    public var deletingFilesets: [String]
    public var peersHeard: [Int]
    /// Bytes, as clients see them: after replication.
    public var totalBytes: UInt64
    public var freeBytes: UInt64
    public var disks: [DiskStatus]
    public var events: [EventReport]
    public var scrubs: ScrubOverview
    public var metrics: NodeMetrics
}

/// A node of the cluster.
public struct NodeMember: Codable, Sendable, Hashable {
    public var node: Int
    /// "full"; "suspended": it leads no group that another node can lead; or "draining": its replicas go to other nodes.
    public var duty: String
    public init(node: Int, duty: String) {
        self.node = node
        self.duty = duty
    }
}

public struct WaitReport: Codable, Sendable, Hashable {
    /// "d12"; nil for what waits for no group.
    public var group: String?
    /// Who waits: "replica", "gateway" or "disk".
    public var who: String
    /// In plain words.
    public var reason: String
    public var requests: Int?
    public var bytes: Int?
    public var seconds: Double?
    public init(
        group: String?, who: String, reason: String, requests: Int? = nil, bytes: Int? = nil, seconds: Double? = nil
    ) {
        self.group = group
        self.who = who
        self.reason = reason
        self.requests = requests
        self.bytes = bytes
        self.seconds = seconds
    }
}

public struct DiskStatus: Codable, Sendable {
    public var id: String
    public var path: String
    /// "in use", or why not.
    public var state: String
    /// Why it failed, if it did and has not learned everything anew since.
    public var earlierFailure: String?
    public var totalBytes: UInt64
    public var freeBytes: UInt64
    /// Bytes of slots that are given, those included that the next checkpoint frees.
    public var takenBytes: UInt64
    /// Groups that have moved away and whose content is still here; nil from a node of an earlier version.
    public var remains: Int?
    public var replicas: Int
    /// Bytes of log that a recovery would read now: how full the log is.
    public var logHeldBytes: Int
    public var logWrites: UInt64
    public var logBytes: UInt64
    public var logSyncs: UInt64
    /// Mean microseconds of one write and one sync of the log.
    public var logWriteMicroseconds: Double
    public var logSyncMicroseconds: Double
    public var dataSyncs: UInt64
    /// Large records' bytes in fresh slots, and blocks that checkpoints copied.
    public var slotBytes: UInt64
    public var copiedBlocks: UInt64
    public var rowWrites: UInt64
    public var readBytes: UInt64
    public var readsFromCache: UInt64
    public var readsFromDisk: UInt64
    public var bytesWritten: UInt64
}

public struct EventReport: Codable, Sendable, Hashable {
    /// Nanoseconds since 1970, UTC.
    public var time: Int64
    public var subject: String
    public var text: String
}

/// One number of a layer.
public struct MetricValue: Codable, Sendable, Hashable {
    public var name: String
    public var labels: [String: String]
    public var value: Double
    public init(name: String, labels: [String: String], value: Double) {
        self.name = name
        self.labels = labels
        self.value = value
    }
}

/// Latencies of one kind of operation, in microseconds.
public struct LatencyReport: Codable, Sendable, Hashable {
    public var name: String
    public var labels: [String: String]
    public var count: UInt64
    public var meanMicroseconds: Double
    public var p50Microseconds: Double
    public var p99Microseconds: Double
    public var p999Microseconds: Double
    public var maximumMicroseconds: Double
}

/// Counts since the node's start.
public struct NodeMetrics: Codable, Sendable {
    /// CPU time of the process, user and system, in seconds.
    public var cpuSeconds: Double
    public var residentBytes: UInt64
    public var gateway: GatewayMetrics
    public var transport: TransportMetrics
    public var groups: GroupMetrics
    /// Bytes that this node's disks wrote.
    public var diskBytesWritten: UInt64
    public var counters: [MetricValue]
    public var gauges: [MetricValue]
    public var latencies: [LatencyReport]
}

public struct GatewayMetrics: Codable, Sendable {
    public var sent: UInt64
    public var resent: UInt64
    public var refused: UInt64
    public var malformed: UInt64
    public var redone: UInt64
    /// Parts of reads that the own replica was asked for, and those of them that it could not serve.
    public var localReads: UInt64
    public var localReadsMissed: UInt64
    public var flushMessages: UInt64
    /// Requests that wait now.
    public var waiting: Int
    /// Bytes that clients wrote through and read from this gateway.
    public var writtenBytes: UInt64
    public var readBytes: UInt64
}

public struct TransportMetrics: Codable, Sendable {
    public var sentBytes: UInt64
    public var receivedBytes: UInt64
    /// Payloads that other nodes read in this one's memory, beside what was sent.
    public var lentBytes: UInt64
    /// Of the own memory for payloads, taken now.
    public var arenaBytes: Int
    public var sentMessages: UInt64
    public var receivedMessages: UInt64
    /// Requests to other nodes without an answer.
    public var waiting: Int
}

public struct GroupMetrics: Codable, Sendable {
    public var requests: UInt64
    public var overloaded: UInt64
    /// Blocks that did not match their checksums; those of them that were mended from another replica, and those that no
    /// replica holds.
    public var badBlocks: UInt64
    public var mendedBlocks: UInt64
    public var lostBlocks: UInt64
    /// Scrubs of groups that came to their end under this node's lead, and objects and rows that they found lost or differing.
    public var scrubs: UInt64
    public var scrubFindings: UInt64
    /// Requests without an answer.
    public var waiting: Int
    public var payloadBytes: Int
    public var namespaceWork: Int
    /// Questions about single inodes and names: answered from rows kept on the loop, for want of a row by the namespace
    /// thread, by it because changes were under way; and the bytes of the rows kept.
    public var rowCacheHits: UInt64
    public var rowCacheMisses: UInt64
    public var rowCacheBehind: UInt64
    public var rowCacheBytes: Int
}

/// A placement group as its record and one node's replica show it.
public struct GroupReport: Codable, Sendable {
    public var group: String
    public var epoch: UInt64
    public var primary: Int?
    public var inSync: [Int]
    /// The disks of the members in sync, in their order; nil from a node of an earlier version.
    public var inSyncDisks: [String]?
    public var learners: [Int]
    public var placement: [PlaceReport]
    public var lossNumber: UInt64
    /// How many members must be here for writes to go on; nil from a node of an earlier version.
    public var leastMembers: Int?
    /// Of the answering node's replica; nil if it has none.
    public var replica: ReplicaStatus?
    /// What the last scrub found that came to its end, whoever led it; nil if there was none.
    public var scrub: ScrubSummary?
    /// Of the answering node; nil if it leads no scrub of the group and knows of none that was interrupted.
    public var scrubbing: ScrubStatus?
    /// What the last scrub of one fileset's objects found that the answering node led.
    public var filesetScrub: FilesetScrub?
    public init(
        group: String, epoch: UInt64, primary: Int?, inSync: [Int], inSyncDisks: [String]? = nil, learners: [Int],
        placement: [PlaceReport], lossNumber: UInt64, leastMembers: Int?, replica: ReplicaStatus?,
        scrub: ScrubSummary? = nil, scrubbing: ScrubStatus? = nil, filesetScrub: FilesetScrub? = nil
    ) {
        self.group = group
        self.epoch = epoch
        self.primary = primary
        self.inSync = inSync
        self.inSyncDisks = inSyncDisks
        self.learners = learners
        self.placement = placement
        self.lossNumber = lossNumber
        self.leastMembers = leastMembers
        self.replica = replica
        self.scrub = scrub
        self.scrubbing = scrubbing
        self.filesetScrub = filesetScrub
    }
}

public struct PlaceReport: Codable, Sendable, Hashable {
    public var node: Int
    public var disk: String
}

public struct ReplicaStatus: Codable, Sendable {
    public var disk: String
    /// "primary", "claiming" or "follower".
    public var role: String
    public var isServing: Bool
    public var isLearning: Bool
    /// At the primary: its learners.
    public var catchUps: [CatchUpReport]
    /// Epoch and number of the last entry known to be decided.
    public var decidedEpoch: UInt64
    public var decidedNumber: UInt64
    /// "whole", "rebooted" (whole but for what a loss of power may have taken of what was not flushed), "old" (the record does
    /// not name it any more), "incomplete" (a learner's, or a failed disk's) or "nothing"; nil from a node of an earlier version, as
    /// what follows.
    public var content: String?
    /// Epoch and number of the last entry that the disk has.
    public var endEpoch: UInt64?
    public var endNumber: UInt64?
    /// The other members of the record as this replica sees them.
    public var members: [OtherMemberReport]?
    public var waiting: String?
    public init(
        disk: String, role: String, isServing: Bool, isLearning: Bool, catchUps: [CatchUpReport],
        decidedEpoch: UInt64, decidedNumber: UInt64, content: String, endEpoch: UInt64, endNumber: UInt64,
        members: [OtherMemberReport], waiting: String?
    ) {
        self.disk = disk
        self.role = role
        self.isServing = isServing
        self.isLearning = isLearning
        self.catchUps = catchUps
        self.decidedEpoch = decidedEpoch
        self.decidedNumber = decidedNumber
        self.content = content
        self.endEpoch = endEpoch
        self.endNumber = endNumber
        self.members = members
        self.waiting = waiting
    }
}

/// A member of a group's record as another replica sees it.
public struct OtherMemberReport: Codable, Sendable, Hashable {
    public var node: Int
    public var disk: String
    /// "whole", "rebooted", "catching up", "learning", "nothing", "out of use", "unasked" or "away".
    public var state: String
    /// Of a whole or rebooted one: the last entry that it has, as far as is known.
    public var endEpoch: UInt64
    public var endNumber: UInt64
    /// Of one that is away: for how long, at most since the replica was opened that tells it.
    public var secondsAway: Double?
    public init(
        node: Int, disk: String, state: String, endEpoch: UInt64 = 0, endNumber: UInt64 = 0, secondsAway: Double? = nil
    ) {
        self.node = node
        self.disk = disk
        self.state = state
        self.endEpoch = endEpoch
        self.endNumber = endNumber
        self.secondsAway = secondsAway
    }
}

/// How far a learner of a group is, as the group's primary knows it.
public struct CatchUpReport: Codable, Sendable, Hashable {
    /// The learner.
    public var node: Int
    /// "waiting" for its turn, "listing" what is missing, "copying", or "finishing".
    public var stage: String
    /// Objects that are copied, of so many that are missing; nil while that is not known, and in metadata groups.
    public var copiedObjects: Int?
    public var objects: Int?
    /// Rows of a metadata group that are copied, of about so many; nil while that is not known.
    public var copiedRows: Int?
    public var rows: Int?
    public var copiedBytes: UInt64
    public var bytesPerSecond: UInt64
    /// Nil while it cannot be told.
    public var secondsLeft: Double?
}

/// All catch-ups of a node or a cluster together.
public struct RecoverySummary: Codable, Sendable, Hashable {
    /// Groups with a learner that the primary knows of, and those of them whose turn has not come.
    public var groups: Int
    public var waiting: Int
    public var bytesPerSecond: UInt64
    /// Nil while it cannot be told; also when nothing is to be done.
    public var secondsLeft: Double?
    public init(groups: Int, waiting: Int, bytesPerSecond: UInt64, secondsLeft: Double?) {
        self.groups = groups
        self.waiting = waiting
        self.bytesPerSecond = bytesPerSecond
        self.secondsLeft = secondsLeft
    }

    /// Of several nodes: each copies at its own pace, and the last one ends it.
    public init(_ nodes: [RecoverySummary]) {
        self.init(
            groups: nodes.reduce(0) { $0 + $1.groups }, waiting: nodes.reduce(0) { $0 + $1.waiting },
            bytesPerSecond: nodes.reduce(0) { $0 + $1.bytesPerSecond },
            secondsLeft: nodes.contains { $0.groups > 0 && $0.secondsLeft == nil }
                ? nil : nodes.compactMap(\.secondsLeft).max())
    }
}

public struct MapReport: Codable, Sendable {
    public var version: UInt64
    public var cluster: String
    public var lossNumber: UInt64
    public var copies: Int
    public var minInSync: Int
    public var dataGroups: Int
    public var nodes: [MapNode]
    public var disks: [MapDisk]
    public var sessions: [MapSession]
    public var filesets: [FilesetReport]
    public var exports: [ExportReport]
}

public struct MapNode: Codable, Sendable {
    public var id: Int
    public var name: String
    public var address: String
    public var roles: [String]
    public var failureDomain: [String]
    /// "full", "suspended" or "draining".
    public var duty: String
}

public struct MapDisk: Codable, Sendable {
    public var id: String
    public var node: Int
    public var weight: Int
    public var path: String
    /// "full" or "draining"; nil from a node of an earlier version.
    public var duty: String?
}

public struct MapSession: Codable, Sendable {
    public var id: UInt64
    public var node: Int
    public var lease: UInt32
}

public struct FilesetReport: Codable, Sendable {
    public var id: Int
    public var name: String
    /// "live" or "deleting".
    public var state: String
    public var group: String
    public var stripeUnit: Int
    public var stripeCount: Int
    /// The name under which it is joined into its parent's folder; nil for the root.
    public var junction: String?
    public var parentFileset: Int?
    public var parentInode: UInt64?
    /// As the answering node knows them; nil if it holds no replica of the metadata group.
    public var inodes: UInt64?
    public var bytes: UInt64?
}

public struct ExportReport: Codable, Sendable {
    public var id: Int
    public var path: String
    public var fileset: Int
    public var inode: UInt64
    public var clients: [String]
    /// "none", "root" or "all".
    public var squash: String
    public var access: String
    public var anonymousUID: UInt32
    public var anonymousGID: UInt32
    public var verifierBlind: Bool
}

// MARK: - Files

public struct FileReport: Codable, Sendable {
    public var name: String
    public var fileset: Int
    public var inode: UInt64
    /// "file", "folder", "link", "block", "character", "fifo", "socket".
    public var kind: String
    public var mode: UInt16
    public var links: UInt32
    public var uid: UInt32
    public var gid: UInt32
    public var size: UInt64
    public var used: UInt64
    /// Nanoseconds since 1970, UTC.
    public var accessed: Int64
    public var modified: Int64
    public var changed: Int64
    /// Of symbolic links.
    public var target: String?
    /// Of regular files.
    public var stripeUnit: Int?
    public var stripeCount: Int?
}

public struct ListReport: Codable, Sendable {
    public var entries: [FileReport]
    /// Where the next page begins; nil at the end.
    public var next: UInt64?
}

public struct DataReport: Codable, Sendable {
    /// Base 64.
    public var data: String
    public var isEnd: Bool
}

public struct FileHandleReport: Codable, Sendable {
    public var fileset: UInt32
    public var inode: UInt64
}

/// Which objects hold a file's bytes.
public struct LocationReport: Codable, Sendable {
    public var path: String
    public var fileset: Int
    public var inode: UInt64
    public var size: UInt64
    public var stripeUnit: Int
    public var stripeCount: Int
    public var objectCount: UInt64
    public var objects: [ObjectReport]
    /// The first object of the next page; nil at the end.
    public var next: UInt64?
}

public struct ObjectReport: Codable, Sendable {
    public var index: UInt64
    public var group: String
    public var primary: Int?
    /// The file's ranges that lie in it: offset and length, in order, at most as many as units in an object.
    public var ranges: [[UInt64]]
    public var members: [MemberReport]
}

public struct MemberReport: Codable, Sendable, Hashable {
    public var node: Int
    public var disk: String
    /// "in-sync" or "learner".
    public var state: String
}

// MARK: - Scrub

/// An object as commands name it.
public struct ScrubObject: Codable, Sendable, Hashable, Comparable {
    public var fileset: UInt32
    public var inode: UInt64
    public var index: UInt64
    public init(fileset: UInt32, inode: UInt64, index: UInt64) {
        self.fileset = fileset
        self.inode = inode
        self.index = index
    }
    public static func < (a: ScrubObject, b: ScrubObject) -> Bool {
        (a.fileset, a.inode, a.index) < (b.fileset, b.inode, b.index)
    }
    public var description: String { "fs\(fileset)/i\(inode)/\(index)" }
}

public struct ScrubReport: Codable, Sendable {
    /// Of the replica when it was asked, "epoch.n".
    public var decided: String
    public var disk: String
    public var objects: [ScrubDigest]
}

public struct ScrubDigest: Codable, Sendable, Hashable {
    public var object: ScrubObject
    /// The entry that changed it last, "epoch.n".
    public var version: String
    /// Over states and checksums of all blocks; "" when the object has no content.
    public var digest: String
    /// Blocks with content, each of which was read and matched its checksum.
    public var blocks: Int
    /// Those of them that were bad, and were taken from another replica and written anew.
    public var mended: Int
    /// What is wrong; nil for nothing.
    public var fault: String?
}
