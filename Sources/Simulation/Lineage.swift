import ClusterModel
import Wire

/// What every replica's namespace has applied, as it applied it.
///
/// Checked here: whichever replica applies an entry, and whenever, from whatever rows, it follows the same entry and gives the
/// same result.
struct Lineage {
    struct Step {
        /// The entry before it.
        var previous: EntryName
        var session = SessionID.none
        var request = RequestNumber.none
        var call: CallIdentity?
        /// An encoded `NamespaceEntry`; empty for an entry that is no operation.
        var operation: [UInt8] = []
        /// An encoded `NamespaceResult`.
        var result: [UInt8] = []
        /// The operation had been executed before: this is its first result.
        var isKept = false
        /// By which the operation was executed.
        var time = Timestamp.zero
    }
    private var steps: [EntryName: Step] = [:]

    /// What is wrong, if anything.
    mutating func applied(_ name: EntryName, _ step: Step) -> String? {
        guard let known = steps.updateValue(step, forKey: name) else { return nil }
        if known.previous != step.previous {
            return "\(name) was applied after \(known.previous) and after \(step.previous)"
        }
        if known.operation != step.operation || known.session != step.session || known.request != step.request
            || known.call != step.call
        {
            return "two operations are named \(name)"
        }
        if known.result != step.result || known.isKept != step.isKept || known.time != step.time {
            return "replicas differ in what \(name) gave"
        }
        return nil
    }

    /// From the first entry to this one; nil if nobody is known to have applied one of them.
    func chain(to end: EntryName) -> [(name: EntryName, step: Step)]? {
        var found: [(EntryName, Step)] = []
        var name = end
        while name != .zero {
            guard let step = steps[name] else { return nil }
            found.append((name, step))
            name = step.previous
        }
        return found.reversed()
    }
}
