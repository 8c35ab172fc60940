import ClusterModel
import Testing
import Wire

@testable import Replication

/// Rules that few seeds of the simulator show, or none, because others keep their promise most of the time: each fails here when it
/// is left out.
struct LeftOutRuleTests {
    typealias Trio = HandoverTests.Trio

    private let object = ObjectID(file: FileID(fileset: .root, inode: InodeNumber(7)), index: 0)

    private var zero: PGRequestBody { .zero(object, BlockRange(first: 0, count: 1), .none, .unstable) }

    private func leave(out mutation: Mutation?, of trio: Trio) {
        for group in trio.groups { group.mutation = mutation }
    }

    @Test(
        "A member acknowledges what its log has, and not what it is about to have",
        arguments: [nil, .acknowledgesBeforeWritten] as [Mutation?])
    func acknowledges(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.disk = { effect, i in
            if case .append = effect, i > 0 { return .done }
            return .passesOn
        }
        trio.change(zero)
        #expect(trio.answers.isEmpty == (mutation == nil))
    }

    @Test(
        "A member that is attached anew counts for what its log has, too",
        arguments: [nil, .countsUnwritten] as [Mutation?])
    func attachedAnew(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        // The third's disk is slow.
        trio.disk = { effect, i in
            if case .append = effect, i == 2 { return .done }
            return .passesOn
        }
        trio.change(zero)
        #expect(trio.answers.isEmpty)
        trio.cut(0, 2)
        trio.connect(0, 2)
        trio.pass(milliseconds: 300)
        #expect(trio.answers.isEmpty == (mutation == nil))
    }

    /// Its own log is stable and the others' are: nothing else comes that would look at the flush again.
    @Test("A flush does not wait for a learner that is given up")
    func flush() throws {
        let trio = try Trio()
        trio.begin()
        trio.pass(milliseconds: 1500)
        var isHeld = false
        trio.disk = { [unowned trio] effect, i in
            switch effect {
            case .listChanges(_, let token):
                trio.groups[i].changesListed(token, [], cuts: [], at: trio.moment)
                return .done
            case .syncAll where i == 2:
                isHeld = true
                return .done
            case .sync where i == 2: return .done
            case .append(let entry, _) where i == 2:
                trio.groups[2].logAppended(through: entry.name, at: trio.moment)
                return .done
            default: return .passesOn
            }
        }
        trio.thirdLearnsAnew(seconds: 6) { isHeld }
        try #require(isHeld)
        trio.change(zero)
        let before = trio.answers.count
        try #require(before == 1)
        trio.request(0, .flush, token: 77)
        #expect(trio.answers.count == before)
        trio.cut(0, 2)
        #expect(trio.answers.count == before + 1)
    }

    /// The record would name one that lacks content, and not the one that has it all.
    @Test(
        "A silent member stays while too few of the others lack nothing",
        arguments: [nil, .removesLastWhole] as [Mutation?])
    func lastWhole(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        let third = try #require(trio.groups[0].reign.members.firstIndex { $0.node == NodeID(3) })
        trio.groups[0].reign.members[third].isComplete = false
        trio.cut(0, 1)
        trio.pass(milliseconds: 1500)
        #expect(trio.proposals.isEmpty == (mutation == nil))
        trio.groups[0].reign.members[third].isComplete = true
        trio.pass(milliseconds: 200)
        #expect(trio.proposals.first?.proposal.record.inSync.map(\.node) == [NodeID(1), NodeID(3)])
    }

    @Test("A recorded member that lacks content for seconds is not waited for where the others are enough")
    func behind() throws {
        let trio = try Trio()
        trio.begin()
        let third = try #require(trio.groups[0].reign.members.firstIndex { $0.node == NodeID(3) })
        trio.groups[0].reign.members[third].isComplete = false
        trio.groups[0].reign.members[third].reported = true
        trio.pass(milliseconds: 4000)
        #expect(trio.proposals.isEmpty)
        trio.pass(milliseconds: 2000)
        #expect(trio.proposals.first?.proposal.record.inSync.map(\.node) == [NodeID(1), NodeID(2)])
    }

