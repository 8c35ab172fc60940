import ClusterModel
import Simulation
import Store
import Testing

/// Filesets that were deleted leave a disk, whatever happens to it meanwhile.
@Suite struct GoneFilesetsTests {
    private static let kept = FilesetID(1)
    private static let gone = FilesetID(2)

    private static func filesets(_ live: FilesetID...) throws -> LiveFilesets {
        let policy = try #require(ReplicationPolicy(copies: 3))
        var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 8)
        map.filesets = live.map { Fileset(id: $0, name: "f", layout: .standard, state: .live, junction: nil) }
        map.lastFileset = FilesetID(2)
        return LiveFilesets(map)
    }

    /// A disk with random entries of two filesets in two groups.
    private struct Run {
        let disk = FakeDisk()
        var random: SplitMix64
        var host: StoreHost
        var filesets: LiveFilesets
        var next: [PGID: UInt64] = [.data(3): 1, .data(5): 1]
        /// The blocks of the fileset that stays, by object, with what was written last.
        var expected: [ObjectID: [Int: UInt32]] = [:]
        var seed: UInt32 = 0

        init(seed: UInt64) throws {
            random = SplitMix64(seed: seed)
            host = StoreHost(disk, History.small, boot: 1, seed: seed)
            host.start()
            filesets = try GoneFilesetsTests.filesets(kept, gone)
            host.call { [filesets] in $0.filesetsChanged(filesets) }
        }

        mutating func append(_ pg: PGID, _ body: EntryBody, _ payload: [UInt8]?) {
            let n = next[pg, default: 1]
            next[pg] = n + 1
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

        /// One entry: a write, or a cut of a whole file.
        mutating func change() {
            let pg = random.below(2) == 0 ? PGID.data(3) : .data(5)
            let fileset = random.below(2) == 0 ? kept : gone
            let file = FileID(
                fileset: fileset, inode: InodeNumber(UInt64(2 + random.below(3) * 2 + Int(pg.rawValue % 2))))
            if fileset == gone, random.below(6) == 0 {
                let deletion = RangeDeletion(
                    file: file, truncation: TruncationMark(number: TruncationNumber(1), size: 0), layout: .standard,
                    kind: random.below(2) == 0 ? .truncation : .removal, limit: 1 << 24, edge: nil)
                return append(pg, .deleteRange(deletion), nil)
            }
            // An object belongs to one group: its index tells which.
            let object = ObjectID(file: file, index: UInt64(random.below(4) * 2 + (pg == .data(3) ? 0 : 1)))
            let first = random.below(1000)
            let blocks = BlockRange(first: first, count: 1 + random.below(random.below(3) == 0 ? 40 : 4))
            if blocks.end > Geometry.blocksPerObject { return }
            seed += 1
            let (write, bytes) = makeWrite(object, blocks, seed: seed)
            if fileset == kept { for b in blocks.first..<blocks.end { expected[object, default: [:]][b] = seed } }
            append(pg, .write(write), bytes)
        }

        /// kill -9: what was decided is told again by whoever has it.
        mutating func kill() {
            host = StoreHost(disk, History.small, boot: 1, seed: random.next())
            host.start()
            for pg in [PGID.data(3), .data(5)] { next[pg] = host.store.lastEntry(pg).n + 1 }
            host.call { [filesets] in $0.filesetsChanged(filesets) }
        }
    }

    @Test(
        "nothing of a deleted fileset stays on the disk, whenever the disk hears of it and is killed", arguments: 1...30
    )
    func everythingGoes(seed: UInt64) throws {
        var run = try Run(seed: seed)
        for _ in 0..<(10 + run.random.below(60)) {
            run.change()
            if run.random.below(3) == 0 { for _ in 0..<run.random.below(30) { run.host.step() } }
            if run.random.below(4) == 0 {
                run.decide(.data(3))
                run.decide(.data(5))
            }
            if run.random.below(12) == 0 { run.host.call { $0.requestCheckpoint() } }
        }
        run.host.run()
        run.decide(.data(3))
        // Of the other group entries are decided only after the fileset is gone.
        run.filesets = try Self.filesets(Self.kept)
        run.host.call { [filesets = run.filesets] in $0.filesetsChanged(filesets) }
        for _ in 0..<run.random.below(4) {
            for _ in 0..<run.random.below(200) { run.host.step() }
            run.kill()
        }
        run.decide(.data(5))
        run.host.run()
        run.host.settle()
        run.host.run()
        run.host.settle()

        #expect(run.host.failure == nil)
        #expect(run.disk.rows.filesets.allSatisfy { $0 == Self.kept }, "seed \(seed)")
        var slots: Int64 = 0
        for pg in [PGID.data(3), .data(5)] {
            let usage = run.host.store.usage(pg)
            #expect(usage.allSatisfy { $0.fileset == Self.kept }, "seed \(seed): \(usage)")
            slots += usage.reduce(0) { $0 + $1.usage.slots }
        }
        #expect(Int64(run.host.store.takenSlots) == slots, "seed \(seed): slots are left that nothing names")
        for object in run.expected.keys.sorted() {
            let pg: PGID = object.index % 2 == 0 ? .data(3) : .data(5)
            let blocks = run.expected[object] ?? [:]
            for block in blocks.keys.sorted() {
                let found = try run.host.read(pg, object, BlockRange(first: block, count: 1))
                #expect(found == [pattern(blocks[block] ?? 0, block)], "seed \(seed): \(object) block \(block)")
            }
        }
    }

    @Test("a late entry of a deleted fileset is applied as nothing, and gives its slots back")
    func lateEntry() throws {
        let host = StoreHost(FakeDisk(), History.small, boot: 1, seed: 5)
        host.start()
        let filesets = try Self.filesets(Self.kept)
        host.call { $0.filesetsChanged(filesets) }
        let object = ObjectID(file: FileID(fileset: Self.gone, inode: InodeNumber(2)), index: 0)
        let (write, bytes) = makeWrite(object, BlockRange(first: 0, count: 32), seed: 1)
        let entry = Entry(
            name: EntryName(epoch: Epoch(1), n: 1), body: .write(write), session: SessionID(2),
            request: RequestNumber(1), durability: .stable, lossNumber: .zero, time: .zero, payload: host.payload(bytes)
        )
        host.call { $0.append(.data(3), entry) }
        host.run()
        host.call { $0.decide(.data(3), through: entry.name) }
        host.settle()
        #expect(host.store.appliedThrough(.data(3)) == entry.name)
        #expect(host.store.takenSlots == 0)
        #expect(host.store.usage(.data(3)).isEmpty)
        #expect(host.disk.rows.filesets.isEmpty)
    }

    @Test(
        "a group that left the cluster leaves the index and holds the log no longer, and its log may make it known again"
    )
    func forgottenGroup() throws {
        let disk = FakeDisk()
        var host = StoreHost(disk, History.small, boot: 1, seed: 6)
        host.start()
        let pg = PGID.metadata(Self.gone)
        host.tables[pg] = [1, 2, 3]
        for n in UInt64(1)...5 {
            let entry = Entry(
                name: EntryName(epoch: Epoch(1), n: n), body: .namespace, session: SessionID(2),
                request: RequestNumber(n), durability: .stable, lossNumber: .zero, time: .zero,
                payload: host.payload([UInt8(n)]))
            host.call { $0.append(pg, entry, checksum: fastChecksum.checksum([UInt8(n)])) }
        }
        host.run()
        host.call { $0.decide(pg, through: EntryName(epoch: Epoch(1), n: 5)) }
        host.settle()
        #expect(disk.rows.groups.contains(pg))
        host.call { $0.forgetGroup(pg) }
        host.settle()
        #expect(!disk.rows.groups.contains(pg))
        host = StoreHost(disk, History.small, boot: 1, seed: 7)
        host.run()
        // Nobody rewrites the log for it: it is forgotten again by whoever knows that it is gone.
        host.start()
        host.call { $0.forgetGroup(pg) }
        host.settle()
        #expect(!disk.rows.groups.contains(pg))
        #expect(host.store.logBytes < 1 << 20)
        #expect(host.failure == nil)
    }
}
