import ClusterModel
import Wire

/// Where the blocks of a read lie. The shell reads and verifies them, then calls `Store.readFinished` (also when it did not
/// read); on a mismatch it asks `Store.verdict` before it believes in a bad block (store.md, rule 5).
public struct ReadPlan: Sendable {
    public var ticket: ReadTicket
    public var pg: PGID
    public var object: ObjectID
    public var blocks: BlockRange
    /// In order, without gaps.
    public var pieces: [ReadPiece]
    /// Whether some block is absent.
    public var presence: Presence
}

public struct ReadPiece: Hashable, Sendable {
    /// Of the object.
    public var blocks: BlockRange
    public var source: ReadSource
    /// `CRC32C.block` of each block; empty for zero and absent ones.
    public var checksums: [UInt32]
    public init(blocks: BlockRange, source: ReadSource, checksums: [UInt32]) {
        self.blocks = blocks
        self.source = source
        self.checksums = checksums
    }
}

public enum ReadSource: Hashable, Sendable {
    case log(SegmentNumber, offset: Int)
    /// Byte offset in the data file.
    case data(UInt64)
    /// Bytes that the shell still holds for the store (only in reads of sequenced content).
    case payload(PayloadHandle, offset: Int)
    case zero
    case absent

    /// The source of a later block of the same run.
    public func moved(byBlocks count: Int) -> ReadSource {
        let bytes = count * Geometry.blockSize
        return switch self {
        case .log(let segment, let offset): .log(segment, offset: offset + bytes)
        case .data(let offset): .data(offset + UInt64(bytes))
        case .payload(let handle, let offset): .payload(handle, offset: offset + bytes)
        case .zero: .zero
        case .absent: .absent
        }
    }
}

public enum BlockVerdict: UInt8, Hashable, Sendable {
    /// The index entry is what it was: the block is bad. Take it from a replica that holds version and checksum.
    case bad = 0
    /// The block has moved or was being written: ask for a new plan.
    case readAgain = 1
}

/// Where an entry's payload lies: in the log, in slots, or still in memory. Concatenated the pieces are the payload.
public struct EntryLocation: Sendable {
    public var entry: Entry
    public var ticket: ReadTicket
    public var pieces: [EntryPiece]
}

public struct EntryPiece: Hashable, Sendable {
    public var source: ReadSource
    public var length: Int
    /// One per block, for entries of blocks; one of `CRC32C.checksum` over all bytes for opaque payloads.
    public var checksums: [UInt32]
}

/// An object's change or a file's cut, for a learner's missing list.
public enum ObjectChange: Hashable, Sendable {
    case object(ObjectID, version: EntryName, truncation: TruncationNumber)
    case cut(FileCut)
}

/// The last cut of a file that a group knows: the tombstone that catching up needs, and what late writes are clipped by.
public struct FileCut: Hashable, Sendable {
    public var file: FileID
    public var truncation: TruncationMark
    public var layout: Layout
    public var kind: RangeDeletion.Kind
    /// The entry that cut.
    public var version: EntryName
    /// Earlier truncations to smaller sizes that have not been carried to all rows yet, ascending.
    public var earlier: [TruncationMark]
    public init(
        file: FileID, truncation: TruncationMark, layout: Layout, kind: RangeDeletion.Kind, version: EntryName,
        earlier: [TruncationMark] = []
    ) {
        self.earlier = earlier
        self.file = file
        self.truncation = truncation
        self.layout = layout
        self.kind = kind
        self.version = version
    }
    /// Blocks of object `index` from this one on are cut off where the content is from before truncation `number` or of it.
    public func firstCutBlock(index: UInt64, after number: TruncationNumber = .zero) -> Int {
        switch kind {
        case .removal: return 0
        case .truncation:
            var size = truncation.size
            for mark in earlier where mark.number > number { size = min(size, mark.size) }
            return (layout.objectLength(index: index, fileSize: size) + Geometry.blockSize - 1) / Geometry.blockSize
        }
    }
}

