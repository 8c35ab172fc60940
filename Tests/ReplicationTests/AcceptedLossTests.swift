import ClusterModel
import Testing
import Wire

@testable import Replication

/// Members that an operator gives up (replication.md, 10).
struct AcceptedLossTests {
    private let moment = Moment(now: Instant(nanoseconds: 1_000_000_000), time: Timestamp(nanoseconds: 1))

    private func member(_ n: UInt16) -> Member {
        Member(node: NodeID(n), disk: DiskID(UInt128(n)), boot: BootID(UInt128(n)))
    }

    private func later(_ seconds: UInt64) -> Moment {
        Moment(now: moment.now + .seconds(seconds), time: moment.time)
    }

    /// Node 1's replica of a group whose last primary, node 9, is gone with its lease; the record names those nodes.
    private func left(
        of named: [UInt16], copies: Int, recovered: RecoveredReplica?, found: EntryName = .zero,
        pg: PGID = .data(0)
    ) throws -> PlacementGroup {
        let group = try PlacementGroup(pg: pg, local: member(1), recovered: recovered, found: found, at: moment)
        group.mapChanged(
            MapFacts(
                version: MapVersion(1), lossNumber: LossNumber(4),
                policy: try #require(ReplicationPolicy(copies: copies)),
                dataPGCount: 1, liveSessions: []), at: moment)
        group.leaseTaken(LeaseNumber(7), at: moment)
        group.leaseSeenEnded(LeaseNumber(3), at: moment)
        group.recordRead(
            PGRecord(
                pg: pg, epoch: Epoch(5), primary: NodeID(9), primaryLease: LeaseNumber(3), inSync: named.map(member),
                learners: [], placement: named.map { PlacementTarget(node: NodeID($0), disk: DiskID(UInt128($0))) },
                lossNumber: .zero), RecordVersion(1), at: moment)
        return group
    }

    /// With this log, under the present boot.
    private func whole(_ spans: [EpochSpan], learning: Bool = false) throws -> RecoveredReplica {
        var state = ReplicaState(boot: BootID(1))
        state.history = try #require(EpochHistory(spans))
        state.learning = learning
        let tables = ReplicaTables(
            asOf: state.history.end, history: state.history, windows: RequestWindows(), marks: FileMarks())
        return RecoveredReplica(
            state: state.encoded(), tables: tables.encoded(), entries: [], decided: state.history.end,
            stable: state.history.end, voids: [], opening: .crashed)
    }

    private func here(_ n: UInt16, _ group: PlacementGroup, _ continuity: ReplicaStatus.Continuity, _ end: EntryName) {
        group.peerConnected(PeerFacts(node: NodeID(n), boot: BootID(UInt128(n))), at: moment)
        let status = ReplicaStatus(member: member(n), continuity: continuity, end: end)
        group.messageArrived(
            from: NodeID(n), ReplicaMessage(pg: group.pg, epoch: Epoch(5), body: .status(status)), at: moment)
    }

    private func effects(_ group: PlacementGroup) -> [ReplicaEffect] {
        var effects: [ReplicaEffect] = []
        group.takeEffects(into: &effects)
        return effects
    }

    /// What is done when the disk has told of its cuts, if it is asked: file 7 was truncated for the fifth time.
    private func whenListed(_ done: [ReplicaEffect], _ group: PlacementGroup) -> [ReplicaEffect] {
        guard let token = done.compactMap({ if case .listChanges(.zero, let t) = $0 { t } else { nil } }).first else {
            return done
        }
        group.changesListed(
            token, [],
            cuts: [
                ListedCut(
                    version: EntryName(epoch: Epoch(2), n: 5), file: Self.cutFile,
                    truncation: TruncationMark(number: TruncationNumber(5), size: 100), kind: .truncation)
            ], at: moment)
        return effects(group)
    }
    private static let cutFile = FileID(fileset: .root, inode: InodeNumber(7))

    private func proposal(_ effects: [ReplicaEffect]) -> Proposal? {
        effects.compactMap { if case .propose(let p) = $0 { p } else { nil } }.first
    }

    private func demand(_ content: LossDemand.Demanded = .whole, _ named: [UInt16] = [], epoch: UInt64 = 5)
        -> LossDemand
    {
        LossDemand(epoch: Epoch(epoch), content: content, named: named.map { NodeID($0) })
    }

