import ClusterModel
import Simulation
import Store
import Testing

/// A block that has gone bad where it lies.
struct RottenBlock {
    var group: Int
    var object: ObjectID
    var block: Int
}

extension History {
    /// A block that is on the medium goes bad, or a slot with a bad block is written anew while all else goes on.
    func rotOrRepair() {
        if random.below(3) == 0, let bad = rotten.randomElement(using: &random) {
            _ = repairSlot(bad)
        } else {
            rot()
        }
    }

    private func rot() {
        // What a batch header on the disk knows to be stable: rot before it is never taken for the log's torn end.
        let known = stableMarks.count > 2 ? stableMarks[stableMarks.count - 3] : .zero
        if stableMarks.last != host.store.logStable { stableMarks.append(host.store.logStable) }
        let g = random.below(2)
        let object = randomObject(g)
        let token = host.token()
        guard
            let plan = host.store.read(groups[g].pg, object, BlockRange(first: 0, count: 64), token: token)
        else { return host.collect() }
        defer { host.store.readFinished(plan.ticket) }
        let content = plan.contentBlocks
        guard !content.isEmpty else { return }
        let victim = content[random.below(content.count)]
        switch victim.source {
        case .data(let offset):
            guard disk.data.isSynced(at: Int(offset)) else { return }
            disk.data.flip(at: Int(offset) + random.below(4096))
        case .log(let segment, let offset):
            let position = segment.rawValue * UInt64(host.store.configuration.segmentSize) + UInt64(offset)
            guard position + 4096 <= known.rawValue else { return }
            disk.segments[segment]?.flip(at: offset + random.below(4096))
        case .payload, .zero, .absent: return
        }
        rotten.append(RottenBlock(group: g, object: object, block: victim.blocks.first))
        rotsSeen += 1
    }

    /// Writes the slot of a bad block anew, with what its blocks should be; nil if its rows are not in memory, or it has no
    /// content any more.
    private func repairSlot(_ bad: RottenBlock) -> StoreToken? {
        let pg = groups[bad.group].pg
        let slot = bad.block / Geometry.blocksPerSlot
        let range = BlockRange(first: slot * Geometry.blocksPerSlot, count: Geometry.blocksPerSlot)
        let token = host.token()
        guard let plan = host.store.read(pg, bad.object, range, token: token) else {
            host.collect()
            return nil
        }
        let pieces = plan.contentBlocks
        host.store.readFinished(plan.ticket)
        let content = groups[bad.group].content(through: host.store.appliedThrough(pg))[bad.object] ?? [:]
        var repair = SlotRepair(object: bad.object, slotIndex: slot)
        var payload: [UInt8] = []
        for piece in pieces {
            let block = piece.blocks.first
            guard case .seed(let seed)? = content[block] else { return nil }
            let bytes = pattern(seed, block)
            let sum = bytes.withUnsafeBytes { fastChecksum.block(bad.object, block: block, bytes: $0) }
            guard [sum] == piece.checksums else { return nil }
            repair.content |= 1 << UInt16(block - range.first)
            repair.checksums.append(sum)
            payload += bytes
        }
        guard repair.content != 0 else { return nil }
        let done = host.token()
        let handle = host.payload(payload)
        host.call { $0.repair(pg, repair, payload: handle, token: done) }
        repairsMade += 1
        return done
    }

    /// Every block that has gone bad is good again when its slot has been written anew.
    func repairAll(_ when: String) {
        for bad in rotten {
            let one = BlockRange(first: bad.block, count: 1)
            for attempt in 0... {
                do {
                    _ = try host.read(groups[bad.group].pg, bad.object, one)
                    break
                } catch {
                    guard attempt < 4 else {
                        Issue.record("seed \(seed): \(when): \(bad) stays bad")
                        break
                    }
                    if let token = repairSlot(bad) {
                        host.run()
                        #expect(host.durable.contains(token), "seed \(seed): \(when): a repair becomes durable")
                    }
                }
            }
        }
        // They stay in the list: one whose entry was not decided after a crash comes back with it.
    }
}

