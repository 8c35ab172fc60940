import CTirpc
import ONCRPC

/// SplitMix64: the same numbers from the same seed, for ever.
struct TestRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state = state &+ 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: next()) }
    mutating func flag() -> Bool { next() & 1 == 1 }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
    mutating func text(_ count: Int) -> String {
        String((0..<count).map { _ in Character(Unicode.Scalar(UInt8(97 + below(26)))) })
    }
}

/// The independent oracle: libtirpc's XDR over a piece of memory.
final class Tirpc {
    private let memory: UnsafeMutableRawPointer
    private let stream: UnsafeMutablePointer<XDR>
    private let capacity: Int

    init(encodingUpTo capacity: Int = 2 << 20) {
        self.capacity = capacity
        memory = .allocate(byteCount: capacity, alignment: 16)
        stream = .allocate(capacity: 1)
        ctirpc_xdrmem_create(stream, memory, UInt32(capacity), 0)
    }
    deinit {
        ctirpc_destroy(stream)
        stream.deallocate()
        memory.deallocate()
    }
    var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(start: memory, count: Int(ctirpc_getpos(stream)))) }

    func with(_ body: (UnsafeMutablePointer<XDR>) -> Bool) {
        precondition(body(stream), "libtirpc encodes within its memory")
    }
    func u32(_ value: UInt32) {
        with {
            var v = value; return ctirpc_uint32($0, &v)
        }
    }
    func u64(_ value: UInt64) {
        with {
            var v = value; return ctirpc_uint64($0, &v)
        }
    }
    func bool(_ value: Bool) {
        with {
            var v: Int32 = value ? 1 : 0; return ctirpc_bool($0, &v)
        }
    }
    func fixed(_ value: [UInt8]) {
        with {
            var v = value; return ctirpc_fixed($0, &v, UInt32(value.count))
        }
    }
    func opaque(_ value: [UInt8]) {
        with { x in
            var v = value.isEmpty ? [0] : value
            var count = UInt32(value.count)
            return ctirpc_bytes(x, &v, &count, UInt32.max)
        }
    }
    func text(_ value: String) { opaque(Array(value.utf8)) }
    func optional<T>(_ value: T?, _ body: (T) -> Void) {
        bool(value != nil)
        if let value { body(value) }
    }
}

func encoded(_ value: some XDRCodable) -> [UInt8] {
    var writer = XDRWriter()
    value.encode(into: &writer)
    return writer.bytes
}

func decoded<T: XDRCodable>(_ type: T.Type, _ bytes: [UInt8]) throws -> T {
    try bytes.withUnsafeBytes { memory in
        var reader = XDRReader(memory)
        let value = try T(from: &reader)
        guard reader.remaining == 0 else { throw XDRError("\(reader.remaining) bytes left over") }
        return value
    }
}

/// Runs a reading of raw bytes, for what is not `XDRCodable`.
func reading<T>(_ bytes: [UInt8], _ body: (inout XDRReader) throws -> T) rethrows -> T {
    try bytes.withUnsafeBytes { memory in
        var reader = XDRReader(memory)
        return try body(&reader)
    }
}

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
