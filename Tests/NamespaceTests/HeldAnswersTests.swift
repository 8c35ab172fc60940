import ClusterModel
import Namespace
import Testing
import Wire

@Suite struct HeldAnswersTests {
    private let file = InodeNumber(7)
    private let other = InodeNumber(8)
    private let first = TruncationNumber(1)
    private let second = TruncationNumber(2)
    private let patience = HeldAnswers<String>.patience

    private func at(_ milliseconds: UInt64) -> Instant {
        Instant(nanoseconds: 5_000_000_000 + milliseconds * 1_000_000)
    }

    @Test("What shows an unfinished cut leaves when the cut is finished; what shows other files leaves at once")
    func finished() {
        var held = HeldAnswers<String>()
        #expect(!held.isLooking(at: at(0)))
        held.update([file: first], at: at(0))
        #expect(held.isLooking(at: at(0)))
        #expect(held.hold("a", showing: [file, other], at: at(1)) == nil)
        #expect(held.hold("b", showing: [other], at: at(1)) == "b")
        #expect(held.hold("c", showing: [file], at: at(2)) == nil)
        #expect(held.takeReleased(at: at(2)) == [])
        held.update([:], at: at(3))
        #expect(held.takeReleased(at: at(3)) == ["a", "c"])
        #expect(held.hold("d", showing: [file], at: at(3)) == "d")
    }

    @Test("A cut that nobody finishes is shown when no hint of before it is left, and not before")
    func patient() {
        var held = HeldAnswers<String>()
        held.update([file: first], at: at(0))
        #expect(held.hold("a", showing: [file], at: at(10)) == nil)
        held.update([file: first], at: at(900))
        let end = at(0) + patience
        #expect(held.takeReleased(at: Instant(nanoseconds: end.nanoseconds - 1)) == [])
        #expect(held.takeReleased(at: end) == ["a"])
        #expect(held.hold("b", showing: [file], at: end) == "b")
        #expect(!held.isLooking(at: end))
    }

    @Test("Cuts that follow each other do not hold an answer that shows the first one")
    func again() {
        var held = HeldAnswers<String>()
        held.update([file: first], at: at(0))
        #expect(held.hold("a", showing: [file], at: at(0)) == nil)
        held.update([file: second], at: at(5))
        #expect(held.takeReleased(at: at(5)) == ["a"])
        #expect(held.hold("b", showing: [file], at: at(5)) == nil)
        #expect(held.takeReleased(at: at(0) + patience) == [])
        #expect(held.takeAll() == ["b"])
    }

    @Test("The machine knows the cuts that are not finished, as one that is opened over the same rows does")
    func machine() throws {
        var fileset = try TestFileset()
        let inode = try fileset.make("f")
        try fileset.run(.raiseLimit(inode: inode, limit: 1 << 20))
        try fileset.run(.extend(inode: inode, size: 1 << 20, truncation: .zero))
        #expect(fileset.machine.unfinishedCuts.isEmpty)
        let cut = try fileset.run(
            .setAttributes(inode: inode, changes: AttributeChanges(size: 4096), guardTime: nil))
        let number = try #require(cut.deletion).truncation.number
        #expect(fileset.machine.unfinishedCuts == [inode: number])
        #expect(try NamespaceMachine(fileset: .root, rows: fileset.rows).unfinishedCuts == [inode: number])
        #expect(cut.shown.isEmpty, "who cut the file is answered")
        let settled = try fileset.run(.registerWriter(inode: inode, session: SessionID(3)))
        #expect(settled.shown == [inode])
        #expect(try fileset.ask(.lookup(directory: root, name: name("f"))).shown == [root, inode])
        #expect(
            try fileset.ask(.list(directory: root, cookie: 0, limit: 10, detail: .namesAndInodes)).shown == [
                root, inode,
            ])
        try fileset.run(.finishRangeDeletion(inode: inode, truncation: number))
        #expect(fileset.machine.unfinishedCuts.isEmpty)

        let next = try fileset.run(.setAttributes(inode: inode, changes: AttributeChanges(size: 0), guardTime: nil))
        #expect(fileset.machine.unfinishedCuts[inode] == next.deletion?.truncation.number)
        try fileset.run(.remove(directory: root, name: name("f")))
        #expect(fileset.machine.unfinishedCuts.isEmpty, "nobody is shown a file that is gone")
        #expect(try NamespaceMachine(fileset: .root, rows: fileset.rows).unfinishedCuts.isEmpty)
    }
}
