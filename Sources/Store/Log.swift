import ClusterModel
import Wire

/// Where the log stands.
struct LogState {
    /// Segments that hold log which recovery would read, ascending; the last one is written to.
    var active: [SegmentNumber] = []
    /// Ready to be written, ascending.
    var prepared: [SegmentNumber] = []
    var preparing = 0
    var nextNumber = SegmentNumber(1)
    /// End of the last batch that was made, and of the last one that was written.
    var end = LogPosition.zero
    var written = LogPosition.zero
    var stable = LogPosition.zero
    /// Large records before this position have their slots synced: known, in the log, and stable in the log.
    var slotsSynced = LogPosition.zero
    var markMade = LogPosition.zero
    var markWritten = LogPosition.zero
    var markStable = LogPosition.zero
    /// Where recovery begins to read.
    var replayFrom = LogPosition.zero
    /// Written since the last sync of each.
    var unsynced: [SegmentNumber] = []
    var unsyncedBytes = 0
    var bytesSinceCheckpoint = 0
    var needsSegment = false
    /// The next batch goes to the next segment even if there is room: after recovery stale batches may lie behind the end.
    var mustAdvance = true

    var segmentCount: Int { active.count + prepared.count + preparing }
}

extension Store {
    func segmentStart(_ s: SegmentNumber) -> LogPosition {
        LogPosition(s.rawValue * UInt64(configuration.segmentSize))
    }
    func place(_ p: LogPosition) -> (SegmentNumber, Int) {
        let size = UInt64(configuration.segmentSize)
        return (SegmentNumber(p.rawValue / size), Int(p.rawValue % size))
    }

    /// Makes batches of all ready records, and one without records if a mark has to be written.
    func flushLog() {
        guard phase != .failed else { return }
        while !ready.isEmpty || !urgent.isEmpty || log.slotsSynced > log.markMade {
            guard makeBatch() else { break }
        }
    }

    /// One batch at the end of the log. False if it needs a segment that is not there yet.
    private func makeBatch() -> Bool {
        var room = 0
        if !log.mustAdvance, let current = log.active.last {
            room = Int(segmentStart(current.next).rawValue - log.end.rawValue)
        }
        var metadata: [UInt8] = []
        metadata.reserveCapacity(512)
        var payloadBytes = 0
        var records: [LogRecord] = []
        var offsets: [Int] = []
        let takesReady = mayTakeReady
        while let record = urgent.first ?? (takesReady ? ready.first : nil) {
            let before = metadata.count
            let bytes = logBytes(of: record)
            RecordCoding.encode(
                record.body, pg: record.group.pg, slots: record.slots, logBytes: bytes, into: &metadata)
            let total = BatchHeader.size + metadata.count + payloadBytes + bytes
            let limit = records.isEmpty ? configuration.segmentSize : min(max(room, 0), StoreLimits.batchBytes)
            if records.isEmpty, roundUp(total) > room {
                guard advanceSegment() else { return false }
                room = configuration.segmentSize
            } else if roundUp(total) > limit {
                metadata.removeSubrange(before...)
                break
            }
            precondition(roundUp(total) <= configuration.segmentSize, "a record is smaller than a log segment")
            records.append(urgent.isEmpty ? ready.removeFirst() : urgent.removeFirst())
            offsets.append(payloadBytes)
            payloadBytes += bytes
        }
        if records.isEmpty {
            guard log.slotsSynced > log.markMade else {
                log.needsSegment = true
                return false
            }
            if room < Geometry.blockSize {
                guard advanceSegment() else { return false }
            }
        }
        log.needsSegment = false
        emitBatch(records, metadata: metadata, offsets: offsets, payloadBytes: payloadBytes)
        return true
    }

