import ClusterModel
import Testing
import Wire

@testable import Replication

/// Three members of which the third was away while so many objects changed.
private final class Away {
    let trio: HandoverTests.Trio
    private(set) var pieces = 0
    let objects: Int
    static let pieceBytes = 256 << 10

    init(objects: Int) throws {
        var limits = ReplicationLimits()
        limits.catchUpStart = .byTurn
        trio = try HandoverTests.Trio(limits: limits)
        self.objects = objects
        trio.begin()
        trio.disk = { [unowned self] in work($0, $1) }
        cut(2)
        // Its silence has lasted long enough: the record goes on without it.
        trio.pass(milliseconds: 1500)
        if !trio.proposals.isEmpty { trio.land() }
    }

    private func cut(_ i: Int) {
        for j in 0..<3 where j != i { trio.cut(i, j) }
    }

    func lose(_ i: Int) { cut(i) }

    func connect(_ i: Int, to j: Int) { trio.connect(i, j) }

    private func work(_ effect: ReplicaEffect, _ i: Int) -> HandoverTests.Trio.Disk {
        let group = trio.groups[i]
        switch effect {
        case .listChanges(_, let token):
            let all = (0..<UInt64(objects)).map {
                ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: $0)
            }
            group.changesListed(token, i == 0 ? all : [], cuts: [], at: trio.moment)
        case .readPiece(_, let blocks, let token):
            pieces += 1
            group.pieceRead(
                token,
                PieceContent(
                    content: .max, zero: 0, checksums: Array(repeating: 0, count: blocks.count),
                    version: EntryName(epoch: Epoch(1), n: 1), truncation: .none, position: .more,
                    payload: PayloadHandle(id: UInt64(pieces), length: Away.pieceBytes)), at: trio.moment)
        case .installPiece(_, let token), .syncAll(let token): group.installed(token, at: trio.moment)
        default: return .passesOn
        }
        return .done
    }

    /// As the shell does: every 20 ms the groups that are due.
    func pass(milliseconds: UInt64) {
        for _ in 0..<milliseconds / 20 {
            trio.now += 20_000_000
            for group in trio.groups where group.nextTick <= trio.moment.now { group.ticked(at: trio.moment) }
            trio.settle()
        }
    }

    var primary: PlacementGroup { trio.groups[0] }
    var sent: UInt64 { UInt64(pieces * Away.pieceBytes) }
}

struct CatchUpPaceTests {
    @Test("A catch-up begins when its turn has come, and not before; meanwhile it lasts as long as it may")
    func turns() throws {
        let away = try Away(objects: 2)
        away.connect(2, to: 0)
        away.connect(2, to: 1)
        away.pass(milliseconds: 60_000)
        #expect(away.primary.catchUpCandidates.map(\.standing) == [.waiting])
        #expect(away.primary.catchUpProgress(at: away.trio.moment.now).map(\.stage) == [.waiting])
        #expect(away.sent == 0)
        #expect(away.trio.groups[2].waiting == .learning)
        away.primary.catchUpTurnCame(NodeID(3), at: away.trio.moment)
        away.pass(milliseconds: 1000)
        #expect(away.sent == 8 << 20)
        #expect(!away.trio.proposals.isEmpty)
        away.trio.land()
        #expect(away.trio.record.inSync.count == 3)
        #expect(away.primary.catchUpCandidates.isEmpty)
    }

    @Test("Pieces and ticks make the pace that is wanted, slow or fast", arguments: [2, 8, 64, 300])
    func pace(mebibytes: UInt64) throws {
        let away = try Away(objects: 1000)
        away.connect(2, to: 0)
        away.primary.paceChanged(.mebibytes(mebibytes), at: away.trio.moment)
        away.primary.catchUpTurnCame(NodeID(3), at: away.trio.moment)
        away.pass(milliseconds: 4000)
        let wanted = mebibytes << 22
        #expect(away.sent > wanted * 90 / 100)
        #expect(away.sent < wanted * 105 / 100 + 1 << 20)
        #expect(away.primary.copiedBytes == away.sent)
    }

    @Test("A new pace holds at once, whatever is owed at the old one")
    func newPace() throws {
        let away = try Away(objects: 1000)
        away.connect(2, to: 0)
        away.primary.paceChanged(Pace(bytesPerSecond: 1000), at: away.trio.moment)
        away.primary.catchUpTurnCame(NodeID(3), at: away.trio.moment)
        away.pass(milliseconds: 2000)
        #expect(away.pieces == 1)
        away.primary.paceChanged(.mebibytes(64), at: away.trio.moment)
        away.pass(milliseconds: 1000)
        #expect(away.sent > 56 << 20)
    }

