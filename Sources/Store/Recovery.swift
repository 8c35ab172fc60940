import ClusterModel
import Wire

/// Reading a disk's log when it is opened.
///
/// Order: rows of the disk and its groups → batches from where the last checkpoint says, along the chain of "end of the
/// batch before" → everything behind the end, for the highest known log-stable position (rule 3) → which entries are
/// decided, cut, void (rule 2) → all slots that records name are marked → rows → decided entries are applied, undecided
/// ones kept. Nothing is written before `Store.begin`.
final class Recovery {
    enum Phase {
        case opening
        case heads
        case chain
        case tail
        case checking
        case loading
    }
    var phase = Phase.opening
    let facts: DiskFacts
    /// The last checkpoint; nil for a fresh disk.
    var meta: MetaRow?

    // Scan
    var segment: SegmentNumber?
    var windowStart = 0
    /// Where the next batch should begin.
    var end = LogPosition.zero
    /// What the next batch says of the end of the one before it.
    var previousEnd = LogPosition.zero
    var heads: [SegmentNumber] = []
    var headLength = 64 << 10
    /// Where each segment's first batch goes on from.
    var branches: [LogPosition: SegmentNumber] = [:]
    var tailSegments: [SegmentNumber] = []
    var tailFrom = 0
    var knownStable = LogPosition.zero
    var slotsSynced = LogPosition.zero
    /// Batches with a payload block that does not match: rot if the log is known to be stable beyond, else the end.
    var doubtful: [(position: LogPosition, isOpaque: Bool, previousEnd: LogPosition)] = []
    var used: [SegmentNumber] = []

    // Records
    var records: [LogRecord] = []
    var lastBoot: BootID?
    var closing = RecoveryReport.Closing.abrupt
    var isCorrupt = false
    /// Void records before the last checkpoint.
    var voidNames: [(PGID, EntryName)] = []
    /// The last large record of each name so far: after its log was begun anew, a group may get an entry once more, and what
    /// was said of the first record does not hold for the second.
    var large: [PGID: [EntryName: LogRecord]] = [:]
    var names: [PGID: [EntryName]] = [:]
    /// Large records whose slots are to be checked, in order of the log, and the blocks that were found bad.
    var suspects: [LogRecord] = []
    var checks: [(record: LogRecord, check: BlockCheck)] = []
    var checked = 0
    var toLoad = 0
    /// What is to be applied, in order of the log.
    var replay: [LogRecord] = []
    var dead: [LogRecord] = []
    /// Where lost pieces of learners lie, as an earlier opening found them.
    var lostPieces: Set<LogPosition> = []
    /// Objects of which a learner's piece was lost.
    var lacking: [HotObject] = []

    init(facts: DiskFacts) {
        self.facts = facts
        isCorrupt = facts.content == .doubtful
    }
}

extension Store {
    /// Reads the disk; notice `recovered`.
    public func open(_ facts: DiskFacts) {
        precondition({ if case .new = phase { true } else { false } }(), "a store is opened once")
        phase = .recovering
        disk = facts.disk
        boot = facts.boot
        freeBytes = facts.freeBytes
        totalBytes = facts.totalBytes
        allocator.grow(to: facts.dataSlots)
        recovery = Recovery(facts: facts)
        // What a process that was killed had committed may be in the page cache only: recovery relies on it at once, and
        // puts the log before its position aside.
        if mutated(.reliesOnUnsyncedRows) { return openingSynced() }
        emit(.openingSync) { .syncRows($0) }
    }

    func openingSynced() { emit(.scanOpening) { .scanRows($0, .opening) } }

    func recoveryOpened(
        meta: [UInt8]?, map pieces: [(piece: Int, value: [UInt8])], groups rows: [(PGID, [UInt8])]
    ) throws {
        guard let recovery else { return }
        recovery.meta = try meta.map { try MetaRow.decode($0, crc: crc) }
        for (piece, value) in pieces {
            guard 0..<StoreLimits.mapPieces ~= piece, value.count <= StoreLimits.slotsPerMapPiece / 8 else {
                throw LogFormatError(description: "piece \(piece) of the allocation map, of \(value.count) bytes")
            }
            map.load(piece: piece, value)
        }
        map.forEachTaken { allocator.mark($0) }
        for (pg, value) in rows {
            let g = group(pg)
            g.row = try GroupRow.decode(value, crc: crc)
            g.durable = g.row
            for v in g.row.voids { recovery.voidNames.append((pg, v.name)) }
        }
        recovery.lastBoot = recovery.meta?.boot
        recovery.knownStable = recovery.meta?.stable ?? .zero
        recovery.end = recovery.meta?.replayFrom ?? .zero
        log.replayFrom = recovery.end
        recovery.previousEnd = recovery.end
        recovery.heads = recovery.facts.segments
        recovery.phase = .heads
        readHead()
    }

