import CSupport
import ClusterModel
import Glibc

/// What makes a folder a disk: written once, by cluster creation or `disk add`, never implicitly (traps.md, 20).
///
/// The file `superblock`, 4,096 bytes, numbers little-endian: magic (8), format (4), zero (4), cluster (16), disk (16),
/// node (2), zero (6), created (8), zeros, CRC32C of all before it (4). Ids are stored with their highest byte first.
public struct Superblock: Hashable, Sendable {
    /// The formats of a disk; each case says what it changed.
    public enum Format: UInt32, Sendable, CaseIterable {
        /// Log segments of 64 MiB, slots of 64 KiB, index rows of 1 MiB.
        case first = 1
    }

    public static let fileName = "superblock"
    private static let size = 4096
    private static let magic: [UInt8] = Array("STAVEDSK".utf8)

    public var format: Format
    public var cluster: ClusterID
    public var node: NodeID
    public var disk: DiskID
    /// When the disk was made, wall-clock time, for people.
    public var created: Timestamp

    public init(format: Format = .first, cluster: ClusterID, node: NodeID, disk: DiskID, created: Timestamp) {
        self.format = format
        self.cluster = cluster
        self.node = node
        self.disk = disk
        self.created = created
    }

    /// Makes `folder` a disk. One that has a superblock already is refused (`isPresent`).
    public func write(to folder: DiskFolder) throws(DiskError) {
        guard try !folder.names().contains(Superblock.fileName) else {
            throw DiskError(.open, path: folder.path + "/" + Superblock.fileName, .system(EEXIST))
        }
        try folder.replaceFile(Superblock.fileName, with: encoded())
    }

    /// Reads the folder's superblock. `isMissing`: it is not a disk. Another size, magic, checksum or format is refused.
    public static func read(from folder: DiskFolder) throws(DiskError) -> Superblock {
        try decode(try folder.readFile(fileName), path: folder.path + "/" + fileName)
    }

    func encoded() -> [UInt8] {
        var bytes = Superblock.magic
        bytes.append(littleEndian: format.rawValue)
        bytes.append(littleEndian: UInt32(0))
        bytes.append(bigEndian: cluster.rawValue)
        bytes.append(bigEndian: disk.rawValue)
        bytes.append(littleEndian: node.rawValue)
        bytes += [UInt8](repeating: 0, count: 6)
        bytes.append(littleEndian: created.nanoseconds)
        bytes += [UInt8](repeating: 0, count: Superblock.size - 4 - bytes.count)
        bytes.append(littleEndian: cs_crc32c(0, bytes, bytes.count))
        return bytes
    }

    static func decode(_ bytes: [UInt8], path: String) throws(DiskError) -> Superblock {
        func refused(_ why: String) -> DiskError { DiskError(.read, path: path, .malformed(why)) }
        guard bytes.count == size else {
            throw refused("not a superblock: \(bytes.count) bytes instead of \(size)")
        }
        guard Array(bytes[0..<8]) == magic else { throw refused("not a superblock: it does not begin with STAVEDSK") }
        let checksum: UInt32 = bytes.littleEndian(at: size - 4)
        guard checksum == cs_crc32c(0, bytes, size - 4) else {
            throw refused("the superblock's checksum does not hold")
        }
        let number: UInt32 = bytes.littleEndian(at: 8)
        guard let format = Format(rawValue: number) else {
            let latest = Format.first.rawValue
            throw refused("disk format \(number) is not known to this version, which knows up to \(latest)")
        }
        return Superblock(
            format: format, cluster: ClusterID(bytes.bigEndian(at: 16)), node: NodeID(bytes.littleEndian(at: 48)),
            disk: DiskID(bytes.bigEndian(at: 32)), created: Timestamp(nanoseconds: bytes.littleEndian(at: 56)))
    }
}

extension [UInt8] {
    mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    func littleEndian<Value: FixedWidthInteger>(at offset: Int) -> Value {
        withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }

    func bigEndian<Value: FixedWidthInteger>(at offset: Int) -> Value {
        withUnsafeBytes { Value(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }
}
