import ClusterModel
import Wire

/// Whether each name of the namespace behaved like one register that is changed at one instant within each operation, by what
/// clients saw alone: a search for an order, name by name, which remembers what it has tried (Wing and Gong, 1993; Lowe, 2017).
/// Only for histories in which nothing may have been lost.
///
/// It trusts nothing of the log, but looks at one name at a time; `TreeChecker` looks at all of them together.
struct EntryChecker {
    struct Key: Hashable {
        var directory: InodeNumber
        var name: FileName
    }

    enum Value: Hashable {
        case absent
        case inode(InodeNumber)
        /// Made by an operation whose answer nobody heard.
        case unknown
    }

    /// What an operation needs of a name, and makes of it.
    enum Step {
        case sees(InodeNumber)
        case seesNothing
        case seesSomething
        case makes(InodeNumber)
        /// Makes it, or finds it.
        case makesOrSees(InodeNumber)
        case makesSomething
        case removes
        /// The inode leaves the name, or stays where both names were its.
        case moves(InodeNumber)
        case takes(InodeNumber)
        /// An operation whose answer nobody heard: may have put something there, or taken it away.
        case changes

        /// What the name may be afterwards; empty if it could not have been so.
        func after(_ value: Value) -> [Value] {
            switch self {
            case .sees(let inode): return value == .inode(inode) || value == .unknown ? [.inode(inode)] : []
            case .seesNothing: return value == .absent ? [.absent] : []
            case .seesSomething: return value == .absent ? [] : [value]
            case .makes(let inode): return value == .absent ? [.inode(inode)] : []
            case .makesOrSees(let inode):
                return value == .absent || value == .unknown || value == .inode(inode) ? [.inode(inode)] : []
            case .makesSomething: return value == .absent ? [.unknown] : [value]
            case .removes: return value == .absent ? [] : [.absent]
            case .moves(let inode):
                return value == .inode(inode) || value == .unknown ? [.absent, .inode(inode)] : []
            case .takes(let inode): return [.inode(inode)]
            case .changes: return value == .absent ? [.absent, .unknown] : [value, .absent, .unknown]
            }
        }
    }

    struct Operation {
        var step: Step
        var start: UInt64
        /// `.max`: it may still happen, or never.
        var end: UInt64
        var isAnswered: Bool
    }

    /// States that are looked at for one name, before it is left undecided.
    private static let patience = 50_000

    private(set) var undecided = 0
    /// Names whose history is not known: a call may have been executed anew after its lifetime.
    private var excluded: Set<Key> = []
    private var order: [Key] = []
    private var operations: [Key: [Operation]] = [:]

    /// `isSteady`: whether clocks go on evenly, so that calls live as long as they should.
    init(_ history: [Observed], isSteady: Bool) throws {
        var calls: [CallIdentity: (op: Observed, sendings: Int)] = [:]
        var known: [CallIdentity] = []
        for op in history {
            guard let tree = op.tree else { continue }
            guard let call = tree.call else {
                try take(op)
                continue
            }
            var op = op
            if try EntryChecker.waits(tree) {
                // Nothing is kept of it (`NamespaceMachine`): any sending, later or still under way, may be executed.
                try take(op)
                op.end = nil
                op.notAfter = .max
            }
            // All sendings of a call are one operation, which has happened when the first is answered.
            if let (first, sendings) = calls[call] {
                var joined = op.end ?? .max < first.end ?? .max ? op : first
                joined.start = min(op.start, first.start)
                joined.notAfter = .max
                calls[call] = (joined, sendings + tree.requests.count)
            } else {
                calls[call] = (op, tree.requests.count)
                known.append(call)
            }
        }
        for call in known {
            guard let (op, sendings) = calls[call] else { continue }
            if sendings > 1, !isSteady || (op.end ?? .max) - op.start > EntryChecker.lifetime { exclude(op) }
            try take(op)
        }
    }

    /// Whatever was answered: another sending may have been executed anew, and have changed any of its names.
    private mutating func exclude(_ op: Observed) {
        guard case .operation(let operation)? = op.tree?.question else { return }
        switch operation {
        case .create(let directory, let name, _, _), .link(_, let directory, let name),
            .remove(let directory, let name), .removeDirectory(let directory, let name):
            excluded.insert(Key(directory: directory, name: name))
        case .rename(let from, let name, let to, let newName):
            excluded.insert(Key(directory: from, name: name))
            excluded.insert(Key(directory: to, name: newName))
        default: break
        }
    }

    /// Whether it was told to come again when an earlier cut is finished.
    private static func waits(_ tree: TreeObservation) throws -> Bool {
        guard case .operation = tree.question, let answer = tree.answer else { return false }
        let result = try answer.decoded { r throws(WireError) in try NamespaceResult(from: &r) }
        return result.failure == .cutUnfinished
    }

    /// Of a call, with some room (`NamespaceLimits.callLifetime`).
    private static let lifetime: UInt64 = 100_000_000_000

    private mutating func add(_ directory: InodeNumber, _ name: FileName, _ step: Step, _ op: Observed) {
        let key = Key(directory: directory, name: name)
        if operations[key] == nil { order.append(key) }
        operations[key, default: []].append(
            Operation(step: step, start: op.start, end: op.end ?? op.notAfter, isAnswered: op.end != nil))
    }

