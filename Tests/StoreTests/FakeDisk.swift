import ClusterModel
import Store

/// A file behind a page cache. Fault model: what was not synced is lost, kept or torn at a loss of power, each sector of
/// 512 bytes by itself, in any order; the cache may write any sector out at any time. kill -9 loses nothing of the cache.
final class FakeFile {
    private struct Page {
        var cache: [UInt8]
        var durable: [UInt8]
        /// Bit i: sector i of 512 bytes differs.
        var dirty: UInt8 = 0
    }
    private static let zero = [UInt8](repeating: 0, count: 4096)
    private var pages: [Int: Page] = [:]
    private var dirtyPages: [Int] = []

    func write(_ bytes: [UInt8], at offset: Int) {
        var done = 0
        while done < bytes.count {
            let at = offset + done
            let page = at / 4096
            let within = at % 4096
            let count = min(4096 - within, bytes.count - done)
            var p = pages.removeValue(forKey: page) ?? Page(cache: FakeFile.zero, durable: FakeFile.zero)
            p.cache.replaceSubrange(within..<within + count, with: bytes[done..<done + count])
            if p.dirty == 0 { dirtyPages.append(page) }
            for s in within / 512...(within + count - 1) / 512 { p.dirty |= 1 << UInt8(s) }
            pages[page] = p
            done += count
        }
    }

    func read(at offset: Int, count: Int) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(count)
        while out.count < count {
            let at = offset + out.count
            let within = at % 4096
            let n = min(4096 - within, count - out.count)
            out += (pages[at / 4096]?.cache ?? FakeFile.zero)[within..<within + n]
        }
        return out
    }

    func sync() {
        for page in dirtyPages {
            guard var p = pages.removeValue(forKey: page) else { continue }
            p.durable = p.cache
            p.dirty = 0
            pages[page] = p
        }
        dirtyPages = []
    }

    /// The kernel writes some sectors out of its own accord.
    func writeBack(_ random: inout SplitMix64) {
        let count = dirtyPages.count
        guard count > 0 else { return }
        for _ in 0..<min(4, count) {
            let page = dirtyPages[random.below(count)]
            guard var p = pages.removeValue(forKey: page) else { continue }
            let keep = UInt8(truncatingIfNeeded: random.next())
            for s in 0..<8 where p.dirty >> UInt8(s) & 1 == 1 && keep >> UInt8(s) & 1 == 1 {
                p.durable.replaceSubrange(s * 512..<(s + 1) * 512, with: p.cache[s * 512..<(s + 1) * 512])
            }
            pages[page] = p
        }
    }

    func losePower(_ random: inout SplitMix64) {
        for page in dirtyPages {
            guard var p = pages.removeValue(forKey: page) else { continue }
            let style = random.below(3)
            for s in 0..<8 where p.dirty >> UInt8(s) & 1 == 1 {
                let survives = style == 0 ? false : style == 1 ? true : random.below(2) == 0
                if survives {
                    p.durable.replaceSubrange(s * 512..<(s + 1) * 512, with: p.cache[s * 512..<(s + 1) * 512])
                }
            }
            p.cache = p.durable
            p.dirty = 0
            pages[page] = p
        }
        dirtyPages = []
    }

    /// Rot, in the cache and on the medium.
    func flip(at offset: Int) {
        guard var p = pages.removeValue(forKey: offset / 4096) else { return }
        p.cache[offset % 4096] ^= 0x5A
        p.durable[offset % 4096] ^= 0x5A
        pages[offset / 4096] = p
    }
    func scramble(from offset: Int, count: Int, _ random: inout SplitMix64) {
        for at in offset..<offset + count where pages[at / 4096] != nil {
            guard var p = pages.removeValue(forKey: at / 4096) else { continue }
            let byte = UInt8(truncatingIfNeeded: random.next())
            p.cache[at % 4096] = byte
            p.durable[at % 4096] = byte
            pages[at / 4096] = p
        }
    }
}

/// The index: committed transactions, of which a loss of power keeps a prefix that includes every synced one.
final class FakeRows {
    struct State {
        var contents: [ContentKey: [UInt8]] = [:]
        var objects: [ObjectID: IndexRecord] = [:]
        var groups: [PGID: [UInt8]] = [:]
        var map: [Int: [UInt8]] = [:]
        var meta: [UInt8]?
        var tables: [PGID: [UInt8]] = [:]

