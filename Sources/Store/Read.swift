import ClusterModel
import Wire

/// Where to read what. A plan is what the index entries say now; rule 5 tells when a mismatch means a bad block.
extension Store {
    /// A plan for whole blocks of an object as applied; nil if rows have to be read first: notice `readAgain` with `token`.
    /// Every plan is ended by `readFinished`.
    public func read(_ pg: PGID, _ object: ObjectID, _ blocks: BlockRange, token: StoreToken) -> ReadPlan? {
        guard phase == .running || phase == .closing else { return nil }
        precondition(blocks.count > 0 && blocks.end <= Geometry.blocksPerObject, "blocks lie within their object")
        let group = group(pg)
        if holdsReads(group, token) { return nil }
        let rows = blocks.first / Geometry.blocksPerRow...(blocks.end - 1) / Geometry.blocksPerRow
        var missing: [ContentKey] = []
        for m in rows where hotRow(ContentKey(object: object, mebibyte: m)) == nil {
            missing.append(ContentKey(object: object, mebibyte: m))
        }
        if !missing.isEmpty {
            request(missing, group, .caller(token))
            return nil
        }
        var builder = PlanBuilder(blocks: blocks)
        for m in rows {
            guard let row = hotRow(ContentKey(object: object, mebibyte: m)) else { continue }
            freshen(row)
            let low = max(blocks.first, row.firstBlock)
            let high = min(blocks.end, row.firstBlock + Geometry.blocksPerRow)
            for b in low..<high {
                let block = b - row.firstBlock
                builder.add(
                    b, source(row, block), row.content.state(block) == .present ? row.content.checksum(block) : nil)
            }
        }
        return ReadPlan(
            ticket: openTicket(), pg: pg, object: object, blocks: blocks, pieces: builder.pieces,
            presence: builder.hasAbsent ? .someAbsent : .complete)
    }

    /// One block as of the newest *sequenced* entry, decided or not: what an edge is completed from (replication.md, 2).
    /// Nil as in `read`.
    public func readSequenced(_ pg: PGID, _ object: ObjectID, block: Int, token: StoreToken) -> ReadPlan? {
        guard phase == .running, let group = groups[pg] else {
            return read(pg, object, BlockRange(first: block, count: 1), token: token)
        }
        var i = group.tail.count - 1
        while i >= 0 {
            if let piece = sequencedPiece(group.tail[i], object, block) {
                return ReadPlan(
                    ticket: openTicket(), pg: pg, object: object, blocks: BlockRange(first: block, count: 1),
                    pieces: [piece], presence: piece.source == .absent ? .someAbsent : .complete)
            }
            i -= 1
        }
        return read(pg, object, BlockRange(first: block, count: 1), token: token)
    }

    private func sequencedPiece(_ record: LogRecord, _ object: ObjectID, _ block: Int) -> ReadPiece? {
        guard let entry = record.entry, !record.isVoid else { return nil }
        let one = BlockRange(first: block, count: 1)
        func content(_ write: BlockWrite) -> ReadPiece? {
            guard write.object == object, write.blocks.overlaps(one) else { return nil }
            return ReadPiece(
                blocks: one, source: source(record, block: block - write.blocks.first),
                checksums: [write.checksums[block - write.blocks.first]])
        }
        switch entry.body {
        case .write(let write): return content(write)
        case .zero(let zero):
            return zero.object == object && zero.blocks.overlaps(one)
                ? ReadPiece(blocks: one, source: .zero, checksums: []) : nil
        case .deleteRange(let d):
            guard d.file == object.file else { return nil }
            if let edge = d.edge, let piece = content(edge) { return piece }
            let cut = FileCut(
                file: d.file, truncation: d.truncation, layout: d.layout, kind: d.kind, version: entry.name)
            guard block >= cut.firstCutBlock(index: object.index) else { return nil }
            return ReadPiece(blocks: one, source: d.kind == .removal ? .absent : .zero, checksums: [])
        case .empty, .restate, .namespace, .scrubMark: return nil
        }
    }

