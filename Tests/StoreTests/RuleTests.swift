import ClusterModel
import Simulation
import Store
import Testing

/// One test for each rule of the design that a single schedule shows.
@Suite struct RuleTests {
    let pg = PGID.data(1)
    let file = FileID(fileset: FilesetID(1), inode: InodeNumber(9))
    var object: ObjectID { ObjectID(file: file, index: 0) }

    func open(_ disk: FakeDisk, boot: UInt64 = 1, _ configuration: StoreConfiguration = History.small) -> StoreHost {
        let host = StoreHost(disk, configuration, boot: boot, seed: 3)
        host.start()
        return host
    }

    func write(
        _ host: StoreHost, _ n: UInt64, _ blocks: BlockRange, seed: UInt32, _ durability: Durability = .unstable,
        in object: ObjectID? = nil
    ) {
        let (write, payload) = makeWrite(object ?? self.object, blocks, seed: seed)
        let entry = Entry(
            name: EntryName(epoch: Epoch(1), n: n), body: .write(write), session: SessionID(2),
            request: RequestNumber(n),
            durability: durability, lossNumber: .zero, time: .zero, payload: host.payload(payload))
        host.call { $0.append(pg, entry) }
    }
    func decide(_ host: StoreHost, _ n: UInt64) {
        host.call { $0.decide(pg, through: EntryName(epoch: Epoch(1), n: n)) }
    }
    func read(_ host: StoreHost, _ blocks: BlockRange) throws -> [[UInt8]?] { try host.read(pg, object, blocks) }

