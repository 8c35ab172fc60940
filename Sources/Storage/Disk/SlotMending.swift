import ClusterModel
import NIOCore
import Replication
import Store
import Transport
import Wire

/// The mending of a disk's bad blocks under way, by slot.
///
/// Invariant: a slot is mended by one at a time; who meets it meanwhile waits for that one's outcome.
final class Mendings {
    private unowned let host: DiskHost
    private var active: [Slot: SlotMending] = [:]
    private var waiting: [(slot: Slot, mending: SlotMending)] = []
    private var running = 0

    struct Slot: Hashable {
        var object: ObjectID
        var index: Int
    }

    /// Slots mended at once, each with at most 64 KiB in memory and in the log; the others wait.
    private static let atOnce = 16

    init(host: DiskHost) { self.host = host }

    /// Brings a bad block back, and all others of its slot; `done` comes when their bytes are here, or are nowhere.
    func mend(_ pg: PGID, _ object: ObjectID, block: Int, done: @escaping (SlotMending.Outcome) -> Void) {
        let slot = Slot(object: object, index: block / Geometry.blocksPerSlot)
        if let mending = active[slot] { return mending.wait(done) }
        let mending = SlotMending(host: host, pg: pg, object: object, slotIndex: slot.index)
        active[slot] = mending
        mending.wait(done)
        waiting.append((slot, mending))
        next()
    }

    private func next() {
        while running < Self.atOnce, !waiting.isEmpty {
            let (slot, mending) = waiting.removeFirst()
            running += 1
            mending.ended = { [unowned self] in
                active[slot] = nil
                running -= 1
                next()
            }
            mending.start()
        }
    }
}

/// Brings the bad blocks of one slot back (store.md, rule 5): all its blocks are read, those that do not match are taken
/// from replicas that hold them by checksum, and all of them are written to a fresh slot through the log. Readers go on as
/// soon as the bytes are here.
///
/// A block that no replica holds stays bad: what is written over it makes it good again. If nothing was found, nothing is
/// written.
final class SlotMending {
    /// A block that another replica gave.
    struct Block {
        var block: Int
        var checksum: UInt32
        var bytes: ByteBuffer
    }
    struct Outcome {
        var found: [Block] = []
        /// With the checksums under which nobody holds them.
        var lost: [(block: Int, checksum: UInt32)] = []
    }

    private let host: DiskHost
    private let pg: PGID
    private let object: ObjectID
    private let slotIndex: Int
    private var attempts = 0
    /// Blocks with content, ascending; nil where they are bad.
    private var blocks: [(piece: ReadPiece, bytes: ByteBuffer?)] = []
    private var outcome: Outcome?
    private var waiters: [(Outcome) -> Void] = []
    var ended: () -> Void = {}

    init(host: DiskHost, pg: PGID, object: ObjectID, slotIndex: Int) {
        self.host = host
        self.pg = pg
        self.object = object
        self.slotIndex = slotIndex
    }

    func wait(_ done: @escaping (Outcome) -> Void) {
        if let outcome { done(outcome) } else { waiters.append(done) }
    }

    private var range: BlockRange {
        BlockRange(first: slotIndex * Geometry.blocksPerSlot, count: Geometry.blocksPerSlot)
    }

    func start() {
        attempts += 1
        if host.failure != nil || attempts > StorageLimits.readAttempts { return end(Outcome()) }
        guard let plan = host.plan(pg, object, range, again: { self.start() }) else { return }
        let pieces = plan.contentBlocks()
        var each = plan
        each.pieces = pieces
        host.readEach(host.reader(for: each)) { [self] found in
            let bad = zip(pieces, found).filter { $0.1 == nil }.map(\.0)
            let hasMoved = bad.contains { host.verdict(plan, block: $0.blocks.first) == .readAgain }
            host.finished(plan)
            if hasMoved || found.count != pieces.count { return start() }
            if bad.isEmpty { return end(Outcome()) }
            blocks = Array(zip(pieces, found))
            seek(bad)
        }
    }

    private func seek(_ bad: [ReadPiece]) {
        host.node?.counters.badBlocks += UInt64(bad.count)
        host.met(badBlocks: bad.count)
        var wanted = WantedBlocks(object: object, blocks: range, wanted: 0, checksums: [])
        for piece in bad {
            wanted.wanted |= 1 << UInt64(piece.blocks.first - range.first)
            wanted.checksums += piece.checksums
        }
        guard let replica = host.replica(pg) else { return givenUp() }
        replica.seek(wanted, for: self)
    }

    /// Another replica says that these are the blocks; gives those that are, as bits of the range.
    func found(_ given: WantedBlocks, _ bytes: ByteBuffer) -> UInt64 {
        var good: UInt64 = 0
        var next = 0
        for i in 0..<given.blocks.count where given.wanted >> UInt64(i) & 1 == 1 {
            defer { next += 1 }
            let block = given.blocks.first + i
            guard
                let slice = bytes.getSlice(
                    at: bytes.readerIndex + next * Geometry.blockSize, length: Geometry.blockSize),
                slice.withUnsafeReadableBytes({ BlockChecksums.compute(object, first: block, $0) })
                    == [given.checksums[next]],
                let at = blocks.firstIndex(where: { $0.piece.blocks.first == block && $0.bytes == nil })
            else { continue }
            blocks[at].bytes = slice
            fetched.append(Block(block: block, checksum: given.checksums[next], bytes: slice))
            good |= 1 << UInt64(i)
        }
        return good
    }
    private var fetched: [Block] = []

    /// What is not here by now nobody has.
    func searchEnded() {
        var outcome = Outcome(found: fetched)
        for item in blocks where item.bytes == nil {
            outcome.lost.append((item.piece.blocks.first, item.piece.checksums[0]))
        }
        tell(outcome)
        if !outcome.lost.isEmpty {
            let lost = outcome.lost.map(\.block)
            host.lost(lost, of: object, in: pg, blocksInWords(lost))
        }
        if fetched.isEmpty { ended() } else { write() }
    }

    /// The group has no replica here any more: what was found is not written, and nobody is told that the rest is lost.
    func givenUp() {
        var outcome = Outcome(found: fetched)
        for item in blocks where item.bytes == nil {
            outcome.lost.append((item.piece.blocks.first, item.piece.checksums[0]))
        }
        end(outcome)
    }

    private func write() {
        let repair = SlotRepair(
            object: object, slotIndex: slotIndex, blocks: blocks.lazy.map { ($0.piece, $0.bytes != nil) })
        var whole = ByteBufferAllocator().buffer(capacity: blocks.count * Geometry.blockSize)
        for case (_, let bytes?) in blocks { whole.writeImmutableBuffer(bytes) }
        let mended = fetched.map(\.block)
        host.repair(pg, repair, whole) { [self] in
            // Of a group that leaves the disk nothing is written any more.
            if host.replica(pg) == nil { return ended() }
            host.node?.counters.mendedBlocks += UInt64(mended.count)
            host.note(
                "\(blocksInWords(mended)) of \(object) in \(pg) did not match: taken from another replica, and written anew"
            )
            ended()
        }
    }

    private func blocksInWords(_ blocks: [Int]) -> String {
        (blocks.count == 1 ? "block " : "blocks ") + blocks.map { "\($0)" }.joined(separator: ", ")
    }

    private func tell(_ outcome: Outcome) {
        self.outcome = outcome
        let all = waiters
        waiters = []
        for waiter in all { waiter(outcome) }
    }

    private func end(_ outcome: Outcome) {
        ended()
        tell(outcome)
    }
}
