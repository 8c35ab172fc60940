import ClusterModel
import Testing
import Wire

@testable import Replication

/// What seeds of the simulator found at claims and acknowledgements, step by step.
struct ClaimTests {
    typealias Trio = HandoverTests.Trio

    /// With the rule left out no promise breaks, so that no seed shows it: the earlier primary's lease has ended before anybody
    /// claims, so that it answers nothing, and whoever finds itself named claims anew. But the claim is lost.
    @Test(
        "A claimant takes no stream before its claim's outcome is known, and reigns when it has won",
        arguments: [nil, .streamAcceptedWhileClaiming] as [Mutation?])
    func streamWhileClaiming(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        #if DEBUG
            trio.groups[1].mutation = mutation
        #endif
        #expect(trio.groups[0].isServing)
        let reign = trio.record
        trio.groups[1].peerDisconnected(NodeID(1), at: trio.moment)
        trio.groups[1].leaseSeenEnded(trio.lease(0), at: trio.moment)
        trio.pass(milliseconds: 3000, only: 1)
        #expect(trio.proposals.first?.proposal.record.primary == NodeID(2))

        let late = Attach(attempt: 99, record: reign, history: [EpochSpan(epoch: reign.epoch, last: 1)])
        trio.groups[1].messageArrived(
            from: NodeID(1), ReplicaMessage(pg: trio.pg, epoch: reign.epoch, body: .attach(late)), at: trio.moment)
        trio.settle()
        trio.land()
        trio.pass(milliseconds: 50)
        #expect(trio.record.primary == NodeID(2))
        #expect(trio.groups[1].isPrimary == (mutation == nil), "the record names a primary that does not reign")
    }

    @Test("A first claim names only members whose disks know of the group already")
    func traceBeforeFirstClaim() throws {
        let trio = try Trio()
        trio.stuckDisk = 1
        trio.pass(milliseconds: 3000, only: 0)
        let claim = try #require(trio.proposals.first?.proposal.record)
        #expect(claim.inSync.map(\.node) == [NodeID(1), NodeID(3)])
    }

    #if DEBUG
        /// No seed of the simulator shows this: what an earlier primary could do with a forgotten promise, it has to do before
        /// it looks at its lease, after a pause, to a member that was killed in the instant after its answer.
        @Test(
            "A member answers an offer only when its promise of that epoch is durable",
            arguments: [nil, .promiseNotDurable] as [Mutation?])
        func promiseBeforeAnswer(_ mutation: Mutation?) throws {
            let trio = try Trio()
            trio.begin()
            trio.groups[1].mutation = mutation
            trio.stuckDisk = 1
            trio.firstIsGone()
            trio.land()
            trio.pass(milliseconds: 100)
            #expect(trio.groups[2].isPrimary)
            #expect(
                trio.groups[2].isServing == (mutation != nil), "it needs the answer of the member whose disk is stuck")
        }
    #endif

    @Test(
        "A claimant offers its reign while its own promise is being written, and names nothing before that is durable")
    func offerBesidePromise() throws {
        let trio = try Trio()
        trio.begin()
        trio.stuckDisk = 2
        trio.firstIsGone()
        trio.land()
        trio.pass(milliseconds: 100)
        #expect(trio.groups[2].isPrimary && !trio.groups[2].isServing)
        let before = trio.groups[2].decided
        // The other one follows: it takes entries under the new reign, and there are none.
        #expect(trio.groups[1].canReadLocally && trio.groups[1].decided == before)
        trio.freeDisk()
        trio.pass(milliseconds: 5)
        #expect(trio.groups[2].isServing && trio.groups[2].decided.n == before.n + 1)
    }

    @Test("A member whose disk has room again says so, though nothing is written that it could acknowledge")
    func roomAgain() throws {
        let trio = try Trio()
        trio.begin()
        let object = ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: 0)
        func change(_ number: UInt64, _ body: PGRequestBody, _ payload: PayloadHandle? = nil) -> PGResponseBody? {
            var request = PGRequest(
                pg: trio.pg, session: SessionID(1), number: RequestNumber(number), ended: RequestNumber(number),
                epoch: trio.record.epoch, mapVersion: MapVersion(1), body: body)
            request.payload = payload
            trio.groups[0].requestArrived(
                RequestToken(number), request, checksums: payload == nil ? [] : [1], at: trio.moment)
            trio.settle()
            return trio.answers.last?.response.body
        }
        let write = PGRequestBody.write(
            ObjectRange(object: object, offset: 0, length: Geometry.blockSize), .none, .unstable)
        trio.groups[1].roomChanged(0)
        // What needs no space is acknowledged, and tells the primary.
        _ = change(1, .zero(object, BlockRange(first: 0, count: 1), .none, .unstable))
        let payload = PayloadHandle(id: 1, length: Geometry.blockSize)
        guard case .refused(.noSpace)? = change(2, write, payload) else {
            Issue.record("a write without room at a member: \(String(describing: trio.answers.last))")
            return
        }
        trio.groups[1].roomChanged(1 << 30)
        trio.pass(milliseconds: 600)
        guard case .written? = change(2, write, payload) else {
            Issue.record("a write with room again: \(String(describing: trio.answers.last))")
            return
        }
    }
}
