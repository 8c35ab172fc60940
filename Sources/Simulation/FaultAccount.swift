/// How often each kind of fault came, and in how many of a run's steps it was in effect.
///
/// A process that was ended is a fault until it is started again, a link until it is mended, a clock or a client until it is as
/// before. A kind that has no length of its own (a reset, a checkpoint, a step of the wall clock, another session, a handover)
/// counts for the second after it.
public struct FaultAccount: Sendable {
    public struct Line: Sendable {
        public var times = 0
        public var steps = 0
    }
    /// In the order of `Scenario.Fault.allCases`.
    public private(set) var lines = [Line](repeating: Line(), count: Scenario.Fault.allCases.count)
    private var lastsUntil = [UInt64](repeating: 0, count: Scenario.Fault.allCases.count)
    private var inEffect: [Int] = []

    public init() {}

    mutating func began(_ kind: Scenario.Fault, until end: UInt64) {
        let i = Int(kind.rawValue)
        lines[i].times += 1
        lastsUntil[i] = max(lastsUntil[i], end)
        if !inEffect.contains(i) { inEffect.append(i) }
    }

    /// One step of the run.
    mutating func stepped(at clock: UInt64) {
        if inEffect.isEmpty { return }
        for i in inEffect where lastsUntil[i] > clock { lines[i].steps += 1 }
        inEffect.removeAll { lastsUntil[$0] <= clock }
    }

    /// There are no more faults, and none goes on.
    mutating func healed() { inEffect = [] }

    public mutating func add(_ other: FaultAccount) {
        for i in lines.indices {
            lines[i].times += other.lines[i].times
            lines[i].steps += other.lines[i].steps
        }
    }
}
