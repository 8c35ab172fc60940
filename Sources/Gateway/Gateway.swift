import ClusterModel
import Wire

/// The gateway: turns operations on files into requests to placement groups (namespace.md; replication.md, 1 and 18–20).
///
/// A pure machine in a box. Events are methods, named by what happened, with both clocks as an argument; what is to be
/// done is appended to `effects`, which the shell takes and executes in order. It never holds payload bytes.
///
/// Invariants:
/// - a number of (session, group) names one request with one payload for ever; at most `GatewayLimits.window` are unfinished;
/// - at most one copy of a request is under way to each node;
/// - no request is sent under another session than the one it began under;
/// - an operation is answered only after each of its requests has ended, however it ended: nothing of it can land later, but
///   what nobody waits for any more (`Abandoning.swift`);
/// - data is never sent beyond the file's limit, and a write is not answered before size and registration are decided.
public final class GatewayMachine {
    /// The node whose own replicas may serve large reads, and whose filesets' range deletions it looks after.
    public let node: NodeID
    /// To be taken and executed after every event.
    public internal(set) var effects: [GatewayEffect] = []
    public internal(set) var counters = GatewayCounters()

    var time = GatewayTime(now: Instant(nanoseconds: 0), wall: .zero)
    var random: SplitMix64
    var map: ClusterMap?
    var records: [PGID: PGRecord] = [:]
    /// How a COMMIT of all data groups goes out, as the records are now; nil before one needs it.
    var flushPlan: FlushPlan?
    /// The session that requests are sent under.
    public internal(set) var session: SessionID?
    var lastEnded = SessionID.none
    /// The highest loss number that any stamp or map has shown.
    var lossSeen = LossNumber.zero

    var lanes: [PGLane] = []
    var laneIndex: [PGID: Int] = [:]
    var calls = SlotTable<PGCall>()
    var flushes = SlotTable<FlushMessage>()
    /// Commits whose groups are known and not all flushed.
    var commits: [CommitOperation] = []
    var operations = SlotTable<Operation>()
    /// Operations in progress that nobody waits for.
    var absent = 0
    /// Begun while there was no session; started when there is one.
    var unstarted: [Unstarted] = []
    var files = SlotTable<FileState>()
    var fileIndex: [FileID: SlotID] = [:]
    /// While those who waited for its attributes are told of them.
    var justLearned: FileState?
    var evictionHand = 0
    var timers = Timers()
    var deletions = Deletions()
    var measurements = Measurements()
    var heldCount = 0
    var heldBytes = 0

    /// `seed` spreads the pauses of gateways that meet the same trouble.
    public init(node: NodeID, seed: UInt64) {
        self.node = node
        random = SplitMix64(seed: seed)
    }

    /// Moves what is to be done into `list`, which the shell executes in order. Executing may bring new events.
    public func takeEffects(into list: inout [GatewayEffect]) {
        list.removeAll(keepingCapacity: true)
        swap(&list, &effects)
    }

    /// When `timePassed` is due; nil when nothing waits for time.
    public var nextDeadline: Instant? { timers.next }

    /// Whether doors should stop reading requests until it is false again.
    public var isPressed: Bool {
        heldCount + unstarted.count >= GatewayLimits.heldRequests || heldBytes >= GatewayLimits.heldBytes
    }

    /// Operations that have not been answered.
    public var operationCount: Int { operations.count + unstarted.count }

    // MARK: Events

    /// A door asks. Ends in exactly one `finish` effect with this id.
    public func began(_ id: OperationID, _ request: FileRequest, by caller: Caller, at time: GatewayTime) {
        self.time = time
        guard operations.count + unstarted.count < GatewayLimits.operations else {
            effects.append(.finish(id, .failure(.unavailable)))
            return
        }
        guard session != nil, map != nil else {
            unstarted.append(Unstarted(id: id, request: request, caller: caller, began: time.now))
            heldBytes += request.byteCount
            timers.set(.refuseUnstarted, at: time.now + GatewayLimits.sessionPatience)
            return
        }
        start(id, request, caller)
    }

    /// A copy of a request was answered.
    public func answered(_ token: RequestToken, _ response: PGResponse, _ content: ReplyContent, at time: GatewayTime) {
        self.time = time
        callAnswered(token, response, content)
    }

