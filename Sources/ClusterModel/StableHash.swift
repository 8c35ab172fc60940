/// Hashes that are the same on every machine and for ever: placement and request identities depend on them.
public enum StableHash {
    /// A bijective mix of 64 bits (the finalizer of MurmurHash3).
    public static func mix(_ value: UInt64) -> UInt64 {
        var x = value
        x ^= x >> 33
        x = x &* 0xff51_afd7_ed55_8ccd
        x ^= x >> 33
        x = x &* 0xc4ce_b9fe_1a85_ec53
        x ^= x >> 33
        return x
    }

    public static func combine(_ a: UInt64, _ b: UInt64) -> UInt64 {
        mix(a ^ (mix(b) &+ 0x9e37_79b9_7f4a_7c15 &+ (a << 6) &+ (a >> 2)))
    }

    /// FNV-1a over the bytes, then mixed.
    public static func bytes(_ bytes: some Sequence<UInt8>, seed: UInt64 = 0) -> UInt64 {
        var h: UInt64 = 0xcbf2_9ce4_8422_2325 ^ seed
        for b in bytes { h = (h ^ UInt64(b)) &* 0x0000_0100_0000_01b3 }
        return mix(h)
    }
}

/// A small deterministic generator (SplitMix64), for retry jitter and tests; never a source of secrets.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64
    public init(seed: UInt64) { state = seed }
    public mutating func next() -> UInt64 {
        state = state &+ 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    /// Uniform enough for tests in 0 ..< bound; bound > 0.
    public mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
