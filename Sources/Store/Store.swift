import ClusterModel
import Wire

/// One disk: log, slots, overlay and index of all placement groups that it holds (store.md). A pure machine on its shard's
/// event loop: calls go in, effects come out of `takeEffects`, their completions are reported by id.
///
/// Life: `init` → `open` → notice `recovered` → `begin` → notice `ready` → appends … → `close` → notice `closed`.
///
/// Invariants (numbers are the rules of store.md):
/// - 1: slots that rows name, and rows, change only in a checkpoint, after the log through its position is stable;
/// - a slot is named by at most one block range of one row; every record that relies on a slot names it;
/// - records of a group are in the log in the order of the calls; entries are applied in the order of their names;
/// - a freed slot is given again only after a checkpoint without it is durable and the reads that resolved it are over;
/// - 4: after `failed` no effect is made and no call does anything.
public final class Store {
    public let configuration: StoreConfiguration
    let crc: CRC32C
    var disk = DiskID(0)
    var boot = BootID(0)

    enum Phase {
        case new
        case recovering
        /// Recovered; waits for `begin`.
        case recovered
        /// The boot record is being made stable.
        case beginning
        case running
        case closing
        case closed
        case failed
    }
    var phase = Phase.new
    public private(set) var failure: StoreFailure?

    // Effects
    var effects: [StoreEffect] = []
    var nextEffect: UInt64 = 1
    var continuations: [UInt64: Continuation] = [:]

    /// What a completion means.
    enum Continuation {
        case logWrite
        case logSync(through: LogPosition, mark: LogPosition)
        case dataSync(upTo: LogPosition)
        case segment(SegmentNumber)
        case segmentRemoval
        case slotWrite(LogRecord)
        case grow(Int)
        case copy([BlockCopy])
        case recoveryRead
        case recoveryCheck
        case load([IndexKey])
        case openingSync
        case scanOpening
        case scanPurge
        case scanFilesets
        case scanGone
        case scanChanges(StoreToken, PGID, ChangeCursor, limit: Int)
        case commit
        case rowSync
    }

    // Groups
    var groups: [PGID: Group] = [:]
    /// Ascending by group.
    var orderedGroups: [Group] = []

    // Rows
    var objects: [ObjectID: HotObject] = [:]
    var files: [FileKey: FileState] = [:]
    var cachedRows: [HotRow] = []
    var clockHand = 0
    var loading: [ContentKey: Loading] = [:]
    var keptRows = Queue<HotRow>()
    var keptFiles = Queue<FileState>()
    var dirtyRows: [HotRow] = []
    var dirtyObjects: [HotObject] = []
    var dirtyFiles: [FileState] = []
    var overlayBlocks = 0

    struct FileKey: Hashable {
        var pg: PGID
        var file: FileID
    }
    final class Loading {
        var waiters: [Waiter] = []
        let group: Group
        init(group: Group) { self.group = group }
    }
    enum Waiter {
        case record(LogRecord)
        case caller(StoreToken)
        case purge
        /// Whose cut goes on being carried to its rows after a restart.
        case file(FileID)
    }

    // Slots
    var allocator = SlotAllocator()
    var map = DurableMap()
    /// Slots that records not yet applied name, with their number and whether a row has them.
    var named: [UInt32: Int] = [:]
    /// Freed since the last freeze, freed before it, and free once reads have ended.
    var freed: [UInt32] = []
    var freedFrozen: [UInt32] = []
    var freedAwaitingReads: [(slots: [UInt32], before: ReadTicket)] = []
    var groupsWaitingForSlots: [Group] = []
    var isGrowing = false
    var growthFailed = false

    #if DEBUG || STAVE_MUTANTS
        /// The rule left out, for tests of the tests; a release build of Stave has no such thing (Package.swift).
        public var mutation: StoreMutation?
        @inline(__always) func mutated(_ m: StoreMutation) -> Bool { mutation == m }
        /// Those met so far.
        public private(set) var situations = Situations()
        func mark(_ s: Situation, if condition: @autoclosure () -> Bool = true) {
            if condition() { situations.insert(s) }
        }
    #else
        @inline(__always) func mutated(_ m: StoreMutation) -> Bool { false }
        @inline(__always) func mark(_ s: Situation, if condition: @autoclosure () -> Bool = true) {}
    #endif
    var freeBytes: UInt64 = 0
    var totalBytes: UInt64 = 0

