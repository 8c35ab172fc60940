import ClusterModel

/// Decides which of a node's groups are handed over, and when: to where placement wants their primaries, or away from a node
/// that stands down.
///
/// Invariants:
/// - primaries go back to where placement wants them a few at a time, and only after that has been so, and calm, for a while:
///   a node that comes and goes does not take them along each time;
/// - what did not come about is not tried again at once.
public struct PrimaryBalancer: Sendable {
    /// A group that another node should lead.
    public struct Candidate: Hashable, Sendable {
        public var pg: PGID
        public var to: NodeID
        public var cause: Cause
        public init(pg: PGID, to: NodeID, cause: Cause) {
            self.pg = pg
            self.to = to
            self.cause = cause
        }
    }

    public enum Cause: Hashable, Sendable {
        /// Placement names the other node first, and the group is calm.
        case placement
        /// This node is suspended, or leaves.
        case standingDown
    }

    private struct Wish {
        var candidate: Candidate
        var since: Instant
        var notBefore: Instant
    }

    /// How long placement's wish must have stood.
    public static let settling = TimeSpan.seconds(10)
    /// Handovers that placement wants, under way at once, and the time between two lots of them.
    public static let lot = 2
    public static let pause = TimeSpan.seconds(1)
    /// Handovers of a node that stands down, under way at once: one transaction of the store takes them all.
    public static let standingDownLot = 64
    /// What was given up is tried again after this.
    public static let patience = TimeSpan.seconds(30)
    public static let standingDownPatience = TimeSpan.milliseconds(250)

    /// Ascending by group.
    private var wishes: [Wish] = []
    private var lastLot = Instant(nanoseconds: 0)

    public init() {}

    /// What is to be handed over now. `candidates` ascend by group.
    public mutating func choose(_ candidates: [Candidate], underWay: Int, at now: Instant) -> [Candidate] {
        var kept: [Wish] = []
        var old = 0
        for c in candidates {
            while old < wishes.count, wishes[old].candidate.pg < c.pg {
                if now < wishes[old].notBefore { kept.append(wishes[old]) }
                old += 1
            }
            var wish = Wish(candidate: c, since: now, notBefore: Instant(nanoseconds: 0))
            if old < wishes.count, wishes[old].candidate.pg == c.pg {
                if wishes[old].candidate == c { wish = wishes[old] } else { wish.notBefore = wishes[old].notBefore }
                old += 1
            }
            kept.append(wish)
        }
        while old < wishes.count {
            if now < wishes[old].notBefore { kept.append(wishes[old]) }
            old += 1
        }
        wishes = kept
        return due(candidates, underWay: underWay, at: now)
    }

    private mutating func due(_ candidates: [Candidate], underWay: Int, at now: Instant) -> [Candidate] {
        var chosen: [Candidate] = []
        var calm = 0
        var i = 0
        for c in candidates {
            while wishes[i].candidate.pg < c.pg { i += 1 }
            let wish = wishes[i]
            guard now >= wish.notBefore else { continue }
            switch c.cause {
            case .standingDown:
                if underWay + chosen.count < Self.standingDownLot { chosen.append(c) }
            case .placement:
                guard now >= wish.since + Self.settling, now >= lastLot + Self.pause,
                    underWay + chosen.count < Self.lot
                else { continue }
                chosen.append(c)
                calm += 1
            }
        }
        if calm > 0 { lastLot = now }
        return chosen
    }

    /// A handover that was begun did not come about.
    public mutating func gaveUp(_ pg: PGID, at now: Instant) {
        guard let i = wishes.firstIndex(where: { $0.candidate.pg == pg }) else { return }
        switch wishes[i].candidate.cause {
        case .placement: wishes[i].notBefore = now + Self.patience
        case .standingDown: wishes[i].notBefore = now + Self.standingDownPatience
        }
    }
}
