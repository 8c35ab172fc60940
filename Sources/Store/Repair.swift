import ClusterModel
import Wire

/// A slot's blocks, written anew because some of them did not match their checksums (store.md, rule 5).
public struct SlotRepair: Hashable, Sendable {
    public var object: ObjectID
    /// Of the object, 0 … 63.
    public var slotIndex: Int
    /// Bit i: block i of the slot is in the payload, which holds these in order.
    public var content: UInt16
    /// One for each of them.
    public var checksums: [UInt32]
    /// Bit i: block i is present, and nobody holds it. It moves without its bytes, and stays bad.
    public var lost: UInt16
    public var lostChecksums: [UInt32]
    public init(
        object: ObjectID, slotIndex: Int, content: UInt16 = 0, checksums: [UInt32] = [], lost: UInt16 = 0,
        lostChecksums: [UInt32] = []
    ) {
        self.object = object
        self.slotIndex = slotIndex
        self.content = content
        self.checksums = checksums
        self.lost = lost
        self.lostChecksums = lostChecksums
    }

    /// Of a slot's blocks with content, ascending, each with its checksum; those that nobody holds are not `isHeld`. The payload
    /// is the bytes of the others, in this order.
    public init(object: ObjectID, slotIndex: Int, blocks: some Sequence<(piece: ReadPiece, isHeld: Bool)>) {
        self.init(object: object, slotIndex: slotIndex)
        for (piece, isHeld) in blocks {
            let bit: UInt16 = 1 << UInt16(piece.blocks.first - self.blocks.first)
            if isHeld {
                content |= bit
                checksums += piece.checksums
            } else {
                lost |= bit
                lostChecksums += piece.checksums
            }
        }
    }

    public var blocks: BlockRange {
        BlockRange(first: slotIndex * Geometry.blocksPerSlot, count: Geometry.blocksPerSlot)
    }
    var states: [BlockState] {
        (0..<Geometry.blocksPerSlot).map { content >> UInt16($0) & 1 == 1 ? .present : .absent }
    }
}

/// Moving a slot away from bytes that have gone bad: its blocks go through the log to a fresh slot, never in place.
///
/// Invariants:
/// - a repair changes where blocks lie, never what they are: only a block that is still what the repair was made for moves;
/// - a slot is left as a whole: if one of its blocks would stay behind, the repair does nothing, and whoever meets the bad
///   block again makes another one;
/// - a row says that it has met a repair even if that did nothing, so that no replay does it after its slot went to others.
extension Store {
    /// Writes a slot's present blocks anew; notice `durable`. All of them are in the payload, good by the checksums that the
    /// index had when they were read, or are named as lost.
    public func repair(_ pg: PGID, _ repair: SlotRepair, payload: PayloadHandle, token: StoreToken) {
        guard phase == .running else { return }
        precondition(
            repair.content != 0 && repair.blocks.end <= Geometry.blocksPerObject
                && repair.checksums.count == repair.content.nonzeroBitCount && repair.content & repair.lost == 0
                && repair.lostChecksums.count == repair.lost.nonzeroBitCount
                && payload.length == repair.checksums.count * Geometry.blockSize, "see the fields' ranges")
        enqueue(LogRecord(group: group(pg), body: .repair(repair), payload: payload, token: token))
    }

    func applyRepair(_ repair: SlotRepair, _ record: LogRecord) {
        defer { release(record) }
        guard let row = record.rows.first, let fresh = record.slots.first else { return }
        freshen(row)
        if row.content.installed >= record.order { return }
        row.content.installed = record.order
        markDirty(row)
        let i = repair.slotIndex % Geometry.slotsPerRow
        guard let moves = moves(repair, row, first: i * Geometry.blocksPerSlot) else { return }
        let old = row.content.slot(i)
        row.content.setSlot(i, fresh)
        for move in moves {
            guard let payload = move.payload else {
                overlayBlocks -= row.content.removeInLog(first: move.block, count: 1)
                continue
            }
            overlayBlocks += row.content.setInLog(
                first: move.block, count: 1, position: record.payloadPosition + payload * Geometry.blockSize)
        }
        if old != 0, old != fresh { unlink(old) }
    }

    /// Which blocks of the row move, and where they are in the payload, in blocks; nil if one would stay behind.
    private func moves(_ repair: SlotRepair, _ row: HotRow, first: Int) -> [(block: Int, payload: Int?)]? {
        var moves: [(block: Int, payload: Int?)] = []
        var next = 0
        var nextLost = 0
        for b in 0..<Geometry.blocksPerSlot {
            let isGiven = repair.content >> UInt16(b) & 1 == 1
            let isLost = repair.lost >> UInt16(b) & 1 == 1
            defer {
                if isGiven { next += 1 }
                if isLost { nextLost += 1 }
            }
            let block = first + b
            guard row.content.state(block) == .present else { continue }
            if isGiven, row.content.checksum(block) == repair.checksums[next] {
                moves.append((block, next))
                continue
            }
            if isLost, row.content.checksum(block) == repair.lostChecksums[nextLost] {
                moves.append((block, nil))
                continue
            }
            // What was written since lies in the log, from where a later checkpoint takes it to the slot that the row has
            // then; the one under way takes it to the old slot.
            guard let position = row.content.logPosition(block), row.frozen?.logPosition(block) != position else {
                return nil
            }
        }
        return moves.isEmpty ? nil : moves
    }
}
