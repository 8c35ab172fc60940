import ClusterModel

/// Rows in sorted arrays, for the simulator and as the plain example that SQLite is compared with. What is committed
/// survives `crash`; the rest does not. What is committed and not synced goes with `losePower`, the last transactions first.
public final class RowArrays: NamespaceRows {
    /// When a transaction is durable.
    public enum Syncing: Sendable {
        /// With its commit: there is nothing that a loss of power could take.
        case withCommit
        /// With the next `sync`.
        case apart
    }

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

    /// What a change took the place of.
    private enum Undo {
        case row(NamespaceKey, Stored?)
        case tombstone(NamespaceKey, UInt64?)
        case reply(UInt64, [UInt8]?)
        case state([UInt8]?)
        case horizon(UInt64)
        case everything(Content)
    }

    private let syncing: Syncing
    private var content = Content()
    /// Of all changes that are not durable, in their order.
    private var journal: [Undo] = []
    /// Where in the journal each transaction that is not durable ended.
    private var ends: [Int] = []

    /// Empty ones.
    public init(syncing: Syncing = .withCommit) { self.syncing = syncing }

    /// What a process that dies leaves to the next.
    public func crash() { undo(to: ends.last ?? 0) }

    /// Transactions that are not durable.
    public var unsynced: Int { ends.count }

    /// Makes all that is committed durable.
    public func sync() {
        guard let end = ends.last else { return }
        journal.removeFirst(end)
        ends = []
    }

    /// Of what is not durable, the first `kept` transactions are there; nothing behind them is.
    public func losePower(keeping kept: Int) {
        undo(to: kept > 0 ? ends[kept - 1] : 0)
        ends = []
        journal = []
    }

    private func undo(to place: Int) {
        while journal.count > place, let change = journal.popLast() {
            switch change {
            case .row(let key, let old): exchangeRow(key, old)
            case .tombstone(let key, let old): exchangeTombstone(key, old)
            case .reply(let n, let old): exchangeReply(n, old)
            case .state(let old): content.state = old
            case .horizon(let old): content.horizon = old
            case .everything(let old): content = old
            }
        }
    }

    @discardableResult
    private func exchangeRow(_ key: NamespaceKey, _ new: Stored?) -> Stored? {
        let old =
            if let new { content.rows.updateValue(new, forKey: key) } else { content.rows.removeValue(forKey: key) }
        if let old { content.byVersion.removeValue(forKey: ChangePosition(version: old.version, key: key)) }
        if let new { content.byVersion.updateValue((), forKey: ChangePosition(version: new.version, key: key)) }
        return old
    }

    @discardableResult
    private func exchangeTombstone(_ key: NamespaceKey, _ new: UInt64?) -> UInt64? {
        let old =
            if let new {
                content.tombstones.updateValue(new, forKey: key)
            } else {
                content.tombstones.removeValue(forKey: key)
            }
        if let old { content.tombstonesByVersion.removeValue(forKey: ChangePosition(version: old, key: key)) }
        if let new { content.tombstonesByVersion.updateValue((), forKey: ChangePosition(version: new, key: key)) }
        return old
    }

    @discardableResult
    private func exchangeReply(_ n: UInt64, _ new: [UInt8]?) -> [UInt8]? {
        if let new { return content.replies.updateValue(new, forKey: n) }
        return content.replies.removeValue(forKey: n)
    }

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
        journal.append(.row(key, exchangeRow(key, Stored(version: version, value: value))))
    }

    public func delete(_ key: NamespaceKey, version: UInt64) {
        if let old = exchangeRow(key, nil) { journal.append(.row(key, old)) }
        journal.append(.tombstone(key, exchangeTombstone(key, version)))
    }

    public func putReply(_ n: UInt64, _ bytes: [UInt8]) { journal.append(.reply(n, exchangeReply(n, bytes))) }

    public func deleteReply(_ n: UInt64) {
        if let old = exchangeReply(n, nil) { journal.append(.reply(n, old)) }
    }

    public func deleteAllReplies() {
        journal.append(.everything(content))
        content.replies = SortedRows()
    }

    public func putState(_ bytes: [UInt8]) {
        journal.append(.state(content.state))
        content.state = bytes
    }

    public func pruneTombstones(through version: UInt64, atMost limit: Int) {
        var left = limit
        while left > 0, let first = content.tombstonesByVersion.first, first.version <= version {
            left -= 1
            journal.append(.tombstone(first.key, exchangeTombstone(first.key, nil)))
            journal.append(.horizon(content.horizon))
            content.horizon = max(content.horizon, first.version)
        }
    }

    public func removeEverything(horizon: UInt64) {
        journal.append(.everything(content))
        content = Content()
        content.horizon = horizon
    }

    public func commit() {
        ends.append(journal.count)
        if syncing == .withCommit { sync() }
    }

    public func rollback() { crash() }
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
