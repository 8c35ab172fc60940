import ClusterModel

/// A message between the replicas of one placement group. Messages of one connection arrive in the order they were sent.
public struct ReplicaMessage: Hashable, Sendable {
    public var pg: PGID
    /// The epoch of the claim under which the sending primary reigns, or, in answers, of the one that is answered. Entries
    /// carry the same epoch; later changes of the record by the same primary raise the record's epoch only.
    public var epoch: Epoch
    public var body: ReplicaMessageBody

    public init(pg: PGID, epoch: Epoch, body: ReplicaMessageBody) {
        self.pg = pg
        self.epoch = epoch
        self.body = body
    }

    /// The bytes that travel behind the message.
    public var payload: PayloadHandle? {
        get {
            switch body {
            case .append(let append): append.entry.payload
            case .piece(let piece): piece.payload
            case .snapshot(let part): part.payload
            case .blocks(let given): given.payload
            case .attach, .attached, .acknowledge, .decided, .sync, .refused, .learn, .learning, .tables, .start,
                .changedKeys, .removeObject, .installed, .finish, .finished, .askStatus, .status, .takeOver, .willing,
                .handedOver, .gone, .askBlocks, .askScrub, .scrubbed, .mustLearn:
                nil
            }
        }
        set {
            switch body {
            case .append(var append):
                append.entry.payload = newValue
                body = .append(append)
            case .piece(var piece):
                piece.payload = newValue
                body = .piece(piece)
            case .snapshot(var part):
                part.payload = newValue
                body = .snapshot(part)
            case .blocks(var given):
                given.payload = newValue
                body = .blocks(given)
            case .attach, .attached, .acknowledge, .decided, .sync, .refused, .learn, .learning, .tables, .start,
                .changedKeys, .removeObject, .installed, .finish, .finished, .askStatus, .status, .takeOver, .willing,
                .handedOver, .gone, .askBlocks, .askScrub, .scrubbed, .mustLearn:
                break
            }
        }
    }
}

/// What replicas tell each other. Codes 1 … 21 and 32 … 34, 40 … 44 are in use; 22 … 31 are free, 35 … 63
/// kept for scrub and repair.
public enum ReplicaMessageBody: Hashable, Sendable {
    /// Primary → member or learner: take part in my epoch.
    case attach(Attach)
    /// The answer, once the promise (and a cut) is durable.
    case attached(Attached)
    /// Primary → all: one entry, in order.
    case append(Append)
    /// All → primary: how far the log has come.
    case acknowledge(Acknowledgement)
    /// Primary → all: what is decided, when no entry carries it within 5 ms.
    case decided(through: EntryName, stamp: LossNumber)
    /// Primary → in-sync members: make the log stable through this entry.
    case sync(through: EntryName)
    /// The receiver has promised a later epoch; its record, if it knows one.
    case refused(promised: Epoch, PGRecord?)
    /// Primary → learner: what you have is complete through `fork` only; put that down.
    case learn(attempt: UInt32, fork: EntryName)
    /// Learner → primary: it is durable that I am learning.
    case learning(attempt: UInt32)
    /// Primary → learner, before `start`: part of request windows and file marks as of its entry (`ReplicaTables` of
    /// Replication), at most 512 KiB.
    case tables(attempt: UInt32, [UInt8])
    /// Primary → learner: begin a new log here; live entries follow.
    case start(LearningStart)
    /// Learner → primary: what I changed after the fork.
    case changedKeys(ChangedKeys)
    /// Primary → learner: part of an object.
    case piece(Piece)
    /// Primary → learner: the primary does not have this object.
    case removeObject(attempt: UInt32, step: UInt32, ObjectID)
    /// Learner → primary: step `step` of the attempt has been installed.
    case installed(attempt: UInt32, step: UInt32)
    /// Primary → learner of a metadata group: part of all rows as of one entry.
    case snapshot(SnapshotPart)
    /// Primary → learner: nothing is missing; make all of it stable, with your log through this entry, and clear the mark.
    case finish(attempt: UInt32, through: EntryName)
    /// Learner → primary: done, durably.
    case finished(attempt: UInt32)
    /// Member → member, after a loss of power: what have you?
    case askStatus
    case status(ReplicaStatus)
    /// Node → all, or in answer to `attach` and `askStatus`: my replica of the group is out of use, and so is all that it had,
    /// although my node lives. It is told at once when a disk fails, and again to whoever asks for the replica.
    case gone
    /// Primary → in-sync member: will you be the primary from now on?
    case takeOver(attempt: UInt32)
    /// The answer: yes, under this lease; `.none`: no.
    case willing(attempt: UInt32, under: LeaseNumber)
    /// Former primary → its successor: the record names you, at this version of it.
    case handedOver(PGRecord, version: Int64)
    /// Replica → in-sync member: my disk has lost these blocks; give those that you hold with these checksums.
    case askBlocks(BlocksAsk)
    /// The answer: what it holds, nothing from one that is not in-sync.
    case blocks(BlocksGiven)
    /// Primary → in-sync members: what do you hold, as of the mark that follows?
    case askScrub(ScrubAsk)
    case scrubbed(ScrubAnswer)
    /// Primary → in-sync member: your copy is proven bad, and others hold what it should be. Learn everything anew.
    case mustLearn
}

