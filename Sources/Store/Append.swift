import ClusterModel
import Wire

extension Store {
    // MARK: Calls

    /// Puts an entry into the log, in the order of the calls of its group; notice `appended` tells when it is there. The
    /// payload stays the shell's until `dropPayload`. `checksum` is `CRC32C.checksum` of an opaque payload.
    ///
    /// Whole slots of a write go to fresh slots at once, all else travels in the log; a deletion's edge is one block.
    /// A sequenced entry is never refused: it waits for rows, slots or log by name (`waitingFor`).
    public func append(_ pg: PGID, _ entry: Entry, checksum: UInt32 = 0, version rule: VersionRule = .raises) {
        guard phase == .running else { return }
        let group = group(pg)
        precondition(entry.name > group.lastName, "a group takes entries in the order of their names")
        precondition((entry.payload?.length ?? 0) <= StoreLimits.payload, "a payload is within StoreLimits.payload")
        group.lastName = entry.name
        let body = RecordBody.entry(entry, decided: group.row.decided, rule: rule, checksum: checksum)
        let record = LogRecord(group: group, body: body, payload: entry.payload, token: nil)
        group.tail.append(record)
        enqueue(record)
    }

    /// Entries through `name` are decided: data entries among them are shown by reads as soon as they are in the log here.
    /// A name beyond the log's end is kept.
    public func decide(_ pg: PGID, through name: EntryName) {
        guard phase == .running || phase == .closing, let group = groups[pg], name > group.row.decided else { return }
        group.row.decided = name
        applyDecided(group)
    }

    /// Durably cuts off the entries after `name`; notice `durable`. Never below what is decided here: who would have to is
    /// a learner (replication.md, 7).
    public func cut(_ pg: PGID, after name: EntryName, token: StoreToken) {
        guard phase == .running else { return }
        let group = group(pg)
        precondition(name >= group.row.applied, "what is applied is never cut off")
        let record = LogRecord(group: group, body: .cut(after: name), payload: nil, token: token)
        while let last = group.tail.last, let n = last.name, n > name {
            last.isDead = true
            record.victims.append(group.tail.removeLast())
        }
        if group.row.decided > name { group.row.decided = max(name, group.row.applied) }
        group.lastName = group.tail.last?.name ?? min(group.lastName, name)
        group.appendedThrough = min(group.appendedThrough, group.lastName)
        group.lastAppendedNotice = min(group.lastAppendedNotice, group.lastName)
        group.stableThrough = min(group.stableThrough, group.lastName)
        group.stableWanted = min(group.stableWanted, group.lastName)
        group.unlogged.append(record)
        enqueue(record)
    }

    /// Forgets the group's log, for one that learns anew: what was not decided is dropped, what was applied stays, and the
    /// next entry follows `name`, which may be earlier than what was here. In order with the group's other records.
    public func restart(_ pg: PGID, after name: EntryName) {
        guard phase == .running else { return }
        let group = group(pg)
        // What is decided and in the log stays, whatever it was waiting for: nobody sends it again.
        if !mutated(.restartDropsWaiting) { applyDecided(group, evenCuts: true) }
        // A replay must know what was applied: it stays, and only that.
        let applied = RecordBody.decided([(pg, group.row.applied)])
        enqueue(LogRecord(group: controlGroup, body: applied, payload: nil, token: nil))
        let record = LogRecord(group: group, body: .restart(after: name), payload: nil, token: nil)
        record.appliedBefore = group.row.applied
        while let last = group.tail.last {
            last.isDead = true
            record.victims.append(group.tail.removeLast())
        }
        while group.undurable.first != nil { _ = group.undurable.removeFirst() }
        // What is still to become stable is not of the new log.
        var unnamed = Queue<Group.Unstable>()
        while var item = group.unstable.first {
            _ = group.unstable.removeFirst()
            item.name = nil
            unnamed.append(item)
        }
        group.unstable = unnamed
        group.row.decided = name
        group.row.applied = name
        group.lastName = name
        group.appendedThrough = name
        group.lastAppendedNotice = name
        group.stableThrough = name
        group.stableWanted = name
        group.isDirty = true
        group.unlogged.append(record)
        enqueue(record)
    }

