import ClusterModel
import Wire

/// Inode and entry rows of several filesets, decoded, at most so many bytes of them: the least recently used go. Answers
/// questions about single inodes and names without the rows beneath (store.md, Namespace rows).
///
/// Invariants:
/// - for an owner, every row in it is the one behind the owner's last update: an update has all rows that its batch changed;
/// - that a name or an inode does not exist is kept like a row, and replaced by the update that makes it;
/// - `bytes` is the sum of what the rows in it count, and at most the limit.
public struct RowCache: Sendable {
    /// Whose rows: two that have the same number would see each other's.
    public struct Owner: Hashable, Sendable {
        let rawValue: UInt32
        public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    }

    private struct Key: Hashable {
        var owner: Owner
        /// Of an entry: the directory.
        var inode: InodeNumber
        /// Nil for an inode's row.
        var name: FileName?
    }

    private enum Row {
        case absent
        case entry(EntryRow)
        indirect case inode(InodeRow)
    }

    private struct Slot {
        var key: Key
        var row: Row
        var bytes: Int
        var newer: Int32
        var older: Int32
    }

    private static let none: Int32 = -1

    private let limit: Int
    private var slots: [Slot] = []
    private var free: [Int32] = []
    private var places: [Key: Int32] = [:]
    private var newest = RowCache.none
    private var oldest = RowCache.none
    public private(set) var bytes = 0

    /// An empty one for at most `limit` bytes, less than 2 GiB.
    public init(limit: Int) {
        self.limit = min(limit, Int(Int32.max))
    }

    /// Rows that it has.
    public var count: Int { places.count }

    /// Takes in the rows as they are behind a batch.
    public mutating func update(_ updates: RowUpdates, of owner: Owner) {
        for (number, row) in updates.inodes {
            put(Key(owner: owner, inode: number, name: nil), row.map { .inode($0) } ?? .absent)
        }
        for entry in updates.entries {
            put(Key(owner: owner, inode: entry.directory, name: entry.name), entry.row.map { .entry($0) } ?? .absent)
        }
    }

    /// Forgets all rows of an owner; costs a look at every row.
    public mutating func removeAll(of owner: Owner) {
        var slot = newest
        while slot != RowCache.none {
            let next = slots[Int(slot)].older
            if slots[Int(slot)].key.owner == owner { remove(slot) }
            slot = next
        }
        if places.isEmpty { self = RowCache(limit: limit) }
    }

    /// Answers as the machine would behind the owner's last update; nil if that takes rows that are not here, or if the
    /// question is not about single inodes and names. `now` is the primary's clock's.
    public mutating func answer(
        _ question: NamespaceQuestion, of fileset: FilesetID, owner: Owner, quota: QuotaStanding, at now: Timestamp
    ) -> NamespaceReply? {
        var view = InodeView(fileset: fileset, quota: quota, asker: question.session, now: now)
        // Moved, for a copy of the tables would be made at the first change.
        var rows = OwnedRows(cache: self, owner: owner)
        self = RowCache(limit: limit)
        defer { self = rows.cache }
        do {
            guard let answer = try rows.answer(question.query, question.credentials, &view) else { return nil }
            return NamespaceReply(answer: answer, moving: view.moving, showsWriting: view.showsWriting)
        } catch let failure as NamespaceFailure {
            return NamespaceReply(answer: .failed(failure), moving: [], showsWriting: false)
        } catch {
            // Not here, or damage: the machine will find it.
            return nil
        }
    }

    /// What a kept row tells of a session's registration as a writer.
    public enum Registration: Hashable, Sendable {
        /// The row is not here.
        case unknown
        case none
        /// With the time of the SETATTR that has overruled it.
        case registered(overruled: Timestamp?)
    }

    /// The session's registration in an owner's inode, as of the owner's last update.
    public mutating func registration(of session: SessionID, in inode: InodeNumber, owner: Owner) -> Registration {
        switch use(Key(owner: owner, inode: inode, name: nil)) {
        case .inode(let row):
            guard let writer = row.writers.first(where: { $0.session == session }) else { return .none }
            return .registered(overruled: writer.overruled)
        case .absent: return .none
        case .entry, nil: return .unknown
        }
    }

    private struct NotHere: Error {}

    /// The rows of one owner, while a question is answered.
    private struct OwnedRows: PointRows {
        var cache: RowCache
        let owner: Owner

        mutating func inode(_ number: InodeNumber) throws -> InodeRow? {
            switch cache.use(Key(owner: owner, inode: number, name: nil)) {
            case .inode(let row): return row
            case .absent: return nil
            case .entry, nil: throw NotHere()
            }
        }

        mutating func entry(_ directory: InodeNumber, _ name: FileName) throws -> EntryRow? {
            switch cache.use(Key(owner: owner, inode: directory, name: name)) {
            case .entry(let row): return row
            case .absent: return nil
            case .inode, nil: throw NotHere()
            }
        }
    }

    // MARK: - The list, from the newest to the oldest

    private mutating func use(_ key: Key) -> Row? {
        guard let slot = places[key] else { return nil }
        if slot != newest {
            unlink(slot)
            linkNewest(slot)
        }
        return slots[Int(slot)].row
    }

    private mutating func put(_ key: Key, _ row: Row) {
        let size = RowCache.size(key, row)
        if let slot = places[key] {
            bytes += size - slots[Int(slot)].bytes
            slots[Int(slot)].row = row
            slots[Int(slot)].bytes = size
            unlink(slot)
            linkNewest(slot)
        } else {
            let slot: Int32
            let content = Slot(key: key, row: row, bytes: size, newer: RowCache.none, older: RowCache.none)
            if let unused = free.popLast() {
                slot = unused
                slots[Int(slot)] = content
            } else {
                // A slot counts more than one byte, and the limit is below 2³¹.
                slot = Int32(slots.count)
                slots.append(content)
            }
            places[key] = slot
            bytes += size
            linkNewest(slot)
        }
        while bytes > limit, oldest != RowCache.none { remove(oldest) }
    }

    private mutating func remove(_ slot: Int32) {
        unlink(slot)
        let i = Int(slot)
        places[slots[i].key] = nil
        bytes -= slots[i].bytes
        slots[i].row = .absent
        slots[i].key.name = nil
        free.append(slot)
    }

    private mutating func unlink(_ slot: Int32) {
        let newer = slots[Int(slot)].newer
        let older = slots[Int(slot)].older
        if newer == RowCache.none { newest = older } else { slots[Int(newer)].older = older }
        if older == RowCache.none { oldest = newer } else { slots[Int(older)].newer = newer }
    }

    private mutating func linkNewest(_ slot: Int32) {
        slots[Int(slot)].newer = RowCache.none
        slots[Int(slot)].older = newest
        if newest == RowCache.none { oldest = slot } else { slots[Int(newest)].newer = slot }
        newest = slot
    }

    /// Of a row in memory: its slot, its place in the table (three quarters full at most), and its allocations, each with a
    /// header of 32 bytes. Room that the tables have ahead of need is not counted: at most as much again of the first two.
    private static func size(_ key: Key, _ row: Row) -> Int {
        let header = 32
        var size = MemoryLayout<Slot>.stride + (MemoryLayout<Key>.stride + MemoryLayout<Int32>.stride) * 4 / 3
        if let name = key.name { size += header + name.bytes.count }
        if case .inode(let row) = row {
            size += header + MemoryLayout<InodeRow>.stride
            if !row.target.isEmpty { size += header + row.target.count }
            if !row.writers.isEmpty { size += header + row.writers.count * MemoryLayout<WriterRegistration>.stride }
        }
        return size
    }
}