/// Bad blocks and their repair (store.md, rule 5).
@Suite struct RepairTests {
    let pg = PGID.data(1)
    let object = ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(9)), index: 0)
    let slot = BlockRange(first: 0, count: 16)

    private func open(_ disk: FakeDisk, boot: UInt64 = 1) -> StoreHost {
        let host = StoreHost(disk, History.small, boot: boot, seed: 3)
        host.start()
        return host
    }

    private func write(_ host: StoreHost, _ n: UInt64, _ blocks: BlockRange, seed: UInt32) {
        let (write, payload) = makeWrite(object, blocks, seed: seed)
        let name = EntryName(epoch: Epoch(1), n: n)
        let entry = Entry(
            name: name, body: .write(write), session: SessionID(2), request: RequestNumber(n), durability: .stable,
            lossNumber: .zero, time: .zero, payload: host.payload(payload))
        host.call { $0.append(pg, entry) }
        host.run()
        host.call { $0.decide(pg, through: name) }
    }

    private func rot(_ host: StoreHost, block: Int) throws {
        let one = BlockRange(first: block, count: 1)
        let plan = try #require(host.store.read(pg, object, one, token: host.token()))
        host.store.readFinished(plan.ticket)
        switch try #require(plan.pieces.first?.source) {
        case .data(let offset): host.disk.data.flip(at: Int(offset) + 7)
        case .log(let segment, let offset): host.disk.segments[segment]?.flip(at: offset + 7)
        case .payload, .zero, .absent: Issue.record("the block has no place on the disk")
        }
    }

    private func repair(_ host: StoreHost, seeds: [Int: UInt32], lost: [Int: UInt32] = [:]) {
        var repair = SlotRepair(object: object, slotIndex: 0)
        for (block, seed) in lost.sorted(by: { $0.key < $1.key }) {
            repair.lost |= 1 << UInt16(block)
            repair.lostChecksums += makeWrite(object, BlockRange(first: block, count: 1), seed: seed).0.checksums
        }
        var payload: [UInt8] = []
        for (block, seed) in seeds.sorted(by: { $0.key < $1.key }) {
            let (write, bytes) = makeWrite(object, BlockRange(first: block, count: 1), seed: seed)
            repair.content |= 1 << UInt16(block)
            repair.checksums += write.checksums
            payload += bytes
        }
        let handle = host.payload(payload)
        let token = host.token()
        host.call { $0.repair(pg, repair, payload: handle, token: token) }
    }

    private func place(_ host: StoreHost, block: Int) throws -> UInt64 {
        let plan = try #require(
            host.store.read(pg, object, BlockRange(first: block, count: 1), token: host.token()))
        host.store.readFinished(plan.ticket)
        guard case .data(let offset)? = plan.pieces.first?.source else { return .max }
        return offset
    }

    @Test("A slot with a bad block is written to a fresh slot, and the old one is freed")
    func fresh() throws {
        let host = open(FakeDisk())
        write(host, 1, slot, seed: 5)
        host.settle()
        let before = try place(host, block: 3)
        try rot(host, block: 3)
        #expect(throws: StoreHost.ReadError.self) { try host.read(pg, object, slot) }
        repair(host, seeds: Dictionary(uniqueKeysWithValues: (0..<16).map { ($0, 5) }))
        host.run()
        #expect(try host.read(pg, object, slot) == (0..<16).map { pattern(5, $0) })
        host.settle()
        #expect(try place(host, block: 3) != before, "never in place")
        #expect(try host.read(pg, object, slot) == (0..<16).map { pattern(5, $0) })
        #expect(host.store.takenSlots == 1)
        #expect(host.store.pendingSlotCount == 0)
    }

    @Test("A repair never brings back what was written over meanwhile")
    func newerStays() throws {
        for laterIsLarge in [false, true] {
            let host = open(FakeDisk())
            write(host, 1, slot, seed: 5)
            host.settle()
            try rot(host, block: 3)
            // The repair was made from what was there; then a write is decided before it.
            write(host, 2, laterIsLarge ? slot : BlockRange(first: 4, count: 1), seed: 6)
            repair(host, seeds: Dictionary(uniqueKeysWithValues: (0..<16).map { ($0, 5) }))
            host.run()
            let wanted = (0..<16).map { pattern(laterIsLarge || $0 == 4 ? 6 : 5, $0) }
            #expect(try host.read(pg, object, slot) == wanted)
            host.settle()
            #expect(try host.read(pg, object, slot) == wanted)
            #expect(host.store.takenSlots == 1, "the slot of a repair that came too late is free again")
        }
    }

    @Test("A repair made from less than the slot holds leaves the slot alone")
    func incomplete() throws {
        let host = open(FakeDisk())
        write(host, 1, slot, seed: 5)
        host.settle()
        try rot(host, block: 3)
        repair(host, seeds: [3: 5])
        host.run()
        #expect(throws: StoreHost.ReadError.bad(block: 3)) { try host.read(pg, object, slot) }
        host.settle()
        #expect(host.store.takenSlots == 1)
    }

    @Test("A block that nobody holds stays bad while its slot is mended, until something is written over it")
    func lostBlock() throws {
        for crash in [false, true] {
            var host = open(FakeDisk())
            write(host, 1, slot, seed: 5)
            host.settle()
            try rot(host, block: 3)
            try rot(host, block: 7)
            repair(
                host, seeds: Dictionary(uniqueKeysWithValues: (0..<16).filter { $0 != 7 }.map { ($0, 5) }),
                lost: [7: 5])
            host.run()
            if crash {
                var random = SplitMix64(seed: 3)
                host.disk.losePower(&random)
                host = open(host.disk, boot: 2)
            }
            for _ in 0..<2 {
                #expect(throws: StoreHost.ReadError.bad(block: 7)) { try host.read(pg, object, slot) }
                #expect(try host.read(pg, object, BlockRange(first: 0, count: 7)) == (0..<7).map { pattern(5, $0) })
                #expect(try host.read(pg, object, BlockRange(first: 8, count: 8)) == (8..<16).map { pattern(5, $0) })
                host.settle()
            }
            write(host, 2, BlockRange(first: 7, count: 1), seed: 6)
            host.settle()
            #expect(try host.read(pg, object, slot) == (0..<16).map { pattern($0 == 7 ? 6 : 5, $0) })
            #expect(host.store.takenSlots == 1)
        }
    }

    @Test("A learner that is told of a lost block keeps it if it has it, and has a bad block otherwise")
    func lostPiece() throws {
        for (crash, has) in [(false, true), (false, false), (true, true), (true, false)] {
            var host = open(FakeDisk())
            if has { write(host, 1, BlockRange(first: 0, count: 4), seed: 5) }
            let (whole, bytes) = makeWrite(object, BlockRange(first: 0, count: 4), seed: 5)
            var piece = ObjectPiece(
                object: object, blocks: BlockRange(first: 0, count: 4),
                states: [.present, .present, .absent, .present],
                checksums: [whole.checksums[0], whole.checksums[1], whole.checksums[3]], truncation: .zero,
                asOf: EntryName(epoch: Epoch(1), n: 1), completes: EntryName(epoch: Epoch(1), n: 1))
            piece.lost = 0b100
            piece.lostChecksums = [whole.checksums[2]]
            let handle = host.payload(Array(bytes[..<8192]) + Array(bytes[12288...]))
            let token = host.token()
            host.call { $0.install(pg, piece, payload: handle, token: token) }
            host.run()
            #expect(host.durable.contains(token))
            if crash {
                var random = SplitMix64(seed: 3)
                host.disk.losePower(&random)
                host = open(host.disk, boot: 2)
            }
            for _ in 0..<2 {
                if has {
                    #expect(
                        try host.read(pg, object, BlockRange(first: 0, count: 4)) == (0..<4).map { pattern(5, $0) })
                } else {
                    #expect(throws: StoreHost.ReadError.bad(block: 2)) {
                        try host.read(pg, object, BlockRange(first: 0, count: 4))
                    }
                    #expect(try host.read(pg, object, BlockRange(first: 3, count: 1)) == [pattern(5, 3)])
                }
                host.settle()
            }
            #expect(host.store.usage(pg).map(\.usage.blocks) == [4])
            #expect(host.store.takenSlots == 1)
        }
    }

    @Test("A bad block in the log is told when the checkpoint takes it to its slot, and can be repaired")
    func logRot() throws {
        let host = open(FakeDisk())
        write(host, 1, BlockRange(first: 0, count: 2), seed: 5)
        try rot(host, block: 1)
        host.settle()
        #expect(host.badBlocks == 1)
        #expect(throws: StoreHost.ReadError.bad(block: 1)) { try host.read(pg, object, slot) }
        repair(host, seeds: [0: 5, 1: 5])
        host.settle()
        #expect(try host.read(pg, object, BlockRange(first: 0, count: 2)) == [pattern(5, 0), pattern(5, 1)])
    }

    @Test("What overwrites a bad block makes it good again, without a repair")
    func overwritten() throws {
        let host = open(FakeDisk())
        write(host, 1, slot, seed: 5)
        host.settle()
        try rot(host, block: 3)
        write(host, 2, BlockRange(first: 3, count: 1), seed: 7)
        #expect(try host.read(pg, object, slot) == (0..<16).map { pattern($0 == 3 ? 7 : 5, $0) })
        host.settle()
        #expect(try host.read(pg, object, slot) == (0..<16).map { pattern($0 == 3 ? 7 : 5, $0) })
    }

    @Test("A disk whose blocks rot keeps every promise through any crash, and every bad block can be repaired")
    func crashes() {
        var rots = 0
        var repairs = 0
        for seed in seeds(30) {
            let h = History(seed: 40_000 + seed)
            h.rots = true
            for _ in 0..<5 {
                for _ in 0..<(5 + h.random.below(90)) { h.act() }
                h.crash([.kill, .power, .power, .close][h.random.below(4)])
            }
            h.repairAll("at the end")
            h.host.settle()
            h.checkSpace("at the end")
            rots += h.rotsSeen
            repairs += h.repairsMade
        }
        #expect(rots > 100 && repairs > 50, "the campaign meets rot: \(rots), and repairs: \(repairs)")
    }

    @Test("A crash at every step of a history with rot is survived")
    func everyStep() {
        for seed in [UInt64(5), 77] {
            let whole = History(seed: seed)
            whole.rots = true
            for _ in 0..<60 { whole.act() }
            let steps = whole.host.steps
            for stop in stride(from: 1, through: steps, by: 4) {
                for kind in [Crash.kill, .power] {
                    let h = History(seed: seed)
                    h.rots = true
                    h.stop = stop
                    var acts = 0
                    while h.host.steps < stop, acts < 60 {
                        h.act()
                        acts += 1
                    }
                    h.crash(kind)
                    h.repairAll("after a crash at step \(stop)")
                    if stop % 9 == 1 {
                        h.host.settle()
                        h.checkSpace("after a crash at step \(stop)")
                    }
                }
            }
        }
    }
}