    /// The group has no replica here any more, though its content stays for the time being: nothing will decide what its log
    /// holds, which must not hold up that of the disk.
    public func dropLog(_ pg: PGID) {
        guard let group = groups[pg], group.tail.first != nil || group.undurable.first != nil else { return }
        restart(pg, after: group.row.applied)
        pump()
    }

    /// Replaces the group's opaque state, at most 40 KiB; notice `durable`. In order with the group's entries.
    public func writeState(_ pg: PGID, _ bytes: [UInt8], token: StoreToken) {
        guard phase == .running else { return }
        precondition(bytes.count <= StoreLimits.groupState, "a group's state is within StoreLimits.groupState")
        let group = group(pg)
        enqueue(LogRecord(group: group, body: .state(bytes), payload: nil, token: token))
    }

    /// What recovery reported (void records, corruption) has been dealt with: objects restated, or the group learns.
    public func settleReport(_ pg: PGID, token: StoreToken) {
        guard phase == .running else { return }
        enqueue(LogRecord(group: group(pg), body: .settle, payload: nil, token: token))
    }

    /// Puts a learner's piece in place of what the object has there; the payload holds its present blocks in order.
    /// The caller has decided through `piece.asOf` here. Entries before it in the stream that touch the piece are among these
    /// (replication.md, 12), or come over it when they are decided. Stable with the next `requestStable` of the group; `token`
    /// asks for it at once.
    public func install(_ pg: PGID, _ piece: ObjectPiece, payload: PayloadHandle?, token: StoreToken? = nil) {
        guard phase == .running else { return }
        precondition(piece.blocks.count <= 64 && piece.blocks.end <= Geometry.blocksPerObject, "a piece is 256 KiB")
        enqueue(LogRecord(group: group(pg), body: .install(piece), payload: payload, token: token))
    }

    /// Removes an object that the primary does not have.
    public func deleteObject(_ pg: PGID, _ object: ObjectID, token: StoreToken? = nil) {
        guard phase == .running else { return }
        enqueue(LogRecord(group: group(pg), body: .deleteObject(object), payload: nil, token: token))
    }

    /// Takes a file's cut over from the primary (a tombstone, for a learner).
    public func install(_ pg: PGID, cut: FileCut, token: StoreToken? = nil) {
        guard phase == .running else { return }
        enqueue(LogRecord(group: group(pg), body: .installCut(cut), payload: nil, token: token))
    }

    /// No replica is behind `name`: tombstones up to it need not be told any more.
    public func forgetTombstones(_ pg: PGID, through name: EntryName) {
        guard phase == .running, let group = groups[pg], name > group.row.tombstoneFloor else { return }
        enqueue(LogRecord(group: group, body: .forget(through: name), payload: nil, token: nil))
    }

    /// A metadata group's database holds everything through `name` durably: its entries need the log no longer.
    public func namespaceDurable(_ pg: PGID, through name: EntryName) {
        guard phase == .running || phase == .closing, let group = groups[pg] else { return }
        while let first = group.undurable.first, let n = first.name, n <= name {
            _ = group.undurable.removeFirst()
        }
        let durable = min(name, group.row.decided)
        if durable > group.row.applied {
            group.row.applied = durable
            group.isDirty = true
        }
    }

    /// The end of a read cycle: what is ready goes to the log in one write.
    public func endOfCycle() { pump() }

    /// Time passes; about every 20 ms.
    public func tick(_ now: Instant) {
        self.now = now
        guard phase == .running || phase == .closing else { return }
        if let first = firstUnsynced,
            now - first >= configuration.backgroundSyncDelay || log.unsyncedBytes >= configuration.backgroundSyncBytes
        {
            sync.wanted = max(sync.wanted, log.written)
        }
        considerCheckpoint()
        pump()
    }

