import ClusterModel
import Simulation
import Store
import Testing

/// What happens when the log reaches its bound while the tail of one group cannot go.
@Suite struct FullLogTests {
    private let stuck = PGID.data(1)
    private let busy = PGID.data(2)
    private func object(_ pg: PGID) -> ObjectID {
        ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(9)), index: pg == stuck ? 0 : 1)
    }

    private func open(_ disk: FakeDisk, boot: UInt64 = 1) -> StoreHost {
        let host = StoreHost(disk, History.small, boot: boot, seed: 3)
        host.start()
        return host
    }

    private func write(_ host: StoreHost, _ pg: PGID, _ n: UInt64) {
        let (write, payload) = makeWrite(object(pg), BlockRange(first: Int(n % 200), count: 8), seed: UInt32(n))
        let entry = Entry(
            name: EntryName(epoch: Epoch(1), n: n), body: .write(write), session: SessionID(2),
            request: RequestNumber(n), durability: .unstable, lossNumber: .zero, time: .zero,
            payload: host.payload(payload))
        host.call { $0.append(pg, entry) }
    }

    /// Writes and decides entries of the busy group until one does not get into the log; how far it came.
    private func fill(_ host: StoreHost, from first: UInt64, through last: UInt64) -> UInt64 {
        for n in first...last {
            write(host, busy, n)
            host.run()
            guard host.appended[busy]?.n == n else { break }
            host.call { $0.decide(busy, through: EntryName(epoch: Epoch(1), n: n)) }
            host.settle()
        }
        return host.appended[busy]?.n ?? 0
    }

    /// Entries of 32 KiB that are three times the log's bound.
    private var thrice: UInt64 { UInt64(3 * History.small.maximumSegments * History.small.segmentSize / (32 << 10)) }

    @Test("Groups go on while another one's tail holds the log up, and its segments go when the tail is decided")
    func heldUp() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, stuck, 1)
        host.run()
        #expect(fill(host, from: 1, through: thrice) == thrice)
        #expect(disk.segmentNumbers.count > 2 * History.small.maximumSegments)
        // Recovery reads it all, and knows the tail.
        host = open(disk)
        let found = try #require(host.report?.groups.first { $0.pg == stuck })
        #expect(found.undecided.map(\.name.n) == [1])
        host.call { $0.decide(stuck, through: EntryName(epoch: Epoch(1), n: 1)) }
        host.call { $0.decide(busy, through: EntryName(epoch: Epoch(1), n: thrice)) }
        host.settle()
        #expect(fill(host, from: thrice + 1, through: thrice + 40) == thrice + 40)
        #expect(disk.segmentNumbers.count <= History.small.maximumSegments)
        let got = try host.read(busy, object(busy), BlockRange(first: Int((thrice + 40) % 200), count: 1))
        #expect(got == [pattern(UInt32(thrice + 40), Int((thrice + 40) % 200))])
    }

    @Test(
        "A busy group's entries go in behind another one's tail, and would not within the bound",
        arguments: [nil, .logStaysWithinBound] as [StoreMutation?])
    func bound(_ mutation: StoreMutation?) {
        let host = open(FakeDisk())
        host.store.mutation = mutation
        write(host, stuck, 1)
        host.run()
        #expect((fill(host, from: 1, through: thrice) == thrice) == (mutation == nil))
    }

    @Test("Without room in the file system a log that is held up stays within its bound, and says what it waits for")
    func noRoom() throws {
        let disk = FakeDisk()
        let host = open(disk)
        write(host, stuck, 1)
        host.run()
        host.call { $0.spaceChanged(freeBytes: 0) }
        let last = fill(host, from: 1, through: thrice)
        #expect(last < thrice)
        #expect(disk.segmentNumbers.count <= History.small.maximumSegments)
        #expect(host.store.waitingFor?.contains("log segment") == true)
        host.call { $0.decide(stuck, through: EntryName(epoch: Epoch(1), n: 1)) }
        host.settle()
        #expect(host.appended[busy]?.n == last + 1)
    }

    @Test("A store whose log is full closes in order: what waited goes in, and comes back")
    func closes() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, stuck, 1)
        host.run()
        host.call { $0.spaceChanged(freeBytes: 0) }
        let last = fill(host, from: 1, through: thrice)
        #expect(last < thrice)
        host.call { $0.close() }
        host.settle()
        #expect(host.isClosed)
        host = open(disk, boot: 2)
        #expect(host.report?.closing == .clean)
        #expect(host.report?.groups.first { $0.pg == busy }?.logEnd.n == last + 1)
    }

    @Test("Positions of segments that are put aside after rot are not used again: rows tell of what lay there")
    func positionsAfterRot() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, stuck, 1)
        host.run()
        #expect(fill(host, from: 1, through: thrice) == thrice)
        host.call { $0.requestStable(busy, through: $0.lastEntry(busy)) }
        host.settle()
        let used = disk.segmentNumbers
        let last = try #require(used.last)
        let rotten = used[History.small.maximumSegments + 1]
        disk.segments[rotten]?.flip(at: 80)
        // It puts aside what lies behind, and is killed before it makes anything new.
        host = StoreHost(disk, History.small, boot: 1, seed: 4)
        host.run()
        #expect(host.report?.groups.allSatisfy { $0.health == .corrupt } == true)
        try #require(disk.segmentNumbers.allSatisfy { $0 < rotten })
        host = open(disk)
        #expect(host.isReady)
        // The last one was ready, and had nothing yet.
        #expect(disk.segmentNumbers.contains { $0 >= last })
        #expect(!disk.segmentNumbers.contains { $0 > rotten && $0 < last }, "these were used before")
    }

    @Test("The log of a group without a replica does not hold up that of the disk; its content stays")
    func dropped() throws {
        let disk = FakeDisk()
        var host = open(disk)
        write(host, stuck, 1)
        write(host, stuck, 2)
        host.run()
        host.call { $0.decide(stuck, through: EntryName(epoch: Epoch(1), n: 1)) }
        host.settle()
        host.call { $0.spaceChanged(freeBytes: 0) }
        host.call { $0.dropLog(stuck) }
        #expect(fill(host, from: 1, through: thrice) == thrice)
        #expect(disk.segmentNumbers.count <= History.small.maximumSegments)
        for _ in 0..<2 {
            #expect(try host.read(stuck, object(stuck), BlockRange(first: 1, count: 1)) == [pattern(1, 1)])
            #expect(host.store.lastEntry(stuck).n == 1)
            host = open(disk)
        }
    }
}
