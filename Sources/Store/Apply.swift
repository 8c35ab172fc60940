import ClusterModel
import Wire

/// What decided entries do to the rows in memory. Reads see it at once; the index and the slots see it with the next
/// checkpoint (rule 1).
extension Store {
    /// Applies what is decided and in the log, in order.
    func applyDecided(_ group: Group, evenCuts: Bool = false) {
        let before = group.row.applied
        while let record = group.tail.first, record.isWritten, let name = record.name, name <= group.row.decided {
            if !group.pg.isMetadata, !evenCuts, isCutWaiting(record) {
                // Its forerunners may be carried to all rows, and lack nothing but a checkpoint.
                if phase == .running { checkpoint.isRequested = true }
                break
            }
            _ = group.tail.removeFirst()
            if group.pg.isMetadata {
                group.undurable.append(record)
            } else {
                apply(record)
                group.row.applied = name
            }
            group.isDirty = true
        }
        if group.row.applied > before, !group.pg.isMetadata {
            notify(.applied(group.pg, through: group.row.applied))
            releaseReads(group)
        }
    }

    /// A deletion waits while too many earlier ones have not been carried to all rows.
    func isCutWaiting(_ record: LogRecord) -> Bool {
        guard case .deleteRange(let d)? = record.entry?.body, phase != .recovering else { return false }
        if let file = record.file, isCarrying(file),
            (file.cut?.earlier.count ?? 0) >= StoreLimits.earlierCuts
        {
            return true
        }
        return record.group.row.unpurged.count >= StoreLimits.unpurgedCuts
            && !record.group.row.unpurged.contains(d.file)
    }

    /// Whether rows in the index may not have met the file's cut: it is being carried to them, or will be as soon as its row has
    /// been read after a start.
    private func isCarrying(_ file: FileState) -> Bool {
        file.isPurging || checkpoint.completed < file.carriedBy
            || file.pg.row.unpurged.contains(file.file) && !mutated(.forgetsCutsOfBefore)
    }

    func apply(_ record: LogRecord) {
        guard case .entry(let entry, _, let rule, _) = record.body else { return }
        if !record.isVoid, !record.group.isLeaving, !isGone(entry.body) {
            switch entry.body {
            case .write(let write): applyWrite(write, record)
            case .zero(let zero):
                for row in record.rows { zeroBlocks(zero.blocks, zero.truncation.number, record.order, row) }
            case .deleteRange(let d):
                applyCut(
                    FileCut(
                        file: d.file, truncation: d.truncation, layout: d.layout, kind: d.kind, version: entry.name),
                    record)
                if let edge = d.edge { applyWrite(edge, record) }
            case .restate, .empty, .namespace, .scrubMark: break
            }
            if rule == .raises {
                switch entry.body {
                case .write, .zero, .restate, .deleteRange:
                    if let object = record.rows.first?.object { raise(object, entry.name) }
                case .empty, .namespace, .scrubMark: break
                }
            }
        }
        release(record)
    }

    private func raise(_ object: HotObject, _ version: EntryName) {
        if object.file.cut?.kind == .removal { return }
        object.isDeleted = false
        if object.version < version { object.version = version }
        markDirty(object)
    }

    private func applyWrite(_ write: BlockWrite, _ record: LogRecord) {
        guard let shape = record.content else { return }
        for row in record.rows { freshen(row) }
        shape.forEachPart { k, part in
            let row = row(part, record)
            if row.content.applied >= record.order { return }
            let first = part.blocks.lowerBound - row.firstBlock
            let sums = part.blocks.lowerBound - write.blocks.first
            if part.isLarge {
                setLarge(row, part.slotIndex % Geometry.slotsPerRow, record.slots[k], write.checksums, sums)
            } else {
                setSmall(
                    row, first: first, count: part.blocks.count, slot: record.slots[k],
                    position: record.payloadPosition + part.logOffset, write.checksums, sums)
            }
        }
        for row in record.rows where row.content.applied < record.order {
            row.content.applied = record.order
            markDirty(row)
            clipLate(row, write.blocks, write.truncation.number)
        }
    }

