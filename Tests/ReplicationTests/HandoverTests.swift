import ClusterModel
import Testing
import Wire

@testable import Replication

/// Three members of one data group as machines, with a store that is asked by hand.
struct HandoverTests {
    /// Delivers messages at once and in order, and does all disk work at once; proposals wait for the test.
    final class Trio {
        let pg: PGID
        var groups: [PlacementGroup] = []
        var record: PGRecord
        var version: Int64 = 1
        var now: UInt64 = 1_000_000_000
        let map: MapFacts
        var proposals: [(from: Int, proposal: Proposal)] = []
        var answers: [(from: Int, response: PGResponse)] = []
        var storeAnswers = true
        /// Whose disk writes no state.
        var stuckDisk: Int?
        private var stuckWrites: [WorkToken] = []
        /// Questions of scrubs that nobody has answered.
        var scrubs: [(member: Int, ask: ScrubAsk, to: NodeID, epoch: Epoch)] = []
        var scrubOutcomes: [ScrubOutcome] = []
        /// Work of a disk that the test does itself, where it says so.
        var disk: (ReplicaEffect, _ of: Int) -> Disk = { _, _ in .passesOn }
        enum Disk {
            case done
            case passesOn
        }
        /// Members that were told to forget what they have, in order.
        var forgotten: [Int] = []
        private var messages: [(from: Int, to: NodeID, message: ReplicaMessage)] = []

        var moment: Moment { Moment(now: Instant(nanoseconds: now), time: Timestamp(nanoseconds: Int64(now))) }

        init(pg: PGID = .data(0), limits: ReplicationLimits = ReplicationLimits()) throws {
            self.pg = pg
            let members = (1...3).map { n in
                Member(node: NodeID(UInt16(n)), disk: DiskID(UInt128(n)), boot: BootID(UInt128(n)))
            }
            record = PGRecord(
                pg: pg, epoch: Epoch(1), primary: nil, primaryLease: .none,
                inSync: members.map { Member(node: $0.node, disk: $0.disk, boot: nil) }, learners: [],
                placement: members.map { PlacementTarget(node: $0.node, disk: $0.disk) }, lossNumber: .zero)
            map = MapFacts(
                version: MapVersion(1), lossNumber: .zero, policy: try #require(ReplicationPolicy(copies: 3)),
                dataPGCount: 1, liveSessions: [SessionID(1)])
            for member in members {
                let boot = try #require(member.boot)
                groups.append(
                    try PlacementGroup(
                        pg: pg, local: member, recovered: .fresh(boot: boot), limits: limits, at: moment))
            }
            for (i, group) in groups.enumerated() {
                group.mapChanged(map, at: moment)
                group.leaseTaken(lease(i), at: moment)
                for j in groups.indices where j != i {
                    group.peerConnected(
                        PeerFacts(node: NodeID(UInt16(j + 1)), boot: BootID(UInt128(j + 1))), at: moment)
                }
                group.recordRead(record, RecordVersion(version), at: moment)
            }
        }

        func lease(_ i: Int) -> LeaseNumber { LeaseNumber(UInt32(11 + i)) }

        /// Lets everything happen that is due, but for proposals.
        func settle() {
            var isBusy = true
            while isBusy {
                isBusy = false
                for i in groups.indices {
                    var effects: [ReplicaEffect] = []
                    groups[i].takeEffects(into: &effects)
                    for effect in effects {
                        isBusy = true
                        run(effect, of: i)
                    }
                }
                let due = messages
                messages = []
                for m in due {
                    isBusy = true
                    groups[Int(m.to.rawValue) - 1].messageArrived(
                        from: NodeID(UInt16(m.from + 1)), m.message, at: moment)
                }
            }
        }

        private func run(_ effect: ReplicaEffect, of i: Int) {
            let group = groups[i]
            if disk(effect, i) == .done { return }
            switch effect {
            case .append(let entry, _):
                group.logAppended(through: entry.name, at: moment)
                group.logStable(through: entry.name, at: moment)
            case .sync(let through): group.logStable(through: through, at: moment)
            case .cutLog(_, let token): group.logCut(token, at: moment)
            case .writeState(_, _, let token):
                if stuckDisk == i { stuckWrites.append(token) } else { group.stateWritten(token, at: moment) }
            case .send(let message, let to): messages.append((i, to, message))
            case .answer(_, let response, _): answers.append((i, response))
            case .propose(let proposal): proposals.append((i, proposal))
            case .awaitMap(let token, since: _): group.mapRead(token, map, at: moment)
            case .readMap(let token): if storeAnswers { group.mapRead(token, map, at: moment) }
            case .readRecord: if storeAnswers { group.recordRead(record, RecordVersion(version), at: moment) }
            case .read(let ticket, _, _): group.readCompleted(ticket, nil, presence: .complete, at: moment)
            case .restartLog, .decided, .drop, .stableAfter, .giveUpLease, .query, .fetchResult, .completeEdges,
                .findCut,
                .askLease,
                .listChanges,
                .readPiece, .installPiece, .removeObject, .readSnapshot, .installSnapshot, .forgoRows, .syncAll,
                .giveBlocks,
                .blocksFound, .searchEnded, .report:
                break
            case .forgetContent, .eraseContent: forgotten.append(i)
            case .scrub(let ask, let to, let epoch): scrubs.append((i, ask, to, epoch))
            case .scrubEnded(let outcome): scrubOutcomes.append(outcome)
            }
        }

