import ClusterModel
import Testing

struct ChecksumTests {
    @Test(
        "CRC32C gives the values of RFC 3720, B.4",
        arguments: [
            (Array(repeating: 0, count: 32), 0x8a91_36aa), (Array(repeating: 0xff, count: 32), 0x62a8_ab43),
            (Array(0..<32), 0x46dd_794e), (Array((0..<32).reversed()), 0x113f_db5c),
            (Array("123456789".utf8), 0xe306_9283),
            ([], 0),
        ] as [([UInt8], UInt32)])
    func vectors(bytes: [UInt8], checksum: UInt32) {
        #expect(CRC32C.table.checksum(bytes) == checksum)
    }

    @Test("A checksum continued over two parts is that of the whole")
    func continued() {
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for cut in 0...bytes.count {
            let first = Array(bytes[..<cut]).withUnsafeBytes { CRC32C.table.update(0, $0) }
            let whole = Array(bytes[cut...]).withUnsafeBytes { CRC32C.table.update(first, $0) }
            #expect(whole == CRC32C.table.checksum(bytes))
        }
    }

    @Test("A block's checksum differs for another block, object, inode and fileset, and zeros never give zero")
    func identity() {
        let zeros = Array(repeating: UInt8(0), count: Geometry.blockSize)
        func sum(_ fileset: UInt32, _ inode: UInt64, _ index: UInt64, _ block: Int) -> UInt32 {
            let object = ObjectID(
                file: FileID(fileset: FilesetID(fileset), inode: InodeNumber(inode)), index: index)
            return zeros.withUnsafeBytes { CRC32C.table.block(object, block: block, bytes: $0) }
        }
        let sums = [sum(1, 1, 0, 0), sum(1, 1, 0, 1), sum(1, 1, 1, 0), sum(1, 2, 0, 0), sum(2, 1, 0, 0)]
        #expect(Set(sums).count == sums.count)
        #expect(!sums.contains(0))
        for block in 0..<Geometry.blocksPerObject {
            let object = ObjectID(file: FileID(fileset: .root, inode: .root), index: 3)
            #expect(CRC32C.identitySeed(object, block: block) & 1 == 1)
        }
    }

    @Test("Hashes that disks and placement depend on do not change")
    func frozen() {
        #expect(StableHash.mix(0) == 0)
        #expect(StableHash.mix(1) == 0xb456_bcfc_34c2_cb2c)
        // The first numbers of SplitMix64 from seed 0, as its author publishes them.
        var random = SplitMix64(seed: 0)
        #expect(random.next() == 0xe220_a839_7b1d_cdaf)
        #expect(random.next() == 0x6e78_9e6a_a1b9_65f4)
        #expect(random.next() == 0x06c4_5d18_8009_454f)
    }

    @Test("The mix is a bijection where it is looked at, and combine depends on the order")
    func mixing() {
        #expect(Set((0..<10_000).map { StableHash.mix($0) }).count == 10_000)
        #expect(StableHash.combine(1, 2) != StableHash.combine(2, 1))
        #expect(StableHash.bytes([1, 2]) != StableHash.bytes([2, 1]))
        #expect(StableHash.bytes([], seed: 1) != StableHash.bytes([], seed: 2))
    }
}
