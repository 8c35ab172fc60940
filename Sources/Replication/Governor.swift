import ClusterModel

/// How much background work a node may do: catching up, scrub, rebalancing (replication.md, 16).
///
/// It compares the clients' p99, for each kind of request, with what it is while nothing but clients is served. Above that and
/// the share by which it may rise, the pace is cut; below, it grows; where hardly anybody asks for anything, it grows
/// quickly. So it is a loop that closes over the requests themselves, and no client waits for it.
///
/// Invariants:
/// - the pace is never below the floor, so that recovery ends, whatever clients do;
/// - healthy latencies are taken only while no background work is under way in the cluster, as far as this node knows: what
///   recovery or scrub does to clients never becomes what is normal;
/// - scrub, which may never end, does not keep them from being taken: it rests for a tenth of the time, at most;
/// - the pace does not grow far beyond what is done, so that a cut is felt at once.
public struct Governor: Sendable {
    /// What an operator sets, and the bounds of what they may set.
    public struct Settings: Hashable, Sendable {
        /// By how many percent the clients' p99 may rise for the sake of background work.
        public var latencyRise: UInt64 = 100
        public var floor = Pace.mebibytes(8)
        public static let latencyRises: ClosedRange<UInt64> = 10...1000
        public static let floors: ClosedRange<UInt64> = 1 << 20...1 << 30
        public init() {}
    }

    /// Kinds of requests whose latencies have nothing to do with each other.
    public enum RequestClass: Int, CaseIterable, Sendable {
        case read
        /// Answered when all members have it in their logs.
        case unstable
        /// Waits for disks: stable writes, flushes, changes of the namespace.
        case stable
    }

    /// Where background work is under way.
    public enum Activity: Hashable, Sendable {
        case none
        /// On other nodes only.
        case elsewhere
        /// A scrub that this node leads, and nothing else anywhere: it rests where nothing is known of healthy latencies.
        case scrub
        case here
    }

    /// A rise below this is no rise: in-memory reads take some 20 µs, and any other work doubles that.
    static let unfelt = TimeSpan(nanoseconds: 250_000)
    /// Between two looks.
    static let window = TimeSpan.milliseconds(500)
    /// Of the share by which the p99 may rise, in percent: what windows are held to. Theirs swing around it, and the p99 of a longer
    /// time is that of its worst windows.
    static let windowPart: UInt64 = 70
    /// A p99 is taken of so many answers, or of few after a while.
    static let enough: UInt64 = 64
    static let few: UInt64 = 16
    static let patience = TimeSpan.seconds(4)
    /// Answers in a window; with fewer there is nobody to spare.
    static let idleBelow: UInt64 = 8
    /// The healthy latencies count half after so many windows with requests: half a minute.
    static let halfLife = 60
    /// Beyond it no disk of one node goes.
    static let ceiling = Pace.mebibytes(1024)
    /// Where there are clients, and nothing is known of their healthy latencies.
    static let start = Pace.mebibytes(64)
    /// The least step up.
    static let step: UInt64 = 4 << 20
    /// Scrub yields to recovery: its part of the pace, and its own floor.
    static let scrubPart: UInt64 = 4
    static let scrubFloor = Pace.mebibytes(1)
    /// A scrub may take days, and loads change: when it has gone on for so long beside clients, it rests for so many windows,
    /// in which healthy latencies are taken. The first one has answers of before in it, and does not count.
    static let scrubbedLongest = TimeSpan.seconds(60)
    static let restWindows = 12

    private struct Kind {
        var recent = LatencyBuckets()
        var recentSince = Instant(nanoseconds: 0)
        var healthy = LatencyBuckets()
        var healthyWindows = 0
        var p99: TimeSpan?
    }

    private enum Verdict {
        /// Its p99, in percent of what it may be.
        case judged(UInt64)
        /// Clients are there; nothing is known of their healthy latencies.
        case unknown
        /// Not enough answers yet.
        case early
        case idle
    }

    public let settings: Settings
    /// What background work may do here now.
    public private(set) var pace: Pace
    /// What it did in the last window.
    public private(set) var done = Pace.zero
    private var kinds = RequestClass.allCases.map { _ in Kind() }
    private var answers: UInt64 = 0
    private var bytes: UInt64 = 0
    private var windowSince: Instant
    /// Since when scrub has gone on without a rest.
    private var scrubbedSince: Instant
    /// Windows in which it has rested; nil while it need not.
    private var rested: Int?

    public init(_ settings: Settings = Settings(), at now: Instant) {
        self.settings = settings
        pace = max(settings.floor, Governor.start)
        windowSince = now
        scrubbedSince = now
    }

    /// What scrub may do; nothing while it rests.
    public var scrubPace: Pace {
        if rested != nil { return .zero }
        return max(Pace(bytesPerSecond: pace.bytesPerSecond / Governor.scrubPart), Governor.scrubFloor)
    }

