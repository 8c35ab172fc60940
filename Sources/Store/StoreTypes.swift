import ClusterModel
import Wire

/// A byte of a disk's log: segment number × segment size + offset. Only rises; never used again on a disk.
public struct LogPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: LogPosition, b: LogPosition) -> Bool { a.rawValue < b.rawValue }
    public static func + (a: LogPosition, bytes: Int) -> LogPosition { LogPosition(a.rawValue + UInt64(bytes)) }
    public static let zero = LogPosition(0)
    public var description: String { "log byte \(rawValue)" }
}

/// The number of a log segment: higher is later; never used again on a disk. 0 is none.
public struct SegmentNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: SegmentNumber, b: SegmentNumber) -> Bool { a.rawValue < b.rawValue }
    public var next: SegmentNumber { SegmentNumber(rawValue + 1) }
    public var description: String { "log segment \(rawValue)" }
}

/// A slot of 64 KiB in the data file, counted from 1; slot s lies at byte (s - 1) × 64 KiB. 0 is none.
public struct SlotNumber: Hashable, Comparable, Sendable {
    public let rawValue: UInt32
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    public static func < (a: SlotNumber, b: SlotNumber) -> Bool { a.rawValue < b.rawValue }
    public static let none = SlotNumber(0)
    /// Where the slot begins in the data file, in bytes.
    public var offset: UInt64 { (UInt64(rawValue) - 1) * UInt64(Geometry.slotSize) }
}

/// Names an effect until its completion is reported; unique within one `Store`.
public struct EffectID: Hashable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Chosen by the caller of the store, to recognise the notice that answers a call.
public struct StoreToken: Hashable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Names a read under way, so that slots it has resolved are not given to others (store.md, Freed slots).
public struct ReadTicket: Hashable, Comparable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: ReadTicket, b: ReadTicket) -> Bool { a.rawValue < b.rawValue }
}

/// Whether a change raises its object's version: at a learner an object that lacks pieces keeps the version it has until
/// its last piece (replication.md, 12).
public enum VersionRule: UInt8, Hashable, Sendable {
    case raises = 0
    case withheld = 1
}

/// What a block of an object is. Absent ones were never written (a clone reads them from its parent), zero ones were
/// written as zeros or cut; neither costs disk.
public enum BlockState: UInt8, Hashable, Sendable {
    case absent = 0
    case zero = 1
    case present = 2
}

/// The sizes a store is made with; the first two are fixed when the disk is formatted.
public struct StoreConfiguration: Hashable, Sendable {
    /// Bytes, a multiple of 4,096.
    public var segmentSize: Int
    /// The log's bound in segments, at least 3.
    public var maximumSegments: Int
    /// A checkpoint begins when the log since the last one has this many bytes.
    public var checkpointLogBytes: Int
    /// … when this many bytes of rows are dirty (about 1.5 KiB each).
    public var dirtyRowBytes: Int
    /// Bytes of index rows kept in memory, dirty ones included.
    public var rowCacheBytes: Int
    /// Bytes of the overlay (block → log position) that start a checkpoint.
    public var overlayBytes: Int
    /// Slots that wait for a checkpoint to become free, that start one.
    public var pendingSlots: Int
    /// How many slots the data file grows by.
    public var growthSlots: Int
    /// Bytes of one checkpoint step of writing in place.
    public var copyBatchBytes: Int
    /// Rows of one index transaction.
    public var rowsPerTransaction: Int
    /// Unsynced log bytes that start a sync nobody asked for.
    public var backgroundSyncBytes: Int
    /// … or this long after the first of them.
    public var backgroundSyncDelay: TimeSpan
    /// A checkpoint begins after this long without an append, if there is something to do.
    public var idleCheckpointDelay: TimeSpan
    /// … and at the latest this long after the last one.
    public var checkpointInterval: TimeSpan

    /// The values of store.md, but for `pendingSlots`: 256 MiB instead of 2 GiB, so that an image that is overwritten goes
    /// round in slots whose pages are in the page cache (docs/performance.md).
    public static let standard = StoreConfiguration(
        segmentSize: 64 << 20, maximumSegments: 16, checkpointLogBytes: 256 << 20, dirtyRowBytes: 24 << 20,
        rowCacheBytes: 56 << 20, overlayBytes: 12 << 20, pendingSlots: (256 << 20) / Geometry.slotSize,
        growthSlots: (256 << 20) / Geometry.slotSize, copyBatchBytes: 4 << 20, rowsPerTransaction: 1_000,
        backgroundSyncBytes: 16 << 20, backgroundSyncDelay: .milliseconds(100), idleCheckpointDelay: .seconds(1),
        checkpointInterval: .seconds(60))

    public init(
        segmentSize: Int, maximumSegments: Int, checkpointLogBytes: Int, dirtyRowBytes: Int, rowCacheBytes: Int,
        overlayBytes: Int, pendingSlots: Int, growthSlots: Int, copyBatchBytes: Int, rowsPerTransaction: Int,
        backgroundSyncBytes: Int, backgroundSyncDelay: TimeSpan, idleCheckpointDelay: TimeSpan,
        checkpointInterval: TimeSpan
    ) {
        precondition(segmentSize % Geometry.blockSize == 0 && maximumSegments >= 3, "see the fields' ranges")
        self.segmentSize = segmentSize
        self.maximumSegments = maximumSegments
        self.checkpointLogBytes = checkpointLogBytes
        self.dirtyRowBytes = dirtyRowBytes
        self.rowCacheBytes = rowCacheBytes
        self.overlayBytes = overlayBytes
        self.pendingSlots = pendingSlots
        self.growthSlots = growthSlots
        self.copyBatchBytes = copyBatchBytes
        self.rowsPerTransaction = rowsPerTransaction
        self.backgroundSyncBytes = backgroundSyncBytes
        self.backgroundSyncDelay = backgroundSyncDelay
        self.idleCheckpointDelay = idleCheckpointDelay
        self.checkpointInterval = checkpointInterval
    }
}

/// What the shell knows of a disk when it opens it, after the superblock was read and the folder locked.
public struct DiskFacts: Hashable, Sendable {
    public var disk: DiskID
    /// This boot of the machine.
    public var boot: BootID
    /// The segments that exist, ascending.
    public var segments: [SegmentNumber]
    /// Whole slots in the data file as it is allocated now.
    public var dataSlots: Int
    /// Bytes that the file system has free.
    public var freeBytes: UInt64
    /// Bytes that the file system has in all.
    public var totalBytes: UInt64
    /// Whether what was written earlier can be relied on.
    public var content: Content

    public enum Content: UInt8, Hashable, Sendable {
        case kept = 0
        /// A write or sync failed earlier: what the page cache shows may be nowhere else. Every group learns anew (rule 3).
        case doubtful = 1
    }

    public init(
        disk: DiskID, boot: BootID, segments: [SegmentNumber], dataSlots: Int, freeBytes: UInt64, totalBytes: UInt64,
        content: Content = .kept
    ) {
        self.disk = disk
        self.boot = boot
        self.segments = segments
        self.dataSlots = dataSlots
        self.freeBytes = freeBytes
        self.totalBytes = totalBytes
        self.content = content
    }
}
