import ClusterModel
import Wire

/// The checks of a namespace's history: what clients saw against the log that is left, and the log against a model.
///
/// - every result and every answer is what a plain tree gives at that place of the log;
/// - each operation has one place in it, between its first sending and its first answer: operations that do not overlap stand in
///   their order, and a question is answered from behind all that had ended before it (Herlihy and Wing, 1990: the log is the
///   linearization, and is checked as one rather than searched for);
/// - a request, and a call under whatever requests it comes within its lifetime, is executed once, and each sending of it is told
///   the first result;
/// - an operation that was answered as stable, or flushed with the same stamp, is in the log that is left, whatever was lost; if
///   nothing was lost, every answered one is.
struct TreeChecker {
    private let history: [Observed]
    private let chain: [(name: EntryName, step: Lineage.Step)]
    private(set) var model = ModelTree()

    init(_ history: [Observed], _ chain: [(name: EntryName, step: Lineage.Step)]) {
        self.history = history
        self.chain = chain
    }

    /// How long a call's result is kept (`NamespaceLimits.callLifetime`), by entries' times.
    private static let callLifetime: Int64 = 120_000_000_000

    // MARK: The log against the model

    /// Walks the log, and asks the questions where they were answered.
    mutating func replay() throws -> String? {
        var questions: [EntryName: [Int]] = [:]
        for (i, op) in history.enumerated() where op.end != nil {
            if let tree = op.tree, case .query = tree.question { questions[tree.asOf, default: []].append(i) }
        }
        if let wrong = try ask(questions[.zero]) { return wrong }
        for (name, step) in chain {
            if !step.operation.isEmpty, !step.isKept {
                let entry = try step.operation.decoded { r throws(WireError) in try NamespaceEntry(from: &r) }
                let result = try step.result.decoded { r throws(WireError) in try NamespaceResult(from: &r) }
                let effect = model.apply(entry)
                if let wrong = model.difference(effect, result) {
                    return "entry \(name), \(entry.operation), gave \(wrong)"
                }
            }
            if let wrong = try ask(questions[name]) { return wrong }
        }
        return nil
    }

    private func ask(_ asked: [Int]?) throws -> String? {
        for i in asked ?? [] {
            guard let tree = history[i].tree, case .query(let query) = tree.question, let bytes = tree.answer else {
                continue
            }
            let answer = try bytes.decoded { r throws(WireError) in try NamespaceAnswer(from: &r) }
            if let wrong = model.difference(query, answer) {
                return "\(query) at \(history[i].start) was answered behind \(tree.asOf) with \(wrong)"
            }
        }
        return nil
    }

    // MARK: Exactly once

    func once() -> String? {
        var executed: [LostRequest: [UInt8]] = [:]
        var calls: [CallIdentity: (result: [UInt8], time: Timestamp)] = [:]
        for (name, step) in chain where !step.operation.isEmpty {
            let request = LostRequest(session: step.session, request: step.request)
            let hasNumber = step.session != .none
            let call = step.call.flatMap { calls[$0] }
            if step.isKept {
                let first = hasNumber ? executed[request] ?? call?.result : call?.result
                if let first, first == step.result { continue }
                return "entry \(name) was told the result of something that was never executed"
            }
            if hasNumber {
                if executed.updateValue(step.result, forKey: request) != nil {
                    return "\(step.session) \(step.request) was executed twice, again as \(name)"
                }
            }
            guard let identity = step.call else { continue }
            if let call, step.time.nanoseconds - call.time.nanoseconds <= TreeChecker.callLifetime {
                return "a call was executed twice, again as \(name)"
            }
            // A call that has to wait for a cut has no answer yet.
            if TreeChecker.failure(step.result) != .cutUnfinished { calls[identity] = (step.result, step.time) }
        }
        return nil
    }

    private static func failure(_ result: [UInt8]) -> NamespaceFailure? {
        (try? result.decoded { r throws(WireError) in try NamespaceResult(from: &r) })?.failure
    }

    // MARK: The log against what clients saw

