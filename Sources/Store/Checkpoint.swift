import ClusterModel
import Wire

/// Carries what is applied to the slots and the index, as of one position P, while appends and reads go on.
///
/// Order, each step after the one before has returned: the log is stable through P, and that what was applied is decided is
/// in it (else a replay would take it for undecided, and the old content is no longer there); slots of large records that have
/// small parts, too, are synced and marked so (else such a record may turn out void after its small parts have gone over the
/// content that stays then); small content is copied from the log to its slots, in object order; the data file is synced, and a mark says so;
/// the log is stable through what the protocol's tables tell of (else a member that lost power counts as one that has what it
/// lost); rows, the allocation map and usage are committed in transactions that are each consistent, groups and P last; the index
/// is made durable; only then are slots that it does not name any more freed, and the log before P is recycled.
struct CheckpointState {
    enum Phase {
        case idle
        case syncingLog
        case copying
        case waitingForCopy
        case syncingData
        case waitingForTables
        case syncingTables
        case committing
        case waitingForCommit
        case syncingRows
    }
    struct FrozenObject {
        var object: HotObject
        var version: EntryName
        var isDeleted: Bool
        var truncation: TruncationNumber
    }
    struct FrozenFile {
        var file: FileState
        var cut: FileCut?
    }

    var phase = Phase.idle
    /// The protocol's tables of the groups, as of an entry that is not before what the checkpoint lets the log forget.
    var tables: [(PGID, [UInt8])] = []
    /// The end of the log when they were given: they tell of no entry that lies beyond.
    var tablesEnd = LogPosition.zero
    /// Who waits until so many checkpoints have been completed.
    var waiters: [(target: Int, token: StoreToken)] = []
    var position = LogPosition.zero
    /// Slots of large records before here are to be marked as synced before anything is copied.
    var markWanted = LogPosition.zero
    var replayFrom = LogPosition.zero
    var rows: [HotRow] = []
    /// Live ones first.
    var objects: [FrozenObject] = []
    var liveObjects = 0
    var files: [FrozenFile] = []
    var groups: [Group] = []
    /// That leave the index.
    var forgotten: [PGID] = []
    /// The next row to copy or to commit, then the next object, then the next file.
    var next = 0
    var nextBlock = 0
    var hasCopied = false
    var dataTarget = 0
    /// Groups and files whose usage changed in the transaction being built.
    var touched: [Group] = []
    var touchedFiles: [FileState] = []
    var isRequested = false
    /// That the frozen changes are decided is stable in the log.
    var isDecidedStable = false
    /// Completed since the store was opened.
    var completed = 0

    func holds(_ file: FileState) -> Bool { files.contains { $0.file === file } }
}

extension Store {
    /// Asks for a checkpoint as soon as none is under way.
    public func requestCheckpoint() {
        checkpoint.isRequested = true
        pumpCheckpoint()
    }
    public var checkpointsCompleted: Int { checkpoint.completed }
    /// How many checkpoints will have been completed when the next one that begins is.
    var nextCheckpoint: Int { checkpoint.completed + (checkpoint.phase == .idle ? 1 : 2) }

    var hasCheckpointWork: Bool {
        !dirtyRows.isEmpty || !dirtyObjects.isEmpty || !dirtyFiles.isEmpty || !forgottenGroups.isEmpty
            || orderedGroups.contains { $0.isDirty }
    }

    /// The reasons that time brings.
    func considerCheckpoint() {
        guard checkpoint.phase == .idle, hasCheckpointWork else { return }
        if now - lastAppend >= configuration.idleCheckpointDelay
            || now - lastCheckpoint >= configuration.checkpointInterval
        {
            checkpoint.isRequested = true
        }
    }

    /// The reasons that changes bring.
    private var isCheckpointUrgent: Bool {
        if log.bytesSinceCheckpoint >= configuration.checkpointLogBytes { return true }
        if dirtyRows.count * StoreLimits.rowBytes >= configuration.dirtyRowBytes { return true }
        if overlayBlocks * StoreLimits.overlayBlockBytes >= configuration.overlayBytes { return true }
        if freed.count >= configuration.pendingSlots { return true }
        if !freed.isEmpty, freed.count >= allocator.freeCount / 8 + 1, growthFailed || !groupsWaitingForSlots.isEmpty {
            return true
        }
        // The log is full: only a later start of recovery gives segments back.
        return log.needsSegment && log.segmentCount >= configuration.maximumSegments && log.preparing == 0
            && replayStart > log.replayFrom
    }

