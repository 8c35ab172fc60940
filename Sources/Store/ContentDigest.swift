import ClusterModel

/// What an index says of an object's content: equal on all replicas that have applied the same entries, wherever their blocks
/// lie.
public struct ContentDigest: Hashable, Sendable {
    /// Over the states and checksums of all blocks that are not absent; 0 if there is none.
    public var value: UInt32
    /// Blocks with content.
    public var blocks: Int

    /// Of a plan for the whole object.
    public init(_ plan: ReadPlan) {
        var digest: UInt64 = 0
        blocks = 0
        for piece in plan.pieces where piece.source != .absent {
            let isZero = piece.source == .zero
            for i in 0..<piece.blocks.count {
                let checksum = isZero ? 0 : UInt64(piece.checksums[i])
                digest = StableHash.combine(
                    digest, UInt64(piece.blocks.first + i) << 33 | (isZero ? 1 : 0) << 32 | checksum)
            }
            blocks += piece.checksums.count
        }
        value = UInt32(truncatingIfNeeded: digest)
    }
}
