import ClusterModel
import Wire

/// What a replica must not forget, beside its log: the promise, what it lacks, and under which boot it lacked nothing.
struct ReplicaState: Hashable, Sendable {
    var promised: Epoch = .zero
    /// The boot under which nothing was missing.
    var boot: BootID
    /// Boots before it, without a loss of power between: the record may still name one of them.
    var formerBoots: [BootID] = []
    /// The machine lost power since, and what may be gone has not been settled: closing the disk in order does not heal that.
    var lostPower = false
    /// The disk has nothing of the group: the promise was made without it. A replica that is killed before it learns must not be
    /// taken for an empty one that lacks nothing.
    var absent = false
    var learning = false
    /// While learning: content is complete, and the same as other replicas', through this entry. It stands still.
    var completeThrough: EntryName = .zero
    /// While learning: the log through `completeThrough`, as it was.
    var completeHistory = EpochHistory()
    /// The log when this was written; later entries tell the rest.
    var history = EpochHistory()
    /// Void records that were found and are not mended yet.
    var voids: [VoidRecord] = []

    private static let format: UInt8 = 1

    func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 256)
        w.u8(ReplicaState.format)
        w.epoch(promised)
        w.u128(boot.rawValue)
        w.list(formerBoots) { $0.u128($1.rawValue) }
        w.u8((learning ? 1 : 0) | (lostPower ? 2 : 0) | (absent ? 4 : 0))
        w.name(completeThrough)
        ReplicaState.write(completeHistory, &w)
        ReplicaState.write(history, &w)
        w.list(voids) {
            $0.name($1.entry)
            $0.object($1.object)
            $0.u64($1.request.session.rawValue)
            $0.u64($1.request.request.rawValue)
        }
        return w.bytes
    }

    init(boot: BootID) { self.boot = boot }

    init(decoding bytes: [UInt8]) throws(WireError) {
        self = try decodeWhole(bytes) { r throws(WireError) in try ReplicaState(from: &r) }
    }

    private init(from r: inout WireReader) throws(WireError) {
        let format = try r.u8()
        if format != ReplicaState.format {
            throw WireError("a replica's state of format \(format); this program knows \(ReplicaState.format)")
        }
        promised = try r.epoch()
        boot = BootID(try r.u128())
        formerBoots = try r.list(atMost: 8, elementBytes: 16) { r throws(WireError) in BootID(try r.u128()) }
        let flags = try r.u8()
        learning = flags & 1 != 0
        lostPower = flags & 2 != 0
        absent = flags & 4 != 0
        completeThrough = try r.name()
        completeHistory = try ReplicaState.readHistory(&r)
        history = try ReplicaState.readHistory(&r)
        voids = try r.list(atMost: ReplicaMessageLimits.voidRecords, elementBytes: 52) { r throws(WireError) in
            VoidRecord(
                entry: try r.name(), object: try r.object(),
                request: LostRequest(session: try r.session(), request: try r.request()))
        }
    }

    static func write(_ history: EpochHistory, _ w: inout WireWriter) {
        w.list(history.spans) {
            $0.epoch($1.epoch)
            $0.u64($1.last)
        }
    }

    static func readHistory(_ r: inout WireReader) throws(WireError) -> EpochHistory {
        let spans = try r.list(atMost: ReplicaMessageLimits.historySpans, elementBytes: 16) { r throws(WireError) in
            EpochSpan(epoch: try r.epoch(), last: try r.u64())
        }
        guard let history = EpochHistory(spans) else { throw WireError("a log's epochs do not ascend") }
        return history
    }
}

/// Request windows and file marks as of one decided entry: kept with the store's checkpoint, and sent to learners.
struct ReplicaTables: Sendable {
    var asOf: EntryName
    var history: EpochHistory
    var windows: RequestWindows
    var marks: FileMarks

    private static let format: UInt8 = 1

    func encoded() -> [UInt8] {
        var w = WireWriter(capacity: 4096)
        w.u8(ReplicaTables.format)
        w.name(asOf)
        ReplicaState.write(history, &w)
        w.list(windows.windows) { w, window in
            w.u64(window.session.rawValue)
            w.list(window.slots.filter { $0.number != .none && $0.entry.n <= asOf.n }) {
                $0.u64($1.number.rawValue)
                $0.name($1.entry)
                $0.u64($1.stamp.rawValue)
            }
        }
        w.list(marks.list) {
            $0.file($1.0)
            $0.truncation($1.1.truncation)
            $0.u8($1.1.removed.rawValue)
        }
        return w.bytes
    }

    init(asOf: EntryName, history: EpochHistory, windows: RequestWindows, marks: FileMarks) {
        self.asOf = asOf
        self.history = history
        self.windows = windows
        self.marks = marks
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        self = try decodeWhole(bytes) { r throws(WireError) in try ReplicaTables(from: &r) }
    }

    private init(from r: inout WireReader) throws(WireError) {
        let format = try r.u8()
        if format != ReplicaTables.format {
            throw WireError("a replica's tables of format \(format); this program knows \(ReplicaTables.format)")
        }
        asOf = try r.name()
        history = try ReplicaState.readHistory(&r)
        var windows = RequestWindows()
        let read = try r.list(atMost: 65536, elementBytes: 12) { r throws(WireError) in
            (
                try r.session(),
                try r.list(atMost: ReplicationLimits.window, elementBytes: 32) { r throws(WireError) in
                    RequestWindows.Slot(
                        number: try r.request(), entry: try r.name(), stamp: LossNumber(try r.u64()))
                }
            )
        }
        for (session, slots) in read {
            for slot in slots { windows.record(session, slot.number, entry: slot.entry, stamp: slot.stamp) }
        }
        self.windows = windows
        var marks = FileMarks()
        // All that a learner's tables have room for (`ReplicaMessageLimits.tables`).
        let list = try r.list(atMost: ReplicaMessageLimits.tables / 29, elementBytes: 29) { r throws(WireError) in
            let file = try r.file()
            let truncation = try r.truncation()
            guard let kind = RangeDeletion.Kind(rawValue: try r.u8()) else { throw WireError("an unknown mark") }
            return (file, FileMarks.Mark(truncation: truncation, removed: kind))
        }
        for (file, mark) in list { marks.set(file, mark, limit: .max / 4) }
        self.marks = marks
    }
}
