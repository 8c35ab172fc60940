import ClusterModel
import Replication
import Wire

/// What a simulated payload stands for: one number per half block of data, or the words of a metadata operation.
typealias Content = [UInt32]

/// One simulated disk: what the page cache shows, and what would survive a loss of power.
///
/// Fault model: a killed process loses nothing that was written; a loss of power keeps what was synced and any beginning of
/// what was done after it, in order, and of the large records in that beginning any subset is void. States and cuts are
/// durable when they are reported done.
struct FakeDisk {
    static let halfBlock = Geometry.blockSize / 2

    struct Record {
        var entry: Entry
        var content: Content
        var isVoid = false
    }

    struct Object: Equatable {
        var version: EntryName = .zero
        var halves: [Int: UInt32] = [:]
    }

    struct Image {
        /// Content without the log, as of `tablesThrough`, plus pieces.
        var objects: [ObjectID: Object] = [:]
        var rows: [UInt32: UInt32] = [:]
        var results: [LostRequest: UInt32] = [:]
        var rowsApplied: EntryName = .zero
        var log: [Record] = []
        var decided: EntryName = .zero
        var state: [UInt8]?
        var tables: [UInt8]?
        var trimmedThrough: EntryName = .zero

        mutating func append(_ record: Record) { log.append(record) }

        mutating func cut(after name: EntryName) { log.removeAll { $0.entry.name.n > name.n } }

        /// Takes decided entries through n out of the log into the content.
        mutating func fold(through n: UInt64) {
            var rest: [Record] = []
            for record in log {
                if record.entry.name.n > n {
                    rest.append(record)
                } else {
                    applyObject(record)
                }
            }
            log = rest
        }

        mutating func applyObject(_ record: Record) {
            switch record.entry.body {
            case .write(let w):
                if record.isVoid { return }
                var o = objects[w.object] ?? Object()
                for (i, v) in record.content.enumerated() { o.halves[w.blocks.first * 2 + i] = v }
                o.version = max(o.version, record.entry.name)
                objects[w.object] = o
            case .restate(let r):
                var o = objects[r.object] ?? Object()
                o.version = max(o.version, record.entry.name)
                objects[r.object] = o
            case .empty, .zero, .deleteRange, .namespace, .scrubMark: break
            }
        }

        /// Content as decided entries left it.
        func visible(_ id: ObjectID) -> Object {
            var copy = Image()
            copy.objects[id] = objects[id]
            for record in log where record.entry.name.n <= decided.n {
                if case .write(let w) = record.entry.body, w.object == id { copy.applyObject(record) }
                if case .restate(let r) = record.entry.body, r.object == id { copy.applyObject(record) }
            }
            return copy.objects[id] ?? Object()
        }

        func half(_ id: ObjectID, _ index: Int) -> UInt32 { visible(id).halves[index] ?? 0 }

        /// Namespace entries through `decided`, in order; gives the results.
        mutating func applyRows() -> [(EntryName, UInt32)] {
            var done: [(EntryName, UInt32)] = []
            for record in log where record.entry.name.n <= decided.n && record.entry.name.n > rowsApplied.n {
                rowsApplied = record.entry.name
                guard case .namespace = record.entry.body, record.content.count == 2 else { continue }
                let before = rows[record.content[0]] ?? 0
                rows[record.content[0]] = record.content[1]
                results[LostRequest(session: record.entry.session, request: record.entry.request)] = before
                done.append((record.entry.name, before))
            }
            if rowsApplied.n < decided.n { rowsApplied = decided }
            return done
        }
    }

    enum Operation {
        case append(Record)
        case decided(EntryName)
        case piece(Piece, Content)
        case remove(ObjectID)
        case snapshot(rows: Content, asOf: EntryName)
        case checkpoint(EntryName, tables: [UInt8])
    }

    private(set) var present = Image()
    private var synced = Image()
    private var since: [Operation] = []
    var cleanMark = false

    mutating func perform(_ operation: Operation) {
        FakeDisk.apply(operation, to: &present)
        since.append(operation)
    }

    /// Everything so far is stable.
    mutating func sync() {
        synced = present
        since.removeAll(keepingCapacity: true)
    }

    mutating func cut(after name: EntryName) {
        present.cut(after: name)
        sync()
    }

    mutating func restart(after name: EntryName) {
        // What was decided here is in the content; the rest of the log is forgotten.
        present.fold(through: present.decided.n)
        present.log = []
        present.decided = name
        present.trimmedThrough = name
        sync()
    }

    mutating func keep(state: [UInt8], tables: [UInt8]?, asOf: EntryName?) {
        present.state = state
        synced.state = state
        if let tables, let asOf {
            sync()
            present.tables = tables
            present.trimmedThrough = asOf
            synced = present
        }
    }

    mutating func applyRows() -> [(EntryName, UInt32)] { present.applyRows() }

    private static func apply(_ operation: Operation, to image: inout Image) {
        switch operation {
        case .append(let record): image.append(record)
        case .decided(let name): if name.n > image.decided.n { image.decided = name }
        case .piece(let p, let content):
            let seen = image.visible(p.object)
            var o = image.objects[p.object] ?? Object()
            var next = 0
            for block in 0..<p.blocks.count {
                let at = (p.blocks.first + block) * 2
                if p.content & (1 << UInt64(block)) != 0 {
                    o.halves[at] = content[next]
                    o.halves[at + 1] = content[next + 1]
                    next += 2
                } else {
                    o.halves[at] = nil
                    o.halves[at + 1] = nil
                }
            }
            if p.position == .last {
                o.halves = o.halves.filter { $0.key < p.blocks.end * 2 }
                o.version = p.version
            } else {
                o.version = max(seen.version, p.version)
            }
            image.objects[p.object] = o
        case .remove(let id): image.objects[id] = nil
        case .snapshot(let words, let asOf):
            image.rows = [:]
            image.results = [:]
            let rowCount = Int(words[0])
            var i = 1
            for _ in 0..<rowCount {
                image.rows[words[i]] = words[i + 1]
                i += 2
            }
            while i < words.count {
                image.results[
                    LostRequest(session: SessionID(UInt64(words[i])), request: RequestNumber(UInt64(words[i + 1])))] =
                    words[i + 2]
                i += 3
            }
            image.rowsApplied = asOf
        case .checkpoint(let name, let tables):
            image.fold(through: name.n)
            image.tables = tables
            image.trimmedThrough = name
        }
    }

    /// A process died: another may open what the page cache has. What it knew to be decided is known up to some entry only.
    mutating func killed(_ random: inout SplitMix64) {
        let known = present.log.filter { $0.entry.name.n <= present.decided.n }.map(\.entry.name)
        if !known.isEmpty, random.below(3) != 0 {
            let back = random.below(min(known.count, 4) + 1)
            let name = known.count > back ? known[known.count - 1 - back] : present.trimmedThrough
            if name.n >= present.rowsApplied.n { present.decided = name }
        }
    }

    /// The machine lost power: some beginning of what was not synced is left, large records at random.
    mutating func lostPower(_ random: inout SplitMix64, voids: Bool) {
        var image = synced
        let left = random.below(since.count + 1)
        for operation in since[..<left] {
            if case .append(var record) = operation {
                if voids, case .write(let w) = record.entry.body, w.blocks.count >= 2, random.below(2) == 0 {
                    record.isVoid = true
                }
                FakeDisk.apply(.append(record), to: &image)
            } else if case .checkpoint = operation {
                // A checkpoint syncs first; one that is lost has not been made.
                break
            } else {
                FakeDisk.apply(operation, to: &image)
            }
        }
        present = image
        synced = image
        since = []
    }
}
