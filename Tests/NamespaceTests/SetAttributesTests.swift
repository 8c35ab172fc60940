import ClusterModel
import Namespace
import Testing
import Wire

@Suite struct SetAttributesTests {
    private func set(
        _ fileset: inout TestFileset, _ inode: InodeNumber, _ changes: AttributeChanges, as caller: Credentials,
        guardTime: Timestamp? = nil
    ) throws -> NamespaceFailure? {
        try fileset.run(.setAttributes(inode: inode, changes: changes, guardTime: guardTime), as: caller).failure
    }

    @Test("mode, owner, group, size and times: who may")
    func who() throws {
        var fileset = try TestFileset(mode: 0o777)
        let file = try fileset.make("f", mode: 0o464, as: alice)
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(gid: 100), guardTime: nil), as: alice)
        func attempt(_ changes: AttributeChanges, _ caller: Credentials) throws -> NamespaceFailure? {
            try set(&fileset, file, changes, as: caller)
        }
        #expect(try attempt(AttributeChanges(mode: 0o464), alice) == nil)
        #expect(try attempt(AttributeChanges(mode: 0o777), bob) == .notPermitted)
        #expect(try attempt(AttributeChanges(uid: bob.uid), alice) == .notPermitted)
        #expect(try attempt(AttributeChanges(uid: alice.uid), alice) == nil)
        #expect(try attempt(AttributeChanges(gid: 200), alice) == .notPermitted)
        #expect(try attempt(AttributeChanges(gid: alice.gid), alice) == nil)
        #expect(try attempt(AttributeChanges(gid: 100), alice) == nil)
        #expect(try attempt(AttributeChanges(gid: 200), bob) == .notPermitted)
        // bob may write by the group; the owner may cut without the right to write.
        #expect(try attempt(AttributeChanges(size: 9), bob) == nil)
        #expect(try attempt(AttributeChanges(size: 9), alice) == nil)
        #expect(try attempt(AttributeChanges(size: 9), carol) == .accessDenied)
        #expect(try attempt(AttributeChanges(modificationTime: .now), bob) == nil)
        #expect(try attempt(AttributeChanges(modificationTime: .now), carol) == .accessDenied)
        #expect(try attempt(AttributeChanges(modificationTime: .to(time(5))), bob) == .notPermitted)
        #expect(try attempt(AttributeChanges(modificationTime: .to(time(5))), alice) == nil)
        #expect(try fileset.attributes(file).modificationTime == time(5))
    }

    @Test("a change that fails in one part changes nothing")
    func atomic() throws {
        var fileset = try TestFileset(mode: 0o777)
        let file = try fileset.make("f", as: alice)
        let before = try fileset.attributes(file)
        let changes = AttributeChanges(mode: 0o600, uid: 0, size: 100)
        #expect(try set(&fileset, file, changes, as: alice) == .notPermitted)
        #expect(try fileset.attributes(file) == before)
    }

    @Test("setuid and setgid go with a change of owner, and with a cut by anyone but the superuser")
    func privileges() throws {
        var fileset = try TestFileset(mode: 0o777)
        let file = try fileset.make("f", mode: 0o6775, as: alice)
        let locked = try fileset.make("g", mode: 0o2644, as: alice)
        func mode(_ inode: InodeNumber) throws -> UInt16 { try fileset.attributes(inode).mode }
        #expect(try mode(file) == 0o6775)
        _ = try set(&fileset, file, AttributeChanges(size: 10), as: .superuser)
        #expect(try mode(file) == 0o6775)
        _ = try set(&fileset, file, AttributeChanges(size: 5), as: alice)
        #expect(try mode(file) == 0o775)
        _ = try set(&fileset, file, AttributeChanges(mode: 0o6775), as: alice)
        _ = try set(&fileset, file, AttributeChanges(uid: 7), as: .superuser)
        #expect(try mode(file) == 0o775)
        // Without group execute setgid is no privilege.
        _ = try set(&fileset, locked, AttributeChanges(uid: 7), as: .superuser)
        #expect(try mode(locked) == 0o2644)
        let directory = try fileset.makeDirectory("d", mode: 0o2775)
        _ = try set(&fileset, directory, AttributeChanges(gid: 9), as: .superuser)
        #expect(try mode(directory) == 0o2775)
    }

    @Test("who is not in the file's group sets no setgid")
    func setgid() throws {
        var fileset = try TestFileset(mode: 0o777)
        let file = try fileset.make("f", as: alice)
        _ = try set(&fileset, file, AttributeChanges(gid: 55), as: .superuser)
        #expect(try set(&fileset, file, AttributeChanges(mode: 0o2755), as: alice) == nil)
        #expect(try fileset.attributes(file).mode == 0o755)
    }

    @Test("a guard with another change time refuses")
    func guarded() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        let changed = try fileset.attributes(file).changeTime
        let changes = AttributeChanges(mode: 0o600)
        #expect(try set(&fileset, file, changes, as: .superuser, guardTime: time(1)) == .notSynchronized)
        #expect(try set(&fileset, file, changes, as: .superuser, guardTime: changed) == nil)
        #expect(try set(&fileset, file, changes, as: .superuser, guardTime: changed) == .notSynchronized)
    }

    @Test("a cut raises the truncation number, lowers the limit and leaves a deletion; growing only sets the size")
    func truncate() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        let unit = UInt64(Layout.standard.stripeUnit)
        #expect(try fileset.hint(file).limit == unit)
        try fileset.run(.raiseLimit(inode: file, limit: 64 << 20))
        try fileset.run(.extend(inode: file, size: 50 << 20, truncation: .zero))
        let grown = try fileset.run(
            .setAttributes(inode: file, changes: AttributeChanges(size: 60 << 20), guardTime: nil))
        #expect(grown.deletion == nil)
        #expect(try fileset.hint(file).truncation == .none)

        let cut = try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(size: 5), guardTime: nil))
        let mark = TruncationMark(number: TruncationNumber(1), size: 5)
        let expected = RangeDeletion(
            file: FileID(fileset: .root, inode: file), truncation: mark, layout: .standard, kind: .truncation,
            limit: 64 << 20, edge: nil)
        #expect(cut.deletion == expected)
        #expect(cut.directory?.before.size == 60 << 20)
        #expect(cut.directory?.after.size == 5)
        let hint = try fileset.hint(file)
        #expect(
            hint == FileHint(layout: .standard, limit: unit, truncation: mark, usageMark: hint.usageMark))
        #expect(try fileset.ask(.pendingDeletions(after: InodeNumber(0), limit: 10)) == .deletions([expected]))

        // A size from before the cut changes nothing.
        #expect(try fileset.run(.extend(inode: file, size: 1000, truncation: .zero)).failure == nil)
        #expect(try fileset.run(.extend(inode: file, size: 40 << 20, truncation: .zero)).failure == nil)
        #expect(try fileset.attributes(file).size == 5)
        try fileset.run(.extend(inode: file, size: 1000, truncation: TruncationNumber(1)))
        #expect(try fileset.attributes(file).size == 1000)
        try fileset.run(.finishRangeDeletion(inode: file, truncation: TruncationNumber(1)))
        #expect(try fileset.ask(.pendingDeletions(after: InodeNumber(0), limit: 10)) == .deletions([]))
    }

    @Test("a cut waits for the cut before it, and is executed under the same call once that one is finished")
    func cutAfterCut() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        try fileset.run(.raiseLimit(inode: file, limit: 64 << 20))
        try fileset.run(.extend(inode: file, size: 50 << 20, truncation: .zero))
        func resized(_ size: UInt64) -> NamespaceOperation {
            .setAttributes(inode: file, changes: AttributeChanges(mode: 0o600, size: size), guardTime: nil)
        }
        let first = try #require(try fileset.run(resized(0)).deletion)
        // To grow exposes nothing: operations on the objects carry the mark of the cut.
        #expect(try fileset.run(resized(40 << 20)).failure == nil)
        let before = try fileset.attributes(file)
        let call = CallIdentity(origin: 1, request: 3)
        let refused = try fileset.run(resized(20 << 20), session: 9, request: 1, call: call)
        #expect(refused == NamespaceResult(failure: .cutUnfinished, deletion: first))
        #expect(try fileset.attributes(file) == before)
        // O_TRUNC cuts as well.
        let opened = try fileset.run(
            .create(
                directory: .root, name: name("f"), file: .regular(.unchecked), attributes: AttributeChanges(size: 0)))
        #expect(opened.failure == .cutUnfinished && opened.deletion == first)

        try fileset.run(.finishRangeDeletion(inode: file, truncation: first.truncation.number))
        let cut = try fileset.run(resized(20 << 20), session: 9, request: 2, call: call)
        #expect(cut.failure == nil)
        #expect(cut.deletion?.truncation == TruncationMark(number: TruncationNumber(2), size: 20 << 20))
    }

    @Test("under the meaning of before, a cut does not wait")
    func cutUnderOldSemantics() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        try fileset.run(.extend(inode: file, size: 1000, truncation: .zero))
        for size in [500, 200] as [UInt64] {
            let changes = AttributeChanges(size: size)
            let result = try fileset.run(
                .setAttributes(inode: file, changes: changes, guardTime: nil), semantics: 1)
            #expect(result.deletion?.truncation.size == size)
        }
        #expect(fileset.count(table: 6) == 2)
    }

    @Test("sizes go to 8 EiB - 1 and not beyond, and belong to regular files")
    func sizes() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        let directory = try fileset.makeDirectory("d")
        let fifo = try fileset.make("p", .fifo)
        let most = UInt64(Int64.max)
        #expect(try set(&fileset, file, AttributeChanges(size: most), as: .superuser) == nil)
        #expect(try set(&fileset, file, AttributeChanges(size: most + 1), as: .superuser) == .fileTooBig)
        #expect(try fileset.run(.raiseLimit(inode: file, limit: most + 1)).failure == .fileTooBig)
        #expect(try set(&fileset, directory, AttributeChanges(size: 0), as: .superuser) == .isDirectory)
        #expect(try set(&fileset, fifo, AttributeChanges(size: 0), as: .superuser) == .invalid)
        let created = try fileset.run(
            .create(
                directory: .root, name: name("g"), file: .regular(.guarded),
                attributes: AttributeChanges(size: most + 1)))
        #expect(created.failure == .fileTooBig)
    }

    @Test("times rise with every entry, even when the primary's clock went back")
    func monotone() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        let first = try fileset.attributes(file)
        fileset.clock = time(1)
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(mode: 0o600), guardTime: nil))
        let second = try fileset.attributes(file)
        #expect(second.changeTime > first.changeTime)
        #expect(second.changeCounter > first.changeCounter)
        #expect(second.modificationTime == first.modificationTime)
    }

    @Test("an access time is brought up to date by the relatime rule only")
    func relatime() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        func touch() throws -> Timestamp {
            try fileset.run(.touchAccessTime(inode: file))
            return try fileset.attributes(file).accessTime
        }
        let first = try touch()
        #expect(first == fileset.clock)
        #expect(try touch() == first)
        fileset.clock = Timestamp(nanoseconds: fileset.clock.nanoseconds + 25 * 3600 * 1_000_000_000)
        let later = try touch()
        #expect(later == fileset.clock)
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(mode: 0o600), guardTime: nil))
        #expect(try touch() > later)
    }
}