    @Test(
        "A member applies what is decided, and not what it has", arguments: [nil, .applyUndecided] as [Mutation?])
    func applies(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.disk = { effect, i in
            if case .append = effect, i == 1 { return .done }
            return .passesOn
        }
        trio.change(zero)
        try #require(trio.groups[0].lastNamed.n > trio.groups[0].decided.n)
        #expect((trio.groups[2].decided == trio.groups[0].decided) == (mutation == nil))
    }

    @Test(
        "An entry waits for a silent member until its removal has won",
        arguments: [nil, .removalTakenAsWon] as [Mutation?])
    func removal(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.cut(0, 2)
        trio.change(zero)
        #expect(trio.answers.isEmpty)
        trio.pass(milliseconds: 1500)
        try #require(trio.proposals.count == 1)
        #expect(trio.answers.isEmpty == (mutation == nil))
        trio.land()
        #expect(trio.answers.count == 1)
    }

    @Test(
        "A session that ends while its write waits for its edges is told so, and nothing is named",
        arguments: [nil, .sessionCheckedAtAdmission] as [Mutation?])
    func sessionEnds(_ mutation: Mutation?) throws {
        let trio = try Trio()
        var edges: WorkToken?
        trio.disk = { effect, _ in
            guard case .completeEdges(let token, _) = effect else { return .passesOn }
            edges = token
            return .done
        }
        trio.begin()
        leave(out: mutation, of: trio)
        trio.change(
            .write(ObjectRange(object: object, offset: 100, length: 100), .none, .unstable),
            payload: PayloadHandle(id: 1, length: 100))
        let token = try #require(edges)
        let before = trio.groups[0].lastNamed
        trio.groups[0].mapChanged(
            MapFacts(
                version: MapVersion(2), lossNumber: .zero, policy: trio.map.policy, dataPGCount: 1, liveSessions: []),
            at: trio.moment)
        trio.groups[0].edgesCompleted(
            token, PayloadHandle(id: 2, length: Geometry.blockSize), checksums: [1], at: trio.moment)
        trio.settle()
        #expect((trio.groups[0].lastNamed == before) == (mutation == nil))
        let isTold = if case .refused(.sessionEnded)? = trio.answers.last?.response.body { true } else { false }
        #expect(isTold == (mutation == nil))
    }

    @Test(
        "A session that has not written here is not answered before all members hold the log",
        arguments: [nil, .readsBeforeFence] as [Mutation?])
    func fence(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.firstIsGone()
        try #require(trio.proposals.count == 1)
        trio.cut(1, 2)
        trio.land()
        trio.pass(milliseconds: 10)
        try #require(trio.groups[2].isPrimary && !trio.groups[2].isServing)
        trio.request(2, trio.read, token: 1)
        #expect(trio.answers.isEmpty == (mutation == nil))
    }

    @Test(
        "A claim is void when the lease under which it was sent has lapsed, whatever came after it",
        arguments: [nil, .activatesUnderNewerLease] as [Mutation?])
    func newerLease(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.firstIsGone()
        try #require(trio.proposals.count == 1)
        trio.groups[2].leaseTaken(LeaseNumber(99), at: trio.moment)
        // It hears that its change was made before it hears of the record.
        trio.land(tell: false)
        #expect(trio.groups[2].isPrimary == (mutation != nil))
    }

    @Test(
        "A role is over when its lease has lapsed, though another one comes at once",
        arguments: [nil, .lapseIgnored] as [Mutation?])
    func lapse(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.groups[0].leaseLapsed(trio.lease(0), at: trio.moment)
        trio.groups[0].leaseTaken(LeaseNumber(99), at: trio.moment)
        trio.settle()
        #expect(trio.groups[0].isPrimary == (mutation != nil))
    }

    /// The list of epochs is bounded: a primary that begins again and again while a member is away would push out of it what the
    /// members have in common.
    @Test(
        "A reign without the members by whom entries are decided leaves no trace in the log",
        arguments: [nil, .namesFirstAtOnce] as [Mutation?])
    func emptyReign(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        let before = trio.groups[2].lastNamed
        trio.firstIsGone()
        try #require(trio.proposals.count == 1)
        trio.cut(1, 2)
        trio.land()
        trio.pass(milliseconds: 500)
        #expect((trio.groups[2].lastNamed == before) == (mutation == nil))
        trio.connect(1, 2)
        trio.pass(milliseconds: 500)
        #expect(trio.groups[2].isServing && trio.groups[2].lastNamed.epoch > before.epoch)
    }

