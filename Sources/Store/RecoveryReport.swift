import ClusterModel
import Wire

/// What a disk holds after its log was read.
public struct RecoveryReport: Sendable {
    /// The boot under which the disk was last open; nil for a fresh one.
    public var lastBoot: BootID?
    public var closing: Closing
    /// Ascending by group.
    public var groups: [RecoveredGroup]

    public enum Closing: UInt8, Hashable, Sendable {
        /// The disk was closed in order: its members count as having kept their boot.
        case clean = 0
        /// The process ended without closing it.
        case abrupt = 1
    }
}

public struct RecoveredGroup: Sendable {
    public var pg: PGID
    /// The last state that `writeState` was given; empty if none.
    public var state: [UInt8]
    /// Known to be decided; a data group's reads show all of it.
    public var decidedThrough: EntryName
    /// The end of what survived of its log.
    public var logEnd: EntryName
    /// Entries after the decided ones, in order: not applied. Those of void records, here and in `decided`, are empty, without
    /// session and request.
    public var undecided: [Entry]
    /// Decided entries that the log still holds, in order, without their payloads: request windows are made from them.
    public var decided: [Entry]
    /// The protocol's tables as of the last checkpoint that gave any.
    public var tables: [UInt8]?
    /// Of a metadata group: decided entries that its database may lack, in order.
    public var reapply: [Entry]
    /// Names that the log still holds, in order, for finding the fork point; older ones are decided.
    public var names: [EntryName]
    /// Large records whose slots were lost with power, oldest first, until `settleReport` (rule 2).
    public var voids: [VoidRecord]
    public var health: Health

    public enum Health: UInt8, Hashable, Sendable {
        case whole = 0
        /// Log-stable records were lost (rule 3), or there were more void records than are kept: it must learn anew.
        case corrupt = 1
        /// Pieces that a learner had installed did not survive: their objects are incomplete. Of a group that does not learn it
        /// means that what was durable is lost.
        case piecesLost = 2
    }
}

/// A large record whose content did not survive: the object kept its old blocks.
public struct VoidRecord: Hashable, Sendable {
    public var name: EntryName
    public var object: ObjectID
    public var session: SessionID
    public var request: RequestNumber
    public init(name: EntryName, object: ObjectID, session: SessionID, request: RequestNumber) {
        self.name = name
        self.object = object
        self.session = session
        self.request = request
    }
}

/// Blocks and slots that a group uses, exact.
public struct StoreUsage: Hashable, Sendable {
    /// Present blocks, of 4 KiB.
    public var blocks: Int64
    /// Slots, of 64 KiB.
    public var slots: Int64
    public init(blocks: Int64 = 0, slots: Int64 = 0) {
        self.blocks = blocks
        self.slots = slots
    }
}

/// What a disk has, in bytes.
public struct StoreSpace: Hashable, Sendable {
    /// For new entries: free slots and growth left, less pending ones and the reserve.
    public var admissible: UInt64
    /// All free slots and growth left.
    public var free: UInt64
    public var total: UInt64
}