/// Where a list of changes goes on.
public struct ChangeCursor: Hashable, Sendable {
    public var version: EntryName
    public var object: ObjectID
    /// Versions through this one are passed over, but for zero.
    let passed: EntryName
    /// From after `version` on.
    public init(after version: EntryName) {
        self.version = version
        object = ChangeCursor.last
        passed = .zero
    }
    /// What has no version first (a catching up that was interrupted has copied it in part), then from after `version` on.
    public init(incompleteAndAfter version: EntryName) {
        self.version = .zero
        object = ObjectID(file: FileID(fileset: FilesetID(0), inode: InodeNumber(0)), index: 0)
        passed = version
    }
    public init(version: EntryName, object: ObjectID) { self.init(version: version, object: object, passed: .zero) }

    private init(version: EntryName, object: ObjectID, passed: EntryName) {
        self.version = version
        self.object = object
        self.passed = passed
    }

    /// Whether the list leaves that version out.
    func passesOver(_ version: EntryName) -> Bool { version > .zero && version <= passed }

    /// Behind what a page ended with.
    func behind(_ version: EntryName, _ object: ObjectID) -> ChangeCursor {
        passesOver(version)
            ? ChangeCursor(version: passed, object: ChangeCursor.last, passed: passed)
            : ChangeCursor(version: version, object: object, passed: passed)
    }

    /// Beyond every object of a version.
    private static let last = ObjectID(
        file: FileID(fileset: FilesetID(UInt32.max), inode: InodeNumber(UInt64(Int64.max))), index: UInt64(Int64.max))
}

public struct ChangePage: Sendable {
    public var changes: [ObjectChange]
    /// Nil when all was given.
    public var next: ChangeCursor?
    /// Tombstones at or before this name are forgotten: a learner whose fork point is older compares ranges instead.
    public var tombstoneFloor: EntryName
}

/// At most 64 whole blocks (256 KiB) of an object as of an entry, for a learner (replication.md, 12).
public struct ObjectPiece: Hashable, Sendable {
    public var object: ObjectID
    public var blocks: BlockRange
    /// One per block.
    public var states: [BlockState]
    /// One per *present* block; the payload holds exactly these blocks, in order.
    public var checksums: [UInt32]
    /// The last truncation that the content knows of.
    public var truncation: TruncationNumber
    /// The entry as of which it was read, decided.
    public var asOf: EntryName
    /// Present blocks that the sender does not hold: bit i, and the checksum of each. Their states are `absent` here; whoever
    /// has such a block under its checksum keeps it, and anyone else has a bad block.
    public var lost: UInt64 = 0
    public var lostChecksums: [UInt32] = []
    /// With the object's last piece: the version that it came with; blocks behind it become absent.
    public var completes: EntryName?
    public init(
        object: ObjectID, blocks: BlockRange, states: [BlockState], checksums: [UInt32], truncation: TruncationNumber,
        asOf: EntryName, completes: EntryName?
    ) {
        self.object = object
        self.blocks = blocks
        self.states = states
        self.checksums = checksums
        self.truncation = truncation
        self.asOf = asOf
        self.completes = completes
    }

    /// As a primary sent it.
    public init(_ piece: Piece) {
        let states = (0..<piece.blocks.count).map { i -> BlockState in
            let bit = UInt64(1) << UInt64(i)
            if piece.content & ~piece.lost & bit != 0 { return .present }
            return piece.zero & bit != 0 ? .zero : .absent
        }
        let numbers = (0..<piece.blocks.count).filter { piece.content >> UInt64($0) & 1 == 1 }
        let sums = zip(numbers, piece.checksums)
        self.init(
            object: piece.object, blocks: piece.blocks, states: states,
            checksums: piece.lost == 0
                ? piece.checksums : sums.filter { piece.lost >> UInt64($0.0) & 1 == 0 }.map(\.1),
            truncation: piece.truncation.number, asOf: piece.asOf,
            completes: piece.position == .last ? piece.version : nil)
        lost = piece.lost
        if lost != 0 { lostChecksums = sums.filter { piece.lost >> UInt64($0.0) & 1 == 1 }.map(\.1) }
    }
}
