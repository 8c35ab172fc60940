import ClusterModel
import Wire

/// A file's part in one group while any of its rows is in memory: its last cut, and how many blocks it has.
final class FileState {
    let pg: Group
    let file: FileID
    var cut: FileCut?
    /// Present blocks of the file in this group; all that is applied is counted.
    var blocks: Int64
    /// The file's row as the index has it: its blocks are always the sum over the rows that the index has.
    var durable: FileRow
    /// In the list of files whose row goes with the transaction being built.
    var isTouched = false
    /// Changed since the last freeze.
    var isDirty = false
    /// Its cut has not been carried to all rows yet.
    var isPurging = false
    /// The checkpoint after which all rows in the index have the cut; 0 when they have it already.
    var carriedBy = 0
    /// The cut is no reason to raise versions: a learner's object may lack pieces.
    var withholdsVersions = false
    /// Objects in memory, in no particular order.
    var objects: [HotObject] = []
    /// Records under way that need it.
    var pins = 0

    init(pg: Group, file: FileID, row: FileRow) {
        self.pg = pg
        self.file = file
        cut = row.cut
        blocks = row.blocks
        durable = row
    }
    var isIdle: Bool { objects.isEmpty && !isDirty && !isPurging && pins == 0 }
}

/// An object while any of its rows is in memory.
final class HotObject {
    let id: ObjectID
    unowned let file: FileState
    var pg: Group { file.pg }
    var version: EntryName
    var rows: [HotRow?] = [nil, nil, nil, nil]
    var rowCount = 0
    var isDirty = false
    /// In the checkpoint under way: its row in the index may be older.
    var isFrozen = false
    /// Removed: its row goes with the next checkpoint.
    var isDeleted = false
    /// During recovery: a learner's piece of it was lost, and no later one completes it.
    var lacksPiece = false

    init(id: ObjectID, file: FileState, version: EntryName) {
        self.id = id
        self.file = file
        self.version = version
    }
}

/// A row of one MiB in memory.
final class HotRow {
    let object: HotObject
    let mebibyte: Int
    /// With everything that is applied.
    var content: RowContent
    /// As it was at the position of the checkpoint under way.
    var frozen: RowContent?
    /// The words that the index has.
    var durableWords: [UInt32]
    var isDirty = false
    /// Records and reads under way that need it in memory.
    var pins = 0
    /// Of the second-chance replacement.
    var wasUsed = true
    /// Slots that records not yet applied name for it; empty if none, else 16.
    var claimed: [UInt32] = []

    init(object: HotObject, mebibyte: Int, content: RowContent) {
        self.object = object
        self.mebibyte = mebibyte
        self.content = content
        durableWords = content.words
    }

    var key: ContentKey { ContentKey(object: object.id, mebibyte: mebibyte) }
    var isEvictable: Bool { !isDirty && frozen == nil && pins == 0 }
    /// The object's block number of the row's first block.
    var firstBlock: Int { mebibyte * Geometry.blocksPerRow }
    /// Those of the object's blocks that lie in this row, counted from its first; empty if none does.
    func part(of blocks: BlockRange) -> Range<Int> {
        let low = max(blocks.first, firstBlock) - firstBlock
        return low..<max(low, min(blocks.end, firstBlock + Geometry.blocksPerRow) - firstBlock)
    }
}

/// A first-in first-out queue over an array; the front is not moved at every removal.
struct Queue<Element> {
    private var items: [Element] = []
    private var head = 0
    var isEmpty: Bool { head == items.count }
    var count: Int { items.count - head }
    var first: Element? { head < items.count ? items[head] : nil }
    var last: Element? { head < items.count ? items[items.count - 1] : nil }
    /// From the front.
    subscript(_ i: Int) -> Element { items[head + i] }
    mutating func append(_ e: Element) { items.append(e) }
    mutating func removeFirst() -> Element {
        let e = items[head]
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: items.capacity < 1_024)
            head = 0
        } else if head > 256, head * 2 > items.count {
            items.removeFirst(head)
            head = 0
        }
        return e
    }
    mutating func removeLast() -> Element { items.removeLast() }
}
