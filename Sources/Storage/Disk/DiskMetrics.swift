/// What one disk has done since its node started; counts and nanoseconds.
public struct DiskMetrics: Sendable, Hashable {
    public var logWrites: UInt64 = 0
    public var logBytes: UInt64 = 0
    public var logWriteNanoseconds: UInt64 = 0
    public var logSyncs: UInt64 = 0
    public var logSyncNanoseconds: UInt64 = 0
    public var dataSyncs: UInt64 = 0
    /// Bytes of large records written to fresh slots.
    public var slotBytes: UInt64 = 0
    /// Blocks that checkpoints wrote in place.
    public var copiedBlocks: UInt64 = 0
    public var rowWrites: UInt64 = 0
    public var readBytes: UInt64 = 0
    public var readsFromCache: UInt64 = 0
    public var readsFromDisk: UInt64 = 0
    /// Bytes written in all, for the amplification.
    public var bytesWritten: UInt64 { logBytes + slotBytes + copiedBlocks * 4096 }
    public init() {}
}