    private func emitBatch(_ records: [LogRecord], metadata: [UInt8], offsets: [Int], payloadBytes: Int) {
        guard let segment = log.active.last else { preconditionFailure("a segment was chosen before") }
        let start = max(log.end, segmentStart(segment))
        let used = BatchHeader.size + metadata.count + payloadBytes
        var header = BatchHeader()
        header.metadataLength = metadata.count
        header.length = roundUp(used)
        header.recordCount = records.count
        header.position = start
        header.previousEnd = log.end
        header.knownStable = log.stable
        header.slotsSynced = log.slotsSynced
        var pieces: [LogPiece] = [.bytes(header.encoded(metadata: metadata, disk: disk, crc: crc))]
        let payloadStart = start + (BatchHeader.size + metadata.count)
        for (i, record) in records.enumerated() {
            record.position = start
            record.order = start + i
            record.payloadPosition = payloadStart + offsets[i]
            appendPieces(of: record, to: &pieces)
        }
        if header.length > used { pieces.append(.zeros(header.length - used)) }
        log.end = start + header.length
        log.markMade = log.slotsSynced
        if header.slotsSynced > log.markStable { sync.wanted = max(sync.wanted, log.end) }
        let write = LogWrite(segment: segment, offset: place(start).1, pieces: pieces, length: header.length)
        emit(.logWrite) { id in
            inFlight.append(
                Batch(id: id, position: start, end: log.end, records: records, mark: header.slotsSynced))
            return .writeLog(id, write)
        }
        log.bytesSinceCheckpoint += header.length
        if log.unsynced.last != segment { log.unsynced.append(segment) }
        log.unsyncedBytes += header.length
        if firstUnsynced == nil { firstUnsynced = now }
        lastAppend = now
    }

    private func roundUp(_ n: Int) -> Int { (n + Geometry.blockSize - 1) / Geometry.blockSize * Geometry.blockSize }

    /// Payload bytes that travel in the log.
    private func logBytes(of record: LogRecord) -> Int {
        guard let payload = record.payload else { return 0 }
        return record.content?.logBytes ?? payload.length
    }

    private func appendPieces(of record: LogRecord, to pieces: inout [LogPiece]) {
        guard let payload = record.payload else { return }
        guard let shape = record.content else {
            pieces.append(.payload(payload, offset: 0, length: payload.length))
            return
        }
        shape.forEachPart { _, part in
            if !part.isLarge, part.present > 0 {
                pieces.append(
                    .payload(payload, offset: part.payloadOffset, length: part.present * Geometry.blockSize))
            }
        }
    }

    /// What has to be written although the log is full, so that it does not stay so. When the store closes, nothing is decided
    /// or cut off any more, and what waits is all that comes.
    private var mayExceedBound: Bool { !urgent.isEmpty || isMarkUrgent || isHeldUp || phase == .closing }

    /// A segment that was taken beyond the bound is for what it was taken for only.
    private var mayTakeReady: Bool {
        log.active.count < configuration.maximumSegments || phase == .beginning || phase == .closing || isHeldUp
    }

    /// No checkpoint can trim the log, for a group's tail is neither decided nor cut off, as long as its members are away. Other
    /// groups of the disk do not wait for that: the log grows while the file system has room for all else, too. Where it has
    /// not, only for a record that may be what trimming takes: of a promise, a learning, a cut.
    private var isHeldUp: Bool {
        guard checkpoint.phase == .idle, replayStart <= log.replayFrom else { return false }
        if hasRoomForSegment, !mutated(.logStaysWithinBound) { return true }
        return (0..<ready.count).contains { i in
            switch ready[i].body {
            case .state, .cut, .restart: true
            default: false
            }
        }
    }

    /// A checkpoint waits for the mark, and a full log for the checkpoint.
    private var isMarkUrgent: Bool {
        checkpoint.phase == .syncingLog && log.slotsSynced > log.markMade && log.markMade < checkpoint.markWanted
    }

    private func advanceSegment() -> Bool {
        // The last segment that the log may have is for the disk's own records.
        let isLast =
            log.prepared.count == 1 && log.preparing == 0
            && log.segmentCount >= configuration.maximumSegments && phase != .beginning
        guard !log.prepared.isEmpty, !isLast || mayExceedBound else {
            log.needsSegment = true
            prepareSegments()
            return false
        }
        log.mustAdvance = false
        log.active.append(log.prepared.removeFirst())
        prepareSegments()
        return true
    }