    /// Where recovery would have to begin if everything applied were in the index.
    var replayStart: LogPosition {
        var position = log.written
        for group in orderedGroups {
            if let first = group.tail.first, first.isWritten { position = min(position, first.position) }
            // Of a tail that a replay still finds it must find all.
            for record in group.unlogged where !mutated(.unloggedForgotten) {
                if let first = record.victims.last(where: \.isWritten) { position = min(position, first.position) }
            }
            if let first = group.undurable.first, !mutated(.trimsWhatIsNotDurable) {
                position = min(position, first.position)
            }
        }
        return position
    }

    func pumpCheckpoint() {
        guard phase == .running || phase == .closing || phase == .beginning else { return }
        while true {
            switch checkpoint.phase {
            case .idle:
                guard phase != .beginning, checkpoint.isRequested || isCheckpointUrgent else { return }
                freeze()
            case .syncingLog:
                guard
                    log.stable >= checkpoint.position && checkpoint.isDecidedStable
                        && (log.markStable >= checkpoint.markWanted || mutated(.copiesPartsOfUnsynced))
                        || mutated(.writesInPlaceBeforeLog)
                else {
                    sync.wanted = max(sync.wanted, checkpoint.position)
                    if !mutated(.copiesPartsOfUnsynced) {
                        sync.dataWanted = max(sync.dataWanted, checkpoint.markWanted)
                    }
                    pumpSync()
                    return
                }
                checkpoint.phase = .copying
            case .copying:
                // A flush goes first: its sync would wait for all pages that the copying dirties.
                if sync.phase == .data { return }
                if !copyBatch() { beginDataSync() }
            case .waitingForCopy, .waitingForTables, .waitingForCommit, .syncingRows: return
            case .syncingData:
                guard sync.dataEnded >= checkpoint.dataTarget else {
                    pumpSync()
                    return
                }
                checkpoint.phase = .waitingForTables
                notify(.tablesWanted(checkpoint.groups.map(\.pg)))
            case .syncingTables:
                guard log.stable >= checkpoint.tablesEnd || mutated(.tablesBeforeLog) else {
                    sync.wanted = max(sync.wanted, checkpoint.tablesEnd)
                    pumpSync()
                    return
                }
                checkpoint.phase = .committing
            case .committing: commitTransaction()
            }
        }
    }

    private func freeze() {
        checkpoint.isRequested = false
        checkpoint.phase = .syncingLog
        checkpoint.position = log.written
        purge.sinceCheckpoint = 0
        checkpoint.markWanted = orderedGroups.map(\.lastMixed).max() ?? .zero
        checkpoint.replayFrom = replayStart
        checkpoint.rows = dirtyRows.sorted { $0.key < $1.key }
        dirtyRows = []
        for row in checkpoint.rows {
            row.frozen = row.content
            row.isDirty = false
        }
        // An object's row comes before its content and goes after it, so that no content is ever without it.
        let ordered = dirtyObjects.sorted { $0.isDeleted != $1.isDeleted ? $1.isDeleted : $0.id < $1.id }
        checkpoint.liveObjects = ordered.firstIndex { $0.isDeleted } ?? ordered.count
        checkpoint.objects = ordered.map { object in
            object.isDirty = false
            object.isFrozen = true
            return CheckpointState.FrozenObject(
                object: object, version: object.version, isDeleted: object.isDeleted,
                truncation: object.file.cut?.truncation.number ?? .zero)
        }
        dirtyObjects = []
        checkpoint.files = dirtyFiles.map { file in
            file.isDirty = false
            return CheckpointState.FrozenFile(file: file, cut: file.cut)
        }
        dirtyFiles = []
        checkpoint.groups = orderedGroups.filter(\.isDirty)
        for group in checkpoint.groups {
            group.frozen = group.row
            group.isDirty = false
        }
        checkpoint.forgotten = forgottenGroups
        forgottenGroups = []
        freedFrozen = freed
        freed = []
        checkpoint.next = 0
        checkpoint.nextBlock = 0
        checkpoint.hasCopied = false
        log.bytesSinceCheckpoint = 0
        checkpoint.isDecidedStable = false
        // It gets into the log before a restart that waits: the old log's end is still what is applied.
        let decided = checkpoint.groups.map { group in
            let before = mutated(.unloggedForgotten) ? nil : group.unlogged.lazy.compactMap(\.appliedBefore).first
            return (group.pg, before ?? group.row.decided)
        }
        enqueue(LogRecord(group: controlGroup, body: .decided(decided), payload: nil, token: Store.checkpointToken))
        flushLog()
    }

