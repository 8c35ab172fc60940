import ClusterModel
import Wire

/// Whom the end of a request concerns.
enum CallPurpose {
    case query(QueryOperation)
    case mutate(MutateOperation)
    /// The attributes of what it changed, where its result is behind what clients have been told.
    case shown(MutateOperation)
    case readPart(ReadOperation, part: Int)
    case writePart(WriteOperation, part: Int)
    case hint(FileState)
    case raiseLimit(FileState)
    case register(FileState)
    case extend(FileState)
    case settle(FileState)
    case touch(FileState)
    case deleteRange(DeletionWork)
    case finishDeletion
    case pendingDeletions(FilesetID)
    case measure(Measurement)
    case measurable(FilesetID, MeasuringScope)
    case recordFileUsage
}

/// How a request ended.
enum CallOutcome {
    case answered(PGResponseBody, ReplyContent)
    case refused(PGRefusal)
}

/// One request to a placement group until it has ended, with all its copies.
final class PGCall {
    enum State {
        /// No number is free in the window. → held, validating, underWay
        case waitingForNumber
        /// The group has no primary. → underWay, validating
        case held
        /// Its truncation mark is older than a hint may be, and is asked for. → underWay, held
        case validating
        /// A copy is on its way to the newest primary known. → pausing, local
        case underWay
        /// Refused or lost; will be sent again. → underWay, held
        case pausing
        /// The own replica is asked. → underWay
        case local
    }

    let purpose: CallPurpose
    let pg: PGID
    var body: PGRequestBody
    let payload: RequestPayload
    let began: Instant
    /// The file whose truncation mark the body carries, with the age of the hint that it came from.
    let mark: (file: FileState, mark: TruncationMark)?
    var slot = SlotID(index: 0, generation: 0)
    var number = RequestNumber.none
    var state = State.waitingForNumber
    var attempt: UInt32 = 0
    /// When the first copy left, then when the copy left that was answered; nil before.
    var sentAt: Instant?
    /// The loss number known then.
    var lossSeen = LossNumber.zero
    /// Copies that have not been answered.
    var copies: [(attempt: UInt32, node: NodeID, at: Instant)] = []
    var tries = 0
    /// Place in its lane's list.
    var position = 0

    init(
        purpose: CallPurpose, pg: PGID, body: PGRequestBody, payload: RequestPayload, began: Instant,
        mark: (file: FileState, mark: TruncationMark)?
    ) {
        self.purpose = purpose
        self.pg = pg
        self.body = body
        self.payload = payload
        self.began = began
        self.mark = mark
    }

    /// Requests that change something are numbered.
    var isNumbered: Bool {
        switch body {
        case .write, .zero, .deleteRange, .mutate: return true
        case .read, .readVersion, .query, .flush: return false
        }
    }

    var isHeld: Bool {
        switch state {
        case .waitingForNumber, .held, .validating, .pausing: return true
        case .underWay, .local: return false
        }
    }
}

/// The numbering of one (session, group), and its requests.
///
/// Invariants: `ended` ≤ every unfinished number < `next` ≤ `ended` + 256; every number below `ended` has ended.
final class PGLane {
    let pg: PGID
    var next: UInt64 = 1
    var ended: UInt64 = 1
    /// By number modulo the window: whether it has ended.
    private var finished = [Bool](repeating: false, count: Int(GatewayLimits.window))
    /// Requests that have not ended.
    var active: [PGCall] = []
    /// Of these, those without a number, in order.
    private var waiting: [PGCall] = []
    private var waitingHead = 0
    /// Numbers are being given.
    var isNumbering = false

    init(pg: PGID) { self.pg = pg }

    /// Nil while 256 numbers are unfinished.
    func takeNumber() -> RequestNumber? {
        guard next - ended < GatewayLimits.window else { return nil }
        let number = next
        next += 1
        finished[Int(number % GatewayLimits.window)] = false
        return RequestNumber(number)
    }

    func end(_ number: RequestNumber) {
        precondition(
            number.rawValue >= ended && number.rawValue < next, "a number ends once, while it is in the window")
        finished[Int(number.rawValue % GatewayLimits.window)] = true
        while ended < next, finished[Int(ended % GatewayLimits.window)] { ended += 1 }
    }

    func add(_ call: PGCall) {
        call.position = active.count
        active.append(call)
    }

    func remove(_ call: PGCall) {
        let last = active.removeLast()
        if last !== call {
            active[call.position] = last
            last.position = call.position
        }
    }

    func wait(_ call: PGCall) { waiting.append(call) }

    /// Those without a number, in order; some may have ended.
    var waitingCalls: ArraySlice<PGCall> { waiting[waitingHead...] }

    func dropWaiting(where hasEnded: (PGCall) -> Bool) {
        waiting.removeFirst(waitingHead)
        waitingHead = 0
        waiting.removeAll(where: hasEnded)
    }

    var firstWaiting: PGCall? { waitingHead < waiting.count ? waiting[waitingHead] : nil }

    /// Takes a call out of the line, mostly the first.
    func dropWaiting(_ call: PGCall) {
        guard firstWaiting === call else { return waiting.removeAll { $0 === call } }
        waitingHead += 1
        if waitingHead == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            waitingHead = 0
        } else if waitingHead > 256, waitingHead * 2 > waiting.count {
            waiting.removeFirst(waitingHead)
            waitingHead = 0
        }
    }
}
