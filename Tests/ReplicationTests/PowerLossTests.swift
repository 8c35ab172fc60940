import ClusterModel
import Testing
import Wire

@testable import Replication

/// Who goes on after all members have lost power.
struct PowerLossTests {
    typealias Trio = HandoverTests.Trio

    /// Members 2 and 3 are back under other boots, with so many entries; member 1 stays away.
    private func rebooted(
        _ second: UInt64, _ third: UInt64, voids: [VoidRecord] = [], _ mutation: Mutation?
    ) throws -> Trio {
        let trio = try Trio()
        trio.record.epoch = Epoch(2)
        trio.record.primary = NodeID(1)
        trio.record.primaryLease = LeaseNumber(5)
        for i in 0..<3 { trio.record.inSync[i].boot = BootID(UInt128(i + 1)) }
        trio.version = 9
        for (i, end) in [(1, second), (2, third)] {
            var state = ReplicaState(boot: BootID(UInt128(i + 1)))
            state.promised = Epoch(2)
            let entries = (1...end).map { n in
                Entry(
                    name: EntryName(epoch: Epoch(2), n: n), body: .empty, durability: .unstable, lossNumber: .zero,
                    time: Timestamp(nanoseconds: Int64(n)))
            }
            let recovered = RecoveredReplica(
                state: state.encoded(), tables: nil, entries: entries, decided: EntryName(epoch: Epoch(2), n: 3),
                stable: EntryName(epoch: Epoch(2), n: end), voids: i == 2 ? voids : [], opening: .crashed)
            let member = Member(
                node: NodeID(UInt16(i + 1)), disk: DiskID(UInt128(i + 1)), boot: BootID(UInt128(100 + i)))
            trio.groups[i] = try PlacementGroup(pg: trio.pg, local: member, recovered: recovered, at: trio.moment)
            #if DEBUG
                trio.groups[i].mutation = mutation
            #endif
        }
        for (i, other) in [(1, 2), (2, 1)] {
            trio.groups[i].mapChanged(trio.map, at: trio.moment)
            trio.groups[i].leaseTaken(trio.lease(i), at: trio.moment)
            trio.groups[i].leaseSeenEnded(LeaseNumber(5), at: trio.moment)
            trio.groups[i].peerConnected(
                PeerFacts(node: NodeID(UInt16(other + 1)), boot: BootID(UInt128(100 + other))), at: trio.moment)
            trio.groups[i].recordRead(trio.record, RecordVersion(trio.version), at: trio.moment)
        }
        return trio
    }

    /// No seed of the simulator shows this: what was decided and stable every member has, so that the longest log saves no
    /// promise, but what else was written.
    @Test(
        "The member with the longest log claims, after a minute for those that may not have rebooted",
        arguments: [nil, .shortestLogClaims] as [Mutation?])
    func longestLog(_ mutation: Mutation?) throws {
        let trio = try rebooted(4, 6, mutation)
        trio.pass(milliseconds: 55_000)
        #expect(trio.proposals.isEmpty)
        trio.pass(milliseconds: 10_000)
        let claim = try #require(trio.proposals.first)
        #expect(claim.from == (mutation == nil ? 2 : 1))
        #expect(claim.proposal.record.inSync.map(\.node) == [NodeID(2), NodeID(3)])
        #expect(claim.proposal.raisesLossNumber == .zero)
    }

    @Test(
        "A request whose write was lost with power is not answered as if it had been executed",
        arguments: [nil, .lostRequestsStay] as [Mutation?])
    func lostRequest(_ mutation: Mutation?) throws {
        let lost = LostRequest(session: SessionID(1), request: RequestNumber(9))
        let void = VoidRecord(
            entry: EntryName(epoch: Epoch(2), n: 5),
            object: ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: 0), request: lost)
        let trio = try rebooted(4, 6, voids: [void], mutation)
        trio.pass(milliseconds: 65_000)
        try #require(trio.proposals.first?.from == 2)
        trio.land()
        trio.pass(milliseconds: 100)
        #expect((trio.groups[2].windows.find(lost.session, lost.request) == .new) == (mutation == nil))
    }

    /// The learning mark never reached its log: it comes again as one that lacks nothing.
    @Test(
        "A member that does not hear that it has to copy what was lost copies it when it is back",
        arguments: [nil, .voidsOnceOnly] as [Mutation?])
    func learnLost(_ mutation: Mutation?) throws {
        let void = VoidRecord(
            entry: EntryName(epoch: Epoch(2), n: 5),
            object: ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: 0),
            request: LostRequest(session: SessionID(1), request: RequestNumber(9)))
        let trio = try rebooted(4, 6, voids: [void], mutation)
        var isLost = false
        trio.disk = { effect, i in
            guard i == 2, !isLost, case .send(let message, _) = effect, case .learn = message.body else {
                return .passesOn
            }
            isLost = true
            return .done
        }
        trio.pass(milliseconds: 65_000)
        try #require(trio.proposals.first?.from == 2)
        trio.land()
        trio.pass(milliseconds: 100)
        try #require(isLost)
        trio.cut(1, 2)
        for (i, other) in [(1, 2), (2, 1)] {
            trio.groups[i].peerConnected(
                PeerFacts(node: NodeID(UInt16(other + 1)), boot: BootID(UInt128(100 + other))), at: trio.moment)
        }
        trio.pass(milliseconds: 500)
        let second = try #require(trio.groups[2].reign.members.first { $0.node == NodeID(2) })
        #expect(second.reported && second.isComplete == (mutation != nil))
        #expect(trio.groups[1].isLearning == (mutation == nil))
    }
}
