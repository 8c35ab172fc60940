import ClusterModel
import Wire

/// A record from the call that made it until it is applied.
final class LogRecord {
    let group: Group
    let body: RecordBody
    let payload: PayloadHandle?
    let token: StoreToken?
    /// Rows that are still being read.
    var missing = 0
    var rows: [HotRow] = []
    var file: FileState?
    /// One per touched 64 KiB of the object: the slot its content goes to, 0 for none.
    var slots: [UInt32] = []
    var isPlaced = false
    /// Its large parts are being written.
    var slotsPending = false
    /// Cut off: not logged if it is not yet, never applied.
    var isDead = false
    /// Its large content was lost with power: applied as nothing.
    var isVoid = false
    var isWritten = false
    /// Where its first payload byte lies in the log, once it is in a batch.
    var payloadPosition = LogPosition.zero
    /// Of its batch.
    var position = LogPosition.zero
    /// Its place among all records of the disk: `position` and its number in the batch.
    var order = LogPosition.zero
    /// Of a cut or restart: what it cut off.
    var victims: [LogRecord] = []
    /// Of a restart: what was applied before it.
    var appliedBefore: EntryName?
    /// What recovery does with an entry.
    var replayRule = ReplayRule.byName

    enum ReplayRule {
        /// It is applied if it is decided and later than what the index holds.
        case byName
        /// It was decided in a log that was then restarted: applied, whatever its name.
        case apply
        /// The index holds it, or what replaced it.
        case skip
    }

    init(group: Group, body: RecordBody, payload: PayloadHandle?, token: StoreToken?) {
        self.group = group
        self.body = body
        self.payload = payload
        self.token = token
    }

    var entry: Entry? { if case .entry(let e, _, _, _) = body { e } else { nil } }
    var name: EntryName? { if case .entry(let e, _, _, _) = body { e.name } else { nil } }

    /// The blocks whose content comes with the record.
    var content: ContentShape? {
        switch body {
        case .entry(let entry, _, _, _):
            switch entry.body {
            case .write(let w): ContentShape(object: w.object, blocks: w.blocks, states: nil)
            case .deleteRange(let d): d.edge.map { ContentShape(object: $0.object, blocks: $0.blocks, states: nil) }
            case .empty, .zero, .restate, .namespace, .scrubMark: nil
            }
        case .install(let p): ContentShape(object: p.object, blocks: p.blocks, states: p.states, lost: p.lost)
        case .repair(let r): ContentShape(object: r.object, blocks: r.blocks, states: r.states, large: .inLog)
        case .state, .cut, .deleteObject, .installCut, .settle, .voids, .corrupt, .boot, .clean, .forget, .decided,
            .restart, .lostPieces:
            nil
        }
    }
    var isLarge: Bool { content?.hasLargePart ?? false }
    /// Of a group that leaves the disk.
    var mayBeForgone: Bool { if case .installCut = body { true } else { content != nil } }
}

/// How a record's blocks divide into large parts (whole slots, to the data file) and small ones (to the log).
struct ContentShape {
    var object: ObjectID
    var blocks: BlockRange
    /// Nil: all present.
    var states: [BlockState]?
    /// Blocks that are present without content that is known, by bit; at most 64 blocks then.
    var lost: UInt64 = 0
    /// Where whole slots go.
    var large = Large.toSlots

    enum Large {
        /// To fresh slots, before the record.
        case toSlots
        /// With the record, like all else.
        case inLog
    }

    /// 64 KiB of the object that the blocks touch.
    struct Part {
        /// Of the object, 0 … 63.
        var slotIndex: Int
        /// Of the object.
        var blocks: Range<Int>
        var isLarge: Bool
        /// Byte of the first present block in the payload.
        var payloadOffset: Int
        /// Present blocks in the payload.
        var present: Int
        /// The row has a present block here.
        var needsSlot: Bool
        /// Byte of the first present block in the log part of the payload; small parts only.
        var logOffset: Int
    }

    var partCount: Int {
        blocks.count == 0 ? 0 : (blocks.end - 1) / Geometry.blocksPerSlot - blocks.first / Geometry.blocksPerSlot + 1
    }

    @inline(__always)
    func forEachPart(_ body: (Int, Part) -> Void) {
        var first = blocks.first
        var payload = 0
        var log = 0
        var k = 0
        while first < blocks.end {
            let index = first / Geometry.blocksPerSlot
            let end = min(blocks.end, (index + 1) * Geometry.blocksPerSlot)
            var present = end - first
            if let states {
                present = 0
                for b in first..<end where states[b - blocks.first] == .present { present += 1 }
            }
            var needsSlot = present > 0
            if lost != 0 { for b in first..<end where lost >> UInt64(b - blocks.first) & 1 == 1 { needsSlot = true } }
            let large = present == Geometry.blocksPerSlot && self.large == .toSlots
            body(
                k,
                Part(
                    slotIndex: index, blocks: first..<end, isLarge: large, payloadOffset: payload, present: present,
                    needsSlot: needsSlot, logOffset: log))
            payload += present * Geometry.blockSize
            if !large { log += present * Geometry.blockSize }
            first = end
            k += 1
        }
    }

    var hasLargePart: Bool {
        if states == nil {
            let first = (blocks.first + Geometry.blocksPerSlot - 1) / Geometry.blocksPerSlot
            return (first + 1) * Geometry.blocksPerSlot <= blocks.end
        }
        var found = false
        forEachPart { _, p in if p.isLarge { found = true } }
        return found
    }
    /// Bytes that travel in the log.
    var logBytes: Int {
        var n = 0
        forEachPart { _, p in if !p.isLarge { n += p.present * Geometry.blockSize } }
        return n
    }
    /// Bytes of the whole payload.
    var payloadBytes: Int {
        guard let states else { return blocks.byteCount }
        return states.reduce(0) { $0 + ($1 == .present ? Geometry.blockSize : 0) }
    }
}

