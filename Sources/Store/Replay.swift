import ClusterModel
import Wire

extension Store {
    /// Records of the disk itself.
    static let control = PGID(rawValue: .max)

    // MARK: What the records say

    /// Goes through the records in order: states, cuts, what is decided; then finds void ones.
    func decideRecords() {
        guard let recovery else { return }
        var entries: [PGID: [LogRecord]] = [:]
        let position = recovery.meta?.position ?? .zero
        for record in recovery.records {
            let group = record.group
            // What records say of a group is in memory only: the next checkpoint lets the log forget them.
            group.isDirty = true
            if case .clean = record.body {
                recovery.closing = .clean
            } else if !mutated(.cleanMarkStays) {
                recovery.closing = .abrupt
            }
            switch record.body {
            case .entry(let entry, let decided, _, _):
                group.row.decided = max(group.row.decided, decided)
                entries[group.pg, default: []].append(record)
                group.lastName = max(group.lastName, entry.name)
                if record.isLarge {
                    recovery.large[group.pg, default: [:]][entry.name] = record
                    record.isVoid =
                        record.position < position
                        && recovery.voidNames.contains { $0.0 == group.pg && $0.1 == entry.name }
                }
            case .cut(let after):
                while let last = entries[group.pg]?.last, let n = last.name, n > after {
                    last.isDead = true
                    entries[group.pg]?.removeLast()
                    // Slots of what was cut off before the checkpoint were freed by it, and may have been given again.
                    if record.position >= position { recovery.dead.append(last) }
                }
            case .restart(let after):
                let isCovered = record.position < position
                for entry in entries[group.pg] ?? [] {
                    guard let name = entry.name else { continue }
                    if isCovered || group.pg.isMetadata {
                        entry.replayRule = .skip
                    } else if name > group.row.decided {
                        entry.isDead = true
                        recovery.dead.append(entry)
                    } else {
                        entry.replayRule = name > group.row.applied ? .apply : .skip
                    }
                }
                entries[group.pg] = []
                group.row.decided = after
                group.lastName = after
                if !isCovered { group.row.applied = after }
            case .state(let bytes): group.row.state = bytes
            case .install(let piece): group.row.decided = max(group.row.decided, piece.asOf)
            case .settle:
                group.row.voids = []
                group.row.isCorrupt = false
            case .voids(let list):
                for v in list {
                    recovery.large[group.pg]?[v.name]?.isVoid = true
                    report(v, group)
                }
            case .corrupt: group.row.isCorrupt = true
            case .boot(let id): recovery.lastBoot = id
            case .forget(let through): group.row.tombstoneFloor = max(group.row.tombstoneFloor, through)
            case .decided(let list):
                for (pg, name) in list {
                    let other = self.group(pg)
                    other.row.decided = max(other.row.decided, name)
                    other.isDirty = true
                }
            case .lostPieces(let list): recovery.lostPieces.formUnion(list)
            case .deleteObject, .installCut, .clean, .repair: break
            }
        }
        for group in orderedGroups {
            let list = entries[group.pg] ?? []
            recovery.names[group.pg] = list.compactMap(\.name)
            group.lastName = max(list.last?.name ?? .zero, group.row.decided, group.row.applied)
            if recovery.isCorrupt { group.row.isCorrupt = true }
        }
        recovery.large = [:]
        for record in recovery.records {
            switch record.body {
            case .entry(let entry, _, _, _):
                if record.isDead { continue }
                switch record.replayRule {
                case .byName:
                    if entry.name > record.group.row.applied || record.group.pg.isMetadata {
                        recovery.replay.append(record)
                    }
                case .apply: recovery.replay.append(record)
                case .skip: break
                }
            case .install, .deleteObject, .installCut, .repair:
                guard record.position >= position else { break }
                if recovery.lostPieces.contains(record.order), !mutated(.lostPiecesForgotten) { isLost(record) }
                recovery.replay.append(record)
            case .state, .cut, .settle, .voids, .corrupt, .boot, .clean, .forget, .decided, .restart, .lostPieces: break
            }
        }
        findSuspects()
    }

    private func report(_ v: VoidRecord, _ group: Group) {
        if group.row.voids.contains(where: { $0.name == v.name }) { return }
        if group.row.voids.count >= StoreLimits.voidRecords {
            group.row.isCorrupt = true
        } else {
            group.row.voids.append(v)
        }
    }

    /// A learner's piece was lost: what it had of the object is not what its version says (`applyPiece`).
    private func isLost(_ piece: LogRecord) {
        piece.isVoid = true
        piece.group.hasLostPieces = true
    }

