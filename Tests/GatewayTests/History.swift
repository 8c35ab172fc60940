import ClusterModel

/// What clients did to files and saw, against what one file system would give: each block of a WRITE takes effect once,
/// between call and answer, and so do truncations.
///
/// For a read of value v at a unit: the write of v began before the read ended, and nothing that covers the unit lies
/// wholly between the two. A write counts as done from the first end of a read that saw it (no new-then-old). Zeros, and
/// what lies beyond a short read or a size, come from creation, a cut or written zeros under the same rule. A cut counts as
/// done from the first answer that shows the size which only this cut can have given.
struct History {
    struct Change {
        /// 0 for a cut or zeros.
        var id: UInt64
        var units: Range<UInt64>
        var start: UInt64
        /// `.max` until it is known to be done.
        var end: UInt64
        /// A cut's units end here for sizes: what was beyond is beyond the end again.
        var isCut = false
    }
    struct Look {
        var start: UInt64
        var end: UInt64
        var first: UInt64
        var values: [UInt64]
        /// Nothing was seen from here on: the file ended.
        var endsAt: UInt64?
        /// The file's size, where it was seen.
        var size: UInt64?
    }
    static let indexes: UInt64 = 1 << 16

    var changes: [FileID: [Change]] = [:]
    var looks: [FileID: [Look]] = [:]

    mutating func began(_ file: FileID, _ change: Change) -> Int {
        changes[file, default: []].append(change)
        return (changes[file]?.count ?? 1) - 1
    }
    mutating func ended(_ file: FileID, _ index: Int, _ now: UInt64) { changes[file]?[index].end = now }
    mutating func saw(_ file: FileID, _ look: Look) { looks[file, default: []].append(look) }

    /// The first contradiction, in words.
    func contradiction() -> String? {
        for file in looks.keys.sorted() {
            guard let looks = looks[file] else { continue }
            var changes = changes[file] ?? []
            changes.sort { $0.start < $1.start }
            markSeenCuts(&changes, looks)
            var seenEnd: [UInt64: UInt64] = [:]
            for look in looks {
                for value in look.values where value != 0 { seenEnd[value] = min(seenEnd[value] ?? .max, look.end) }
            }
            for look in looks {
                if let text = contradiction(look, changes, seenEnd) { return "\(file): \(text)" }
            }
        }
        return nil
    }

    private func markSeenCuts(_ changes: inout [Change], _ looks: [Look]) {
        for i in changes.indices where changes[i].isCut && changes[i].units.lowerBound > 0 {
            let size = changes[i].units.lowerBound
            let givers = changes.filter { ($0.isCut ? $0.units.lowerBound : $0.units.upperBound) == size }
            guard givers.count == 1 else { continue }
            for look in looks where look.size == size { changes[i].end = min(changes[i].end, look.end) }
        }
    }

    private func contradiction(_ look: Look, _ changes: [Change], _ seenEnd: [UInt64: UInt64]) -> String? {
        func end(_ change: Change, _ unit: UInt64) -> UInt64 {
            if change.id == 0 { return change.end }
            return min(change.end, seenEnd[change.id * History.indexes + unit - change.units.lowerBound] ?? .max)
        }
        for (i, value) in look.values.enumerated() {
            let unit = look.first + UInt64(i)
            let covering = changes.filter { $0.units.contains(unit) }
            if value == 0 {
                if let text = absent(unit, look, covering, end) { return "zeros at unit \(unit), but \(text)" }
                continue
            }
            let id = value / History.indexes
            guard let source = covering.first(where: { $0.id == id }) else {
                return "unit \(unit) shows write \(id), which does not cover it"
            }
            if unit - source.units.lowerBound != value % History.indexes {
                return "unit \(unit) shows another unit's value"
            }
            if source.start > look.end { return "unit \(unit) shows write \(id) before it began" }
            let sourceEnd = end(source, unit)
            for other in covering where other.id != id && other.start > sourceEnd && end(other, unit) < look.start {
                let what = other.id == 0 ? "a cut" : "write \(other.id)"
                return "unit \(unit) shows write \(id) (\(source.start)–\(source.end)) in a read at \(look.start)–"
                    + "\(look.end), but \(what) at \(other.start)–\(end(other, unit)) came after it"
            }
        }
        guard let endsAt = look.endsAt else { return nil }
        // What lies beyond the end: the units of all writes there.
        for change in changes where !change.isCut && change.units.upperBound > endsAt {
            let unit = change.units.upperBound - 1
            let covering = changes.filter { $0.units.contains(unit) }
            if let text = absent(unit, look, covering.filter { $0.id != 0 || $0.isCut }, end) {
                return "the end at unit \(endsAt), but \(text)"
            }
        }
        return nil
    }

    /// Why nothing at the unit contradicts a finished write.
    private func absent(
        _ unit: UInt64, _ look: Look, _ covering: [Change], _ end: (Change, UInt64) -> UInt64
    ) -> String? {
        // The file's creation is a source of zeros before everything.
        var sources: [UInt64] = [0]
        for change in covering where change.id == 0 && change.start < look.end { sources.append(change.end) }
        for write in covering where write.id != 0 && end(write, unit) < look.start {
            if sources.allSatisfy({ $0 < write.start }) {
                return "write \(write.id) at \(write.start)–\(end(write, unit)) came before the look at "
                    + "\(look.start)–\(look.end)"
            }
        }
        return nil
    }
}
