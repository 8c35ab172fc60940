import ClusterModel
import Gateway
import Testing
import Wire

/// A cut whose gateway dies before all data groups have it, growth, and another cut.
struct UnfinishedCutTests {
    private let scene = Scene()
    /// 8 MiB of the file: both objects of its first stripe set, and of the second.
    private let units = 2 * 8192

    /// Gateway a cuts to nothing and dies while the data groups have no primary.
    private func cutAndDie() {
        let (world, a) = (scene.world, scene.a)
        let groups = world.map.placementGroups.filter { !$0.isMetadata }
        let primaries = groups.map { world.records[$0]?.primary }
        for group in groups { world.records[group]?.primary = nil }
        var first: Result<FileAnswer, FileFailure>?
        a.begin(.setAttributes(scene.file, AttributeChanges(size: 0), guardTime: nil)) { first = $0 }
        world.run(for: .seconds(1)) { !world.namespace.deletions.isEmpty }
        #expect(first == nil, "a cut is not answered before the data groups have it")
        world.endSession(a)
        for (group, primary) in zip(groups, primaries) { world.records[group]?.primary = primary }
    }

    /// After that gateway b grows the file and cuts it in half: what it then sees.
    private func cutHalfWay() -> [UInt64]? {
        let (a, b) = (scene.a, scene.b)
        for first in stride(from: 0, to: units, by: 1024) {
            scene.write(a, UInt64(first), scene.values(1024, UInt64(first + 1)))
        }
        cutAndDie()

        let full = UInt64(units * FakeGroup.unit)
        _ = b.ask(.setAttributes(scene.file, AttributeChanges(size: full), guardTime: nil))
        #expect(scene.read(b, 0, 512)?.allSatisfy { $0 == 0 } == true, "growth shows nothing of before the cut")
        guard
            case .success(.result(let cut)) = b.ask(
                .setAttributes(scene.file, AttributeChanges(size: full / 2), guardTime: nil)), cut.failure == nil
        else { return nil }
        var seen: [UInt64] = []
        for unit in stride(from: 0, to: units / 2, by: 1024) { seen += scene.read(b, UInt64(unit), 1024) ?? [] }
        return seen
    }

    @Test("A cut completes the unfinished one before it, and nothing of before that one comes back")
    func completed() {
        let seen = cutHalfWay()
        #expect(seen?.count == units / 2)
        #expect(seen?.allSatisfy { $0 == 0 } == true)
        scene.world.run(for: .seconds(1)) { scene.world.namespace.deletions.isEmpty }
        #expect(scene.world.namespace.deletions.isEmpty)
    }

    @Test("Without waiting, what the first cut took away is seen again: this is what the rule is for")
    func withoutTheRule() {
        scene.world.namespace.cutsWait = false
        #expect(cutHalfWay()?.contains { $0 != 0 } == true)
    }

    /// Gateway a cuts to nothing and dies before a data group hears of it; its successor sees the cut, then b writes as it knows the
    /// file from before. What that successor saw, and what is left of the write when the cut is finished.
    private func writeBehindSeenCut() -> (size: UInt64?, written: [UInt64]?) {
        let (world, a, b) = (scene.world, scene.a, scene.b)
        scene.write(b, 0, scene.values(1024))
        cutAndDie()
        var size: UInt64?
        if case .success(.inode(let inode)) = a.ask(.attributes(scene.file)) { size = inode.attributes.size }
        scene.write(b, 0, scene.values(16, 2))
        world.run(for: .seconds(30)) { world.namespace.deletions.isEmpty }
        return (size, scene.read(a, 0, 16))
    }

    @Test("A cut is seen only when no write under what was known before it can be answered any more")
    func seenLate() {
        let (size, written) = writeBehindSeenCut()
        #expect(size == 0)
        #expect(written == scene.values(16, 2))
    }

    @Test(
        "Were it seen at once, a write that comes after it would be cut off: this is what holding answers back is for")
    func seenEarly() {
        scene.world.holdsCuts = false
        let (size, written) = writeBehindSeenCut()
        #expect(size == 0)
        #expect(written?.isEmpty == true)
    }

    @Test(
        "Who comes later than a hint may be old does not join the question of those before, whose answer may be from before a cut"
    )
    func lateComer() {
        let (world, a) = (scene.world, scene.a)
        let metadata = PGID.metadata(World.fileset)
        let primary = world.records[metadata]?.primary
        scene.write(a, 0, scene.values(1024))
        world.run(for: .seconds(3))
        world.records[metadata]?.primary = nil
        world.records[metadata]?.epoch = Epoch(2)
        a.show()
        a.log = []
        var answers = 0
        func read() { a.begin(.read(scene.file, offset: 0, count: 512)) { _ in answers += 1 } }
        read()
        world.run(for: .milliseconds(500))
        read()
        world.run(for: .seconds(1))
        read()
        world.records[metadata]?.primary = primary
        world.records[metadata]?.epoch = Epoch(3)
        a.show()
        world.run(for: .seconds(10)) { answers == 3 }
        #expect(answers == 3)
        #expect(scene.bodies { $0 == .query }.count == 2, "one for the first two, and one for the third")
    }

    @Test("An unfinished cut is executed by the gateway of the metadata primary when nobody else does")
    func takenOver() {
        let (world, a, b) = (scene.world, scene.a, scene.b)
        scene.write(a, 0, scene.values(1024))
        world.records[.metadata(World.fileset)]?.primary = b.node
        world.records[.metadata(World.fileset)]?.epoch = Epoch(2)
        for door in world.gateways { door.show() }
        cutAndDie()
        let isDone = world.run(for: .seconds(30)) { world.namespace.deletions.isEmpty }
        #expect(isDone)
        #expect(world.groups.values.reduce(0) { $0 + $1.allocated(scene.file) } == 0)
    }

    @Test("Two gateways that cut a file at once wait for each other's cut, and both are answered")
    func together() {
        let (world, a, b) = (scene.world, scene.a, scene.b)
        scene.write(a, 0, scene.values(2048))
        var answers: [NamespaceFailure?] = []
        for (door, size) in [(a, 1000), (b, 500)] as [(Door, UInt64)] {
            door.begin(.setAttributes(scene.file, AttributeChanges(size: size * 512), guardTime: nil)) { result in
                if case .success(.result(let answer)) = result { answers.append(answer.failure) }
            }
        }
        world.run(for: .seconds(30)) { answers.count == 2 }
        #expect(answers == [nil, nil])
        world.run(for: .seconds(30)) { world.namespace.deletions.isEmpty }
        #expect(world.namespace.deletions.isEmpty)
    }
}
