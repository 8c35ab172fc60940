import CSupport
import Testing

@Suite struct CRC32CTests {
    private func both(_ bytes: [UInt8], seed: UInt32 = 0) -> Set<UInt32> {
        var results: Set = [cs_crc32c(seed, bytes, bytes.count), cs_crc32c_table(seed, bytes, bytes.count)]
        if cs_crc32c_has_hardware() != 0 { results.insert(cs_crc32c_hardware(seed, bytes, bytes.count)) }
        return results
    }

    @Test("the vectors of RFC 3720 B.4 hold")
    func vectors() {
        #expect(both([UInt8](repeating: 0, count: 32)) == [0x8A91_36AA])
        #expect(both([UInt8](repeating: 0xFF, count: 32)) == [0x62A8_AB43])
        #expect(both([UInt8](0..<32)) == [0x46DD_794E])
        #expect(both((0..<32).reversed().map { UInt8($0) }) == [0x113F_DB5C])
        var read10 = [UInt8](repeating: 0, count: 48)
        read10[0] = 0x01
        read10[1] = 0xC0
        read10[16] = 0x14
        read10[22] = 0x04
        read10[27] = 0x14
        read10[31] = 0x18
        read10[32] = 0x28
        read10[40] = 0x02
        #expect(both(read10) == [0xD996_3A56])
        #expect(both(Array("123456789".utf8)) == [0xE306_9283])
        #expect(both([]) == [0])
    }

    @Test("the instruction and the table agree at every length and alignment, with any seed")
    func agreement() {
        let seed: UInt64 = 0x5EED_0001
        var random = Generator(seed: seed)
        let bytes = random.bytes(16 << 10)
        for round in 0..<3000 {
            let start = Int(random.next() % 64)
            let length = round < 700 ? round : Int(random.next() % UInt64(bytes.count - 64))
            let part = Array(bytes[start..<start + length])
            let initial = UInt32(truncatingIfNeeded: random.next())
            #expect(both(part, seed: initial).count == 1, "seed \(seed), round \(round)")
        }
    }

    @Test("a checksum can be made in pieces")
    func pieces() {
        var random = Generator(seed: 7)
        let bytes = random.bytes(10_000)
        let whole = cs_crc32c(42, bytes, bytes.count)
        for cut in [0, 1, 7, 503, 504, 4079, 4080, 4096, 9999] {
            let head = cs_crc32c(42, Array(bytes[..<cut]), cut)
            #expect(cs_crc32c(head, Array(bytes[cut...]), bytes.count - cut) == whole)
        }
    }

    @Test("checksums of many blocks are those of each block")
    func blocks() {
        var random = Generator(seed: 8)
        let bytes = random.bytes(8 * 4096)
        let seeds = (0..<8).map { UInt32($0) &* 77 }
        var out = [UInt32](repeating: 0, count: 8)
        cs_crc32c_blocks(seeds, bytes, 4096, 8, &out)
        for block in 0..<8 {
            #expect(out[block] == cs_crc32c(seeds[block], Array(bytes[block * 4096..<(block + 1) * 4096]), 4096))
        }
    }
}
