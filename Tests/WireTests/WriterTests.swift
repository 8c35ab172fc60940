import ClusterModel
import Testing
import Wire

struct WriterTests {
    @Test("Fields are little-endian and without padding")
    func layout() {
        var w = WireWriter(capacity: 1)
        w.u8(0x01)
        w.u16(0x0302)
        w.u32(0x0706_0504)
        w.u64(0x0f0e_0d0c_0b0a_0908)
        w.u128(0x1f1e_1d1c_1b1a_1918_1716_1514_1312_1110)
        w.i64(-2)
        #expect(w.bytes == Array(1...0x1f) + [0xfe] + Array(repeating: 0xff, count: 7))
    }

    @Test("A writer that is emptied writes the same again")
    func reset() {
        var w = WireWriter(capacity: 4)
        var source = SampleSource(seed: 3)
        let message = source.message(kind: 0)
        w.frame(message)
        let first = w.bytes
        w.reset()
        #expect(w.bytes.isEmpty)
        w.frame(message)
        #expect(w.bytes == first)
    }

    @Test("Strings, lists and options begin with their length, count or mark")
    func composites() {
        var w = WireWriter()
        w.string("ä")
        w.list([7, 8] as [UInt8]) { $0.u8($1) }
        w.optional(Optional<UInt8>.none) { $0.u8($1) }
        w.optional(9 as UInt8?) { $0.u8($1) }
        #expect(w.bytes == [2, 0, 0, 0, 0xC3, 0xA4, 2, 0, 0, 0, 7, 8, 0, 1, 9])
    }

    @Test("Several frames in one writer each tell their own length")
    func frames() throws {
        var source = SampleSource(seed: 4)
        var w = WireWriter()
        var lengths: [Int] = []
        for kind in 0..<SampleSource.kinds {
            let before = w.bytes.count
            w.frame(source.message(kind: kind))
            lengths.append(w.bytes.count - before)
        }
        var at = 0
        for length in lengths {
            let head = try w.bytes[at..<at + FrameHead.size].withUnsafeBytes { try FrameHead($0) }
            #expect(head.headerLength + FrameHead.size == length)
            at += length
        }
    }

    @Test("A writer grows by whatever is written, and lends its bytes as they are", arguments: [0, 1, 16, 100])
    func growth(capacity: Int) {
        var w = WireWriter(capacity: capacity)
        var expected: [UInt8] = []
        var source = SampleSource(seed: UInt64(capacity))
        for step in 0..<400 {
            let bytes = source.bytes(source.random.below(step + 1))
            w.blob(bytes)
            w.u8(UInt8(truncatingIfNeeded: step))
            let length = UInt32(bytes.count)
            expected += (0..<4).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + bytes
            expected.append(UInt8(truncatingIfNeeded: step))
        }
        #expect(w.bytes == expected && w.count == expected.count)
        #expect(w.withUnsafeBytes { Array($0) } == expected)
        let copy = w
        w.u64(1)
        #expect(copy.bytes == expected && w.count == expected.count + 8)
    }
}
