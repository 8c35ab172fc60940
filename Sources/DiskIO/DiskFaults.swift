import CSupport
import Glibc
import Synchronization

/// Faults that a test injects under the files of a disk. Given to `DiskHealth` at its creation and nowhere else, so a
/// process without it cannot meet one.
public final class DiskFaults: Sendable {
    public enum Effect: Hashable, Sendable {
        /// The call is not made and gives this errno.
        case fail(errno: Int32)
        /// The call is made this much later; the watchdog sees it as inside the call.
        case delay(milliseconds: Int)
        /// The call is made when the test says `release`; the watchdog sees it as inside the call.
        case hold
    }

    /// One fault: which calls it meets, and what happens to them.
    public struct Rule: Hashable, Sendable {
        public var operation: DiskError.Operation
        /// The file's name begins with this; empty: every file. The folder itself is called "/".
        public var namePrefix: String
        /// Which of the matching calls, counted from 1.
        public var calls: ClosedRange<Int>
        /// Only calls that touch one of these bytes; nil: any.
        public var bytes: Range<Int64>?
        public var effect: Effect

        public init(
            _ operation: DiskError.Operation, namePrefix: String = "", calls: ClosedRange<Int> = 1...Int.max,
            bytes: Range<Int64>? = nil, effect: Effect
        ) {
            self.operation = operation
            self.namePrefix = namePrefix
            self.calls = calls
            self.bytes = bytes
            self.effect = effect
        }
    }

    private struct State {
        var rules: [(rule: Rule, met: Int)]
    }

    private struct Holds {
        var held = 0
        var releases = 0
    }

    private let state: Mutex<State>
    private let holds = Monitor(Holds())

    public init(_ rules: [Rule]) {
        state = Mutex(State(rules: rules.map { ($0, 0) }))
    }

    /// Adds a rule; it counts calls from now on.
    public func add(_ rule: Rule) { state.withLock { $0.rules.append((rule, 0)) } }

    /// Takes all rules away.
    public func clear() { state.withLock { $0.rules.removeAll() } }

    /// How many calls are held now.
    public var held: Int { holds.withLock { $0.held } }

    /// Lets the calls go that are held now.
    public func release() {
        holds.withLock { $0.releases += 1 }
        holds.wakeAll()
    }

    /// Reads rules from text, for a process test that has only the environment: rules are separated by ";", each is
    /// `OPERATION [name=PREFIX] [calls=FIRST-LAST] [bytes=FIRST-END] errno=NUMBER|delay=MS`, for instance
    /// `sync name=log- calls=3-3 errno=5; read name=data bytes=0-4096 errno=5`. Nil for any other text.
    public convenience init?(parsing text: String) {
        var rules: [Rule] = []
        for part in text.split(separator: ";") {
            let words = part.split(separator: " ")
            guard !words.isEmpty else { continue }
            guard let rule = DiskFaults.rule(words) else { return nil }
            rules.append(rule)
        }
        self.init(rules)
    }

    private static func rule(_ words: [Substring]) -> Rule? {
        guard let operation = DiskError.Operation(rawValue: String(words[0])) else { return nil }
        var rule = Rule(operation, effect: .delay(milliseconds: 0))
        var hasEffect = false
        for word in words.dropFirst() {
            let pair = word.split(separator: "=", maxSplits: 1)
            guard pair.count == 2 else { return nil }
            let bounds = pair[1].split(separator: "-").map { Int64($0) }
            switch pair[0] {
            case "name": rule.namePrefix = String(pair[1])
            case "calls":
                guard bounds.count == 2, let first = bounds[0], let last = bounds[1], 1 <= first, first <= last else {
                    return nil
                }
                rule.calls = Int(first)...Int(last)
            case "bytes":
                guard bounds.count == 2, let first = bounds[0], let end = bounds[1], first < end else { return nil }
                rule.bytes = first..<end
            case "errno":
                guard let number = Int32(pair[1]), number > 0 else { return nil }
                rule.effect = .fail(errno: number)
                hasEffect = true
            case "delay":
                guard let number = Int(pair[1]), number >= 0 else { return nil }
                rule.effect = .delay(milliseconds: number)
                hasEffect = true
            default: return nil
            }
        }
        return hasEffect ? rule : nil
    }

    /// Meets the faults of one call: sleeps for delays, waits while held; gives the errno to fail with, or nil to make the call.
    func meet(_ operation: DiskError.Operation, name: String, offset: Int64, count: Int) -> Int32? {
        var delay = 0
        var failure: Int32?
        var isHeld = false
        state.withLock { state in
            for index in state.rules.indices {
                let rule = state.rules[index].rule
                guard rule.operation == operation, name.hasPrefix(rule.namePrefix) else { continue }
                if let bytes = rule.bytes, !bytes.overlaps(offset..<offset + Int64(count)) { continue }
                state.rules[index].met += 1
                guard rule.calls.contains(state.rules[index].met) else { continue }
                switch rule.effect {
                case .fail(let errno): failure = failure ?? errno
                case .delay(let milliseconds): delay += milliseconds
                case .hold: isHeld = true
                }
            }
        }
        if delay > 0 {
            var rest = timespec(tv_sec: delay / 1000, tv_nsec: delay % 1000 * 1_000_000)
            var left = timespec()
            while nanosleep(&rest, &left) != 0 && errno == EINTR { rest = left }
        }
        if isHeld {
            let before = holds.withLock { holds in
                holds.held += 1
                return holds.releases
            }
            holds.wait { holds in holds.releases > before ? () : nil }
            holds.withLock { $0.held -= 1 }
        }
        return failure
    }
}