    @Test(
        "The last member goes on alone when an operator gives up the others, and the loss number rises with its claim")
    func alone() throws {
        let group = try left(of: [1, 2, 3], copies: 3, recovered: whole([EpochSpan(epoch: Epoch(2), last: 40)]))
        #expect(group.lossAccepted(demand(epoch: 4), at: moment) == .changed)
        #expect(group.lossAccepted(demand(.whole, [2, 3]), at: moment) == nil)
        let made = try #require(proposal(effects(group)))
        #expect(made.record.inSync == [member(1)] && made.record.primary == NodeID(1))
        #expect(made.record.epoch == Epoch(6) && made.requiresEnded == LeaseNumber(3))
        #expect(made.raisesLossNumber == LossNumber(4) && made.record.lossNumber == LossNumber(5))
        // Of unknown outcome: the same is sent again, and nothing else is done meanwhile.
        group.proposalEnded(made.token, .unknown, at: moment)
        #expect(group.lossAccepted(demand(.whole, [2, 3]), at: moment) == .notNow)
        group.ticked(at: later(1))
        #expect(proposal(effects(group)) == made)
        #expect(!group.isPrimary)
        group.proposalEnded(made.token, .won(RecordVersion(2)), at: later(1))
        #expect(group.isPrimary)
    }

    @Test("Nobody goes on while the primary's lease lasts")
    func leaseLasts() throws {
        let group = try left(of: [1, 2], copies: 2, recovered: whole([EpochSpan(epoch: Epoch(2), last: 40)]))
        var record = try #require(group.record)
        record.epoch = Epoch(6)
        record.primaryLease = LeaseNumber(8)
        group.recordRead(record, RecordVersion(2), at: moment)
        #expect(group.lossAccepted(demand(.whole, [2], epoch: 6), at: moment) == .primary(NodeID(9)))
        #expect(effects(group).contains { if case .askLease(LeaseNumber(8)) = $0 { true } else { false } })
    }

    @Test("A member that was here less than a minute ago is given up by name only")
    func mayReturn() throws {
        let group = try left(of: [1, 2], copies: 2, recovered: whole([EpochSpan(epoch: Epoch(2), last: 40)]))
        here(2, group, .kept, EntryName(epoch: Epoch(2), n: 40))
        #expect(group.lossAccepted(demand(), at: moment) == .enough)
        group.peerDisconnected(NodeID(2), at: later(10))
        #expect(group.lossAccepted(demand(), at: later(69)) == .mayReturn([NodeID(2)]))
        #expect(group.lossAccepted(demand(), at: later(70)) == nil)
    }

    @Test("What a disk that failed still has counts also when its learning has just begun")
    func foundAndLearning() throws {
        let found = EntryName(epoch: Epoch(4), n: 90)
        let group = try left(of: [1, 2], copies: 2, recovered: nil, found: found)
        #expect(group.content == .incomplete(found))
        group.contentLost("it has to learn", at: moment)
        #expect(group.isLearning && group.content == .incomplete(found))
        #expect(group.lossAccepted(demand(.any, [2]), at: moment) == nil)
    }

    @Test("A member whose node does not use its disk is given up by name only: it may hold everything")
    func outOfUse() throws {
        let group = try left(of: [1, 2], copies: 2, recovered: whole([EpochSpan(epoch: Epoch(2), last: 40)]))
        here(2, group, .kept, EntryName(epoch: Epoch(2), n: 40))
        group.messageArrived(
            from: NodeID(2), ReplicaMessage(pg: group.pg, epoch: .zero, body: .gone), at: later(10))
        #expect(group.memberStandings(at: later(100)).map(\.standing) == [.outOfUse])
        #expect(group.lossAccepted(demand(), at: later(100)) == .mayReturn([NodeID(2)]))
        #expect(group.lossAccepted(demand(.whole, [2]), at: later(100)) == nil)
    }

