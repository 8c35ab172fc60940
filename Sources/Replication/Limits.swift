import ClusterModel

/// Bounds and times of the placement group protocol. What happens at a bound stands beside it.
public struct ReplicationLimits: Hashable, Sendable {
    /// Entries named and not yet decided; beyond it requests wait (`WaitReason.entriesInFlight`).
    public var entriesInFlight = 1024
    /// Their payload bytes; beyond it requests wait.
    public var bytesInFlight = 32 << 20
    /// Requests that wait to be named, edges under way included; beyond it they are refused as unavailable.
    public var waitingRequests = 4096
    /// A request that has waited this long is refused as unavailable. Who sent it sends it again after some more time
    /// (`StorageLimits.exchangePatience`), so that there is one copy of it here at most.
    public var waitingPatience = TimeSpan.seconds(8)
    /// Request numbers of one session that are remembered.
    public static let window = 256
    /// Sessions with a window in one group; beyond it the least recently used session that is not live goes, or requests of
    /// new sessions are refused as unavailable.
    public var sessions = 4096
    /// Truncation and removal marks; beyond it the oldest go: hints older than it ran out long ago.
    public var fileMarks = 16384
    /// A peer that is silent this long is removed (the shell measures: `peerFellSilent`).
    public var silence = TimeSpan.seconds(1)
    /// A member that leaves an entry unacknowledged this long is removed.
    public var acknowledgement = TimeSpan.seconds(5)
    /// Below this many bytes of room on a member's disk, it tells the primary of each growth.
    public var scarceRoom: UInt64 = 64 << 20
    /// Decided-through travels by itself after this, if no entry carries it.
    public var decidedDelay = TimeSpan.milliseconds(5)
    /// What is not answered (attach, status, lease questions, proposals of unknown outcome) is sent again after this.
    public var retry = TimeSpan.milliseconds(250)
    /// How much later each next member in order of placement claims than the one before it.
    public var claimStep = TimeSpan.milliseconds(400)
    /// How long a claimant waits for members that are not connected before it leaves them out.
    public var claimPatience = TimeSpan.seconds(1)
    /// How long a successor, and the coordination store, may take to answer before a handover is given up.
    public var handoverPatience = TimeSpan.seconds(1)
    /// How long a handover waits for what was named to be decided; then its requests are refused, and found in the
    /// successor's log or not.
    public var handoverDrain = TimeSpan.milliseconds(50)
    /// How long requests are held for the outcome of a handover before they are refused.
    public var handoverHold = TimeSpan.milliseconds(250)
    /// A member that is about to stop is removed after this: time to hear that this node is to stop, too.
    public var leavingGrace = TimeSpan.milliseconds(250)
    /// After a loss of power: how long members known to have rebooted are waited for.
    public var powerLossPatience = TimeSpan.seconds(10)
    /// After a loss of power: how long members are waited for that may have kept their boot.
    public var keptBootPatience = TimeSpan.seconds(60)
    /// Who has been away for less is given up by an operator only by name: a machine needs about that long to start.
    public var lossPatience = TimeSpan.seconds(60)
    /// Pieces under way to one learner.
    public var piecesInFlight = 2
    /// The pace of catching up of each learner, until the shell says another (`paceChanged`).
    public var learningPace = Pace.mebibytes(256)
    /// What a catch-up that comes late may make up for at once: the shell's clock ticks every 20 ms.
    public var paceCredit = TimeSpan.milliseconds(40)
    /// When a catch-up begins that no write waits for.
    public var catchUpStart = CatchUpStart.atOnce
    public enum CatchUpStart: Hashable, Sendable {
        case atOnce
        /// When the shell says so (`catchUpTurnCame`): the node lets few begin at a time.
        case byTurn
    }
    /// Keys that one catch-up may name; beyond it the group stays without that learner, by name.
    public var missingKeys = 1 << 23
    /// Learners that catch up at once.
    public var learners = 1
    /// A step of catching up that is not answered this long ends the attempt; it begins anew.
    public var learningPatience = TimeSpan.seconds(30)
    /// … while the changes of both are listed, which takes a disk a second for some 100,000.
    public var listingPatience = TimeSpan.seconds(300)
    /// Searches for lost blocks under way; beyond it the blocks count as lost for who asks.
    public var searches = 256
    /// A member that does not give lost blocks this long is asked again, or another.
    public var searchStep = TimeSpan.seconds(1)
    /// How long lost blocks are sought while a member that may hold them cannot answer; a client waits for it.
    public var searchPatience = TimeSpan.seconds(5)
    /// Objects of one question of a scrub: what all members read before the pace is looked at.
    public var objectsPerScrub = 4
    /// Objects that wait to be looked at again; beyond it they are before others are.
    public var scrubAgain = 256
    /// How often an object is looked at again that changes meanwhile, and a question asked that is not answered; then it is
    /// unsettled, or the scrub ends.
    public var scrubAttempts = 20
    /// How often a difference must be seen to be one.
    public var scrubRepeats = 3
    /// Windows that differ are looked at again after so long: a member may not have heard yet of what is decided, or in the map.
    public var scrubWindowRest = TimeSpan.seconds(1)
    /// A question of a scrub that is not answered this long is asked again.
    public var scrubPatience = TimeSpan.seconds(60)
    /// Objects changed since a scrub's beginning that are kept in mind; what changes beyond it is left to the next scrub.
    public var scrubLate = 1 << 16
    /// Objects and rows that a scrub's result names, of each kind; the others are counted.
    public var scrubbedNames = 64
    /// Bytes a second that a scrub may read at least, so that it ends (replication.md, 16).
    public var scrubPaceFloor: UInt64 = 1 << 20
    /// What a scrub waits for each row that all members have read: they lie in the page cache, mostly.
    public var scrubRowNanoseconds: UInt64 = 10_000
    public init() {}
}