    private func isDecided(_ record: LogRecord) -> Bool {
        guard let name = record.name else { return true }
        return record.replayRule == .apply || name <= record.group.row.decided
    }

    // MARK: Void records

    /// Large records behind the last mark are checked, under another boot without a clean mark only, and only where no later
    /// record that is applied covers them: that one may have been written over them, or replaces them.
    private func findSuspects() {
        guard let recovery else { return }
        recovery.phase = .checking
        let isSameBoot = recovery.lastBoot == nil || recovery.lastBoot == recovery.facts.boot
        if isSameBoot || recovery.closing == .clean {
            loadRows()
            return
        }
        for record in recovery.replay.reversed()
        where record.isLarge && !record.isVoid && record.position >= recovery.slotsSynced {
            recovery.suspects.append(record)
        }
        nextCheck()
    }

    /// From the newest to the oldest, so that what a void record would have covered is checked too.
    private func nextCheck() {
        guard let recovery else { return }
        guard recovery.checked < recovery.suspects.count else {
            loadRows()
            return
        }
        let record = recovery.suspects[recovery.checked]
        guard let shape = record.content else { return }
        let covered = coveredBlocks(after: record, shape)
        let sums: [UInt32]
        switch record.body {
        case .entry(let e, _, _, _): if case .write(let w) = e.body { sums = w.checksums } else { sums = [] }
        case .install(let p): sums = p.checksums
        default: sums = []
        }
        var checks: [BlockCheck] = []
        var sum = 0
        shape.forEachPart { k, part in
            defer { sum += part.present }
            guard part.isLarge else { return }
            for (i, b) in part.blocks.enumerated() where !covered[b - shape.blocks.first] {
                checks.append(
                    BlockCheck(
                        object: shape.object, block: b,
                        dataOffset: SlotNumber(record.slots[k]).offset + UInt64(i * Geometry.blockSize),
                        checksum: sums[sum + i]))
            }
        }
        if checks.isEmpty {
            recovery.checked += 1
            nextCheck()
            return
        }
        emit(.recoveryCheck) { .checkBlocks($0, checks) }
    }

    private func coveredBlocks(after record: LogRecord, _ shape: ContentShape) -> [Bool] {
        var covered = [Bool](repeating: false, count: shape.blocks.count)
        guard let recovery, let index = recovery.replay.lastIndex(where: { $0 === record }),
            !mutated(.voidThoughCovered)
        else { return covered }
        for later in recovery.replay[(index + 1)...] where !later.isVoid && isDecided(later) {
            // A repair is of what was there before, which need not be this record.
            if case .repair = later.body { continue }
            guard let other = later.content, other.object == shape.object, other.blocks.overlaps(shape.blocks) else {
                continue
            }
            for b in max(other.blocks.first, shape.blocks.first)..<min(other.blocks.end, shape.blocks.end) {
                covered[b - shape.blocks.first] = true
            }
        }
        return covered
    }

    /// Indices of the blocks that do not match.
    public func blocksChecked(_ id: EffectID, mismatches: [Int]) {
        guard case .recoveryCheck? = take(id), let recovery else { return }
        let record = recovery.suspects[recovery.checked]
        recovery.checked += 1
        if !mismatches.isEmpty {
            mark(.largeRecordVoid)
            record.isVoid = true
            if let entry = record.entry, let shape = record.content {
                let void = VoidRecord(
                    name: entry.name, object: shape.object, session: entry.session, request: entry.request)
                report(void, record.group)
            } else {
                mark(.learnersPieceLost)
                isLost(record)
            }
        }
        nextCheck()
    }

    // MARK: Slots and rows

    /// All slots that records name are taken before anything is applied (traps.md, 60); then the rows are read.
    private func loadRows() {
        guard let recovery else { return }
        recovery.phase = .loading
        for record in recovery.replay + recovery.dead {
            for slot in record.slots where slot != 0 {
                if !mutated(.replayLeavesSlotsUnmarked) { allocator.mark(slot) }
                named[slot, default: 0] += 1
            }
        }
        // A cut that has not been carried to all rows goes on.
        recovery.toLoad = 0
        loadMore()
    }

    private func loadMore() {
        guard let recovery else { return }
        var asked = 0
        while recovery.toLoad < recovery.replay.count + recovery.dead.count, asked < StoreLimits.rowsPerLoad {
            let i = recovery.toLoad
            recovery.toLoad += 1
            let record = i < recovery.replay.count ? recovery.replay[i] : recovery.dead[i - recovery.replay.count]
            attachRecovered(record)
            asked += record.missing
        }
        if asked == 0 { replayAll() }
    }