    /// `isLossless`: whether nothing can have been lost.
    func observed(isLossless: Bool) -> String? {
        var places: [LostRequest: Int] = [:]
        for (i, item) in chain.enumerated() where item.step.session != .none && !item.step.operation.isEmpty {
            let request = LostRequest(session: item.step.session, request: item.step.request)
            if places[request] == nil { places[request] = i }
        }
        var spans: [Span] = []
        /// Where each call was executed; those that were executed anew, after their lifetime, are left out.
        var calls: [CallIdentity: Int] = [:]
        var again: Set<CallIdentity> = []
        for op in history {
            guard let tree = op.tree else { continue }
            guard case .operation(let operation) = tree.question else {
                guard let end = op.end, isLossless else { continue }
                guard tree.asOf == .zero || index(tree.asOf) != nil else {
                    return "a question at \(op.start) was answered behind \(tree.asOf), which is not in the log"
                }
                spans.append(Span(n: lastOperation(through: tree.asOf), isQuestion: true, start: op.start, end: end))
                continue
            }
            let found = tree.requests.compactMap { places[$0] }
            if let answer = tree.answer, let end = op.end {
                if found.isEmpty, isLossless || isPromised(op, end) {
                    return "\(operation), answered at \(end), is not in the log: \(tree.requests)"
                }
                if let first = found.first, !found.contains(where: { chain[$0].step.result == answer }) {
                    return "\(operation) at \(op.start) was told something else than entry \(chain[first].name) gave"
                }
            }
            // The place of its effect: where the request, or the call, was executed.
            guard let place = found.first(where: { !chain[$0].step.isKept }) else { continue }
            if let call = tree.call, calls.updateValue(spans.count, forKey: call) != nil { again.insert(call) }
            spans.append(
                Span(n: chain[place].name.n, isQuestion: false, start: op.start, end: op.end ?? op.notAfter))
        }
        // Those who were told another sending's result were told it after it had happened.
        for op in history {
            guard let call = op.tree?.call, let place = calls[call], !again.contains(call) else { continue }
            spans[place].start = min(spans[place].start, op.start)
            spans[place].end = min(spans[place].end, op.end ?? .max)
        }
        return order(spans)
    }

    /// Entries that are no operation change nothing: a question may be answered before them.
    private func lastOperation(through name: EntryName) -> UInt64 {
        chain.prefix(Int(name.n)).last { !$0.step.operation.isEmpty }?.name.n ?? 0
    }

    private func index(_ name: EntryName) -> Int? {
        let i = Int(name.n) - 1
        return chain.indices.contains(i) && chain[i].name == name ? i : nil
    }

    private func isPromised(_ op: Observed, _ end: UInt64) -> Bool {
        op.durability == .stable
            || history.contains {
                $0.kind == .flush && $0.end != nil && $0.group == op.group && $0.start > end && $0.stamp == op.stamp
            }
    }

    /// When something took effect, as clients know: between `start` and `end`, at entry n or, for a question, behind it.
    private struct Span {
        var n: UInt64
        var isQuestion: Bool
        var start: UInt64
        var end: UInt64
    }

    /// Nothing has ended before something began that stands before it.
    private func order(_ spans: [Span]) -> String? {
        let sorted = spans.sorted {
            $0.n != $1.n ? $0.n < $1.n : $0.isQuestion != $1.isQuestion ? $1.isQuestion : $0.start < $1.start
        }
        var latest: UInt64 = 0
        var i = 0
        while i < sorted.count {
            var j = i
            // Questions behind one entry may be in any order.
            while j < sorted.count, sorted[j].n == sorted[i].n, sorted[j].isQuestion == sorted[i].isQuestion { j += 1 }
            for span in sorted[i..<j] where span.end < latest {
                return "\(span.isQuestion ? "a question behind" : "the operation at") entry \(span.n) had ended at "
                    + "\(span.end), before something began, at \(latest), that stands before it"
            }
            for span in sorted[i..<j] { latest = max(latest, span.start) }
            i = j
        }
        return nil
    }
}
