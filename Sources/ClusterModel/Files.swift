/// A fileset: a part of the tree with its own metadata placement group, quota and layout. Never used again; 0 is none.
public struct FilesetID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    public static func < (a: FilesetID, b: FilesetID) -> Bool { a.rawValue < b.rawValue }
    /// The fileset whose root is the root of the whole tree.
    public static let root = FilesetID(1)
    public var description: String { "fs\(rawValue)" }
}

/// A file's number within its fileset, the fileid of NFS. Never used again; 0 is none.
public struct InodeNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: InodeNumber, b: InodeNumber) -> Bool { a.rawValue < b.rawValue }
    /// The root directory of every fileset.
    public static let root = InodeNumber(1)
    public var description: String { "i\(rawValue)" }
}

/// A file in the cluster: its fileset and its inode there.
public struct FileID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var fileset: FilesetID
    public var inode: InodeNumber
    public init(fileset: FilesetID, inode: InodeNumber) {
        self.fileset = fileset
        self.inode = inode
    }
    public static func < (a: FileID, b: FileID) -> Bool {
        a.fileset != b.fileset ? a.fileset < b.fileset : a.inode < b.inode
    }
    public var description: String { "\(fileset)/\(inode)" }
}

/// An export's number. Never used again, so that an old handle cannot name another export.
public struct ExportID: Hashable, Comparable, Sendable {
    public let rawValue: UInt32
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    public static func < (a: ExportID, b: ExportID) -> Bool { a.rawValue < b.rawValue }
}

/// Counts the truncations of a file that cut something off (namespace.md, Size, limit, truncation).
public struct TruncationNumber: Hashable, Comparable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: TruncationNumber, b: TruncationNumber) -> Bool { a.rawValue < b.rawValue }
    public static let zero = TruncationNumber(0)
    public var next: TruncationNumber { TruncationNumber(rawValue + 1) }
}

/// The last truncation that a request knows of. An object that has content from before truncation `number` is first
/// cut to file size `size`; a request with an older number than the placement group knows is turned back.
public struct TruncationMark: Hashable, Sendable {
    public var number: TruncationNumber
    /// The file size, in bytes, that truncation `number` cut to.
    public var size: UInt64
    public init(number: TruncationNumber, size: UInt64) {
        self.number = number
        self.size = size
    }
    public static let none = TruncationMark(number: .zero, size: 0)
}

/// One object: at most 4 MiB of a file.
public struct ObjectID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var file: FileID
    /// Which object of the file, from 0 (see `Layout`).
    public var index: UInt64
    public init(file: FileID, index: UInt64) {
        self.file = file
        self.index = index
    }
    public static func < (a: ObjectID, b: ObjectID) -> Bool {
        a.file != b.file ? a.file < b.file : a.index < b.index
    }
    public var description: String { "\(file)/\(index)" }
}

/// The sizes that the disk and wire formats are made of.
public enum Geometry {
    /// A block is the unit of checksums, of merging and of holes.
    public static let blockSize = 4096
    /// A slot is the unit of allocation in a disk's data file.
    public static let slotSize = 65536
    public static let blocksPerSlot = slotSize / blockSize
    /// An index row covers this much of an object.
    public static let rowSize = 1 << 20
    public static let blocksPerRow = rowSize / blockSize
    public static let slotsPerRow = rowSize / slotSize
    public static let objectSize = 4 << 20
    public static let blocksPerObject = objectSize / blockSize
    public static let rowsPerObject = objectSize / rowSize
    /// A file's greatest size: 8 EiB - 1.
    public static let maximumFileSize = UInt64(Int64.max)
    /// No single read or write is greater than this.
    public static let maximumTransfer = 1 << 20
}

/// A run of whole blocks within one object. 0 ≤ first, first + count ≤ 1,024.
public struct BlockRange: Hashable, Sendable {
    public var first: Int
    public var count: Int
    public init(first: Int, count: Int) {
        self.first = first
        self.count = count
    }
    public var end: Int { first + count }
    public var byteCount: Int { count * Geometry.blockSize }
    /// The blocks that bytes offset ..< offset + length of an object touch.
    public init(coveringOffset offset: Int, length: Int) {
        let lower = offset / Geometry.blockSize
        let upper = (offset + length + Geometry.blockSize - 1) / Geometry.blockSize
        self.init(first: lower, count: length == 0 ? 0 : upper - lower)
    }
    public func overlaps(_ other: BlockRange) -> Bool { first < other.end && other.first < end }
}