/// A group's row in the index.
struct GroupRow {
    var state: [UInt8] = []
    var applied = EntryName.zero
    var decided = EntryName.zero
    var tombstoneFloor = EntryName.zero
    var isCorrupt = false
    var voids: [VoidRecord] = []
    /// Files whose cut has not been carried to all rows.
    var unpurged: [FileID] = []
    /// Ascending by fileset.
    var usage: [(fileset: FilesetID, usage: StoreUsage)] = []

    mutating func add(_ fileset: FilesetID, blocks: Int, slots: Int) {
        if blocks == 0, slots == 0 { return }
        var i = 0
        while i < usage.count, usage[i].fileset < fileset { i += 1 }
        if i == usage.count || usage[i].fileset != fileset { usage.insert((fileset, StoreUsage()), at: i) }
        usage[i].usage.blocks += Int64(blocks)
        usage[i].usage.slots += Int64(slots)
        if usage[i].usage == StoreUsage() { usage.remove(at: i) }
    }

    private static let format: UInt8 = 1

    func encoded(crc: CRC32C) -> [UInt8] {
        var b: [UInt8] = [GroupRow.format]
        b.put(UInt32(state.count))
        b += state
        b.put(applied)
        b.put(decided)
        b.put(tombstoneFloor)
        b.append(isCorrupt ? 1 : 0)
        VoidCoding.encode(voids, into: &b)
        b.put(UInt32(unpurged.count))
        for f in unpurged { b.put(f) }
        b.put(UInt32(usage.count))
        for u in usage {
            b.put(u.fileset.rawValue)
            b.put(u.usage.blocks)
            b.put(u.usage.slots)
        }
        b.put(crc.checksum(b))
        return b
    }

    static func decode(_ bytes: [UInt8], crc: CRC32C) throws -> GroupRow {
        guard bytes.count > 5, bytes[0] == format else {
            throw LogFormatError(description: "a group's row of format \(bytes.first ?? 0)")
        }
        return try bytes.withUnsafeBytes { raw in
            let body = UnsafeRawBufferPointer(rebasing: raw[0..<raw.count - 4])
            var tail = WireReader(UnsafeRawBufferPointer(rebasing: raw[(raw.count - 4)...]))
            guard crc.checksum(body) == (try tail.u32()) else {
                throw LogFormatError(description: "a group's row whose checksum does not hold")
            }
            var r = WireReader(body)
            _ = try r.u8()
            var row = GroupRow()
            row.state = try r.blob(atMost: StoreLimits.groupState)
            row.applied = try r.name()
            row.decided = try r.name()
            row.tombstoneFloor = try r.name()
            row.isCorrupt = try r.u8() == 1
            row.voids = try VoidCoding.decode(&r)
            for _ in 0..<Int(try r.u32()) { row.unpurged.append(try r.file()) }
            for _ in 0..<Int(try r.u32()) {
                let fileset = FilesetID(try r.u32())
                row.usage.append((fileset, StoreUsage(blocks: try r.i64(), slots: try r.i64())))
            }
            return row
        }
    }
}

/// A placement group's part of the disk.
final class Group {
    let pg: PGID
    /// As applied; its `decided` may run ahead of `applied` by entries that are not in the log yet.
    var row = GroupRow()
    /// As the index has it, its usage always the sum over the rows that the index has.
    var durable = GroupRow()
    /// As of the position of the checkpoint under way.
    var frozen: GroupRow?
    var isDirty = false
    /// Not in a batch yet, in order.
    var queue = Queue<LogRecord>()
    /// Cuts and restarts of the log that are not in it yet, in order: a replay does not know of them.
    var unlogged: [LogRecord] = []
    /// Entries that are not applied, in order, logged or not.
    var tail = Queue<LogRecord>()
    /// Of a metadata group: decided entries that its database has not made durable.
    var undurable = Queue<LogRecord>()
    /// Reads that wait until what is decided is applied.
    var heldReads: [StoreToken] = []
    /// Cuts for a learner that are on their way through the log.
    var cutsInLog = 0
    /// Records in the log that are not stable, in order.
    var unstable = Queue<Unstable>()
    /// The protocol's tables as they were when the disk was opened; for the recovery report only.
    var tables: [UInt8]?
    /// The last entry that a stable one was asked for.
    var stableWanted = EntryName.zero
    /// The last entry's name, logged or on its way.
    var lastName = EntryName.zero
    var appendedThrough = EntryName.zero
    var lastAppendedNotice = EntryName.zero
    var stableThrough = EntryName.zero
    /// Large records behind the last data sync, at this position or before.
    var lastLarge = LogPosition.zero
    /// Large records that have small parts, too, end at this position or before.
    var lastMixed = LogPosition.zero
    /// Waits in the list of groups that lack slots.
    var waitsForSlots = false
    /// In the list of groups that the batch being reported touched.
    var isTouched = false
    /// On its way out of the disk: what comes of it is applied as nothing.
    var isLeaving = false
    /// Likewise, and the log says durably that nothing of it counts: its rows are emptied.
    var isErased = false
    /// Recovery found a learner's pieces of it void.
    var hasLostPieces = false
    /// Its files in memory, and keys of it that are being loaded.
    var filesInMemory = 0
    var loads = 0

    struct Unstable {
        var end: LogPosition
        var name: EntryName?
        var isLarge: Bool
        var token: StoreToken?
    }

    init(pg: PGID) { self.pg = pg }
}
