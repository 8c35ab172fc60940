import ClusterModel
import Testing
import Wire

@testable import Replication

/// A learner whose disk has cuts of files that the group never made.
struct LostCutTests {
    /// Member 3 learns anew; its disk says that a file was cut there by this entry.
    private func erases(_ cut: EntryName, _ mutation: Mutation? = nil) throws -> Bool {
        let trio = try HandoverTests.Trio()
        var erased = false
        let listed = ListedCut(
            version: cut, file: FileID(fileset: .root, inode: InodeNumber(7)), truncation: .none, kind: .removal)
        trio.disk = { [unowned trio] effect, i in
            switch effect {
            case .listChanges(_, let token):
                trio.groups[i].changesListed(token, [], cuts: i == 2 ? [listed] : [], at: trio.moment)
            case .syncAll(let token): trio.groups[i].installed(token, at: trio.moment)
            case .eraseContent:
                erased = true
                trio.groups[i].retired()
            default: return .passesOn
            }
            return .done
        }
        trio.begin()
        trio.pass(milliseconds: 1500)
        for group in trio.groups { group.mutation = mutation }
        trio.groups[2].contentLost("its rows are damaged", at: trio.moment)
        for _ in 0..<4 {
            trio.settle()
            if !trio.proposals.isEmpty { trio.land() }
            trio.pass(milliseconds: 1000)
        }
        #expect(erased || !trio.groups[2].isLearning)
        return erased
    }

    @Test("a learner with a cut of an entry that the group does not have begins with an empty disk, and no other does")
    func lostCut() throws {
        #expect(try erases(EntryName(epoch: Epoch(1), n: 77)))
        #expect(try erases(EntryName(epoch: Epoch(2), n: 1)) == false)
        // Its list holds what its own disk says: without the rule the cut stays, and hides what is learned.
        #expect(try erases(EntryName(epoch: Epoch(1), n: 77), .foreignCutStays) == false)
    }

    /// Member 3 learns anew from a primary that was told of so many cuts, keeps four in mind at most, and finds all on its disk.
    private func told(of count: UInt64, _ mutation: Mutation? = nil) throws -> [FileID] {
        var limits = ReplicationLimits()
        limits.fileMarks = 4
        let trio = try HandoverTests.Trio(limits: limits)
        func file(_ n: UInt64) -> FileID { FileID(fileset: .root, inode: InodeNumber(n)) }
        var made: [ListedCut] = []
        trio.disk = { [unowned trio] effect, i in
            switch effect {
            case .listChanges(let after, let token):
                let cuts = made.filter { i == 0 && $0.version > after }
                trio.groups[i].changesListed(token, [], cuts: cuts, at: trio.moment)
            case .syncAll(let token): trio.groups[i].installed(token, at: trio.moment)
            default: return .passesOn
            }
            return .done
        }
        trio.begin()
        trio.pass(milliseconds: 1500)
        for group in trio.groups { group.mutation = mutation }
        for n in 1...count {
            let truncation = TruncationMark(number: TruncationNumber(1), size: 0)
            trio.groups[0].requestArrived(
                RequestToken(n),
                PGRequest(
                    pg: trio.pg, session: SessionID(1), number: RequestNumber(n), ended: .none,
                    epoch: trio.record.epoch, mapVersion: MapVersion(1),
                    body: .deleteRange(
                        RangeDeletion(
                            file: file(n), truncation: truncation, layout: .standard, kind: .truncation, limit: 1,
                            edge: nil))), at: trio.moment)
            trio.settle()
            made.append(
                ListedCut(
                    version: trio.groups[0].decided, file: file(n), truncation: truncation, kind: .truncation))
        }
        trio.groups[2].contentLost("its rows are damaged", at: trio.moment)
        for _ in 0..<4 {
            trio.settle()
            if !trio.proposals.isEmpty { trio.land() }
            trio.pass(milliseconds: 1000)
        }
        return trio.groups[2].cuts.map(\.file)
    }

    @Test("A learner is told of all cuts, also of those that the primary's marks have forgotten")
    func forgottenCuts() throws {
        let all = (1...10).map { FileID(fileset: .root, inode: InodeNumber(UInt64($0))) }
        #expect(try told(of: 2) == Array(all.prefix(2)))
        #expect(try told(of: 10) == all)
        #expect(try told(of: 10, .forgottenCutsUntold).count <= 4)
    }
}
