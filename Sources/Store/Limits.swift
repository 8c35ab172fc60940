import ClusterModel

/// Every bound of a store in one place, with what happens at it.
public enum StoreLimits {
    /// Bytes of a record's payload; a longer one is refused as the caller's defect.
    public static let payload = 4 << 20
    /// Bytes of a placement group's opaque state; a longer one is refused as the caller's defect.
    public static let groupState = 40 << 10
    /// Bytes of one log batch beyond which the next record begins another one.
    public static let batchBytes = 2 << 20
    /// Bytes that recovery reads of the log at a time; more than any batch (batchBytes + payload + metadata).
    public static let scanBytes = 8 << 20
    /// Void records kept per group until they are settled; with more the group counts as corrupt and learns anew.
    public static let voidRecords = 128
    /// Files of a group whose cut is not purged from all rows; further cuts wait with their application.
    public static let unpurgedCuts = 512
    /// Earlier cuts that a file keeps until they are carried to all rows; further cuts of it wait with their application.
    public static let earlierCuts = 64
    /// Earlier cuts that a file's row has room for (`DiskLimits.rowBytes`); older ones are dropped.
    static let earlierCutsKept = 60_000
    /// Files whose cut is carried to all rows between two checkpoints; a replay, which carries them all again, names as many in
    /// the group's row, and those of a checkpoint that was cut short. Beyond it cuts wait for the next one.
    static let cutsPerCheckpoint = 16_384
    /// Lost pieces that one record names; more take several.
    static let lostPieces = 4_096
    /// How many times its bound a log grows to while one group's tail holds it up: recovery keeps a record of each of its entries
    /// in memory, some hundred bytes. Then everything on the disk waits by name.
    public static let heldUpGrowth = 8
    /// Slots of one row of the allocation map.
    public static let slotsPerMapPiece = 32_768
    /// Rows of the allocation map: slots have numbers of 32 bits.
    static let mapPieces = 1 << 32 / slotsPerMapPiece
    /// Rows asked for at a time during recovery.
    public static let rowsPerLoad = 256
    /// Blocks checked at a time during recovery.
    public static let blocksPerCheck = 4_096
    /// Objects asked for at a time when a cut is purged.
    public static let objectsPerPurge = 64
    /// Changes in one page for a learner.
    public static let changesPerPage = 512
    /// Rows read for callers that stay in memory until as many others were.
    static let keptForCallers = 64
    /// Bytes that a row counts for in memory, without its overlay.
    static let rowBytes = 1_700
    /// Bytes that a block of the overlay counts for.
    static let overlayBlockBytes = 32
    /// Share and least of the reserve for sequenced entries, deletes and recovery (replication.md, Bounds).
    static let reserveDivisor: UInt64 = 50
    static let reserveLeast: UInt64 = 1 << 30
    static let reserveSmallDivisor: UInt64 = 10
}