    @Test("Whom writes wait for is not paced, and waits for no turn")
    func needed() throws {
        let away = try Away(objects: 100)
        away.primary.paceChanged(Pace(bytesPerSecond: 1000), at: away.trio.moment)
        // The second member is away, too, and the record cannot go on without it: the third is to replace it.
        away.lose(1)
        away.connect(2, to: 0)
        away.pass(milliseconds: 500)
        #expect(away.primary.pacedCatchUps == 0)
        #expect(away.sent == 400 << 20)
        away.trio.land()
        #expect(away.trio.record.inSync.map(\.node) == [NodeID(1), NodeID(3)])
    }

    @Test("Progress tells objects, bytes, pace and the time that is left")
    func progress() throws {
        let away = try Away(objects: 100)
        away.connect(2, to: 0)
        away.primary.paceChanged(.mebibytes(40), at: away.trio.moment)
        away.primary.catchUpTurnCame(NodeID(3), at: away.trio.moment)
        away.pass(milliseconds: 5000)
        let one = try #require(away.primary.catchUpProgress(at: away.trio.moment.now).first)
        #expect(one.node == NodeID(3))
        #expect(one.stage == .copying)
        let objects = try #require(one.objects)
        #expect(objects.of == 100)
        #expect((47...51).contains(objects.copied))
        #expect(one.bytes == away.sent)
        #expect(one.pace > .mebibytes(36) && one.pace < .mebibytes(44))
        let left = try #require(one.timeLeft)
        #expect(left > .milliseconds(4500) && left < .milliseconds(5800))
    }

    @Test("Progress of a metadata group tells rows, and the time that is left")
    func rows() throws {
        let trio = try HandoverTests.Trio(pg: .metadata(.root))
        var reads: [WorkToken] = []
        trio.disk = { effect, i in
            guard case .readSnapshot(let token) = effect, i == 0 else { return .passesOn }
            reads.append(token)
            return .done
        }
        trio.begin()
        trio.pass(milliseconds: 1500)
        trio.thirdLearnsAnew(seconds: 4) { !reads.isEmpty }
        for part in 1...4 {
            let token = try #require(reads.last)
            reads.removeLast()
            trio.groups[0].snapshotRead(
                token, PayloadHandle(id: UInt64(part), length: 100), asOf: trio.groups[0].decided, position: .more,
                rows: (500, of: 3000), at: trio.moment)
            trio.settle()
            if part < 4 {
                trio.pass(milliseconds: 1000)
                if reads.isEmpty { reads.append(token) }
            }
        }
        let one = try #require(trio.groups[0].catchUpProgress(at: trio.moment.now).first)
        #expect(one.rows == CatchUpProgress.Rows(copied: 2000, about: 3000))
        let left = try #require(one.timeLeft)
        #expect(left > .milliseconds(1500) && left < .milliseconds(2600), "\(left)")
    }

    @Test("The sum of several takes what waits for as much as what is under way")
    func total() {
        func one(_ stage: CatchUpProgress.Stage, _ seconds: UInt64?) -> CatchUpProgress {
            var p = CatchUpProgress(
                node: NodeID(3), stage: stage, bytes: 0, pace: .mebibytes(stage == .copying ? 10 : 0))
            p.timeLeft = seconds.map { .seconds($0) }
            return p
        }
        #expect(CatchUpProgress.total([]).timeLeft == nil)
        let waiting = CatchUpProgress.total([one(.waiting, nil), one(.listing, nil)])
        #expect(waiting.groups == 2)
        #expect(waiting.waiting == 1)
        #expect(waiting.timeLeft == nil)
        let total = CatchUpProgress.total([
            one(.copying, 10), one(.copying, 20), one(.waiting, nil), one(.waiting, nil), one(.waiting, nil),
            one(.waiting, nil),
        ])
        #expect(total.groups == 6)
        #expect(total.pace == .mebibytes(20))
        // Two lots of two, 30 s each, behind what is left of these.
        #expect(total.timeLeft == .seconds(80))
        #expect(CatchUpProgress.total([one(.finishing, nil)]).timeLeft == .zero)
    }

    @Test("A meter follows a change within seconds, and a stop too")
    func meter() throws {
        var meter = ProgressMeter(at: Instant(nanoseconds: 0))
        #expect(meter.rate(at: Instant(nanoseconds: 0)) == nil)
        var now = Instant(nanoseconds: 0)
        func second(_ bytes: Int) {
            for _ in 0..<10 {
                now = now + .milliseconds(100)
                meter.add(bytes: bytes / 10, blocks: bytes / 100, at: now)
            }
        }
        for _ in 0..<3 { second(1_000_000) }
        #expect(try #require(meter.rate(at: now)).bytes == 1_000_000)
        for _ in 0..<10 { second(5_000_000) }
        #expect(try #require(meter.rate(at: now)).bytes > 4_500_000)
        #expect(try #require(meter.rate(at: now)).blocks > 450_000)
        #expect(try #require(meter.rate(at: now + .seconds(60))).bytes < 4_000_000)
    }
}
