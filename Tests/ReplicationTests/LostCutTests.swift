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
        trio.thirdLearnsAnew(seconds: 4)
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
}
