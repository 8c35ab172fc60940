import ClusterModel
import Namespace
import Testing
import Wire

@Suite struct RemoveTests {
    @Test("the last name takes the inode with it and leaves a removal; another name keeps it")
    func links() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("a")
        let linked = try fileset.run(.link(inode: file, directory: .root, name: name("b")))
        #expect(linked.inode?.attributes.linkCount == 2)
        let first = try fileset.run(.remove(directory: .root, name: name("a")))
        #expect(first.deletion == nil)
        try fileset.run(.raiseLimit(inode: file, limit: 8 << 20))
        let last = try fileset.run(.remove(directory: .root, name: name("b")))
        let mark = TruncationMark(number: TruncationNumber(1), size: 0)
        #expect(
            last.deletion
                == RangeDeletion(
                    file: FileID(fileset: .root, inode: file), truncation: mark, layout: .standard, kind: .removal,
                    limit: 8 << 20, edge: nil))
        #expect(try fileset.ask(.attributes(inode: file)) == .failed(.stale))
        #expect(try fileset.run(.remove(directory: .root, name: name("b"))).failure == .notFound)
        #expect(fileset.machine.state.usage.inodes == 1)
    }

    @Test("a removal takes over what truncations had still to cut")
    func takesOver() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("a")
        try fileset.run(.raiseLimit(inode: file, limit: 32 << 20))
        try fileset.run(.extend(inode: file, size: 32 << 20, truncation: .zero))
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(size: 1), guardTime: nil))
        let removed = try fileset.run(.remove(directory: .root, name: name("a")))
        #expect(removed.deletion?.truncation.number == TruncationNumber(2))
        #expect(removed.deletion?.limit == 32 << 20)
        let pending = try #require(removed.deletion)
        #expect(try fileset.ask(.pendingDeletions(after: InodeNumber(0), limit: 10)) == .deletions([pending]))
    }

    @Test("pages of pending deletions end between inodes and miss none")
    func pages() throws {
        var fileset = try TestFileset()
        for i in 0..<10 {
            let file = try fileset.make("f\(i)")
            // Several of one inode come from clusters whose cuts did not wait.
            for size in [30, 20, 10] as [UInt64] {
                let changes = AttributeChanges(size: size)
                try fileset.run(.setAttributes(inode: file, changes: changes, guardTime: nil), semantics: 1)
            }
        }
        var found: [RangeDeletion] = []
        while true {
            let after = found.last?.file.inode ?? InodeNumber(0)
            guard case .deletions(let page) = try fileset.ask(.pendingDeletions(after: after, limit: 5)) else { break }
            if page.isEmpty { break }
            #expect(page.count <= 5)
            found += page
        }
        #expect(found.count == 20)
        #expect(Set(found).count == 20)
    }

    @Test("directories go by RMDIR when they are empty, files by REMOVE")
    func kinds() throws {
        var fileset = try TestFileset()
        let directory = try fileset.makeDirectory("d")
        _ = try fileset.make("f", in: directory)
        #expect(try fileset.run(.remove(directory: .root, name: name("d"))).failure == .isDirectory)
        #expect(try fileset.run(.removeDirectory(directory: .root, name: name("d"))).failure == .notEmpty)
        #expect(try fileset.run(.removeDirectory(directory: directory, name: name("f"))).failure == .notDirectory)
        try fileset.run(.remove(directory: directory, name: name("f")))
        #expect(try fileset.run(.removeDirectory(directory: .root, name: name("d"))).failure == nil)
        #expect(try fileset.attributes(.root).linkCount == 2)
        let late = try fileset.run(
            .create(directory: directory, name: name("x"), file: .fifo, attributes: AttributeChanges()))
        #expect(late.failure == .stale)
    }

    @Test("in a sticky directory only the owner of the file, of the directory, and the superuser remove")
    func sticky() throws {
        var fileset = try TestFileset(mode: 0o777)
        let directory = try fileset.makeDirectory("tmp", mode: 0o1777, as: carol)
        for text in ["a", "b", "c"] { _ = try fileset.make(text, in: directory, as: alice) }
        func remove(_ text: String, _ caller: Credentials) throws -> NamespaceFailure? {
            try fileset.run(.remove(directory: directory, name: name(text)), as: caller).failure
        }
        #expect(try remove("a", bob) == .notPermitted)
        #expect(try remove("a", alice) == nil)
        #expect(try remove("b", carol) == nil)
        #expect(try remove("c", .superuser) == nil)
    }

    @Test("a failure comes with the directory's attributes, unchanged")
    func failure() throws {
        var fileset = try TestFileset()
        let before = try fileset.attributes(.root)
        let result = try fileset.run(.remove(directory: .root, name: name("none")))
        #expect(result.directory == DirectoryChange(before: before, after: before))
        #expect(try fileset.attributes(.root) == before)
    }

    @Test("a file has at most 65,000 names, and a directory only one")
    func manyLinks() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        // The link count stands behind format, kind and mode in the row: set it to 64,999 there.
        let key = NamespaceKey(bytes: [1] + withUnsafeBytes(of: file.rawValue.bigEndian) { Array($0) })
        var row = try #require(fileset.rows.value(of: key))
        row.replaceSubrange(4..<8, with: withUnsafeBytes(of: UInt32(64_999).littleEndian) { Array($0) })
        fileset.rows.put(key, row, version: 1)
        fileset.machine = try NamespaceMachine(fileset: .root, rows: fileset.rows)
        #expect(try fileset.run(.link(inode: file, directory: .root, name: name("l1"))).failure == nil)
        #expect(try fileset.attributes(file).linkCount == 65_000)
        #expect(try fileset.run(.link(inode: file, directory: .root, name: name("more"))).failure == .tooManyLinks)
        #expect(try fileset.run(.link(inode: .root, directory: .root, name: name("r"))).failure == .notPermitted)
        #expect(try fileset.run(.link(inode: file, directory: .root, name: name("l1"))).failure == .exists)
    }
}
