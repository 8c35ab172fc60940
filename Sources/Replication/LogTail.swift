import ClusterModel

/// The entries of a log that are not known to be decided, oldest first, with the client's token at the primary.
struct LogTail {
    struct Item {
        var entry: Entry
        var token: RequestToken
        /// What the window of its session remembered in the place of its request.
        var displaced: RequestWindows.Slot
    }

    private var items: ContiguousArray<Item> = []
    private var head = 0

    var isEmpty: Bool { head == items.count }
    var count: Int { items.count - head }
    /// 0 is the oldest.
    subscript(position: Int) -> Item {
        get { items[head + position] }
        _modify { yield &items[head + position] }
    }

    mutating func append(_ entry: Entry, token: RequestToken, displaced: RequestWindows.Slot) {
        items.append(Item(entry: entry, token: token, displaced: displaced))
    }

    /// There is one: the caller counts.
    mutating func removeFirst() -> Item {
        let item = items[head]
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: head <= 4096)
            head = 0
        } else if head >= 1024, head * 2 >= items.count {
            items.removeFirst(head)
            head = 0
        }
        return item
    }

    mutating func removeLast() -> Item {
        let item = items.removeLast()
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        }
        return item
    }
}

extension EntryBody {
    func touches(_ object: ObjectID, _ blocks: BlockRange) -> Bool {
        switch self {
        case .write(let w): w.object == object && w.blocks.overlaps(blocks)
        case .zero(let z): z.object == object && z.blocks.overlaps(blocks)
        case .deleteRange(let d): d.file == object.file
        case .restate(let r): r.object == object
        case .empty, .namespace, .scrubMark: false
        }
    }
}
