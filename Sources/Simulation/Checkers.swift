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
    /// Register → value written or read.
    var values: [(key: UInt64, value: UInt32)]
    var start: UInt64
    /// Nil: never answered.
    var end: UInt64?
    /// If it was never answered, it cannot take effect after this.
    var notAfter: UInt64 = .max
    var durability: Durability = .unstable
    var stamp: LossNumber = .zero
}

/// The checks of a history: registers with unique values.
enum Checkers {
    /// Whether each register behaved like one copy that is changed at one instant within each operation (Gibbons and Korach,
    /// Testing shared memories, 1997: with unique values it is enough to look at each value's zone). Only for histories in
    /// which nothing may have been lost.
    static func linearizable(_ history: [Observed]) -> String? {
        struct Zone {
            var value: UInt32
            var firstEnd: UInt64
            var lastStart: UInt64
            var isForward: Bool { firstEnd < lastStart }
            var low: UInt64 { min(firstEnd, lastStart) }
            var high: UInt64 { max(firstEnd, lastStart) }
        }
        for key in keys(history) {
            var zones: [Zone] = [Zone(value: 0, firstEnd: 0, lastStart: 0)]
            var index: [UInt32: Int] = [0: 0]
            var writes: [UInt32: Observed] = [:]
            for op in history where op.kind == .write {
                for v in op.values where v.key == key {
                    writes[v.value] = op
                    index[v.value] = zones.count
                    zones.append(
                        Zone(value: v.value, firstEnd: op.end ?? op.notAfter, lastStart: op.start))
                }
            }
            var wasRead = Set<UInt32>()
            for op in history where op.kind == .read {
                guard let end = op.end else { continue }
                for v in op.values where v.key == key {
                    guard let i = index[v.value] else { return "register \(key) gave \(v.value), which nobody wrote" }
                    if let w = writes[v.value], w.start > end {
                        return "register \(key) gave \(v.value) before it was written"
                    }
                    wasRead.insert(v.value)
                    zones[i].firstEnd = min(zones[i].firstEnd, end)
                    zones[i].lastStart = max(zones[i].lastStart, op.start)
                }
            }
            // A write without an answer that nobody saw need not have happened.
            let relevant = zones.filter { z in z.value == 0 || writes[z.value]?.end != nil || wasRead.contains(z.value)
            }
            let forward = relevant.filter(\.isForward).sorted {
                $0.low != $1.low ? $0.low < $1.low : $0.value < $1.value
            }
            for (a, b) in zip(forward, forward.dropFirst()) where b.low < a.high {
                return
                    "register \(key): \(a.value) (\(a.low) … \(a.high)) and \(b.value) (\(b.low) … \(b.high)) overlap"
            }
            for z in relevant where !z.isForward {
                if let f = forward.first(where: { $0.low < z.low && z.high < $0.high }) {
                    return
                        "register \(key): \(z.value) was written and gone within \(f.value)'s time (\(f.low) … \(f.high))"
                }
            }
        }
        return nil
    }

    /// What was promised is kept, whatever was lost: a stable write, or one that was flushed with the same stamp, is never
    /// again replaced by a value that was written before it.
    static func promisesKept(_ history: [Observed]) -> String? {
        let flushes = history.filter { $0.kind == .flush && $0.end != nil }
        for key in keys(history) {
            var writes: [UInt32: Observed] = [:]
            for op in history where op.kind == .write {
                for v in op.values where v.key == key { writes[v.value] = op }
            }
            let reads = history.filter { op in
                op.kind == .read && op.end != nil && op.values.contains { $0.key == key }
            }
            for op in history where op.kind == .write {
                guard let end = op.end, let own = op.values.first(where: { $0.key == key }) else { continue }
                var promised: UInt64?
                if op.durability == .stable { promised = end }
                for f in flushes where f.start > end && f.stamp == op.stamp {
                    promised = min(promised ?? .max, f.end ?? .max)
                }
                guard let from = promised else { continue }
                for r in reads where r.start > from {
                    for v in r.values where v.key == key && v.value != own.value {
                        let older = v.value == 0 || writes[v.value].map { ($0.end ?? .max) < op.start } ?? false
                        if older {
                            return "register \(key): \(own.value) was promised at \(from), but a read at \(r.start) "
                                + "gave the older \(v.value)"
                        }
                    }
                }
            }
        }
        return nil
    }

    private static func keys(_ history: [Observed]) -> [UInt64] {
        var all: [UInt64] = []
        for op in history { all.append(contentsOf: op.values.map(\.key)) }
        all.sort()
        var unique: [UInt64] = []
        for k in all where unique.last != k { unique.append(k) }
        return unique
    }
}
