import ClusterModel
import Wire

/// One replica of a placement group: the whole protocol of replication.md for one group on one node, as a pure machine.
///
/// Events are the public methods named in the past tense; each may add effects, which the shell takes by `takeEffects` and
/// executes in order. It lives on one event loop. The files beside this one hold one role each.
///
/// Invariants (words that the simulator's checkers use, too):
/// - the promise is durable before anything is acknowledged in its epoch;
/// - an entry is decided when every needed member has it, stable if asked: the in-sync members of the record, of the record
///   before as long as a change is not known to have won, and a learner from before its promotion is proposed;
/// - only decided entries are applied, and only content that is decided is read;
/// - a role is held under one lease number; when that has lapsed, it is over;
/// - a replica that is learning never claims, and its complete-through stands still.
public final class PlacementGroup {
    public let pg: PGID
    /// This replica, under the present boot.
    public let local: Member
    let limits: ReplicationLimits

    // MARK: What is known from outside

    /// The newest record known.
    public internal(set) var record: PGRecord?
    var recordVersion: RecordVersion?
    var map: MapFacts?
    var lease: LeaseNumber = .none
    var peers: [Peer] = []
    var endedLeases: [LeaseNumber] = []
    /// Nodes whose disks are far slower than the others', and those of them that are to be done without.
    var slowNodes: [NodeID] = []
    var outNodes: [NodeID] = []
    /// The disks that should hold the group, as far as the map is known here.
    var wantedPlacement: [PlacementTarget]?
    /// Bytes that the own disk can take beyond its reserve.
    var room: UInt64 = .max
    /// Of each catch-up, but of those that writes wait for.
    public internal(set) var pace: Pace
    /// Bytes that it sent to learners since it was opened.
    public internal(set) var copiedBytes: UInt64 = 0
    var now: Moment
    /// When this replica was opened.
    let opened: Instant
    /// Time-outs count from here: events may come more often than they are due.
    var lastTick: Instant

    // MARK: The own log and durable state

    var state: ReplicaState
    /// What `writeState` last asked to be kept.
    var writtenState: ReplicaState?
    var history = EpochHistory()
    var tail = LogTail()
    /// Through this entry everything is decided, as far as this replica knows.
    public internal(set) var decided: EntryName = .zero
    /// What the primary said, which may lie beyond the own log.
    var announced: EntryName = .zero
    var appended: EntryName = .zero
    var stable: EntryName = .zero
    var windows = RequestWindows()
    var marks = FileMarks()
    /// The disk has no trace of the group.
    var absent: Bool {
        get { state.absent }
        set { state.absent = newValue }
    }
    /// Whether the disk will know of the group after a kill; asked of a replica without a log only.
    var trace = Trace.unknown
    enum Trace {
        case unknown
        case underWay
        case durable
    }
    /// Without a trace that counts: the last entry that the disk knows of, for an operator who has nothing else.
    var found = EntryName.zero
    /// Whether unstable entries may be gone.
    var rebooted: Bool
    var clock = EntryClock()

    // MARK: Roles

    public enum Role: Hashable, Sendable {
        /// Takes part as a member or learner of another's reign, or waits.
        case follower
        /// Has claimed the group; the outcome is not known.
        case claiming
        /// Reigns; `isServing` tells whether writes are served.
        case primary
    }
    public internal(set) var role: Role = .follower
    var following: Following?
    var proposal: PendingProposal?
    var reign: Reign
    var claim = ClaimState()
    /// This node is about to stop.
    var isLeaving = false
    /// Between the end of a reign that was handed over and the outcome of that.
    var held: HeldRequests?
    /// What happens when the shell has done a piece of work. Few at a time.
    var works: [(token: WorkToken, work: Work)] = []
    var lastWork: UInt64 = 0
    /// Searches for blocks that the own disk has lost, oldest first.
    var searches: [BlockSearch] = []
    var scrub: ScrubRun?
    /// A primary wants to know what the windows have with a mark that has not come yet.
    var windowsAsked: (ask: ScrubAsk, node: NodeID, epoch: Epoch)?
    var scrubPace: UInt64 = 0