        /// What was stuck is done.
        func freeDisk() {
            guard let i = stuckDisk else { return }
            stuckDisk = nil
            for token in stuckWrites { groups[i].stateWritten(token, at: moment) }
            stuckWrites = []
            settle()
        }

        /// Time goes on for all, or for one.
        func pass(milliseconds: UInt64, only one: Int? = nil) {
            for _ in 0..<max(milliseconds / 5, 1) {
                now += 5_000_000
                for i in groups.indices where one == nil || one == i { groups[i].ticked(at: moment) }
                settle()
            }
        }

        /// The store takes the oldest proposal; others hear of the record only if they are told.
        func land(tell: Bool = true) {
            let (i, proposal) = proposals.removeFirst()
            record = proposal.record
            version += 1
            groups[i].proposalEnded(proposal.token, .won(RecordVersion(version)), at: moment)
            if tell {
                for j in groups.indices { groups[j].recordRead(record, RecordVersion(version), at: moment) }
            }
            settle()
        }

        /// The first member reigns and serves.
        func begin() {
            pass(milliseconds: 1500, only: 0)
            land()
            pass(milliseconds: 10)
        }

        func request(_ i: Int, _ body: PGRequestBody, token: UInt64) {
            groups[i].requestArrived(
                RequestToken(token),
                PGRequest(
                    pg: pg, session: SessionID(1), number: .none, ended: .none, epoch: record.epoch,
                    mapVersion: MapVersion(1), body: body), at: moment)
            settle()
        }

        /// A request with a number, as a session sends changes, at the first member.
        func change(
            number: UInt64 = 1, _ body: PGRequestBody, payload: PayloadHandle? = nil, checksums: [UInt32] = []
        ) {
            var request = PGRequest(
                pg: pg, session: SessionID(1), number: RequestNumber(number), ended: .none, epoch: record.epoch,
                mapVersion: MapVersion(1), body: body)
            request.payload = payload
            groups[0].requestArrived(RequestToken(number), request, checksums: checksums, at: moment)
            settle()
        }

        func cut(_ i: Int, _ j: Int) {
            groups[i].peerDisconnected(NodeID(UInt16(j + 1)), at: moment)
            groups[j].peerDisconnected(NodeID(UInt16(i + 1)), at: moment)
            settle()
        }

        func connect(_ i: Int, _ j: Int) {
            for (a, b) in [(i, j), (j, i)] {
                groups[a].peerConnected(
                    PeerFacts(node: NodeID(UInt16(b + 1)), boot: BootID(UInt128(b + 1))), at: moment)
            }
            settle()
        }

        /// The first member is gone, with its lease, and the third goes on: it asks the store for the group.
        func firstIsGone() {
            cut(0, 1)
            cut(0, 2)
            for i in [1, 2] { groups[i].leaseSeenEnded(lease(0), at: moment) }
            pass(milliseconds: 3000, only: 2)
        }

        /// The third member has lost what it had, and learns it anew; for so many seconds, or until then.
        func thirdLearnsAnew(seconds: Int, until isDone: () -> Bool = { false }) {
            groups[2].contentLost("its rows are damaged", at: moment)
            for _ in 0..<seconds where !isDone() {
                settle()
                if !proposals.isEmpty { land() }
                pass(milliseconds: 1000)
            }
        }