    @Test("A member that is here and has not said what it has is asked first")
    func unasked() throws {
        let group = try left(of: [1, 2], copies: 2, recovered: whole([EpochSpan(epoch: Epoch(2), last: 40)]))
        group.peerConnected(PeerFacts(node: NodeID(2), boot: BootID(2)), at: moment)
        #expect(group.lossAccepted(demand(), at: moment) == .unasked([NodeID(2)]))
        #expect(
            effects(group).contains { if case .send(let m, _) = $0, case .askStatus = m.body { true } else { false } })
        here(2, group, .absent, .zero)
        #expect(group.lossAccepted(demand(), at: moment) == nil)
    }

    @Test("Of whole members the one with the greatest log goes on, and the others stay members")
    func greatest() throws {
        let spans = [EpochSpan(epoch: Epoch(2), last: 40)]
        let shorter = try left(of: [1, 2, 3, 4, 5], copies: 5, recovered: whole(spans))
        here(2, shorter, .kept, EntryName(epoch: Epoch(2), n: 41))
        #expect(shorter.lossAccepted(demand(.any, [3, 4, 5]), at: moment) == .better(NodeID(2)))
        let longer = try left(of: [1, 2, 3, 4, 5], copies: 5, recovered: whole(spans))
        here(2, longer, .kept, EntryName(epoch: Epoch(2), n: 39))
        // What lost power is a learner beside one that kept it.
        here(3, longer, .rebooted, EntryName(epoch: Epoch(2), n: 44))
        #expect(longer.lossAccepted(demand(.whole, [4, 5]), at: moment) == nil)
        #expect(proposal(effects(longer))?.record.inSync == [member(1), member(2)])
    }

    @Test("A replica that the record does not name any more goes on only on demand, and never beside one that it names")
    func old() throws {
        let spans = [EpochSpan(epoch: Epoch(2), last: 40)]
        let end = EntryName(epoch: Epoch(2), n: 40)
        let group = try left(of: [2, 3], copies: 3, recovered: whole(spans))
        #expect(group.lossAccepted(demand(.whole, [2, 3]), at: moment) == .content(.old(end)))
        here(3, group, .rebooted, end)
        #expect(group.lossAccepted(demand(.any, [2]), at: moment) == .better(NodeID(3)))
        group.peerDisconnected(NodeID(3), at: moment)
        #expect(group.lossAccepted(demand(.any, [2, 3]), at: moment) == nil)
        let made = try #require(proposal(effects(group)))
        group.proposalEnded(made.token, .won(RecordVersion(2)), at: moment)
        // Its log is in order: who comes back shares it through its end.
        #expect(group.isPrimary && group.history.spans == spans && group.content == .whole(end))
    }

    @Test(
        "Content that lacks something is taken on demand only, counts once that is stable, and shares no entry with any other",
        arguments: [true, false])
    func incomplete(isLearner: Bool) throws {
        let end = EntryName(epoch: Epoch(3), n: 17)
        let spans = [EpochSpan(epoch: Epoch(2), last: 9), EpochSpan(epoch: Epoch(3), last: 17)]
        let group = try left(
            of: [2], copies: 2, recovered: isLearner ? whole(spans, learning: true) : nil,
            found: isLearner ? .zero : end)
        #expect(group.lossAccepted(demand(.whole, [2]), at: moment) == .content(.incomplete(end)))
        #expect(group.lossAccepted(demand(.any, [2]), at: moment) == nil)
        let made = try #require(proposal(effects(group)))
        group.proposalEnded(made.token, .won(RecordVersion(2)), at: moment)
        let done = effects(group)
        let begin = EntryName(epoch: Epoch(6), n: 17)
        #expect(done.contains { if case .restartLog(let after, _) = $0 { after == begin } else { false } })
        let listed = whenListed(done, group)
        #expect(group.knowsTruncation(TruncationNumber(5), of: Self.cutFile) == !isLearner)
        let token = try #require(listed.compactMap { if case .syncAll(let t) = $0 { t } else { nil } }.first)
        #expect(!group.isPrimary && group.isLearning == isLearner && group.isAbsent != isLearner)
        group.installed(token, at: moment)
        #expect(group.isPrimary && !group.isAbsent && !group.isLearning && group.content == .whole(begin))
        let others = try #require(EpochHistory(spans))
        #expect(others.common(with: group.history, notBeyond: others.end) == .zero)
    }

    @Test("Rows that lack entries are told to go on without them before what they hold is made stable")
    func incompleteRows() throws {
        let spans = [EpochSpan(epoch: Epoch(2), last: 9), EpochSpan(epoch: Epoch(3), last: 17)]
        let group = try left(
            of: [2], copies: 2, recovered: whole(spans, learning: true), pg: .metadata(FilesetID(1)))
        #expect(group.lossAccepted(demand(.any, [2]), at: moment) == nil)
        let made = try #require(proposal(effects(group)))
        group.proposalEnded(made.token, .won(RecordVersion(2)), at: moment)
        let done = effects(group)
        let begin = EntryName(epoch: Epoch(6), n: 17)
        #expect(!done.contains { if case .syncAll = $0 { true } else { false } })
        let forgone = try #require(
            done.compactMap { if case .forgoRows(begin, let t) = $0 { t } else { nil } }.first)
        #expect(!group.isPrimary)
        group.installed(forgone, at: moment)
        let synced = try #require(effects(group).compactMap { if case .syncAll(let t) = $0 { t } else { nil } }.first)
        #expect(!group.isPrimary)
        group.installed(synced, at: moment)
        #expect(group.isPrimary && group.content == .whole(begin))
    }

    @Test("A lease that lapses while incomplete content is being taken leaves the replica what it was")
    func lapses() throws {
        let end = EntryName(epoch: Epoch(3), n: 17)
        let group = try left(of: [2], copies: 2, recovered: nil, found: end)
        #expect(group.lossAccepted(demand(.any, [2]), at: moment) == nil)
        let made = try #require(proposal(effects(group)))
        group.proposalEnded(made.token, .won(RecordVersion(2)), at: moment)
        let listed = whenListed(effects(group), group)
        let token = try #require(listed.compactMap { if case .syncAll(let t) = $0 { t } else { nil } }.first)
        group.leaseLapsed(LeaseNumber(7), at: moment)
        group.leaseTaken(LeaseNumber(8), at: moment)
        group.installed(token, at: moment)
        #expect(!group.isPrimary && group.isAbsent && group.role == .follower)
        // The operator says it again.
        group.recordRead(made.record, RecordVersion(2), at: moment)
        #expect(group.lossAccepted(demand(.any, [2], epoch: 6), at: moment) == nil)
    }
}
