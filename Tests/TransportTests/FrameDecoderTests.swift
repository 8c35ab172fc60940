import ClusterModel
import NIOCore
import Testing
import Wire

@testable import Transport

/// What the decoder delivered, as plain bytes.
private struct Delivered: Hashable {
    var kind: UInt8
    var header: [UInt8]
    var payload: [UInt8]?
}

private func frame(kind: UInt8, header: [UInt8], payload: [UInt8]) -> [UInt8] {
    var w = WireWriter()
    w.u32(UInt32(header.count))
    w.u32(UInt32(payload.count))
    w.u32(UInt32(kind))
    return w.bytes + header + payload
}

private let frames: [Delivered] = [
    Delivered(kind: 7, header: Array(0..<24), payload: nil), Delivered(kind: 1, header: [], payload: nil),
    Delivered(kind: 2, header: [1, 2, 3], payload: Array(repeating: 9, count: 40)),
    Delivered(kind: 6, header: [], payload: [5]), Delivered(kind: 9, header: [4], payload: nil),
]
private let stream = frames.flatMap { frame(kind: $0.kind, header: $0.header, payload: $0.payload ?? []) }

private func feed(_ pieces: [[UInt8]]) throws -> [Delivered] {
    var decoder = FrameDecoder()
    var found: [Delivered] = []
    for piece in pieces {
        try decoder.feed(ByteBuffer(bytes: piece)) { kind, header, payload in
            found.append(
                Delivered(
                    kind: kind, header: Array(header.readableBytesView),
                    payload: payload.map { Array($0.joined.readableBytesView) }))
        }
    }
    return found
}

struct FrameDecoderTests {
    @Test("Several frames in one piece are delivered in order")
    func whole() throws {
        #expect(try feed([stream]) == frames)
    }

    @Test("Frames that are cut in two at any byte arrive whole")
    func cutInTwo() throws {
        for cut in 0...stream.count {
            #expect(try feed([Array(stream[..<cut]), Array(stream[cut...])]) == frames, "cut at \(cut)")
        }
    }

    @Test("Frames that are cut in three at any two bytes arrive whole")
    func cutInThree() throws {
        for first in stride(from: 0, through: stream.count, by: 3) {
            for second in first...stream.count {
                let pieces = [Array(stream[..<first]), Array(stream[first..<second]), Array(stream[second...])]
                #expect(try feed(pieces) == frames, "cut at \(first) and \(second)")
            }
        }
    }

    @Test("Frames that arrive byte by byte arrive whole")
    func byteByByte() throws {
        #expect(try feed(stream.map { [$0] }) == frames)
    }

    @Test("A frame is delivered with its last byte, not later")
    func promptly() throws {
        for count in 0..<stream.count {
            var ends: [Int] = []
            var end = 0
            for f in frames {
                end += FrameHead.size + f.header.count + (f.payload?.count ?? 0)
                ends.append(end)
            }
            let found = try feed([Array(stream[..<count])])
            #expect(found.count == ends.count { $0 <= count }, "\(count) bytes")
        }
    }

    @Test("A frame with a length beyond its bound is refused when its head has come")
    func bounds() {
        for (header, payload) in [(Limits.headerBytes + 1, 0), (0, Limits.payloadBytes + 1), (Int(UInt32.max), 0)] {
            var w = WireWriter()
            w.u32(UInt32(header))
            w.u32(UInt32(payload))
            w.u32(7)
            let bytes = w.bytes
            #expect(throws: WireError.self) { try feed([bytes]) }
        }
    }

    @Test("A small payload has a buffer of its own, so that the read buffer can be freed")
    func copies() throws {
        let bytes = frame(kind: 2, header: [1], payload: Array(repeating: 3, count: 1000))
        let input = ByteBuffer(bytes: bytes)
        var decoder = FrameDecoder()
        var capacity = 0
        try decoder.feed(input) { _, _, payload in payload?.forEachPart { capacity += $0.storageCapacity } }
        #expect(capacity >= 1000 && capacity < 2048)
    }

    @Test(
        "A large payload keeps the bytes of large reads where they are, copies those of small ones, and joins to the same"
    )
    func parts() throws {
        let payload = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 8) }
        let bytes = frame(kind: 2, header: [1], payload: payload)
        var decoder = FrameDecoder()
        var found: Payload?
        var at = 0
        for length in [5, 11, 3000, 100_000, 100, 200, 65_536, 40_000, 1, .max] {
            let end = min(bytes.count, at &+ min(length, bytes.count))
            try decoder.feed(ByteBuffer(bytes: bytes[at..<end])) { _, _, payload in found = payload }
            at = end
        }
        var parts = 0
        found?.forEachPart { _ in parts += 1 }
        #expect(parts == 7)
        #expect(found.map { Array($0.joined.readableBytesView) } == payload)
        for range in [0..<0, 0..<300_000, 2_900..<103_100, 299_999..<300_000, 102_950..<103_250] {
            var got: [UInt8] = []
            found?.withBytes(range) { parts in for part in parts { got += part } }
            #expect(got == Array(payload[range]))
        }
    }
}
