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
    /// When power is lost the kernel has written all logs out, and not what they point to: large records that no sync waited for
    /// are void.
    public var logsOutlast = false
    /// Cuts of files that a group keeps in mind (`ReplicationLimits.fileMarks`).
    public var fileMarks = 16384
    /// Small, so that checkpoints, recycled segments and evicted rows come often.
    public var store = StoreConfiguration(
        segmentSize: 80 * 4096, maximumSegments: 8, checkpointLogBytes: 1 << 20, dirtyRowBytes: 40_000,
        rowCacheBytes: 14_000, overlayBytes: 6_000, pendingSlots: 40, growthSlots: 32, copyBatchBytes: 32_768,
        rowsPerTransaction: 3, backgroundSyncBytes: 200_000, backgroundSyncDelay: .milliseconds(100),
        idleCheckpointDelay: .seconds(1), checkpointInterval: .seconds(10))
    /// Of a hundred writes: how many cover whole slots, and how many are stable.
    public var largeWrites = 6
    public var stableWrites = 30
    /// Milliseconds in which clients work on one file, before they leave it alone for another; 0: on all of them.
    public var burst: UInt64 = 0
    /// Whether clients hear of a claim at once, and read what they can.
    public var readsAfterClaims = false
    /// How many in a thousand clocks may be off.
    public var clockDrift = 0
    /// Places in the schedule of faults that are left out, from 1 on.
    public var withoutFaults: [Int] = []
    /// Sessions, each with `lanes` operations at a time.
    public var sessions = 2
    public var lanes = 2
    /// Milliseconds of virtual time with faults.
    public var faultsFor: UInt64 = 20_000
    public var faults: [Fault] = Fault.drawn
    public var schedules: [DirectedSchedule] = []
    /// Some reads of a disk take as long as a checkpoint, so that what they read has moved meanwhile.
    public var slowReads = false
    /// Whether some nodes speak an older version of the protocol, and are upgraded on the way.
    public var mixedVersions = false
    /// Whether gateways go on that do not know of their session's end.
    var zombies = false
    /// Whether some clients stay with a primary until it refuses them, and what a pause held back goes on in any order.
    var laggards = false
    /// Of a hundred answers to changes: how many get lost, with a client that asks again only seconds later.
    var lostAnswers = 0
    /// Probability of each, in 1/100, that the answer to a change of the record is lost, and that it lands late.
    public var unknownOutcomes = 15
    /// Of most disks at once, after the faults; the loss is accepted.
    public var destruction = Destruction.none
    public var payloadVoids = true
    public var rot = Rot.none
    /// Of a hundred times, how often a row of the namespace rots where there are rows.
    public var rottenRows = 5
    /// What this was turned to by name.
    public private(set) var theme: Theme?
    /// Whether groups are scrubbed while all else happens; at the end all are.
    public var scrubs = true
    /// Whether primaries go where placement wants them, and nodes that stop in order give theirs away first.
    var balances: Bool {
        faults.contains(.handover) || faults.contains(.suspend) || faults.contains(.wornDisk) || relocates
    }
    /// Whether groups move to other disks.
    var relocates: Bool { faults.contains(.relocate) || faults.contains(.replaceDisk) }
    #if DEBUG || STAVE_MUTANTS
        public var mutation: Mutation?
        public var storeMutation: StoreMutation?
    #endif
    public init() {}

    public enum Fault: UInt8, CaseIterable, Sendable {
        case kill
        case killAgain
        case powerLoss
        case powerLossOfAll
        /// All lose power, each in the middle of what it does.
        case powerCut
        case cleanRestart
        case pause
        /// Until about the end of the lease.
        case pauseAcrossLease
        case reset
        case partition
        case oneWayPartition
        case slowLink
        case coordinatorAway
        case coordinatorSlow
        case watchesLate
        /// Of the wall clock.
        case clockStep
        case newSession
        case checkpoint
        /// A sync fails: the disk is out of use, and its node lives on.
        case failedSync
        case handover
        /// A node is suspended, or resumed.
        case suspend
        case slowDisk
        case fullDisk
        /// A disk answers everything, late, for so long that the others go on without it.
        case wornDisk
        /// Groups are to lie on other nodes, or their disks in another order.
        case relocate
        /// A node comes back with an empty disk in the place of its own.
        case replaceDisk
        // Of themes only
        /// A primary's lease runs out under it, and what it logged last reaches nobody.
        case starvedLease
        /// A backup reboots before it is missed, and is the one that is left.
        case backupReboots
        /// All lose power, and some stay away for longer than anybody is waited for.
        case longOutage
        /// A primary is stopped for longer than its lease lasts.
        case frozenPrimary
        /// All lose power while their checkpoints copy and commit.
        case checkpointCut
        /// What a directed schedule does (`DirectedSchedule`).
        case directed
        /// Of `Scenario.rot`.
        case rot
        /// Boot-time clocks that run at different speeds.
        case clockDrift
        /// The coordinator is away for all at once.
        case coordinatorGone
        /// A node's watches break: it misses changes, and is told later how all stands.
        case watchesLost

        /// Drawn after all else, so that a seed's other draws stay what they were.
        static let drawnLast: [Fault] = [.suspend, .wornDisk, .relocate, .replaceDisk]
        static let drawn: [Fault] = allCases.filter {
            $0.rawValue < Fault.starvedLease.rawValue && !drawnLast.contains($0)
        }
        static let ofPower: [Fault] = [.powerLoss, .powerLossOfAll, .powerCut]
    }

    public enum Destruction: CaseIterable, Sendable {
        case none
        case othersDestroyed
        /// Their nodes come back with empty disks before the loss is accepted.
        case othersEmpty
        /// Their nodes come back with all that they have after the loss was accepted.
        case othersAway
        /// What is left is a replica that lacks content.
        case laggardLeft
    }

    public enum Rot: Sendable {
        case none
        /// Of one node's disk, again and again.
        case oneDisk
        /// Of all disks that hold the same block, at once: it is lost, and nothing else.
        case allDisks
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
        var versions = SplitMix64(seed: seed ^ 0x0e25)
        s.mixedVersions = s.nodes > 1 && versions.below(4) == 0
        s.faults = Fault.drawn.filter { _ in random.below(3) != 0 }
        // After a sync that failed and a loss of power a group may lack any whole replica.
        let fails = random.below(3) == 0
        s.faults.removeAll { fails ? Fault.ofPower.contains($0) : $0 == .failedSync }
        s.readsAfterClaims = random.below(2) == 0
        if random.below(3) == 0 { s.clockDrift = 110 }
        if random.below(4) == 0 { s.burst = UInt64(500 + random.below(3000)) }
        switch random.below(8) {
        case 0: s.turn(to: .powerLosses, &random)
        case 1: s.turn(to: .learning, &random)
        case 2: s.turn(to: .leases, &random)
        case 3: s.turn(to: .handovers, &random)
        case 4: s.faults = [.kill, .killAgain, .pause, .reset, .partition, .newSession, .checkpoint]
        case 5: s.turn(to: [.promotions, .claims, .outages, .contention][random.below(4)], &random)
        default: break
        }
        if s.faults.isEmpty { s.faults = [.kill] }
        if random.below(4) == 0 { s.faults.append(.suspend) }
        if random.below(5) == 0 { s.faults.append(.relocate) }
        if random.below(12) == 0 { s.turn(to: .relocations, &random) }
        if random.below(6) == 0 { s.faults.append(.wornDisk) }
        // From numbers of its own, so that a seed's faults stay what they were.
        var destructions = SplitMix64(seed: seed ^ 0xde57_2011)
        if s.copies > 1, destructions.below(6) == 0 {
            s.destruction = Destruction.allCases[1 + destructions.below(4)]
            if s.nodes == 5, destructions.below(2) == 0 { s.copies = 5 }
        }
        var late = SplitMix64(seed: seed ^ 0x9_90de_5a11)
        if late.below(5) == 0 { s.faults.append(.coordinatorGone) }
        if late.below(4) == 0 { s.faults += [.watchesLost, .watchesLost] }
        if late.below(3) == 0 { s.fileMarks = 4 }
        // Groups wander over many nodes.
        if s.nodes >= 3, late.below(14) == 0 {
            s.nodes = 6 + late.below(4)
            s.faults += [.relocate, .relocate]
        }
        return s
    }

    /// What a run is after.
    public enum Theme: String, CaseIterable, Sendable {
        /// Large writes that are not flushed when all power goes.
        case powerLosses
        /// Much to learn, which is then not soon written again.
        case learning
        /// Roles that end and begin while clients look on.
        case leases
        /// Primaries that give groups up in order.
        case handovers
        /// Blocks that change on one node's disk.
        case rot
        /// Disks that are out of use under nodes that live.
        case failedSyncs
        /// Learners that become members, and are soon alone.
        case promotions
        /// Claims whose outcome is late, sessions that end meanwhile, and clients that know of neither.
        case claims
        /// Learners that catch up while everybody writes to the same few blocks.
        case contention
        /// Losses of power after which some stay away for a minute, or reboot unseen.
        case outages
        /// Groups that move, and disks that are replaced by empty ones.
        case relocations
        /// Disks that are destroyed, and losses that are accepted.
        case destructions
        /// Scrubs that go on where others were interrupted, and compare all that there is. (Elsewhere they look at blocks and
        /// rows only, so that the runs of seeds stay what they were, and at all that there is at the end.)
        case scrubs
        /// Losses of power that leave large writes void on all disks, and members that come and go while they are restated.
        case restatements
    }

    public mutating func turn(to theme: Theme, seed: UInt64) {
        self.theme = theme
        var random = SplitMix64(seed: seed)
        turn(to: theme, &random)
    }

    mutating func turn(to theme: Theme, _ random: inout SplitMix64) {
        // With losses of power the only whole copy may rot.
        rot = .none
        switch theme {
        case .scrubs:
            scrubs = true
            nodes = max(nodes, 3)
            copies = max(copies, 2)
        case .contention:
            dataGroups = 1
            nodes = 3
            copies = 3
            files = 1
            cuts = false
            sessions = 3
            lanes = 3
            lostAnswers = 5
            slowReads = true
            faults = [.killAgain, .kill, .slowLink, .slowLink, .pause, .reset, .checkpoint, .checkpoint]
        case .promotions:
            lostAnswers = 5
            if dataGroups == 0 { dataGroups = 1 }
            nodes = 3
            copies = 3
            unknownOutcomes = 0
            faultsFor = max(faultsFor, 20_000)
            schedules = [[.powerCutAfterPromotion, .lonelyLearner, .untoldPromotion][random.below(3)]]
            faults = [.killAgain, .kill, .partition, .pause]
        case .claims:
            nodes = max(nodes, 3)
            copies = max(copies, 2 + random.below(2))
            readsAfterClaims = random.below(2) == 0
            if dataGroups == 0 { dataGroups = 1 }
            cuts = false
            files = 1
            zombies = true
            laggards = true
            sessions = max(sessions, 2)
            schedules = [.sessionsEndWhileActivating, .lateClaim]
            faults = [
                .pauseAcrossLease, .pause, .frozenPrimary, .frozenPrimary, .frozenPrimary, .coordinatorAway,
                .watchesLate, .watchesLate, .starvedLease,
                .starvedLease, .newSession, .kill, .partition,
            ]
        case .outages:
            if dataGroups == 0 { dataGroups = 1 }
            nodes = 3
            copies = 3
            files = 3 + random.below(6)
            largeWrites = 10 + random.below(20)
            stableWrites = random.below(15)
            let isLong = random.below(2) == 0
            faultsFor = isLong ? 170_000 : 40_000
            faults = isLong ? [.longOutage, .kill, .checkpoint] : [.backupReboots, .backupReboots, .checkpoint, .kill]
        case .powerLosses:
            if dataGroups == 0 { dataGroups = 1 }
            largeWrites = 20 + random.below(40)
            stableWrites = random.below(20)
            if nodes >= 3, copies >= 3 { schedules = [.awayWhenRestated] }
            faults = [
                .powerCut, .powerCut, .checkpointCut, .powerLossOfAll, .powerLoss, .kill, .checkpoint, .cleanRestart,
                .slowDisk,
            ]
        case .restatements:
            nodes = max(nodes, 3)
            copies = 3
            dataGroups = max(dataGroups, 1)
            metadata = false
            largeWrites = 60
            stableWrites = 5
            logsOutlast = true
            schedules = [.awayWhenRestated, .powerCutAfterLargeWrite]
            faults = [.checkpoint, .slowDisk]
        case .learning:
            if dataGroups == 0 { dataGroups = 1 }
            nodes = max(nodes, 3)
            copies = 3
            files = 4 + random.below(9)
            burst = UInt64(300 + random.below(2000))
            faults = [.killAgain, .killAgain, .kill, .pause, .partition, .reset, .slowLink, .oneWayPartition]
            if random.below(8) == 0 {
                schedules = [.hungLearner]
                faultsFor = 60_000
            }
        case .handovers:
            nodes = max(nodes, 3)
            copies = max(copies, 2 + random.below(2))
            readsAfterClaims = random.below(2) == 0
            faults = [.handover, .handover, .handover, .handover, .kill, .pause, .partition]
            if self.theme == .handovers, metadata, random.below(3) == 0 {
                copies = 3
                rot = .oneDisk
                rottenRows = 90
            } else if metadata, copies >= 3 {
                schedules = [.successorWithoutRows, .giverWithoutRows]
            }
        case .rot:
            nodes = 3
            copies = 3
            metadata = false
            dataGroups = 1
            rot = random.below(3) == 0 ? .allDisks : .oneDisk
            faults = rot == .allDisks ? [.pause, .checkpoint, .kill, .reset] : [.pause, .checkpoint]
        case .failedSyncs:
            nodes = 3
            copies = 3
            faults = [.failedSync, .kill]
        case .relocations:
            nodes = max(nodes, 3 + random.below(3))
            copies = 2 + random.below(2)
            if random.below(2) == 0 { files = 4 + random.below(5) }
            faults = [
                .relocate, .relocate, .relocate, .replaceDisk, .wornDisk, .kill, .killAgain, .pause, .partition,
                .cleanRestart, .checkpoint,
            ]
        case .destructions:
            nodes = max(nodes, 3)
            copies = max(copies, 2 + random.below(nodes - 1))
            faultsFor = UInt64(1_000 + random.below(6_000))
            destruction = Destruction.allCases[1 + random.below(4)]
        case .leases:
            nodes = max(nodes, 3)
            copies = max(copies, 2 + random.below(2))
            readsAfterClaims = true
            faults = [
                .pauseAcrossLease, .pauseAcrossLease, .pause, .coordinatorAway, .coordinatorSlow, .watchesLate,
                .oneWayPartition, .partition, .newSession, .kill,
            ]
        }
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
    /// That came, or were left out.
    public var faults: Int
    public var virtualMilliseconds: UInt64
    public var counts: [String: Int]
    public var situations: Situations
    public var account: FaultAccount
    /// How the scenario differs from what the seed draws.
    public var differences: String

    /// Whether another run of the same seed ended the same.
    public func replays(as other: Outcome) -> Bool { fingerprint == other.fingerprint }

    public var fingerprint: String {
        let numbers = [finalRandom, state, hash].map { String($0, radix: 16) }.joined(separator: " ")
        return "\(numbers), \(steps) steps, \(answered) operations, \(virtualMilliseconds) ms"
    }

    public var report: String {
        guard let failure else { return "seed \(seed): all held" }
        return "seed \(seed): \(failure)\n" + story.map { "  " + $0 }.joined(separator: "\n")
            + "\nrepeat: tools/simulate --seed \(seed)" + (differences.isEmpty ? "" : " --with \(differences)")
    }
}
