import ClusterModel
import Namespace
import Testing
import Wire

@Suite struct QueryTests {
    @Test("a lookup needs the right to search, and tells a missing name from a missing directory")
    func lookup() throws {
        var fileset = try TestFileset(mode: 0o777)
        let directory = try fileset.makeDirectory("d", mode: 0o600, as: alice)
        let file = try fileset.make("f", in: directory)
        func find(_ directory: InodeNumber, _ text: String, _ caller: Credentials) throws -> NamespaceAnswer {
            try fileset.ask(.lookup(directory: directory, name: name(text)), as: caller)
        }
        #expect(try find(directory, "f", alice) == .failed(.accessDenied))
        guard case .found(let inode, let parent) = try find(directory, "f", .superuser) else {
            Issue.record("not found")
            return
        }
        #expect(inode.attributes.file.inode == file)
        #expect(inode.hint?.limit == 1 << 20)
        #expect(parent.file.inode == directory)
        #expect(try find(directory, "g", .superuser) == .failed(.notFound))
        #expect(try find(file, "g", .superuser) == .failed(.notDirectory))
        #expect(try find(InodeNumber(999), "g", .superuser) == .failed(.stale))
    }

    @Test("ACCESS grants by class and kind, and the superuser executes only what someone may")
    func access() throws {
        var fileset = try TestFileset(mode: 0o777)
        let file = try fileset.make("f", mode: 0o640, as: alice)
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(gid: 100), guardTime: nil))
        let directory = try fileset.makeDirectory("d", mode: 0o730, as: alice)
        try fileset.run(.setAttributes(inode: directory, changes: AttributeChanges(gid: 100), guardTime: nil))
        let all = AccessRights(rawValue: 0x3F)
        func granted(_ inode: InodeNumber, _ caller: Credentials, _ asked: AccessRights = all) throws -> AccessRights? {
            guard case .access(let rights, _) = try fileset.ask(.access(inode: inode, rights: asked), as: caller) else {
                return nil
            }
            return rights
        }
        #expect(try granted(file, alice) == [.read, .modify, .extend])
        #expect(try granted(file, bob) == [.read])
        #expect(try granted(file, carol) == [])
        #expect(try granted(file, .superuser) == [.read, .modify, .extend])
        #expect(try granted(file, alice, [.read, .execute]) == [.read])
        #expect(try granted(directory, alice) == [.read, .lookup, .modify, .extend, .delete])
        #expect(try granted(directory, bob) == [.lookup, .modify, .extend, .delete])
        #expect(try granted(directory, carol) == [])
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(mode: 0o641), guardTime: nil))
        #expect(try granted(file, .superuser)?.contains(.execute) == true)
        #expect(try granted(file, alice)?.contains(.execute) == false, "the owner's class decides, though others may")
    }

    @Test("a listing goes on behind a cookie whose entry is gone, and keeps to its bounds")
    func cookies() throws {
        var fileset = try TestFileset()
        for i in 0..<20 { _ = try fileset.make("f\(i)") }
        guard
            case .entries(let page, _, .more) = try fileset.ask(
                .list(directory: .root, cookie: 0, limit: 5, detail: .names))
        else {
            Issue.record("no page")
            return
        }
        #expect(page.map(\.cookie) == [3, 4, 5, 6, 7])
        #expect(page.allSatisfy { $0.details == nil })
        try fileset.run(.remove(directory: .root, name: name("f4")))
        try fileset.run(.remove(directory: .root, name: name("f5")))
        guard
            case .entries(let next, let directory, .reached) = try fileset.ask(
                .list(directory: .root, cookie: 7, limit: 9999, detail: .namesAndInodes))
        else {
            Issue.record("no second page")
            return
        }
        #expect(next.first?.name == name("f6"))
        #expect(next.count == 14)
        #expect(next.allSatisfy { $0.details != nil })
        #expect(directory.file.inode == .root)
        // A name that comes back has a new cookie.
        _ = try fileset.make("f4")
        #expect(try fileset.list(.root).last?.cookie == 23)
        let end = try fileset.ask(.list(directory: .root, cookie: .max, limit: 5, detail: .names))
        guard case .entries(let none, _, .reached) = end else {
            Issue.record("no end")
            return
        }
        #expect(none.isEmpty)
    }

    @Test("a listing needs the right to read; without the right to search it has names only")
    func listRights() throws {
        var fileset = try TestFileset()
        let directory = try fileset.makeDirectory("d", mode: 0o744)
        _ = try fileset.make("f", in: directory)
        let query = NamespaceQuery.list(directory: directory, cookie: 0, limit: 5, detail: .namesAndInodes)
        guard case .entries(let entries, _, _) = try fileset.ask(query, as: alice) else {
            Issue.record("no listing")
            return
        }
        #expect(entries.count == 1)
        #expect(entries[0].details == nil)
        try fileset.run(.setAttributes(inode: directory, changes: AttributeChanges(mode: 0o711), guardTime: nil))
        #expect(try fileset.ask(query, as: alice) == .failed(.accessDenied))
    }

    @Test("a directory's size is the length of its names in whole blocks")
    func directorySize() throws {
        var fileset = try TestFileset()
        #expect(try fileset.attributes(.root).size == 0)
        let long = String(repeating: "n", count: 250)
        for i in 0..<20 { _ = try fileset.make("\(long)\(i)", .fifo) }
        #expect(try fileset.attributes(.root).size == 8192)
        for i in 0..<20 { try fileset.run(.remove(directory: .root, name: name("\(long)\(i)"))) }
        #expect(try fileset.attributes(.root).size == 0)
    }

    @Test("a directory's times and counter change with its names, not with its files' content")
    func directoryTimes() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        let before = try fileset.attributes(.root)
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(size: 10), guardTime: nil))
        #expect(try fileset.attributes(.root) == before)
        try fileset.run(.link(inode: file, directory: .root, name: name("g")))
        let after = try fileset.attributes(.root)
        #expect(after.modificationTime == fileset.clock)
        #expect(after.changeTime == fileset.clock)
        #expect(after.changeCounter > before.changeCounter)
        #expect(try fileset.attributes(file).changeTime == fileset.clock)
    }

    @Test("a query within a batch sees the entries before it")
    func withinBatch() throws {
        var fileset = try TestFileset()
        func apply(_ operation: NamespaceOperation) throws {
            let change = fileset.next(operation)
            #expect(try fileset.machine.apply(change, rows: fileset.rows)?.result.failure == nil)
        }
        try apply(.create(directory: .root, name: name("d"), file: .directory, attributes: AttributeChanges()))
        try apply(
            .create(
                directory: InodeNumber(2), name: name("f"), file: .regular(.guarded), attributes: AttributeChanges()))
        try apply(.setAttributes(inode: InodeNumber(3), changes: AttributeChanges(size: 7), guardTime: nil))
        let entries = try fileset.list(InodeNumber(2))
        #expect(entries.map(\.details?.attributes.size) == [7])
        #expect(try fileset.attributes(.root).linkCount == 3)
        try apply(.rename(from: InodeNumber(2), name: name("f"), to: .root, newName: name("g")))
        #expect(try fileset.list(InodeNumber(2)).isEmpty)
        let before = try fileset.list(.root)
        try fileset.machine.commit(rows: fileset.rows)
        #expect(try fileset.list(.root) == before)
        fileset.rows.crash()
        fileset.machine = try NamespaceMachine(fileset: .root, rows: fileset.rows)
        #expect(try fileset.list(.root) == before)
    }
}
