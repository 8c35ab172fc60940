import ClusterModel
import Wire

/// What the shell does for the store, in the order given. Every effect with an id is answered exactly once by the `Store`
/// function that the case names, or the disk has failed (`Store.failed`). Nothing is retried.
public enum StoreEffect: Sendable {
    /// One write of consecutive pieces (pwritev, on the loop) → `logWritten`.
    case writeLog(EffectID, LogWrite)
    /// fdatasync of these segments, what was written before included → `logSynced`.
    case syncLog(EffectID, [SegmentNumber])
    /// fdatasync of the data file → `dataSynced`.
    case syncData(EffectID)
    /// Make a segment, prewritten with zeros and durable, or rename one that is no longer needed → `segmentPrepared`.
    case prepareSegment(EffectID, SegmentNumber, SegmentSource)
    /// Remove a segment's file, for the log had grown beyond its bound → `segmentRemoved`.
    case removeSegment(EffectID, SegmentNumber)
    /// Write payload bytes to fresh slots → `slotsWritten`.
    case writeSlots(EffectID, PayloadHandle, [SlotWrite])
    /// fallocate the data file to this many slots → `dataGrown`.
    case growData(EffectID, toSlots: Int)
    /// Copy blocks from the log to their slots, verified on the way, then wait for their writeback → `copied`.
    case copyBlocks(EffectID, [BlockCopy])
    /// Read a part of a segment → `logRead`. During recovery only.
    case readLog(EffectID, SegmentNumber, offset: Int, length: Int)
    /// Read blocks of slots and compare their checksums → `slotsChecked`. During recovery only.
    case checkBlocks(EffectID, [BlockCheck])
    /// Read rows → `rowsLoaded`.
    case loadRows(EffectID, [IndexKey])
    /// List rows → `rowsScanned`.
    case scanRows(EffectID, IndexScan)
    /// One transaction → `rowsCommitted`. Transactions and scans are done in the order in which they were asked.
    case commitRows(EffectID, [IndexWrite])
    /// Make what was committed durable (fsync of the -wal file) → `rowsSynced`.
    case syncRows(EffectID)
    /// The store needs these bytes no longer.
    case dropPayload(PayloadHandle)
    /// For the placement groups' side of the shell.
    case notify(StoreNotice)
}

public enum SegmentSource: Hashable, Sendable {
    case new
    case recycled(SegmentNumber)
}

public struct LogWrite: Sendable {
    public var segment: SegmentNumber
    /// A multiple of 4,096.
    public var offset: Int
    public var pieces: [LogPiece]
    /// Of all pieces, a multiple of 4,096.
    public var length: Int
}

public enum LogPiece: Sendable {
    case bytes([UInt8])
    /// Bytes `offset ..< offset + length` of a payload.
    case payload(PayloadHandle, offset: Int, length: Int)
    case zeros(Int)
}

/// `length` bytes from `payloadOffset` go to `dataOffset` of the data file; whole slots.
public struct SlotWrite: Hashable, Sendable {
    public var payloadOffset: Int
    public var dataOffset: UInt64
    public var length: Int
}

/// One block that the checkpoint takes from the log to its slot. If the bytes in the log do not match `checksum`, they are
/// not copied, and its index in the batch is reported.
public struct BlockCopy: Hashable, Sendable {
    public var object: ObjectID
    /// Of the object, 0 … 1,023.
    public var block: Int
    public var segment: SegmentNumber
    public var offset: Int
    public var dataOffset: UInt64
    /// `CRC32C.block`.
    public var checksum: UInt32
}

/// One block in the data file with what it should hold.
public struct BlockCheck: Hashable, Sendable {
    public var object: ObjectID
    public var block: Int
    public var dataOffset: UInt64
    public var checksum: UInt32
}

/// What the store tells the placement groups.
public enum StoreNotice: Sendable {
    /// The log has been read; `Store.begin` opens the disk for appends.
    case recovered(RecoveryReport)
    /// Appends are taken from now on.
    case ready
    /// Written to the log (page cache): survives kill -9. All of the group through this name.
    case appended(PGID, through: EntryName)
    /// Stable (architecture.md, Names): survives a loss of power. All of the group through this name.
    case stable(PGID, through: EntryName)
    /// Decided entries that reads show from now on (data groups only).
    case applied(PGID, through: EntryName)
    /// A state, cut, piece or other record of the caller's is durable.
    case durable(StoreToken)
    /// Rows that a call needed are in memory: call again.
    case readAgain(StoreToken)
    /// The answer of `Store.changes`.
    case changes(StoreToken, ChangePage)
    /// Nothing of the group is on the disk any more, durably (`Store.leaveGroup`).
    case left(PGID)
    /// The disk is clean: all stable, checkpoint durable, clean mark durable. Nothing may be appended any more.
    case closed
    /// The checkpoint waits for the tables of these groups: `Store.giveTables`.
    case tablesWanted([PGID])
    /// A block of the log was unreadable when a checkpoint took it to its slot; a replica has it (rule 5).
    case badBlock(PGID, ObjectID, block: Int)
    /// The use of the disk has ended (rule 4).
    case failed(StoreFailure)
}

/// Why a disk is not used (any more), in one sentence that says what and where.
public struct StoreFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    /// Nothing is wrong but that too much waits: it may be asked again.
    public let isOverload: Bool
    public init(_ description: String, isOverload: Bool = false) {
        self.description = description
        self.isOverload = isOverload
    }
}