/// The last entry of an epoch in a log: a log's list of entries is told by the list of these, as within one epoch one
/// primary numbers, and each epoch begins right after the end of the log of its primary.
public struct EpochSpan: Hashable, Sendable {
    public var epoch: Epoch
    /// The greatest n of that epoch.
    public var last: UInt64
    public init(epoch: Epoch, last: UInt64) {
        self.epoch = epoch
        self.last = last
    }
}

public struct Attach: Hashable, Sendable {
    /// Counts a primary's attempts with one peer; answers to earlier ones are dropped.
    public var attempt: UInt32
    public var record: PGRecord
    /// The primary's log, ascending.
    public var history: [EpochSpan]
    public init(attempt: UInt32, record: PGRecord, history: [EpochSpan]) {
        self.attempt = attempt
        self.record = record
        self.history = history
    }
}

/// A record that was found void after a loss of power (store.md, rule 2).
public struct VoidRecord: Hashable, Sendable {
    public var entry: EntryName
    public var object: ObjectID
    public var request: LostRequest
    public init(entry: EntryName, object: ObjectID, request: LostRequest) {
        self.entry = entry
        self.object = object
        self.request = request
    }
}

public struct Attached: Hashable, Sendable {
    public var attempt: UInt32
    public var standing: Standing
    /// The answering replica.
    public var member: Member
    public var stable: EntryName
    public var voids: [VoidRecord]
    /// Bytes that the disk can take beyond its reserve.
    public var room: UInt64

    public enum Standing: Hashable, Sendable {
        /// The log is a prefix of the primary's and ends here; whatever differed has been cut, durably.
        case sameLog(end: EntryName)
        /// Content is known to be complete and the same through this entry only.
        case behind(fork: EntryName)
    }

    public init(
        attempt: UInt32, standing: Standing, member: Member, stable: EntryName, voids: [VoidRecord], room: UInt64
    ) {
        self.attempt = attempt
        self.standing = standing
        self.member = member
        self.stable = stable
        self.voids = voids
        self.room = room
    }
}

public struct Append: Hashable, Sendable {
    public var entry: Entry
    /// The entry before this one: it is taken only after it.
    public var previous: EntryName
    public var decided: EntryName
    /// The stamp of the answers to what `decided` newly covers.
    public var stamp: LossNumber
    public init(entry: Entry, previous: EntryName, decided: EntryName, stamp: LossNumber) {
        self.entry = entry
        self.previous = previous
        self.decided = decided
        self.stamp = stamp
    }
}

/// Cumulative: through these entries the log has everything, appended and stable.
public struct Acknowledgement: Hashable, Sendable {
    public var attempt: UInt32
    public var appended: EntryName
    public var stable: EntryName
    /// Bytes that the disk can take beyond its reserve.
    public var room: UInt64
    public init(attempt: UInt32, appended: EntryName, stable: EntryName, room: UInt64) {
        self.attempt = attempt
        self.appended = appended
        self.stable = stable
        self.room = room
    }
}

public struct LearningStart: Hashable, Sendable {
    public var attempt: UInt32
    /// The learner's new log begins after this entry, which is decided.
    public var after: EntryName
    /// The primary's log through `after`.
    public var history: [EpochSpan]
    public init(attempt: UInt32, after: EntryName, history: [EpochSpan]) {
        self.attempt = attempt
        self.after = after
        self.history = history
    }
}

public struct ChangedKeys: Hashable, Sendable {
    public var attempt: UInt32
    public var objects: [ObjectID]
    public var end: ListPosition
    public init(attempt: UInt32, objects: [ObjectID], end: ListPosition) {
        self.attempt = attempt
        self.objects = objects
        self.end = end
    }
}

/// Whether a paged list or a sequence of parts goes on.
public enum ListPosition: UInt8, Hashable, Sendable {
    case more = 0
    case last = 1
}

