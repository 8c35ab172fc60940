import ClusterModel
import Replication
import Store

/// What a run is made of. Everything else follows from the seed.
public struct Scenario: Sendable {
    public var nodes = 3
    public var copies = 3
    public var minInSync: Int?
    /// Data groups, a power of two; 0 to have the metadata group only.
    public var dataGroups = 1
    public var metadata = false
    public var layout = Layout.standard
    /// How many files clients work on: with many, what a learner missed is not soon written again.
    public var files = 2
    /// Whether clients also truncate, remove and zero.
    public var cuts = true
    /// Small, so that checkpoints, recycled segments and evicted rows come often.
    public var store = StoreConfiguration(
        segmentSize: 80 * 4096, maximumSegments: 8, checkpointLogBytes: 1 << 20, dirtyRowBytes: 40_000,
        rowCacheBytes: 14_000, overlayBytes: 6_000, pendingSlots: 40, growthSlots: 32, copyBatchBytes: 32_768,
        rowsPerTransaction: 3, backgroundSyncBytes: 200_000, backgroundSyncDelay: .milliseconds(100),
        idleCheckpointDelay: .seconds(1), checkpointInterval: .seconds(10))
    /// Sessions, each with `lanes` operations at a time.
    public var sessions = 2
    public var lanes = 2
    /// Milliseconds of virtual time with faults.
    public var faultsFor: UInt64 = 20_000
    public var faults: [Fault] = Fault.allCases
    /// Probability of each, in 1/100, that the answer to a change of the record is lost, and that it lands late.
    public var unknownOutcomes = 15
    public var payloadVoids = true
    public var rot = Rot.none
    /// Whether primaries go where placement wants them, and nodes that stop in order give theirs away first.
    var balances: Bool { faults.contains(.handover) || faults.contains(.suspend) }
    #if DEBUG || STAVE_MUTANTS
        public var mutation: Mutation?
    #endif
    public init() {}

    public enum Fault: CaseIterable, Sendable {
        case kill
        case killAgain
        case powerLoss
        case powerLossOfAll
        case cleanRestart
        case pause
        case reset
        case partition
        case coordinatorAway
        case newSession
        case checkpoint
        /// A sync fails: the disk is out of use, and its node lives on.
        case failedSync
        case handover
        /// A node is suspended, or resumed.
        case suspend
    }

    public enum Rot: Sendable {
        case none
        /// Of one node's disk, again and again.
        case oneDisk
    }

    /// A scenario drawn from the seed, as campaigns run them.
    public static func drawn(seed: UInt64) -> Scenario {
        var random = SplitMix64(seed: seed ^ 0x5ce2_a210)
        var s = Scenario()
        s.nodes = [1, 2, 3, 3, 3, 3, 4, 5][random.below(8)]
        s.copies = min(s.nodes, [1, 2, 3, 3, 3][random.below(5)])
        let kind = random.below(8)
        s.metadata = kind < 2 || kind == 7
        s.dataGroups = kind < 2 ? 0 : kind < 5 ? 1 : 2
        if random.below(2) == 0, let narrow = Layout(stripeUnit: 1 << 16, stripeCount: 2) { s.layout = narrow }
        s.cuts = random.below(3) != 0
        s.sessions = 1 + random.below(3)
        s.lanes = 1 + random.below(3)
        s.faultsFor = UInt64(5_000 + random.below(25_000))
        if random.below(3) == 0 {
            s.faults = [
                .kill, .killAgain, .pause, .reset, .partition, .coordinatorAway, .newSession, .checkpoint,
                .failedSync,
            ]
        } else {
            s.faults = Fault.allCases.filter { $0 != .handover && $0 != .suspend && random.below(3) != 0 }
        }
        // Without a sync that failed and with power lost, a group may lack any whole replica.
        if s.faults.contains(.failedSync) { s.faults.removeAll { $0 == .powerLoss || $0 == .powerLossOfAll } }
        if s.faults.isEmpty { s.faults = [.kill] }
        // From numbers of its own: without it, a seed's run is what it was before there were handovers.
        var handovers = SplitMix64(seed: seed ^ 0x4a4d_0e12)
        for _ in 0..<[0, 0, 1, 2, 6][handovers.below(5)] { s.faults.append(.handover) }
        if handovers.below(4) == 0 { s.faults.append(.suspend) }
        return s
    }
}

/// How a run ended.
public struct Outcome: Sendable {
    public var seed: UInt64
    /// Nil when every check held.
    public var failure: String?
    /// The last happenings before the end, a line each.
    public var story: [String]
    /// Of every message, answer and change of the record: the same seed gives the same.
    public var hash: UInt64
    /// What the seed's generator gives next, at the end: the same for the same seed, or something drew otherwise.
    public var finalRandom: UInt64
    /// Of what the cluster is at the end: records, logs, what clients saw.
    public var state: UInt64
    public var answered: Int
    public var steps: Int
    public var virtualMilliseconds: UInt64
    public var counts: [String: Int]

    /// Whether another run of the same seed ended the same.
    public func replays(as other: Outcome) -> Bool { fingerprint == other.fingerprint }

    public var fingerprint: String {
        let numbers = [finalRandom, state, hash].map { String($0, radix: 16) }.joined(separator: " ")
        return "\(numbers), \(steps) steps, \(answered) operations, \(virtualMilliseconds) ms"
    }

    public var report: String {
        guard let failure else { return "seed \(seed): all held" }
        return "seed \(seed): \(failure)\n" + story.map { "  " + $0 }.joined(separator: "\n")
            + "\nrepeat: tools/simulate --seed \(seed)"
    }
}
