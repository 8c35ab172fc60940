import ClusterModel
import Wire

/// One operation of a client as it was seen from outside.
struct Observed {
    enum Kind: Equatable {
        case write
        case read
        case flush
    }
    var kind: Kind
    /// Register → value written or read. 0: zeros, or nothing was ever written.
    var values: [(key: UInt64, value: UInt32)]
    var start: UInt64
    /// Nil: never answered.
    var end: UInt64?
    /// If it was never answered, it cannot take effect after this.
    var notAfter: UInt64 = .max
    var durability: Durability = .unstable
    var stamp: LossNumber = .zero
    /// Nil for what goes to all data groups.
    var group: Int?
    /// Of a write: the file's truncation that it knew of when it was first sent, or which it is.
    var mark: UInt64 = 0
    var isCut = false
    /// Of the namespace.
    var tree: TreeObservation?

    init(kind: Kind, values: [(key: UInt64, value: UInt32)], start: UInt64, group: Int?) {
        self.kind = kind
        self.values = values
        self.start = start
        self.group = group
    }
}

/// The checks of a history: registers, whose values are unique but for zeros.
enum Checkers {
    private struct Register {
        var key: UInt64
        /// Index in the history and value.
        var writes: [(op: Int, value: UInt32)] = []
        var reads: [(op: Int, value: UInt32)] = []
    }

    private static func registers(_ history: [Observed]) -> [Register] {
        var all: [Register] = []
        var index: [UInt64: Int] = [:]
        for (i, op) in history.enumerated() {
            if op.kind == .flush || op.kind == .read && op.end == nil { continue }
            for v in op.values {
                let at = index[v.key] ?? all.count
                if at == all.count {
                    index[v.key] = at
                    all.append(Register(key: v.key))
                }
                if op.kind == .write { all[at].writes.append((i, v.value)) } else { all[at].reads.append((i, v.value)) }
            }
        }
        return all
    }

    private static func name(_ key: UInt64) -> String {
        "inode \(key >> 32) object \(key >> 24 & 0xff) block \((key & 0xff_ffff) / UInt64(BlockContent.fieldsPerBlock))"
            + " field \((key & 0xff_ffff) % UInt64(BlockContent.fieldsPerBlock))"
    }

    /// Whether each register that was never zeroed behaved like one copy that is changed at one instant within each operation
    /// (Gibbons and Korach, Testing shared memories, 1997: with unique values it is enough to look at each value's zone). Only
    /// for histories in which nothing may have been lost.
    static func linearizable(_ history: [Observed]) -> String? {
        struct Zone {
            var value: UInt32
            var firstEnd: UInt64
            var lastStart: UInt64
            var isForward: Bool { firstEnd < lastStart }
            var low: UInt64 { min(firstEnd, lastStart) }
            var high: UInt64 { max(firstEnd, lastStart) }
        }
        for register in registers(history) where !register.writes.contains(where: { $0.value == 0 }) {
            let key = name(register.key)
            var zones: [Zone] = [Zone(value: 0, firstEnd: 0, lastStart: 0)]
            var index: [UInt32: Int] = [0: 0]
            var writes: [UInt32: Int] = [:]
            for w in register.writes {
                let op = history[w.op]
                writes[w.value] = w.op
                index[w.value] = zones.count
                zones.append(Zone(value: w.value, firstEnd: op.end ?? op.notAfter, lastStart: op.start))
            }
            var wasRead = Set<UInt32>()
            for r in register.reads {
                let op = history[r.op]
                guard let end = op.end else { continue }
                guard let i = index[r.value] else { return "\(key) gave \(r.value), which nobody wrote" }
                if let w = writes[r.value], history[w].start > end {
                    return "\(key) gave \(r.value) before it was written"
                }
                wasRead.insert(r.value)
                zones[i].firstEnd = min(zones[i].firstEnd, end)
                zones[i].lastStart = max(zones[i].lastStart, op.start)
            }
            // A write without an answer that nobody saw need not have happened.
            let relevant = zones.filter { z in
                z.value == 0 || writes[z.value].map { history[$0].end != nil } ?? false || wasRead.contains(z.value)
            }
            let forward = relevant.filter(\.isForward).sorted {
                $0.low != $1.low ? $0.low < $1.low : $0.value < $1.value
            }
            for (a, b) in zip(forward, forward.dropFirst()) where b.low < a.high {
                return "\(key): \(a.value) (\(a.low) … \(a.high)) and \(b.value) (\(b.low) … \(b.high)) overlap"
                    + story(register, history)
            }
            for z in relevant where !z.isForward {
                if let f = forward.first(where: { $0.low < z.low && z.high < $0.high }) {
                    return "\(key): \(z.value) was written and gone within \(f.value)'s time (\(f.low) … \(f.high))"
                }
            }
        }
        return nil
    }

