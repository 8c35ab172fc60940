import ClusterModel
import Simulation
import Store
import Testing

/// A group whose deletions come faster than they are carried to all rows: what is decided behind them waits to be applied.
@Suite struct HeldCutTests {
    private let pg = PGID.data(1)
    private let object = ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(9)), index: 0)

    private func append(_ host: StoreHost, _ n: UInt64, _ body: EntryBody, _ payload: [UInt8]? = nil) {
        let name = host.append(pg, n, body, payload, .unstable)
        host.call { $0.decide(pg, through: name) }
    }
    private func write(_ host: StoreHost, _ n: UInt64, seed: UInt32) {
        let (write, bytes) = makeWrite(object, BlockRange(first: 0, count: 1), seed: seed)
        append(host, n, .write(write), bytes)
    }

    /// A truncation to n blocks.
    private func cut(_ host: StoreHost, _ n: UInt64) {
        let mark = TruncationMark(number: TruncationNumber(n), size: n * 4096)
        append(
            host, n,
            .deleteRange(
                RangeDeletion(
                    file: object.file, truncation: mark, layout: .standard, kind: .truncation, limit: 1 << 20, edge: nil
                )))
    }

    /// The first block has bytes of seed 5, over which those of seed 6 are decided and not applied yet.
    private func heldUp(_ mutation: StoreMutation?) throws -> StoreHost {
        let host = StoreHost(FakeDisk(), History.small, boot: 1, seed: 3)
        host.store.mutation = mutation
        host.start()
        write(host, 1, seed: 5)
        host.holdScans = true
        for n in UInt64(2)...80 { cut(host, n) }
        try #require(host.store.appliedThrough(pg).n < 80)
        write(host, 81, seed: 6)
        return host
    }

    @Test(
        "Reads wait for what is decided, whatever it waits for",
        arguments: [nil, .readsBehindHeldCut] as [StoreMutation?]
    )
    func reads(_ mutation: StoreMutation?) throws {
        let host = try heldUp(mutation)
        let token = host.token()
        let plan = host.store.read(pg, object, BlockRange(first: 0, count: 1), token: token)
        #expect((plan == nil) == (mutation == nil))
        if let plan { return host.store.readFinished(plan.ticket) }
        #expect(host.store.version(pg, object, token: host.token()) == nil)
        host.holdScans = false
        host.run()
        host.run()
        #expect(host.readable.contains(token))
        #expect(try host.read(pg, object, BlockRange(first: 0, count: 1)) == [pattern(6, 0)])
    }

    @Test("A file keeps the cuts of a checkpoint only: further ones wait for it, and bring it about")
    func cutsOfOneCheckpoint() throws {
        let host = StoreHost(FakeDisk(), History.small, boot: 1, seed: 3)
        host.start()
        write(host, 1, seed: 5)
        host.holdCommits = true
        for n in UInt64(2)...200 { cut(host, n) }
        #expect(host.store.appliedThrough(pg).n < 100)
        host.holdCommits = false
        host.run()
        #expect(host.store.appliedThrough(pg).n == 200)
    }

    private func installed(_ host: StoreHost, _ count: UInt64, from first: UInt64 = 1) -> [StoreToken] {
        (first..<first + count).map { n in
            let token = host.token()
            host.call {
                $0.install(
                    pg,
                    cut: FileCut(
                        file: FileID(fileset: FilesetID(1), inode: InodeNumber(100 + n)), truncation: .none,
                        layout: .standard, kind: .removal, version: EntryName(epoch: Epoch(1), n: 5)), token: token)
            }
            return token
        }
    }

    @Test(
        "Cuts for a learner come a few hundred at a time, as they are carried to all rows: a group's row has room for no more",
        arguments: [nil, .learnersCutsPileUp] as [StoreMutation?])
    func learnersCuts(_ mutation: StoreMutation?) throws {
        let host = StoreHost(FakeDisk(), History.small, boot: 1, seed: 3, mutation)
        host.start()
        host.holdScans = true
        let tokens = installed(host, 2_000)
        host.settle()
        #expect((tokens.count { host.durable.contains($0) } <= StoreLimits.unpurgedCuts) == (mutation == nil))
        host.holdScans = false
        for _ in 0..<40 where !tokens.allSatisfy(host.durable.contains) { host.settle() }
        #expect(tokens.allSatisfy(host.durable.contains))
    }

    @Test("So do those that come after a kill, when the log tells of earlier ones")
    func learnersCutsAfterKill() throws {
        let disk = FakeDisk()
        var host = StoreHost(disk, History.small, boot: 1, seed: 3)
        host.start()
        host.holdScans = true
        host.holdCommits = true
        _ = installed(host, 400)
        host.run()
        host = StoreHost(disk, History.small, boot: 1, seed: 4)
        host.run()
        host.holdScans = true
        host.start()
        let tokens = installed(host, 2_000, from: 1_000)
        host.settle()
        #expect(tokens.count { host.durable.contains($0) } <= StoreLimits.unpurgedCuts - 400)
        host.holdScans = false
        for _ in 0..<40 where !tokens.allSatisfy(host.durable.contains) { host.settle() }
        #expect(tokens.allSatisfy(host.durable.contains))
    }

    @Test("A store that closes does not wait for them")
    func closeBesideLearnersCuts() throws {
        let host = StoreHost(FakeDisk(), History.small, boot: 1, seed: 3)
        host.start()
        host.holdScans = true
        _ = installed(host, 2_000)
        host.run()
        host.holdScans = false
        host.call { $0.close() }
        host.run()
        #expect(host.isClosed)
    }

    @Test(
        "A log that begins anew keeps what is decided, whatever it waits for",
        arguments: [nil, .restartDropsWaiting] as [StoreMutation?])
    func restart(_ mutation: StoreMutation?) throws {
        let host = try heldUp(mutation)
        host.call { $0.restart(pg, after: EntryName(epoch: Epoch(2), n: 90)) }
        host.holdScans = false
        host.run()
        let found = try host.read(pg, object, BlockRange(first: 0, count: 1))
        #expect((found == [pattern(6, 0)]) == (mutation == nil))
    }
}