    /// Everything that may go on goes on.
    func pump() {
        guard phase != .failed, phase != .recovering, phase != .recovered, phase != .new else { return }
        flushLog()
        pumpSync()
        pumpCheckpoint()
        pumpPurge()
        pumpLeaving()
        pumpClose()
        trimCache()
        growIfNeeded()
    }

    // MARK: The way into the log

    func enqueue(_ record: LogRecord) {
        attach(record)
        record.group.queue.append(record)
        pumpQueue(record.group)
    }

    /// Places records in order, and hands the front of the queue to the log.
    func pumpQueue(_ group: Group) {
        var i = 0
        while i < group.queue.count {
            let record = group.queue[i]
            if !record.isPlaced {
                if record.missing > 0 { break }
                if !place(record) {
                    if !group.waitsForSlots {
                        mark(.recordsWaitForSlots)
                        group.waitsForSlots = true
                        groupsWaitingForSlots.append(group)
                    }
                    break
                }
            }
            i += 1
        }
        while let first = group.queue.first, first.isPlaced, !first.slotsPending {
            if mustWaitForCuts(first) { break }
            let record = group.queue.removeFirst()
            if case .installCut = record.body, !record.isDead { group.cutsInLog += 1 }
            if record.isDead {
                release(record)
                if let payload = record.payload { effects.append(.dropPayload(payload)) }
            } else {
                if record.token == Store.checkpointToken { urgent.append(record) } else { ready.append(record) }
            }
        }
    }

    /// A cut for a learner waits while too many have not been carried to all rows, as decided ones do (`isCutWaiting`): the group's
    /// row names these, and has a bound. A store that closes carries none any more; what a learner still waits for goes.
    private func mustWaitForCuts(_ record: LogRecord) -> Bool {
        let group = record.group
        guard case .installCut = record.body, !record.isDead, !mutated(.learnersCutsPileUp),
            group.row.unpurged.count + group.cutsInLog >= StoreLimits.unpurgedCuts
        else { return false }
        if phase == .closing { for i in 0..<group.queue.count { group.queue[i].isDead = true } }
        return phase == .running
    }

    /// Decides where the record's content goes: fresh neighbouring slots for its large parts, the slot that is there or a
    /// fresh one for each small part, a fresh one for a repair. Every slot is named in the record (store.md, Allocation). False
    /// without free slots.
    ///
    /// A learner's piece is applied before entries that came earlier and are not decided yet. The slot that one of them has
    /// written already is therefore none for it: a checkpoint would copy the piece's blocks over that entry's.
    private func place(_ record: LogRecord) -> Bool {
        guard let shape = record.content, record.payload != nil || shape.lost != 0, !record.isDead else {
            record.isPlaced = true
            return true
        }
        let isRepair = if case .repair = record.body { true } else { false }
        let isPiece = if case .install = record.body { true } else { false }
        var slots = [UInt32](repeating: 0, count: shape.partCount)
        var large = 0
        var fresh = 0
        shape.forEachPart { k, part in
            if part.isLarge {
                large += 1
            } else if part.needsSlot {
                let row = row(part, record)
                let i = part.slotIndex % Geometry.slotsPerRow
                if isPiece { slots[k] = row.content.slot(i) } else if !isRepair { slots[k] = claimedSlot(row, i) }
                if slots[k] == 0 { fresh += 1 }
            }
        }
        guard large + fresh <= allocator.freeCount else { return false }
        let run = large > 0 ? allocator.allocate(large) ?? [] : []
        let single = fresh > 0 ? allocator.allocate(fresh) ?? [] : []
        var nextLarge = 0
        var nextSingle = 0
        var writes: [SlotWrite] = []
        shape.forEachPart { k, part in
            if part.isLarge {
                slots[k] = run[nextLarge]
                nextLarge += 1
                let offset = SlotNumber(slots[k]).offset
                if let last = writes.last, last.dataOffset + UInt64(last.length) == offset,
                    last.payloadOffset + last.length == part.payloadOffset
                {
                    writes[writes.count - 1].length += Geometry.slotSize
                } else {
                    writes.append(
                        SlotWrite(payloadOffset: part.payloadOffset, dataOffset: offset, length: Geometry.slotSize))
                }
            } else if part.needsSlot, slots[k] == 0 {
                slots[k] = single[nextSingle]
                nextSingle += 1
            }
            if slots[k] != 0 {
                retain(slots[k], row(part, record), part.slotIndex % Geometry.slotsPerRow)
            }
        }
        record.slots = slots
        record.isPlaced = true
        if !writes.isEmpty, let payload = record.payload {
            record.slotsPending = true
            emit(.slotWrite(record)) { .writeSlots($0, payload, writes) }
        }
        return true
    }