    private mutating func take(_ op: Observed) throws {
        guard let tree = op.tree else { return }
        switch tree.question {
        case .operation(let operation):
            guard op.end != nil, let answer = tree.answer else { return maybe(operation, op) }
            let result = try answer.decoded { r throws(WireError) in try NamespaceResult(from: &r) }
            take(operation, result.failure, result.inode?.attributes.file.inode, op)
        case .query(let query):
            guard op.end != nil, let bytes = tree.answer else { return }
            take(query, try bytes.decoded { r throws(WireError) in try NamespaceAnswer(from: &r) }, op)
        }
    }

    private mutating func take(_ query: NamespaceQuery, _ answer: NamespaceAnswer, _ op: Observed) {
        switch (query, answer) {
        case (.lookup(let directory, let name), .found(let inode, _)):
            add(directory, name, .sees(inode.attributes.file.inode), op)
        case (.lookup(let directory, let name), .failed(.notFound)): add(directory, name, .seesNothing, op)
        case (.list(let directory, 0, 512, _), .entries(let entries, _, _)):
            for name in KnownTree.names {
                let found = entries.first { $0.name == name }
                add(directory, name, found.map { .sees($0.inode) } ?? .seesNothing, op)
            }
        default: break
        }
    }

    private mutating func take(
        _ operation: NamespaceOperation, _ failure: NamespaceFailure?, _ inode: InodeNumber?, _ op: Observed
    ) {
        switch operation {
        case .create(let directory, let name, let file, _):
            if failure == .exists || failure == .cutUnfinished { return add(directory, name, .seesSomething, op) }
            guard failure == nil, let inode else { return }
            switch file {
            case .regular(.unchecked), .regular(.exclusive): add(directory, name, .makesOrSees(inode), op)
            case .regular(.guarded), .directory, .symbolicLink, .device, .fifo, .socket:
                add(directory, name, .makes(inode), op)
            }
        case .link(let inode, let directory, let name):
            if failure == .exists { add(directory, name, .seesSomething, op) }
            if failure == nil { add(directory, name, .makes(inode), op) }
        case .remove(let directory, let name), .removeDirectory(let directory, let name):
            switch failure {
            case nil: add(directory, name, .removes, op)
            case .notFound: add(directory, name, .seesNothing, op)
            case .isDirectory, .notEmpty: add(directory, name, .seesSomething, op)
            default: break
            }
        case .rename(let from, let name, let to, let newName):
            if failure == .notFound { add(from, name, .seesNothing, op) }
            guard failure == nil, let inode else { return }
            if from == to, name == newName { return add(from, name, .sees(inode), op) }
            add(from, name, .moves(inode), op)
            add(to, newName, .takes(inode), op)
        default: break
        }
    }

    /// An operation whose answer nobody heard.
    private mutating func maybe(_ operation: NamespaceOperation, _ op: Observed) {
        switch operation {
        case .create(let directory, let name, _, _): add(directory, name, .makesSomething, op)
        case .link(let inode, let directory, let name): add(directory, name, .makes(inode), op)
        case .remove(let directory, let name), .removeDirectory(let directory, let name):
            add(directory, name, .removes, op)
        case .rename(let from, let name, let to, let newName):
            add(from, name, .changes, op)
            add(to, newName, .changes, op)
        default: break
        }
    }

    // MARK: The search

    mutating func findings() -> String? {
        for key in order where !excluded.contains(key) {
            let all = (operations[key] ?? []).sorted { $0.start != $1.start ? $0.start < $1.start : $0.end < $1.end }
            switch EntryChecker.search(all) {
            case .found: break
            case .gaveUp: undecided += 1
            case .none(let reached):
                // Around where the search went no further.
                let story = all[max(0, reached - 30)..<min(all.count, reached + 10)].map {
                    "  \($0.start / 1000) … \($0.isAnswered ? "\($0.end / 1000)" : "–") µs: \($0.step)"
                }
                return "no order explains \(key.name) in \(key.directory):\n" + story.joined(separator: "\n")
            }
        }
        return nil
    }

    private enum Outcome {
        case found
        /// The first operation that no order got past.
        case none(reached: Int)
        case gaveUp
    }

    /// What has been put in order, and what the name is then.
    private struct State: Hashable {
        /// All before it are in order.
        var first: Int
        /// Others that are, ascending.
        var ahead: [Int]
        var value: Value
    }

    private static func search(_ all: [Operation]) -> Outcome {
        var seen: Set<State> = []
        var stack = [State(first: 0, ahead: [], value: .absent)]
        var reached = 0
        while let state = stack.popLast() {
            guard seen.insert(state).inserted else { continue }
            if seen.count > patience { return .gaveUp }
            reached = max(reached, state.first)
            let open = (state.first..<all.count).filter { !state.ahead.contains($0) }
            guard open.contains(where: { all[$0].isAnswered }) else { return .found }
            // Nothing comes first that began after another one had ended.
            let end = open.reduce(UInt64.max) { min($0, all[$1].isAnswered ? all[$1].end : .max) }
            var next: [State] = []
            for i in open {
                if all[i].start > end { break }
                for value in all[i].step.after(state.value) {
                    var ahead = state.ahead + [i]
                    ahead.sort()
                    var first = state.first
                    while ahead.first == first {
                        ahead.removeFirst()
                        first += 1
                    }
                    next.append(State(first: first, ahead: ahead, value: value))
                }
            }
            stack += next.reversed()
        }
        return .none(reached: reached)
    }
}