    /// Keeps one segment ahead of need, within the log's bound.
    func prepareSegments() {
        // A disk that was killed many times in a row must still begin, and a full log must still end a checkpoint.
        guard phase != .failed, log.prepared.isEmpty, log.preparing == 0 else { return }
        guard log.segmentCount < configuration.maximumSegments || phase == .beginning || mayExceedBound else { return }
        prepare(.new)
    }

    func prepare(_ source: SegmentSource) {
        let number = log.nextNumber
        log.nextNumber = number.next
        log.preparing += 1
        if source == .new, log.segmentCount > configuration.maximumSegments {
            let size = UInt64(configuration.segmentSize)
            freeBytes = freeBytes > size ? freeBytes - size : 0
        }
        emit(.segment(number)) { .prepareSegment($0, number, source) }
    }

    /// Segments that recovery does not need any more become the next ones.
    func trimLog(to position: LogPosition) {
        log.replayFrom = max(log.replayFrom, position)
        while log.active.count > 1, let first = log.active.first, segmentStart(first.next) <= log.replayFrom {
            log.active.removeFirst()
            log.unsynced.removeAll { $0 == first }
            putAside(first)
        }
    }

    /// A segment that recovery does not need becomes the next one, or goes if the log has grown beyond its bound.
    func putAside(_ segment: SegmentNumber) {
        guard log.segmentCount >= configuration.maximumSegments else { return prepare(.recycled(segment)) }
        emit(.segmentRemoval) { .removeSegment($0, segment) }
    }

    // MARK: Completions

    public func segmentPrepared(_ id: EffectID) {
        guard case .segment(let number)? = take(id) else { return }
        log.preparing -= 1
        // Renames may be done beside the making of a new one: the order of completion is not the order of numbers. One that
        // the log has passed gets a later number, for positions only rise.
        if let last = log.active.last, number < last {
            prepare(.recycled(number))
            return
        }
        let at = log.prepared.firstIndex { number < $0 } ?? log.prepared.count
        log.prepared.insert(number, at: at)
        pump()
    }

    public func segmentRemoved(_ id: EffectID) {
        guard case .segmentRemoval? = take(id) else { return }
        pump()
    }

    /// Batches are written, and reported, in the order of the effects.
    public func logWritten(_ id: EffectID) {
        guard case .logWrite? = take(id) else { return }
        precondition(inFlight.first?.id == id, "log writes complete in their order")
        let batch = inFlight.removeFirst()
        log.written = batch.end
        log.markWritten = batch.mark
        var touched: [Group] = []
        for record in batch.records {
            written(record, batch)
            if !record.group.isTouched {
                record.group.isTouched = true
                touched.append(record.group)
            }
        }
        for group in touched {
            group.isTouched = false
            if group.lastAppendedNotice < group.appendedThrough {
                group.lastAppendedNotice = group.appendedThrough
                notify(.appended(group.pg, through: group.appendedThrough))
            }
            applyDecided(group)
        }
        pump()
    }

    private func written(_ record: LogRecord, _ batch: Batch) {
        let group = record.group
        record.isWritten = true
        if let payload = record.payload { effects.append(.dropPayload(payload)) }
        let large = record.isLarge
        if large {
            group.lastLarge = batch.end
            if logBytes(of: record) > 0 { group.lastMixed = batch.end }
        }
        group.unstable.append(
            Group.Unstable(end: batch.end, name: record.isDead ? nil : record.name, isLarge: large, token: record.token)
        )
        var wanted = false
        switch record.body {
        case .entry(let entry, _, _, _):
            if record.isDead { break }
            group.appendedThrough = max(group.appendedThrough, entry.name)
            wanted = entry.durability == .stable || entry.name <= group.stableWanted
        case .state, .cut, .install, .deleteObject, .installCut, .settle, .voids, .corrupt, .boot, .clean, .forget,
            .decided, .restart, .repair, .lostPieces:
            // An installed piece is made stable with the promotion (replication.md, 15), not one by one.
            wanted = record.token != nil
            finish(record)
        }
        if wanted { wantStable(group, through: batch.end) }
    }
}