    /// Content under an older truncation than the file's last cut is clipped by it (traps.md, 34), and all content by a removal:
    /// it may have the number of a truncation. No other blocks: these may have been written since.
    private func clipLate(_ row: HotRow, _ blocks: BlockRange, _ number: TruncationNumber) {
        guard let cut = row.object.file.cut else { return }
        guard number < cut.truncation.number || cut.kind == .removal && !mutated(.replayFillsRemoved) else { return }
        if empty(row, cut, after: number, within: row.part(of: blocks)) { markDirty(row) }
    }

    private func zeroBlocks(_ blocks: BlockRange, _ number: TruncationNumber, _ order: LogPosition, _ row: HotRow) {
        freshen(row)
        if row.content.applied >= order { return }
        let own = row.part(of: blocks)
        if !own.isEmpty { setEmpty(row, own, .zero) }
        row.content.applied = order
        markDirty(row)
        clipLate(row, blocks, number)
    }

    /// A learner's piece replaces what is there, whatever it was.
    func applyPiece(_ piece: ObjectPiece, _ record: LogRecord) {
        if record.isVoid || record.group.isLeaving || isGone(piece.object) {
            if record.isVoid, let object = record.rows.first?.object { lacks(object) }
            release(record)
            return
        }
        guard let shape = record.content else { return }
        for row in record.rows { freshen(row) }
        var lost = piece.lostChecksums[...]
        var sum = 0
        shape.forEachPart { k, part in
            let row = row(part, record)
            let firstSum = sum
            sum += part.present
            let missing = part.blocks.filter { piece.lost >> UInt64($0 - piece.blocks.first) & 1 == 1 }
            let missingSums = lost.prefix(missing.count)
            lost = lost.dropFirst(missing.count)
            if row.content.installed >= record.order { return }
            if part.isLarge {
                setLarge(row, part.slotIndex % Geometry.slotsPerRow, record.slots[k], piece.checksums, firstSum)
                return
            }
            var next = firstSum
            for b in part.blocks {
                let state = piece.states[b - piece.blocks.first]
                let block = b - row.firstBlock
                if state == .present {
                    setSmall(
                        row, first: block, count: 1, slot: record.slots[k],
                        position: record.payloadPosition + (part.logOffset + (next - firstSum) * Geometry.blockSize),
                        piece.checksums, next)
                    next += 1
                } else if !missing.contains(b) {
                    setEmpty(row, block..<block + 1, state)
                }
            }
            for (b, checksum) in zip(missing, missingSums) {
                setLost(row, b - row.firstBlock, slot: record.slots[k], checksum)
            }
        }
        for row in record.rows where row.content.installed < record.order {
            let behind = max(piece.blocks.end, row.firstBlock) - row.firstBlock
            if piece.completes != nil, behind < Geometry.blocksPerRow {
                setEmpty(row, behind..<Geometry.blocksPerRow, .absent)
            }
            row.content.installed = record.order
            // Cuts that the piece has met and the rest of the row has not are still to come, and meet all of it.
            if mutated(.pieceTellsOfWholeRow) {
                row.content.truncation = max(row.content.truncation, piece.truncation)
            }
            markDirty(row)
            clipLate(row, piece.blocks, piece.truncation)
        }
        if let object = record.rows.first?.object {
            if object.file.cut?.kind == .removal {
                // It came late: the index has nothing of the object any more, and nothing carries that cut again.
                if !isCarrying(object.file), !object.isDeleted {
                    object.isDeleted = true
                    markDirty(object)
                }
                return release(record)
            }
            object.isDeleted = false
            markDirty(object)
            // An entry up to `asOf` that touched another part may have raised it further already.
            if let version = piece.completes, object.version < version, !object.lacksPiece { object.version = version }
        }
        release(record)
    }