/// How a file's bytes are dealt to objects, in the manner of RAID 0 over sets of `stripeCount` objects: stripe unit k
/// lies in object (k mod count) of set k / (count × units per object).
public struct Layout: Hashable, Sendable {
    /// Bytes, a power of two, 64 KiB … 4 MiB.
    public let stripeUnit: Int
    /// Objects that neighbouring stripe units go to, 1 … 64.
    public let stripeCount: Int

    public static let standard = Layout(uncheckedUnit: 1 << 20, count: 4)

    private init(uncheckedUnit: Int, count: Int) {
        stripeUnit = uncheckedUnit
        stripeCount = count
    }

    /// Nil when a value is outside its range.
    public init?(stripeUnit: Int, stripeCount: Int) {
        guard stripeUnit >= Geometry.slotSize, stripeUnit <= Geometry.objectSize,
            stripeUnit & (stripeUnit - 1) == 0, (1...64).contains(stripeCount)
        else { return nil }
        self.init(uncheckedUnit: stripeUnit, count: stripeCount)
    }

    private var unitsPerObject: UInt64 { UInt64(Geometry.objectSize / stripeUnit) }

    /// Where byte `offset` of the file lies: the object's index and the byte within it.
    public func locate(_ offset: UInt64) -> (index: UInt64, offset: Int) {
        let unit = offset / UInt64(stripeUnit)
        let count = UInt64(stripeCount)
        let set = unit / (count * unitsPerObject)
        let withinSet = unit % (count * unitsPerObject)
        let index = set * count + withinSet % count
        let objectOffset = (withinSet / count) * UInt64(stripeUnit) + offset % UInt64(stripeUnit)
        return (index, Int(objectOffset))
    }

    /// The file offset of byte `offset` (0 ..< 4 MiB) of object `index`: the inverse of `locate`. The greatest number there
    /// is for an object that no file can have, which a peer may name all the same.
    public func fileOffset(index: UInt64, offset: Int) -> UInt64 {
        let count = UInt64(stripeCount)
        let set = index / count
        if set > Geometry.maximumFileSize / (count * UInt64(Geometry.objectSize)) { return .max }
        let column = index % count
        let row = UInt64(offset / stripeUnit)
        let unit = set * count * unitsPerObject + row * count + column
        return unit * UInt64(stripeUnit) + UInt64(offset % stripeUnit)
    }

    /// How many bytes object `index` has of a file of `size` bytes without holes (0 … 4 MiB): where a truncation cuts it.
    public func objectLength(index: UInt64, fileSize size: UInt64) -> Int {
        let setBytes = UInt64(stripeCount) * UInt64(Geometry.objectSize)
        let set = index / UInt64(stripeCount)
        let (setStart, overflow) = set.multipliedReportingOverflow(by: setBytes)
        if overflow || setStart >= size { return 0 }
        let within = size - setStart
        if within >= setBytes { return Geometry.objectSize }
        let column = index % UInt64(stripeCount)
        let rowBytes = UInt64(stripeUnit) * UInt64(stripeCount)
        let fullRows = within / rowBytes
        let rest = within % rowBytes
        let columnStart = column * UInt64(stripeUnit)
        let partial = rest <= columnStart ? 0 : min(rest - columnStart, UInt64(stripeUnit))
        return Int(fullRows * UInt64(stripeUnit) + partial)
    }

    /// One more than the greatest object index that a file of `size` bytes can have.
    public func objectCount(fileSize size: UInt64) -> UInt64 {
        if size == 0 { return 0 }
        let setBytes = UInt64(stripeCount) * UInt64(Geometry.objectSize)
        let fullSets = size / setBytes
        let rest = size % setBytes
        if rest == 0 { return fullSets * UInt64(stripeCount) }
        let units = (rest + UInt64(stripeUnit) - 1) / UInt64(stripeUnit)
        return fullSets * UInt64(stripeCount) + min(units, UInt64(stripeCount))
    }

    /// Calls `body` for each piece of file range offset ..< offset + length that lies in one object, in file order.
    public func forEachPart(
        offset: UInt64, length: Int,
        _ body: (_ index: UInt64, _ objectOffset: Int, _ fileDelta: Int, _ length: Int) -> Void
    ) {
        var done = 0
        while done < length {
            let position = offset + UInt64(done)
            let (index, objectOffset) = locate(position)
            let toUnitEnd = stripeUnit - objectOffset % stripeUnit
            let take = min(length - done, toUnitEnd)
            body(index, objectOffset, done, take)
            done += take
        }
    }
}
