import ClusterModel
import Simulation
import Store
import Testing

/// A removed file leaves nothing behind, whatever the checkpoint had done when the process was killed.
@Suite struct RemovedFileTests {
    private let pg = PGID.data(1)
    private let other = ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(10)), index: 0)
    private let object = ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(9)), index: 0)

    private func append(_ host: StoreHost, _ n: UInt64, _ body: EntryBody, _ payload: [UInt8]? = nil) {
        let name = host.append(pg, n, body, payload)
        host.call { $0.decide(pg, through: name) }
        host.run()
    }

    private func write(_ host: StoreHost, _ n: UInt64, _ mark: TruncationMark, to object: ObjectID? = nil) {
        let object = object ?? self.object
        let (write, bytes) = makeWrite(object, BlockRange(first: 0, count: 3), seed: 5, truncation: mark)
        append(host, n, .write(write), bytes)
    }

    private func cut(
        _ host: StoreHost, _ n: UInt64, _ mark: TruncationMark, _ kind: RangeDeletion.Kind, of object: ObjectID? = nil
    ) {
        let object = object ?? self.object
        append(
            host, n,
            .deleteRange(
                RangeDeletion(
                    file: object.file, truncation: mark, layout: .standard, kind: kind, limit: 1 << 20, edge: nil)))
    }

    /// The file is written, truncated to nothing, written and removed, the removal with the truncation's number. The process is
    /// killed when `commits` transactions of the checkpoint behind it are made.
    private func leftBehind(after commits: Int, _ mutation: StoreMutation?) -> (blocks: Int64, rows: Int, slots: Int) {
        let disk = FakeDisk()
        var configuration = History.small
        configuration.rowsPerTransaction = 1
        let first = StoreHost(disk, configuration, boot: 1, seed: 3, mutation)
        first.start()
        let mark = TruncationMark(number: TruncationNumber(1), size: 0)
        write(first, 1, .none)
        cut(first, 2, mark, .truncation)
        write(first, 3, mark)
        cut(first, 4, mark, .removal)
        // Its row goes behind the one of the removed file.
        write(first, 5, .none, to: other)
        cut(first, 6, TruncationMark(number: TruncationNumber(1), size: 1 << 20), .truncation, of: other)
        first.holdCommits = true
        first.store.requestCheckpoint()
        first.collect()
        for _ in 0..<commits {
            first.run()
            first.makeHeldCommit()
        }
        let second = StoreHost(disk, configuration, boot: 1, seed: 4, mutation)
        second.start()
        second.call { $0.decide(pg, through: EntryName(epoch: Epoch(1), n: 6)) }
        second.settle()
        let usage = second.store.usage(pg).reduce((Int64(0), 0)) {
            ($0.0 + $1.usage.blocks, $0.1 + Int($1.usage.slots))
        }
        return (usage.0, disk.rows.contentCount, usage.1)
    }

    @Test("Only the other file is left", arguments: 0..<10)
    func nothingLeft(_ commits: Int) {
        let left = leftBehind(after: commits, nil)
        #expect(left == (3, 1, 1))
    }

    @Test("Where a replay fills it again, space is lost")
    func mutant() {
        #expect((0..<10).contains { leftBehind(after: $0, .replayFillsRemoved) != (3, 1, 1) })
    }
}