        var read: PGRequestBody {
            .read(
                ObjectRange(
                    object: ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: 0), offset: 0,
                    length: 4096), .none)
        }
    }

    @Test(
        "The old primary answers nothing from before it sends the change, and the successor serves under its own lease")
    func order() throws {
        let trio = try Trio()
        trio.begin()
        #expect(trio.groups[0].isServing)
        trio.request(0, trio.read, token: 1)
        #expect(trio.answers.count == 1)

        trio.groups[0].handoverWanted(to: NodeID(2), at: trio.moment)
        trio.settle()
        let proposal = try #require(trio.proposals.first?.proposal)
        #expect(proposal.record.primary == NodeID(2) && proposal.record.primaryLease == trio.lease(1))
        #expect(!trio.groups[0].isPrimary && !trio.groups[1].isPrimary)

        // It is held: who is asked next is not known yet.
        trio.request(0, trio.read, token: 2)
        #expect(trio.answers.count == 1)
        trio.land()
        guard case .refused(.notPrimary(let record?))? = trio.answers.last?.response.body else {
            Issue.record("the request that came meanwhile heard \(trio.answers)")
            return
        }
        #expect(record.primary == NodeID(2))
        trio.pass(milliseconds: 20)
        #expect(trio.groups[1].isServing && !trio.groups[0].isPrimary)
        trio.request(1, trio.read, token: 3)
        guard case .data? = trio.answers.last?.response.body else {
            Issue.record("the successor answers \(trio.answers)")
            return
        }
    }

    @Test("A change that the store refuses leaves the old primary to claim anew, in a new epoch")
    func refused() throws {
        let trio = try Trio()
        trio.begin()
        let epoch = trio.record.epoch
        trio.groups[0].handoverWanted(to: NodeID(3), at: trio.moment)
        trio.settle()
        let (_, proposal) = trio.proposals.removeFirst()
        trio.groups[0].proposalEnded(proposal.token, .refused, at: trio.moment)
        trio.settle()
        #expect(!trio.groups[0].isPrimary)
        trio.pass(milliseconds: 100)
        let claim = try #require(trio.proposals.first)
        #expect(claim.from == 0 && claim.proposal.record.primary == NodeID(1))
        #expect(claim.proposal.requiresEnded == nil)
        trio.land()
        trio.pass(milliseconds: 20)
        #expect(trio.groups[0].isServing && trio.record.epoch == epoch.next)
    }

    @Test("A primary whose change of primaries was refused, and whose rows are damaged meanwhile, lets others lead")
    func refusedAndDamaged() throws {
        #expect(try whoGivesItsLeaseUp(nil) == [0])
        #expect(try whoGivesItsLeaseUp(.formerPrimaryKeepsLease).isEmpty)
    }

    private func whoGivesItsLeaseUp(_ mutation: Mutation?) throws -> Set<Int> {
        let trio = try Trio()
        var givenUp: Set<Int> = []
        trio.disk = { effect, i in
            guard case .giveUpLease = effect else { return .passesOn }
            givenUp.insert(i)
            return .done
        }
        trio.begin()
        for group in trio.groups { group.mutation = mutation }
        trio.groups[0].handoverWanted(to: NodeID(3), at: trio.moment)
        trio.settle()
        let (_, proposal) = trio.proposals.removeFirst()
        trio.groups[0].contentLost("its rows are damaged", at: trio.moment)
        trio.groups[0].proposalEnded(proposal.token, .refused, at: trio.moment)
        trio.settle()
        trio.pass(milliseconds: 100)
        #expect(trio.proposals.isEmpty)
        return givenUp
    }

    @Test("While the store does not answer, the primary goes on, and gives the handover up")
    func storeAway() throws {
        let trio = try Trio()
        trio.begin()
        trio.storeAnswers = false
        trio.groups[0].handoverWanted(to: NodeID(2), at: trio.moment)
        trio.settle()
        trio.pass(milliseconds: 500)
        #expect(trio.groups[0].isServing && trio.groups[0].isHandingOver && trio.proposals.isEmpty)
        trio.pass(milliseconds: 700)
        #expect(trio.groups[0].isServing && !trio.groups[0].isHandingOver && trio.proposals.isEmpty)
    }

    @Test("A successor whose lease has lapsed when the record names it does not reign under it, but claims")
    func lapsed() throws {
        let trio = try Trio()
        trio.begin()
        trio.groups[0].handoverWanted(to: NodeID(2), at: trio.moment)
        trio.settle()
        trio.groups[1].leaseLapsed(trio.lease(1), at: trio.moment)
        trio.groups[1].leaseTaken(LeaseNumber(77), at: trio.moment)
        trio.land()
        trio.pass(milliseconds: 50)
        #expect(!trio.groups.contains { $0.isPrimary })
        trio.pass(milliseconds: 1500)
        let claim = try #require(trio.proposals.first)
        #expect(claim.proposal.requiresEnded == trio.lease(1))
        #expect(claim.proposal.record.primary == NodeID(2) && claim.proposal.record.primaryLease == LeaseNumber(77))
        trio.land()
        trio.pass(milliseconds: 50)
        #expect(trio.groups[1].isServing)
    }

    @Test("A change of unknown outcome keeps both from reigning until the record tells")
    func unknown() throws {
        let trio = try Trio()
        trio.begin()
        trio.groups[0].handoverWanted(to: NodeID(2), at: trio.moment)
        trio.settle()
        let (_, proposal) = trio.proposals.removeFirst()
        trio.groups[0].proposalEnded(proposal.token, .unknown, at: trio.moment)
        trio.request(0, trio.read, token: 5)
        trio.pass(milliseconds: 200)
        #expect(trio.answers.isEmpty && !trio.groups[0].isPrimary)
        trio.pass(milliseconds: 400)
        // Not held for ever; and the same change is sent again.
        #expect(trio.answers.count == 1)
        #expect(trio.proposals.first?.proposal == proposal)
        trio.land()
        trio.pass(milliseconds: 20)
        #expect(trio.groups[1].isServing)
    }
}