        mutating func apply(_ write: IndexWrite) {
            switch write {
            case .putContent(let key, let value): contents[key] = value
            case .deleteContent(let key): contents[key] = nil
            case .putObject(let id, let record): objects[id] = record
            case .deleteObject(let id): objects[id] = nil
            case .putGroup(let pg, let value): groups[pg] = value
            case .deleteGroup(let pg): groups[pg] = nil
            case .putMap(let piece, let value): map[piece] = value
            case .putMeta(let value): meta = value
            case .putTables(let pg, let value): tables[pg] = value
            }
        }
    }
    var now = State()
    private var durable = State()
    private var unsynced: [[IndexWrite]] = []

    func commit(_ writes: [IndexWrite]) {
        precondition(writes.count <= 2_000)
        for w in writes { now.apply(w) }
        unsynced.append(writes)
    }
    func sync() {
        durable = now
        unsynced = []
    }
    func losePower(_ random: inout SplitMix64) {
        let kept = random.below(unsynced.count + 1)
        for writes in unsynced[0..<kept] { for w in writes { durable.apply(w) } }
        now = durable
        unsynced = []
    }

    func load(_ key: IndexKey) -> IndexRecord? {
        switch key {
        case .content(let k): now.contents[k].map { IndexRecord(value: $0) }
        case .object(let id): now.objects[id]
        }
    }
    func scan(_ scan: IndexScan) -> IndexScanResult {
        switch scan {
        case .opening:
            return .opening(
                meta: now.meta, map: now.map.keys.sorted().map { (piece: $0, value: now.map[$0] ?? []) },
                groups: now.groups.keys.sorted().map { ($0, now.groups[$0] ?? []) },
                tables: now.tables.keys.sorted().map { ($0, now.tables[$0] ?? []) })
        case .objects(let file, let from, let limit):
            let ids = now.objects.keys.filter { $0.file == file && $0.index >= from }.sorted()
            return .objects(ids.prefix(limit).compactMap { id in now.objects[id].map { (id, $0) } })
        case .changed(let pg, let after, let object, let limit):
            let all = now.objects.filter { $0.value.group == pg }.map { ($0.key, $0.value) }.sorted {
                $0.1.version != $1.1.version ? $0.1.version < $1.1.version : $0.0 < $1.0
            }
            let rest = all.filter { $0.1.version > after || $0.1.version == after && $0.0 > object }
            return .objects(Array(rest.prefix(limit)))
        }
    }
}

/// Everything of a disk that outlives its process.
final class FakeDisk {
    let id = DiskID(7)
    var segments: [SegmentNumber: FakeFile] = [:]
    let data = FakeFile()
    var dataSlots = 0
    let rows = FakeRows()
    var capacityBytes: UInt64 = 1 << 30

    var freeBytes: UInt64 {
        let used = UInt64(dataSlots * 65536)
        return capacityBytes > used ? capacityBytes - used : 0
    }
    var segmentNumbers: [SegmentNumber] { segments.keys.sorted() }

    func losePower(_ random: inout SplitMix64) {
        for n in segmentNumbers { segments[n]?.losePower(&random) }
        data.losePower(&random)
        rows.losePower(&random)
    }
    func writeBack(_ random: inout SplitMix64) {
        data.writeBack(&random)
        for n in segmentNumbers { segments[n]?.writeBack(&random) }
    }
}

/// Not CRC32C, but as good for the tests and quick in a debug build.
let fastChecksum = CRC32C { seed, bytes in
    var h = UInt64(seed) &+ 0x9E37_79B9_7F4A_7C15
    var i = 0
    while i + 8 <= bytes.count {
        h = (h ^ bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self)) &* 0x0000_0100_0000_01b3
        h ^= h >> 29
        i += 8
    }
    while i < bytes.count {
        h = (h ^ UInt64(bytes[i])) &* 0x0000_0100_0000_01b3
        i += 1
    }
    return UInt32(truncatingIfNeeded: StableHash.mix(h))
}
