import ClusterModel
import Testing
import Wire

@testable import Replication

/// A learner whose disk has cuts of files that the group never made.
struct LostCutTests {
    /// Does all that the disk of one member is asked for while it learns.
    private final class Learner {
        /// What its disk says of cuts.
        var cuts: [ListedCut] = []
        private(set) var hasErased = false

        init(member: Int, of trio: HandoverTests.Trio) {
            trio.disk = { [unowned trio] effect, i in
                switch effect {
                case .listChanges(_, let token):
                    trio.groups[i].changesListed(token, [], cuts: i == member ? self.cuts : [], at: trio.moment)
                case .syncAll(let token): trio.groups[i].installed(token, at: trio.moment)
                case .eraseContent(let state):
                    self.hasErased = true
                    #expect(Self.opensAsLearner(state, trio.groups[i], at: trio.moment))
                    trio.groups[i].retired()
                default: return .passesOn
                }
                return .done
            }
        }

        /// What a kill amid the erasing leaves: a replica that lacks everything, and says so.
        private static func opensAsLearner(_ state: [UInt8], _ group: PlacementGroup, at moment: Moment) -> Bool {
            let recovered = RecoveredReplica(
                state: state, tables: group.checkpointTables().bytes, entries: [], decided: group.decided,
                stable: group.decided, voids: [], opening: .crashed)
            let found = try? PlacementGroup(pg: group.pg, local: group.local, recovered: recovered, at: moment)
            return found.map { $0.isLearning && !$0.isAbsent && $0.fork(with: group.history) == .zero } ?? false
        }
    }

    /// Member 3 learns anew; its disk says that a file was cut there by this entry.
    private func erases(_ cut: EntryName, _ mutation: Mutation? = nil) throws -> Bool {
        let trio = try HandoverTests.Trio()
        let listed = ListedCut(
            version: cut, file: FileID(fileset: .root, inode: InodeNumber(7)), truncation: .none, kind: .removal)
        let learner = Learner(member: 2, of: trio)
        learner.cuts = [listed]
        trio.begin()
        trio.pass(milliseconds: 1500)
        for group in trio.groups { group.mutation = mutation }
        trio.thirdLearnsAnew(seconds: 4)
        #expect(learner.hasErased || !trio.groups[2].isLearning)
        return learner.hasErased
    }

    @Test("a learner with a cut of an entry that the group does not have begins with an empty disk, and no other does")
    func lostCut() throws {
        #expect(try erases(EntryName(epoch: Epoch(1), n: 77)))
        #expect(try erases(EntryName(epoch: Epoch(2), n: 1)) == false)
        // Its list holds what its own disk says: without the rule the cut stays, and hides what is learned.
        #expect(try erases(EntryName(epoch: Epoch(1), n: 77), .foreignCutStays) == false)
    }

    /// The first member, which led, learns anew from the second, which leads now and has an entry that is not decided yet. The
    /// disk of the first says that this entry cut a file, or the one so much behind it. `isKnown`: that is decided everywhere.
    private func erasesCutOfTheTail(
        behind: UInt64 = 0, isKnown: Bool = false, _ mutation: Mutation? = nil
    ) throws -> Bool {
        let trio = try HandoverTests.Trio()
        trio.begin()
        let learner = Learner(member: 0, of: trio)
        for group in trio.groups { group.mutation = mutation }
        let file = FileID(fileset: .root, inode: InodeNumber(7))
        trio.change(
            .deleteRange(
                RangeDeletion(
                    file: file, truncation: TruncationMark(number: TruncationNumber(1), size: 0), layout: .standard,
                    kind: .removal, limit: 1, edge: nil)))
        let cut = trio.groups[0].decided
        if isKnown { trio.pass(milliseconds: 50) }
        #expect((trio.groups[1].decided < cut) == !isKnown && trio.groups[1].history.contains(cut))
        learner.cuts = [
            ListedCut(
                version: EntryName(epoch: cut.epoch, n: cut.n + behind), file: file, truncation: .none, kind: .removal)
        ]
        for group in trio.groups { group.leaseSeenEnded(trio.lease(0), at: trio.moment) }
        trio.groups[0].leaseLapsed(trio.lease(0), at: trio.moment)
        trio.groups[0].contentLost("its machine lost power", at: trio.moment)
        trio.settle()
        for _ in 0..<6 where !learner.hasErased {
            trio.pass(milliseconds: 1000)
            if !trio.proposals.isEmpty { trio.land() }
        }
        #expect(trio.record.epoch > cut.epoch && !trio.groups[0].isPrimary)
        #expect(learner.hasErased || !trio.groups[0].isLearning)
        return learner.hasErased
    }

