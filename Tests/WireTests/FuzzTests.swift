import ClusterModel
import Foundation
import Testing
import Wire

/// Frozen messages, one a line (see `Frame.line`), in Corpus/messages.txt. `STAVE_REWRITE_CORPUS=1 swift test` writes the
/// file anew from samples; what a fuzzer finds is added by hand to Corpus/finds.txt, which nothing rewrites.
private enum Corpus {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Corpus")

    static func frames(_ file: String) throws -> [Frame] {
        try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8).split(separator: "\n")
            .filter { !$0.hasPrefix("#") }.compactMap { Frame(line: $0) }
    }
}

/// The greatest memory that the process has had, in bytes.
private func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Int(usage.ru_maxrss) * 1024
}

/// How many mutants of each message are tried; `STAVE_SEEDS` raises it.
private let rounds = ProcessInfo.processInfo.environment["STAVE_SEEDS"].flatMap { Int($0) } ?? 300

@Suite(.serialized) struct FuzzTests {
    @Test(
        "The corpus can be written anew",
        .enabled(if: ProcessInfo.processInfo.environment["STAVE_REWRITE_CORPUS"] != nil))
    func rewriteCorpus() throws {
        var source = SampleSource(seed: 42)
        var lines = ["# kind, payload length and header of one message a line, in hexadecimal digits"]
        for kind in 0..<SampleSource.kinds { lines.append(try Frame(source.message(kind: kind)).line) }
        try (lines.joined(separator: "\n") + "\n").write(
            to: Corpus.folder.appendingPathComponent("messages.txt"), atomically: true, encoding: .utf8)
    }

    @Test("Every message of the corpus is read and written again byte for byte: the protocol has not changed")
    func frozen() throws {
        let frames = try Corpus.frames("messages.txt")
        #expect(frames.count == SampleSource.kinds)
        for (line, frame) in frames.enumerated() {
            #expect(try Frame(frame.decoded()) == frame, "message \(line)")
        }
    }

    /// messages-8.txt is never written anew: it is what nodes of that version send.
    @Test("Every message of an older version that is still spoken is read and written again byte for byte")
    func frozenOlder() throws {
        for frame in try Corpus.frames("messages-8.txt") {
            let message = try frame.decoded(in: .v8)
            #expect(message.since == .v8, "\(frame.line)")
            #expect(try Frame(message) == frame, "\(frame.line)")
        }
    }

    @Test("A message of a newer version is refused where an older one is spoken")
    func newerMessages() throws {
        var newer = 0
        for frame in try Corpus.frames("messages.txt") {
            let message = try frame.decoded()
            if message.since == .v8 {
                #expect(try frame.decoded(in: .v8) == message)
            } else {
                newer += 1
                #expect(throws: WireError.self, "\(frame.line)") { try frame.decoded(in: .v8) }
            }
        }
        #expect(newer > 0)
    }

    @Test("What fuzzers found is refused")
    func finds() throws {
        for frame in try Corpus.frames("finds.txt") {
            #expect(throws: WireError.self, "\(frame.line)") { try frame.decoded() }
        }
    }

    @Test("No mutant of a message crashes the decoder, takes much memory, or changes when it is sent on")
    func mutants() throws {
        let before = peakMemory()
        var taken = 0
        for (line, frame) in try Corpus.frames("messages.txt").enumerated() {
            for round in 0..<rounds {
                let seed = UInt64(line * 1_000_003 + round)
                var random = SplitMix64(seed: seed)
                let mutant = Self.mutant(of: frame, &random)
                guard let message = try? mutant.decoded() else { continue }
                taken += 1
                #expect(try Frame(message).decoded() == message, "message \(line), seed \(seed): \(mutant.line)")
            }
        }
        #expect(taken > 0, "not one mutant was readable, so the test proves little")
        #expect(peakMemory() - before < 64 << 20)
    }

    @Test("A hostile length at any place of any message is refused or harmless")
    func hostileLengths() throws {
        let before = peakMemory()
        for frame in try Corpus.frames("messages.txt") where frame.header.count >= 4 {
            for at in 0...frame.header.count - 4 {
                for hostile: [UInt8] in [
                    [255, 255, 255, 255], [255, 255, 255, 127], [0, 0, 0, 16], [255, 255, 0, 0],
                ] {
                    var mutant = frame
                    mutant.header.replaceSubrange(at..<at + 4, with: hostile)
                    guard let message = try? mutant.decoded() else { continue }
                    #expect(try Frame(message).decoded() == message, "\(mutant.line)")
                }
            }
        }
        #expect(peakMemory() - before < 64 << 20)
    }

    @Test("Random bytes as a map or a record are refused or read, never more", arguments: 0..<8)
    func stored(seed: UInt64) {
        var source = SampleSource(seed: seed)
        let inputs = [source.map().encoded(), source.record().encoded()]
        for input in inputs {
            for _ in 0..<rounds {
                var bytes = input
                for _ in 0...source.random.below(3) {
                    bytes[source.random.below(bytes.count)] ^= UInt8(1 << source.random.below(8))
                }
                if let map = try? ClusterMap(decoding: bytes) {
                    #expect((try? ClusterMap(decoding: map.encoded())) == map, "seed \(seed)")
                }
                if let record = try? PGRecord(decoding: bytes) {
                    #expect((try? PGRecord(decoding: record.encoded())) == record, "seed \(seed)")
                }
            }
        }
    }

    private static func mutant(of frame: Frame, _ random: inout SplitMix64) -> Frame {
        var mutant = frame
        for _ in 0...random.below(3) where !mutant.header.isEmpty {
            switch random.below(6) {
            case 0: mutant.header[random.below(mutant.header.count)] ^= UInt8(1 << random.below(8))
            case 1: mutant.header.removeLast(random.below(mutant.header.count))
            case 2: mutant.header += (0..<random.below(16)).map { _ in UInt8(random.below(256)) }
            case 3: mutant.header.insert(UInt8(random.below(256)), at: random.below(mutant.header.count + 1))
            case 4: mutant.kind = UInt8(random.below(12))
            default: mutant.payloadLength = random.below(2) * random.below(Limits.payloadBytes)
            }
        }
        return mutant
    }
}
