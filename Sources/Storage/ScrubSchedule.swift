import ClusterModel
import Replication

/// How a group stands with scrubbing, as the node that leads it knows.
public struct ScrubStanding: Sendable, Hashable {
    public enum Stage: Sendable, Hashable {
        case waiting
        case running
    }
    /// Nil: nothing is wanted.
    public var stage: Stage?
    /// When the one under way began.
    public var started: Timestamp
    public var progress = ScrubProgress()
    /// Of a data group: bytes that each member will have read; of a metadata group: rows that the last scrub counted.
    public var total: UInt64 = 0
    /// Why the last one was interrupted; nil if it came to its end.
    public var interruption: String?
}

/// Which of the groups that this node leads are scrubbed when, one at a time.
///
/// Invariants:
/// - a group that was asked for comes before one whose time has come;
/// - a group's time has come when its last scrub began a period ago; one that was never scrubbed has a moment of its own within
///   the first day (or period), so that not all come at once and one that restarts daily gets round.
struct ScrubSchedule {
    /// Nil: only on demand.
    var period: TimeSpan?
    private(set) var running: (pg: PGID, started: Timestamp)?
    /// Asked for, oldest first.
    private var wanted: [PGID] = []
    private var interruptions: [PGID: String] = [:]
    /// Groups whose scrub was interrupted are left alone until then.
    private var notBefore: [PGID: Timestamp] = [:]
    /// When this node began: groups that were never scrubbed count from here.
    private var began: Timestamp?

    /// Groups that are to be scrubbed as soon as it is their turn; one that is being scrubbed is so once more.
    mutating func want(_ groups: [PGID]) {
        for pg in groups where !wanted.contains(pg) { wanted.append(pg) }
    }

    /// Nothing is wanted any more of what was asked for.
    mutating func forgetWanted(_ groups: [PGID]) { wanted.removeAll { groups.contains($0) } }

    /// The group whose turn it is. `last`: when its last scrub began.
    mutating func next(leading groups: [PGID], last: (PGID) -> Timestamp?, at time: Timestamp) -> PGID? {
        let began = self.began ?? time
        self.began = began
        guard running == nil else { return nil }
        wanted.removeAll { !groups.contains($0) }
        var chosen = wanted.first
        if chosen == nil, let period, period.nanoseconds > 0 {
            let length = Int64(clamping: period.nanoseconds)
            // The one that has waited longest.
            var oldest = Int64.max
            for pg in groups {
                if let until = notBefore[pg], time < until { continue }
                let within = UInt64(min(length, Int64(clamping: StorageLimits.firstScrubWithin.nanoseconds)))
                let phase = Int64(StableHash.mix(UInt64(pg.rawValue)) % within)
                let due = (last(pg)?.nanoseconds).map { $0 + length } ?? began.nanoseconds + phase
                if due <= time.nanoseconds, due < oldest { (chosen, oldest) = (pg, due) }
            }
        }
        guard let chosen else { return nil }
        wanted.removeAll { $0 == chosen }
        running = (chosen, time)
        return chosen
    }

    mutating func ended(_ pg: PGID, _ outcome: ScrubOutcome, at time: Timestamp) {
        if running?.pg == pg { running = nil }
        switch outcome {
        case .finished: interruptions[pg] = nil
        case .interrupted(let reason):
            interruptions[pg] = reason
            notBefore[pg] = Timestamp(
                nanoseconds: time.nanoseconds + Int64(clamping: StorageLimits.scrubRest.nanoseconds))
        }
    }

    func standing(_ pg: PGID) -> ScrubStanding {
        var standing = ScrubStanding(stage: nil, started: .zero)
        if running?.pg == pg {
            standing.stage = .running
            standing.started = running?.started ?? .zero
        } else if wanted.contains(pg) {
            standing.stage = .waiting
        }
        standing.interruption = interruptions[pg]
        return standing
    }
}