    @Test(
        "a cut of an entry that the primary has and has not decided yet is no reason to begin anew; one behind it all is"
    )
    func cutOfTheTail() throws {
        #expect(try erasesCutOfTheTail() == false)
        #expect(try erasesCutOfTheTail(behind: 70))
        #expect(try erasesCutOfTheTail(.cutsJudgedEarly))
    }

    @Test("a later truncation of the group hides what an unknown one hides only if it leaves no more")
    func covers() {
        let file = FileID(fileset: .root, inode: InodeNumber(7))
        func mark(_ number: UInt64, _ size: UInt64) -> TruncationMark {
            TruncationMark(number: TruncationNumber(number), size: size)
        }
        func isCovered(_ number: UInt64, _ size: UInt64, by marked: FileMarks.Mark) -> Bool {
            var marks = FileMarks()
            marks.remember(file, marked, limit: 8)
            return marks.covers(
                ListedCut(
                    version: EntryName(epoch: Epoch(1), n: 5), file: file, truncation: mark(number, size),
                    kind: .truncation))
        }
        let truncated = FileMarks.Mark(truncation: mark(6, 8192), removed: .truncation)
        #expect(isCovered(6, 8192, by: truncated))
        #expect(isCovered(5, 8192, by: truncated) && isCovered(5, 9000, by: truncated))
        #expect(!isCovered(5, 4096, by: truncated), "what lies between is the group's")
        #expect(!isCovered(6, 4096, by: truncated) && !isCovered(7, 8192, by: truncated))
        #expect(isCovered(9, 0, by: FileMarks.Mark(truncation: .none, removed: .removal)))
    }

    @Test("a cut is judged by what it hides, not by a name that it was once installed under")
    func renamedCut() throws {
        #expect(try erasesCutOfTheTail(behind: 70, isKnown: true) == false)
        #expect(try erasesCutOfTheTail(behind: 70, isKnown: true, .cutsJudgedByName))
    }

    @Test("a member that has erased what it had says that it learns, and is not taken for a disk that knows nothing")
    func erasedMember() throws {
        let trio = try HandoverTests.Trio()
        trio.begin()
        let member = trio.groups[2].local
        let anew = try PlacementGroup(pg: trio.pg, local: member, recovered: nil, at: trio.moment)
        anew.mapChanged(trio.map, at: trio.moment)
        anew.peerConnected(PeerFacts(node: NodeID(2), boot: BootID(2)), at: trio.moment)
        anew.recordRead(trio.record, RecordVersion(trio.version), at: trio.moment)
        func standing() -> ReplicaStatus.Continuity? {
            var effects: [ReplicaEffect] = []
            anew.takeEffects(into: &effects)
            anew.messageArrived(
                from: NodeID(2), ReplicaMessage(pg: trio.pg, epoch: trio.record.epoch, body: .askStatus),
                at: trio.moment)
            anew.takeEffects(into: &effects)
            for case .send(let message, _) in effects { if case .status(let s) = message.body { return s.continuity } }
            return nil
        }
        #expect(standing() == .absent)
        #expect(anew.content == .nothing)
        anew.contentErased(at: trio.moment)
        #expect(standing() == .learning)
        #expect(anew.content == .nothing, "an operator cannot have the group go on with nothing")
    }
}