/// At most 64 blocks of an object as of a decided entry. The payload holds the blocks with `content` that are not lost, in
/// order.
public struct Piece: Hashable, Sendable {
    public var attempt: UInt32
    public var step: UInt32
    public var object: ObjectID
    public var blocks: BlockRange
    /// Bit i: block i of the range has content.
    public var content: UInt64
    /// Bit i: block i of the range is zero (written as such); neither bit: absent.
    public var zero: UInt64
    /// Bit i: block i has content that no replica which may be asked holds. Who has it under its checksum keeps it.
    public var lost: UInt64
    /// One checksum for each block with content, lost ones included.
    public var checksums: [UInt32]
    public var asOf: EntryName
    /// The object's version at the primary.
    public var version: EntryName
    public var truncation: TruncationMark
    /// With the last piece of an object, all blocks behind the piece are absent, and the object has this version.
    public var position: ListPosition
    public var payload: PayloadHandle?
    public init(
        attempt: UInt32, step: UInt32, object: ObjectID, blocks: BlockRange, content: UInt64, zero: UInt64,
        lost: UInt64 = 0,
        checksums: [UInt32], asOf: EntryName, version: EntryName, truncation: TruncationMark, position: ListPosition,
        payload: PayloadHandle?
    ) {
        self.attempt = attempt
        self.step = step
        self.object = object
        self.blocks = blocks
        self.content = content
        self.zero = zero
        self.lost = lost
        self.checksums = checksums
        self.asOf = asOf
        self.version = version
        self.truncation = truncation
        self.position = position
        self.payload = payload
    }
}

public struct SnapshotPart: Hashable, Sendable {
    public var attempt: UInt32
    /// 0, 1, 2 …
    public var step: UInt32
    public var asOf: EntryName
    public var position: ListPosition
    public var payload: PayloadHandle?
    public init(attempt: UInt32, step: UInt32, asOf: EntryName, position: ListPosition, payload: PayloadHandle?) {
        self.attempt = attempt
        self.step = step
        self.asOf = asOf
        self.position = position
        self.payload = payload
    }
}

/// What a replica tells others that try to find out who may claim after a loss of power.
public struct ReplicaStatus: Hashable, Sendable {
    public var member: Member
    public var continuity: Continuity
    /// The end of the log.
    public var end: EntryName

    public enum Continuity: UInt8, Hashable, Sendable {
        /// Nothing is missing: the machine kept its boot, or the disk was closed in order.
        case kept = 1
        /// The machine lost power: what was not stable may be gone.
        case rebooted = 2
        /// Lacks content, or may lack some: no vote.
        case learning = 3
        /// The disk has no trace of the group: no vote.
        case absent = 4
    }

    public init(member: Member, continuity: Continuity, end: EntryName) {
        self.member = member
        self.continuity = continuity
        self.end = end
    }
}

/// Blocks of an object by the checksums of their content (store.md, rule 5): whoever holds a block of this identity with this
/// checksum holds what was lost, whatever has been written since.
public struct WantedBlocks: Hashable, Sendable {
    public var object: ObjectID
    /// At most 64.
    public var blocks: BlockRange
    /// Bit i: block i of the range is wanted.
    public var wanted: UInt64
    /// One for each wanted block.
    public var checksums: [UInt32]
    public init(object: ObjectID, blocks: BlockRange, wanted: UInt64, checksums: [UInt32]) {
        self.object = object
        self.blocks = blocks
        self.wanted = wanted
        self.checksums = checksums
    }

    /// Those of the wanted blocks whose bit is set.
    public func only(_ bits: UInt64) -> WantedBlocks {
        var left = WantedBlocks(object: object, blocks: blocks, wanted: wanted & bits, checksums: [])
        var next = 0
        for i in 0..<blocks.count where wanted >> UInt64(i) & 1 == 1 {
            if bits >> UInt64(i) & 1 == 1 { left.checksums.append(checksums[next]) }
            next += 1
        }
        return left
    }
}

public struct BlocksAsk: Hashable, Sendable {
    /// The asker's number; comes back with the answer.
    public var request: UInt64
    public var wanted: WantedBlocks
    /// What the asker knows to be decided: the blocks are looked up behind it.
    public var decided: EntryName
    public init(request: UInt64, wanted: WantedBlocks, decided: EntryName) {
        self.request = request
        self.wanted = wanted
        self.decided = decided
    }
}

public struct BlocksGiven: Hashable, Sendable {
    public var request: UInt64
    public var standing: Standing
    /// Which blocks of the range asked for the payload holds, in order.
    public var content: UInt64
    public var payload: PayloadHandle?

    public enum Standing: UInt8, Hashable, Sendable {
        /// It lacks nothing: what it does not give it does not hold.
        case ready = 1
        /// It cannot be read now.
        case notReady = 2
    }

    public init(request: UInt64, standing: Standing, content: UInt64, payload: PayloadHandle?) {
        self.request = request
        self.standing = standing
        self.content = content
        self.payload = payload
    }
}