    /// The connection to the node of this copy ended before its answer: whether it was executed is unknown.
    public func connectionLost(_ token: RequestToken, at time: GatewayTime) {
        self.time = time
        callLost(token)
    }

    /// What became of `readLocal`; nil when the own replica cannot serve it.
    public func readLocally(_ token: RequestToken, _ data: (PayloadHandle, Presence)?, at time: GatewayTime) {
        self.time = time
        localReadEnded(token, data)
    }

    /// What became of a flush message; nil when the connection ended.
    public func flushed(_ token: FlushToken, _ answer: FlushAnswer?, at time: GatewayTime) {
        self.time = time
        flushEnded(token, answer)
    }

    /// Map, records or session changed.
    public func viewChanged(_ view: GatewayView, at time: GatewayTime) {
        self.time = time
        adopt(view)
    }

    /// Time went on; to be called at `nextDeadline`, earlier does no harm.
    public func timePassed(_ time: GatewayTime) {
        self.time = time
        while let purpose = timers.due(at: time.now) {
            switch purpose {
            case .resend(let slot, let attempt): pauseEnded(slot, attempt: attempt)
            case .resendFlush(let commit): if !commit.isFinished { sendFlushes(of: commit) }
            case .settle(let file): settleTimerRang(file)
            case .redo(let operation): if !operation.isFinished { operation.advance(self) }
            case .refuseUnstarted: refuseUnstarted()
            case .giveUpAbandoned: giveUpAbandoned()
            case .pollDeletions: pollDeletions()
            case .pollMeasurable: pollMeasurable()
            case .endMeasurement(let work): measurementLate(work)
            }
        }
    }

    // MARK: Life of operations

    func start(_ id: OperationID, _ request: FileRequest, _ caller: Caller) {
        let operation = makeOperation(id, request, caller)
        operation.slot = operations.insert(operation)
        operation.fileState?.users += 1
        operation.advance(self)
    }

    func finish(_ operation: Operation, _ result: Result<FileAnswer, FileFailure>) {
        guard !operation.isFinished else { return }
        operation.isFinished = true
        if !operation.interest.isWanted { absent -= 1 }
        operations.remove(operation.slot)
        operation.fileState?.users -= 1
        if case .failure = result { operation.release(self) }
        effects.append(.finish(operation.id, result))
    }

    /// Lets `operation` go on after a pause that grows with its redoings; false when it was turned back too often.
    func redoLater(_ operation: Operation) -> Bool {
        operation.redoings += 1
        counters.redone += 1
        if operation.redoings > GatewayLimits.redoings { return false }
        if operation.redoings == 1 {
            operation.advance(self)
        } else {
            timers.set(.redo(operation), at: time.now + pause(after: operation.redoings))
        }
        return true
    }

    /// Exponential, with jitter over its upper half, so that gateways do not knock in step (traps 17).
    func pause(after tries: Int) -> TimeSpan {
        let full = min(
            GatewayLimits.firstPause.nanoseconds << UInt64(min(max(tries - 1, 0), 16)),
            GatewayLimits.lastPause.nanoseconds)
        return TimeSpan(nanoseconds: full / 2 + random.next() % (full / 2))
    }

    func sawStamp(_ stamp: LossNumber) { if stamp > lossSeen { lossSeen = stamp } }
}

/// An operation that came while there was no session.
struct Unstarted {
    var id: OperationID
    var request: FileRequest
    var caller: Caller
    var began: Instant
}

extension FileRequest {
    /// Bytes of payload that wait with it.
    var byteCount: Int { if case .write(_, offset: _, let payload, zeros: _, _) = self { payload.length } else { 0 } }
}

/// What a gateway has done, for metrics.
public struct GatewayCounters: Hashable, Sendable {
    /// Copies of requests handed to the shell.
    public var sent: UInt64 = 0
    /// Of these, not the first of their request.
    public var resent: UInt64 = 0
    public var refused: UInt64 = 0
    /// Answers that contradict the protocol.
    public var malformed: UInt64 = 0
    /// Operations that a truncation turned back.
    public var redone: UInt64 = 0
    public var localReads: UInt64 = 0
    public var flushMessages: UInt64 = 0
    public init() {}
}