    var effects: [ReplicaEffect] = []

    #if DEBUG || STAVE_MUTANTS
        /// The rule left out, for tests of the tests; a release build of Stave has no such thing (Package.swift).
        public var mutation: Mutation?
        @inline(__always) func mutated(_ m: Mutation) -> Bool { mutation == m }
        /// Those met so far.
        public private(set) var situations = Situations()
        func mark(_ s: Situation, if condition: @autoclosure () -> Bool = true) {
            if condition() { situations.insert(s) }
        }
    #else
        @inline(__always) func mutated(_ m: Mutation) -> Bool { false }
        @inline(__always) func mark(_ s: Situation, if condition: @autoclosure () -> Bool = true) {}
    #endif

    struct Peer {
        var node: NodeID
        var boot: BootID?
        /// The version of the protocol that is spoken with it; the oldest while nothing is.
        var spoken = ProtocolVersion.oldest
        var connected: Bool
        /// Since when it is connected, or not, or silent.
        var since: Instant
        var silent = false
        /// It has said that its replica is out of use.
        var isGone = false
        /// Since when it is known to be about to stop.
        var leavingSince: Instant?
        var status: ReplicaStatus?

        /// Messages reach the node.
        var isReachable: Bool { connected && !silent }
        /// Messages reach a replica there, as far as is known.
        var isPresent: Bool { isReachable && !isGone }
    }

    /// Opens a replica. `local.boot` is the machine's present boot. Throws if the kept state cannot be read.
    public init(
        pg: PGID, local: Member, recovered: RecoveredReplica?, found: EntryName = .zero,
        limits: ReplicationLimits = ReplicationLimits(),
        at now: Moment
    ) throws(WireError) {
        guard let boot = local.boot else { throw WireError("a replica is opened without the machine's boot") }
        self.pg = pg
        self.local = local
        self.limits = limits
        pace = limits.learningPace
        self.now = now
        opened = now.now
        lastTick = now.now
        state = ReplicaState(boot: boot)
        state.absent = recovered == nil
        scrubPace = limits.scrubPaceFloor
        self.found = found
        rebooted = false
        reign = Reign()
        if let recovered { try recover(recovered, boot: boot) }
    }

    // MARK: Effects

    /// Moves the effects that have collected into `buffer`, which must be empty.
    public func takeEffects(into buffer: inout [ReplicaEffect]) { swap(&effects, &buffer) }
    public var hasEffects: Bool { !effects.isEmpty }

    @inline(__always) func emit(_ effect: ReplicaEffect) { effects.append(effect) }

    func send(_ body: ReplicaMessageBody, to node: NodeID, epoch: Epoch? = nil) {
        emit(.send(ReplicaMessage(pg: pg, epoch: epoch ?? reign.epoch, body: body), to: node))
    }

    func begin(_ work: Work) -> WorkToken {
        lastWork += 1
        let token = WorkToken(lastWork)
        works.append((token, work))
        return token
    }

    /// The work that this token stands for; nil if it was given up.
    func end(_ token: WorkToken) -> Work? {
        guard let i = works.firstIndex(where: { $0.token == token }) else { return nil }
        return works.remove(at: i).work
    }

    // MARK: Standing

    /// Whether this replica is the primary and serves writes now.
    public var isServing: Bool { role == .primary && reign.serving }
    public var isPrimary: Bool { role == .primary }
    /// Whether the content may be used for reads through `decided` (an in-sync member that lacks nothing).
    public var canReadLocally: Bool {
        !state.learning && !absent && !rebooted && isRecorded && holdsLog && state.voids.isEmpty
    }
    /// A follower's log is the primary's only once it has attached; a primary's is the truth.
    private var holdsLog: Bool { role == .primary || following?.phase == .streaming }
    public var isLearning: Bool { state.learning }
    /// The disk has nothing of the group that counts.
    public var isAbsent: Bool { absent }