    /// A piece of the object did not survive: what is there is incomplete, and the next catching up looks at it again.
    private func lacks(_ object: HotObject) {
        object.lacksPiece = true
        recovery?.lacking.append(object)
        if object.isDeleted { return }
        object.version = .zero
        markDirty(object)
    }

    func applyDeletion(_ record: LogRecord) {
        for row in record.rows where row.content.installed < record.order {
            setEmpty(row, 0..<Geometry.blocksPerRow, .absent)
            row.content.installed = record.order
            markDirty(row)
        }
        if let object = record.rows.first?.object {
            object.isDeleted = true
            object.version = .zero
            markDirty(object)
        }
        release(record)
    }

    // MARK: Cuts

    /// The file's cut holds from now on for every row, in memory or not: each is clipped when it is touched, and the purge
    /// touches all.
    func applyCut(_ cut: FileCut, _ record: LogRecord) {
        defer { if case .installCut = record.body { release(record) } }
        if record.group.isLeaving || filesets.isGone(cut.file.fileset) { return }
        guard let file = record.file else { preconditionFailure("a deletion has its file in memory") }
        if let old = file.cut {
            if old.kind == .removal, cut.kind == .truncation { return }
            if old.kind == cut.kind, old.truncation.number >= cut.truncation.number {
                if old.version < cut.version, old.truncation.number == cut.truncation.number {
                    file.cut?.version = cut.version
                    markDirty(file)
                }
                // The index may have the cut of an unfinished checkpoint, and not that it is to be carried to all rows.
                if phase == .recovering { startPurge(file) }
                return
            }
        }
        var new = cut
        if let old = file.cut, cut.kind == .truncation,
            phase == .recovering || isCarrying(file)
        {
            // A row that has not met the old cut must not keep what only that one cut off.
            new.earlier = (old.earlier + [old.truncation] + cut.earlier).filter { $0.size < cut.truncation.size }
        }
        file.cut = new
        switch record.body {
        case .entry(_, _, let rule, _): file.withholdsVersions = rule == .withheld
        default: file.withholdsVersions = true
        }
        markDirty(file)
        startPurge(file)
        for object in file.objects { for row in object.rows { if let row { freshen(row) } } }
    }

    /// Clips a row by its file's cut if it has not been yet.
    func freshen(_ row: HotRow) {
        row.wasUsed = true
        if isGone(row.object) {
            if row.content.words.isEmpty { return }
            setEmpty(row, 0..<Geometry.blocksPerRow, .absent)
            return markDirty(row)
        }
        guard let cut = row.object.file.cut else { return }
        if row.content.truncation < cut.truncation.number || cut.kind == .removal && !row.content.isEmpty {
            clip(row, cut, after: row.content.truncation)
        }
    }

    private func clip(_ row: HotRow, _ cut: FileCut, after number: TruncationNumber) {
        var changed = empty(row, cut, after: number, within: 0..<Geometry.blocksPerRow)
        if row.content.truncation < cut.truncation.number {
            row.content.truncation = cut.truncation.number
            changed = changed || !row.content.words.isEmpty
        }
        if changed { markDirty(row) }
    }

    /// Empties those of the row's blocks that the cut cuts off. False if there are none.
    private func empty(_ row: HotRow, _ cut: FileCut, after number: TruncationNumber, within blocks: Range<Int>) -> Bool
    {
        let cutOff = max(cut.firstCutBlock(index: row.object.id.index, after: number), row.firstBlock) - row.firstBlock
        let first = max(cutOff, blocks.lowerBound)
        guard first < blocks.upperBound, !row.content.words.isEmpty else { return false }
        // What was never written stays absent.
        switch cut.kind {
        case .removal: setEmpty(row, first..<blocks.upperBound, .absent)
        case .truncation:
            for b in first..<blocks.upperBound where row.content.state(b) == .present {
                setEmpty(row, b..<b + 1, .zero)
                // The object has changed, for whoever catches up.
                if !row.object.file.withholdsVersions { row.object.version = max(row.object.version, cut.version) }
            }
        }
        return true
    }

