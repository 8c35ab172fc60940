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
    /// When the one under way began, or went on, and what had been looked at before that.
    public var started: Timestamp
    public var earlier = ScrubProgress()
    public var progress = ScrubProgress()
    /// Of a data group: bytes that each member will have read; of a metadata group: rows that the last scrub counted.
    public var total: UInt64 = 0
    /// Why the last one was interrupted; nil if it came to its end.
    public var interruption: String?
}

/// Which of the groups that this node leads are scrubbed when, one at a time.
///
/// Invariants:
/// - a group that was asked for comes before one whose time has come, and is scrubbed from its beginning;
/// - a group's time has come when its last scrub began a period ago, or one of it has not come to its end; one that was never
///   scrubbed has a moment of its own within the first day (or period), so that not all come at once and one that restarts daily
///   gets round.
struct ScrubSchedule {
    /// Why a group is scrubbed.
    enum Cause: Sendable, Hashable {
        case asked
        /// In the background.
        case due
    }

    struct Running: Sendable, Hashable {
        var pg: PGID
        var scope: ScrubScope
        var cause: Cause
        /// When it began, whoever led the group then; and when this node took it on.
        var started: Timestamp
        var since: Timestamp
        var earlier = ScrubProgress()
    }

    private struct Wanted: Hashable {
        var pg: PGID
        var scope: ScrubScope
    }

    /// Nil: only on demand.
    var period: TimeSpan?
    private(set) var running: Running?
    /// Asked for, oldest first.
    private var wanted: [Wanted] = []
    private var interruptions: [PGID: String] = [:]
    /// Groups whose scrub was interrupted are left alone until then.
    private var notBefore: [PGID: Timestamp] = [:]
    /// When this node began: groups that were never scrubbed count from here.
    private var began: Timestamp?
    /// When the position of the one under way was last to be kept.
    private var positionKept = Instant(nanoseconds: 0)
    /// What the last scrub of one fileset's objects in a group found; it says nothing of the group's others.
    private(set) var filesetNotes: [PGID: (fileset: FilesetID, note: ScrubNote)] = [:]

    /// Groups that are to be scrubbed as soon as it is their turn; one that is being scrubbed is so once more.
    mutating func want(_ groups: [PGID], _ scope: ScrubScope = .whole) {
        for pg in groups {
            let one = Wanted(pg: pg, scope: scope)
            if !wanted.contains(one) { wanted.append(one) }
        }
    }

    /// Nothing is wanted any more of what was asked for.
    mutating func forgetWanted(_ groups: [PGID]) { wanted.removeAll { groups.contains($0.pg) } }

    /// The group whose turn it is. `last`: when its last scrub began that came to its end; `open`: when one began that did not.
    mutating func next(
        leading groups: [PGID], last: (PGID) -> Timestamp?, open: (PGID) -> Timestamp? = { _ in nil },
        at time: Timestamp
    ) -> Running? {
        let began = self.began ?? time
        self.began = began
        guard running == nil else { return nil }
        wanted.removeAll { !groups.contains($0.pg) }
        if let first = wanted.first {
            wanted.removeFirst()
            running = Running(pg: first.pg, scope: first.scope, cause: .asked, started: time, since: time)
            return running
        }
        guard let period, period.nanoseconds > 0 else { return nil }
        let length = Int64(clamping: period.nanoseconds)
        let rest = Int64(clamping: StorageLimits.scrubRest.nanoseconds)
        // The one that has waited longest.
        var chosen: PGID?
        var oldest = Int64.max
        for pg in groups {
            // A clock that was set back since: neither a rest nor the last scrub counts.
            if let until = notBefore[pg], time < until, until.nanoseconds - time.nanoseconds <= rest { continue }
            let within = UInt64(min(length, Int64(clamping: StorageLimits.firstScrubWithin.nanoseconds)))
            let phase = Int64(StableHash.mix(UInt64(pg.rawValue)) % within)
            let ended = last(pg).flatMap { $0 > time ? nil : $0 }
            var due = (ended?.nanoseconds).map { $0 + length } ?? began.nanoseconds + phase
            if let open = open(pg) { due = min(due, open.nanoseconds) }
            if due <= time.nanoseconds, due < oldest { (chosen, oldest) = (pg, due) }
        }
        guard let chosen else { return nil }
        running = Running(pg: chosen, scope: .whole, cause: .due, started: open(chosen) ?? time, since: time)
        return running
    }

    /// The one that runs begins where there is nothing before it; or goes on.
    mutating func runs(from earlier: ScrubProgress) {
        running?.earlier = earlier
        if earlier == ScrubProgress(), let since = running?.since { running?.started = since }
    }

    mutating func ended(_ pg: PGID, _ outcome: ScrubOutcome, at time: Timestamp) {
        if running?.pg == pg { running = nil }
        switch outcome {
        case .finished: interruptions[pg] = nil
        case .interrupted(let reason, _):
            interruptions[pg] = reason
            notBefore[pg] = Timestamp(
                nanoseconds: time.nanoseconds + Int64(clamping: StorageLimits.scrubRest.nanoseconds))
        }
    }

    /// Whether it is time to keep the position of the one under way.
    mutating func isPositionDue(at now: Instant) -> Bool {
        guard running?.cause == .due, now - positionKept >= StorageLimits.scrubPositionInterval else { return false }
        positionKept = now
        return true
    }

    mutating func keep(_ note: ScrubNote, of fileset: FilesetID, in pg: PGID) { filesetNotes[pg] = (fileset, note) }

    func standing(_ pg: PGID) -> ScrubStanding {
        var standing = ScrubStanding(stage: nil, started: .zero)
        if let running, running.pg == pg {
            standing.stage = .running
            standing.started = running.since
            standing.earlier = running.earlier
        } else if wanted.contains(where: { $0.pg == pg }) {
            standing.stage = .waiting
        }
        standing.interruption = interruptions[pg]
        return standing
    }
}
