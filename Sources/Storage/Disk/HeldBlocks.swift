import ClusterModel
import NIOCore
import Store

/// What one read knows of blocks whose own copy is bad: the bytes that another replica gave, or that nobody has them.
struct HeldBlocks {
    private var found: [Int: SlotMending.Block] = [:]
    private var lost: [Int: UInt32] = [:]

    var isEmpty: Bool { found.isEmpty }
    var foundCount: Int { found.count }

    /// Whether the outcome says anything of a block that was bad under this checksum.
    mutating func take(_ outcome: SlotMending.Outcome, for block: Int, checksum: UInt32) -> Bool {
        for found in outcome.found { self.found[found.block] = found }
        for (block, checksum) in outcome.lost { lost[block] = checksum }
        return found[block]?.checksum == checksum || lost[block] == checksum
    }

    /// Whether the block was sought under this checksum, and not found.
    func isLost(_ block: Int, checksum: UInt32?) -> Bool { checksum != nil && lost[block] == checksum }

    /// The piece in parts that lie on the disk, and blocks that are held here.
    func split(_ piece: ReadPiece) -> [(piece: ReadPiece, held: ByteBuffer?)] {
        var parts: [(piece: ReadPiece, held: ByteBuffer?)] = []
        for i in 0..<piece.blocks.count {
            let block = piece.blocks.first + i
            let sums = i < piece.checksums.count ? [piece.checksums[i]] : []
            let held = found[block].flatMap { sums == [$0.checksum] ? $0.bytes : nil }
            if held == nil, let last = parts.last, last.held == nil {
                parts[parts.count - 1].piece.blocks.count += 1
                parts[parts.count - 1].piece.checksums += sums
            } else {
                let part = ReadPiece(
                    blocks: BlockRange(first: block, count: 1), source: piece.source.moved(byBlocks: i),
                    checksums: sums)
                parts.append((part, held))
            }
        }
        return parts
    }
}

/// Reads the blocks of plans for one reader; what turns out to be bad is taken from another replica, and mended here
/// (store.md, rule 5). Nothing is done for that unless a block does not match.
final class MendingRead {
    private let host: DiskHost
    private let pg: PGID
    private let object: ObjectID
    private var held = HeldBlocks()

    enum Outcome {
        case read(ByteBuffer)
        /// Something has moved: ask for a new plan.
        case again
        /// Bad blocks were brought from elsewhere, or given up: ask for a new plan. Each block at most once.
        case mended
        /// The disk's thread takes no more work.
        case notRead
        /// No replica that may be asked holds this block.
        case lost(block: Int)
    }

    /// Bad blocks that were brought from elsewhere so far.
    var foundCount: Int { held.foundCount }

    init(host: DiskHost, pg: PGID, object: ObjectID) {
        self.host = host
        self.pg = pg
        self.object = object
    }

    /// Reads all pieces of the plan, and ends it.
    func read(_ plan: ReadPlan, done: @escaping (Outcome) -> Void) {
        host.readBlocks(host.reader(for: plan, held: held)) { [self] outcome in
            switch outcome {
            case .read(let bytes):
                host.finished(plan)
                done(.read(bytes))
            case .notRead:
                host.finished(plan)
                done(.notRead)
            case .wouldBlock: preconditionFailure("the executor goes to an I/O thread before it answers")
            case .mismatch(let block):
                let verdict = host.verdict(plan, block: block)
                host.finished(plan)
                switch verdict {
                case .readAgain: done(.again)
                case .bad: mend(block, plan.checksum(of: block), done)
                }
            }
        }
    }

    private func mend(_ block: Int, _ checksum: UInt32?, _ done: @escaping (Outcome) -> Void) {
        guard let checksum, !held.isLost(block, checksum: checksum) else { return done(.lost(block: block)) }
        host.mendings.mend(pg, object, block: block) { [self] outcome in
            done(held.take(outcome, for: block, checksum: checksum) ? .mended : .again)
        }
    }
}

extension ReadPlan {
    /// Nil for a block without content.
    func checksum(of block: Int) -> UInt32? {
        guard let piece = pieces.first(where: { $0.blocks.first <= block && block < $0.blocks.end }) else { return nil }
        let i = block - piece.blocks.first
        return i < piece.checksums.count ? piece.checksums[i] : nil
    }

    /// Each block with content by itself.
    func contentBlocks(where isWanted: (Int) -> Bool = { _ in true }) -> [ReadPiece] {
        pieces.flatMap { piece in
            piece.checksums.indices.compactMap { i in
                let block = piece.blocks.first + i
                guard isWanted(block) else { return nil }
                return ReadPiece(
                    blocks: BlockRange(first: block, count: 1), source: piece.source.moved(byBlocks: i),
                    checksums: [piece.checksums[i]])
            }
        }
    }
}
