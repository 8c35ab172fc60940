import ClusterModel
import Namespace
import Testing
import Wire

/// Random operations by several callers, checked against `ReferenceTree` in answers and in the whole tree.
@Suite struct ReferenceTests {
    @Test("random operations answer as the plain tree does, and leave the same tree", arguments: 1...12)
    func random(seed: UInt64) throws {
        var run = try ReferenceRun(seed: seed)
        for step in 1...600 {
            try run.step(step)
            if step % 100 == 0 { try run.compareTrees() }
        }
    }

    @Test("a log that is applied again from any point gives the same rows", arguments: [21, 22])
    func replay(seed: UInt64) throws {
        var run = try ReferenceRun(seed: seed)
        for step in 1...300 { try run.step(step) }
        let digest = try RowDigest(run.fileset.rows)

        // The same log, in batches of other sizes, with crashes between batches: each restart begins at the applied entry.
        let rows = RowArrays()
        var machine = try NamespaceMachine(fileset: .root, rows: rows)
        var random = SplitMix64(seed: seed)
        var next = 0
        while next < run.fileset.log.count {
            let end = min(next + 1 + random.below(40), run.fileset.log.count)
            for change in run.fileset.log[next..<end] { _ = try machine.apply(change, rows: rows) }
            if random.below(2) == 0 { try machine.commit(rows: rows) }
            rows.crash()
            machine = try NamespaceMachine(fileset: .root, rows: rows)
            // What was applied and committed answers nothing now and changes nothing.
            for change in run.fileset.log.prefix(Int(machine.applied.n)) {
                #expect(try machine.apply(change, rows: rows) == nil)
            }
            next = Int(machine.applied.n)
        }
        #expect(try RowDigest(rows) == digest, "seed \(seed)")
        #expect(machine.state == run.fileset.machine.state)
    }
}

/// One seed's run: the same operations on both.
private struct ReferenceRun {
    var fileset: TestFileset
    let tree: ReferenceTree
    var random: SplitMix64
    let seed: UInt64
    /// Cookies that each directory has given, with the name that each stands for.
    var cookies: [InodeNumber: [UInt64: FileName]] = [:]

    init(seed: UInt64) throws {
        self.seed = seed
        random = SplitMix64(seed: seed)
        fileset = try TestFileset(mode: 0o777)
        tree = ReferenceTree(mode: 0o777)
    }

    private mutating func pick<T>(_ list: [T]) -> T { list[random.below(list.count)] }

    mutating func step(_ step: Int) throws {
        let caller = pick([.superuser, alice, alice, bob, bob, carol])
        let directories = tree.directories.map(\.node)
        let nodes = tree.allNodes
        // Now and then something that is no directory.
        let place = random.below(20) == 0 ? pick(nodes) : pick(directories)
        let other = pick(directories)
        let label = name(pick(["a", "b", "c", "d", "e", "f"]))
        let newLabel = name(pick(["a", "b", "c", "d", "e", "f"]))
        let mode: UInt16 = pick([0o755, 0o700, 0o777, 0o1777, 0o2775, 0o644, 0o600, 0o6755, 0o000])
        let node = pick(nodes)
        let next = fileset.machine.state.nextInode
        let expected: NamespaceFailure?
        let operation: NamespaceOperation
        switch random.below(14) {
        case 0...4:
            let file: NewFile = pick([
                .regular(.unchecked), .regular(.guarded), .directory, .directory, .directory, .fifo,
                .symbolicLink(target: Array("to".utf8)),
            ])
            operation = .create(
                directory: place.number, name: label, file: file, attributes: AttributeChanges(mode: mode))
            expected = tree.create(place, label, file, mode: mode, caller, number: next)
        case 5:
            operation = .remove(directory: place.number, name: label)
            expected = tree.remove(place, label, wantsDirectory: false, caller)
        case 6:
            operation = .removeDirectory(directory: place.number, name: label)
            expected = tree.remove(place, label, wantsDirectory: true, caller)
        case 7...9:
            operation = .rename(from: place.number, name: label, to: other.number, newName: newLabel)
            let keepsCookie = place === other && place.children[newLabel] == nil
            expected = tree.rename(place, label, other, newLabel, caller)
            if keepsCookie, expected == nil {
                cookies[place.number] = cookies[place.number]?.mapValues { $0 == label ? newLabel : $0 }
            }
        case 10:
            operation = .link(inode: node.number, directory: place.number, name: label)
            expected = tree.link(node, place, label, caller)
        case 11:
            operation = .setAttributes(inode: node.number, changes: AttributeChanges(mode: mode), guardTime: nil)
            expected = tree.setMode(node, mode, caller)
        case 12:
            let uid: UInt32? = pick([nil, nil, 1000, 1001])
            let gid: UInt32? = pick([100, 200, 1000])
            operation = .setAttributes(
                inode: node.number, changes: AttributeChanges(uid: uid, gid: gid), guardTime: nil)
            expected = tree.setOwner(node, uid: uid, gid: gid, caller)
        default:
            let size = UInt64(random.below(5)) * 1_000_000
            operation = .setAttributes(inode: node.number, changes: AttributeChanges(size: size), guardTime: nil)
            expected = tree.setSize(node, size, caller)
        }
        let result = try fileset.run(operation, as: caller)
        try #require(result.failure == expected, "seed \(seed), step \(step): \(operation) by \(caller.uid)")
        if let deletion = result.deletion, deletion.kind == .truncation {
            try fileset.run(
                .finishRangeDeletion(inode: deletion.file.inode, truncation: deletion.truncation.number))
        }
    }

    /// The whole tree through queries; link counts, parents, leaks, cookies.
    mutating func compareTrees() throws {
        let nodes = tree.allNodes
        for (directory, parent) in tree.directories {
            let entries = try fileset.list(directory.number, page: 3)
            #expect(
                entries.sorted { $0.name < $1.name }.map(\.name) == directory.sortedChildren.map(\.0), "seed \(seed)")
            guard case .found(let up, _) = try fileset.ask(.parent(directory: directory.number)) else {
                Issue.record("seed \(seed): no parent of \(directory.number)")
                continue
            }
            #expect(up.attributes.file.inode == parent.number)
            for entry in entries {
                #expect(entry.inode == directory.children[entry.name]?.number)
                #expect(entry.cookie >= 3)
                let given = cookies[directory.number, default: [:]].updateValue(entry.name, forKey: entry.cookie)
                #expect(given == nil || given == entry.name, "seed \(seed): a cookie stands for another name")
            }
        }
        for node in nodes {
            let attributes = try fileset.attributes(node.number)
            #expect(attributes.kind == node.kind)
            #expect(attributes.mode == node.mode, "seed \(seed): \(node.number)")
            #expect(attributes.uid == node.uid)
            #expect(attributes.gid == node.gid)
            #expect(attributes.linkCount == tree.linkCount(node), "seed \(seed): \(node.number)")
            if node.kind == .regular { #expect(attributes.size == node.size) }
            for caller in [alice, bob, carol] {
                guard
                    case .access(let rights, _) = try fileset.ask(
                        .access(inode: node.number, rights: AccessRights(rawValue: 0x3F)), as: caller)
                else { continue }
                #expect(rights.contains(.read) == tree.may(4, node, caller))
            }
        }
        let names = tree.directories.reduce(0) { $0 + $1.node.children.count }
        #expect(fileset.count(table: 1) == nodes.count, "seed \(seed): an inode has leaked")
        #expect(fileset.machine.state.usage.inodes == UInt64(nodes.count))
        #expect(fileset.count(table: 2) == names)
        #expect(fileset.count(table: 3) == names)
    }
}