    // Reads
    var nextTicket: UInt64 = 1
    var openReads: [ReadTicket] = []

    // Log
    var log = LogState()
    var ready = Queue<LogRecord>()
    /// Of the disk itself: written before the others, so that a checkpoint can end a full log.
    var urgent = Queue<LogRecord>()
    var inFlight = Queue<Batch>()

    struct Batch {
        var id: EffectID
        var position: LogPosition
        var end: LogPosition
        var records: [LogRecord]
        var mark: LogPosition
    }

    // Sync, checkpoint, purge, recovery
    var sync = SyncState()
    var checkpoint = CheckpointState()
    var purge = PurgeState()
    /// Where lost pieces lie that recovery found, until the disk is open.
    var lostPieces: [LogPosition] = []
    var filesets = LiveFilesets()
    var gone = GoneState()
    /// Groups that are to leave the index.
    var forgottenGroups: [PGID] = []
    /// Groups that are on their way out of this disk.
    var leaving: [LeavingGroup] = []
    var recovery: Recovery?
    let controlGroup = Group(pg: Store.control)
    var closeStep = CloseStep.draining
    var now = Instant(nanoseconds: 0)
    var lastAppend = Instant(nanoseconds: 0)
    var lastCheckpoint = Instant(nanoseconds: 0)
    var firstUnsynced: Instant?

    /// What is in memory points both ways, rows and their objects, records and their groups: a disk that is given up gives its
    /// memory back.
    deinit {
        for row in cachedRows {
            row.object.file.objects = []
            row.object.rows = []
        }
        for group in orderedGroups + [controlGroup] {
            group.queue = Queue()
            group.tail = Queue()
            group.undurable = Queue()
            group.unlogged = []
        }
    }

    public init(configuration: StoreConfiguration, crc: CRC32C) {
        self.configuration = configuration
        self.crc = crc
    }

    // MARK: Effects

    /// The effects made since the last call, in order. The shell empties it after every event.
    public func takeEffects() -> [StoreEffect] {
        var out: [StoreEffect] = []
        swap(&out, &effects)
        return out
    }
    public var hasEffects: Bool { !effects.isEmpty }

    func emit(_ continuation: Continuation, _ make: (EffectID) -> StoreEffect) {
        let id = EffectID(nextEffect)
        nextEffect += 1
        continuations[id.rawValue] = continuation
        effects.append(make(id))
    }
    func notify(_ notice: StoreNotice) { effects.append(.notify(notice)) }

    func take(_ id: EffectID) -> Continuation? {
        if phase == .failed { return nil }
        return continuations.removeValue(forKey: id.rawValue)
    }

    /// A write, sync or database effect failed, or a call took too long: the use of the disk ends at once (rule 4).
    public func failed(_ reason: StoreFailure) {
        guard phase != .failed else { return }
        phase = .failed
        failure = reason
        // The payloads that records under way hold are given back; nothing else is done any more.
        effects.removeAll { if case .dropPayload = $0 { false } else { true } }
        for record in unwritten {
            if let payload = record.payload { effects.append(.dropPayload(payload)) }
        }
        continuations.removeAll()
        recovery = nil
        notify(.failed(reason))
    }

    private var unwritten: [LogRecord] {
        var records: [LogRecord] = []
        for queue in (orderedGroups + [controlGroup]).map(\.queue) + [ready, urgent] {
            records += (0..<queue.count).map { queue[$0] }
        }
        for i in 0..<inFlight.count { records += inFlight[i].records }
        return records.filter { !$0.isWritten }
    }

    // MARK: Groups

    func group(_ pg: PGID) -> Group {
        if let g = groups[pg] { return g }
        let g = Group(pg: pg)
        groups[pg] = g
        let at = orderedGroups.firstIndex { pg < $0.pg } ?? orderedGroups.count
        orderedGroups.insert(g, at: at)
        return g
    }

