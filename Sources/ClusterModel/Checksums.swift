/// CRC32C (Castagnoli), continued from a seed. The shells pass the hardware instruction, tests and the simulator the table.
public struct CRC32C: Sendable {
    /// (crc so far, bytes) -> crc; start with 0.
    public let update: @Sendable (UInt32, UnsafeRawBufferPointer) -> UInt32
    public init(_ update: @escaping @Sendable (UInt32, UnsafeRawBufferPointer) -> UInt32) { self.update = update }

    /// Portable, a table of 256 words.
    public static let table = CRC32C { seed, bytes in
        var crc = ~seed
        for b in bytes { crc = lookup[Int((crc ^ UInt32(b)) & 0xff)] ^ (crc >> 8) }
        return ~crc
    }

    private static let lookup: [UInt32] = (0..<256).map { i in
        var c = UInt32(i)
        for _ in 0..<8 { c = c & 1 != 0 ? (c >> 1) ^ 0x82f6_3b78 : c >> 1 }
        return c
    }

    public func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 { update(0, bytes) }
    public func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { update(0, $0) } }

    /// A block's checksum covers its identity and its bytes, so that a misdirected or lost write does not pass (traps 28).
    public func block(_ object: ObjectID, block: Int, bytes: UnsafeRawBufferPointer) -> UInt32 {
        update(CRC32C.identitySeed(object, block: block), bytes)
    }

    /// A non-zero start value made of the block's identity.
    public static func identitySeed(_ object: ObjectID, block: Int) -> UInt32 {
        let file = StableHash.combine(UInt64(object.file.fileset.rawValue), object.file.inode.rawValue)
        let h = StableHash.combine(file, object.index &* UInt64(Geometry.blocksPerObject) &+ UInt64(block))
        return UInt32(truncatingIfNeeded: h) | 1
    }
}
