import ClusterModel
import NIOCore
import Replication
import Store
import Transport
import Wire

/// Reads part of an object, with what is present, zero and absent, for a learner.
final class PieceReading {
    private let host: DiskHost
    private let payloads: PayloadTable
    private let pg: PGID
    private let object: ObjectID
    private let blocks: BlockRange
    private let done: (PieceContent?) -> Void
    private let reading: MendingRead
    /// Blocks that nobody holds, with their checksums.
    private var lost: [Int: UInt32] = [:]
    private var attempts = 0

    init(
        host: DiskHost, payloads: PayloadTable, pg: PGID, object: ObjectID, blocks: BlockRange,
        done: @escaping (PieceContent?) -> Void
    ) {
        self.host = host
        self.payloads = payloads
        self.pg = pg
        self.object = object
        self.blocks = blocks
        self.done = done
        reading = MendingRead(host: host, pg: pg, object: object)
    }

    func start() {
        attempts += 1
        if host.failure != nil || attempts > StorageLimits.readAttempts { return done(nil) }
        guard let version = host.version(pg, object, again: { self.start() }) else { return }
        // The rest of the object tells whether there is anything behind this piece.
        let rest = BlockRange(first: blocks.first, count: Geometry.blocksPerObject - blocks.first)
        guard let plan = host.plan(pg, object, rest, again: { self.start() }) else { return }
        var content: UInt64 = 0
        var zero: UInt64 = 0
        var missing: UInt64 = 0
        var checksums: [UInt32] = []
        var position = ListPosition.last
        for piece in plan.pieces {
            for (i, block) in (piece.blocks.first..<piece.blocks.end).enumerated() {
                if block >= blocks.end {
                    if piece.source != .absent { position = .more }
                    continue
                }
                let bit = UInt64(1) << UInt64(block - blocks.first)
                switch piece.source {
                case .absent: break
                case .zero: zero |= bit
                case .log, .data, .payload:
                    content |= bit
                    checksums.append(piece.checksums[i])
                    if lost[block] == piece.checksums[i] { missing |= bit }
                }
            }
        }
        let found = { [payloads] (bytes: ByteBuffer?) in
            PieceContent(
                content: content, zero: zero, lost: missing, checksums: checksums, version: version.version,
                truncation: TruncationMark(number: version.truncation, size: 0), position: position,
                payload: bytes.map(payloads.add))
        }
        var present = plan
        present.pieces = plan.contentBlocks { [blocks] in
            $0 < blocks.end && missing >> UInt64($0 - blocks.first) & 1 == 0
        }
        if present.pieces.isEmpty {
            host.finished(plan)
            return done(found(nil))
        }
        reading.read(present) { [self] outcome in
            switch outcome {
            case .read(let bytes): done(found(bytes))
            case .again: start()
            case .mended:
                attempts -= 1
                start()
            case .lost(let block):
                lost[block] = plan.checksum(of: block)
                start()
            case .notRead: done(nil)
            }
        }
    }
}
