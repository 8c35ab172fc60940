import ClusterModel
import Wire

/// The way of a metadata group's entries from its log to its namespace rows, and the order of what must see them there.
///
/// Invariants:
/// - entries are handed over in the order of their names, each once, and only when they are decided *and* their record is
///   log-stable on this disk: rows that a loss of power left ahead of the log would have what no other replica has (store.md,
///   rule 1);
/// - what is to see everything that was decided when it came is let go only after all that has been handed over, in the order
///   of coming;
/// - an entry that is cut off is never handed over, and nothing waits for it;
/// - of a log that began anew nothing is handed over before it is said to be decided, anew.
public struct ApplyQueue: Sendable {
    /// Not handed over yet, ascending, from `first` on.
    private var entries: [Entry] = []
    private var first = 0
    private var decidedThrough = EntryName.zero
    /// Of the log as it is now; what was cut off is not counted.
    private var stableThrough = EntryName.zero
    /// For each that waits: the entry through which it waits, ascending.
    private var waiting: [EntryName] = []

    #if DEBUG || STAVE_MUTANTS
        /// The rule left out (`PlacementGroup.mutation`).
        public var mutation: Mutation?
        private var waitsForLog: Bool { mutation != .rowsBeforeStable }
    #else
        private var waitsForLog: Bool { true }
    #endif

    public init() {}

    /// What may be done now, in this order.
    public struct Steps: Sendable {
        /// To hand to the rows.
        public var apply: [Entry] = []
        /// The log has to be stable through this before there is more to apply.
        public var requestStable: EntryName?
        /// So many of those that wait go on, the earliest first.
        public var released = 0
    }

    /// An entry was appended to the log, or found in it, undecided, after a restart.
    public mutating func append(_ entry: Entry) { entries.append(entry) }

    public mutating func decided(through name: EntryName) -> Steps {
        decidedThrough = max(decidedThrough, name)
        return advance()
    }

    public mutating func stable(through name: EntryName) -> Steps {
        stableThrough = max(stableThrough, name)
        return advance()
    }

    /// Whether something that comes now has to wait, until it is among the `released`.
    public mutating func mustWait() -> Bool {
        guard let next, next.name <= decidedThrough else { return false }
        waiting.append(decidedThrough)
        return true
    }

    /// The log is cut after this entry: gives what will never be applied, and how many that wait go on.
    public mutating func cut(after name: EntryName) -> (dropped: [Entry], released: Int) {
        stableThrough = min(stableThrough, name)
        var dropped: [Entry] = []
        while let last = entries.last, entries.count > first, last.name > name {
            dropped.append(last)
            entries.removeLast()
        }
        return (dropped, release())
    }

    /// The log begins anew, or there will be no more of it. What was known to be decided may be ahead of the new one's beginning,
    /// and its entries wait until they are said to be, behind the rows that are to come before them.
    public mutating func clear() -> (dropped: [Entry], released: Int) {
        decidedThrough = .zero
        return cut(after: .zero)
    }

    private var next: Entry? { first < entries.count ? entries[first] : nil }

    private mutating func advance() -> Steps {
        var steps = Steps()
        while let entry = next, entry.name <= decidedThrough {
            guard entry.name <= stableThrough || !waitsForLog else {
                steps.requestStable = decidedThrough
                break
            }
            first += 1
            steps.apply.append(entry)
        }
        // Each entry is moved once at most before it leaves.
        if first > 64, first * 2 > entries.count {
            entries.removeFirst(first)
            first = 0
        } else if first == entries.count {
            entries.removeAll(keepingCapacity: true)
            first = 0
        }
        steps.released = release()
        return steps
    }

    private mutating func release() -> Int {
        var count = 0
        while count < waiting.count, next.map({ $0.name > waiting[count] }) ?? true { count += 1 }
        waiting.removeFirst(count)
        return count
    }
}
