import ONCRPC
import Testing

@Suite struct NFS3Tests {
    @Test("Every argument and result is byte for byte what libtirpc writes", arguments: WireForm.all)
    func againstOracle(form: WireForm) throws {
        for seed in 0..<200 {
            var random = TestRandom(seed: UInt64(seed))
            let (ours, oracle) = form.sample(&random)
            #expect(ours == oracle, "\(form.name), seed \(seed)")
        }
    }

    @Test("Every argument and result is read back as it was written", arguments: WireForm.all)
    func roundTrip(form: WireForm) throws {
        for seed in 0..<200 {
            var random = TestRandom(seed: UInt64(seed))
            let bytes = form.sample(&random).ours
            #expect(try form.rewrite(bytes) == bytes, "\(form.name), seed \(seed)")
        }
    }

    @Test("Every argument and result is refused when it is cut at any byte", arguments: WireForm.all)
    func truncated(form: WireForm) throws {
        for seed in 0..<20 {
            var random = TestRandom(seed: UInt64(seed))
            let bytes = form.sample(&random).ours
            for count in 0..<bytes.count {
                #expect(throws: XDRError.self, "\(form.name), seed \(seed), \(count) bytes") {
                    try form.rewrite(Array(bytes.prefix(count)))
                }
            }
        }
    }

    @Test("A handle of 65 bytes is refused")
    func longHandle() {
        var writer = XDRWriter()
        writer.opaque([UInt8](repeating: 1, count: 65))
        #expect(throws: XDRError.self) { try decoded(NFS3.FileHandle.self, writer.bytes) }
    }

    @Test("Handles are equal by their bytes and not by what lies behind them")
    func handleEquality() {
        #expect(NFS3.FileHandle([1, 2]) == NFS3.FileHandle([1, 2]))
        #expect(NFS3.FileHandle([1, 2]) != NFS3.FileHandle([1, 2, 0]))
        #expect(NFS3.FileHandle([1, 2]).hashValue == NFS3.FileHandle([1, 2]).hashValue)
    }

    @Test("WRITE's data stays where it arrived, and its place is exact")
    func writeData() throws {
        let data = Array("data of a guest".utf8)
        var writer = XDRWriter()
        NFS3.WriteArguments.encodeHead(
            file: NFS3.FileHandle([9]), offset: 4096, stability: .fileSync, dataCount: data.count, into: &writer)
        let bytes = writer.bytes + data + [0]
        let oracle = Tirpc()
        oracle.opaque([9])
        oracle.u64(4096)
        oracle.u32(UInt32(data.count))
        oracle.u32(2)
        oracle.opaque(data)
        #expect(bytes == oracle.bytes)
        try reading(bytes) { reader in
            let arguments = try NFS3.WriteArguments(from: &reader)
            #expect(arguments.offset == 4096 && arguments.count == UInt32(data.count))
            #expect(arguments.stability == .fileSync)
            #expect([UInt8](reader.bytes(in: arguments.data)) == data)
        }
        for count in 0..<bytes.count {
            #expect(throws: XDRError.self) {
                try reading(Array(bytes.prefix(count))) { try NFS3.WriteArguments(from: &$0) }
            }
        }
    }

    @Test("WRITE's data of more than 1 MiB is refused")
    func greatWrite() {
        var writer = XDRWriter()
        NFS3.WriteArguments.encodeHead(
            file: NFS3.FileHandle([9]), offset: 0, stability: .unstable, dataCount: RPCLimits.dataBytes + 1,
            into: &writer)
        let bytes = writer.bytes + [UInt8](repeating: 0, count: RPCLimits.dataBytes + 4)
        #expect(throws: XDRError.self) { try reading(bytes) { try NFS3.WriteArguments(from: &$0) } }
    }
}
