import ClusterModel
import Store

/// The index: committed transactions, of which a loss of power keeps a prefix that includes every synced one.
public final class FakeRows {
    /// The tables.
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
            case .deleteObject(let id):
                objects[id] = nil
                for m in 0..<Geometry.rowsPerObject { contents[ContentKey(object: id, mebibyte: m)] = nil }
            case .putGroup(let pg, let value): groups[pg] = value
            case .deleteGroup(let pg):
                groups[pg] = nil
                tables[pg] = nil
            case .putMap(let piece, let value): map[piece] = value
            case .putMeta(let value): meta = value
            case .putTables(let pg, let value): tables[pg] = value
            }
        }
    }
    /// As a process sees it.
    private(set) var now = State()
    private var durable = State()
    private var unsynced: [[IndexWrite]] = []

    /// Empty tables.
    public init() {}

    /// The filesets that have object rows or content, ascending.
    public var filesets: [FilesetID] {
        var found: [FilesetID] = []
        let all = now.objects.keys.map(\.file.fileset) + now.contents.keys.map(\.object.file.fileset)
        for fileset in all.sorted() where found.last != fileset { found.append(fileset) }
        return found
    }
    /// The groups that have a row or tables, ascending.
    public var groups: [PGID] {
        var found: [PGID] = []
        for pg in (now.groups.keys.map { $0 } + now.tables.keys.map { $0 }).sorted() where found.last != pg {
            found.append(pg)
        }
        return found
    }

    /// How many rows have content.
    public var contentCount: Int { now.contents.count }

    /// How many objects have a row; files' rows do not count.
    public var objectCount: Int { now.objects.keys.count { !IndexKey.isFileObject($0) } }

    func commit(_ writes: [IndexWrite]) {
        precondition(writes.count <= 1 << 20, "a transaction is within DiskLimits.batchChanges")
        for w in writes { now.apply(w) }
        unsynced.append(writes)
    }
    func sync() {
        for writes in unsynced { for w in writes { durable.apply(w) } }
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
        case .fileset(let from, let limit):
            let ids = now.objects.keys.filter { $0.file.fileset == from.file.fileset && $0 >= from }.sorted()
            return .objects(ids.prefix(limit).compactMap { id in now.objects[id].map { (id, $0) } })
        case .filesets:
            var found = now.objects.keys.map(\.file.fileset).sorted()
            found = found.enumerated().filter { $0.offset == 0 || found[$0.offset - 1] != $0.element }.map(\.element)
            return .filesets(found)
        case .changed(let pg, let after, let object, let limit):
            let all = now.objects.filter { $0.value.group == pg }.map { ($0.key, $0.value) }.sorted {
                $0.1.version != $1.1.version ? $0.1.version < $1.1.version : $0.0 < $1.0
            }
            let rest = all.filter { $0.1.version > after || $0.1.version == after && $0.0 > object }
            return .objects(Array(rest.prefix(limit)))
        }
    }
}
