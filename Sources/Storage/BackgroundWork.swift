import ClusterModel
import DiskIO
import Metrics
import Replication

/// What operators set of the governor.
public typealias RecoverySettings = Replication.Governor.Settings
/// Part of what `ReplicaStanding` tells.
public typealias CatchUpProgress = Replication.CatchUpProgress

extension ReplicationLimits {
    /// As nodes run groups: few catch-ups at a time.
    static var byTurn: ReplicationLimits {
        var limits = ReplicationLimits()
        limits.catchUpStart = .byTurn
        return limits
    }
}

/// The background work of a node: what its governor has to know, and what it says.
struct BackgroundWork {
    var governor: Governor
    /// What the groups' learners were sent when this was last looked at.
    private var copied: UInt64 = 0
    private var scrubbed: UInt64 = 0
    private let gauges = BackgroundGauges()

    init(_ settings: RecoverySettings, at now: Instant) { governor = Governor(settings, at: now) }

    /// `scrubbed`: what the scrub under way has read so far; 0 for none.
    mutating func noteScrubbed(_ scrubbed: UInt64) {
        if scrubbed > self.scrubbed { governor.worked(scrubbed - self.scrubbed) }
        self.scrubbed = scrubbed
    }

    /// `copied`: what all groups' learners have been sent so far.
    mutating func noteCopied(_ copied: UInt64) {
        // Groups that leave take their sums along.
        if copied > self.copied {
            governor.worked(copied - self.copied)
            gauges.copied.increment(by: Int64(clamping: copied - self.copied))
        }
        self.copied = copied
    }

    mutating func look(_ activity: Governor.Activity, waiting: Int, at now: Instant) {
        governor.look(activity, waiting: waiting, at: now)
        gauges.show(governor)
    }
}

/// The governor's metrics.
private struct BackgroundGauges {
    let pace = Gauge(label: "stave_background_pace_bytes")
    let done = Gauge(label: "stave_background_done_bytes")
    let recent = Governor.RequestClass.allCases.map {
        Gauge(label: "stave_background_client_p99_microseconds", dimensions: [("request", "\($0)"), ("when", "now")])
    }
    let healthy = Governor.RequestClass.allCases.map {
        Gauge(
            label: "stave_background_client_p99_microseconds", dimensions: [("request", "\($0)"), ("when", "healthy")])
    }
    let copied = Counter(label: "stave_recovery_bytes")

    func show(_ governor: Governor) {
        pace.record(Int64(clamping: governor.pace.bytesPerSecond))
        done.record(Int64(clamping: governor.done.bytesPerSecond))
        for kind in Governor.RequestClass.allCases {
            let p99 = governor.p99(kind)
            if let span = p99.recent { recent[kind.rawValue].record(Int64(clamping: span.nanoseconds / 1000)) }
            if let span = p99.healthy { healthy[kind.rawValue].record(Int64(clamping: span.nanoseconds / 1000)) }
        }
    }
}

/// What the groups of a node are doing, seen in one look at all of them.
struct GroupsLook {
    private(set) var candidates: [CatchUpTurns.Candidate] = []
    /// Those with catch-ups that the pace is for, and how many these are.
    private(set) var paced: [Replica] = []
    private(set) var pacedCount = 0
    private(set) var copied: UInt64 = 0
    /// Groups that the node leads.
    private(set) var served: [PGID] = []

    mutating func add(_ replica: Replica) {
        let group = replica.group
        copied += group.copiedBytes
        guard group.isPrimary else { return }
        if group.isServing { served.append(replica.pg) }
        candidates += group.catchUpCandidates
        let count = group.pacedCatchUps
        if count > 0 { paced.append(replica) }
        pacedCount += count
    }
}

extension StorageNode {
    /// What the cluster's configuration says about recovery; before it starts.
    public func govern(by settings: RecoverySettings) { background = BackgroundWork(settings, at: BootClock.now()) }

    /// Gives catch-ups their turns, and all that are under way an equal part of what the governor allows.
    func pursueBackgroundWork(_ look: GroupsLook, _ now: Instant) {
        background.noteCopied(look.copied)
        for c in CatchUpTurns.choose(look.candidates) { replicas[c.pg]?.event { $0.catchUpTurnCame(c.node, at: $1) } }
        background.noteScrubbed(scrubs.running.flatMap { host($0.pg)?.group.scrubProgress?.bytes } ?? 0)
        if background.governor.isDue(at: now) {
            background.look(activity(copies: !look.candidates.isEmpty), waiting: requests.count, at: now)
        }
        let pace = background.governor.pace.shared(among: look.pacedCount)
        for replica in look.paced where replica.group.pace != pace { replica.event { $0.paceChanged(pace, at: $1) } }
    }

    /// What is under way, as far as the own groups show it.
    private func activity(copies: Bool) -> Governor.Activity {
        if copies { return .here }
        var activity = scrubs.running == nil ? Governor.Activity.none : .scrub
        for replica in orderedReplicas {
            if replica.group.isLearning { return .here }
            guard let record = replica.group.record else { continue }
            let learns = record.placement.contains { target in
                isHeard(target.node) && !record.inSync.contains { $0.node == target.node }
            }
            if learns { activity = scrubs.running == nil ? .elsewhere : .here }
        }
        return activity
    }
}
