import Foundation
import ONCRPC
import Testing

/// Frozen inputs, one hexadecimal line each, in Corpus/NAME.hex. `STAVE_REWRITE_CORPUS=1 swift test` writes them anew
/// from samples; a find of a fuzzer is added as a line by hand.
private enum Corpus {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Corpus")

    static func file(_ name: String) -> URL {
        folder.appendingPathComponent(name.replacingOccurrences(of: " ", with: "-") + ".hex")
    }

    static func inputs(_ name: String) throws -> [[UInt8]] {
        try String(contentsOf: file(name), encoding: .utf8).split(separator: "\n").map { line in
            let digits = Array(line.utf8)
            return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
                UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
            }
        }
    }
}

/// The greatest memory that the process has had, in bytes.
private func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Int(usage.ru_maxrss) * 1024
}

private let rpcForms: [WireForm] = [
    WireForm("rpc call", { FuzzedCall(sample: &$0) }, oracle: { v, x in x.fixed(v.bytes) }),
    WireForm("rpc reply", { FuzzedReply(sample: &$0) }, oracle: { v, x in x.fixed(v.bytes) }),
    WireForm("write", { FuzzedWrite(sample: &$0) }, oracle: { v, x in x.fixed(v.bytes) }),
    WireForm(
        "rpcbind",
        {
            Rpcbind.Registration(
                program: .nfs3, netID: $0.text(3), address: $0.text($0.below(20)), owner: $0.text($0.below(9)))
        },
        oracle: { _, _ in }),
    WireForm(
        "portmap", { Portmap.Mapping(program: .nfs3, transport: $0.u32(), port: $0.u32()) }, oracle: { _, _ in }),
]

/// A call's header as a value that is written as it was read.
private struct FuzzedCall: XDRCodable {
    var bytes: [UInt8]
    init(sample random: inout TestRandom) {
        let sys = AuthSys(
            stamp: random.u32(), machineName: random.bytes(random.below(30)), uid: random.u32(), gid: random.u32(),
            groups: (0..<random.below(17)).map { _ in random.u32() })
        var writer = XDRWriter()
        RPCCall(
            xid: TransactionID(random.u32()), program: .nfs3, procedure: 1,
            credential: random.flag() ? .sys(sys) : .none
        )
        .encode(into: &writer)
        bytes = writer.bytes
    }
    init(from reader: inout XDRReader) throws(XDRError) {
        var writer = XDRWriter()
        switch try RPCCall.decode(&reader) {
        case .call(let call): call.encode(into: &writer)
        case .rejected(let xid, let rejection):
            RPCReply.rejected(xid, rejection).encode(into: &writer)
            _ = try reader.fixedRange(reader.remaining & ~3)
        }
        bytes = writer.bytes
    }
    func encode(into writer: inout XDRWriter) { writer.fixed(bytes) }
}

private struct FuzzedReply: XDRCodable {
    var bytes: [UInt8]
    init(sample random: inout TestRandom) {
        var writer = XDRWriter()
        let xid = TransactionID(random.u32())
        (random.flag() ? RPCReply.accepted(xid, .programMismatch(low: 3, high: 3)) : .rejected(xid, .auth(.tooWeak)))
            .encode(into: &writer)
        bytes = writer.bytes
    }
    init(from reader: inout XDRReader) throws(XDRError) {
        var writer = XDRWriter()
        try RPCReply.decode(&reader).encode(into: &writer)
        bytes = writer.bytes
    }
    func encode(into writer: inout XDRWriter) { writer.fixed(bytes) }
}

private struct FuzzedWrite: XDRCodable {
    var bytes: [UInt8]
    init(sample random: inout TestRandom) {
        var writer = XDRWriter()
        let data = random.bytes(random.below(50))
        NFS3.WriteArguments.encodeHead(
            file: random.handle(), offset: random.next(), stability: .unstable, dataCount: data.count, into: &writer)
        writer.fixed(data)
        bytes = writer.bytes
    }
    init(from reader: inout XDRReader) throws(XDRError) {
        let arguments = try NFS3.WriteArguments(from: &reader)
        var writer = XDRWriter()
        arguments.file.encode(into: &writer)
        writer.uint64(arguments.offset)
        writer.uint32(arguments.count)
        writer.uint32(arguments.stability.rawValue)
        writer.opaque(reader.bytes(in: arguments.data))
        bytes = writer.bytes
    }
    func encode(into writer: inout XDRWriter) { writer.fixed(bytes) }
}

@Suite(.serialized) struct FuzzTests {
    static let forms = WireForm.all + rpcForms

    @Test(
        "The corpus can be written anew",
        .enabled(if: ProcessInfo.processInfo.environment["STAVE_REWRITE_CORPUS"] != nil))
    func rewriteCorpus() throws {
        try FileManager.default.createDirectory(at: Corpus.folder, withIntermediateDirectories: true)
        for form in FuzzTests.forms {
            var random = TestRandom(seed: 42)
            let lines = (0..<6).map { _ in hex(form.sample(&random).ours) }.filter { !$0.isEmpty }
            try (lines.joined(separator: "\n") + "\n").write(
                to: Corpus.file(form.name), atomically: true, encoding: .utf8)
        }
    }

    @Test(
        "No mutation of the corpus crashes a decoder, takes much memory, or is read as what it is not", arguments: forms
    )
    func mutations(form: WireForm) throws {
        let inputs = try Corpus.inputs(form.name)
        #expect(!inputs.isEmpty)
        let before = peakMemory()
        var taken = 0
        for (line, input) in inputs.enumerated() {
            for round in 0..<400 {
                let seed = UInt64(line * 1_000_003 + round)
                var random = TestRandom(seed: seed)
                var bytes = input
                for _ in 0...random.below(3) where !bytes.isEmpty {
                    switch random.below(5) {
                    case 0: bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8))
                    case 1: bytes.removeLast(random.below(bytes.count))
                    case 2: bytes += random.bytes(random.below(16))
                    case 3: bytes.insert(contentsOf: random.bytes(4), at: random.below(bytes.count / 4 + 1) * 4)
                    default:
                        let at = random.below(bytes.count / 4 + 1) * 4
                        let hostile: [[UInt8]] = [
                            [255, 255, 255, 255], [127, 255, 255, 255], [0, 16, 0, 1], [0, 0, 0, 0], [0, 0, 0, 65],
                        ]
                        if at + 4 <= bytes.count {
                            bytes.replaceSubrange(at..<at + 4, with: hostile[random.below(hostile.count)])
                        }
                    }
                }
                guard let again = try? form.rewrite(bytes) else { continue }
                taken += 1
                // What was read is written so that it reads the same; only padding may differ.
                let settled = try? form.rewrite(again)
                #expect(settled == nil || settled == again, "\(form.name), line \(line), seed \(seed)")
            }
        }
        #expect(taken > 0, "\(form.name): not one mutation was readable, so the test proves little")
        #expect(peakMemory() - before < 64 << 20, "\(form.name) took much memory")
    }

    @Test("A hostile length in any place of any message is refused or harmless", arguments: forms)
    func hostileLengths(form: WireForm) throws {
        let before = peakMemory()
        for input in try Corpus.inputs(form.name) {
            for at in stride(from: 0, through: input.count - 4, by: 4) {
                for hostile: [UInt8] in [[255, 255, 255, 255], [127, 255, 255, 252], [0x10, 0, 0, 0]] {
                    var bytes = input
                    bytes.replaceSubrange(at..<at + 4, with: hostile)
                    _ = try? form.rewrite(bytes)
                }
            }
        }
        #expect(peakMemory() - before < 64 << 20, "\(form.name) took much memory")
    }
}
