import ClusterModel

/// How far a learner has caught up, as its primary knows it.
public struct CatchUpProgress: Hashable, Sendable {
    public var node: NodeID
    public var stage: Stage
    /// Rows of a metadata group that are copied, of about so many; nil while they are not known.
    public internal(set) var rows: Rows?
    public struct Rows: Hashable, Sendable {
        public var copied: Int
        public var about: Int
    }
    /// Objects of a data group that are copied, of those that the learner lacks; nil while they are not known, and in a
    /// metadata group.
    public var objects: (copied: Int, of: Int)? { objectCount.map { (copiedObjects, $0) } }
    var copiedObjects = 0
    var objectCount: Int?
    /// Copied so far.
    public var bytes: UInt64
    public var pace: Pace
    /// Nil while it cannot be told.
    public var timeLeft: TimeSpan?

    public enum Stage: Hashable, Sendable {
        /// Others of this node catch up before it.
        case waiting
        /// What is missing is being listed.
        case listing
        case copying
        /// All is there; it is made stable, and the record is changed.
        case finishing
    }

    /// What is left of all catch-ups of a node or a cluster.
    public struct Total: Hashable, Sendable {
        /// Groups that learn, those that wait for their turn included, and these.
        public var groups = 0
        public var waiting = 0
        public var pace = Pace.zero
        /// Nil while it cannot be told: nothing has been copied yet.
        public var timeLeft: TimeSpan?
        public init() {}
    }

    /// Sums up. What waits counts as much as what is under way does on average: nobody has counted it yet.
    public static func total(_ all: [CatchUpProgress]) -> Total {
        var total = Total()
        var left: [UInt64] = []
        for one in all {
            total.groups += 1
            total.pace = Pace(bytesPerSecond: total.pace.bytesPerSecond + one.pace.bytesPerSecond)
            switch one.stage {
            case .waiting: total.waiting += 1
            case .listing: break
            case .copying: if let time = one.timeLeft { left.append(time.nanoseconds / 1_000_000) }
            case .finishing: left.append(0)
            }
        }
        // Those under way share the pace: when one ends, the next takes its place.
        if let longest = left.max() {
            let turns = UInt64(left.count)
            let mean = left.reduce(0, +) / turns
            // Half of one's work has been done on average when another waits.
            total.timeLeft = .milliseconds(longest + 2 * mean * UInt64(total.waiting) / turns)
        }
        return total
    }
}

/// Measures what is done, second by second; the older counts less.
struct ProgressMeter {
    private var since: Instant
    private var bytes: UInt64 = 0
    private var blocks: UInt64 = 0
    /// A second's worth, so far.
    private var recent: (bytes: UInt64, blocks: UInt64)?

    init(at now: Instant) { since = now }

    mutating func add(bytes: Int, blocks: Int, at now: Instant) {
        self.bytes += UInt64(max(bytes, 0))
        self.blocks += UInt64(max(blocks, 0))
        if now >= since + .seconds(1) {
            recent = mean(at: now)
            since = now
            self.bytes = 0
            self.blocks = 0
        }
    }

    /// What a second brings, of bytes and of blocks looked at; nil while nothing is known.
    func rate(at now: Instant) -> (bytes: UInt64, blocks: UInt64)? {
        // What has just begun says nothing; a silence of seconds does.
        if recent == nil || now >= since + .seconds(2) {
            return bytes + blocks > 0 || recent != nil ? mean(at: now) : nil
        }
        return recent
    }

    private func mean(at now: Instant) -> (bytes: UInt64, blocks: UInt64) {
        let span = now - since
        let new = (
            bytes: Pace(bytes, in: span).bytesPerSecond, blocks: Pace(blocks, in: span).bytesPerSecond
        )
        guard let recent else { return new }
        return ((recent.bytes * 3 + new.bytes) / 4, (recent.blocks * 3 + new.blocks) / 4)
    }
}
