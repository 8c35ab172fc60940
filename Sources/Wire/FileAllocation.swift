import ClusterModel

/// When a measurement of what a file uses was begun, seen by the file's metadata group: the n of the last entry after which
/// earlier measurements may lack something (a registration as a writer, its end, a cut).
public struct UsageMark: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: UsageMark, b: UsageMark) -> Bool { a.rawValue < b.rawValue }
    public static let zero = UsageMark(0)
    public var description: String { "usage mark \(rawValue)" }
}

/// Whether a number of allocated bytes may change without a further write.
public enum AllocationStanding: UInt8, Hashable, Sendable {
    case settled = 0
    /// Entries are not applied yet, or a cut has not been carried through.
    case moving = 1
}

/// What a file has in one data group: bytes in blocks that hold data, one copy, holes not counted.
public struct FileAllocation: Hashable, Sendable {
    public var bytes: UInt64
    public var standing: AllocationStanding
    public init(bytes: UInt64, standing: AllocationStanding) {
        self.bytes = bytes
        self.standing = standing
    }
}

/// What all data groups of a file said, each after `mark` was known.
public struct MeasuredUsage: Hashable, Sendable {
    public var bytes: UInt64
    public var mark: UsageMark
    public var standing: AllocationStanding
    public init(bytes: UInt64, mark: UsageMark, standing: AllocationStanding) {
        self.bytes = bytes
        self.mark = mark
        self.standing = standing
    }
}

/// Whether a fileset may allocate, by its quota of bytes and the usage last recorded.
public enum QuotaStanding: UInt8, Hashable, Sendable {
    case within = 0
    case exceeded = 1
}

/// Which files a question for measurable ones means.
public enum MeasuringScope: UInt8, Hashable, Sendable {
    /// Those that may use something else than is recorded.
    case pending = 0
    /// All regular files.
    case all = 1
}

/// A file to be measured.
public struct MeasurableFile: Hashable, Sendable {
    public var inode: InodeNumber
    public var hint: FileHint
    /// As recorded, in bytes.
    public var used: UInt64
    /// Sessions registered as its writers.
    public var writers: UInt32
    /// `.pending` if it may use something else than is recorded.
    public var scope: MeasuringScope
    public var isPending: Bool { scope == .pending }
    public init(inode: InodeNumber, hint: FileHint, used: UInt64, writers: UInt32, scope: MeasuringScope) {
        self.inode = inode
        self.hint = hint
        self.used = used
        self.writers = writers
        self.scope = scope
    }
}

extension MeasuredUsage {
    func encode(into w: inout WireWriter) {
        w.u64(bytes)
        w.u64(mark.rawValue)
        w.u8(standing.rawValue)
    }
    init(from r: inout WireReader) throws(WireError) {
        self.init(
            bytes: try r.u64(), mark: UsageMark(try r.u64()),
            standing: try r.raw(AllocationStanding.self, "standing of an allocation"))
    }
}

extension FileAllocation {
    func encode(into w: inout WireWriter) {
        w.u64(bytes)
        w.u8(standing.rawValue)
    }
    init(from r: inout WireReader) throws(WireError) {
        self.init(bytes: try r.u64(), standing: try r.raw(AllocationStanding.self, "standing of an allocation"))
    }
}

extension MeasurableFile {
    func encode(into w: inout WireWriter) {
        w.u64(inode.rawValue)
        hint.encode(into: &w)
        w.u64(used)
        w.u32(writers)
        w.u8(scope.rawValue)
    }
    init(from r: inout WireReader) throws(WireError) {
        self.init(
            inode: try InodeNumber(from: &r), hint: try FileHint(from: &r), used: try r.u64(), writers: try r.u32(),
            scope: try r.raw(MeasuringScope.self, "scope of a measurement"))
    }
    static let leastEncodedBytes = 8 + 5 + 8 + 16 + 9 + 13
}

/// What the data groups use whose primary a node is, by fileset.
public struct GroupsUsage: Hashable, Sendable {
    /// Groups that are counted, ascending.
    public var groups: [PGID]
    /// Ascending by fileset; those with nothing are left out.
    public var filesets: [FilesetBytes]
    public init(groups: [PGID], filesets: [FilesetBytes]) {
        self.groups = groups
        self.filesets = filesets
    }
}

public struct FilesetBytes: Hashable, Sendable {
    public var fileset: FilesetID
    /// In blocks that hold data, one copy.
    public var bytes: UInt64
    public init(fileset: FilesetID, bytes: UInt64) {
        self.fileset = fileset
        self.bytes = bytes
    }
}

extension GroupsUsage {
    func encode(into w: inout WireWriter) {
        w.list(groups) { w, pg in w.pg(pg) }
        w.list(filesets) { w, used in
            w.u32(used.fileset.rawValue)
            w.u64(used.bytes)
        }
    }
    init(from r: inout WireReader) throws(WireError) {
        self.init(
            groups: try r.list(atMost: Limits.flushGroups, elementBytes: 4) { r throws(WireError) in try r.pg() },
            filesets: try r.list(atMost: Limits.filesets, elementBytes: 12) { r throws(WireError) in
                FilesetBytes(fileset: FilesetID(try r.u32()), bytes: try r.u64())
            })
    }
}