    public func slotsWritten(_ id: EffectID) {
        guard case .slotWrite(let record)? = take(id) else { return }
        record.slotsPending = false
        pumpQueue(record.group)
    }

    // MARK: Names of slots

    func row(_ part: ContentShape.Part, _ record: LogRecord) -> HotRow {
        let mebibyte = part.slotIndex / Geometry.slotsPerRow
        for r in record.rows where r.mebibyte == mebibyte { return r }
        preconditionFailure("a record's rows are in memory before it is placed")
    }

    private func claimedSlot(_ row: HotRow, _ i: Int) -> UInt32 {
        if !row.claimed.isEmpty, row.claimed[i] != 0 { return row.claimed[i] }
        return row.content.slot(i)
    }

    func retain(_ slot: UInt32, _ row: HotRow, _ i: Int) {
        named[slot, default: 0] += 1
        if row.claimed.isEmpty { row.claimed = [UInt32](repeating: 0, count: Geometry.slotsPerRow) }
        row.claimed[i] = slot
    }

    /// The record relies on the slot no longer. If nobody does, it is freed.
    func drop(_ slot: UInt32, _ row: HotRow, _ i: Int) {
        guard let count = named[slot] else { preconditionFailure("a slot is dropped as often as it is named") }
        if count > 1 {
            named[slot] = count - 1
            return
        }
        named[slot] = nil
        if !row.claimed.isEmpty, row.claimed[i] == slot { row.claimed[i] = 0 }
        if row.content.slot(i) != slot { free(slot) }
    }

    /// A row gives a slot up: free after the next checkpoint, unless a record under way relies on it.
    func unlink(_ slot: UInt32) {
        if named[slot] == nil { free(slot) }
    }

    private func free(_ slot: UInt32) {
        if mutated(.freedAtOnce) { allocator.release(slot) } else { freed.append(slot) }
    }

    /// The record is applied, or never will be.
    func release(_ record: LogRecord) {
        if let shape = record.content, !record.slots.isEmpty {
            shape.forEachPart { k, part in
                if record.slots[k] != 0 {
                    drop(record.slots[k], row(part, record), part.slotIndex % Geometry.slotsPerRow)
                }
            }
        }
        detach(record)
    }

    /// A control record is in the log: what it says takes effect.
    func finish(_ record: LogRecord) {
        let group = record.group
        group.isDirty = true
        switch record.body {
        case .entry, .boot, .clean, .decided: break
        case .state(let bytes): group.row.state = bytes
        case .cut, .restart:
            for victim in record.victims where victim.isWritten { release(victim) }
            record.victims = []
            group.unlogged.removeAll { $0 === record }
        case .install(let piece): applyPiece(piece, record)
        case .repair(let repair): applyRepair(repair, record)
        case .deleteObject: applyDeletion(record)
        case .installCut(let cut):
            // A replay finds records that it did not hand to the log.
            if phase != .recovering { group.cutsInLog -= 1 }
            applyCut(cut, record)
            pumpQueue(group)
        case .settle:
            group.row.voids = []
            group.row.isCorrupt = false
        case .voids, .corrupt, .lostPieces: break
        case .forget(let through): group.row.tombstoneFloor = max(group.row.tombstoneFloor, through)
        }
    }
}
