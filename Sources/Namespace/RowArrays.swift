import ClusterModel

/// Rows in sorted arrays, for the simulator and as the plain example that SQLite is compared with. What is committed
/// survives `crash`; the rest does not.
public final class RowArrays: NamespaceRows {
    private struct Content {
        var rows = SortedRows<NamespaceKey, Stored>()
        var byVersion = SortedRows<ChangePosition, Void>()
        var tombstones = SortedRows<NamespaceKey, UInt64>()
        var tombstonesByVersion = SortedRows<ChangePosition, Void>()
        var replies = SortedRows<UInt64, [UInt8]>()
        var state: [UInt8]?
        var horizon: UInt64 = 0
    }

    private struct Stored {
        var version: UInt64
        var value: [UInt8]
    }

    private var content = Content()
    private var committed = Content()

    public init() {}

    /// What a process that dies leaves to the next.
    public func crash() { content = committed }

    /// Live rows, for tests of leaks and bounds.
    public var rowCount: Int { content.rows.count }
    public var replyCount: Int { content.replies.count }
    public var tombstoneCount: Int { content.tombstones.count }

    public func value(of key: NamespaceKey) -> [UInt8]? { content.rows[key]?.value }

    public func rows(from lower: NamespaceKey, below upper: NamespaceKey, limit: Int) -> [NamespaceRow] {
        var result: [NamespaceRow] = []
        content.rows.forEach(from: lower) { key, stored in
            guard key < upper, result.count < limit else { return .end }
            result.append(NamespaceRow(key: key, version: stored.version, value: stored.value))
            return .more
        }
        return result
    }

    public func changes(after position: ChangePosition, limit: Int) -> [ChangedRow] {
        var positions: [ChangePosition] = []
        content.byVersion.forEach(from: position) { place, _ in
            guard positions.count < limit else { return .end }
            if place > position { positions.append(place) }
            return .more
        }
        let live = positions.count
        content.tombstonesByVersion.forEach(from: position) { place, _ in
            guard positions.count - live < limit else { return .end }
            if place > position, content.rows[place.key] == nil { positions.append(place) }
            return .more
        }
        return positions.sorted().prefix(limit).map {
            ChangedRow(key: $0.key, version: $0.version, value: content.rows[$0.key]?.value)
        }
    }

    public func tombstoneHorizon() -> UInt64 { content.horizon }
    public func reply(_ n: UInt64) -> [UInt8]? { content.replies[n] }

    public func replies(after n: UInt64, limit: Int) -> [KeptReply] {
        var result: [KeptReply] = []
        guard n < UInt64.max else { return [] }
        content.replies.forEach(from: n + 1) { n, bytes in
            guard result.count < limit else { return .end }
            result.append(KeptReply(n: n, bytes: bytes))
            return .more
        }
        return result
    }

    public func state() -> [UInt8]? { content.state }

    public func put(_ key: NamespaceKey, _ value: [UInt8], version: UInt64) {
        if let old = content.rows.updateValue(Stored(version: version, value: value), forKey: key) {
            content.byVersion.removeValue(forKey: ChangePosition(version: old.version, key: key))
        }
        content.byVersion.updateValue((), forKey: ChangePosition(version: version, key: key))
    }

    public func delete(_ key: NamespaceKey, version: UInt64) {
        if let old = content.rows.removeValue(forKey: key) {
            content.byVersion.removeValue(forKey: ChangePosition(version: old.version, key: key))
        }
        if let old = content.tombstones.updateValue(version, forKey: key) {
            content.tombstonesByVersion.removeValue(forKey: ChangePosition(version: old, key: key))
        }
        content.tombstonesByVersion.updateValue((), forKey: ChangePosition(version: version, key: key))
    }

    public func putReply(_ n: UInt64, _ bytes: [UInt8]) { content.replies.updateValue(bytes, forKey: n) }
    public func deleteReply(_ n: UInt64) { content.replies.removeValue(forKey: n) }
    public func deleteAllReplies() { content.replies = SortedRows() }
    public func putState(_ bytes: [UInt8]) { content.state = bytes }

    public func pruneTombstones(through version: UInt64) {
        content.horizon = max(content.horizon, version)
        while let first = content.tombstonesByVersion.first, first.version <= version {
            content.tombstonesByVersion.removeValue(forKey: first)
            content.tombstones.removeValue(forKey: first.key)
        }
    }

    public func removeEverything(horizon: UInt64) {
        content = Content()
        content.horizon = horizon
    }

    public func commit() { committed = content }
    public func rollback() { content = committed }
}

/// A sorted map in pieces of at most 512 pairs, so that neither an insertion nor a copy moves everything.
struct SortedRows<Key: Comparable, Value> {
    enum Visit {
        case more
        case end
    }

    private static var most: Int { 512 }
    private struct Piece {
        var keys: [Key]
        var values: [Value]
    }
    /// None is empty.
    private var pieces: [Piece] = []
    private(set) var count = 0

    var first: Key? { pieces.first?.keys.first }

    subscript(key: Key) -> Value? {
        guard let p = piece(for: key) else { return nil }
        let i = SortedRows.place(of: key, in: pieces[p].keys)
        return i < pieces[p].keys.count && pieces[p].keys[i] == key ? pieces[p].values[i] : nil
    }

    @discardableResult
    mutating func updateValue(_ value: Value, forKey key: Key) -> Value? {
        guard let p = piece(for: key) else {
            pieces.append(Piece(keys: [key], values: [value]))
            count += 1
            return nil
        }
        let i = SortedRows.place(of: key, in: pieces[p].keys)
        if i < pieces[p].keys.count, pieces[p].keys[i] == key {
            let old = pieces[p].values[i]
            pieces[p].values[i] = value
            return old
        }
        pieces[p].keys.insert(key, at: i)
        pieces[p].values.insert(value, at: i)
        count += 1
        if pieces[p].keys.count > SortedRows.most {
            let half = SortedRows.most / 2
            let upper = Piece(keys: Array(pieces[p].keys[half...]), values: Array(pieces[p].values[half...]))
            pieces[p].keys.removeSubrange(half...)
            pieces[p].values.removeSubrange(half...)
            pieces.insert(upper, at: p + 1)
        }
        return nil
    }

    @discardableResult
    mutating func removeValue(forKey key: Key) -> Value? {
        guard let p = piece(for: key) else { return nil }
        let i = SortedRows.place(of: key, in: pieces[p].keys)
        guard i < pieces[p].keys.count, pieces[p].keys[i] == key else { return nil }
        pieces[p].keys.remove(at: i)
        let old = pieces[p].values.remove(at: i)
        if pieces[p].keys.isEmpty { pieces.remove(at: p) }
        count -= 1
        return old
    }

    /// In order, from the first key ≥ `lower`.
    func forEach(from lower: Key, _ body: (Key, Value) -> Visit) {
        guard var p = piece(for: lower) else { return }
        var i = SortedRows.place(of: lower, in: pieces[p].keys)
        while p < pieces.count {
            while i < pieces[p].keys.count {
                if body(pieces[p].keys[i], pieces[p].values[i]) == .end { return }
                i += 1
            }
            p += 1
            i = 0
        }
    }

    /// The last piece that begins at or before `key`, else the first.
    private func piece(for key: Key) -> Int? {
        if pieces.isEmpty { return nil }
        var low = 0
        var high = pieces.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if pieces[middle].keys[0] <= key { low = middle } else { high = middle }
        }
        return low
    }

    /// Of the first key ≥ `key`.
    private static func place(of key: Key, in keys: [Key]) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
