/// The bounds of this target. Each names what happens when it is reached.
public enum DiskLimits {
    /// Jobs that wait or run on one `DiskThread`; beyond it `submit` answers `.full` and the caller keeps its request.
    public static let threadQueue = 4096
    /// Sync requests that wait on one `SyncThread`, of all files; beyond it `request` answers `.full`.
    public static let syncRequests = 65536
    /// A finished job's completion is held back at most this long for others to share its hop.
    public static let handOverDelay: Int64 = 200_000  // ns
    /// Parts of one vectored call (IOV_MAX of Linux); longer lists are written in several calls.
    public static let vectorParts = 1024
    /// Names that `DiskFolder.names` reads; a folder with more is refused: none of ours has a thousand.
    public static let folderEntries = 100_000
    /// Bytes that are kept of why a disk failed; the rest is cut off.
    public static let failureReason = 512
    /// Bytes of a file that is replaced whole; more is refused.
    public static let smallFile = 1 << 20
    /// Row changes in one index transaction; more is refused. Checkpoints make some 1,000 at a time; their last one has a
    /// row and the tables of each group (65,536 of them at most) besides.
    public static let batchChanges = 1 << 20
    /// Bytes of one row. A row of one MiB of an object takes about 1.2 KiB; that of a group 20 bytes for each of up to 16,384
    /// filesets, that of a file 16 for each cut that is not carried to all rows.
    public static let rowBytes = 1 << 20
    /// Rows that one range query gives; the rest follows with its continuation.
    public static let queryRows = 4096
    /// The watchdog's own ticks that a call may last before its disk fails: 5 s of 500 ms.
    public static let stuckTicks = 10
    /// ms between two ticks of the watchdog.
    public static let watchdogTick: Int64 = 500
    /// ms without a tick after which an event loop counts as stalled (architecture.md, Leases).
    public static let loopStall: UInt64 = 1000
    /// Event loops and others that one `ProgressMarks` holds.
    public static let progressMarks = 256
    /// Bytes of one region of a `BufferPool`: the greatest single read.
    public static let regionBytes = 1 << 20
    /// Regions of a node's pool: 64 MiB (architecture.md, Concurrency).
    public static let poolRegions = 64
    /// Bytes of a log segment (store.md, Parts).
    public static let logSegmentBytes: Int64 = 64 << 20
    /// Segments that a folder may hold; more is refused as not ours. A log that a group's tail holds up has far fewer
    /// (`StoreLimits.heldUpGrowth`), but each start begins one, and a process that dies in each start trims none.
    public static let logSegments = 16_384
}