    /// A session may have ended since: its successor's writes would be followed by its own.
    @Test(
        "A new primary serves when it has read the map as it is since its claim has won",
        arguments: [nil, .mapReadBeforeClaim] as [Mutation?])
    func mapIsRead(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.firstIsGone()
        try #require(trio.proposals.count == 1)
        var asked: [WorkToken] = []
        trio.disk = { effect, i in
            switch effect {
            case .awaitMap(let token, since: _), .readMap(let token): asked.append(token)
            default: return .passesOn
            }
            return .done
        }
        trio.land()
        trio.pass(milliseconds: 500)
        #expect(trio.groups[2].isServing == (mutation != nil))
        for token in asked { trio.groups[2].mapRead(token, trio.map, at: trio.moment) }
        trio.pass(milliseconds: 10)
        #expect(trio.groups[2].isServing)
    }

    @Test(
        "Of a request that comes again and again while a member is away no copy stays",
        arguments: [nil, .copiesPileUp] as [Mutation?])
    func copies(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        trio.cut(0, 1)
        trio.cut(0, 2)
        trio.change(number: 1, zero)
        for _ in 0..<4 {
            trio.pass(milliseconds: 10_000)
            trio.change(number: 1, zero)
            trio.request(0, .flush, token: 50)
        }
        #expect((trio.groups[0].reign.joined.count <= 1) == (mutation == nil))
        #expect((trio.groups[0].reign.flushes.count + trio.groups[0].reign.waiting.count <= 1) == (mutation == nil))
        #expect(
            trio.answers.contains { if case .refused(.unavailable) = $0.response.body { true } else { false } }
                == (mutation == nil))
    }

    @Test("A full disk refuses what takes space, and nothing that frees it")
    func fullDisk() throws {
        for (takesSpace, isRefused) in [(true, true), (false, false)] {
            let trio = try Trio(pg: .metadata(FilesetID(1)))
            trio.begin()
            trio.groups[0].roomChanged(0)
            var request = PGRequest(
                pg: trio.pg, session: SessionID(1), number: RequestNumber(1), ended: .none, epoch: trio.record.epoch,
                mapVersion: MapVersion(1), body: .mutate(.stable, nil), payload: PayloadHandle(id: 77, length: 60))
            request.takesSpace = takesSpace
            let before = trio.groups[0].lastNamed
            trio.groups[0].requestArrived(RequestToken(77), request, checksums: [], at: trio.moment)
            trio.settle()
            #expect((trio.groups[0].lastNamed == before) == isRefused)
        }
    }

    @Test("Writes do not wait for a learner that falls silent before its promotion, longer than for a member")
    func silentLearner() throws {
        let trio = try Trio()
        trio.begin()
        // Its disk takes long to make all stable.
        trio.disk = { [unowned trio] effect, i in
            switch effect {
            case .listChanges(_, let token): trio.groups[i].changesListed(token, [], cuts: [], at: trio.moment)
            case .syncAll where i == 2: break
            default: return .passesOn
            }
            return .done
        }
        let isNeeded = {
            trio.groups[0].reign.members.contains { $0.node == NodeID(3) && $0.isNeeded && !$0.isInSync }
        }
        trio.thirdLearnsAnew(seconds: 10, until: isNeeded)
        try #require(isNeeded())
        trio.groups[0].peerFellSilent(NodeID(3), at: trio.moment)
        trio.pass(milliseconds: 100)
        #expect(!isNeeded())
    }

    /// Without it the primary sees that the entry is not its own, and has the member learn: what must not happen is that it stays.
    @Test(
        "A member whose last entry has the number of the primary's, and another epoch, gives it up and lacks nothing",
        arguments: [nil, .comparesNumbersOnly] as [Mutation?])
    func numbers(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        // An entry that the second member has, and the third has not.
        trio.cut(0, 2)
        trio.change(zero)
        #expect(trio.groups[1].lastNamed.n == trio.groups[2].lastNamed.n + 1)
        let lost = trio.groups[1].lastNamed
        trio.firstIsGone()
        try #require(trio.proposals.count == 1)
        trio.cut(1, 2)
        // As a program of before that day: it names an entry that nobody else has.
        trio.groups[2].mutation = .namesFirstAtOnce
        trio.land()
        trio.pass(milliseconds: 10)
        #expect(trio.groups[2].lastNamed.n == lost.n && trio.groups[2].lastNamed.epoch > lost.epoch)
        trio.connect(1, 2)
        trio.pass(milliseconds: 500)
        #expect(trio.groups[1].isLearning == (mutation != nil))
    }

    /// The learner's log begins anew behind what is decided: an undecided entry leaves it, and a learner that is killed before that
    /// comes again would count as one that holds it.
    @Test(
        "A learner is whole through what is decided at its primary, however far their logs agree",
        arguments: [nil, .forkBeyondDecided] as [Mutation?])
    func fork(_ mutation: Mutation?) throws {
        let trio = try Trio()
        var fork: EntryName?
        trio.begin()
        leave(out: mutation, of: trio)
        trio.disk = { effect, i in
            if case .send(let message, _) = effect, case .learn(_, let name) = message.body { fork = name }
            if case .append = effect, i == 1 { return .done }
            return .passesOn
        }
        trio.change(zero)
        trio.cut(0, 2)
        trio.cut(1, 2)
        trio.pass(milliseconds: 1500)
        try #require(trio.proposals.count == 1)
        trio.land()
        trio.connect(0, 2)
        trio.pass(milliseconds: 500)
        try #require(trio.groups[0].lastNamed.n > trio.groups[0].decided.n)
        #expect(fork == (mutation == nil ? trio.groups[0].decided : trio.groups[0].lastNamed))
    }

    /// Seed 20016 --with theme=rot: the cut that was to come first went through a block that had rotted on all disks, and came
    /// when the write behind it was answered.
    @Test(
        "A change is not named before the truncation that it knows of",
        arguments: [nil, .namesBeforeCut] as [Mutation?])
    func unknownCut(_ mutation: Mutation?) throws {
        let trio = try Trio()
        trio.begin()
        leave(out: mutation, of: trio)
        let before = trio.groups[0].lastNamed
        let mark = TruncationMark(number: TruncationNumber(1), size: 700)
        trio.disk = { [unowned trio] effect, i in
            guard i == 0, case .completeEdges(let token, _) = effect else { return .passesOn }
            trio.groups[0].edgesFailed(token, at: trio.moment)
            return .done
        }
        trio.groups[0].ownDeletion(
            RangeDeletion(file: object.file, truncation: mark, layout: .standard, kind: .truncation, edge: nil),
            at: trio.moment)
        trio.change(.zero(object, BlockRange(first: 3, count: 1), mark, .unstable))
        #expect((trio.groups[0].lastNamed == before) == (mutation == nil))
    }

    /// What it lacks of the tail it has to acknowledge before anything is decided: that alone keeps the promise, too.
    @Test(
        "A learner is done when it has the whole log, not what was decided of it",
        arguments: [nil, .promotesThroughDecided] as [Mutation?])
    func finish(_ mutation: Mutation?) throws {
        let trio = try Trio()
        var through: EntryName?
        var listings: [WorkToken] = []
        trio.disk = { [unowned trio] effect, i in
            switch effect {
            case .send(let message, _):
                if case .finish(_, let name) = message.body { through = name }
                return .passesOn
            case .listChanges(_, let token):
                if i == 0 {
                    listings.append(token)
                } else {
                    trio.groups[i].changesListed(token, [], cuts: [], at: trio.moment)
                }
            case .append: if i == 0 || listings.isEmpty { return .passesOn }
            default: return .passesOn
            }
            return .done
        }
        trio.begin()
        trio.pass(milliseconds: 1500)
        leave(out: mutation, of: trio)
        trio.thirdLearnsAnew(seconds: 6) { !listings.isEmpty }
        trio.change(zero)
        try #require(trio.groups[0].lastNamed.n > trio.groups[0].decided.n)
        for token in listings { trio.groups[0].changesListed(token, [], cuts: [], at: trio.moment) }
        trio.settle()
        #expect(through == (mutation == nil ? trio.groups[0].lastNamed : trio.groups[0].decided))
    }
}
