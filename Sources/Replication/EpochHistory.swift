import ClusterModel
import Wire

/// The list of entries of a log, told by the last entry of each epoch.
///
/// Invariant: epochs ascend, `last` ascends; entries of epoch spans[i] are spans[i-1].last + 1 … spans[i].last. As within
/// one epoch one primary numbers, and a log takes n + 1 only after n, two logs that share a name share all before it.
struct EpochHistory: Hashable, Sendable {
    private(set) var spans: [EpochSpan] = []

    init() {}
    /// Takes a peer's list; nil if it does not ascend.
    init?(_ spans: [EpochSpan]) {
        for i in spans.indices.dropFirst() {
            guard spans[i - 1].epoch < spans[i].epoch, spans[i - 1].last < spans[i].last else { return nil }
        }
        self.spans = spans
    }

    var end: EntryName { spans.last.map { EntryName(epoch: $0.epoch, n: $0.last) } ?? .zero }

    mutating func append(_ name: EntryName) {
        if let last = spans.last, last.epoch == name.epoch {
            spans[spans.count - 1].last = name.n
        } else {
            spans.append(EpochSpan(epoch: name.epoch, last: name.n))
            if spans.count > ReplicaMessageLimits.historySpans {
                // What is left out stays as a span of epoch 0, which no entry has: names there are not known any more.
                let forgotten = spans[1].last
                spans.removeFirst(2)
                spans.insert(EpochSpan(epoch: .zero, last: forgotten), at: 0)
            }
        }
    }

    /// The name of entry n, if the history reaches there.
    func name(at n: UInt64) -> EntryName? {
        if n == 0 { return .zero }
        guard let last = spans.last, n <= last.last else { return nil }
        var i = spans.count - 1
        while i > 0, spans[i - 1].last >= n { i -= 1 }
        return EntryName(epoch: spans[i].epoch, n: n)
    }

    func contains(_ name: EntryName) -> Bool { self.name(at: name.n) == name }

    mutating func cut(after name: EntryName) {
        while let last = spans.last, last.last > name.n {
            let before = spans.count >= 2 ? spans[spans.count - 2].last : 0
            if before >= name.n {
                spans.removeLast()
            } else {
                spans[spans.count - 1].last = name.n
            }
        }
    }

    /// The last entry, not beyond `bound`, that both have; `.zero` if there is none.
    func common(with other: EpochHistory, notBeyond bound: EntryName) -> EntryName {
        var i = spans.count - 1
        var j = other.spans.count - 1
        while i >= 0, j >= 0 {
            let a = spans[i]
            let b = other.spans[j]
            if a.epoch > b.epoch {
                i -= 1
            } else if b.epoch > a.epoch {
                j -= 1
            } else if a.epoch == .zero {
                return .zero
            } else {
                let n = min(a.last, b.last)
                if n <= bound.n { return EntryName(epoch: a.epoch, n: n) }
                return bound.n == 0 ? .zero : common(with: other, at: bound.n)
            }
        }
        return .zero
    }

    private func common(with other: EpochHistory, at n: UInt64) -> EntryName {
        var n = n
        while n > 0 {
            guard let mine = name(at: n), let theirs = other.name(at: n) else { return .zero }
            if mine == theirs { return mine.epoch == .zero ? .zero : mine }
            // Names differ: go to the end of the epoch before the greater one's.
            guard let start = firstOfEpoch(at: n), let otherStart = other.firstOfEpoch(at: n) else { return .zero }
            n = max(start, otherStart) - 1
        }
        return .zero
    }

    private func firstOfEpoch(at n: UInt64) -> UInt64? {
        guard let i = spans.firstIndex(where: { $0.last >= n }) else { return nil }
        return i == 0 ? 1 : spans[i - 1].last + 1
    }
}
