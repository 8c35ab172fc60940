import ClusterModel
import Replication
import Store
import Wire

/// Reads of a hosted disk: plans, rows that have to come first, verification, blocks that move meanwhile; as `ObjectRead`,
/// `PieceReading`, `ChangeListing` and `EdgeCompletion` do in production.
extension HostedDisk {
    typealias Found = (bytes: [UInt8], presence: Presence)

    private static let attempts = 64

    enum Outcome {
        case read([UInt8])
        case mismatch(block: Int)
    }

    /// Nil when rows must be read first: then `again` is called, once.
    func plan(_ pg: PGID, _ object: ObjectID, _ blocks: BlockRange, again: @escaping () -> Void) -> ReadPlan? {
        let token = token { _ in again() }
        let plan = store.read(pg, object, blocks, token: token)
        if plan != nil { forget(token) } else { simulator.needsCycleEnd(n) }
        return plan
    }

    func version(
        _ pg: PGID, _ object: ObjectID, again: @escaping () -> Void
    ) -> (version: EntryName, truncation: TruncationNumber)? {
        let token = token { _ in again() }
        let found = store.version(pg, object, token: token)
        if found != nil { forget(token) } else { simulator.needsCycleEnd(n) }
        return found
    }

    func newestCut(_ pg: PGID, of file: FileID, done: @escaping (NewestCut) -> Void) {
        let token = token { [unowned self] _ in newestCut(pg, of: file, done: done) }
        guard let found = store.newestCut(pg, of: file, token: token) else { return simulator.needsCycleEnd(n) }
        forget(token)
        done(found)
    }

    /// `keepsBytes`: false for who only wants to know that they match; then none are given.
    private func bytes(_ pieces: [ReadPiece], _ object: ObjectID, _ held: HeldBlocks, keepsBytes: Bool) -> Outcome {
        var whole: [UInt8] = []
        if keepsBytes, pieces.count > 1 { whole.reserveCapacity(pieces.reduce(0) { $0 + $1.blocks.byteCount }) }
        for piece in held.found.isEmpty ? pieces : pieces.flatMap(\.eachBlock) {
            if !keepsBytes, piece.source == .zero || piece.source == .absent { continue }
            if piece.blocks.count == 1, let sum = piece.checksums.first, let bytes = held.bytes(piece.blocks.first, sum)
            {
                if keepsBytes { whole += bytes }
                continue
            }
            switch disk.read(piece, of: object, payload: { _ in [] }) {
            case .bytes(let bytes):
                if pieces.count == 1, held.found.isEmpty { return .read(keepsBytes ? bytes : []) }
                if keepsBytes { whole += bytes }
            case .mismatch(let block): return .mismatch(block: block)
            }
        }
        return .read(whole)
    }

    /// From the page cache at once, or on the I/O thread.
    private func readBlocks(
        _ pieces: [ReadPiece], _ object: ObjectID, _ held: HeldBlocks, keepsBytes: Bool = true,
        done: @escaping (Outcome) -> Void
    ) {
        if simulator.chance(80) { return done(bytes(pieces, object, held, keepsBytes: keepsBytes)) }
        submit(.io) { [unowned self] in
            let outcome = bytes(pieces, object, held, keepsBytes: keepsBytes)
            return { done(outcome) }
        }
    }

    func cutLength(_ object: ObjectID, _ truncation: TruncationMark) -> Int {
        simulator.scenario.layout.objectLength(index: object.index, fileSize: truncation.size)
    }

    /// Bytes of an object as applied; content older than `truncation` is seen as cut there. Nil: a bad block. `keepsBytes`: as
    /// for `bytes`.
    func read(
        _ pg: PGID, _ range: ObjectRange, _ truncation: TruncationMark, attempt: Int = 1,
        held: HeldBlocks = HeldBlocks(), keepsBytes: Bool = true, done: @escaping (Found?) -> Void
    ) {
        let again = { [unowned self] in
            read(pg, range, truncation, attempt: attempt + 1, held: held, keepsBytes: keepsBytes, done: done)
        }
        if attempt > HostedDisk.attempts {
            simulator.fail("\(node.id): a read of \(range.object) does not end")
            return done(nil)
        }
        var cut: Int?
        if truncation.number > .zero {
            guard let number = version(pg, range.object, again: again)?.truncation else { return }
            if number < truncation.number { cut = cutLength(range.object, truncation) }
        }
        guard let plan = plan(pg, range.object, range.blocks, again: again) else { return }
        readBlocks(plan.pieces, range.object, held, keepsBytes: keepsBytes) { [unowned self] outcome in
            switch outcome {
            case .read(let whole):
                store.readFinished(plan.ticket)
                if !keepsBytes { return done(([], plan.presence)) }
                let skip = range.offset - range.blocks.first * Geometry.blockSize
                var bytes = whole.count == range.length ? whole : Array(whole[skip..<skip + range.length])
                if let cut, cut < range.offset + range.length {
                    for i in max(cut - range.offset, 0)..<range.length { bytes[i] = 0 }
                }
                done((bytes, plan.presence))
            case .mismatch(let block):
                mend(plan, block, held, again: again) { [unowned self] held in
                    guard let held else { return done(nil) }
                    read(pg, range, truncation, attempt: attempt, held: held, keepsBytes: keepsBytes, done: done)
                }
            }
        }
    }