    /// The first batch of every segment, for where it goes on from.
    private func readHead() {
        guard let recovery else { return }
        guard let segment = recovery.heads.first else {
            beginChain()
            return
        }
        let length = min(recovery.headLength, configuration.segmentSize)
        emit(.recoveryRead) { .readLog($0, segment, offset: 0, length: length) }
    }

    private func takeHead(_ bytes: UnsafeRawBufferPointer) {
        guard let recovery, let segment = recovery.heads.first else { return }
        let decoded = BatchHeader.decode(
            bytes, position: segmentStart(segment), segmentSize: configuration.segmentSize, disk: disk, crc: crc)
        switch decoded {
        case .needs(let count) where bytes.count < configuration.segmentSize && count <= StoreLimits.scanBytes:
            recovery.headLength = count
        case .valid(let header):
            recovery.branches[header.previousEnd] = segment
            recovery.headLength = 64 << 10
            recovery.heads.removeFirst()
        case .needs, .invalid:
            recovery.headLength = 64 << 10
            recovery.heads.removeFirst()
        }
        readHead()
    }

    private func beginChain() {
        guard let recovery else { return }
        recovery.phase = .chain
        let (segment, offset) = place(recovery.end)
        if let branch = recovery.branches[recovery.end] {
            recovery.segment = branch
            readWindow(0)
        } else if recovery.end > .zero, recovery.facts.segments.contains(segment) {
            recovery.segment = segment
            readWindow(offset)
        } else {
            beginTail()
        }
    }

    private func readWindow(_ offset: Int) {
        guard let recovery, let segment = recovery.segment else { return }
        recovery.windowStart = offset
        let length = min(configuration.segmentSize - offset, StoreLimits.scanBytes)
        emit(.recoveryRead) { .readLog($0, segment, offset: offset, length: length) }
    }

    /// The bytes asked for by `readLog`; all of them. The memory is the shell's.
    public func logRead(_ id: EffectID, _ bytes: UnsafeRawBufferPointer) {
        guard case .recoveryRead? = take(id), let recovery else { return }
        do {
            switch recovery.phase {
            case .heads: takeHead(bytes)
            case .chain: try scanChain(bytes)
            case .tail: scanTail(bytes)
            case .opening, .checking, .loading: break
            }
        } catch {
            failed(
                StoreFailure(
                    "The log of disk \(disk) at \(recovery.end) cannot be read by this version: \(error). Start the version "
                        + "that wrote it."))
        }
    }

    // MARK: The chain

    /// Batch after batch; into another segment where one goes on from here. A segment that goes on from a batch's beginning
    /// tells that an earlier recovery took that batch for torn, whatever it looks like now.
    private func scanChain(_ bytes: UnsafeRawBufferPointer) throws {
        guard let recovery, let segment = recovery.segment else { return }
        var at = 0
        while true {
            let position = segmentStart(segment) + (recovery.windowStart + at)
            if let branch = recovery.branches[position], branch > segment {
                recovery.previousEnd = position
                recovery.segment = branch
                readWindow(0)
                return
            }
            if at == bytes.count {
                if recovery.windowStart + at < configuration.segmentSize {
                    readWindow(recovery.windowStart + at)
                } else {
                    beginTail()
                }
                return
            }
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            let decoded = BatchHeader.decode(
                rest, position: position, segmentSize: configuration.segmentSize, disk: disk, crc: crc)
            switch decoded {
            case .valid(let header) where header.previousEnd == recovery.previousEnd || recovery.used.isEmpty:
                if header.length > rest.count {
                    readWindow(recovery.windowStart + at)
                    return
                }
                try take(header, rest)
                at += header.length
            case .needs where at > 0 && recovery.windowStart + bytes.count < configuration.segmentSize:
                readWindow(recovery.windowStart + at)
                return
            case .valid, .needs, .invalid:
                beginTail()
                return
            }
        }
    }

