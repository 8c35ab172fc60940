import CTirpc
import ONCRPC
import Testing

@Suite struct XDRTests {
    @Test("Every primitive is written as libtirpc writes it and read back")
    func primitives() throws {
        var random = TestRandom(seed: 1)
        for round in 0..<500 {
            let oracle = Tirpc()
            var writer = XDRWriter()
            let word = random.u32()
            let hyper = random.next()
            let flag = random.flag()
            let blob = random.bytes(random.below(70))
            let fixed = random.bytes(random.below(9))
            writer.uint32(word)
            writer.uint64(hyper)
            writer.bool(flag)
            writer.opaque(blob)
            writer.fixed(fixed)
            oracle.u32(word)
            oracle.u64(hyper)
            oracle.bool(flag)
            oracle.opaque(blob)
            oracle.fixed(fixed)
            #expect(writer.bytes == oracle.bytes, "round \(round)")
            try reading(writer.bytes) { reader in
                #expect(try reader.uint32() == word)
                #expect(try reader.uint64() == hyper)
                #expect(try reader.bool() == flag)
                #expect(try reader.opaque(atMost: 70) == blob)
                let place = try reader.fixedRange(fixed.count)
                #expect([UInt8](reader.bytes(in: place)) == fixed)
                #expect(reader.remaining == 0)
            }
        }
    }

    @Test("A length of 4 GiB is refused before anything is allocated")
    func hostileLength() {
        let bytes: [UInt8] = [0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]
        #expect(throws: XDRError.self) { try reading(bytes) { try $0.opaque(atMost: Int(UInt32.max)) } }
        #expect(throws: XDRError.self) { try reading(bytes) { try $0.opaque(atMost: 8) } }
    }

    @Test("A boolean other than 0 and 1 is refused")
    func badBoolean() {
        #expect(throws: XDRError.self) { try reading([0, 0, 0, 2]) { try $0.bool() } }
    }

    @Test("Text that is not UTF-8 is refused")
    func badText() {
        #expect(throws: XDRError.self) { try reading([0, 0, 0, 1, 0xff, 0, 0, 0]) { try $0.text(atMost: 8) } }
    }

    @Test("A list that goes on beyond its bound is refused")
    func endlessList() {
        var writer = XDRWriter()
        for _ in 0...RPCLimits.listEntries {
            writer.bool(true)
            writer.text("x")
        }
        writer.bool(false)
        #expect(throws: XDRError.self) { try decoded(XDRList<Mount.Group>.self, writer.bytes) }
    }

    @Test("Large data is sent behind the buffer with the same bytes on the wire")
    func dataBehindTheBuffer() {
        for count in [0, 1, 2, 3, 4, 5, 4096] {
            let data = [UInt8](repeating: 7, count: count)
            var whole = XDRWriter()
            whole.opaque(data)
            var head = XDRWriter()
            head.opaqueHeader(count: count)
            #expect(whole.bytes == head.bytes + data + [UInt8](repeating: 0, count: XDRAlignment.padding(count)))
        }
    }
}