    // MARK: Blocks

    private func count(_ row: HotRow, blocks: Int, slots: Int) {
        row.object.pg.row.add(row.object.id.file.fileset, blocks: blocks, slots: slots)
        row.object.file.blocks += Int64(blocks)
    }

    /// Slot `i` of the row is this fresh one, all its blocks present.
    private func setLarge(_ row: HotRow, _ i: Int, _ slot: UInt32, _ sums: [UInt32], _ firstSum: Int) {
        row.content.materialize()
        let old = row.content.slot(i)
        let present = row.content.presentCount(slot: i)
        overlayBlocks -= row.content.removeInLog(first: i * Geometry.blocksPerSlot, count: Geometry.blocksPerSlot)
        row.content.setSlot(i, slot)
        row.content.setWholeSlotPresent(i)
        for b in 0..<Geometry.blocksPerSlot {
            row.content.setChecksum(i * Geometry.blocksPerSlot + b, sums[firstSum + b])
        }
        if old != 0, old != slot { unlink(old) }
        count(row, blocks: Geometry.blocksPerSlot - present, slots: old == 0 ? 1 : 0)
    }

    /// Blocks within one slot lie in the log until the checkpoint writes them to the row's slot; without one they get the
    /// slot that their record names.
    private func setSmall(
        _ row: HotRow, first: Int, count blocks: Int, slot: UInt32, position: LogPosition, _ sums: [UInt32],
        _ firstSum: Int
    ) {
        row.content.materialize()
        let i = first / Geometry.blocksPerSlot
        var slots = 0
        if row.content.slot(i) == 0 {
            row.content.setSlot(i, slot)
            slots = 1
        }
        var new = 0
        for b in 0..<blocks {
            if row.content.state(first + b) != .present {
                row.content.setState(first + b, .present)
                new += 1
            }
            row.content.setChecksum(first + b, sums[firstSum + b])
        }
        overlayBlocks += row.content.setInLog(first: first, count: blocks, position: position)
        count(row, blocks: new, slots: slots)
    }

    /// A block that the sender of a piece does not hold: kept if it is here under this checksum, else present without its
    /// bytes, which reads find bad.
    private func setLost(_ row: HotRow, _ block: Int, slot: UInt32, _ checksum: UInt32) {
        let isPresent = row.content.state(block) == .present
        if isPresent, row.content.checksum(block) == checksum { return }
        row.content.materialize()
        let i = block / Geometry.blocksPerSlot
        let isNew = row.content.slot(i) == 0
        if isNew { row.content.setSlot(i, slot) }
        overlayBlocks -= row.content.removeInLog(first: block, count: 1)
        row.content.setState(block, .present)
        row.content.setChecksum(block, checksum)
        count(row, blocks: isPresent ? 0 : 1, slots: isNew ? 1 : 0)
    }

    /// Blocks become zero or absent; a slot without a present block is freed.
    private func setEmpty(_ row: HotRow, _ blocks: Range<Int>, _ state: BlockState) {
        if row.content.words.isEmpty, state == .absent { return }
        row.content.materialize()
        overlayBlocks -= row.content.removeInLog(first: blocks.lowerBound, count: blocks.count)
        var i = blocks.lowerBound / Geometry.blocksPerSlot
        while i * Geometry.blocksPerSlot < blocks.upperBound {
            let before = row.content.presentCount(slot: i)
            let low = max(blocks.lowerBound, i * Geometry.blocksPerSlot)
            let high = min(blocks.upperBound, (i + 1) * Geometry.blocksPerSlot)
            for b in low..<high { row.content.setState(b, state) }
            let after = row.content.presentCount(slot: i)
            let slot = row.content.slot(i)
            if after == 0, slot != 0 {
                row.content.setSlot(i, 0)
                unlink(slot)
            }
            count(row, blocks: after - before, slots: after == 0 && slot != 0 ? -1 : 0)
            i += 1
        }
    }
}
