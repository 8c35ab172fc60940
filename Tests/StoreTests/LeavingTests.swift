import ClusterModel
import Simulation
import Store
import Testing

/// Groups that move away leave a disk, whatever happens to it meanwhile.
@Suite struct LeavingTests {
    private static let kept = PGID.data(3)
    private static let left = PGID.data(5)
    private static let file = FileID(fileset: FilesetID(1), inode: InodeNumber(2))

    /// A disk with random entries of two groups.
    private struct Run {
        let disk = FakeDisk()
        var random: SplitMix64
        var host: StoreHost
        var next: [PGID: UInt64] = [kept: 1, left: 1]
        var expected: [ObjectID: [Int: UInt32]] = [:]
        var seed: UInt32 = 0

        init(seed: UInt64) {
            random = SplitMix64(seed: seed)
            host = StoreHost(disk, History.small, boot: 1, seed: seed)
            host.start()
            for pg in [kept, left] { host.call { $0.writeState(pg, [1], token: StoreToken(900)) } }
        }

        mutating func change() {
            let pg = random.below(2) == 0 ? kept : left
            let n = next[pg, default: 1]
            next[pg] = n + 1
            var body = EntryBody.empty
            var payload: [UInt8]?
            if random.below(8) == 0 {
                body = .deleteRange(
                    RangeDeletion(
                        file: file, truncation: TruncationMark(number: TruncationNumber(1), size: 1 << 30),
                        layout: .standard, kind: .truncation, limit: 1 << 31, edge: nil))
            } else {
                // An object belongs to one group.
                let object = ObjectID(file: file, index: UInt64(random.below(4) * 2 + (pg == kept ? 0 : 1)))
                let blocks = BlockRange(
                    first: random.below(900), count: 1 + random.below(random.below(3) == 0 ? 40 : 4))
                seed += 1
                let (write, bytes) = makeWrite(object, blocks, seed: seed)
                if pg == kept { for b in blocks.first..<blocks.end { expected[object, default: [:]][b] = seed } }
                body = .write(write)
                payload = bytes
            }
            let entry = Entry(
                name: EntryName(epoch: Epoch(1), n: n), body: body, session: SessionID(2), request: RequestNumber(n),
                durability: random.below(2) == 0 ? .stable : .unstable, lossNumber: .zero, time: .zero,
                payload: payload.map(host.payload))
            host.call { $0.append(pg, entry) }
        }

        mutating func decide(_ pg: PGID) {
            let through = EntryName(epoch: Epoch(1), n: next[pg, default: 1] - 1)
            host.call { $0.decide(pg, through: through) }
        }

        mutating func work(_ count: Int) {
            for _ in 0..<count {
                change()
                if random.below(3) == 0 { for _ in 0..<random.below(30) { host.step() } }
                if random.below(4) == 0 {
                    decide(kept)
                    decide(left)
                }
                if random.below(12) == 0 { host.call { $0.requestCheckpoint() } }
            }
        }

        /// Opens the disk again, as a new process does, after a kill or a loss of power.
        mutating func reopen(losingPower: Bool) {
            if losingPower { disk.losePower(&random) }
            host = StoreHost(disk, History.small, boot: losingPower ? random.next() : 1, seed: random.next())
            host.start()
            next[kept] = host.store.lastEntry(kept).n + 1
            decide(kept)
        }

        func checkNothingIsLeft(_ seed: UInt64) throws {
            #expect(host.failure == nil)
            #expect(!disk.rows.groups.contains(left), "seed \(seed)")
            #expect(host.store.usage(left).isEmpty, "seed \(seed)")
            let slots = host.store.usage(kept).reduce(0) { $0 + $1.usage.slots }
            #expect(Int64(host.store.takenSlots) == slots, "seed \(seed): slots are left that nothing names")
            for object in expected.keys.sorted() {
                let blocks = expected[object] ?? [:]
                for block in blocks.keys.sorted() {
                    let found = try host.read(kept, object, BlockRange(first: block, count: 1))
                    let isThere = found == [pattern(blocks[block] ?? 0, block)]
                    #expect(isThere, "seed \(seed): \(object) block \(block)")
                }
            }
        }
    }

