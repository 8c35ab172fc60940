import ClusterModel

/// Which MiB of which object an index row covers. Ordered as stored: by object, then MiB.
public struct RowKey: Hashable, Comparable, Sendable {
    public var object: ObjectID
    /// 0 … 3.
    public var mebibyte: Int
    public init(object: ObjectID, mebibyte: Int) {
        precondition((0..<Geometry.rowsPerObject).contains(mebibyte), "an object has \(Geometry.rowsPerObject) rows")
        self.object = object
        self.mebibyte = mebibyte
    }
    public static func < (a: RowKey, b: RowKey) -> Bool {
        a.object != b.object ? a.object < b.object : a.mebibyte < b.mebibyte
    }
}

/// The row beside an object's rows.
public struct ObjectRow: Hashable, Sendable {
    public var object: ObjectID
    public var group: PGID
    /// The entry that changed the object last.
    public var version: EntryName
    /// The last truncation that was applied to it.
    public var truncation: TruncationNumber
    /// What else the store keeps of it, in the store's own coding.
    public var value: [UInt8]

    public init(object: ObjectID, group: PGID, version: EntryName, truncation: TruncationNumber, value: [UInt8] = []) {
        self.object = object
        self.group = group
        self.version = version
        self.truncation = truncation
        self.value = value
    }
}

/// Numbered blobs of a disk beside its objects.
public enum ChunkKind: Int64, Hashable, Sendable, CaseIterable {
    /// A part of the allocation map.
    case allocation = 0
    /// Reference counts of a run of slots, for snapshots.
    case slotReferences = 1
    /// Pieces of the tables that the replication protocol keeps of a group.
    case groupTables = 2
}

/// Single values of a disk. The index's own format stands apart (`IndexSchema.Format`).
public enum MetaKey: Int64, Hashable, Sendable, CaseIterable {
    /// Position P of the last checkpoint: all changes before it are in the index.
    case appliedPosition = 1
    /// The mark of a clean stop.
    case cleanMark = 2
    /// What else the store keeps about itself.
    case storeState = 3
}

/// One change of the index. Changes of a batch are made in their order.
public enum IndexChange: Hashable, Sendable {
    case putRow(RowKey, [UInt8])
    case deleteRow(RowKey)
    case putObject(ObjectRow)
    /// The object's row alone; its MiB rows are deleted by `deleteRow`.
    case deleteObject(ObjectID)
    case putGroup(PGID, [UInt8])
    case deleteGroup(PGID)
    case putChunk(ChunkKind, number: UInt64, [UInt8])
    case deleteChunk(ChunkKind, number: UInt64)
    case deleteChunks(ChunkKind, numbers: ClosedRange<UInt64>)
    case putMeta(MetaKey, [UInt8])
    case deleteMeta(MetaKey)
}

/// Where a bounded query ended, to be given to the next one; nil: all was given.
public struct Page<Row: Sendable, Position: Sendable>: Sendable {
    public var rows: [Row]
    public var next: Position?
}
