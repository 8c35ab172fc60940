import ClusterModel
import Namespace

/// One metadata group's database on one disk: rows in transactions, of which a loss of power keeps a prefix that includes every
/// synced one, and rows that rot. Values have checksums: one that has rotted is told, and never given.
final class FakeDatabase: NamespaceRows {
    /// A value does not match its checksum.
    struct Damage: Error {}

    private let arrays = RowArrays(syncing: .apart)
    /// Rows that changed although nothing wrote them, on the disk.
    private var rotten: Set<NamespaceKey> = []

    // MARK: What happens to a disk

    /// A row rots; false if there is none.
    func rot(_ random: inout SplitMix64) -> Bool {
        let live = arrays.rows(from: .least, below: .greatest, limit: .max)
        guard !live.isEmpty else { return false }
        rotten.insert(live[random.below(live.count)].key)
        return true
    }

    func sync() { arrays.sync() }

    /// A process was killed: what was not committed is gone.
    func kill() { arrays.crash() }

    func losePower(_ random: inout SplitMix64) { arrays.losePower(keeping: random.below(arrays.unsynced + 1)) }

    /// An empty database takes the place of this one.
    func renew() {
        removeEverything(horizon: 0)
        commit()
    }

    /// All live rows, whether or not they have rotted.
    var everything: [NamespaceRow] { arrays.rows(from: .least, below: .greatest, limit: .max) }

    // MARK: Reading

    private func check(_ key: NamespaceKey) throws { if rotten.contains(key) { throw Damage() } }

    func value(of key: NamespaceKey) throws -> [UInt8]? {
        try check(key)
        return arrays.value(of: key)
    }

    func rows(from lower: NamespaceKey, below upper: NamespaceKey, limit: Int) throws -> [NamespaceRow] {
        let found = arrays.rows(from: lower, below: upper, limit: limit)
        if !rotten.isEmpty { for row in found { try check(row.key) } }
        return found
    }

    func changes(after position: ChangePosition, limit: Int) throws -> [ChangedRow] {
        let found = arrays.changes(after: position, limit: limit)
        if !rotten.isEmpty { for row in found where row.value != nil { try check(row.key) } }
        return found
    }

    func tombstoneHorizon() -> UInt64 { arrays.tombstoneHorizon() }
    func reply(_ n: UInt64) -> [UInt8]? { arrays.reply(n) }
    func replies(after n: UInt64, limit: Int) -> [KeptReply] { arrays.replies(after: n, limit: limit) }
    func state() -> [UInt8]? { arrays.state() }

    // MARK: Writing

    func put(_ key: NamespaceKey, _ value: [UInt8], version: UInt64) {
        rotten.remove(key)
        arrays.put(key, value, version: version)
    }
    func delete(_ key: NamespaceKey, version: UInt64) {
        rotten.remove(key)
        arrays.delete(key, version: version)
    }
    func putReply(_ n: UInt64, _ bytes: [UInt8]) { arrays.putReply(n, bytes) }
    func deleteReply(_ n: UInt64) { arrays.deleteReply(n) }
    func deleteAllReplies() { arrays.deleteAllReplies() }
    func putState(_ bytes: [UInt8]) { arrays.putState(bytes) }
    func pruneTombstones(through version: UInt64, atMost limit: Int) {
        arrays.pruneTombstones(through: version, atMost: limit)
    }
    func removeEverything(horizon: UInt64) {
        rotten = []
        arrays.removeEverything(horizon: horizon)
    }
    func commit() { arrays.commit() }
    func rollback() { arrays.rollback() }
}
