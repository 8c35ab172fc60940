import ClusterModel
import Namespace
import Testing
import Wire

/// What files use: when a recorded number stands, and which files are to be measured (docs/decisions/008).
@Suite struct MeasuringTests {
    private let writer = SessionID(7)
    private let other = SessionID(8)

    private func fixture(size: UInt64 = 1 << 20) throws -> (TestFileset, InodeNumber) {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        try fileset.run(.registerWriter(inode: file, session: writer))
        try fileset.run(.raiseLimit(inode: file, limit: size))
        try fileset.run(.extend(inode: file, size: size, truncation: .zero))
        return (fileset, file)
    }

    private func usage(
        _ fileset: inout TestFileset, _ file: InodeNumber, _ bytes: UInt64, _ standing: AllocationStanding = .settled
    ) throws -> MeasuredUsage {
        MeasuredUsage(bytes: bytes, mark: try fileset.hint(file).usageMark, standing: standing)
    }

    private func pending(_ fileset: inout TestFileset) throws -> [InodeNumber] {
        guard
            case .measurable(let files, nil) = try fileset.ask(
                .measurable(after: InodeNumber(0), limit: 10, .pending))
        else { throw NamespaceFailure.invalid }
        return files.map(\.inode)
    }

    private func settle(
        _ fileset: inout TestFileset, _ file: InodeNumber, _ session: SessionID, _ usage: MeasuredUsage?
    ) throws { try fileset.run(.settle(inode: file, session: session, modified: time(1), usage: usage)) }

    @Test("a settlement's measurement stands when nobody else writes, and a sparse file shows its blocks only")
    func settlement() throws {
        var (fileset, file) = try fixture()
        #expect(try pending(&fileset) == [file])
        try settle(&fileset, file, writer, try usage(&fileset, file, 8192))
        #expect(try fileset.attributes(file).used == 8192)
        #expect(try pending(&fileset).isEmpty)
        #expect(fileset.count(table: 7) == 0)
    }

    @Test("a file with a size is not shown without blocks before it was measured, and afterwards it is")
    func notEmpty() throws {
        var (fileset, file) = try fixture()
        #expect(try fileset.attributes(file).used == 4096)
        try settle(&fileset, file, writer, nil)
        #expect(try fileset.attributes(file).used == 4096)
        try fileset.run(.recordFileUsage(inode: file, try usage(&fileset, file, 0)))
        #expect(try fileset.attributes(file).used == 0)
        // Growing allocates nothing.
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(size: 1 << 40), guardTime: nil))
        #expect(try fileset.attributes(file).used == 0)
        #expect(try pending(&fileset).isEmpty)
    }

    @Test("a measurement from before another registration, its end or a cut does not stand")
    func oldMark() throws {
        var (fileset, file) = try fixture()
        var old = try usage(&fileset, file, 4096)
        try fileset.run(.registerWriter(inode: file, session: other))
        try settle(&fileset, file, writer, old)
        #expect(try pending(&fileset) == [file])

        old = try usage(&fileset, file, 4096)
        try settle(&fileset, file, other, nil)
        try fileset.run(.recordFileUsage(inode: file, old))
        #expect(try pending(&fileset) == [file])

        old = try usage(&fileset, file, 1 << 20)
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(size: 4096), guardTime: nil))
        try fileset.run(.recordFileUsage(inode: file, old))
        #expect(try pending(&fileset) == [file])
        #expect(try fileset.attributes(file).used <= 4096, "what was cut off does not count")

        old = try usage(&fileset, file, 1 << 20)
        try fileset.run(.finishRangeDeletion(inode: file, truncation: TruncationNumber(1)))
        try fileset.run(.recordFileUsage(inode: file, old))
        #expect(try pending(&fileset) == [file])
        try fileset.run(.recordFileUsage(inode: file, try usage(&fileset, file, 4096)))
        #expect(try pending(&fileset).isEmpty)
        #expect(try fileset.attributes(file).used == 4096)
    }

    @Test("while others write or something is under way, a measurement is shown, and the file stays pending")
    func notYet() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.registerWriter(inode: file, session: other))
        try settle(&fileset, file, writer, try usage(&fileset, file, 8192))
        #expect(try fileset.attributes(file).used == 8192)
        #expect(try pending(&fileset) == [file])
        try settle(&fileset, file, other, try usage(&fileset, file, 12288, .moving))
        #expect(try fileset.attributes(file).used == 12288)
        #expect(try pending(&fileset) == [file])
    }

    @Test("a session that is gone leaves its files pending, and older measurements void")
    func goneSession() throws {
        var (fileset, file) = try fixture()
        let old = try usage(&fileset, file, 4096)
        try fileset.run(.settleSession(session: writer))
        try fileset.run(.recordFileUsage(inode: file, old))
        #expect(try pending(&fileset) == [file])
    }

    @Test("a look at a file that is not pending corrects it, but not with something under way")
    func correction() throws {
        var (fileset, file) = try fixture()
        try settle(&fileset, file, writer, try usage(&fileset, file, 8192))
        try fileset.run(.recordFileUsage(inode: file, try usage(&fileset, file, 4096, .moving)))
        #expect(try fileset.attributes(file).used == 8192)
        try fileset.run(.recordFileUsage(inode: file, try usage(&fileset, file, 4096)))
        #expect(try fileset.attributes(file).used == 4096)
    }

    @Test("a removed file is not to be measured, and what was measured of it is ignored")
    func removed() throws {
        var (fileset, file) = try fixture()
        let late = try usage(&fileset, file, 4096)
        try fileset.run(.remove(directory: .root, name: name("f")))
        #expect(fileset.count(table: 7) == 0)
        #expect(try fileset.run(.recordFileUsage(inode: file, late)).failure == nil)
        #expect(try pending(&fileset).isEmpty)
    }

    @Test("all regular files are found page by page, other inodes are passed over")
    func pages() throws {
        var fileset = try TestFileset()
        var files: [InodeNumber] = []
        for i in 0..<700 {
            if i % 100 == 99 { files.append(try fileset.make("f\(i)")) } else { _ = try fileset.makeDirectory("d\(i)") }
        }
        var found: [InodeNumber] = []
        var after: InodeNumber? = InodeNumber(0)
        var questions = 0
        while let from = after {
            guard case .measurable(let page, let next) = try fileset.ask(.measurable(after: from, limit: 2, .all))
            else { throw NamespaceFailure.invalid }
            #expect(page.count <= 2)
            #expect(page.allSatisfy { $0.scope == .all })
            found += page.map(\.inode)
            after = next
            questions += 1
        }
        #expect(found == files)
        #expect(questions < 10)
    }

    @Test("hints say when the quota of bytes is used up, from the record that says so on")
    func quota() throws {
        var (fileset, file) = try fixture()
        try fileset.run(.setQuota(FilesetQuota(bytes: 1 << 20)))
        try fileset.run(.recordUsage(bytes: (1 << 20) - 1))
        #expect(try fileset.hint(file).quota == .within)
        try fileset.run(.recordUsage(bytes: 1 << 20))
        #expect(try fileset.hint(file).quota == .exceeded)
        #expect(try fileset.run(.raiseLimit(inode: file, limit: 4 << 20)).failure == .quotaExceeded)
        try fileset.run(.setQuota(.unlimited))
        #expect(try fileset.hint(file).quota == .within)
    }
}
