import ClusterModel

/// Makes a failing run smaller: fewer nodes, clients, files and groups, a shorter time, and faults left out one by one, as long
/// as it still fails in the same way.
public struct Shrinking {
    public let seed: UInt64
    public private(set) var scenario: Scenario
    public private(set) var outcome: Outcome
    /// Runs that were tried.
    public private(set) var runs = 0
    private let limit: Int

    /// Of a run that has failed.
    public init(seed: UInt64, scenario: Scenario, outcome: Outcome, limit: Int = 400) {
        self.seed = seed
        self.scenario = scenario
        self.outcome = outcome
        self.limit = limit
    }

    public mutating func run() {
        var isSmaller = true
        while isSmaller, runs < limit {
            isSmaller = false
            for step in Shrinking.steps where attempt(step) { isSmaller = true }
            if leaveFaultsOut() { isSmaller = true }
        }
    }

    private static let steps: [@Sendable (inout Scenario) -> Void] = [
        { $0.metadata = false },
        { $0.dataGroups = min($0.dataGroups, 1) },
        { if $0.metadata { $0.dataGroups = 0 } },
        { $0.sessions = max(1, $0.sessions - 1) },
        { $0.lanes = max(1, $0.lanes - 1) },
        { $0.files = max(1, $0.files / 2) },
        { $0.cuts = false },
        { $0.clockDrift = 0 },
        { $0.nodes = max($0.copies, $0.nodes - 1) },
        { s in
            s.copies = max(1, s.copies - 1)
            s.nodes = max(s.copies, s.nodes - 1)
        },
        { $0.faultsFor = max(1000, $0.faultsFor / 2) },
        { $0.faultsFor = max(1000, $0.faultsFor * 4 / 5) },
    ]

    /// From the last to the first: halves first, then one by one.
    private mutating func leaveFaultsOut() -> Bool {
        var some = false
        var size = max(1, outcome.faults / 2)
        while size >= 1 {
            var end = outcome.faults
            while end > 0, runs < limit {
                let places = (max(1, end - size + 1)...end).filter { !scenario.withoutFaults.contains($0) }
                if !places.isEmpty, attempt({ $0.withoutFaults = ($0.withoutFaults + places).sorted() }) { some = true }
                end -= size
            }
            size /= 2
        }
        return some
    }

    private mutating func attempt(_ change: (inout Scenario) -> Void) -> Bool {
        var smaller = scenario
        change(&smaller)
        guard smaller.deviations != scenario.deviations, runs < limit, smaller.dataGroups > 0 || smaller.metadata else {
            return false
        }
        runs += 1
        let found = Simulator(seed: seed, scenario: smaller).run()
        guard let failure = found.failure, let known = outcome.failure, Shrinking.kind(failure) == Shrinking.kind(known)
        else { return false }
        scenario = smaller
        outcome = found
        return true
    }

    /// Failures that differ in numbers only are of one kind.
    private static func kind(_ failure: String) -> String {
        String(failure.prefix(60).prefix { $0 != "\n" }.filter { !$0.isNumber }.prefix(18))
    }
}

extension Scenario {
    /// What can be changed by name, for the command that repeats a run.
    static let names: [(String, WritableKeyPath<Scenario, Int> & Sendable)] = [
        ("nodes", \.nodes), ("copies", \.copies), ("groups", \.dataGroups), ("sessions", \.sessions),
        ("lanes", \.lanes), ("files", \.files), ("drift", \.clockDrift),
    ]

    /// All of these as words.
    var deviations: [String] {
        var words = Scenario.names.map { "\($0.0)=\(self[keyPath: $0.1])" }
        words += ["metadata=\(metadata ? 1 : 0)", "cuts=\(cuts ? 1 : 0)", "ms=\(faultsFor)"]
        if !withoutFaults.isEmpty { words.append("without=" + withoutFaults.map(String.init).joined(separator: "+")) }
        return words
    }

    /// How this differs from what the seed draws: for `with`.
    public func differences(fromSeed seed: UInt64) -> String {
        var base = Scenario.drawn(seed: seed)
        if let theme { base.turn(to: theme, seed: seed) }
        let drawn = base.deviations
        return ((theme.map { ["theme=\($0)"] } ?? []) + deviations.filter { !drawn.contains($0) }).joined(
            separator: ",")
    }

    /// Takes "nodes=3,without=2+5", or "theme=learning" before all else. False if a word is not understood.
    public mutating func with(_ text: String, seed: UInt64) -> Bool {
        for word in text.split(separator: ",") {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { return false }
            if parts[0] == "without" {
                let places = parts[1].split(separator: "+").map { Int($0) }
                guard places.allSatisfy({ $0 != nil }) else { return false }
                withoutFaults = places.compactMap { $0 }
                continue
            }
            if parts[0] == "theme" {
                guard let theme = Theme(rawValue: parts[1]) else { return false }
                turn(to: theme, seed: seed)
                continue
            }
            guard let number = Int(parts[1]), number >= 0, number <= 1_000_000 else { return false }
            if let name = Scenario.names.first(where: { $0.0 == parts[0] }) {
                self[keyPath: name.1] = number
            } else {
                switch parts[0] {
                case "metadata": metadata = number != 0
                case "cuts": cuts = number != 0
                case "ms": faultsFor = UInt64(number)
                default: return false
                }
            }
        }
        return nodes >= copies && copies >= 1 && nodes <= 9 && sessions >= 1 && lanes >= 1 && files >= 1
    }
}