    /// Where block `k` of a record's payload lies.
    private func source(_ record: LogRecord, block k: Int) -> ReadSource {
        if let payload = record.payload, payload.id != 0, !record.isWritten {
            return .payload(payload, offset: k * Geometry.blockSize)
        }
        var found = ReadSource.absent
        guard let shape = record.content else { return found }
        let wanted = shape.blocks.first + k
        shape.forEachPart { i, part in
            guard part.blocks.contains(wanted) else { return }
            let within = (wanted - part.blocks.lowerBound) * Geometry.blockSize
            if part.isLarge {
                found = .data(SlotNumber(record.slots[i]).offset + UInt64(within))
            } else {
                let (segment, offset) = place(record.payloadPosition + (part.logOffset + within))
                found = .log(segment, offset: offset)
            }
        }
        return found
    }

    private func source(_ row: HotRow, _ block: Int) -> ReadSource {
        switch row.content.state(block) {
        case .absent: return .absent
        case .zero: return .zero
        case .present:
            if let position = row.content.logPosition(block) {
                let (segment, offset) = place(position)
                return .log(segment, offset: offset)
            }
            let slot = SlotNumber(row.content.slot(block / Geometry.blocksPerSlot))
            return .data(slot.offset + UInt64(block % Geometry.blocksPerSlot * Geometry.blockSize))
        }
    }

    /// What a mismatch in a block of a plan means.
    public func verdict(_ plan: ReadPlan, block: Int) -> BlockVerdict {
        let key = ContentKey(object: plan.object, mebibyte: block / Geometry.blocksPerRow)
        guard let row = hotRow(key),
            let piece = plan.pieces.first(where: { $0.blocks.first <= block && block < $0.blocks.end })
        else { return .readAgain }
        let delta = block - piece.blocks.first
        let then: ReadSource
        switch piece.source {
        case .log(let segment, let offset): then = .log(segment, offset: offset + delta * Geometry.blockSize)
        case .data(let offset): then = .data(offset + UInt64(delta * Geometry.blockSize))
        case .payload, .zero, .absent: return .readAgain
        }
        let local = block - row.firstBlock
        guard source(row, local) == then, delta < piece.checksums.count,
            row.content.checksum(local) == piece.checksums[delta]
        else {
            if mutated(.mismatchTakenAtOnce) { return .bad }
            mark(.readMeetsMovedBlock)
            return .readAgain
        }
        // The checkpoint may have begun to write the slot after the plan was made.
        if case .data = then, let frozen = row.frozen, frozen.logPosition(local) != nil,
            frozen.slot(local / Geometry.blocksPerSlot) == row.content.slot(local / Geometry.blocksPerSlot)
        {
            return .readAgain
        }
        return .bad
    }

    /// Where the payload of an entry lies that is not applied yet (of a metadata group: not yet durable in its database).
    /// Nil if the store does not keep it any more, or it was lost with power. Ended by `readFinished`.
    public func location(_ pg: PGID, _ name: EntryName) -> EntryLocation? {
        guard let group = groups[pg] else { return nil }
        guard let record = find(name, group.tail) ?? find(name, group.undurable), let entry = record.entry,
            !record.isVoid
        else { return nil }
        guard let payload = entry.payload else { return EntryLocation(entry: entry, ticket: openTicket(), pieces: []) }
        var pieces: [EntryPiece] = []
        if let shape = record.content {
            let sums: [UInt32]
            switch entry.body {
            case .write(let w): sums = w.checksums
            case .deleteRange(let d): sums = d.edge?.checksums ?? []
            case .empty, .zero, .restate, .namespace, .scrubMark: sums = []
            }
            shape.forEachPart { _, part in
                let first = part.blocks.lowerBound - shape.blocks.first
                pieces.append(
                    EntryPiece(
                        source: source(record, block: first), length: part.blocks.count * Geometry.blockSize,
                        checksums: Array(sums[first..<first + part.blocks.count])))
            }
        } else if case .entry(_, _, _, let checksum) = record.body {
            let source: ReadSource
            if record.isWritten {
                let (segment, offset) = place(record.payloadPosition)
                source = .log(segment, offset: offset)
            } else {
                source = .payload(payload, offset: 0)
            }
            pieces.append(EntryPiece(source: source, length: payload.length, checksums: [checksum]))
        }
        return EntryLocation(entry: entry, ticket: openTicket(), pieces: pieces)
    }