    /// Whether the record names this replica, under a boot for which it can speak.
    var isRecorded: Bool {
        guard let m = record?.inSync.first(where: { $0.node == local.node && $0.disk == local.disk }), let boot = m.boot
        else { return false }
        if mutated(.membershipByNode) { return true }
        return boot == local.boot || (!rebooted && state.formerBoots.contains(boot))
    }

    /// Whether that node understands what came with this version of the protocol.
    func speaks(_ version: ProtocolVersion, _ node: NodeID) -> Bool {
        peers.contains { $0.node == node && $0.connected && $0.spoken >= version }
    }
    func peer(_ node: NodeID) -> Peer? { peers.first { $0.node == node } }
    func isReachable(_ node: NodeID) -> Bool { peers.contains { $0.node == node && $0.isReachable } }
    func isPresent(_ node: NodeID) -> Bool { peers.contains { $0.node == node && $0.isPresent } }

    // MARK: Durable state

    /// Asks for the state to be kept, unless it is already (being) kept; `work` is done when it is.
    func keepState(tables: [UInt8]? = nil, then work: Work) {
        state.history = history
        let token = begin(work)
        writtenState = state
        emit(.writeState(state.encoded(), tables: tables, token))
    }

    public func stateWritten(_ token: WorkToken, at now: Moment) {
        self.now = now
        guard let work = end(token) else { return }
        workDone(work)
    }

    public func logCut(_ token: WorkToken, at now: Moment) {
        self.now = now
        guard let work = end(token) else { return }
        workDone(work)
    }

    /// `installPiece`, `removeObject`, `installSnapshot` or `syncAll` is done.
    public func installed(_ token: WorkToken, at now: Moment) {
        self.now = now
        guard let work = end(token) else { return }
        workDone(work)
    }

    /// What is to be kept with the store's checkpoint, as of which entry. The log must keep what comes after it.
    public func checkpointTables() -> (bytes: [UInt8], through: EntryName) {
        var h = history
        h.cut(after: decided)
        let tables = ReplicaTables(asOf: decided, history: h, windows: decidedWindows, marks: marks)
        return (tables.encoded(), decided)
    }

    // MARK: Events from the own disk

    /// The log has everything through this entry (pwritev returned).
    public func logAppended(through name: EntryName, at now: Moment) {
        self.now = now
        guard name.n > appended.n, history.contains(name) else { return }
        appended = name
        switch role {
        case .primary:
            advanceDecided()
            continueHandover()
        case .follower, .claiming: acknowledgeAppended()
        }
    }

    /// Everything through this entry is stable (architecture.md, Names).
    public func logStable(through name: EntryName, at now: Moment) {
        self.now = now
        guard name.n > stable.n, history.contains(name) else { return }
        stable = name
        switch role {
        case .primary:
            ownProbeMoved()
            advanceDecided()
            answerFlushes()
            continueHandover()
        case .follower, .claiming: acknowledgeStability()
        }
    }

    /// Bytes that the own disk can take beyond its reserve, pending slots counted as taken.
    public func roomChanged(_ bytes: UInt64) { room = bytes }

    // MARK: Time

    /// To be called when `nextTick` has come.
    public func ticked(at now: Moment) {
        self.now = now
        lastTick = now.now
        switch role {
        case .primary:
            primaryTicked()
            continueHandover()
        case .follower: followerTicked()
        case .claiming: break
        }
        if !searches.isEmpty { searchesTicked() }
        if scrub != nil { scrubMoved() }
        resendProposal()
        if let h = held, now.now >= h.until { releaseHeld() }
    }

    /// When the group wants `ticked`, at the latest.
    public var nextTick: Instant {
        if role == .primary {
            if let due = reign.decidedDue { return due }
            if reign.handover != nil { return lastTick + .milliseconds(5) }
            if scrub != nil { return lastTick + .milliseconds(25) }
            return lastTick + (reign.serving && !reign.isUnsettled ? limits.retry : paceDue)
        }
        return lastTick + (claim.since == nil && proposal == nil ? limits.retry : .milliseconds(25))
    }

    func drop(_ payload: PayloadHandle?) {
        if let payload { emit(.drop(payload)) }
    }
}
