import ClusterModel
import Wire

/// When catch-ups begin, how fast they copy, and how far they are: what a group has to do with the node's governor.
///
/// Invariants:
/// - whom writes wait for neither waits for a turn nor is held to a pace;
/// - over any time, a catch-up sends no more than its pace allows, but for one piece and `paceCredit`.
extension PlacementGroup {
    // MARK: From the shell

    /// How fast each catch-up of the group may copy from now on.
    public func paceChanged(_ pace: Pace, at now: Moment) {
        self.now = now
        guard self.pace != pace else { return }
        // Debts were made at the old pace, and are paid at the new one.
        for k in reign.catchUps.indices where now.now < reign.catchUps[k].paceUntil {
            let owed = reign.catchUps[k].paceUntil - now.now
            reign.catchUps[k].paceUntil = now.now + pace.time(for: self.pace.bytes(in: owed))
        }
        self.pace = pace
    }

    /// The catch-up of that node may begin.
    public func catchUpTurnCame(_ node: NodeID, at now: Moment) {
        self.now = now
        guard role == .primary else { return }
        startCatchUp(node)
    }

    /// This group's catch-ups, as the node gives turns.
    public var catchUpCandidates: [CatchUpTurns.Candidate] {
        guard role == .primary, !reign.catchUps.isEmpty else { return [] }
        return reign.catchUps.map { c in
            let standing: CatchUpTurns.Standing =
                switch c.stage {
                case .waiting: .waiting
                case .marking, .listingCuts, .listing, .copying: .underWay
                case .finishing, .finished: .ending
                }
            return CatchUpTurns.Candidate(
                pg: pg, node: c.node, inSync: record?.inSync.count ?? 0, standing: standing)
        }
    }

    /// How many of its catch-ups the pace is for.
    public var pacedCatchUps: Int {
        guard role == .primary, !reign.catchUps.isEmpty else { return 0 }
        return reign.catchUps.reduce(0) { $0 + ($1.stage == .copying && !writesWait(for: $1.node) ? 1 : 0) }
    }

    /// How far each of its catch-ups is.
    public func catchUpProgress(at now: Instant) -> [CatchUpProgress] {
        guard role == .primary else { return [] }
        return reign.catchUps.map { progress(of: $0, at: now) }
    }

    // MARK: Pace

    /// Whether writes wait for what that node lacks: the record names it, or it is to replace a member that is away.
    func writesWait(for node: NodeID) -> Bool {
        reign.members.contains { $0.node == node && $0.isInSync } || needsAbsentMember(beside: node)
    }

    /// Whether nothing can be decided now, for a member that is needed does not take part.
    func needsAbsentMember(beside node: NodeID?) -> Bool {
        reign.members.contains {
            $0.isNeeded && $0.node != node && !($0.isComplete && $0.phase == .streaming && isPresent($0.node))
        }
    }

    func isPaused(_ c: CatchUp) -> Bool { now.now < c.paceUntil && !writesWait(for: c.node) }

    /// When the primary's clock is to tick for the sake of its catch-ups.
    var paceDue: TimeSpan {
        var due = TimeSpan.milliseconds(50)
        for c in reign.catchUps where c.stage == .copying && !c.reading { due = min(due, c.paceUntil - lastTick) }
        return max(due, .milliseconds(5))
    }

    /// Bytes and blocks are on their way to the learner.
    func note(_ c: inout CatchUp, bytes: Int, blocks: Int) {
        let earliest = Instant(
            nanoseconds: now.now.nanoseconds - min(limits.paceCredit.nanoseconds, now.now.nanoseconds))
        c.paceUntil = max(c.paceUntil, earliest) + pace.time(for: UInt64(max(bytes, 0)))
        c.copiedBytes += UInt64(max(bytes, 0))
        copiedBytes += UInt64(max(bytes, 0))
        c.meter.add(bytes: bytes, blocks: blocks, at: now.now)
    }

    // MARK: Progress

    private func progress(of c: CatchUp, at now: Instant) -> CatchUpProgress {
        let stage: CatchUpProgress.Stage =
            switch c.stage {
            case .waiting: .waiting
            case .marking, .listingCuts, .listing: .listing
            case .copying: .copying
            case .finishing, .finished: .finishing
            }
        var progress = CatchUpProgress(node: c.node, stage: stage, bytes: c.copiedBytes, pace: .zero)
        guard stage == .copying else { return progress }
        let rate = c.meter.rate(at: now)
        progress.pace = Pace(bytesPerSecond: rate?.bytes ?? 0)
        let left: Int
        if pg.isMetadata {
            guard c.rowCount > 0 else { return progress }
            progress.rows = CatchUpProgress.Rows(copied: c.rowsCopied, about: c.rowCount)
            left = c.rowCount - c.rowsCopied
        } else {
            progress.copiedObjects = c.next
            progress.objectCount = c.keys.count
            left = max((c.keys.count - c.next) * Geometry.blocksPerObject - c.block, 0)
        }
        if let done = rate?.blocks, done > 0 { progress.timeLeft = Pace(bytesPerSecond: done).time(for: UInt64(left)) }
        return progress
    }
}