    /// The p99 of the last window that had enough of the kind, and the healthy one; nil while unknown.
    public func p99(_ kind: RequestClass) -> (recent: TimeSpan?, healthy: TimeSpan?) {
        (kinds[kind.rawValue].p99, kinds[kind.rawValue].healthy.p99)
    }

    // MARK: Inputs

    /// A client's request was answered.
    public mutating func answered(_ kind: RequestClass, after span: TimeSpan) {
        kinds[kind.rawValue].recent.add(span)
        answers += 1
    }

    /// Background work was done.
    public mutating func worked(_ bytes: UInt64) { self.bytes += bytes }

    /// A window is over.
    public func isDue(at now: Instant) -> Bool { now >= windowSince + Governor.window }

    /// Looks at what has been since it last looked, and sets the pace. `waiting`: requests without an answer.
    public mutating func look(_ activity: Activity, waiting: Int, at now: Instant) {
        done = Pace(bytes, in: now - windowSince)
        let isQuiet = activity == .none || activity == .scrub && (rested ?? 0) > 0
        var worst: UInt64?
        var isUnknown = false
        for i in kinds.indices {
            switch judge(i, isQuiet, now) {
            case .judged(let percent): worst = max(worst ?? 0, percent)
            case .unknown: isUnknown = true
            case .early, .idle: break
            }
        }
        let isIdle = answers < Governor.idleBelow && waiting == 0
        considerRest(activity, isIdle: isIdle, now)
        windowSince = now
        answers = 0
        bytes = 0
        setPace(worst, isUnknown: isUnknown, isIdle: isIdle, activity)
    }

    // MARK: The loop

    private mutating func judge(_ i: Int, _ isQuiet: Bool, _ now: Instant) -> Verdict {
        let total = kinds[i].recent.total
        if total == 0 {
            kinds[i].recentSince = now
            return .idle
        }
        let isOld = now >= kinds[i].recentSince + Governor.patience
        guard total >= Governor.enough || isOld else { return .early }
        defer {
            kinds[i].recent.clear()
            kinds[i].recentSince = now
        }
        guard total >= Governor.few, let p99 = kinds[i].recent.p99 else { return .idle }
        kinds[i].p99 = p99
        if isQuiet { age(i) }
        guard kinds[i].healthy.total >= Governor.enough, let healthy = kinds[i].healthy.p99 else { return .unknown }
        let rise = settings.latencyRise * Governor.windowPart / 100
        let allowed = max(
            healthy.nanoseconds / 100 * (100 + rise), healthy.nanoseconds + Governor.unfelt.nanoseconds)
        return .judged(p99.nanoseconds * 100 / max(allowed, 1))
    }

    private mutating func considerRest(_ activity: Activity, isIdle: Bool, _ now: Instant) {
        guard activity == .scrub, !isIdle else {
            rested = nil
            scrubbedSince = now
            return
        }
        guard let windows = rested else {
            if now >= scrubbedSince + Governor.scrubbedLongest { rested = 0 }
            return
        }
        if windows == 0 {
            for i in kinds.indices {
                kinds[i].recent.clear()
                kinds[i].recentSince = now
            }
        }
        rested = windows < Governor.restWindows ? windows + 1 : nil
        scrubbedSince = now
    }

    private mutating func age(_ i: Int) {
        kinds[i].healthyWindows += 1
        if kinds[i].healthyWindows >= Governor.halfLife {
            kinds[i].healthy.halve()
            kinds[i].healthyWindows = 0
        }
        kinds[i].healthy.add(kinds[i].recent)
    }

    private mutating func setPace(_ worst: UInt64?, isUnknown: Bool, isIdle: Bool, _ activity: Activity) {
        let floor = settings.floor
        let top = max(floor, Governor.ceiling)
        let start = max(floor, Governor.start)
        if isIdle {
            pace = min(top, Pace(bytesPerSecond: pace.bytesPerSecond * 4))
            return
        }
        guard activity == .here || activity == .scrub else {
            // Whatever begins later begins moderately.
            if worst != nil || isUnknown { pace = min(pace, start) }
            return
        }
        // While scrub rests nothing is learned of what it does to clients.
        if rested != nil { return }
        // A scrub alone uses its part only.
        let used =
            activity == .scrub
            ? Pace(bytesPerSecond: min(done, Governor.ceiling).bytesPerSecond * Governor.scrubPart) : done
        if let worst, worst > 100 {
            let basis = max(min(pace, used), floor).bytesPerSecond
            pace = max(floor, Pace(bytesPerSecond: worst > 200 ? basis / 2 : basis / 4 * 3))
        } else if isUnknown {
            pace = min(pace, start)
        } else if worst != nil, pace.bytesPerSecond < max(used.bytesPerSecond, floor.bytesPerSecond) * 2 {
            pace = min(top, Pace(bytesPerSecond: pace.bytesPerSecond + max(pace.bytesPerSecond / 8, Governor.step)))
        }
    }
}