    /// The answer to `tablesWanted`: what the protocol keeps of each group beside its log, now. Groups without tables are left
    /// out.
    public func giveTables(_ tables: [(PGID, [UInt8])]) {
        guard checkpoint.phase == .waitingForTables, phase != .failed else { return }
        checkpoint.tables = tables
        checkpoint.tablesEnd = log.written
        checkpoint.phase = .syncingTables
        checkpoint.next = 0
        pump()
    }

    /// Everything of the group that was written before this call becomes durable with its tables; notice `durable`.
    public func checkpointGroup(_ pg: PGID, token: StoreToken) {
        guard phase == .running else { return }
        group(pg).isDirty = true
        checkpoint.waiters.append((nextCheckpoint, token))
        requestCheckpoint()
    }

    // MARK: Content

    /// The next batch of blocks that go to their slots; false if there are none.
    private func copyBatch() -> Bool {
        var copies: [BlockCopy] = []
        let limit = max(1, configuration.copyBatchBytes / Geometry.blockSize)
        while checkpoint.next < checkpoint.rows.count, copies.count < limit {
            let row = checkpoint.rows[checkpoint.next]
            guard let frozen = row.frozen, checkpoint.nextBlock < frozen.inLog.count else {
                checkpoint.next += 1
                checkpoint.nextBlock = 0
                continue
            }
            let item = frozen.inLog[checkpoint.nextBlock]
            checkpoint.nextBlock += 1
            let block = Int(item.block)
            let slot = SlotNumber(frozen.slot(block / Geometry.blocksPerSlot))
            let (segment, offset) = place(item.position)
            copies.append(
                BlockCopy(
                    object: row.object.id, block: row.firstBlock + block, segment: segment, offset: offset,
                    dataOffset: slot.offset + UInt64(block % Geometry.blocksPerSlot * Geometry.blockSize),
                    checksum: frozen.checksum(block)))
        }
        guard !copies.isEmpty else { return false }
        checkpoint.hasCopied = true
        checkpoint.phase = .waitingForCopy
        emit(.copy(copies)) { .copyBlocks($0, copies) }
        return true
    }

    /// `bad`: indices of the blocks whose bytes in the log did not match. They stay as they are in their slots, where reads
    /// find them bad and take them from a replica.
    public func copied(_ id: EffectID, bad: [Int]) {
        guard case .copy(let copies)? = take(id) else { return }
        for i in bad {
            let copy = copies[i]
            if let object = objects[copy.object] { notify(.badBlock(object.pg.pg, copy.object, block: copy.block)) }
        }
        checkpoint.phase = .copying
        pump()
    }

    private func beginDataSync() {
        let hasLarge = orderedGroups.contains { $0.lastLarge > log.slotsSynced }
        if checkpoint.hasCopied || hasLarge {
            checkpoint.dataTarget = sync.dataBegun + 1
            sync.dataForced = true
        } else {
            checkpoint.dataTarget = 0
        }
        checkpoint.phase = .syncingData
    }

    // MARK: Rows

