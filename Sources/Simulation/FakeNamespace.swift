import ClusterModel
import Wire

/// One metadata group's database on one disk, with registers for rows: committed transactions, of which a loss of power
/// keeps a prefix that includes every synced one.
final class FakeNamespace {
    struct State {
        var rows: [UInt32: UInt32] = [:]
        var results: [LostRequest: UInt32] = [:]
        var applied: EntryName = .zero
    }
    private(set) var now = State()
    private var durable = State()
    private var unsynced: [State] = []
    /// Rows that changed although nothing wrote them, on the disk.
    private var rotten: Set<UInt32> = []
    /// The process has met one: nothing is done with the rows any more, until they are forgotten.
    private(set) var isDamaged = false

    /// A row rots; false if there is none.
    func rot(_ random: inout SplitMix64) -> Bool {
        let keys = now.rows.keys.sorted()
        guard !keys.isEmpty, !isDamaged else { return false }
        let key = keys[random.below(keys.count)]
        now.rows[key] = (now.rows[key] ?? 0) ^ 0x5a5a
        rotten.insert(key)
        commit()
        return true
    }

    /// Values have checksums: one that has rotted is told, and never given.
    func value(of key: UInt32) -> UInt32 {
        if rotten.contains(key) { isDamaged = true }
        return now.rows[key] ?? 0
    }

    /// An empty database takes the place of this one.
    func forget() {
        now = State()
        rotten = []
        isDamaged = false
        commit()
    }

    /// What was there before; nil for entries that are no operation, or that the rows have already.
    func apply(_ entry: Entry, _ bytes: [UInt8]?) -> UInt32? {
        guard entry.name.n > now.applied.n else { return nil }
        now.applied = entry.name
        guard case .namespace = entry.body, let bytes else { return nil }
        let words = Words.words(bytes)
        guard words.count == 2 else { return nil }
        let before = value(of: words[0])
        if isDamaged { return nil }
        now.rows[words[0]] = words[1]
        now.results[LostRequest(session: entry.session, request: entry.request)] = before
        return before
    }

    /// Of at most so many rows, keys in order from this one on.
    func digest(from: [UInt8], limit: Int) -> RowsFinding {
        func bytes(_ key: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: key >> (24 - 8 * $0)) } }
        let keys = now.rows.keys.sorted().filter { !bytes($0).lexicographicallyPrecedes(from) }.prefix(limit)
        var digest: UInt64 = 0
        for key in keys { digest = StableHash.combine(digest, UInt64(key) << 32 | UInt64(value(of: key))) }
        return RowsFinding(
            asOf: now.applied, digest: digest, count: UInt32(keys.count),
            end: keys.count == limit ? keys.last.map(bytes) : nil)
    }

    /// The end of a transaction.
    func commit() { unsynced.append(now) }

    func sync() {
        durable = now
        unsynced = []
    }

    /// A process was killed: what was not committed is gone.
    func kill() {
        now = unsynced.last ?? durable
        isDamaged = false
    }

    func losePower(_ random: inout SplitMix64) {
        let kept = random.below(unsynced.count + 1)
        if kept > 0 { durable = unsynced[kept - 1] }
        now = durable
        unsynced = []
        isDamaged = false
    }

    func export() -> [UInt8] {
        var words: [UInt32] = [UInt32(now.rows.count)]
        for key in now.rows.keys.sorted() { words += [key, value(of: key)] }
        let kept = now.results.keys.sorted {
            $0.session != $1.session ? $0.session < $1.session : $0.request < $1.request
        }
        for k in kept { words += [UInt32(k.session.rawValue), UInt32(k.request.rawValue), now.results[k] ?? 0] }
        return Words.bytes(words)
    }

    func install(_ bytes: [UInt8], asOf: EntryName) {
        let words = Words.words(bytes)
        now = State()
        rotten = []
        now.applied = asOf
        guard let rowCount = words.first.map(Int.init) else { return }
        var i = 1
        for _ in 0..<rowCount {
            now.rows[words[i]] = words[i + 1]
            i += 2
        }
        while i < words.count {
            now.results[
                LostRequest(session: SessionID(UInt64(words[i])), request: RequestNumber(UInt64(words[i + 1])))] =
                words[i + 2]
            i += 3
        }
        commit()
    }
}