    @Test func aSmallWriteReachesItsSlotOnlyAfterItsRecordIsStable() {
        let disk = FakeDisk()
        let host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 1), seed: 5)
        host.run()
        #expect(host.stable[pg] == nil)
        decide(host, 1)
        host.store.requestCheckpoint()
        host.collect()
        while !host.waiting.isEmpty {
            let copies = host.waiting.contains { if case .copyBlocks = $0 { true } else { false } }
            if copies { break }
            host.step()
        }
        #expect(host.waiting.contains { if case .copyBlocks = $0 { true } else { false } })
        #expect(host.stable[pg] == EntryName(epoch: Epoch(1), n: 1), "the log was synced before anything is copied")
    }

    @Test func whatAFileUsesIsMovingWhileAnEntryOfItIsNotAppliedOrACutNotCarriedOn() {
        let disk = FakeDisk()
        let host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 3), seed: 5)
        host.run()
        #expect(host.usage(pg, of: file) == FileUsage(blocks: 0, standing: .moving))
        let other = FileID(fileset: FilesetID(1), inode: InodeNumber(10))
        #expect(host.usage(pg, of: other) == FileUsage(blocks: 0, standing: .settled))
        decide(host, 1)
        #expect(host.usage(pg, of: file) == FileUsage(blocks: 3, standing: .settled))

        let cut = TruncationMark(number: TruncationNumber(1), size: 4096)
        let entry = Entry(
            name: EntryName(epoch: Epoch(1), n: 2),
            body: .deleteRange(
                RangeDeletion(
                    file: file, truncation: cut, layout: .standard, kind: .truncation, limit: 1 << 20, edge: nil)),
            session: SessionID(2), request: RequestNumber(2), durability: .stable, lossNumber: .zero, time: .zero,
            payload: nil)
        host.call { $0.append(pg, entry) }
        while host.appended[pg]?.n != 2, host.step() {}
        host.call { $0.decide(pg, through: entry.name) }
        #expect(host.usage(pg, of: file)?.standing == .moving)
        host.run()
        #expect(host.usage(pg, of: file) == FileUsage(blocks: 1, standing: .settled))
    }

    @Test func aLargeRecordIsLoggedAfterItsSlotsAreWritten() {
        let disk = FakeDisk()
        let host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 32), seed: 5)
        host.run()
        write(host, 2, BlockRange(first: 0, count: 32), seed: 6)
        var kinds: [String] = []
        for effect in host.waiting {
            if case .writeSlots = effect { kinds.append("slots") }
            if case .writeLog = effect { kinds.append("log") }
        }
        #expect(kinds == ["slots"])
        host.run()
        #expect(host.appended[pg]?.n == 2)
    }

    @Test func aLargeWriteWhoseSlotsWereLostIsVoidAndTheOldContentStays() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 16), seed: 5, .stable)
        host.run()
        decide(host, 1)
        write(host, 2, BlockRange(first: 0, count: 16), seed: 6)
        host.run()
        decide(host, 2)
        // Something that carries the decision, and a sync of the log alone, as every 100 ms.
        write(host, 3, BlockRange(first: 100, count: 1), seed: 7)
        while host.step() {}
        host.tick(milliseconds: 10)
        host.tick(milliseconds: 200)
        host.run()
        // The data file loses everything that was not synced.
        var random = SplitMix64(seed: 1)
        var lost = false
        for _ in 0..<20 where !lost {
            disk.data.losePower(&random)
            lost = true
        }
        disk.losePower(&random)
        host = StoreHost(disk, History.small, boot: 2, seed: 4)
        host.run()
        let group = try #require(host.report?.groups.first)
        host.start()
        let got = try read(host, BlockRange(first: 0, count: 16))
        if group.voids.isEmpty {
            #expect(got == (0..<16).map { pattern(6, $0) }, "the slots survived")
        } else {
            #expect(group.voids.map(\.name.n) == [2])
            #expect(got == (0..<16).map { pattern(5, $0) })
        }
    }

    @Test(
        "What a void record leaves was not written over by a checkpoint: what is copied in part is synced before",
        arguments: [nil, .copiesPartsOfUnsynced] as [StoreMutation?])
    func partsOfVoidRecords(_ mutation: StoreMutation?) throws {
        var voids = 0
        var wrong = 0
        for seed in UInt64(1)...12 {
            let disk = FakeDisk()
            var host = open(disk)
            host.store.mutation = mutation
            write(host, 1, BlockRange(first: 0, count: 48), seed: 5, .stable)
            host.run()
            decide(host, 1)
            host.settle()
            // Its edges lie in slots of the first, the slot between them is its own.
            write(host, 2, BlockRange(first: 8, count: 32), seed: 6)
            host.run()
            decide(host, 2)
            host.store.requestCheckpoint()
            host.collect()
            var hasCopied = false
            while !hasCopied, !host.waiting.isEmpty {
                let copies = host.waiting.count { if case .copyBlocks = $0 { true } else { false } }
                host.step()
                hasCopied =
                    copies > 0 && !host.waiting.contains { if case .copyBlocks = $0 { true } else { false } }
            }
            #expect(hasCopied)
            var random = SplitMix64(seed: seed)
            disk.losePower(&random)
            host = open(disk, boot: 2)
            let isVoid = host.report?.groups.first?.voids.isEmpty == false
            if isVoid { voids += 1 }
            let found = try? read(host, BlockRange(first: 8, count: 32))
            if found != (8..<40).map({ pattern(isVoid ? 5 : 6, $0) }) { wrong += 1 }
        }
        #expect((voids == 0 && wrong == 0) == (mutation == nil), "\(voids) void, \(wrong) wrong")
    }

    @Test(
        "What recovery relies on outlives a loss of power, though it was never synced before",
        arguments: [nil, .reliesOnUnsyncedRows] as [StoreMutation?])
    func unsyncedRows(_ mutation: StoreMutation?) throws {
        var lost = 0
        for seed in UInt64(1)...12 {
            let disk = FakeDisk()
            var host = StoreHost(disk, History.small, boot: 1, seed: seed)
            host.start()
            // Several segments, which the checkpoint lets go.
            for n in UInt64(1)...60 {
                write(host, n, BlockRange(first: Int(n), count: 8), seed: UInt32(n), .stable)
                host.run()
                decide(host, n)
            }
            host.store.requestCheckpoint()
            host.collect()
            // The process is killed when its rows are committed and not synced.
            while !host.waiting.contains(where: { if case .syncRows = $0 { true } else { false } }), host.step() {}
            host = StoreHost(disk, History.small, boot: 1, seed: seed, mutation)
            host.run()
            try #require(host.report?.groups.first?.health == .whole)
            // Or before it has begun.
            var random = SplitMix64(seed: seed)
            disk.losePower(&random)
            host = open(disk, boot: 2)
            let group = try #require(host.report?.groups.first)
            if group.health == .corrupt || group.logEnd.n < 60 { lost += 1 }
        }
        #expect((lost == 0) == (mutation == nil), "\(lost) times")
    }

    @Test("What a store that failed holds of payloads is given back")
    func failedPayloads() throws {
        let host = open(FakeDisk())
        for n in UInt64(1)...20 { write(host, n, BlockRange(first: Int(n) * 20, count: 20), seed: UInt32(n)) }
        #expect(!host.payloads.isEmpty)
        host.call { $0.failed(StoreFailure("test")) }
        #expect(host.payloads.isEmpty)
    }

    @Test(
        "What a checkpoint's tables tell of outlives a loss of power, as they do",
        arguments: [nil, .tablesBeforeLog] as [StoreMutation?])
    func tables(_ mutation: StoreMutation?) throws {
        var ahead = 0
        for seed in UInt64(1)...12 {
            let disk = FakeDisk()
            var host = open(disk)
            host.store.mutation = mutation
            write(host, 1, BlockRange(first: 0, count: 1), seed: 5)
            host.run()
            decide(host, 1)
            host.holdTables = true
            let completed = host.store.checkpointsCompleted
            host.store.requestCheckpoint()
            host.collect()
            host.run()
            try #require(host.tablesWanted == [pg])
            write(host, 2, BlockRange(first: 1, count: 1), seed: 6)
            host.run()
            decide(host, 2)
            host.tables[pg] = [2]
            host.giveTables()
            host.collect()
            while host.store.checkpointsCompleted == completed, host.step() {}
            try #require(host.store.checkpointsCompleted == completed + 1)
            var random = SplitMix64(seed: seed)
            disk.losePower(&random)
            host = open(disk, boot: 2)
            let group = try #require(host.report?.groups.first)
            #expect(group.tables == [2])
            if group.logEnd.n < 2 { ahead += 1 }
        }
        #expect((ahead == 0) == (mutation == nil), "\(ahead) times")
    }

    @Test(
        "A block that moved while it was read is read again, and not taken for a bad one",
        arguments: [nil, .mismatchTakenAtOnce] as [StoreMutation?])
    func movedBlock(_ mutation: StoreMutation?) throws {
        let host = open(FakeDisk())
        host.store.mutation = mutation
        write(host, 1, BlockRange(first: 3, count: 1), seed: 5)
        host.run()
        decide(host, 1)
        let plan = try #require(
            host.store.read(pg, object, BlockRange(first: 3, count: 1), token: host.token()))
        write(host, 2, BlockRange(first: 3, count: 1), seed: 6)
        host.run()
        decide(host, 2)
        #expect((host.store.verdict(plan, block: 3) == .readAgain) == (mutation == nil))
        host.store.readFinished(plan.ticket)
    }

    @Test(
        "A slot that is read is given to nobody before the read has ended",
        arguments: [nil, .freedUnderReaders] as [StoreMutation?])
    func slotsUnderReaders(_ mutation: StoreMutation?) throws {
        let disk = FakeDisk()
        let host = open(disk)
        host.store.mutation = mutation
        write(host, 1, BlockRange(first: 0, count: 16), seed: 5)
        host.run()
        decide(host, 1)
        host.settle()
        let plan = try #require(
            host.store.read(pg, object, BlockRange(first: 0, count: 16), token: host.token()))
        guard case .data(let offset)? = plan.pieces.first?.source else {
            Issue.record("whole slots lie in the data file")
            return
        }
        for n in UInt64(2)...60 {
            write(host, n, BlockRange(first: 0, count: 16), seed: UInt32(n) + 4)
            host.run()
            decide(host, n)
            host.settle()
        }
        #expect((disk.data.read(at: Int(offset), count: 4096) == pattern(5, 0)) == (mutation == nil))
        host.store.readFinished(plan.ticket)
        host.settle()
    }

    @Test(
        "A record that later ones cover is not void, whatever became of its slots",
        arguments: [nil, .voidThoughCovered] as [StoreMutation?])
    func covered(_ mutation: StoreMutation?) throws {
        var voids = 0
        for seed in UInt64(1)...40 {
            let disk = FakeDisk()
            var host = open(disk)
            host.tick(milliseconds: 10)
            host.run()
            write(host, 1, BlockRange(first: 100, count: 1), seed: 4, .stable)
            host.run()
            decide(host, 1)
            write(host, 2, BlockRange(first: 0, count: 16), seed: 5)
            host.run()
            // Their content travels in the log.
            for n in UInt64(3)...18 { write(host, n, BlockRange(first: Int(n) - 3, count: 1), seed: 6) }
            host.run()
            decide(host, 18)
            // Something that carries the decision, and a sync of the log alone.
            write(host, 19, BlockRange(first: 100, count: 1), seed: 7)
            while host.step() {}
            host.tick(milliseconds: 10)
            host.tick(milliseconds: 120)
            host.run()
            var random = SplitMix64(seed: seed)
            disk.losePower(&random)
            host = StoreHost(disk, History.small, boot: 2, seed: 3)
            host.store.mutation = mutation
            host.run()
            let found = host.report?.groups.first?.voids.map(\.name.n) ?? []
            if found == [2] { voids += 1 }
        }
        #expect((voids == 0) == (mutation == nil), "\(voids)")
    }

    @Test func anEntryThatComesOnceMoreIsNotVoidBecauseItsFirstRecordWas() throws {
        var wasVoid = false
        for seed in UInt64(1)...20 where !wasVoid {
            let disk = FakeDisk()
            var host = open(disk)
            host.tick(milliseconds: 10)
            host.run()
            write(host, 1, BlockRange(first: 0, count: 16), seed: 5, .stable)
            host.run()
            decide(host, 1)
            write(host, 2, BlockRange(first: 0, count: 16), seed: 6)
            host.run()
            decide(host, 2)
            write(host, 3, BlockRange(first: 100, count: 1), seed: 7)
            while host.step() {}
            host.tick(milliseconds: 10)
            host.tick(milliseconds: 120)
            host.run()
            var random = SplitMix64(seed: seed)
            disk.losePower(&random)
            host = open(disk, boot: 2)
            wasVoid = host.report?.groups.first?.voids.map(\.name.n) == [2]
            if !wasVoid { continue }
            #expect(entry(2, host)?.body == .empty && entry(2, host)?.request == RequestNumber.none)
            #expect(entry(3, host)?.request == RequestNumber(3))
            let settled = host.token()
            host.call { $0.settleReport(pg, token: settled) }
            host.run()
            host.call { $0.restart(pg, after: EntryName(epoch: Epoch(1), n: 1)) }
            write(host, 2, BlockRange(first: 0, count: 16), seed: 6, .stable)
            host.run()
            decide(host, 2)
            write(host, 3, BlockRange(first: 100, count: 1), seed: 7, .stable)
            host.run()
            host = open(disk, boot: 2)
            #expect(host.report?.groups.first?.voids.isEmpty == true)
            #expect(entry(2, host)?.request == RequestNumber(2))
            #expect(try read(host, BlockRange(first: 0, count: 16)) == (0..<16).map { pattern(6, $0) })
        }
        #expect(wasVoid)
    }

    /// As recovery told of it.
    private func entry(_ n: UInt64, _ host: StoreHost) -> Entry? {
        let group = host.report?.groups.first
        return ((group?.decided ?? []) + (group?.undecided ?? [])).first { $0.name.n == n }
    }

    /// What a truncation leaves of the file's first object.
    private func truncate(_ host: StoreHost, _ n: UInt64, number: UInt64, blocks: Int) {
        let entry = Entry(
            name: EntryName(epoch: Epoch(1), n: n),
            body: .deleteRange(
                RangeDeletion(
                    file: file,
                    truncation: TruncationMark(number: TruncationNumber(number), size: UInt64(blocks) * 4096),
                    layout: .standard, kind: .truncation, limit: 1 << 20, edge: nil)),
            session: SessionID(2), request: RequestNumber(n), durability: .stable, lossNumber: .zero, time: .zero,
            payload: nil)
        host.call { $0.append(pg, entry) }
    }
    private func install(_ host: StoreHost, _ blocks: BlockRange, seed: UInt32, truncation: UInt64, asOf n: UInt64) {
        let (whole, bytes) = makeWrite(object, blocks, seed: seed)
        let piece = ObjectPiece(
            object: object, blocks: blocks, states: Array(repeating: .present, count: blocks.count),
            checksums: whole.checksums, truncation: TruncationNumber(truncation),
            asOf: EntryName(epoch: Epoch(1), n: n), completes: nil)
        let handle = host.payload(bytes)
        host.call { $0.install(pg, piece, payload: handle) }
    }

    @Test(
        "A cut meets a piece that was read before it, although another piece of the row was read after",
        arguments: [nil, .pieceTellsOfWholeRow] as [StoreMutation?])
    func cutOfARowInPieces(_ mutation: StoreMutation?) throws {
        let host = open(FakeDisk())
        host.store.mutation = mutation
        install(host, BlockRange(first: 0, count: 4), seed: 5, truncation: 0, asOf: 0)
        host.run()
        // This one was read after the first entry, a cut that comes to the learner only now.
        install(host, BlockRange(first: 64, count: 1), seed: 6, truncation: 1, asOf: 1)
        truncate(host, 1, number: 1, blocks: 2)
        host.run()
        decide(host, 1)
        host.run()
        let got = try read(host, BlockRange(first: 0, count: 4))
        let zeros = [UInt8](repeating: 0, count: 4096)
        #expect((got.map { $0 ?? zeros } == [pattern(5, 0), pattern(5, 1), zeros, zeros]) == (mutation == nil))
    }

    @Test func aPieceFromBeforeACutTakesNothingFromBlocksThatWereWrittenSince() throws {
        let host = open(FakeDisk())
        write(host, 1, BlockRange(first: 0, count: 4), seed: 5)
        truncate(host, 2, number: 1, blocks: 80)
        let (late, payload) = makeWrite(
            object, BlockRange(first: 90, count: 1), seed: 7,
            truncation: TruncationMark(number: TruncationNumber(1), size: 80 * 4096))
        let entry = Entry(
            name: EntryName(epoch: Epoch(1), n: 3), body: .write(late), session: SessionID(2),
            request: RequestNumber(3),
            durability: .unstable, lossNumber: .zero, time: .zero, payload: host.payload(payload))
        host.call { $0.append(pg, entry) }
        host.run()
        decide(host, 3)
        host.run()
        install(host, BlockRange(first: 0, count: 64), seed: 6, truncation: 0, asOf: 1)
        host.run()
        #expect(try read(host, BlockRange(first: 0, count: 1)) == [pattern(6, 0)])
        #expect(try read(host, BlockRange(first: 90, count: 1)) == [pattern(7, 90)])
    }

    @Test func rotBehindTheMarkIsABadBlockAndNotVoid() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 16), seed: 5, .stable)
        host.run()
        decide(host, 1)
        #expect(host.stable[pg]?.n == 1)
        guard let plan = host.store.read(pg, object, BlockRange(first: 3, count: 1), token: host.token()),
            case .data(let offset)? = plan.pieces.first?.source
        else {
            Issue.record("a large write lies in slots")
            return
        }
        host.store.readFinished(plan.ticket)
        var random = SplitMix64(seed: 9)
        disk.losePower(&random)
        disk.data.flip(at: Int(offset) + 100)
        host = StoreHost(disk, History.small, boot: 2, seed: 4)
        host.run()
        #expect(host.report?.groups.first?.voids.isEmpty == true)
        host.start()
        decide(host, 1)
        #expect(throws: StoreHost.ReadError.self) { try read(host, BlockRange(first: 3, count: 1)) }
        let neighbour = try read(host, BlockRange(first: 4, count: 1))
        #expect(neighbour == [pattern(5, 4)])
    }

    @Test func aSmallWriteOverALargeOneDoesNotMakeItVoid() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 16), seed: 5)
        write(host, 2, BlockRange(first: 3, count: 1), seed: 6)
        host.run()
        decide(host, 2)
        // Killed in the middle of a checkpoint that has written block 3 in place.
        host.holdCommits = true
        host.store.requestCheckpoint()
        host.collect()
        while host.step() {}
        host = StoreHost(disk, History.small, boot: 2, seed: 4)
        host.run()
        #expect(host.report?.groups.first?.voids.isEmpty == true)
        host.start()
        let got = try read(host, BlockRange(first: 2, count: 3))
        #expect(got == [pattern(5, 2), pattern(6, 3), pattern(5, 4)])
    }

    @Test(
        "A log that ends before what is known to be stable makes every group learn",
        arguments: [nil, .corruptTakenForTorn] as [StoreMutation?])
    func corruptIsNotTorn(_ mutation: StoreMutation?) throws {
        let disk = FakeDisk()
        var host = open(disk)
        for n in 1...6 {
            write(host, UInt64(n), BlockRange(first: n, count: 1), seed: UInt32(n), .stable)
            host.run()
        }
        let third = try #require(host.store.location(pg, EntryName(epoch: Epoch(1), n: 3)))
        guard case .log(let segment, let offset)? = third.pieces.first?.source else {
            Issue.record("a small write lies in the log")
            return
        }
        // Rot in the metadata of its batch.
        disk.segments[segment]?.flip(at: offset / 4096 * 4096 + 80)
        host = StoreHost(disk, History.small, boot: 1, seed: 4)
        host.store.mutation = mutation
        host.run()
        #expect(host.report?.groups.allSatisfy { $0.health == .corrupt } == (mutation == nil))
        if mutation != nil { return }
        host.start()
        host = StoreHost(disk, History.small, boot: 1, seed: 5)
        host.run()
        #expect(host.report?.groups.allSatisfy { $0.health == .corrupt } == true, "it is reported until it is settled")
        host.start()
        let token = host.token()
        host.call { $0.settleReport(pg, token: token) }
        host.run()
        #expect(host.durable.contains(token))
        host = StoreHost(disk, History.small, boot: 1, seed: 6)
        host.run()
        #expect(host.report?.groups.first { $0.pg == pg }?.health == .whole)
    }

    @Test func aFailedEffectEndsTheDiskWithoutARetry() {
        let host = open(FakeDisk())
        write(host, 1, BlockRange(first: 0, count: 1), seed: 5, .stable)
        host.store.failed(StoreFailure("fdatasync of log-1: input/output error"))
        host.collect()
        #expect(host.failure != nil)
        let before = host.waiting.count
        write(host, 2, BlockRange(first: 0, count: 1), seed: 5)
        host.tick(milliseconds: 5_000)
        #expect(host.waiting.count == before)
    }

    @Test func aMismatchBesideTheCheckpointIsReadAgainAndARealOneIsBad() throws {
        let host = open(FakeDisk())
        write(host, 1, BlockRange(first: 0, count: 16), seed: 5)
        host.run()
        decide(host, 1)
        let blocks = BlockRange(first: 0, count: 1)
        let old = try #require(host.store.read(pg, object, blocks, token: host.token()))
        #expect(host.store.verdict(old, block: 0) == .bad)
        write(host, 2, blocks, seed: 6)
        host.run()
        decide(host, 2)
        #expect(host.store.verdict(old, block: 0) == .readAgain, "the block's entry has changed since the plan")
        let inLog = try #require(host.store.read(pg, object, blocks, token: host.token()))
        host.settle()
        #expect(host.store.verdict(inLog, block: 0) == .readAgain, "the checkpoint has moved it to its slot")
        host.store.readFinished(old.ticket)
        host.store.readFinished(inLog.ticket)
    }

    @Test func aFreedSlotWaitsForACheckpointAndForTheReadsThatResolvedIt() throws {
        let host = open(FakeDisk())
        write(host, 1, BlockRange(first: 0, count: 16), seed: 5)
        host.run()
        decide(host, 1)
        let plan = try #require(host.store.read(pg, object, BlockRange(first: 0, count: 1), token: host.token()))
        write(host, 2, BlockRange(first: 0, count: 16), seed: 6)
        host.run()
        decide(host, 2)
        #expect(host.store.takenSlots == 2)
        host.settle()
        #expect(host.store.takenSlots == 2, "a read may still look at it")
        host.store.readFinished(plan.ticket)
        #expect(host.store.takenSlots == 1)
    }

    @Test func slotsOfRecordsAreTakenBeforeAnythingIsReplayed() throws {
        let disk = FakeDisk()
        var host = open(disk)
        // A small write to an absent slot, then a large one elsewhere; crash before any checkpoint.
        write(host, 1, BlockRange(first: 0, count: 1), seed: 5)
        write(host, 2, BlockRange(first: 16, count: 16), seed: 6)
        host.run()
        decide(host, 2)
        host = open(disk)
        decide(host, 2)
        host.settle()
        let got = try read(host, BlockRange(first: 0, count: 32))
        #expect(got[0] == pattern(5, 0))
        #expect(got[1] == nil)
        #expect(got[31] == pattern(6, 31))
        #expect(host.store.takenSlots == 2)
    }

    @Test func undecidedEntriesAreKeptAndNotShown() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 1), seed: 5)
        host.run()
        host = open(disk)
        #expect(host.report?.groups.first?.undecided.map(\.name.n) == [1])
        #expect(try read(host, BlockRange(first: 0, count: 1)) == [nil])
        let location = try #require(host.store.location(pg, EntryName(epoch: Epoch(1), n: 1)))
        #expect(location.pieces.map(\.length) == [4096])
        decide(host, 1)
        #expect(try read(host, BlockRange(first: 0, count: 1)) == [pattern(5, 0)])
    }

    @Test func anEdgeIsCompletedFromTheNewestSequencedContent() throws {
        let host = open(FakeDisk())
        write(host, 1, BlockRange(first: 0, count: 1), seed: 5)
        host.run()
        decide(host, 1)
        write(host, 2, BlockRange(first: 0, count: 1), seed: 6)
        let before = try #require(host.store.readSequenced(pg, object, block: 0, token: host.token()))
        guard case .payload? = before.pieces.first?.source else {
            Issue.record("what is not in the log yet is in memory")
            return
        }
        host.run()
        let after = try #require(host.store.readSequenced(pg, object, block: 0, token: host.token()))
        #expect(after.pieces.first?.checksums == before.pieces.first?.checksums)
        #expect(try read(host, BlockRange(first: 0, count: 1)) == [pattern(5, 0)])
    }

    @Test func aLearnersPieceReplacesContentAndItsLastOneNeverLowersTheVersion() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 20), seed: 5)
        host.run()
        write(host, 2, BlockRange(first: 90, count: 20), seed: 5)
        write(host, 3, BlockRange(first: 300, count: 1), seed: 5)
        host.run()
        decide(host, 3)
        var states = [BlockState](repeating: .present, count: 64)
        states[1] = .absent
        states[2] = .zero
        var payload: [UInt8] = []
        var sums: [UInt32] = []
        for b in 0..<64 where states[b] == .present {
            let bytes = pattern(9, b)
            sums.append(bytes.withUnsafeBytes { fastChecksum.block(object, block: b, bytes: $0) })
            payload += bytes
        }
        let one = EntryName(epoch: Epoch(1), n: 1)
        let version = EntryName(epoch: Epoch(0), n: 7)
        let live = EntryName(epoch: Epoch(1), n: 3)
        let piece = ObjectPiece(
            object: object, blocks: BlockRange(first: 0, count: 64), states: states, checksums: sums,
            truncation: .zero, asOf: one, completes: version)
        let token = host.token()
        let handle = host.payload(payload)
        host.call { $0.install(pg, piece, payload: handle, token: token) }
        host.run()
        #expect(host.durable.contains(token))
        // That the third entry is decided is not in the log: the next process has applied through the piece's entry only.
        for raised in [live, one] {
            let got = try read(host, BlockRange(first: 0, count: 64))
            #expect(got[0] == pattern(9, 0))
            #expect(got[1] == nil)
            #expect(got[2] == [UInt8](repeating: 0, count: 4096))
            #expect(got[63] == pattern(9, 63))
            #expect(try read(host, BlockRange(first: 90, count: 20)).allSatisfy { $0 == nil })
            #expect(try read(host, BlockRange(first: 300, count: 1)) == [nil])
            #expect(host.store.version(pg, object, token: host.token())?.version == raised)
            host = open(disk)
        }
    }

    /// The entry's large part is in its slot from the moment it is appended; a checkpoint carries the piece meanwhile.
    @Test("A learner's piece that is applied before an earlier entry leaves that entry's blocks alone")
    func aPieceIsNotPutIntoTheSlotOfAnEntryThatIsNotDecided() throws {
        for checkpoints in [false, true] {
            let disk = FakeDisk()
            let host = open(disk)
            write(host, 1, BlockRange(first: 200, count: 1), seed: 5)
            host.run()
            decide(host, 1)
            write(host, 2, BlockRange(first: 16, count: 16), seed: 6)
            host.run()
            let bytes = pattern(9, 31)
            var states = [BlockState](repeating: .absent, count: 64)
            states[31] = .present
            let piece = ObjectPiece(
                object: object, blocks: BlockRange(first: 0, count: 64), states: states,
                checksums: [bytes.withUnsafeBytes { fastChecksum.block(object, block: 31, bytes: $0) }],
                truncation: .zero, asOf: EntryName(epoch: Epoch(1), n: 1), completes: EntryName(epoch: Epoch(1), n: 1))
            let token = host.token()
            let handle = host.payload(bytes)
            host.call { $0.install(pg, piece, payload: handle, token: token) }
            host.run()
            #expect(try read(host, BlockRange(first: 31, count: 1)) == [bytes])
            if checkpoints {
                host.store.requestCheckpoint()
                host.run()
            }
            #expect(try read(host, BlockRange(first: 31, count: 1)) == [bytes])
            decide(host, 2)
            host.run()
            #expect(try read(host, BlockRange(first: 16, count: 16)) == (16..<32).map { pattern(6, $0) })
        }
    }

    @Test func aLogThatBeganAnewKeepsWhatWasAppliedAndGoesBackInNames() throws {
        for checkpoints in 0..<3 {
            let disk = FakeDisk()
            var host = open(disk)
            for n in 5...8 { write(host, UInt64(n), BlockRange(first: n, count: 1), seed: UInt32(n)) }
            host.run()
            decide(host, 7)
            if checkpoints == 1 { host.settle() }
            host.call { $0.restart(pg, after: EntryName(epoch: Epoch(1), n: 2)) }
            host.run()
            #expect(host.store.lastEntry(pg).n == 2)
            write(host, 3, BlockRange(first: 6, count: 1), seed: 30)
            host.run()
            decide(host, 3)
            if checkpoints == 2 { host.settle() }
            for _ in 0..<2 {
                #expect(
                    try read(host, BlockRange(first: 5, count: 4)) == [
                        pattern(5, 5), pattern(30, 6), pattern(7, 7), nil,
                    ])
                host = open(disk)
                let group = try #require(host.report?.groups.first { $0.pg == pg })
                #expect(group.logEnd.n == 3)
                decide(host, 3)
            }
            host.settle()
            #expect(host.store.takenSlots == 1)
        }
    }

    @Test("What a replay found in the log of a group is in the checkpoint that lets the log forget it")
    func replayedStateIsCheckpointed() throws {
        let disk = FakeDisk()
        let quiet = PGID.data(7)
        var host = open(disk)
        write(host, 1, BlockRange(first: 0, count: 1), seed: 5)
        let token = host.token()
        host.call { $0.writeState(quiet, [1, 2, 3], token: token) }
        host.run()
        #expect(host.durable.contains(token))
        for _ in 0..<3 {
            host = open(disk)
            #expect(host.report?.groups.first { $0.pg == quiet }?.state == [1, 2, 3])
            // Only the other group has something to write.
            decide(host, 1)
            host.store.requestCheckpoint()
            host.settle()
        }
    }

    @Test func theProtocolsTablesBecomeDurableWithACheckpointOfTheirGroup() throws {
        let disk = FakeDisk()
        var host = open(disk)
        host.tables[pg] = [1, 2, 3]
        write(host, 1, BlockRange(first: 0, count: 1), seed: 5)
        host.run()
        decide(host, 1)
        let token = host.token()
        host.call { $0.checkpointGroup(pg, token: token) }
        host.run()
        #expect(host.durable.contains(token))
        var random = SplitMix64(seed: 3)
        disk.losePower(&random)
        host = open(disk, boot: 2)
        let group = try #require(host.report?.groups.first { $0.pg == pg })
        #expect(group.tables == [1, 2, 3])
        #expect(group.decidedThrough.n == 1)
        #expect(try read(host, BlockRange(first: 0, count: 1)) == [pattern(5, 0)])
    }

    @Test func changesSinceANameAreFoundInMemoryAndInTheIndex() throws {
        let host = open(FakeDisk())
        for i in 0..<40 {
            write(
                host, UInt64(i + 1), BlockRange(first: 0, count: 1), seed: 5, in: ObjectID(file: file, index: UInt64(i))
            )
        }
        host.run()
        decide(host, 30)
        host.settle()
        decide(host, 40)
        let token = host.token()
        host.call { $0.changes(pg, after: ChangeCursor(after: EntryName(epoch: Epoch(1), n: 10)), token: token) }
        host.run()
        let page = try #require(host.changePages[token])
        var found: Set<UInt64> = []
        for case .object(let id, let version, _) in page.changes where version.n > 10 { found.insert(id.index) }
        #expect(found == Set(10..<40))
        #expect(page.next == nil)
    }

    /// A learner that is interrupted names what it has in part: the primary may have removed it meanwhile.
    @Test("An object that was copied in part has no version, and is listed in front of those that changed after a name")
    func partsAreListed() throws {
        let host = open(FakeDisk())
        func object(_ index: UInt64) -> ObjectID { ObjectID(file: file, index: index) }
        // More than a page of versions that are passed over.
        let count = StoreLimits.changesPerPage + 40
        for i in 0..<count {
            write(host, UInt64(i + 1), BlockRange(first: 0, count: 1), seed: 5, in: object(UInt64(i)))
        }
        host.run()
        decide(host, UInt64(count))
        host.settle()
        let part = object(UInt64(count))
        let bytes = pattern(9, 3)
        var states = [BlockState](repeating: .absent, count: 64)
        states[3] = .present
        let piece = ObjectPiece(
            object: part, blocks: BlockRange(first: 0, count: 64), states: states,
            checksums: [bytes.withUnsafeBytes { fastChecksum.block(part, block: 3, bytes: $0) }], truncation: .zero,
            asOf: EntryName(epoch: Epoch(1), n: 1), completes: nil)
        let installed = host.token()
        let handle = host.payload(bytes)
        host.call { $0.install(pg, piece, payload: handle, token: installed) }
        host.run()
        #expect(host.durable.contains(installed))
        // What is in memory only is on every list.
        host.store.requestCheckpoint()
        host.run()

        let last = UInt64(count - 10)
        for name in [EntryName.zero, EntryName(epoch: Epoch(1), n: last)] {
            var found: Set<UInt64> = []
            var cursor: ChangeCursor? = ChangeCursor(incompleteAndAfter: name)
            while let next = cursor {
                let token = host.token()
                host.call { $0.changes(pg, after: next, token: token) }
                host.run()
                let page = try #require(host.changePages[token])
                for case .object(let id, _, _) in page.changes { found.insert(id.index) }
                cursor = page.next
            }
            #expect(found == Set(name.n..<UInt64(count)).union([part.index]), "after \(name)")
        }
    }

    @Test func memoryIsBoundedOverThousandsOfObjects() throws {
        let disk = FakeDisk()
        disk.capacityBytes = 8 << 30
        var configuration = History.small
        configuration.rowCacheBytes = 200 * 1_700
        configuration.segmentSize = 4 << 20
        configuration.checkpointLogBytes = 8 << 20
        configuration.dirtyRowBytes = 100 * 1_700
        configuration.overlayBytes = 1 << 20
        configuration.growthSlots = 1_024
        configuration.rowsPerTransaction = 500
        let host = open(disk, configuration)
        for i in 0..<2_000 {
            write(
                host, UInt64(i + 1), BlockRange(first: i % 7, count: 1), seed: UInt32(i),
                in: ObjectID(file: file, index: UInt64(i)))
            host.run()
            decide(host, UInt64(i + 1))
            #expect(host.store.cachedRowCount <= 500)
        }
        host.settle()
        for i in stride(from: 0, to: 2_000, by: 97) {
            let got = try host.read(pg, ObjectID(file: file, index: UInt64(i)), BlockRange(first: i % 7, count: 1))
            #expect(got == [pattern(UInt32(i), i % 7)])
        }
        #expect(host.store.usage(pg).first?.usage == StoreUsage(blocks: 2_000, slots: 2_000))
        #expect(disk.segmentNumbers.count <= configuration.maximumSegments)
    }

    @Test func theLogsLastBatchesMayBeCutOrScrambledAtAnyByte() throws {
        for kind in 0..<2 {
            for at in stride(from: 0, to: 3 * 8192, by: 509) {
                let disk = FakeDisk()
                var host = open(disk)
                for n in 1...4 {
                    write(host, UInt64(n), BlockRange(first: n, count: 1), seed: UInt32(n))
                    host.run()
                }
                let segment = try #require(disk.segmentNumbers.first)
                var random = SplitMix64(seed: UInt64(at))
                // Batches of one small write have 8 KiB, after those of the beginning.
                let end = host.store.logBytes
                let from = max(end - 3 * 8192 + at, 0)
                if kind == 0 {
                    disk.segments[segment]?.write([UInt8](repeating: 0, count: end - from), at: from)
                } else {
                    disk.segments[segment]?.scramble(from: from, count: 64, &random)
                }
                host = StoreHost(disk, History.small, boot: 1, seed: 4)
                host.run()
                let group = try #require(host.report?.groups.first)
                let names = group.names.map(\.n)
                #expect(names == Array(1...4).prefix(names.count).map { UInt64($0) }, "at \(at)")
                #expect(group.health == .whole, "nothing of it was known to be stable: at \(at)")
                #expect(names.count >= 1 + at / 8192 - 1)
            }
        }
    }

    @Test func batchesOfAnEarlierUseOfASegmentNeverFit() throws {
        let disk = FakeDisk()
        var host = open(disk)
        var n: UInt64 = 0
        for _ in 0..<12 {
            for _ in 0..<40 {
                n += 1
                write(host, n, BlockRange(first: Int(n % 200), count: 1), seed: UInt32(n))
            }
            host.run()
            decide(host, n)
            host.settle()
        }
        #expect(disk.segmentNumbers.first.map { $0.rawValue > 2 } == true, "segments were recycled")
        for _ in 0..<5 {
            host = open(disk)
            #expect(host.report?.groups.first?.logEnd.n == n)
            decide(host, n)
        }
        let got = try read(host, BlockRange(first: Int(n % 200), count: 1))
        #expect(got == [pattern(UInt32(n), Int(n % 200))])
    }
}
