import ClusterModel
import Simulation
import Store
import Testing

/// Cuts that are on their way to the rows of a file, and what comes between.
@Suite struct CarriedCutTests {
    private static let pg = PGID.data(1)
    private static let fileset = FilesetID(2)
    private static let file = FileID(fileset: fileset, inode: InodeNumber(9))
    private static let object = ObjectID(file: file, index: 0)

    /// No checkpoint but those that are asked for.
    private static let configuration: StoreConfiguration = {
        var c = History.small
        c.dirtyRowBytes = 1 << 20
        c.overlayBytes = 1 << 20
        return c
    }()

    /// One disk, one file, and entries in order.
    private final class Run {
        let disk = FakeDisk()
        let mutation: StoreMutation?
        var host: StoreHost
        var boot: UInt64 = 1
        var n: UInt64 = 0

        init(_ mutation: StoreMutation?) {
            self.mutation = mutation
            host = StoreHost(disk, configuration, boot: 1, seed: 3, mutation)
            host.start()
        }

        func append(_ body: EntryBody, _ payload: [UInt8]? = nil, isDecided: Bool = true) {
            n += 1
            host.append(pg, n, body, payload)
            if isDecided { decide() }
        }
        func decide() {
            let name = EntryName(epoch: Epoch(1), n: n)
            host.call { $0.decide(pg, through: name) }
        }
        func write(_ block: Int, seed: UInt32, _ mark: TruncationMark = .none) {
            let (write, bytes) = makeWrite(object, BlockRange(first: block, count: 1), seed: seed, truncation: mark)
            append(.write(write), bytes)
        }
        func cut(_ number: UInt64, size: UInt64, _ kind: RangeDeletion.Kind = .truncation, isDecided: Bool = true) {
            append(
                .deleteRange(
                    RangeDeletion(
                        file: file, truncation: TruncationMark(number: TruncationNumber(number), size: size),
                        layout: .standard, kind: kind, limit: 1 << 20, edge: nil)), isDecided: isDecided)
        }
        func kill() {
            boot += 1
            host = StoreHost(disk, configuration, boot: boot, seed: boot, mutation)
        }
    }

    /// Its cold row was never emptied: the slots would belong to nobody.
    @Test(
        "An object of a fileset that goes while a truncation is carried gives all its slots back",
        arguments: [nil, .deletesWithUnknownRows] as [StoreMutation?])
    func goneMeanwhile(_ mutation: StoreMutation?) throws {
        let run = Run(mutation)
        let live = { (filesets: [FilesetID]) throws -> LiveFilesets in
            let policy = try #require(ReplicationPolicy(copies: 3))
            var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 8)
            map.filesets = filesets.map {
                Fileset(id: $0, name: "f", layout: .standard, state: .live, junction: nil)
            }
            map.lastFileset = Self.fileset
            return LiveFilesets(map)
        }
        let all = try live([FilesetID(1), Self.fileset])
        run.host.call { $0.filesetsChanged(all) }
        run.write(0, seed: 1)
        run.write(2 * Geometry.blocksPerRow, seed: 2)
        run.host.settle()
        run.kill()
        run.host.start()
        run.host.call { $0.filesetsChanged(all) }
        run.host.settle()
        _ = try run.host.read(Self.pg, Self.object, BlockRange(first: 2 * Geometry.blocksPerRow, count: 1))
        run.host.holdScans = true
        run.host.holdCommits = true
        run.cut(1, size: 1 << 26)
        run.host.call { $0.requestCheckpoint() }
        run.host.run()
        let left = try live([FilesetID(1)])
        run.host.call { $0.filesetsChanged(left) }
        run.host.holdScans = false
        run.host.run()
        run.host.holdCommits = false
        run.host.run()
        run.host.settle()
        run.host.settle()
        #expect((run.host.store.takenSlots == 0) == (mutation == nil))
        #expect(run.host.store.usage(Self.pg).isEmpty == (mutation == nil))
    }

    /// The first truncation is in the file's row, and carried to no other when the process is killed.
    @Test(
        "A truncation right after a start does not bring back what the one before it cut off",
        arguments: [nil, .forgetsCutsOfBefore] as [StoreMutation?])
    func afterAStart(_ mutation: StoreMutation?) throws {
        let run = Run(mutation)
        // Not in the row that the replay writes to.
        let cold = 2 * Geometry.blocksPerRow
        run.write(cold, seed: 1)
        run.host.settle()
        run.kill()
        run.host.start()
        // The row that is written again is in memory.
        _ = try run.host.read(Self.pg, Self.object, BlockRange(first: 0, count: 1))
        run.host.holdScans = true
        run.cut(1, size: 4096)
        run.host.call { $0.requestCheckpoint() }
        run.host.run()
        // The checkpoint is of before the cut was carried.
        run.host.holdScans = false
        run.host.run()
        run.write(0, seed: 2, TruncationMark(number: TruncationNumber(1), size: 4096))
        run.cut(2, size: 1 << 26, isDecided: false)
        run.kill()
        run.host.run()
        run.host.store.begin()
        run.host.holdLoads = true
        run.host.collect()
        run.host.run()
        #expect(run.host.isReady)
        run.decide()
        run.host.holdLoads = false
        run.host.run()
        let found = try run.host.read(Self.pg, Self.object, BlockRange(first: cold, count: 1))
        #expect((found != [pattern(1, cold)]) == (mutation == nil))
    }

    @Test("A piece that comes after the removal of its file leaves no object")
    func latePiece() throws {
        let run = Run(nil)
        run.cut(1, size: 0, .removal)
        run.host.settle()
        let piece = ObjectPiece(
            object: Self.object, blocks: BlockRange(first: 0, count: 64), states: Array(repeating: .absent, count: 64),
            checksums: [], truncation: .zero, asOf: EntryName(epoch: Epoch(1), n: 1),
            completes: EntryName(epoch: Epoch(1), n: 1))
        run.host.call { $0.install(Self.pg, piece, payload: nil, token: run.host.token()) }
        run.host.run()
        run.host.settle()
        #expect(run.disk.rows.contentCount == 0)
        #expect(run.disk.rows.objectCount == 0)
    }

    /// The restart waits behind an entry whose row is read; the checkpoint's record of what is decided gets in front of it.
    @Test(
        "What a restart dropped is not applied by a replay that finds the log without the restart",
        arguments: [nil, .unloggedForgotten] as [StoreMutation?])
    func unlogged(_ mutation: StoreMutation?) throws {
        let run = Run(mutation)
        run.write(0, seed: 1)
        run.host.settle()
        run.kill()
        run.host.start()
        run.n += 1
        let (first, bytes) = makeWrite(Self.object, BlockRange(first: 0, count: 1), seed: 2)
        let second = makeWrite(
            ObjectID(file: Self.file, index: 1), BlockRange(first: 0, count: 1), seed: 3)
        run.host.append(Self.pg, 2, .write(first), bytes)
        run.host.holdLoads = true
        run.host.append(Self.pg, 3, .write(second.0), second.1)
        run.host.call {
            $0.restart(Self.pg, after: EntryName(epoch: Epoch(2), n: 9))
            $0.requestCheckpoint()
        }
        run.host.holdCommits = true
        run.host.run()
        run.kill()
        run.host.start()
        let found = try run.host.read(Self.pg, Self.object, BlockRange(first: 0, count: 1))
        #expect((found == [pattern(1, 0)]) == (mutation == nil))
    }
}
