import ClusterModel

/// Which catch-ups of a node's groups may begin: a few at a time, so that each ends soon, and a learner holds few groups that
/// are half copied.
///
/// Invariants:
/// - what has begun is not held up again;
/// - who writes wait for never waits for a turn;
/// - groups with the fewest in-sync members come first, then those with the lowest number.
public struct CatchUpTurns: Sendable {
    /// A catch-up of one of the node's groups.
    public struct Candidate: Hashable, Sendable {
        public var pg: PGID
        public var node: NodeID
        public var inSync: Int
        public var standing: Standing
        public init(pg: PGID, node: NodeID, inSync: Int, standing: Standing) {
            self.pg = pg
            self.node = node
            self.inSync = inSync
            self.standing = standing
        }
    }

    public enum Standing: Hashable, Sendable {
        case waiting
        case underWay
        /// Nothing is left but that all is made stable, and the promotion: it takes no turn.
        case ending
    }

    /// Under way at once on one node.
    public static let most = 4

    /// Those that begin now.
    public static func choose(_ candidates: [Candidate], most: Int = most) -> [Candidate] {
        let taken = candidates.reduce(0) { $0 + ($1.standing == .underWay ? 1 : 0) }
        guard taken < most else { return [] }
        let waiting = candidates.filter { $0.standing == .waiting }.sorted {
            ($0.inSync, $0.pg, $0.node) < ($1.inSync, $1.pg, $1.node)
        }
        return Array(waiting.prefix(most - taken))
    }
}