    private func commitTransaction() {
        var writes: [IndexWrite] = []
        let live = checkpoint.liveObjects
        let rows = live + checkpoint.rows.count
        let objects = checkpoint.rows.count + checkpoint.objects.count
        let files = objects + checkpoint.files.count
        while checkpoint.next < files,
            writes.count + checkpoint.touchedFiles.count + map.dirtyCount < configuration.rowsPerTransaction
        {
            let i = checkpoint.next
            checkpoint.next += 1
            if i < live {
                commit(checkpoint.objects[i], &writes)
            } else if i < rows {
                commit(checkpoint.rows[i - live], &writes)
            } else if i < objects {
                commit(checkpoint.objects[i - checkpoint.rows.count], &writes)
            } else {
                let frozen = checkpoint.files[i - objects]
                frozen.file.durable.cut = frozen.cut
                touch(frozen.file)
            }
        }
        for (piece, value) in map.takeDirty() { writes.append(.putMap(piece: piece, value)) }
        let isLast = checkpoint.next == files
        if isLast {
            for group in checkpoint.groups {
                if var row = group.frozen {
                    row.usage = group.durable.usage
                    group.durable = row
                    group.frozen = nil
                }
            }
        }
        if isLast {
            for group in checkpoint.groups where !group.isTouched { checkpoint.touched.append(group) }
        }
        for file in checkpoint.touchedFiles {
            file.isTouched = false
            writes.append(file.durable.write(file.file, in: file.pg.pg))
        }
        checkpoint.touchedFiles = []
        for group in checkpoint.touched {
            group.isTouched = false
            writes.append(.putGroup(group.pg, group.durable.encoded(crc: crc)))
        }
        checkpoint.touched = []
        if isLast {
            for (pg, bytes) in checkpoint.tables { writes.append(.putTables(pg, bytes)) }
            checkpoint.tables = []
            for pg in checkpoint.forgotten { writes.append(.deleteGroup(pg)) }
            checkpoint.forgotten = []
            let meta = MetaRow(
                position: checkpoint.position, replayFrom: checkpoint.replayFrom, stable: log.stable, boot: boot)
            writes.append(.putMeta(meta.encoded(crc: crc)))
        }
        checkpoint.phase = .waitingForCommit
        emit(.commit) { .commitRows($0, writes) }
    }

    private func commit(_ row: HotRow, _ writes: inout [IndexWrite]) {
        guard let frozen = row.frozen else { return }
        if frozen.isEmpty, row.object.isDeleted || frozen.truncation == .zero {
            writes.append(.deleteContent(row.key))
        } else {
            writes.append(.putContent(row.key, frozen.encoded(crc: crc)))
        }
        for i in 0..<Geometry.slotsPerRow {
            let old = RowContent.slot(i, of: row.durableWords)
            let new = frozen.slot(i)
            if old == new { continue }
            if old != 0 { map.set(old, false) }
            if new != 0 { map.set(new, true) }
        }
        let before = RowContent.usage(of: row.durableWords)
        let after = RowContent.usage(of: frozen.words)
        if before != after {
            let group = row.object.pg
            group.durable.add(
                row.object.id.file.fileset, blocks: Int(after.blocks - before.blocks),
                slots: Int(after.slots - before.slots))
            if before.blocks != after.blocks {
                row.object.file.durable.blocks += after.blocks - before.blocks
                touch(row.object.file)
            }
            if !group.isTouched {
                group.isTouched = true
                checkpoint.touched.append(group)
            }
        }
        row.durableWords = frozen.words
    }

    private func commit(_ frozen: CheckpointState.FrozenObject, _ writes: inout [IndexWrite]) {
        if frozen.isDeleted {
            writes.append(.deleteObject(frozen.object.id))
        } else {
            writes.append(
                .putObject(
                    frozen.object.id,
                    IndexRecord(
                        group: frozen.object.pg.pg, version: frozen.version, truncation: frozen.truncation, value: [1]))
            )
        }
    }

    private func touch(_ file: FileState) {
        if file.isTouched { return }
        file.isTouched = true
        checkpoint.touchedFiles.append(file)
    }

    public func rowsCommitted(_ id: EffectID) {
        guard case .commit? = take(id) else { return }
        if checkpoint.next < checkpoint.rows.count + checkpoint.objects.count + checkpoint.files.count {
            checkpoint.phase = .committing
        } else {
            checkpoint.phase = .syncingRows
            emit(.rowSync) { .syncRows($0) }
        }
        pump()
    }

    public func rowsSynced(_ id: EffectID) {
        let continuation = take(id)
        if case .openingSync? = continuation { return openingSynced() }
        guard case .rowSync? = continuation else { return }
        for row in checkpoint.rows { settle(row) }
        checkpoint.rows = []
        let objects = checkpoint.objects
        checkpoint.objects = []
        let files = checkpoint.files
        checkpoint.files = []
        for frozen in objects {
            frozen.object.isFrozen = false
            dropIfIdle(frozen.object)
        }
        for frozen in files { dropIfIdle(frozen.file) }
        checkpoint.groups = []
        if !freedFrozen.isEmpty {
            freedAwaitingReads.append((slots: freedFrozen, before: ReadTicket(nextTicket)))
            freedFrozen = []
        }
        checkpoint.phase = .idle
        checkpoint.completed += 1
        let completed = checkpoint.completed
        for waiter in checkpoint.waiters where waiter.target <= completed { notify(.durable(waiter.token)) }
        checkpoint.waiters.removeAll { $0.target <= completed }
        lastCheckpoint = now
        // Cuts that waited for others to be carried to all rows durably.
        for group in orderedGroups where group.tail.first != nil { applyDecided(group) }
        trimLog(to: checkpoint.replayFrom)
        releaseRead()
        pump()
    }

