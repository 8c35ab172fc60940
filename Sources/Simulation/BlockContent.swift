import ClusterModel
import Wire

/// What simulated blocks hold: each block is divided into fields at unequal boundaries, some of them within a sector, and a
/// field holds one number. Clients write runs of fields, so most of their writes are not aligned to blocks.
enum BlockContent {
    /// Bytes of a block at which fields begin.
    static let starts = [0, 700, 1024, 3001]
    static let fieldsPerBlock = 4

    /// Where field `field`, counted through the object, begins in the object.
    static func offset(_ field: Int) -> Int {
        field / fieldsPerBlock * Geometry.blockSize + starts[field % fieldsPerBlock]
    }

    /// One number in all of the fields.
    static func bytes(_ value: UInt32, fields: Range<Int>) -> [UInt8] {
        let first = offset(fields.lowerBound)
        let count = offset(fields.upperBound) - first
        return [UInt8](unsafeUninitializedCapacity: count) { out, filled in
            filled = count
            // The filling differs from write to write, so that a torn sector shows.
            out.initialize(repeating: UInt8(truncatingIfNeeded: value &* 37 >> 3))
            let raw = UnsafeMutableRawBufferPointer(out)
            for f in fields { raw.storeBytes(of: value.littleEndian, toByteOffset: offset(f) - first, as: UInt32.self) }
        }
    }

    /// The number of each field in bytes that begin with field `first`.
    static func values(_ bytes: [UInt8], first: Int, count: Int) -> [UInt32] {
        let start = offset(first)
        return bytes.withUnsafeBytes { raw in
            (first..<first + count).map { f in
                let at = offset(f) - start
                return at + 4 <= raw.count
                    ? UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: at, as: UInt32.self)) : 0
            }
        }
    }

    /// A checksum that is quick. In a debug build it reads samples of a whole block only, which a torn sector may slip between
    /// (the log's payloads lie at any place of a sector).
    static let crc = CRC32C { seed, bytes in
        #if DEBUG
            if bytes.count == Geometry.blockSize {
                var h = UInt64(seed) &+ 0x9E37_79B9_7F4A_7C15
                for at in stride(from: 0, to: Geometry.blockSize, by: 64) {
                    h = (h ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x0000_0100_0000_01b3
                    h ^= h >> 29
                }
                for at in starts {
                    h = (h ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x0000_0100_0000_01b3
                    h ^= h >> 29
                }
                return UInt32(truncatingIfNeeded: StableHash.mix(h))
            }
        #endif
        return CRC32C.quick.update(seed, bytes)
    }

    static func checksums(_ object: ObjectID, first: Int, _ bytes: [UInt8]) -> [UInt32] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / Geometry.blockSize).map { i in
                crc.block(
                    object, block: first + i,
                    bytes: UnsafeRawBufferPointer(
                        rebasing: raw[i * Geometry.blockSize..<(i + 1) * Geometry.blockSize]))
            }
        }
    }
}

extension CRC32C {
    /// Not CRC32C, but as good for tests and quick in a debug build.
    public static let quick = CRC32C { seed, bytes in
        var h = UInt64(seed) &+ 0x9E37_79B9_7F4A_7C15
        var i = 0
        while i + 8 <= bytes.count {
            h = (h ^ bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self)) &* 0x0000_0100_0000_01b3
            h ^= h >> 29
            i += 8
        }
        while i < bytes.count {
            h = (h ^ UInt64(bytes[i])) &* 0x0000_0100_0000_01b3
            i += 1
        }
        return UInt32(truncatingIfNeeded: StableHash.mix(h))
    }
}