    private func find(_ name: EntryName, _ queue: Queue<LogRecord>) -> LogRecord? {
        var low = 0
        var high = queue.count
        while low < high {
            let middle = (low + high) / 2
            if let n = queue[middle].name, n < name { low = middle + 1 } else { high = middle }
        }
        return low < queue.count && queue[low].name == name ? queue[low] : nil
    }

    /// The object's version as applied, `.zero` if there is none; nil if its row has to be read first (`readAgain`).
    public func version(_ pg: PGID, _ object: ObjectID, token: StoreToken) -> (
        version: EntryName, truncation: TruncationNumber
    )? {
        if holdsReads(group(pg), token) { return nil }
        if let hot = objects[object] {
            return (hot.isDeleted ? .zero : hot.version, hot.file.cut?.truncation.number ?? .zero)
        }
        request([ContentKey(object: object, mebibyte: 0)], group(pg), .caller(token))
        return nil
    }

    /// The last cut of a file that the group has applied; the outer nil means that it has to be read first (`readAgain`).
    public func lastCut(_ pg: PGID, _ file: FileID, token: StoreToken) -> FileCut?? {
        let group = group(pg)
        if let state = hotFile(group, file) { return .some(state.cut) }
        request([ContentKey(object: IndexKey.fileObject(file, in: pg), mebibyte: 0)], group, .caller(token))
        return nil
    }

    // MARK: Waiting

    /// Whether entries are decided that wait behind a deletion: until they are applied, what the rows hold is old, and nobody
    /// else keeps what they wrote.
    private func holdsReads(_ group: Group, _ token: StoreToken) -> Bool {
        guard isHeldUp(group), !mutated(.readsBehindHeldCut) else { return false }
        group.heldReads.append(token)
        return true
    }

    func isHeldUp(_ group: Group) -> Bool {
        guard let first = group.tail.first, let name = first.name, name <= group.row.decided, first.isWritten,
            !group.pg.isMetadata, !group.isLeaving
        else { return false }
        return isCutWaiting(first)
    }

    func releaseReads(_ group: Group) {
        guard !group.heldReads.isEmpty, !isHeldUp(group) else { return }
        for token in group.heldReads { notify(.readAgain(token)) }
        group.heldReads = []
    }

    // MARK: Tickets

    private func openTicket() -> ReadTicket {
        let ticket = ReadTicket(nextTicket)
        nextTicket += 1
        openReads.append(ticket)
        return ticket
    }

    /// The read of a plan or location is over.
    public func readFinished(_ ticket: ReadTicket) {
        if let i = openReads.firstIndex(of: ticket) { openReads.remove(at: i) }
        releaseRead()
    }

    /// Slots that no index names any more are free once the reads that may have resolved them have ended.
    func releaseRead() {
        let oldest = openReads.first ?? ReadTicket(nextTicket)
        var released = false
        while let first = freedAwaitingReads.first, first.before <= oldest || mutated(.freedUnderReaders) {
            for slot in first.slots { allocator.release(slot) }
            freedAwaitingReads.removeFirst()
            released = true
        }
        if released { slotsBecameFree() }
    }

    func slotsBecameFree() {
        guard !groupsWaitingForSlots.isEmpty else { return }
        let waiting = groupsWaitingForSlots
        groupsWaitingForSlots = []
        for group in waiting {
            group.waitsForSlots = false
            pumpQueue(group)
        }
    }