    /// What was copied is read from its slot from now on, unless it has changed since.
    private func settle(_ row: HotRow) {
        guard let frozen = row.frozen else { return }
        row.frozen = nil
        if frozen.inLog.isEmpty || row.content.inLog.isEmpty { return }
        let before = row.content.inLog.count
        if row.content.inLog == frozen.inLog {
            row.content.inLog = []
        } else {
            var i = 0
            row.content.inLog.removeAll { item in
                while i < frozen.inLog.count, frozen.inLog[i].block < item.block { i += 1 }
                return i < frozen.inLog.count && frozen.inLog[i] == item
            }
        }
        overlayBlocks -= before - row.content.inLog.count
    }

    // MARK: Room

    /// Grows the data file ahead of need, so that neither an append nor a checkpoint meets a full file system.
    func growIfNeeded() {
        // A closing store grows for what waits only.
        guard phase == .running || phase == .beginning || phase == .closing && !groupsWaitingForSlots.isEmpty,
            !isGrowing,
            !growthFailed, allocator.freeCount < configuration.growthSlots / 2 + 1
        else { return }
        let step = UInt64(configuration.growthSlots) * UInt64(Geometry.slotSize)
        let logRest = UInt64(max(0, configuration.maximumSegments - log.segmentCount) * configuration.segmentSize)
        let room = freeBytes > logRest ? freeBytes - logRest : 0
        let slots = Int(min(step, room) / UInt64(Geometry.slotSize))
        guard slots > 0 else {
            growthFailed = true
            return
        }
        isGrowing = true
        let target = allocator.capacity + slots
        emit(.grow(target)) { .growData($0, toSlots: target) }
    }

    public enum Growth: Sendable {
        case grown
        /// The file system has no room; the disk stays in use.
        case noSpace
    }

    public func dataGrown(_ id: EffectID, _ result: Growth) {
        guard case .grow(let target)? = take(id) else { return }
        isGrowing = false
        switch result {
        case .grown:
            let bytes = UInt64(target - allocator.capacity) * UInt64(Geometry.slotSize)
            freeBytes = freeBytes > bytes ? freeBytes - bytes : 0
            allocator.grow(to: target)
            slotsBecameFree()
        case .noSpace: growthFailed = true
        }
        pump()
    }
}

/// The store's own row.
struct MetaRow {
    /// All records before it that were decided are in the index.
    var position: LogPosition
    /// Where recovery begins to read.
    var replayFrom: LogPosition
    /// Known to be stable when it was written.
    var stable: LogPosition
    var boot: BootID

    private static let format: UInt8 = 1

    func encoded(crc: CRC32C) -> [UInt8] {
        var b: [UInt8] = [MetaRow.format]
        b.put(position.rawValue)
        b.put(replayFrom.rawValue)
        b.put(stable.rawValue)
        b.put(boot.rawValue)
        b.put(crc.checksum(b))
        return b
    }

    static func decode(_ bytes: [UInt8], crc: CRC32C) throws -> MetaRow {
        guard bytes.count == 45, bytes[0] == format else {
            throw LogFormatError(description: "a meta row of format \(bytes.first ?? 0)")
        }
        return try bytes.withUnsafeBytes { raw in
            guard
                crc.checksum(UnsafeRawBufferPointer(rebasing: raw[0..<41]))
                    == raw.loadUnaligned(fromByteOffset: 41, as: UInt32.self)
            else { throw LogFormatError(description: "a meta row whose checksum does not hold") }
            var r = WireReader(raw)
            _ = try r.u8()
            return MetaRow(
                position: LogPosition(try r.u64()), replayFrom: LogPosition(try r.u64()),
                stable: LogPosition(try r.u64()), boot: BootID(try r.u128()))
        }
    }
}