    /// Takes a batch's records; `bytes` begins with it and has all of it.
    private func take(_ header: BatchHeader, _ bytes: UnsafeRawBufferPointer) throws {
        guard let recovery, let segment = recovery.segment else { return }
        if header.format != BatchHeader.currentFormat {
            throw LogFormatError(description: "a log batch of format \(header.format)")
        }
        if recovery.used.last != segment { recovery.used.append(segment) }
        recovery.knownStable = max(recovery.knownStable, header.knownStable)
        let metadata = UnsafeRawBufferPointer(
            rebasing: bytes[BatchHeader.size..<BatchHeader.size + header.metadataLength])
        var reader = WireReader(metadata)
        var offset = BatchHeader.size + header.metadataLength
        var isDoubtful = false
        var isOpaque = false
        for i in 0..<header.recordCount {
            let decoded = try RecordCoding.decode(&reader)
            guard offset + decoded.logBytes <= header.length else {
                throw LogFormatError(description: "a record that is longer than its batch")
            }
            var payload: PayloadHandle?
            if case .entry(let entry, _, _, _) = decoded.body { payload = entry.payload }
            if case .install(let piece) = decoded.body {
                let bytes = piece.checksums.count * Geometry.blockSize
                payload = bytes == 0 ? nil : PayloadHandle(id: 0, length: bytes)
            }
            if case .repair(let repair) = decoded.body {
                payload = PayloadHandle(id: 0, length: repair.checksums.count * Geometry.blockSize)
            }
            let record = LogRecord(group: controlOrGroup(decoded.pg), body: decoded.body, payload: payload, token: nil)
            record.slots = decoded.slots
            record.isPlaced = true
            record.isWritten = true
            record.position = header.position
            record.order = header.position + i
            record.payloadPosition = header.position + offset
            let content = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + decoded.logBytes])
            if !holds(record, content) {
                isDoubtful = true
                if record.content == nil { isOpaque = true }
            }
            offset += decoded.logBytes
            recovery.records.append(record)
        }
        if isDoubtful { recovery.doubtful.append((header.position, isOpaque, header.previousEnd)) }
        recovery.slotsSynced = max(recovery.slotsSynced, header.slotsSynced)
        recovery.end = header.position + header.length
        recovery.previousEnd = recovery.end
    }

    private func controlOrGroup(_ pg: PGID) -> Group { pg == Store.control ? controlGroup : group(pg) }

    /// Whether the payload bytes in the log match their checksums.
    private func holds(_ record: LogRecord, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard record.payload != nil else { return true }
        guard let shape = record.content else {
            if case .entry(_, _, _, let checksum) = record.body { return crc.checksum(bytes) == checksum }
            return true
        }
        let sums = checksums(record)
        var sound = true
        var sum = 0
        shape.forEachPart { _, part in
            defer { sum += part.present }
            if part.isLarge { return }
            var next = sum
            var offset = part.logOffset
            for b in part.blocks where shape.states == nil || shape.states?[b - shape.blocks.first] == .present {
                let block = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Geometry.blockSize])
                if crc.block(shape.object, block: b, bytes: block) != sums[next] { sound = false }
                next += 1
                offset += Geometry.blockSize
            }
        }
        return sound
    }

    private func checksums(_ record: LogRecord) -> [UInt32] {
        switch record.body {
        case .entry(let entry, _, _, _):
            switch entry.body {
            case .write(let w): return w.checksums
            case .deleteRange(let d): return d.edge?.checksums ?? []
            case .empty, .zero, .restate, .namespace, .scrubMark: return []
            }
        case .install(let piece): return piece.checksums
        case .repair(let repair): return repair.checksums
        case .state, .cut, .deleteObject, .installCut, .settle, .voids, .corrupt, .boot, .clean, .forget, .decided,
            .restart, .lostPieces:
            return []
        }
    }

    // MARK: Behind the end

    private func beginTail() {
        guard let recovery else { return }
        recovery.phase = .tail
        let (segment, offset) = place(recovery.end)
        recovery.tailSegments = recovery.facts.segments.filter { $0 >= segment }
        recovery.tailFrom = recovery.tailSegments.first == segment ? offset : 0
        nextTail()
    }

    private func nextTail() {
        guard let recovery else { return }
        while let segment = recovery.tailSegments.first {
            if recovery.tailFrom < configuration.segmentSize {
                recovery.segment = segment
                readWindow(recovery.tailFrom)
                return
            }
            recovery.tailSegments.removeFirst()
            recovery.tailFrom = 0
        }
        judge()
    }

    private func scanTail(_ bytes: UnsafeRawBufferPointer) {
        guard let recovery, let segment = recovery.segment else { return }
        var at = 0
        while at < bytes.count {
            let position = segmentStart(segment) + (recovery.windowStart + at)
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            switch BatchHeader.decode(
                rest, position: position, segmentSize: configuration.segmentSize, disk: disk, crc: crc)
            {
            case .valid(let header): recovery.knownStable = max(recovery.knownStable, header.knownStable)
            case .needs where at > 0 && recovery.windowStart + bytes.count < configuration.segmentSize:
                recovery.tailFrom = recovery.windowStart + at
                nextTail()
                return
            case .needs, .invalid: break
            }
            at += Geometry.blockSize
        }
        recovery.tailFrom = recovery.windowStart + bytes.count
        nextTail()
    }

    /// Where the log ends, and whether it is torn there or has lost records (rule 3).
    private func judge() {
        guard let recovery else { return }
        // A segment that would not hold a single batch any more is not a part of the log.
        for (position, isOpaque, previousEnd) in recovery.doubtful {
            if position >= recovery.knownStable {
                // Torn: nothing from here on was known to be stable.
                mark(.logTornAtItsEnd)
                recovery.end = place(position).1 == 0 ? previousEnd : position
                recovery.records.removeAll { $0.position >= position }
                break
            }
            if isOpaque {
                // Rot in what cannot be taken from a block's replica.
                recovery.isCorrupt = true
                recovery.end = place(position).1 == 0 ? previousEnd : position
                recovery.records.removeAll { $0.position >= position }
                break
            }
        }
        if recovery.knownStable > recovery.end, !mutated(.corruptTakenForTorn) { recovery.isCorrupt = true }
        decideRecords()
    }
}
