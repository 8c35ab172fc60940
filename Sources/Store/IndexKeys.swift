import ClusterModel
import Wire

/// The row of one MiB of an object. An object belongs to one placement group, so rows are keyed by object alone.
public struct ContentKey: Hashable, Comparable, Sendable {
    public var object: ObjectID
    /// 0 … 3.
    public var mebibyte: Int
    public init(object: ObjectID, mebibyte: Int) {
        self.object = object
        self.mebibyte = mebibyte
    }
    public static func < (a: ContentKey, b: ContentKey) -> Bool {
        a.object != b.object ? a.object < b.object : a.mebibyte < b.mebibyte
    }
}

/// A row to read.
public enum IndexKey: Hashable, Sendable {
    case content(ContentKey)
    /// The object's own row; also a file's row in a group: its blocks and its last cut (`IndexKey.fileObject`).
    case object(ObjectID)

    /// The object id under which a group keeps a file's row: beyond every index that a file can have (2^41), and
    /// found among the objects by version, as tombstones must be.
    public static func fileObject(_ file: FileID, in pg: PGID) -> ObjectID {
        ObjectID(file: file, index: UInt64(Int64.max) - UInt64(pg.rawValue))
    }
    /// Whether an object row is a file's row.
    public static func isFileObject(_ object: ObjectID) -> Bool {
        object.index >= UInt64(Int64.max) - UInt64(UInt32.max)
    }
}

/// An object's row. A content row has a value only.
public struct IndexRecord: Hashable, Sendable {
    public var group: PGID
    public var version: EntryName
    public var truncation: TruncationNumber
    public var value: [UInt8]
    public init(
        group: PGID = PGID(rawValue: 0), version: EntryName = .zero, truncation: TruncationNumber = .zero,
        value: [UInt8]
    ) {
        self.group = group
        self.version = version
        self.truncation = truncation
        self.value = value
    }
}

/// One change of the index. Values have at most 64 KiB.
public enum IndexWrite: Hashable, Sendable {
    case putContent(ContentKey, [UInt8])
    case deleteContent(ContentKey)
    case putObject(ObjectID, IndexRecord)
    case deleteObject(ObjectID)
    case putGroup(PGID, [UInt8])
    case deleteGroup(PGID)
    /// The protocol's tables of a group. The one value that may be longer than 64 KiB.
    case putTables(PGID, [UInt8])
    /// A piece of the allocation map: bits of `StoreLimits.slotsPerMapPiece` slots.
    case putMap(piece: Int, [UInt8])
    /// The store's own single row.
    case putMeta([UInt8])
}

/// A list of rows, answered in order by `rowsScanned`.
public enum IndexScan: Hashable, Sendable {
    /// The meta row, the allocation map and all groups: all that is read when a disk is opened.
    case opening
    /// Object rows of a file with index ≥ `from`, ascending, at most `limit`.
    case objects(FileID, from: UInt64, limit: Int)
    /// Object rows from this one on to the end of its fileset, ascending, at most `limit`.
    case fileset(from: ObjectID, limit: Int)
    /// The filesets that have object rows, ascending.
    case filesets
    /// Object rows of a group after (version, object), ascending by that pair, at most `limit`.
    case changed(PGID, after: EntryName, object: ObjectID, limit: Int)
}

public enum IndexScanResult: Sendable {
    case opening(
        meta: [UInt8]?, map: [(piece: Int, value: [UInt8])], groups: [(PGID, [UInt8])], tables: [(PGID, [UInt8])])
    /// Fewer than asked for means that there are no more.
    case objects([(ObjectID, IndexRecord)])
    case filesets([FilesetID])
}
