import ClusterModel
import DiskIO
import Glibc
import Testing

@Suite struct SuperblockTests {
    private let block = Superblock(
        cluster: ClusterID(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF), node: NodeID(513), disk: DiskID(UInt128.max - 5),
        created: Timestamp(nanoseconds: 1_790_000_000_000_000_001))

    @Test("what is written is read")
    func roundTrip() throws {
        let disk = try TestDisk()
        try block.write(to: disk.folder)
        #expect(try Superblock.read(from: disk.folder) == block)
        #expect(try disk.folder.names() == ["superblock"])
        #expect(try disk.folder.readFile("superblock").count == 4096)
    }

    @Test("an empty folder is not a disk")
    func absent() throws {
        let disk = try TestDisk()
        #expect(failure { () throws(DiskError) in try Superblock.read(from: disk.folder) }?.isMissing == true)
    }

    @Test("a disk is not made twice")
    func twice() throws {
        let disk = try TestDisk()
        try block.write(to: disk.folder)
        var other = block
        other.node = NodeID(1)
        #expect(failure { () throws(DiskError) in try other.write(to: disk.folder) }?.isPresent == true)
        #expect(try Superblock.read(from: disk.folder) == block)
    }

    @Test("every changed bit and every cut is refused")
    func damage() throws {
        let disk = try TestDisk()
        try block.write(to: disk.folder)
        let bytes = try disk.folder.readFile("superblock")
        for bit in 0..<(72 * 8) {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            try disk.folder.replaceFile("superblock", with: changed)
            #expect(failure { () throws(DiskError) in try Superblock.read(from: disk.folder) } != nil, "bit \(bit)")
        }
        try disk.folder.replaceFile("superblock", with: Array(bytes.dropLast()))
        let cut = failure { () throws(DiskError) in try Superblock.read(from: disk.folder) }
        #expect(cut?.description.contains("4095 bytes instead of 4096") == true)
    }

    @Test("a later format is refused by its number")
    func laterFormat() throws {
        let disk = try TestDisk()
        try block.write(to: disk.folder)
        var bytes = try disk.folder.readFile("superblock")
        bytes[8] = 2
        let checksum = CRC.of(Array(bytes[..<4092]))
        for byte in 0..<4 { bytes[4092 + byte] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(byte))) }
        try disk.folder.replaceFile("superblock", with: bytes)
        let error = failure { () throws(DiskError) in try Superblock.read(from: disk.folder) }
        #expect(error?.description.contains("disk format 2 is not known to this version") == true)
    }
}

@Suite struct LogSegmentTests {
    @Test("a segment is made of zeros that take their space, and is listed by its number")
    func create() throws {
        let disk = try TestDisk()
        let segments = try LogSegments(in: disk.folder)
        let file = try segments.create(LogSegmentNumber(0xAB))
        #expect(try file.size() == DiskLimits.logSegmentBytes)
        #expect(try file.allocatedBytes() >= DiskLimits.logSegmentBytes)
        #expect(try file.bytes((63 << 20)..<(64 << 20)).allSatisfy { $0 == 0 })
        #expect(try segments.list() == [LogSegmentNumber(0xAB)])
        #expect(try disk.folder.names() == ["log-00000000000000ab"])
    }

    @Test("a recycled segment has a new number and its old bytes, and its old name is free")
    func recycle() throws {
        let disk = try TestDisk()
        let segments = try LogSegments(in: disk.folder)
        let old = try segments.create(LogSegmentNumber(1))
        try old.write([7, 7], at: 4096)
        let new = try segments.recycle(LogSegmentNumber(1), as: LogSegmentNumber(9))
        #expect(try new.bytes(4096..<4098) == [7, 7])
        #expect(try segments.list() == [LogSegmentNumber(9)])
        #expect(new.path.hasSuffix("log-0000000000000009"))
        try segments.remove(LogSegmentNumber(9))
        #expect(try segments.list() == [])
    }

    @Test("what an interrupted creation left is removed; foreign names and lengths are refused")
    func leftovers() throws {
        let disk = try TestDisk()
        try disk.folder.replaceFile("new-log-0000000000000001", with: [0])
        let segments = try LogSegments(in: disk.folder)
        #expect(try disk.folder.names() == [])
        try disk.folder.replaceFile("log-0000000000000001", with: [0])
        let error = failure { () throws(DiskError) in try segments.open(LogSegmentNumber(1)) }
        #expect(error?.description.contains("a log segment of 1 bytes") == true)
        try disk.folder.replaceFile("log-1", with: [0])
        #expect(failure { () throws(DiskError) in try segments.list() } != nil)
    }

    @Test("a failed sync leaves no segment under its name, and ends the disk")
    func failedCreate() throws {
        let disk = try TestDisk([.init(.sync, namePrefix: "new-log-", effect: .fail(errno: EIO))])
        let segments = try LogSegments(in: disk.folder)
        #expect(failure { () throws(DiskError) in try segments.create(LogSegmentNumber(1)) } != nil)
        #expect(disk.health.hasFailed)
        #expect(failure { () throws(DiskError) in try disk.folder.remove("x") }?.cause == .diskFailed)
        let again = try LogSegments(in: DiskFolder(path: disk.folder.path, health: DiskHealth { _ in }))
        #expect(try again.list() == [])
        #expect(try again.folder.names() == [])
    }
}
