import ClusterModel
import Wire

/// A change that cannot be named yet: its edges are being completed, or one before it on the same blocks is, or one of its
/// blocks is being read for a learner.
struct ParkedWrite {
    var token: RequestToken
    var request: PGRequest
    var checksums: [UInt32]
    var work: WorkToken?
    var file: FileID
    /// Nil: the whole file.
    var object: ObjectID?
    var blocks: BlockRange

    func overlaps(_ file: FileID, _ object: ObjectID?, _ blocks: BlockRange) -> Bool {
        guard self.file == file else { return false }
        guard let mine = self.object, let object else { return true }
        return mine == object && self.blocks.overlaps(blocks)
    }
}

/// A read of part of an object for a learner. New changes of it are held back, and those that were named before are decided
/// first: the piece follows them in the stream, and would otherwise be put over what the learner has applied of them.
struct PieceRead {
    var node: NodeID
    /// Nil while it waits for entries that touch it to be decided.
    var token: WorkToken?
    var object: ObjectID
    var blocks: BlockRange
    /// Something that touches it was decided while it was read.
    var isDisturbed = false
    /// Something that touches the object behind it was: whether there is anything is not known any more.
    var isDisturbedBehind = false

    /// The blocks of the object behind it. Nil: it reaches the end.
    var behind: BlockRange? {
        guard blocks.end < Geometry.blocksPerObject else { return nil }
        return BlockRange(first: blocks.end, count: Geometry.blocksPerObject - blocks.end)
    }
}

/// Unaligned writes become whole blocks, completed from the newest sequenced content: a queue per block, never per group.
extension PlacementGroup {
    func blocksTouched(_ request: PGRequest) -> (file: FileID, object: ObjectID?, blocks: BlockRange)? {
        switch request.body {
        case .write(let range, _, _): (range.object.file, range.object, range.blocks)
        case .zero(let object, let blocks, _, _): (object.file, object, blocks)
        case .deleteRange(let d): (d.file, nil, BlockRange(first: 0, count: Geometry.blocksPerObject))
        case .mutate, .read, .readVersion, .query, .flush: nil
        }
    }

    /// Whether a change of these blocks cannot be named at once.
    func mustPark(_ request: PGRequest, _ file: FileID, _ object: ObjectID?, _ blocks: BlockRange) -> Bool {
        conflictsWithParked(file, object, blocks) || holdsBack(file, object, blocks) || mustAsk(file)
            || needsMerge(request)
    }

    private func conflictsWithParked(_ file: FileID, _ object: ObjectID?, _ blocks: BlockRange) -> Bool {
        reign.parked.contains { $0.overlaps(file, object, blocks) }
    }

    /// Whether a change of the file was admitted that is not named yet: it may still change what the file uses.
    public func hasParked(_ file: FileID) -> Bool { reign.parked.contains { $0.file == file } }

    func holdsBack(_ file: FileID, _ object: ObjectID?, _ blocks: BlockRange) -> Bool {
        reign.pieceReads.contains {
            $0.object.file == file && (object == nil || object == $0.object && $0.blocks.overlaps(blocks))
        }
    }

    /// Whether only the disk knows how the file was cut: the marks may have forgotten it. A change under an older truncation
    /// would be cut off behind its answer, and a truncation that comes once more would cut off what was written since.
    func mustAsk(_ file: FileID) -> Bool {
        !pg.isMetadata && marks.mayHaveForgotten(limit: limits.fileMarks) && marks.newest(file) == nil
            && !mutated(.forgottenCutsNeverAsked)
    }

    /// Whether the group's log has the truncation that a change knows of. Named before that, the change would be cut off by it
    /// behind its answer (traps.md, 34); whoever hands it to this machine asks for the cut first (`ownDeletion`), which fails if it
    /// goes through a block that nobody holds.
    func knowsCut(of request: PGRequest) -> Bool {
        switch request.body {
        case .write(let range, let truncation, _):
            knowsTruncation(truncation.number, of: range.object.file) || mutated(.namesBeforeCut)
        case .zero(let object, _, let truncation, _):
            knowsTruncation(truncation.number, of: object.file) || mutated(.namesBeforeCut)
        case .deleteRange, .mutate, .read, .readVersion, .query, .flush: true
        }
    }

    func askBeforeRead(_ read: WaitingRequest, _ file: FileID) {
        guard reign.askedReads.count < limits.waitingRequests else {
            refuse(read.token, read.request, .unavailable)
            return
        }
        let work = begin(.findCut(reign: reign.number))
        reign.askedReads.append((work, read))
        emit(.findCut(file, work))
    }

