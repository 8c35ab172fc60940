/// SipHash-2-4 (Aumasson and Bernstein, 2012), the keyed hash for what clients could otherwise forge or aim at.
struct SipHash {
    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64
    private var tail: UInt64 = 0
    private var length: UInt64 = 0
    private let wide: Bool

    /// The width of the result.
    enum Width {
        case bits64
        case bits128
    }

    init(key: (UInt64, UInt64), width: Width) {
        wide = width == .bits128
        v0 = 0x736f_6d65_7073_6575 ^ key.0
        v1 = 0x646f_7261_6e64_6f6d ^ key.1 ^ (width == .bits128 ? 0xee : 0)
        v2 = 0x6c79_6765_6e65_7261 ^ key.0
        v3 = 0x7465_6462_7974_6573 ^ key.1
    }

    mutating func combine(_ bytes: UnsafeRawBufferPointer) {
        var offset = 0
        while length & 7 != 0 && offset < bytes.count {
            combine(byte: bytes[offset])
            offset += 1
        }
        while offset + 8 <= bytes.count {
            absorb(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            length &+= 8
            offset += 8
        }
        while offset < bytes.count {
            combine(byte: bytes[offset])
            offset += 1
        }
    }

    mutating func combine(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { combine($0) }
    }

    mutating func combine(_ bytes: [UInt8]) { bytes.withUnsafeBytes { combine($0) } }

    private mutating func combine(byte: UInt8) {
        tail |= UInt64(byte) << (8 * (length & 7))
        length &+= 1
        if length & 7 == 0 {
            absorb(tail)
            tail = 0
        }
    }

    /// The 64-bit result.
    consuming func finish() -> UInt64 {
        absorb(tail | length << 56)
        v2 ^= wide ? 0xee : 0xff
        for _ in 0..<4 { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }

    /// The 128-bit result, the first eight bytes of the reference in the low half.
    consuming func finish128() -> UInt128 {
        absorb(tail | length << 56)
        v2 ^= 0xee
        for _ in 0..<4 { round() }
        let low = v0 ^ v1 ^ v2 ^ v3
        v1 ^= 0xdd
        for _ in 0..<4 { round() }
        return UInt128(v0 ^ v1 ^ v2 ^ v3) << 64 | UInt128(low)
    }

    private mutating func absorb(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    private mutating func round() {
        v0 = v0 &+ v1
        v1 = (v1 << 13 | v1 >> 51) ^ v0
        v0 = v0 << 32 | v0 >> 32
        v2 = v2 &+ v3
        v3 = (v3 << 16 | v3 >> 48) ^ v2
        v0 = v0 &+ v3
        v3 = (v3 << 21 | v3 >> 43) ^ v0
        v2 = v2 &+ v1
        v1 = (v1 << 17 | v1 >> 47) ^ v2
        v2 = v2 << 32 | v2 >> 32
    }
}
