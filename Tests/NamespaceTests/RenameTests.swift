import ClusterModel
import Namespace
import Testing
import Wire

@Suite struct RenameTests {
    private func rename(
        _ fileset: inout TestFileset, _ from: InodeNumber, _ old: String, _ to: InodeNumber, _ new: String,
        as caller: Credentials = .superuser
    ) throws -> NamespaceResult {
        try fileset.run(.rename(from: from, name: name(old), to: to, newName: name(new)), as: caller)
    }

    @Test("a directory does not go into itself or below itself")
    func descendant() throws {
        var fileset = try TestFileset()
        let a = try fileset.makeDirectory("a")
        let b = try fileset.makeDirectory("b", in: a)
        let c = try fileset.makeDirectory("c", in: b)
        #expect(try rename(&fileset, .root, "a", a, "x").failure == .invalid)
        #expect(try rename(&fileset, .root, "a", c, "x").failure == .invalid)
        #expect(try rename(&fileset, b, "c", .root, "a").failure == .notEmpty)
        #expect(try rename(&fileset, b, "c", .root, "c").failure == nil)
        #expect(try rename(&fileset, .root, "a", c, "a").failure == nil)
    }

    @Test("moving a directory moves a link from parent to parent, and its \"..\"")
    func links() throws {
        var fileset = try TestFileset()
        let a = try fileset.makeDirectory("a")
        let b = try fileset.makeDirectory("b")
        let moved = try fileset.makeDirectory("m", in: a)
        let result = try rename(&fileset, a, "m", b, "m")
        #expect(result.directory?.before.linkCount == 3)
        #expect(result.directory?.after.linkCount == 2)
        #expect(result.secondDirectory?.after.linkCount == 3)
        guard case .found(let parent, _) = try fileset.ask(.parent(directory: moved)) else {
            Issue.record("no parent")
            return
        }
        #expect(parent.attributes.file.inode == b)
        // Over an empty directory: the target's parent keeps its count.
        _ = try fileset.makeDirectory("old", in: a)
        #expect(try rename(&fileset, b, "m", a, "old").failure == nil)
        #expect(try fileset.attributes(a).linkCount == 3)
        #expect(try fileset.attributes(b).linkCount == 2)
        #expect(fileset.count(table: 1) == 4)
    }

    @Test("over an existing name: kinds must fit, what was there loses a link, the name keeps its cookie")
    func replace() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        let target = try fileset.make("t")
        let directory = try fileset.makeDirectory("d")
        _ = try fileset.make("x", in: directory)
        #expect(try rename(&fileset, .root, "f", .root, "d").failure == .isDirectory)
        #expect(try rename(&fileset, .root, "d", .root, "f").failure == .notDirectory)
        let empty = try fileset.makeDirectory("e")
        #expect(try rename(&fileset, .root, "e", .root, "d").failure == .notEmpty)
        #expect(try rename(&fileset, .root, "d", .root, "e").failure == nil)
        #expect(try fileset.ask(.attributes(inode: empty)) == .failed(.stale))

        let cookie = try #require(try fileset.list(.root).first { $0.name == name("t") }).cookie
        let result = try rename(&fileset, .root, "f", .root, "t")
        #expect(result.deletion?.file.inode == target)
        #expect(result.deletion?.kind == .removal)
        let entry = try #require(try fileset.list(.root).first { $0.name == name("t") })
        #expect(entry.inode == file)
        #expect(entry.cookie == cookie)
    }

    @Test("within a directory the entry keeps its cookie, so that a listing that renames what it reads ends")
    func renameWhileListing() throws {
        var fileset = try TestFileset()
        for i in 0..<20 { _ = try fileset.make("n\(i)") }
        let before = try fileset.list(.root)
        let nameBytes = try fileset.attributes(.root).size
        var cookie: UInt64 = 0
        var seen: [FileName] = []
        while seen.count < 100 {
            guard
                case .entries(let page, directory: _, end: _) = try fileset.ask(
                    .list(directory: .root, cookie: cookie, limit: 1, detail: .names)), let entry = page.first
            else { break }
            seen.append(entry.name)
            cookie = entry.cookie
            let old = "\(entry.name)"
            #expect(try rename(&fileset, .root, old, .root, "temporary").failure == nil)
            #expect(try rename(&fileset, .root, "temporary", .root, old).failure == nil)
        }
        #expect(seen == before.map(\.name))
        #expect(try fileset.list(.root).map(\.cookie) == before.map(\.cookie))
        #expect(try fileset.attributes(.root).size == nameBytes)
        #expect(fileset.count(table: 2) == 20)
        #expect(fileset.count(table: 3) == 20)
        // Its old name is another entry.
        #expect(try rename(&fileset, .root, "n0", .root, "first").failure == nil)
        _ = try fileset.make("n0")
        let after = try fileset.list(.root)
        #expect(after.first?.name == name("first") && after.first?.cookie == before.first?.cookie)
        #expect(after.last?.name == name("n0") && after.last?.cookie == 23)
    }

    @Test("two names of one file: a rename of one over the other does nothing")
    func same() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("a")
        try fileset.run(.link(inode: file, directory: .root, name: name("b")))
        let before = try fileset.attributes(file)
        #expect(try rename(&fileset, .root, "a", .root, "b").failure == nil)
        #expect(try rename(&fileset, .root, "a", .root, "a").failure == nil)
        #expect(try fileset.attributes(file) == before)
        #expect(try fileset.list(.root).count == 2)
    }

    @Test("a replaced file that has another name lives on with one link less")
    func linked() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("a")
        try fileset.run(.link(inode: file, directory: .root, name: name("b")))
        _ = try fileset.make("c")
        let result = try rename(&fileset, .root, "c", .root, "b")
        #expect(result.deletion == nil)
        #expect(try fileset.attributes(file).linkCount == 1)
    }

    @Test("sticky directories guard both ends, and a directory that moves must be writable for its \"..\"")
    func permissions() throws {
        var fileset = try TestFileset(mode: 0o1777)
        let open = try fileset.makeDirectory("open", mode: 0o777)
        _ = try fileset.make("alices", as: alice)
        _ = try fileset.make("bobs", as: bob)
        #expect(try rename(&fileset, .root, "alices", open, "x", as: bob).failure == .notPermitted)
        #expect(try rename(&fileset, .root, "bobs", .root, "alices", as: bob).failure == .notPermitted)
        #expect(try rename(&fileset, .root, "bobs", .root, "mine", as: bob).failure == nil)
        let locked = try fileset.makeDirectory("locked", in: open, mode: 0o555, as: alice)
        let there = try fileset.makeDirectory("there", mode: 0o777)
        #expect(try rename(&fileset, open, "locked", there, "locked", as: alice).failure == .accessDenied)
        #expect(try rename(&fileset, open, "locked", open, "other", as: alice).failure == nil)
        #expect(try fileset.attributes(locked).mode == 0o555)
    }
}