    /// What a mismatch means: `again` if the block has moved; else it is brought from elsewhere, or nil is given.
    private func mend(
        _ plan: ReadPlan, _ block: Int, _ held: HeldBlocks, again: @escaping () -> Void,
        done: @escaping (HeldBlocks?) -> Void
    ) {
        let verdict = store.verdict(plan, block: block)
        store.readFinished(plan.ticket)
        switch verdict {
        case .readAgain: again()
        case .bad:
            if simulator.scenario.rot == .none {
                simulator.fail("\(node.id): block \(block) of \(plan.object) in \(plan.pg) is bad when read")
            }
            guard let sum = plan.contentBlocks.first(where: { $0.blocks.first == block })?.checksums[0],
                held.lost[block] != sum
            else { return done(nil) }
            mend(plan.pg, plan.object, block: block) { other in
                var held = held
                held.take(other)
                if held.bytes(block, sum) == nil, held.lost[block] != sum { return again() }
                done(held)
            }
        }
    }

    // MARK: Catching up

    func listChanges(_ pg: PGID, after name: EntryName, done: @escaping ([ObjectID], [ListedCut]) -> Void) {
        var objects: [ObjectID] = []
        var cuts: [ListedCut] = []
        var listed: Set<ObjectID> = []
        func next(_ cursor: ChangeCursor) {
            store.changes(
                pg, after: cursor,
                token: token { notice in
                    guard case .changes(let page) = notice else { return }
                    for change in page.changes {
                        switch change {
                        case .object(let object, _, _): if listed.insert(object).inserted { objects.append(object) }
                        case .cut(let cut):
                            if cut.version > name {
                                cuts.append(
                                    ListedCut(
                                        version: cut.version, file: cut.file, truncation: cut.truncation,
                                        kind: cut.kind))
                            }
                        }
                    }
                    if let cursor = page.next { next(cursor) } else { done(objects, cuts) }
                })
            simulator.needsCycleEnd(n)
        }
        next(ChangeCursor(incompleteAndAfter: name))
    }

    func install(_ pg: PGID, _ piece: Piece, done: @escaping () -> Void) {
        simulator.countPiece(of: pg, attempt: piece.attempt, to: n)
        if let payload = piece.payload { node.retain(payload) }
        store.install(pg, ObjectPiece(piece), payload: piece.payload, token: token { _ in done() })
        simulator.needsCycleEnd(n)
    }

    func remove(_ pg: PGID, _ object: ObjectID, done: @escaping () -> Void) {
        store.deleteObject(pg, object, token: token { _ in done() })
        simulator.needsCycleEnd(n)
    }

    /// Nil: a bad block.
    func readPiece(
        _ pg: PGID, _ object: ObjectID, _ blocks: BlockRange, attempt: Int = 1, held: HeldBlocks = HeldBlocks(),
        lost: [Int: UInt32] = [:], done: @escaping (PieceContent?) -> Void
    ) {
        let again = { [unowned self] in
            readPiece(pg, object, blocks, attempt: attempt + 1, held: held, lost: lost, done: done)
        }
        if attempt > HostedDisk.attempts { return done(nil) }
        guard let version = version(pg, object, again: again) else { return }
        let rest = BlockRange(first: blocks.first, count: Geometry.blocksPerObject - blocks.first)
        guard let plan = plan(pg, object, rest, again: again) else { return }
        var found = PieceContent(
            content: 0, zero: 0, checksums: [], version: version.version,
            truncation: TruncationMark(number: version.truncation, size: 0), position: .last, payload: nil)
        var wanted: [ReadPiece] = []
        for piece in plan.pieces {
            if piece.blocks.end > blocks.end, piece.source != .absent { found.position = .more }
            for (i, block) in (piece.blocks.first..<min(piece.blocks.end, max(blocks.end, piece.blocks.first)))
                .enumerated()
            {
                let bit = UInt64(1) << UInt64(block - blocks.first)
                switch piece.source {
                case .absent: break
                case .zero: found.zero |= bit
                case .log, .data, .payload:
                    found.content |= bit
                    found.checksums.append(piece.checksums[i])
                    if lost[block] == piece.checksums[i] {
                        found.lost |= bit
                        continue
                    }
                    wanted.append(
                        ReadPiece(
                            blocks: BlockRange(first: block, count: 1), source: piece.source.moved(byBlocks: i),
                            checksums: [piece.checksums[i]]))
                }
            }
        }
        if wanted.isEmpty {
            store.readFinished(plan.ticket)
            return done(found)
        }
        var present = plan
        present.pieces = wanted
        readBlocks(wanted, object, held) { [unowned self] outcome in
            switch outcome {
            case .read(let bytes):
                store.readFinished(plan.ticket)
                found.payload = node.keep(bytes)
                done(found)
            case .mismatch(let block):
                mend(present, block, held, again: again) { [unowned self] held in
                    var lost = lost
                    if held == nil {
                        lost[block] = present.contentBlocks.first { $0.blocks.first == block }?.checksums[0]
                    }
                    readPiece(
                        pg, object, blocks, attempt: held == nil ? attempt + 1 : attempt, held: held ?? HeldBlocks(),
                        lost: lost, done: done)
                }
            }
        }
    }

