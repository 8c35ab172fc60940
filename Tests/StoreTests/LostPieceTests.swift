import ClusterModel
import Simulation
import Store
import Testing

/// A learner whose machine loses power before the slots of its pieces are synced.
@Suite struct LostPieceTests {
    private let pg = PGID.data(1)
    private let object = ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(9)), index: 0)
    private let version = EntryName(epoch: Epoch(1), n: 5)

    private func piece(_ first: Int, completes: EntryName?) -> (ObjectPiece, [UInt8]) {
        let (write, bytes) = makeWrite(object, BlockRange(first: first, count: 64), seed: 7)
        return (
            ObjectPiece(
                object: object, blocks: write.blocks, states: [BlockState](repeating: .present, count: 64),
                checksums: write.checksums, truncation: .zero, asOf: version, completes: completes), bytes
        )
    }

    /// The disk of a learner that got both pieces of the object and then lost power, and the seed's further numbers.
    private func withoutPower(seed: UInt64) -> (FakeDisk, SplitMix64) {
        let disk = FakeDisk()
        let host = StoreHost(disk, History.small, boot: 1, seed: seed)
        host.start()
        host.call { $0.writeState(pg, [1], token: host.token()) }
        for (first, completes) in [(0, nil), (64, version)] {
            let (piece, bytes) = piece(first, completes: completes)
            let handle = host.payload(bytes)
            host.call { $0.install(pg, piece, payload: handle) }
        }
        host.run()
        var random = SplitMix64(seed: seed)
        disk.losePower(&random)
        return (disk, random)
    }

    private func isListed(_ host: StoreHost) throws -> Bool {
        let token = host.token()
        host.call { $0.changes(pg, after: ChangeCursor(incompleteAndAfter: version), token: token) }
        host.run()
        return try #require(host.changePages[token]).changes.contains { change in
            if case .object(object, .zero, _) = change { true } else { false }
        }
    }

    @Test(
        "An object of which a piece was lost is incomplete: the next catching up looks at it, and goes on with the rest"
    )
    func lost() throws {
        var lost = 0
        for seed in UInt64(1)...30 {
            let (disk, _) = withoutPower(seed: seed)
            for boot in UInt64(2)...4 {
                let host = StoreHost(disk, History.small, boot: boot, seed: seed)
                host.run()
                let group = host.report?.groups.first { $0.pg == pg }
                host.start()
                guard let group, boot > 2 || group.health == .piecesLost else { break }
                #expect(group.health != .corrupt)
                #expect(try isListed(host), "seed \(seed), boot \(boot)")
                lost += 1
                // In the index, from the second time on.
                if boot == 3 { host.settle() }
            }
        }
        #expect(lost > 6, "\(lost)")
    }

    /// Whether the object of lost pieces is still incomplete for an opening that comes before a checkpoint of the one that found
    /// them is durable: after a kill, or another loss of power. Nil if no piece was lost.
    private func isStillIncomplete(seed: UInt64, power: Bool, _ mutation: StoreMutation? = nil) throws -> Bool? {
        var (disk, random) = withoutPower(seed: seed)
        var host = StoreHost(disk, History.small, boot: 2, seed: seed)
        host.holdCommits = true
        host.start()
        try #require(host.isReady)
        guard host.report?.groups.first(where: { $0.pg == pg })?.health == .piecesLost else { return nil }
        if power { disk.losePower(&random) }
        host = StoreHost(disk, History.small, boot: power ? 3 : 2, seed: seed, mutation)
        host.start()
        return try isListed(host)
    }

    @Test("A lost piece stays lost for who opens the disk before a checkpoint has said so")
    func openedAgain() throws {
        var lost = 0
        var forgotten = 0
        for seed in UInt64(1)...20 {
            for power in [false, true] {
                guard let holds = try isStillIncomplete(seed: seed, power: power) else { continue }
                #expect(holds, "seed \(seed)")
                lost += 1
                if try isStillIncomplete(seed: seed, power: power, .lostPiecesForgotten) == false { forgotten += 1 }
            }
        }
        #expect(lost > 6 && forgotten > 6, "\(lost), \(forgotten)")
    }

    @Test("What the caller takes for corrupt stays so until it says that it has dealt with it")
    func corrupt() throws {
        let disk = FakeDisk()
        var host = StoreHost(disk, History.small, boot: 1, seed: 1)
        host.corrupt = [pg]
        host.start()
        for boot in UInt64(2)...3 {
            host = StoreHost(disk, History.small, boot: boot, seed: 1)
            host.start()
            #expect(host.report?.groups.first { $0.pg == pg }?.health == .corrupt)
        }
        host.call { $0.settleReport(pg, token: host.token()) }
        host.settle()
        host = StoreHost(disk, History.small, boot: 4, seed: 1)
        host.start()
        #expect(host.report?.groups.first { $0.pg == pg }?.health == .whole)
    }
}