    /// The group's last state given to `writeState`, whether or not it is durable yet.
    public func state(_ pg: PGID) -> [UInt8] { groups[pg]?.row.state ?? [] }
    /// Known to be decided.
    public func decidedThrough(_ pg: PGID) -> EntryName { groups[pg]?.row.decided ?? .zero }
    /// Shown by reads.
    public func appliedThrough(_ pg: PGID) -> EntryName { groups[pg]?.row.applied ?? .zero }
    /// The last entry that was appended, logged or on its way.
    public func lastEntry(_ pg: PGID) -> EntryName { groups[pg]?.lastName ?? .zero }
    public func stableThrough(_ pg: PGID) -> EntryName { groups[pg]?.stableThrough ?? .zero }

    /// What a group uses, by fileset ascending; all that is applied is counted.
    public func usage(_ pg: PGID) -> [(fileset: FilesetID, usage: StoreUsage)] { groups[pg]?.row.usage ?? [] }

    // MARK: Space

    /// Free and total bytes for admission and df. Pending slots are not space (replication.md, Bounds).
    public var space: StoreSpace {
        let slot = UInt64(Geometry.slotSize)
        let growth = growthFailed ? 0 : logGrowthReserve < freeBytes ? freeBytes - logGrowthReserve : 0
        let free = UInt64(allocator.freeCount) * slot + growth
        return StoreSpace(admissible: free > reserve ? free - reserve : 0, free: free, total: totalBytes)
    }
    /// Kept for sequenced entries, deletes and recovery.
    private var reserve: UInt64 {
        max(
            totalBytes / StoreLimits.reserveDivisor,
            min(StoreLimits.reserveLeast, totalBytes / StoreLimits.reserveSmallDivisor))
    }
    /// Whether a log that is held up may have a segment more. The reserve is no part of the file system's room, so that what
    /// others take of it since it was looked at cannot make it fail.
    var hasRoomForSegment: Bool {
        freeBytes > reserve + 2 * UInt64(configuration.segmentSize)
            && log.segmentCount < StoreLimits.heldUpGrowth * configuration.maximumSegments
    }
    /// What the log may still take of the file system.
    private var logGrowthReserve: UInt64 {
        UInt64(max(0, configuration.maximumSegments - log.segmentCount)) * UInt64(configuration.segmentSize)
    }
    /// The file system's free bytes, reported by the shell about once a second.
    public func spaceChanged(freeBytes: UInt64) {
        if freeBytes > self.freeBytes { growthFailed = false }
        self.freeBytes = freeBytes
        growIfNeeded()
        if log.needsSegment { pump() }
    }

    /// Why appends wait now, for `stave why`; nil if they do not.
    public var waitingFor: String? {
        if !groupsWaitingForSlots.isEmpty { return "free slots: a checkpoint frees pending ones, or the disk is full" }
        if !ready.isEmpty, log.needsSegment {
            return "a log segment: the log is full until a checkpoint has trimmed it"
        }
        return nil
    }
    /// Through here the log is stable.
    public var logStable: LogPosition { log.stable }
    /// Bytes of log that recovery would read.
    public var logBytes: Int {
        guard let first = log.active.first, let last = log.active.last else { return 0 }
        let head =
            log.replayFrom > segmentStart(first) ? Int(log.replayFrom.rawValue - segmentStart(first).rawValue) : 0
        let tail = log.end > segmentStart(last) ? Int(log.end.rawValue - segmentStart(last).rawValue) : 0
        return max(0, (log.active.count - 1) * configuration.segmentSize + tail - head)
    }
    /// The groups of which the disk has anything.
    public var knownGroups: [PGID] { orderedGroups.map(\.pg) }
    /// Slots that are given, pending ones included.
    public var takenSlots: Int { allocator.takenCount }
    public var dirtyRowCount: Int { dirtyRows.count }
    public var cachedRowCount: Int { cachedRows.count }
    public var pendingSlotCount: Int {
        freed.count + freedFrozen.count + freedAwaitingReads.reduce(0) { $0 + $1.slots.count }
    }
}