    // MARK: Changes, for catching up

    /// Objects and cuts of the group that changed after `cursor`, from durable and newer state alike; notice `changes`.
    /// What changes while pages are taken may be told twice, and is never left out.
    public func changes(_ pg: PGID, after cursor: ChangeCursor, token: StoreToken) {
        guard phase == .running else { return }
        emit(.scanChanges(token, pg, cursor, limit: StoreLimits.changesPerPage)) {
            .scanRows($0, .changed(pg, after: cursor.version, object: cursor.object, limit: StoreLimits.changesPerPage))
        }
    }

    /// What is decided and waits to be applied.
    private func decidedChanges(_ group: Group) -> [ObjectChange] {
        (0..<group.tail.count).compactMap { i in
            guard let entry = group.tail[i].entry, entry.name <= group.row.decided else { return nil }
            switch entry.body {
            case .write(let w): return .object(w.object, version: entry.name, truncation: w.truncation.number)
            case .zero(let z): return .object(z.object, version: entry.name, truncation: z.truncation.number)
            case .restate(let r): return .object(r.object, version: entry.name, truncation: .zero)
            case .deleteRange(let d):
                return .cut(
                    FileCut(
                        file: d.file, truncation: d.truncation, layout: d.layout, kind: d.kind, version: entry.name))
            case .empty, .namespace, .scrubMark: return nil
            }
        }
    }

    func changesScanned(
        _ token: StoreToken, _ pg: PGID, _ cursor: ChangeCursor, _ limit: Int, _ rows: [(ObjectID, IndexRecord)]
    ) throws {
        let group = group(pg)
        var changes: [ObjectChange] = []
        for (id, record) in rows where !isGone(id) && !cursor.passesOver(record.version) {
            if IndexKey.isFileObject(id) {
                if let cut = try FileRow.decode(record.value).cut { changes.append(.cut(cut)) }
            } else {
                changes.append(.object(id, version: record.version, truncation: record.truncation))
            }
        }
        var next: ChangeCursor?
        if rows.count == limit, let last = rows.last {
            next = cursor.behind(last.1.version, last.0)
        } else {
            // What the index does not have yet comes with the last page.
            for object in dirtyObjects + checkpoint.objects.map(\.object)
            where object.pg === group && !object.isDeleted && !isGone(object.id) {
                changes.append(
                    .object(
                        object.id, version: object.version, truncation: object.file.cut?.truncation.number ?? .zero))
            }
            for file in dirtyFiles + checkpoint.files.map(\.file) where file.pg === group {
                if let cut = file.cut { changes.append(.cut(cut)) }
            }
            changes += decidedChanges(group)
        }
        notify(.changes(token, ChangePage(changes: changes, next: next, tombstoneFloor: group.row.tombstoneFloor)))
    }
}

/// Merges neighbouring blocks that lie in a row into pieces.
struct PlanBuilder {
    let blocks: BlockRange
    var pieces: [ReadPiece] = []
    var hasAbsent = false

    init(blocks: BlockRange) { self.blocks = blocks }

    mutating func add(_ block: Int, _ source: ReadSource, _ checksum: UInt32?) {
        if source == .absent { hasAbsent = true }
        if let last = pieces.last, continues(last, source) {
            pieces[pieces.count - 1].blocks.count += 1
        } else {
            pieces.append(ReadPiece(blocks: BlockRange(first: block, count: 1), source: source, checksums: []))
        }
        if let checksum { pieces[pieces.count - 1].checksums.append(checksum) }
    }

    private func continues(_ piece: ReadPiece, _ source: ReadSource) -> Bool {
        switch (piece.source, source) {
        case (.log(let a, let at), .log(let b, let offset)): a == b && at + piece.blocks.byteCount == offset
        case (.data(let at), .data(let offset)): at + UInt64(piece.blocks.byteCount) == offset
        case (.zero, .zero), (.absent, .absent): true
        default: false
        }
    }
}
