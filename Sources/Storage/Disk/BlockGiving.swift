import ClusterModel
import NIOCore
import Store
import Wire

/// Reads blocks that another replica has lost: those that the index here has under the same checksums, and that match them.
final class BlockGiving {
    private let host: DiskHost
    private let pg: PGID
    private let wanted: WantedBlocks
    /// Bit i: block i of the range is in the bytes.
    private let done: (_ content: UInt64, ByteBuffer?) -> Void
    private var attempts = 0

    init(host: DiskHost, pg: PGID, wanted: WantedBlocks, done: @escaping (UInt64, ByteBuffer?) -> Void) {
        self.host = host
        self.pg = pg
        self.wanted = wanted
        self.done = done
    }

    func start() {
        attempts += 1
        if host.failure != nil || attempts > StorageLimits.readAttempts || wanted.blocks.count == 0 {
            return done(0, nil)
        }
        guard let plan = host.plan(pg, wanted.object, wanted.blocks, again: { self.start() }) else { return }
        let pieces = plan.contentBlocks { [wanted] in wanted.checksum(of: $0) == plan.checksum(of: $0) }
        var each = plan
        each.pieces = pieces
        host.readEach(host.reader(for: each)) { [self] found in
            let hasMoved = zip(pieces, found).contains {
                $0.1 == nil && host.verdict(plan, block: $0.0.blocks.first) == .readAgain
            }
            host.finished(plan)
            if hasMoved || found.count != pieces.count { return start() }
            give(pieces, found)
        }
    }

    private func give(_ pieces: [ReadPiece], _ found: [ByteBuffer?]) {
        var content: UInt64 = 0
        var whole = ByteBufferAllocator().buffer(capacity: pieces.count * Geometry.blockSize)
        for (piece, bytes) in zip(pieces, found) {
            // A bad one here is not mended now: two replicas that lack the same block would ask each other for ever.
            guard let bytes else { continue }
            content |= 1 << UInt64(piece.blocks.first - wanted.blocks.first)
            whole.writeImmutableBuffer(bytes)
        }
        done(content, content == 0 ? nil : whole)
    }
}

extension WantedBlocks {
    /// Nil for a block that is not wanted.
    func checksum(of block: Int) -> UInt32? {
        let i = block - blocks.first
        guard i >= 0, i < blocks.count, wanted >> UInt64(i) & 1 == 1 else { return nil }
        return checksums[(wanted & ((1 << UInt64(i)) - 1)).nonzeroBitCount]
    }
}
