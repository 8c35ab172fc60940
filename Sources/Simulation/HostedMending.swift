import ClusterModel
import Replication
import Store
import Wire

/// What one read knows of blocks whose own copy is bad.
struct HeldBlocks {
    var found: [Int: (checksum: UInt32, bytes: [UInt8])] = [:]
    var lost: [Int: UInt32] = [:]

    func bytes(_ block: Int, _ checksum: UInt32) -> [UInt8]? {
        found[block].flatMap { $0.checksum == checksum ? $0.bytes : nil }
    }
    mutating func take(_ other: HeldBlocks) {
        for (block, held) in other.found { found[block] = held }
        for (block, checksum) in other.lost { lost[block] = checksum }
    }
}

/// Brings the bad blocks of one slot back, as `SlotMending` does in production.
final class HostedMending {
    private let disk: HostedDisk
    private let pg: PGID
    private let object: ObjectID
    private let slotIndex: Int
    private var blocks: [(piece: ReadPiece, bytes: [UInt8]?)] = []
    private var fetched = HeldBlocks()
    private var waiters: [(HeldBlocks) -> Void] = []
    private var isTold = false
    private var attempts = 0

    init(_ disk: HostedDisk, _ pg: PGID, _ object: ObjectID, slotIndex: Int) {
        self.disk = disk
        self.pg = pg
        self.object = object
        self.slotIndex = slotIndex
    }

    private var range: BlockRange {
        BlockRange(first: slotIndex * Geometry.blocksPerSlot, count: Geometry.blocksPerSlot)
    }

    func wait(_ done: @escaping (HeldBlocks) -> Void) {
        if isTold { done(fetched) } else { waiters.append(done) }
    }

    func start() {
        attempts += 1
        if attempts > 64 { return end() }
        guard let plan = disk.plan(pg, object, range, again: { self.start() }) else { return }
        let pieces = plan.contentBlocks
        disk.submit(.io) { [self] in
            let found = disk.readEach(pieces, object)
            return { [self] in
                let bad = zip(pieces, found).filter { $0.1 == nil }.map(\.0)
                let hasMoved = bad.contains { disk.store.verdict(plan, block: $0.blocks.first) == .readAgain }
                disk.store.readFinished(plan.ticket)
                if hasMoved { return start() }
                if bad.isEmpty { return end() }
                blocks = Array(zip(pieces, found))
                seek(bad)
            }
        }
    }

    private func seek(_ bad: [ReadPiece]) {
        var wanted = WantedBlocks(object: object, blocks: range, wanted: 0, checksums: [])
        for piece in bad {
            wanted.wanted |= 1 << UInt64(piece.blocks.first - range.first)
            wanted.checksums += piece.checksums
        }
        guard let replica = disk.simulator.replica(disk.n, pg) else { return givenUp() }
        replica.seek(wanted, for: self)
    }

    /// Gives those that hold their checksums.
    func found(_ given: WantedBlocks, _ bytes: [UInt8], isChecked: Bool) -> UInt64 {
        var good: UInt64 = 0
        var next = 0
        for i in 0..<given.blocks.count where given.wanted >> UInt64(i) & 1 == 1 {
            defer { next += 1 }
            let block = given.blocks.first + i
            let part = Array(bytes[next * Geometry.blockSize..<(next + 1) * Geometry.blockSize])
            guard
                !isChecked || BlockContent.checksums(object, first: block, part) == [given.checksums[next]],
                let at = blocks.firstIndex(where: { $0.piece.blocks.first == block && $0.bytes == nil })
            else { continue }
            blocks[at].bytes = part
            fetched.found[block] = (given.checksums[next], part)
            good |= 1 << UInt64(i)
        }
        return good
    }