    /// A file's last cut, or that there was none.
    public func cutFound(
        _ token: WorkToken, _ file: FileID, _ cut: (truncation: TruncationMark, kind: RangeDeletion.Kind)?,
        at now: Moment
    ) {
        self.now = now
        guard case .findCut(let number)? = end(token), role == .primary, number == reign.number, let map else { return }
        mark(.forgottenCutFound, if: cut != nil)
        marks.remember(
            file, cut.map { FileMarks.Mark(truncation: $0.truncation, removed: $0.kind) }, limit: limits.fileMarks)
        // At once, before others can make it be forgotten.
        if let i = reign.askedReads.firstIndex(where: { $0.work == token }) {
            let read = reign.askedReads.remove(at: i).read
            admit(read.token, read.request, read.checksums, map)
            return
        }
        guard let i = reign.parked.firstIndex(where: { $0.work == token }) else { return }
        reign.parked[i].work = nil
        startParked(i)
        retryParked()
        admitWaiting()
    }

    func needsMerge(_ request: PGRequest) -> Bool {
        switch request.body {
        case .write(let range, _, _):
            range.offset % Geometry.blockSize != 0 || range.length % Geometry.blockSize != 0
        case .deleteRange(let d): cutBlock(d) != nil
        case .zero, .mutate, .read, .readVersion, .query, .flush: false
        }
    }

    /// The block that a truncation goes through, if this group holds it: its object, block and the bytes of it that stay. None
    /// if the log has the truncation already: what lies behind the cut now was written after it.
    private func cutBlock(_ d: RangeDeletion) -> (object: ObjectID, offset: Int)? {
        guard d.kind == .truncation, d.truncation.size % UInt64(Geometry.blockSize) != 0, let map,
            !knowsTruncation(d.truncation.number, of: d.file)
        else { return nil }
        let (index, offset) = d.layout.locate(d.truncation.size)
        let object = ObjectID(file: d.file, index: index)
        guard Placement.group(of: object, groupCount: map.dataPGCount) == pg else { return nil }
        return (object, offset)
    }

    func park(_ token: RequestToken, _ request: PGRequest, _ checksums: [UInt32]) {
        guard let (file, object, blocks) = blocksTouched(request) else { return }
        reign.parked.append(
            ParkedWrite(
                token: token, request: request, checksums: checksums, work: nil, file: file, object: object,
                blocks: blocks))
        startParked(reign.parked.count - 1)
    }

    /// Starts what is not behind another one on its blocks any more. Something was named, decided or refused.
    func retryParked() {
        var i = 0
        while role == .primary, i < reign.parked.count {
            let before = reign.parked.count
            if reign.parked[i].work == nil { startParked(i) }
            if reign.parked.count == before { i += 1 }
        }
    }

    /// Merges or names the parked change at `i` if nothing is in its way; may remove it from the list.
    private func startParked(_ i: Int) {
        let p = reign.parked[i]
        for before in reign.parked[..<i] where before.overlaps(p.file, p.object, p.blocks) { return }
        if holdsBack(p.file, p.object, p.blocks) { return }
        if mustAsk(p.file) {
            let token = begin(.findCut(reign: reign.number))
            reign.parked[i].work = token
            emit(.findCut(p.file, token))
            return
        }
        if p.token == .none, case .deleteRange(let d) = p.request.body, knowsTruncation(d.truncation.number, of: d.file)
        {
            // A cut of the primary's own, and the file has it.
            reign.parked.remove(at: i)
            return
        }
        guard knowsCut(of: p.request) else {
            reign.parked.remove(at: i)
            return refuse(p.token, p.request, .unavailable)
        }
        guard needsMerge(p.request) else {
            reign.parked.remove(at: i)
            if !duplicateAnswered(p.token, p.request) {
                nameRequest(p.token, p.request, p.request.payload, p.checksums, edge: nil)
            }
            return
        }
        guard let merge = merge(p.request) else { return }
        let token = begin(.edges(reign: reign.number))
        reign.parked[i].work = token
        emit(.completeEdges(token, merge))
    }