    /// What happened to a register, for people.
    private static func story(_ register: Register, _ history: [Observed]) -> String {
        let all = register.writes.map { ($0, "write") } + register.reads.map { ($0, "read") }
        let lines = all.sorted { history[$0.0.op].start < history[$1.0.op].start }.suffix(40).map { item, kind in
            let op = history[item.op]
            return "  \(op.start / 1000) … \(op.end.map { "\($0 / 1000)" } ?? "–") µs: "
                + "\(op.isCut ? "cut" : kind) \(item.value) \(op.durability) mark \(op.mark) stamp \(op.stamp.rawValue)"
        }
        return "\n" + lines.joined(separator: "\n")
    }

    /// Whether `later` surely came after `earlier`: by time, or because it knew of the truncation that the other is.
    private static func follows(_ later: Observed, _ earlier: Observed) -> Bool {
        if earlier.isCut, !later.isCut, later.mark >= earlier.mark { return true }
        return later.start > earlier.end ?? earlier.notAfter
    }

    /// No read gives a value over which another was written, wholly, before the read began. Zeros may be from the beginning or
    /// from any operation that zeroes. Only for histories in which nothing may have been lost.
    static func neverStale(_ history: [Observed]) -> String? {
        for register in registers(history) {
            for r in register.reads {
                let read = history[r.op]
                guard let end = read.end else { continue }
                let over = register.writes.filter { w in
                    w.value != r.value && history[w.op].end.map { $0 < read.start } ?? false
                }
                let sources = register.writes.filter { $0.value == r.value && history[$0.op].start <= end }
                if r.value != 0, sources.isEmpty {
                    return "\(name(register.key)) gave \(r.value), which nobody had written"
                }
                if r.value == 0, over.isEmpty { continue }
                let isFresh = sources.contains { s in
                    !over.contains { follows(history[$0.op], history[s.op]) }
                }
                if !isFresh {
                    let newest = over.max { history[$0.op].start < history[$1.op].start }
                    return "\(name(register.key)): a read at \(read.start) gave \(r.value), over which "
                        + "\(newest?.value ?? 0) was written at \(newest.flatMap { history[$0.op].end } ?? 0)"
                        + story(register, history)
                }
            }
        }
        return nil
    }

    /// What was promised is kept, whatever was lost: a stable write, or one that was flushed with the same stamp, is never
    /// again replaced by a value that was written before it.
    static func promisesKept(_ history: [Observed]) -> String? {
        let flushes = history.filter { $0.kind == .flush && $0.end != nil }
        for register in registers(history) {
            let byValue = Dictionary(register.writes.map { ($0.value, $0.op) }, uniquingKeysWith: { a, _ in a })
            let zeros = register.writes.filter { $0.value == 0 }.map { history[$0.op] }
            for w in register.writes {
                let op = history[w.op]
                guard let end = op.end else { continue }
                var promised: UInt64?
                if op.durability == .stable { promised = end }
                for f in flushes where f.group == op.group && f.start > end && f.stamp == op.stamp {
                    promised = min(promised ?? .max, f.end ?? .max)
                }
                guard let from = promised else { continue }
                for r in register.reads where r.value != w.value {
                    let read = history[r.op]
                    if read.start <= from { continue }
                    let isOlder =
                        if r.value == 0 {
                            !zeros.contains { !follows(op, $0) }
                        } else {
                            byValue[r.value].map { follows(op, history[$0]) } ?? false
                        }
                    if isOlder {
                        return "\(name(register.key)): \(w.value) was promised at \(from), but a read at \(read.start) "
                            + "gave the older \(r.value)" + story(register, history)
                    }
                }
            }
        }
        return nil
    }
}
