import ClusterModel
import Wire

/// What a placement group wants done. The shell executes effects in order; those about the log and the store take effect in
/// that order too (an entry is decided, then read; a log is restarted, then appended to).
///
/// Payloads: a handle that comes in with an event belongs to the group from then on, until `drop`. An effect that names a
/// handle is executed before any later `drop` of it; who goes on using the bytes after that (a socket, the log's writer)
/// keeps them itself.
public enum ReplicaEffect: Sendable {
    // MARK: Own log and state

    /// Append to the log, in order; then `logAppended`. The entry's payload is written or, for large parts, its slots are.
    /// `.stable` asks for a sync in the next group commit; then `logStable`.
    case append(Entry, Durability)
    /// Make the log stable through this entry (already appended or about to be), the data file first if large records are
    /// among the entries; then `logStable`.
    case sync(through: EntryName)
    /// Cut the entries behind this one, durably; then `logCut`. None of them was ever decided here.
    case cutLog(after: EntryName, WorkToken)
    /// Forget the log, durably before anything later in it; the next entry follows this one. Applied content stays. Only
    /// while learning. `decided` entries of the old log have been applied. The files' last cuts as of that entry are applied
    /// then: they come with the effect, for the group may know of other ones when it is carried out.
    case restartLog(after: EntryName, cuts: [ListedCut])
    /// Keep these bytes for the group, durably, both or none; then `stateWritten`. Nil tables: the old ones stay.
    case writeState([UInt8], tables: [UInt8]?, WorkToken)
    /// Entries through this one are decided: reads show them, they may be applied. A learning metadata replica
    /// is not told before its snapshot is in: its rows cannot take them.
    case decided(through: EntryName)

    // MARK: Peers

    /// Put the message into the connection to that node, in order; dropped silently if there is none.
    case send(ReplicaMessage, to: NodeID)
    /// The group does not need these bytes any more.
    case drop(PayloadHandle)

    /// A member, or this replica, took so long to make a write stable, or is still at it: for the node's `PaceJudge`.
    case stableAfter(NodeID, TimeSpan)

    // MARK: Requests

    /// Answer, unless the lease with this number is not surely valid in the moment that the answer leaves: then refuse as
    /// unavailable. `.none`: answer in any case. The payload belongs to the shell again.
    case answer(RequestToken, PGResponse, under: LeaseNumber)
    /// Read decided content; then `readCompleted` or `readFailed`. `truncation`: content older than it is seen as cut.
    case read(ReadTicket, ObjectRange, TruncationMark)
    /// Ask the namespace rows, behind all entries decided so far, as of that time; then `readCompleted` with an encoded
    /// `NamespaceAnswer`.
    case query(ReadTicket, PayloadHandle, asOf: Timestamp)
    /// The kept result of an entry that was applied; then `readCompleted` with an encoded `NamespaceResult`.
    case fetchResult(ReadTicket, SessionID, RequestNumber, EntryName)
    /// Complete a write's edges to whole blocks, compute the checksums; then `edgesCompleted` with a new handle (the same one
    /// if there is nothing to complete). The old handle is dropped by the group.
    case completeEdges(WorkToken, EdgeMerge)
    /// Look up a file's last cut as of all entries that were appended; then `cutFound`.
    case findCut(FileID, WorkToken)

    // MARK: Coordination

    /// Change the record by compare-and-set, possibly together with other groups' changes within 20 ms; then
    /// `proposalEnded`.
    case propose(Proposal)
    /// Find out whether this lease has ended, and revoke it if it has run out; `leaseSeenEnded` if so, nothing else.
    case askLease(LeaseNumber)
    /// Read the map anew, not from memory; then `mapRead` with this token and what was read. Reading began after this effect.
    case readMap(WorkToken)
    /// Tell the map as it was with that change of the record, or later; then `mapRead`.
    case awaitMap(WorkToken, since: RecordVersion)
    /// Read this group's record anew; then `recordRead`.
    case readRecord

    /// Lay this node's lease down and take another: the record names it for a role that this replica cannot have any more.
    case giveUpLease

    // MARK: Catching up

    /// List all objects whose version is later than this entry's, tombstones included, those that have none, for they were
    /// copied in part, and later cuts; then `changesListed`.
    case listChanges(after: EntryName, WorkToken)
    /// Read blocks as all decided entries left them; then `pieceRead` (or `pieceFailed`).
    case readPiece(ObjectID, BlockRange, WorkToken)
    /// Put content over the blocks; then `installed`. If it is the object's last piece, all blocks behind it become absent and
    /// the object's version becomes the piece's, even if that is lower; otherwise the version becomes the greater of both.
    /// Through the log, so that later syncs cover it.
    case installPiece(Piece, WorkToken)
    /// Remove the object with its version; then `installed`.
    case removeObject(ObjectID, WorkToken)
    /// Export all rows as of one entry (behind all decided so far); then `snapshotRead` part by part, each after the next
    /// `readSnapshot` with the same token.
    case readSnapshot(WorkToken)
    /// Take a part; the first one begins, the last one replaces all rows in one transaction, with applied = `asOf`; then
    /// `installed`.
    case installSnapshot(SnapshotPart, WorkToken)
    /// The rows are taken as they are, for the entries through this one that they lack are given up: the next entry that they
    /// take follows it. A snapshot that has begun to come in is dropped; then `installed`.
    case forgoRows(through: EntryName, WorkToken)
    /// Sync the log and everything that was installed before this effect; then `installed`.
    case syncAll(WorkToken)