    /// What is to be merged; nil if an undecided predecessor must be decided first.
    private func merge(_ request: PGRequest) -> EdgeMerge? {
        switch request.body {
        case .write(let range, let truncation, _):
            let blocks = range.blocks
            var head: EdgeBase?
            var tail: EdgeBase?
            let end = range.offset + range.length
            let oneBlock = blocks.count == 1
            if range.offset % Geometry.blockSize != 0 || oneBlock && end % Geometry.blockSize != 0 {
                guard let base = base(range.object, block: blocks.first, truncation) else { return nil }
                head = base
            }
            if !oneBlock, end % Geometry.blockSize != 0 {
                guard let base = base(range.object, block: blocks.end - 1, truncation) else { return nil }
                tail = base
            }
            return EdgeMerge(
                object: range.object, offset: range.offset, payload: request.payload, blocks: blocks,
                truncation: truncation, head: head, tail: tail)
        case .deleteRange(let d):
            guard let (object, offset) = cutBlock(d) else { return nil }
            let block = BlockRange(first: offset / Geometry.blockSize, count: 1)
            guard let base = base(object, block: block.first, d.truncation) else { return nil }
            return EdgeMerge(
                object: object, offset: offset, payload: nil, blocks: block, truncation: d.truncation, head: base,
                tail: nil)
        case .zero, .mutate, .read, .readVersion, .query, .flush: return nil
        }
    }

    /// The newest sequenced content of a block. Nil if that is an undecided entry whose effect on the block is not simply
    /// its own bytes (a cut, a restatement, a write under an older truncation): it must be decided first.
    private func base(_ object: ObjectID, block: Int, _ truncation: TruncationMark) -> EdgeBase? {
        var k = tail.count - 1
        while k >= 0 {
            let e = tail[k].entry
            switch e.body {
            case .write(let w):
                if w.object == object, block >= w.blocks.first, block < w.blocks.end {
                    guard w.truncation.number == truncation.number, let payload = e.payload else { return nil }
                    return .inFlight(payload, offset: (block - w.blocks.first) * Geometry.blockSize)
                }
            case .zero(let z):
                if z.object == object, block >= z.blocks.first, block < z.blocks.end {
                    return z.truncation.number == truncation.number ? .zero : nil
                }
            case .deleteRange(let d): if d.file == object.file { return nil }
            case .restate(let r): if r.object == object { return nil }
            case .empty, .namespace, .scrubMark: break
            }
            k -= 1
        }
        return .stored
    }

    /// Edges are whole. For a write: the new payload covers the whole blocks, with one checksum each. For a cut: the block
    /// with its end zero, or no payload if the block is absent or zero.
    public func edgesCompleted(_ token: WorkToken, _ payload: PayloadHandle?, checksums: [UInt32], at now: Moment) {
        self.now = now
        guard case .edges(let number)? = end(token), role == .primary, number == reign.number,
            let i = reign.parked.firstIndex(where: { $0.work == token })
        else {
            drop(payload)
            return
        }
        if mustAsk(reign.parked[i].file) {
            reign.parked[i].work = nil
            drop(payload == reign.parked[i].request.payload ? nil : payload)
            retryParked()
            return
        }
        let p = reign.parked.remove(at: i)
        if duplicateAnswered(p.token, p.request) {
            drop(payload == p.request.payload ? nil : payload)
        } else {
            switch p.request.body {
            case .deleteRange(let d):
                var edge: BlockWrite?
                if payload != nil, let (object, offset) = cutBlock(d) {
                    edge = BlockWrite(
                        object: object, blocks: BlockRange(first: offset / Geometry.blockSize, count: 1),
                        checksums: checksums, truncation: d.truncation)
                }
                if edge == nil { drop(payload) }
                nameRequest(p.token, p.request, edge == nil ? nil : payload, [], edge: edge)
            case .write, .zero, .mutate, .read, .readVersion, .query, .flush:
                nameRequest(p.token, p.request, payload, checksums, edge: nil)
            }
        }
        retryParked()
        admitWaiting()
    }

    /// A base block is unreadable.
    public func edgesFailed(_ token: WorkToken, at now: Moment) {
        self.now = now
        guard case .edges(let number)? = end(token), role == .primary, number == reign.number,
            let i = reign.parked.firstIndex(where: { $0.work == token })
        else { return }
        let p = reign.parked.remove(at: i)
        refuse(p.token, p.request, .unreadable)
        if p.token == .none {
            // It was to come before these.
            let behind = reign.parked.filter { $0.file == p.file && !knowsCut(of: $0.request) }
            reign.parked.removeAll { $0.file == p.file && !knowsCut(of: $0.request) }
            for write in behind { refuse(write.token, write.request, .unreadable) }
        }
        retryParked()
        admitWaiting()
    }
}
