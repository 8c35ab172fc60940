import ClusterModel
import Namespace
import Testing
import Wire

/// namespace.md: "Size, limit, truncation" and "Attributes before tokens exist".
@Suite struct WritersTests {
    private let writer: UInt64 = 7
    private let other: UInt64 = 8

    private func fixture() throws -> (TestFileset, InodeNumber) {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        return (fileset, file)
    }

    @Test("the limit only rises, the size rises within it, and a size beyond it is refused")
    func limits() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.raiseLimit(inode: file, limit: 10 << 20))
        try fileset.run(.raiseLimit(inode: file, limit: 5 << 20))
        #expect(try fileset.hint(file).limit == 10 << 20)
        try fileset.run(.extend(inode: file, size: 9 << 20, truncation: .zero))
        try fileset.run(.extend(inode: file, size: 3 << 20, truncation: .zero))
        #expect(try fileset.attributes(file).size == 9 << 20)
        #expect(try fileset.run(.extend(inode: file, size: 11 << 20, truncation: .zero)).failure == .invalid)
        #expect(try fileset.run(.raiseLimit(inode: .root, limit: 1)).failure == .invalid)
        #expect(try fileset.run(.extend(inode: InodeNumber(99), size: 1, truncation: .zero)).failure == .stale)
    }

    @Test("while a session writes, times and change counter move for others, and not for itself")
    func moving() throws {
        var (fileset, file) = try fixture()
        let before = try fileset.attributes(file)
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        fileset.clock = time(2000)
        let first = try fileset.reply(.attributes(inode: file), session: other)
        #expect(first.moving == [file])
        let seen = try fileset.attributes(file, session: other)
        #expect(seen.modificationTime == time(2000))
        #expect(seen.changeTime == time(2000))
        fileset.clock = time(2001)
        let later = try fileset.attributes(file, session: other)
        #expect(later.modificationTime == time(2001))
        #expect(later.changeCounter > seen.changeCounter)
        #expect(try fileset.attributes(file, session: writer).modificationTime == before.modificationTime)
        #expect(try fileset.reply(.attributes(inode: file), session: writer).moving.isEmpty)
    }

    @Test("SETATTR tells nothing of before while somebody writes, for the row does not have his times yet")
    func nothingOfBefore() throws {
        var (fileset, file) = try fixture()
        let changes = AttributeChanges(
            mode: 0o600, uid: nil, gid: nil, size: nil, accessTime: nil, modificationTime: nil)
        let change = NamespaceOperation.setAttributes(inode: file, changes: changes, guardTime: nil)
        let refused = NamespaceOperation.setAttributes(inode: file, changes: changes, guardTime: time(1))
        #expect(try fileset.run(change).directory != nil)
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        for session in [writer, other] {
            let result = try fileset.run(change, session: session)
            #expect(result.failure == nil && result.inode != nil && result.directory == nil)
            let refusal = try fileset.run(refused, session: session)
            #expect(refusal.failure == .notSynchronized && refusal.directory == nil)
        }
        #expect(try fileset.run(change, semantics: 2).directory != nil)
    }

    @Test("a settlement ends the moving with the time of the last write, never earlier than what was answered")
    func settle() throws {
        var (fileset, file) = try fixture()
        var answered = AnsweredTimes(activation: time(1))
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))

        // Nobody asked: the exact time.
        let exact = NamespaceOperation.settle(inode: file, session: SessionID(writer), modified: time(1002.5))
        fileset.clock = time(1010)
        try fileset.run(answered.fixed(exact))
        #expect(try fileset.attributes(file, session: other).modificationTime == time(1002.5))
        #expect(try fileset.reply(.attributes(inode: file), session: other).moving.isEmpty)

        // Somebody was answered 1020: the settlement is not earlier, in time and counter.
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        fileset.clock = time(1020)
        let shown = try fileset.attributes(file, session: other)
        #expect(shown.modificationTime == time(1020))
        answered.answered(try fileset.reply(.attributes(inode: file), session: other).moving, at: fileset.clock)
        let early = NamespaceOperation.settle(inode: file, session: SessionID(writer), modified: time(1015))
        fileset.clock = time(1021)
        try fileset.run(answered.fixed(early))
        let settled = try fileset.attributes(file, session: other)
        #expect(settled.modificationTime == after(time(1020)))
        #expect(settled.changeTime > shown.changeTime)
        #expect(settled.changeCounter > shown.changeCounter)
    }

    @Test("a new primary settles nothing earlier than its activation")
    func failover() {
        let answered = AnsweredTimes(activation: time(500))
        let operation = NamespaceOperation.settle(inode: InodeNumber(5), session: SessionID(1), modified: time(400))
        #expect(
            answered.fixed(operation)
                == .settle(inode: InodeNumber(5), session: SessionID(1), modified: after(time(500))))
    }

    @Test("an answer that comes late does not take back what a later one has shown")
    func lateAnswer() {
        var answered = AnsweredTimes(activation: time(500))
        let inode = InodeNumber(5)
        let operation = NamespaceOperation.settle(inode: inode, session: SessionID(1), modified: time(400))
        answered.answered([inode], at: time(10))
        #expect(
            answered.fixed(operation) == .settle(inode: inode, session: SessionID(1), modified: after(time(500))))
        answered.answered([inode], at: time(600))
        answered.answered([inode], at: time(550))
        #expect(
            answered.fixed(operation) == .settle(inode: inode, session: SessionID(1), modified: after(time(600))))
    }

    private func after(_ time: Timestamp) -> Timestamp { Timestamp(nanoseconds: time.nanoseconds + 1) }

    @Test("beyond its bound the memory of answered times forgets none of them, it only grows coarser")
    func answeredBound() {
        var answered = AnsweredTimes(activation: time(1))
        for i in 1...10_000 { answered.answered([InodeNumber(UInt64(i))], at: time(Double(i))) }
        for i in stride(from: 1, through: 10_000, by: 97) {
            let settle = NamespaceOperation.settle(
                inode: InodeNumber(UInt64(i)), session: SessionID(1), modified: time(0))
            guard case .settle(_, _, let fixed, _) = answered.fixed(settle) else { return }
            #expect(fixed >= time(Double(i)))
        }
    }

    @Test("times that a SETATTR set after a write stand: an older settlement changes nothing (cp -p)")
    func overruled() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        let written = fileset.clock
        try fileset.run(
            .setAttributes(inode: file, changes: AttributeChanges(modificationTime: .to(time(5))), guardTime: nil))
        // At once, and within the idle second, everyone sees the time that was set.
        #expect(try fileset.attributes(file, session: other).modificationTime == time(5))
        try fileset.run(.settle(inode: file, session: SessionID(writer), modified: written))
        #expect(try fileset.attributes(file, session: other).modificationTime == time(5))

        // But a write after it counts.
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        let set = AttributeChanges(modificationTime: .to(time(6)))
        try fileset.run(.setAttributes(inode: file, changes: set, guardTime: nil))
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        #expect(try fileset.attributes(file, session: other).modificationTime == fileset.clock)
        let last = fileset.clock
        try fileset.run(.settle(inode: file, session: SessionID(writer), modified: last))
        #expect(try fileset.attributes(file, session: other).modificationTime == last)
    }

    @Test("a change of mode alone overrules no settlement")
    func chmod() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        let written = fileset.clock
        try fileset.run(
            .setAttributes(inode: file, changes: AttributeChanges(mode: 0o600), guardTime: nil), session: writer)
        try fileset.run(.settle(inode: file, session: SessionID(writer), modified: written))
        #expect(try fileset.attributes(file).modificationTime == written)
    }

    @Test("of two writers the last write counts, and the times move until both have settled")
    func two() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        try fileset.run(.registerWriter(inode: file, session: SessionID(other)))
        fileset.clock = time(1100)
        try fileset.run(.settle(inode: file, session: SessionID(other), modified: time(1050)))
        #expect(try fileset.reply(.attributes(inode: file)).moving == [file])
        try fileset.run(.settle(inode: file, session: SessionID(writer), modified: time(1040)))
        #expect(try fileset.attributes(file).modificationTime == time(1050))
        #expect(try fileset.reply(.attributes(inode: file)).moving.isEmpty)
    }

    @Test("results of other sessions' operations move as well, and are remembered for the settlement")
    func results() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)), session: writer, request: 1)
        let linked = try fileset.run(.link(inode: file, directory: .root, name: name("l")), session: other, request: 1)
        let shown = try #require(linked.inode).attributes
        #expect(shown.modificationTime == fileset.clock)
        try fileset.run(.settle(inode: file, session: SessionID(writer), modified: time(1001)))
        #expect(try fileset.attributes(file).modificationTime >= shown.modificationTime)
    }

    @Test("a session that is gone is settled everywhere, as of now")
    func sessionGone() throws {
        var (fileset, file) = try fixture()
        let second = try fileset.make("g")
        let third = try fileset.make("h")
        for inode in [file, second, third] {
            try fileset.run(.registerWriter(inode: inode, session: SessionID(writer)))
        }
        try fileset.run(.registerWriter(inode: third, session: SessionID(other)))
        let set = AttributeChanges(modificationTime: .to(time(5)))
        try fileset.run(.setAttributes(inode: second, changes: set, guardTime: nil))
        #expect(fileset.count(table: 5) == 4)
        try fileset.run(.settleSession(session: SessionID(writer)))
        #expect(fileset.count(table: 5) == 1)
        #expect(try fileset.attributes(file).modificationTime == fileset.clock)
        #expect(try fileset.attributes(second).modificationTime == time(5), "a SETATTR had overruled it")
        #expect(try fileset.reply(.attributes(inode: third)).moving == [third])
    }

    @Test("removing a file ends its registrations")
    func removed() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        try fileset.run(.remove(directory: .root, name: name("f")))
        #expect(fileset.count(table: 5) == 0)
        #expect(try fileset.run(.settleSession(session: SessionID(writer))).failure == nil)
    }

    @Test("a write by anyone but the superuser ends setuid and setgid")
    func privileges() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(mode: 0o6777), guardTime: nil))
        try fileset.run(.registerWriter(inode: file, session: SessionID(writer)))
        #expect(try fileset.attributes(file).mode == 0o6777)
        try fileset.run(.registerWriter(inode: file, session: SessionID(other)), as: alice)
        #expect(try fileset.attributes(file).mode == 0o777)
    }
}