    func searchEnded() {
        for item in blocks where item.bytes == nil { fetched.lost[item.piece.blocks.first] = item.piece.checksums[0] }
        tell()
        guard !fetched.found.isEmpty else { return disk.mended(object, slotIndex) }
        let repair = SlotRepair(
            object: object, slotIndex: slotIndex, blocks: blocks.lazy.map { ($0.piece, $0.bytes != nil) })
        let whole = blocks.flatMap { $0.bytes ?? [] }
        disk.simulator.counts["mended", default: 0] += fetched.found.count
        disk.simulator.tell("\(disk.node.id) mends \(fetched.found.count) blocks of \(object) in \(pg)")
        disk.store.repair(
            pg, repair, payload: disk.node.keep(whole),
            token: disk.token { [self] _ in disk.mended(object, slotIndex) })
        disk.simulator.needsCycleEnd(disk.n)
    }

    func givenUp() {
        for item in blocks where item.bytes == nil { fetched.lost[item.piece.blocks.first] = item.piece.checksums[0] }
        end()
    }

    private func tell() {
        isTold = true
        let all = waiters
        waiters = []
        for waiter in all { waiter(fetched) }
    }

    private func end() {
        disk.mended(object, slotIndex)
        tell()
    }
}

extension HostedDisk {
    struct Slot: Hashable {
        var object: ObjectID
        var index: Int
    }

    /// Brings a bad block back, and all others of its slot.
    func mend(_ pg: PGID, _ object: ObjectID, block: Int, done: @escaping (HeldBlocks) -> Void) {
        let slot = Slot(object: object, index: block / Geometry.blocksPerSlot)
        if let mending = mendings[slot] { return mending.wait(done) }
        let mending = HostedMending(self, pg, object, slotIndex: slot.index)
        mendings[slot] = mending
        mending.wait(done)
        mending.start()
    }

    func mended(_ object: ObjectID, _ slotIndex: Int) { mendings[Slot(object: object, index: slotIndex)] = nil }

    /// Each piece by itself; nil for one that does not match.
    func readEach(_ pieces: [ReadPiece], _ object: ObjectID) -> [[UInt8]?] {
        pieces.map { piece in
            if case .bytes(let bytes) = disk.read(piece, of: object, payload: { _ in [] }) { return bytes }
            return nil
        }
    }

    /// Reads blocks that another replica has lost. A mutant gives what it has, whatever its checksum.
    func give(
        _ pg: PGID, _ wanted: WantedBlocks, isChecked: Bool, attempt: Int = 1,
        done: @escaping (UInt64, [UInt8]) -> Void
    ) {
        let again = { [unowned self] in
            give(pg, wanted, isChecked: isChecked, attempt: attempt + 1, done: done)
        }
        if attempt > 64 { return done(0, []) }
        guard let plan = plan(pg, wanted.object, wanted.blocks, again: again) else { return }
        let pieces = plan.contentBlocks.filter { piece in
            let i = piece.blocks.first - wanted.blocks.first
            guard wanted.wanted >> UInt64(i) & 1 == 1 else { return false }
            let k = (wanted.wanted & ((1 << UInt64(i)) - 1)).nonzeroBitCount
            return !isChecked || wanted.checksums[k] == piece.checksums[0]
        }
        submit(.io) { [unowned self] in
            let found = readEach(pieces, wanted.object)
            return { [unowned self] in
                let hasMoved = zip(pieces, found).contains {
                    $0.1 == nil && store.verdict(plan, block: $0.0.blocks.first) == .readAgain
                }
                store.readFinished(plan.ticket)
                if hasMoved { return again() }
                var content: UInt64 = 0
                var whole: [UInt8] = []
                for (piece, bytes) in zip(pieces, found) {
                    guard let bytes else { continue }
                    content |= 1 << UInt64(piece.blocks.first - wanted.blocks.first)
                    whole += bytes
                }
                done(content, whole)
            }
        }
    }
}

extension ReadPlan {
    /// Each block with content by itself.
    public var contentBlocks: [ReadPiece] { pieces.flatMap { $0.checksums.isEmpty ? [] : $0.eachBlock } }
}

extension ReadPiece {
    var eachBlock: [ReadPiece] {
        (0..<blocks.count).map { i in
            ReadPiece(
                blocks: BlockRange(first: blocks.first + i, count: 1), source: source.moved(byBlocks: i),
                checksums: i < checksums.count ? [checksums[i]] : [])
        }
    }
}