    @Test("nothing of a group that has left stays on the disk, and nothing else is touched", arguments: 1...30)
    func everythingGoes(seed: UInt64) throws {
        var run = Run(seed: seed)
        run.work(10 + run.random.below(60))
        run.host.call { $0.leaveGroup(Self.left, token: StoreToken(901)) }
        for _ in 0..<run.random.below(40) { run.host.step() }
        run.decide(Self.kept)
        run.host.run()
        run.host.settle()
        run.host.settle()
        #expect(run.host.left == [Self.left], "seed \(seed)")
        try run.checkNothingIsLeft(seed)
    }

    @Test(
        "a process that dies while a group leaves never finds the group whole again, and ends what was begun",
        arguments: UInt64(1)...30, [[], [9]] as [[UInt8]])
    func dies(seed: UInt64, state: [UInt8]) throws {
        var run = Run(seed: seed)
        run.work(10 + run.random.below(40))
        run.decide(Self.kept)
        run.decide(Self.left)
        run.host.run()
        run.host.call { $0.requestStable(Self.kept, through: $0.lastEntry(Self.kept)) }
        run.host.run()
        let token = StoreToken(901)
        run.host.call { $0.leaveGroup(Self.left, state: state, token: token) }
        for _ in 0..<3 {
            for _ in 0..<run.random.below(60) { run.host.step() }
            let isMarked = run.host.durable.contains(token)
            run.reopen(losingPower: run.random.below(2) == 0)
            if isMarked {
                let found = run.host.report?.groups.first { $0.pg == Self.left }
                let isGone = found?.state.isEmpty ?? true
                #expect(isGone || found?.state == state, "seed \(seed): the group counts as one that is here")
            }
            run.host.call { $0.leaveGroup(Self.left, state: state, token: token) }
        }
        run.host.run()
        run.host.settle()
        run.host.settle()
        try run.checkNothingIsLeft(seed)
    }

    @Test("a group comes back to a disk that it has left, and is there after the next opening", arguments: 1...20)
    func comesBack(seed: UInt64) throws {
        var run = Run(seed: seed)
        run.work(20)
        run.host.call { $0.leaveGroup(Self.left, token: StoreToken(901)) }
        run.host.run()
        run.host.settle()
        run.host.settle()
        try #require(run.host.left == [Self.left])
        run.host.call {
            $0.writeState(Self.left, [7], token: StoreToken(902))
            $0.restart(Self.left, after: EntryName(epoch: Epoch(3), n: 50))
        }
        let object = ObjectID(file: Self.file, index: 1)
        let (write, bytes) = makeWrite(object, BlockRange(first: 0, count: 20), seed: 77)
        let name = EntryName(epoch: Epoch(3), n: 51)
        let entry = Entry(
            name: name, body: .write(write), session: SessionID(2), request: RequestNumber(1), durability: .stable,
            lossNumber: .zero, time: .zero, payload: run.host.payload(bytes))
        run.host.call { $0.append(Self.left, entry) }
        run.host.call { $0.decide(Self.left, through: name) }
        run.host.run()
        if run.random.below(2) == 0 { run.host.settle() }
        run.reopen(losingPower: run.random.below(2) == 0)
        let found = try #require(run.host.report?.groups.first { $0.pg == Self.left })
        #expect(found.state == [7])
        #expect(found.health == .whole)
        #expect(found.logEnd == name)
        run.host.call { $0.decide(Self.left, through: name) }
        run.host.run()
        for block in 0..<20 {
            let isThere =
                try run.host.read(Self.left, object, BlockRange(first: block, count: 1)) == [pattern(77, block)]
            #expect(isThere, "seed \(seed)")
        }
    }
}
