import ClusterModel
import Namespace
import Testing
import Wire

@Suite struct CreateTests {
    @Test("a new fileset has a root with the mode asked for, and initializing again changes nothing")
    func root() throws {
        var fileset = try TestFileset(mode: 0o750)
        let first = try fileset.attributes(.root)
        #expect(first.mode == 0o750)
        #expect(first.linkCount == 2)
        #expect(first.kind == .directory)
        try fileset.run(.initialize(FilesetSetup(mode: 0o777, uid: 5)))
        #expect(try fileset.attributes(.root) == first)
        #expect(fileset.machine.state.usage.inodes == 1)
    }

    @Test("before it is initialized a fileset answers stale")
    func uninitialized() throws {
        var fileset = try TestFileset(initialized: false)
        let result = try fileset.run(
            .create(directory: .root, name: name("a"), file: .directory, attributes: AttributeChanges()))
        #expect(result.failure == .stale)
    }

    @Test("an unchecked create of a file that exists finds it, and cuts it only when a size of zero is asked for")
    func unchecked() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f")
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(size: 5000), guardTime: nil))
        func create(_ size: UInt64?) throws -> NamespaceResult {
            try fileset.run(
                .create(
                    directory: .root, name: name("f"), file: .regular(.unchecked),
                    attributes: AttributeChanges(mode: 0o600, size: size)))
        }
        let found = try create(nil)
        #expect(found.inode?.attributes.file.inode == file)
        #expect(found.inode?.attributes.size == 5000)
        #expect(found.inode?.attributes.mode == 0o644)
        #expect(try create(100).inode?.attributes.size == 5000)
        let cut = try create(0)
        #expect(cut.inode?.attributes.size == 0)
        #expect(cut.deletion?.truncation == TruncationMark(number: TruncationNumber(1), size: 0))
    }

    @Test("an unchecked create that cuts needs the right to write")
    func uncheckedDenied() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("f", mode: 0o644)
        try fileset.run(.setAttributes(inode: file, changes: AttributeChanges(size: 10), guardTime: nil))
        let result = try fileset.run(
            .create(
                directory: .root, name: name("f"), file: .regular(.unchecked), attributes: AttributeChanges(size: 0)),
            as: alice)
        #expect(result.failure == .accessDenied)
        #expect(try fileset.attributes(file).size == 10)
        let opened = try fileset.run(
            .create(directory: .root, name: name("f"), file: .regular(.unchecked), attributes: AttributeChanges()),
            as: alice)
        #expect(opened.failure == nil)
    }

    @Test("an exclusive create with the same verifier finds its file, with another one it exists")
    func exclusive() throws {
        var fileset = try TestFileset()
        func create(_ verifier: UInt64) throws -> NamespaceResult {
            try fileset.run(
                .create(
                    directory: .root, name: name("f"), file: .regular(.exclusive(verifier: verifier)),
                    attributes: AttributeChanges()))
        }
        let first = try create(77)
        #expect(first.failure == nil)
        let again = try create(77)
        #expect(again.failure == nil)
        #expect(again.inode == first.inode)
        #expect(try create(78).failure == .exists)
        // The verifier has a column of its own: setting the times does not change it.
        let inode = try #require(first.inode).attributes.file.inode
        let times = AttributeChanges(accessTime: .to(time(1)), modificationTime: .to(time(2)))
        try fileset.run(.setAttributes(inode: inode, changes: times, guardTime: nil))
        #expect(try create(77).failure == nil)
    }

    @Test("in a setgid directory files take its group, directories the bit as well")
    func setgid() throws {
        var fileset = try TestFileset(mode: 0o777)
        let shared = try fileset.makeDirectory("shared", mode: 0o2777)
        try fileset.run(.setAttributes(inode: shared, changes: AttributeChanges(gid: 300), guardTime: nil))
        let file = try fileset.make("f", in: shared, mode: 0o2755, as: alice)
        let attributes = try fileset.attributes(file)
        #expect(attributes.gid == 300)
        #expect(attributes.uid == alice.uid)
        #expect(attributes.mode == 0o755, "who is not in the group makes no setgid program for it")
        let directory = try fileset.makeDirectory("d", in: shared, mode: 0o700, as: alice)
        #expect(try fileset.attributes(directory).mode == 0o2700)
        #expect(try fileset.attributes(directory).gid == 300)
    }

    @Test("only the superuser makes devices, and makes files for others")
    func privileges() throws {
        var fileset = try TestFileset(mode: 0o777)
        let device = NewFile.device(.blockDevice, DeviceNumber(major: 8, minor: 1))
        func create(_ text: String, _ file: NewFile, _ caller: Credentials) throws -> NamespaceResult {
            try fileset.run(
                .create(
                    directory: .root, name: name(text), file: file,
                    attributes: AttributeChanges(mode: 0o600, uid: 5, gid: 6)), as: caller)
        }
        #expect(try create("a", device, alice).failure == .notPermitted)
        let made = try create("a", device, .superuser).inode?.attributes
        #expect(made?.device == DeviceNumber(major: 8, minor: 1))
        #expect(made?.uid == 5)
        #expect(try create("b", .fifo, alice).inode?.attributes.uid == alice.uid)
        #expect(try create("c", .device(.regular, DeviceNumber(major: 0, minor: 0)), .superuser).failure == .badType)
    }

    @Test("a symbolic link keeps its target up to 4,096 bytes")
    func symbolicLink() throws {
        var fileset = try TestFileset()
        func create(_ count: Int) throws -> NamespaceResult {
            let target = [UInt8](repeating: 0x61, count: count)
            return try fileset.run(
                .create(
                    directory: .root, name: name("l\(count)"), file: .symbolicLink(target: target),
                    attributes: AttributeChanges()))
        }
        #expect(try create(0).failure == .invalid)
        #expect(try create(4097).failure == .nameTooLong)
        let link = try #require(try create(4096).inode).attributes
        #expect(link.size == 4096)
        #expect(link.mode == 0o777)
        guard case .symbolicLink(let target, _) = try fileset.ask(.readSymbolicLink(inode: link.file.inode)) else {
            Issue.record("not a link")
            return
        }
        #expect(target.count == 4096)
        #expect(try fileset.ask(.readSymbolicLink(inode: .root)) == .failed(.invalid))
    }

    @Test("inode numbers are never given twice, and none beyond the reservation")
    func reservation() throws {
        var fileset = try TestFileset()
        #expect(fileset.machine.inodesLeft == 4096)
        #expect(fileset.machine.wantedReservation == nil)
        let first = try fileset.make("a")
        #expect(fileset.machine.wantedReservation == InodeNumber(4097 + 4096))
        try fileset.run(.remove(directory: .root, name: name("a")))
        let second = try fileset.make("a")
        #expect(second > first)
        try fileset.run(.abandonReservation)
        #expect(fileset.machine.inodesLeft == 0)
        let refused = try fileset.run(
            .create(directory: .root, name: name("b"), file: .fifo, attributes: AttributeChanges()))
        #expect(refused.failure == .noSpace)
        let wanted = try #require(fileset.machine.wantedReservation)
        try fileset.run(.reserveInodes(through: wanted))
        #expect(try fileset.make("b") == InodeNumber(4098), "what was reserved before is skipped")
        // A lower reservation takes nothing back.
        try fileset.run(.reserveInodes(through: InodeNumber(10)))
        #expect(fileset.machine.inodesLeft == 4095)
    }

    @Test("quotas of inodes and bytes answer quotaExceeded, and go when they are lifted")
    func quota() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("a")
        try fileset.run(.setQuota(FilesetQuota(bytes: 1000, inodes: 2)))
        let refused = try fileset.run(
            .create(directory: .root, name: name("b"), file: .directory, attributes: AttributeChanges()))
        #expect(refused.failure == .quotaExceeded)
        #expect(try fileset.run(.raiseLimit(inode: file, limit: 10 << 20)).failure == nil)
        try fileset.run(.recordUsage(bytes: 1000))
        #expect(try fileset.run(.raiseLimit(inode: file, limit: 20 << 20)).failure == .quotaExceeded)
        #expect(
            try fileset.ask(.usage)
                == .usage(FilesetUsage(inodes: 2, bytes: 1000), FilesetQuota(bytes: 1000, inodes: 2)))
        try fileset.run(.setQuota(.unlimited))
        _ = try fileset.make("b")
    }
}