    // MARK: Edges

    /// Makes whole blocks of an unaligned write. Nil: a base block is bad.
    func complete(_ merge: EdgeMerge, _ pg: PGID, done: @escaping ((bytes: [UInt8], checksums: [UInt32])?) -> Void) {
        let data = merge.payload.flatMap { node.payloads[$0.id]?.bytes } ?? []
        if let payload = merge.payload, data.count != payload.length {
            simulator.fail("\(node.id) completes the edges of a payload that it dropped")
            return done(nil)
        }
        let heldHead = held(merge.head)
        let heldTail = held(merge.tail)
        base(merge, merge.head, heldHead, pg, block: merge.blocks.first) { [unowned self] head in
            guard let head else { return done(nil) }
            base(merge, merge.tail, heldTail, pg, block: merge.blocks.end - 1) { tail in
                guard let tail else { return done(nil) }
                let size = Geometry.blockSize
                func part(_ base: [UInt8], _ range: Range<Int>) -> [UInt8] {
                    base.isEmpty ? [UInt8](repeating: 0, count: range.count) : Array(base[range])
                }
                let before = merge.offset - merge.blocks.first * size
                var whole = part(head, 0..<before) + data
                let after = merge.blocks.byteCount - whole.count
                if merge.payload == nil {
                    whole += repeatElement(0, count: after)
                } else if after > 0 {
                    whole += part(merge.blocks.count == 1 ? head : tail, size - after..<size)
                }
                done((whole, BlockContent.checksums(merge.object, first: merge.blocks.first, whole)))
            }
        }
    }

    private func held(_ base: EdgeBase?) -> [UInt8]? {
        guard case .inFlight(let handle, let offset)? = base, let bytes = node.payloads[handle.id]?.bytes else {
            return nil
        }
        return Array(bytes[offset..<offset + Geometry.blockSize])
    }

    private func base(
        _ merge: EdgeMerge, _ base: EdgeBase?, _ held: [UInt8]?, _ pg: PGID, block: Int,
        _ done: @escaping ([UInt8]?) -> Void
    ) {
        switch base {
        case nil, .zero: done([])
        case .inFlight: done(held)
        case .stored:
            let range = ObjectRange(
                object: merge.object, offset: block * Geometry.blockSize, length: Geometry.blockSize)
            read(pg, range, merge.truncation) { done($0?.bytes) }
        }
    }

    // MARK: At the end of a run

    /// Stands for the bytes of a block that has none.
    static let badBlock = [UInt8](repeating: 0xEE, count: Geometry.blockSize)

    /// Every block's state and bytes now, in order, without waiting for anybody.
    func contentNow(_ pg: PGID, _ object: ObjectID, _ blocks: BlockRange) -> [ObjectBlocks] {
        for _ in 0..<200 {
            let token = token { _ in }
            guard let plan = store.read(pg, object, blocks, token: token) else {
                settle()
                drain()
                continue
            }
            forget(token)
            defer { store.readFinished(plan.ticket) }
            return plan.pieces.map { piece in
                let state: BlockState =
                    switch piece.source {
                    case .absent: .absent
                    case .zero: .zero
                    case .log, .data, .payload: .present
                    }
                switch disk.read(piece, of: object, payload: { _ in [] }) {
                case .bytes(let bytes): return ObjectBlocks(blocks: piece.blocks, state: state, bytes: bytes)
                case .mismatch(let block):
                    if simulator.scenario.rot == .none {
                        simulator.fail("\(node.id): block \(block) of \(object) in \(pg) is bad at the end")
                    }
                    // With rot a block may be bad, if it is so on all replicas.
                    let each = piece.eachBlock.map { readEach([$0], object)[0] }
                    return ObjectBlocks(
                        blocks: piece.blocks, state: state,
                        bytes: each.flatMap { $0 ?? HostedDisk.badBlock })
                }
            }
        }
        simulator.fail("\(node.id): rows of \(object) do not come")
        return []
    }

    /// All threads do all that they have.
    private func drain() {
        for lane in Lane.allCases {
            while let job = lanes[lane]?.first {
                lanes[lane]?.removeFirst()
                job()()
            }
        }
    }
}

/// A run of blocks of one state.
struct ObjectBlocks {
    var blocks: BlockRange
    var state: BlockState
    var bytes: [UInt8]
}