    // MARK: Repair

    /// Read those of the wanted blocks that the index has with these checksums and that match them; then `blocksRead`.
    case giveBlocks(BlocksAsk, to: NodeID, epoch: Epoch)
    /// The payload holds these blocks of a search, in order, if their checksums hold; then `blocksTaken`.
    case blocksFound(WorkToken, WantedBlocks, PayloadHandle)
    /// Nobody holds what is still missing.
    case searchEnded(WorkToken)

    // MARK: Scrub

    /// Look at what the own replica holds as soon as the mark is applied, before anything behind it; then `scrubRead`. A later
    /// question replaces one whose mark has not come.
    case scrub(ScrubAsk, to: NodeID, epoch: Epoch)
    /// It is durable that everything is learned anew: rows that cannot be trusted go.
    case forgetContent
    /// Nothing that the disk has of the group counts, and it may hide what the group has: the replica ends, all of it goes from
    /// the disk, and then the group has a replica without a trace there if its record still names the disk; `contentErased`. Until
    /// then the disk keeps this state: of a replica that lacks everything.
    case eraseContent(state: [UInt8])
    /// The scrub that `beginScrub` began is over.
    case scrubEnded(ScrubOutcome)

    /// The shell should tell an operator.
    case report(ReplicaReport)
}

/// A read under way. It is answered only if the same reign still lasts when it returns.
public struct ReadTicket: Hashable, Sendable {
    public var token: RequestToken
    var reign: UInt64
    var kind: Kind

    enum Kind: UInt8, Hashable, Sendable {
        case data
        case query
        case result
    }
    var stamp: LossNumber
}

/// A change of the group's record.
public struct Proposal: Hashable, Sendable {
    public var token: WorkToken
    /// The record must have exactly this version.
    public var expected: RecordVersion
    public var record: PGRecord
    /// This lease must have ended (a claim).
    public var requiresEnded: LeaseNumber?
    /// The map's loss number must be this one, and is raised by one in the same transaction, once for all such proposals in
    /// it; `record.lossNumber` is the raised one.
    public var raisesLossNumber: LossNumber?
}

/// The work of completing edges.
public struct EdgeMerge: Hashable, Sendable {
    public var object: ObjectID
    /// The bytes to write, in the object.
    public var offset: Int
    /// Nil for a cut: everything in the block from `offset` on becomes zero.
    public var payload: PayloadHandle?
    /// Whole blocks that the result covers.
    public var blocks: BlockRange
    /// The mark of the request: stored content that is older is seen as cut.
    public var truncation: TruncationMark
    /// What the first block holds so far, if its beginning (or its end, too, when it is also the last) is not overwritten.
    public var head: EdgeBase?
    /// The same of the last block, if there is more than one.
    public var tail: EdgeBase?
}

/// The newest sequenced content of one block.
public enum EdgeBase: Hashable, Sendable {
    /// In the payload of an entry that is not decided yet, `offset` bytes from its beginning.
    case inFlight(PayloadHandle, offset: Int)
    case zero
    /// As decided entries left it (absent reads as zeros).
    case stored
}

/// What an operator should know.
public enum ReplicaReport: Hashable, Sendable {
    case claimed(Epoch)
    case serving(Epoch)
    case removed([NodeID])
    case learning(NodeID)
    case promoted(NodeID)
    /// Unstable data of this group was lost with the power of all its members.
    case lossNumberRaised(LossNumber)
    /// That member is the primary now.
    case handedOver(NodeID)
    /// That member did not become the primary, after all.
    case handoverGivenUp(NodeID)
    /// An operator has given up the other members; the loss number is this one now.
    case lossAccepted(LossNumber)
    /// A member must learn anew, for this reason.
    case mustLearn(String)
    /// These nodes are to hold the group from now on.
    case placed([NodeID])
}

/// What a group waits for, by name (`stave why`).
public enum WaitReason: Hashable, Sendable {
    case record
    case lease
    /// The primary's lease has not ended.
    case leaseToEnd(NodeID, LeaseNumber)
    /// The outcome of a change of the record.
    case proposal
    /// That member to take the group over.
    case handover(NodeID)
    /// Members whose acknowledgement is needed.
    case members([NodeID])
    /// After a loss of power, these members of the record.
    case powerLoss([NodeID])
    case mapVersion(MapVersion)
    case entriesInFlight
    /// Its own disk.
    case log
    /// This replica lacks content.
    case learning
    /// It lacks content, and nobody brings it: these members of the record are away.
    case wholeReplica([NodeID])
}