    private func attachRecovered(_ record: LogRecord) {
        let (keys, file) = needs(record)
        var wanted: [ContentKey] = []
        for key in keys {
            if let row = hotRow(key) {
                row.pins += 1
                record.rows.append(row)
            } else {
                wanted.append(key)
            }
        }
        if let file {
            if let state = hotFile(record.group, file) {
                state.pins += 1
                record.file = state
            } else {
                wanted.append(ContentKey(object: IndexKey.fileObject(file, in: record.group.pg), mebibyte: 0))
            }
        }
        record.missing = wanted.count
        if !wanted.isEmpty { request(wanted, record.group, .record(record)) }
    }

    /// Some rows have come; when all have, the next are asked for.
    func recoveryRowsArrived() {
        if let recovery, recovery.phase == .loading, loading.isEmpty { loadMore() }
    }

    // MARK: Applying

    private func replayAll() {
        guard let recovery else { return }
        for record in recovery.replay + recovery.dead { claim(record) }
        for record in recovery.replay {
            let group = record.group
            guard let name = record.name else {
                finish(record)
                continue
            }
            if record.replayRule == .apply {
                apply(record)
                group.isDirty = true
                continue
            }
            if group.pg.isMetadata {
                if name <= group.row.applied { continue }
                if name <= group.row.decided { group.undurable.append(record) } else { group.tail.append(record) }
            } else if name <= group.row.decided {
                apply(record)
                group.row.applied = max(group.row.applied, name)
                group.isDirty = true
            } else {
                group.tail.append(record)
            }
        }
        for object in recovery.lacking { object.lacksPiece = false }
        recovery.lacking = []
        for record in recovery.dead { release(record) }
        for group in orderedGroups {
            group.appendedThrough = group.lastName
            group.lastAppendedNotice = group.lastName
            group.row.decided = min(group.row.decided, max(group.lastName, group.row.applied))
        }
        finishRecovery()
    }

    /// Rows know the slots that records under way name.
    private func claim(_ record: LogRecord) {
        guard let shape = record.content, !record.slots.isEmpty else { return }
        shape.forEachPart { k, part in
            let slot = record.slots[k]
            if slot == 0 { return }
            let row = row(part, record)
            if row.claimed.isEmpty { row.claimed = [UInt32](repeating: 0, count: Geometry.slotsPerRow) }
            row.claimed[part.slotIndex % Geometry.slotsPerRow] = slot
        }
    }

    private func finishRecovery() {
        guard let recovery else { return }
        self.recovery = nil
        log.end = recovery.end
        log.written = recovery.end
        log.stable = .zero
        log.slotsSynced = recovery.slotsSynced
        log.markMade = recovery.slotsSynced
        log.markWritten = recovery.slotsSynced
        // Rows tell of positions up to what is known to be stable, whatever segments are left: none is used twice.
        let passed = place(max(recovery.end, recovery.knownStable, recovery.meta?.position ?? .zero)).0
        log.nextNumber = max(recovery.facts.segments.last ?? passed, passed).next
        log.active = recovery.used.filter { segmentStart($0) < recovery.end }
        let leftovers = recovery.facts.segments.filter { !log.active.contains($0) }
        for segment in leftovers { putAside(segment) }
        log.unsynced = log.active
        // The next batch goes to a fresh segment: behind the end may lie batches that were lost with their forerunners.
        log.mustAdvance = true
        var decided: [PGID: [Entry]] = [:]
        for record in recovery.records where !record.isDead && record.replayRule == .byName {
            if var entry = told(record), entry.name <= record.group.row.decided {
                entry.payload = nil
                decided[record.group.pg, default: []].append(entry)
            }
        }
        for group in orderedGroups { decided[group.pg]?.sort { $0.name < $1.name } }
        lostPieces = recovery.replay.filter { $0.isVoid && $0.entry == nil }.map(\.order)
        let report = RecoveryReport(
            lastBoot: recovery.lastBoot, closing: recovery.closing,
            groups: orderedGroups.map { group in
                RecoveredGroup(
                    pg: group.pg, state: group.row.state, decidedThrough: group.row.decided, logEnd: group.lastName,
                    undecided: entries(group.tail), decided: decided[group.pg] ?? [], tables: group.tables,
                    reapply: entries(group.undurable),
                    names: recovery.names[group.pg] ?? [], voids: group.row.voids,
                    health: group.row.isCorrupt ? .corrupt : group.hasLostPieces ? .piecesLost : .whole)
            })
        phase = .recovered
        notify(.recovered(report))
    }

