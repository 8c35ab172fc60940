import ClusterModel
import Wire

/// What a primary keeps while it reigns: from a claim that won until it is deposed or its lease lapses.
struct Reign {
    /// Counts reigns in this process.
    var number: UInt64 = 0
    var epoch: Epoch = .zero
    var lease: LeaseNumber = .none
    var since = Instant(nanoseconds: 0)
    /// The claim followed a loss of power: what it lost must be settled.
    var afterPowerLoss = false
    /// The promise is durable: entries may be named.
    var promised = false
    /// The map was read after the claim had won.
    var mapRead = false
    /// Nothing is void on any in-sync member, or it has been restated and copied.
    var voidsSettled = false
    var hasNamedFirst = false
    /// Objects that every member must copy, whatever their versions say.
    var restated: [ObjectID] = []
    /// n of this reign's first entry.
    var first: UInt64 = 0
    var serving = false
    var members: [MemberProgress] = []
    var attempts: UInt32 = 0
    var bytesInFlight = 0
    /// What every attached member was told is decided.
    var told: EntryName = .zero
    var stamp: LossNumber = .zero
    var decidedDue: Instant?
    /// Requests that cannot be named yet, oldest first.
    var waiting: [WaitingRequest] = []
    var parked: [ParkedWrite] = []
    /// Reads of files whose last cut only the disk knows.
    var askedReads: [(work: WorkToken, read: WaitingRequest)] = []
    /// Duplicates of entries that are not decided yet.
    var joined: [(n: UInt64, token: RequestToken, since: Instant)] = []
    var reads: [WaitingRead] = []
    /// n of the last entry of this reign that fixes times.
    var timesFixedThrough: UInt64 = 0
    /// Questions at the rows, which may have to be asked once more.
    var asked: [AskedQuestion] = []
    /// Through this n the tail has entries of sessions that have ended: what follows their end must not read what they touch
    /// before they are decided, or a fenced write would appear after it.
    var fencedThrough: UInt64 = 0
    var flushes: [(n: UInt64, token: RequestToken, since: Instant)] = []
    /// Namespace entries that are decided, and whose result is awaited, ascending by n.
    var applying: [(n: UInt64, token: RequestToken, stamp: LossNumber)] = []
    var catchUps: [CatchUp] = []
    var pieceReads: [PieceRead] = []
    var mapAsked: MapVersion = .zero
    /// The reign is to end in favour of another member.
    var handover: Handover?
    var lastNamed: Instant = Instant(nanoseconds: 0)
    /// How long the own disk takes to make something stable.
    var ownProbe: PlacementGroup.StableProbe?

    var isUnsettled: Bool {
        !serving || !catchUps.isEmpty || members.contains { $0.phase != .streaming || !$0.isComplete }
    }
}

/// A member or a learner as the primary sees it.
struct MemberProgress {
    var node: NodeID
    /// In the record's in-sync set.
    var isInSync: Bool
    /// No entry is decided without it: in-sync, or a learner from before its promotion is proposed.
    var isNeeded: Bool
    /// Lacks nothing but the log's latest entries.
    var isComplete = false
    /// Since when it has been here, and not complete.
    var behindSince: Instant?
    var phase: Phase = .detached
    var member: Member?
    var attempt: UInt32 = 0
    var attemptAt = Instant(nanoseconds: 0)
    /// Through these n it has acknowledged in this reign; what it once had under its boot it keeps.
    var appended: UInt64 = 0
    var stable: UInt64 = 0
    /// Entries were sent through this n on the present connection.
    var sent: UInt64 = 0
    var room: UInt64 = .max
    /// When the oldest entry that it has not acknowledged was sent.
    var owes: Instant?
    /// How long its disk takes to make something stable.
    var probe: PlacementGroup.StableProbe?
    var voids: [VoidRecord] = []
    /// It has copied what was restated in this reign since then.
    var hasRestated = false
    var reported = false

    enum Phase {
        case detached
        case attaching
        /// The log begins anew; entries are not sent before it has begun.
        case learning
        case streaming
    }
}

struct WaitingRequest {
    var token: RequestToken
    var request: PGRequest
    var checksums: [UInt32]
    var since: Instant
}

struct WaitingRead {
    /// The tail must be decided through here.
    var n: UInt64
    var token: RequestToken
    var request: PGRequest
    var since: Instant
    /// Of a question that is asked once more: as of when.
    var asOf: Timestamp?
}

/// A question that was asked of the rows, with its payload.
struct AskedQuestion {
    /// They had all entries through this one, or more.
    var seen: UInt64
    var token: RequestToken
    var request: PGRequest
    var asOf: Timestamp
}
