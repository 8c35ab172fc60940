import ClusterModel
import Wire

/// The part of a fileset's replicated state that is no row: written with every batch, together with its rows.
public struct FilesetState: Hashable, Sendable {
    /// The meanings of operations that this code can give them; which one an entry has stands in it. 2: a cut is refused
    /// while one before it is unfinished.
    public static let semantics: ClosedRange<UInt32> = 1...ClusterMap.newestSemantics

    /// Whose state it is.
    public var fileset: FilesetID
    /// The last entry that is in the rows.
    public var applied = EntryName.zero
    /// The time of the last operation; the next one's is later.
    public var lastTime = Timestamp.zero
    /// The next inode number to give.
    public var nextInode = InodeNumber(InodeNumber.root.rawValue + 1)
    /// Numbers up to this one may be given.
    public var reserved = InodeNumber(InodeNumber.root.rawValue)
    public var usage = FilesetUsage(inodes: 0, bytes: 0)
    public var quota = FilesetQuota.unlimited
    /// Of new files.
    public var layout = Layout.standard

    public init(fileset: FilesetID) { self.fileset = fileset }

    /// Whether files may be given blocks, as of the usage that was recorded last.
    public var quotaStanding: QuotaStanding {
        if let most = quota.bytes, usage.bytes >= most { .exceeded } else { .within }
    }

    private static let format: UInt8 = 1

    /// The form of the record of state, and of the last piece of an export.
    public func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 128)
        w.u8(FilesetState.format)
        w.u32(fileset.rawValue)
        w.name(applied)
        w.i64(lastTime.nanoseconds)
        w.u64(nextInode.rawValue)
        w.u64(reserved.rawValue)
        w.u64(usage.inodes)
        w.u64(usage.bytes)
        w.optional(quota.bytes) { w, v in w.u64(v) }
        w.optional(quota.inodes) { w, v in w.u64(v) }
        w.layout(layout)
        return w.bytes
    }

    /// Throws `NamespaceFault.damagedRow` for anything that `encoded` does not give.
    public init(_ bytes: [UInt8]) throws {
        self = try decodeRow(bytes) { r throws(WireError) in try FilesetState(from: &r) }
    }

    private init(from r: inout WireReader) throws(WireError) {
        let format = try r.u8()
        guard format == FilesetState.format else { throw WireError("a fileset's state of format \(format)") }
        fileset = FilesetID(try r.u32())
        applied = try r.name()
        lastTime = Timestamp(nanoseconds: try r.i64())
        nextInode = InodeNumber(try r.u64())
        reserved = InodeNumber(try r.u64())
        usage = FilesetUsage(inodes: try r.u64(), bytes: try r.u64())
        quota = FilesetQuota(
            bytes: try r.optional { r throws(WireError) in try r.u64() },
            inodes: try r.optional { r throws(WireError) in try r.u64() })
        layout = try r.layout()
    }
}