    private func entries(_ queue: Queue<LogRecord>) -> [Entry] {
        (0..<queue.count).compactMap { told(queue[$0]) }
    }

    /// What the caller hears of a record. Of a void one the content is gone, and so is its request: a retry must be executed.
    /// That holds for this record only: the group may have got the entry once more.
    private func told(_ record: LogRecord) -> Entry? {
        guard record.isVoid, var entry = record.entry else { return record.entry }
        entry.body = .empty
        entry.session = .none
        entry.request = .none
        entry.call = nil
        entry.payload = nil
        return entry
    }

    // MARK: Beginning and ending

    /// Opens the disk for appends: what was found is made durable with the boot, whereby a clean mark is no longer the
    /// log's last word. Notice `ready`. `corrupt`: groups whose content counts for nothing, whatever the report says.
    public func begin(corrupt: [PGID] = []) {
        guard phase == .recovered else { return }
        phase = .beginning
        for pg in corrupt { group(pg).row.isCorrupt = true }
        for group in orderedGroups {
            if !group.row.voids.isEmpty {
                enqueue(LogRecord(group: group, body: .voids(group.row.voids), payload: nil, token: nil))
            }
            if group.row.isCorrupt {
                enqueue(LogRecord(group: group, body: .corrupt, payload: nil, token: nil))
            }
        }
        for first in stride(from: 0, to: lostPieces.count, by: StoreLimits.lostPieces) {
            let part = Array(lostPieces[first..<min(first + StoreLimits.lostPieces, lostPieces.count)])
            enqueue(LogRecord(group: controlGroup, body: .lostPieces(part), payload: nil, token: nil))
        }
        lostPieces = []
        enqueue(LogRecord(group: controlGroup, body: .boot(boot), payload: nil, token: Store.beginToken))
        // What survived a kill may be in the page cache only; from `ready` on it counts as stable.
        sync.dataForced = true
        prepareSegments()
        for group in orderedGroups {
            for file in group.row.unpurged {
                request([ContentKey(object: IndexKey.fileObject(file, in: group.pg), mebibyte: 0)], group, .file(file))
            }
        }
        growIfNeeded()
        pump()
    }

    static let beginToken = StoreToken(.max)
    static let closeToken = StoreToken(.max - 1)
    static let checkpointToken = StoreToken(.max - 2)

    /// Makes everything stable and durable, and leaves the clean mark. Nothing may be appended any more. Notice `closed`.
    public func close() {
        guard phase == .running else { return }
        phase = .closing
        closeStep = .draining
        for group in orderedGroups { pumpQueue(group) }
        pump()
    }

    enum CloseStep {
        case draining
        case checkpointing(Int)
        case marking
    }

    func pumpClose() {
        guard phase == .closing else { return }
        switch closeStep {
        case .draining:
            guard ready.isEmpty, inFlight.isEmpty, orderedGroups.allSatisfy({ $0.queue.isEmpty }),
                checkpoint.phase == .idle
            else { return }
            sync.dataForced = true
            closeStep = .checkpointing(sync.dataBegun + 1)
            requestCheckpoint()
            pumpSync()
        case .checkpointing(let target):
            guard checkpoint.phase == .idle, sync.dataEnded >= target, sync.phase == .idle else {
                pumpSync()
                return
            }
            if hasCheckpointWork {
                requestCheckpoint()
                return
            }
            closeStep = .marking
            enqueue(LogRecord(group: controlGroup, body: .clean, payload: nil, token: Store.closeToken))
            flushLog()
        case .marking: break
        }
    }

    /// The log is stable further: what waited for it goes on.
    func becameStable() {
        while let item = controlGroup.unstable.first, item.end <= log.stable {
            _ = controlGroup.unstable.removeFirst()
            if item.token == Store.beginToken, phase == .beginning {
                phase = .running
                considerGone()
                notify(.ready)
                for group in orderedGroups where group.lastName > .zero {
                    group.stableThrough = group.lastName
                    notify(.stable(group.pg, through: group.lastName))
                }
            } else if item.token == Store.checkpointToken {
                checkpoint.isDecidedStable = true
            } else if item.token == Store.closeToken, phase == .closing {
                phase = .closed
                notify(.closed)
            }
        }
    }
}
