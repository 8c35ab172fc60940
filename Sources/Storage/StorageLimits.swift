import ClusterModel

/// Bounds of the object layer. Each names what happens when it is reached.
public enum StorageLimits {
    /// Bytes of an index's write-ahead log before it is checkpointed (store.md, Parts).
    static let indexLogBytes = 32 << 20
    /// Bytes of a namespace database's write-ahead log before it is checkpointed.
    static let namespaceLogBytes = 32 << 20
    /// Exports of one namespace under way at once; beyond it the oldest is forgotten, and its learner begins anew.
    static let exports = 4
    /// Bytes of inode and entry rows that a node keeps on its loop (store.md, Namespace rows); beyond it the least recently
    /// used go.
    static let rowCacheBytes = 16 << 20
    /// How often what namespaces applied is made durable, so that the log can be trimmed.
    static let namespaceSyncInterval = TimeSpan.seconds(2)
    /// Between two signs of life to each node.
    static let aliveInterval = TimeSpan.milliseconds(250)
    /// How long the coordination store is asked to make an operator's change of the map; then it counts as refused. The command
    /// waits for a minute.
    static let operatorPatience = TimeSpan.seconds(30)
    /// Between two reports of what data groups use, and two records of it in filesets (half an interval less than a second,
    /// so that every fourth sign of life has one).
    static let accountingInterval = TimeSpan.milliseconds(875)
    /// Requests of one node that wait for an answer of a placement group; beyond it a request is refused as unavailable.
    static let waitingRequests = 65_536
    /// Payload bytes held for requests, entries in flight and answers; beyond it requests of clients are refused as
    /// unavailable, and their gateways send them again.
    static let payloadBytes = 128 << 20
    /// Bytes kept of why a disk failed; the rest is cut off.
    static let failureReason = 512
    /// How long a question to another node may wait for its answer; then it counts as lost, and gateways send it again under
    /// the same number. Longer than a primary waits for a member before it has it removed (5 s).
    static let exchangePatience = TimeSpan.seconds(10)
    /// Likewise for a node that is connected but silent: its groups are claimed by others meanwhile.
    static let silentExchangePatience = TimeSpan.seconds(3)
    /// How often deadlines of questions are looked at.
    static let exchangeCheckInterval = TimeSpan.milliseconds(250)
    /// Jobs of one store that lie in a disk thread's queue; beyond it they wait on the loop, in order.
    static let jobsInLine = 1024
    /// Blocks remembered as lost on all replicas; beyond it they may be reported twice.
    static let lostBlocks = 4096
    /// A block that stays lost is reported again after this.
    static let lostBlockInterval = TimeSpan.seconds(3600)
    /// Times a read is planned anew because its blocks moved, before it is an error: each time a checkpoint or a write has
    /// made progress.
    static let readAttempts = 64
    /// How long paths of damaged files are sought before they are named by their inodes.
    static let pathPatience = TimeSpan.seconds(20)
    /// How long a group is left alone whose background scrub was interrupted.
    static let scrubRest = TimeSpan.seconds(60)
    /// How often the coordination store is told where the scrub under way stands: what a killed node looks at twice.
    static let scrubPositionInterval = TimeSpan.seconds(30)
    /// Groups that were never scrubbed are so within this long.
    static let firstScrubWithin = TimeSpan.seconds(86_400)
    /// Things that a scrub's record names in words, each so many bytes long; the others are counted.
    static let scrubFindings = 33
    /// Reads that wait for a disk; beyond it they are to be sent again. A part of `DiskLimits.threadQueue`.
    static let queuedReads = 1024
    static let scrubFinding = 1024
    /// How often members are compared by their paces.
    static let paceInterval = TimeSpan.seconds(1)
    /// How often a node looks for groups that placement would have another node lead.
    static let balanceInterval = TimeSpan.milliseconds(500)
}
