import ClusterModel
import Gateway
import Testing
import Wire

/// A world without faults, one file in it, and what the first gateway sends recorded.
struct Scene {
    let world: World
    var a: Door { world.gateways[0] }
    var b: Door { world.gateways[1] }
    let file: FileID
    static let root = FileID(fileset: World.fileset, inode: .root)

    init(seed: UInt64 = 7, layout: Layout? = nil, dataGroups: UInt32 = 8) {
        world = World(seed: seed, dataGroups: dataGroups, layout: layout)
        guard let name = FileName("image"),
            case .success(.result(let made)) = world.gateways[0].ask(
                .create(directory: Scene.root, name, .regular(.guarded), AttributeChanges())),
            let inode = made.inode
        else { preconditionFailure("a world without faults creates files") }
        file = inode.attributes.file
        a.log = []
    }

    func values(_ count: Int, _ id: UInt64 = 1) -> [UInt64] { (0..<count).map { id << 16 + UInt64($0) } }

    @discardableResult
    func write(_ door: Door, _ unit: UInt64, _ values: [UInt64], _ durability: Durability = .unstable) -> LossNumber? {
        var stamp: LossNumber?
        var isDone = false
        door.write(file, unit * 512, values, durability) { result in
            if case .success(.written(count: _, let lowest)) = result { stamp = lowest }
            isDone = true
        }
        world.run(for: .seconds(60)) { isDone }
        return stamp
    }

    func flush(_ door: Door) { _ = door.ask(.commit(file, offset: 0, count: 0)) }

    func read(_ door: Door, _ unit: UInt64, _ count: Int) -> [UInt64]? {
        var values: [UInt64]?
        door.begin(.read(file, offset: unit * 512, count: count * 512)) { result in
            if case .success(.read(let pieces, _)) = result { values = door.values(pieces) }
        }
        world.run(for: .seconds(60)) { values != nil }
        return values
    }

    func bodies(_ isWanted: (PGRequestBody) -> Bool) -> [PGRequest] { (a.log ?? []).filter { isWanted($0.body) } }
    var writes: [PGRequest] { bodies { if case .write = $0 { true } else { false } } }
    var mutations: [PGRequest] { bodies { if case .mutate = $0 { true } else { false } } }
    var questions: [PGRequest] { bodies { $0 == .query } }
}

struct RuleTests {
    @Test("A write within the limit costs its parts, one registration and one size entry, an overwrite its parts only")
    func entriesOfAWrite() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(8))
        #expect(scene.writes.count == 1)
        #expect(scene.mutations.count == 2)
        scene.a.log = []
        scene.write(scene.a, 0, scene.values(8, 2))
        #expect(scene.writes.count == 1)
        #expect(scene.mutations.isEmpty)
    }

    @Test("Writes that are flushed one by one go out stable from the third on, until two come without a flush between")
    func flushedOneByOne() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(64))
        scene.flush(scene.a)
        func durabilities(_ body: () -> Void) -> [Durability] {
            scene.a.log = []
            body()
            return scene.writes.compactMap {
                if case .write(_, _, let durability) = $0.body { durability } else { nil }
            }
        }
        func single(_ unit: UInt64) {
            scene.write(scene.a, unit, scene.values(8, unit + 2))
            scene.flush(scene.a)
        }
        #expect(durabilities { single(8) } == [.unstable])
        #expect(durabilities { single(16) } == [.stable])
        #expect(durabilities { scene.write(scene.a, 24, scene.values(8, 40)) } == [.stable])
        #expect(durabilities { scene.write(scene.a, 32, scene.values(8, 41)) } == [.unstable])
        scene.flush(scene.a)
        #expect(durabilities { single(40) } == [.unstable])
    }

    @Test("The limit is raised, stable, to the write's end and as much again, before data goes beyond it")
    func limit() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(256))
        let log = scene.a.log ?? []
        let raise = log.firstIndex { $0.body == .mutate(.stable, nil) }
        let data = log.firstIndex { if case .write = $0.body { true } else { false } }
        #expect(raise != nil && data != nil)
        if let raise, let data { #expect(raise < data) }
        #expect(scene.world.namespace.files[scene.file.inode]?.limit == 2 * 256 * 512)
    }

    @Test("Size entries of one inode go one at a time, and the next carries the greatest size")
    func oneSizeEntry() {
        let scene = Scene()
        let metadata = PGID.metadata(World.fileset)
        scene.write(scene.a, 0, scene.values(8))
        scene.world.records[metadata]?.primary = nil
        scene.world.records[metadata]?.epoch = Epoch(2)
        scene.a.show()
        var done = 0
        for i in 1..<16 { scene.a.write(scene.file, UInt64(i) * 4096, scene.values(8)) { _ in done += 1 } }
        scene.world.run(for: .milliseconds(100))
        #expect(done == 0)
        let before = scene.world.groups[metadata]?.extended ?? 0
        scene.world.records[metadata]?.primary = NodeID(2)
        scene.world.records[metadata]?.epoch = Epoch(3)
        scene.a.show()
        scene.world.run(for: .seconds(5)) { done == 15 }
        #expect(done == 15)
        #expect(scene.world.namespace.files[scene.file.inode]?.attributes.size == 16 * 4096)
        #expect(scene.world.groups[metadata]?.extended == before + 2)
    }

    @Test("A WRITE of no bytes is answered after its permission was checked")
    func emptyWrite() {
        let scene = Scene()
        let stranger = Credentials(uid: 5, gid: 5)
        let empty = FileRequest.write(scene.file, offset: 0, PayloadHandle(id: 900, length: 0), zeros: [], .unstable)
        #expect(scene.a.ask(empty, as: stranger) == .failure(.namespace(.accessDenied)))
        #expect(scene.a.ask(empty) == .success(.written(count: 0, .zero)))
    }

    @Test("A FILE_SYNC write has stable parts, a stable registration and a stable size, the next one its parts only")
    func fileSync() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(8))
        scene.a.log = []
        scene.write(scene.a, 0, scene.values(8), .stable)
        #expect(scene.mutations.map(\.body) == [.mutate(.stable, nil), .mutate(.stable, nil)])
        scene.a.log = []
        scene.write(scene.a, 0, scene.values(8), .stable)
        #expect(scene.mutations.isEmpty)
        for write in scene.writes {
            if case .write(_, _, let durability) = write.body { #expect(durability == .stable) }
        }
    }

    @Test("A WRITE's verifier is the lowest stamp of its parts, a COMMIT's the highest of the groups")
    func verifiers() {
        let scene = Scene()
        scene.world.loss = LossNumber(5)
        #expect(scene.write(scene.a, 0, scene.values(8)) == LossNumber(5))
        // A part is stamped before the rise, the size entry after it.
        var stamp: LossNumber?
        scene.a.write(scene.file, 100 * 512, scene.values(4)) { result in
            if case .success(.written(count: _, let lowest)) = result { stamp = lowest }
        }
        let executed = { scene.world.groups.values.reduce(0) { $0 + ($1.pg.isMetadata ? 0 : $1.executed) } }
        let before = executed()
        scene.world.run(for: .seconds(5)) { executed() > before }
        scene.world.loss = LossNumber(6)
        scene.world.run(for: .seconds(5)) { stamp != nil }
        #expect(stamp == LossNumber(5))
        #expect(scene.a.ask(.commit(scene.file, offset: 0, count: 0)) == .success(.committed(LossNumber(6))))
    }

    @Test("After a rise of the loss number a size learned before it is not trusted: the entry is written again")
    func lossTakesTheSizeBack() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(64))
        // The unstable size and registration are lost.
        scene.world.namespace.files[scene.file.inode]?.attributes.size = 0
        scene.world.namespace.files[scene.file.inode]?.writers = [:]
        scene.world.loss = LossNumber(1)
        #expect(scene.write(scene.a, 0, scene.values(64)) == LossNumber(1))
        #expect(scene.world.namespace.files[scene.file.inode]?.attributes.size == 64 * 512)
        #expect(scene.world.namespace.files[scene.file.inode]?.writers.count == 1)
    }

    @Test(
        "COMMIT at a gateway that wrote nothing flushes every group of the file and its metadata group, a message per node"
    )
    func commitElsewhere() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(512))
        #expect(scene.b.ask(.commit(scene.file, offset: 0, count: 0)) == .success(.committed(.zero)))
        let flushed = Set(scene.b.flushLog.joined().map(\.pg))
        var expected: Set<PGID> = [.metadata(World.fileset)]
        for index in 0..<scene.world.layout.objectCount(fileSize: 512 * 512) {
            expected.insert(Placement.group(of: ObjectID(file: scene.file, index: index), groupCount: 8))
        }
        #expect(flushed == expected)
        #expect(scene.b.flushLog.count <= 3)
    }

    @Test("COMMIT flushes what another gateway appended a moment ago, beyond the hinted end")
    func commitBeyondTheHint() {
        let scene = Scene(dataGroups: 64)
        scene.write(scene.a, 0, scene.values(16))
        #expect(scene.read(scene.b, 0, 8) != nil)
        scene.write(scene.a, 128, scene.values(16))
        let groups = (0..<2).map { Placement.group(of: ObjectID(file: scene.file, index: $0), groupCount: 64) }
        #expect(groups[0] != groups[1])
        #expect(scene.b.ask(.commit(scene.file, offset: 0, count: 0)) == .success(.committed(.zero)))
        #expect(Set(scene.b.flushLog.joined().map(\.pg)) == Set(groups + [.metadata(World.fileset)]))
    }

    @Test("COMMIT of a file with as many objects as groups asks nothing and flushes them all")
    func commitLarge() {
        let scene = Scene(dataGroups: 2)
        scene.write(scene.a, 0, scene.values(2048))
        scene.a.log = []
        #expect(scene.a.ask(.commit(scene.file, offset: 0, count: 0)) == .success(.committed(.zero)))
        #expect(scene.questions.isEmpty)
        #expect(Set(scene.a.flushLog.joined().map(\.pg)) == [.data(0), .data(1), .metadata(World.fileset)])
    }

    @Test("Runs of zeros become zero requests, and what is around them keeps its place")
    func zeroRuns() {
        let scene = Scene()
        var values = scene.values(384)
        for i in 128..<256 { values[i] = 0 }
        var isDone = false
        scene.a.write(scene.file, 0, values, zeros: [ZeroRun(offset: 64 << 10, length: 64 << 10)]) { _ in isDone = true
        }
        scene.world.run(for: .seconds(5)) { isDone }
        let zeros = scene.bodies { if case .zero = $0 { true } else { false } }
        #expect(zeros.count == 1)
        #expect(zeros.allSatisfy { $0.number != .none })
        #expect(scene.read(scene.b, 0, 384) == values)
    }

    @Test(
        "A READ that ends before the hinted size asks nothing, one that touches it asks first and sees another gateway's bytes"
    )
    func readAtTheEnd() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(16))
        #expect(scene.read(scene.a, 0, 8) == Array(scene.values(16).prefix(8)))
        scene.a.log = []
        #expect(scene.read(scene.a, 0, 8) == Array(scene.values(16).prefix(8)))
        #expect(scene.questions.isEmpty)
        scene.write(scene.b, 16, scene.values(16, 2))
        scene.a.log = []
        #expect(scene.read(scene.a, 0, 32) == scene.values(16) + scene.values(16, 2))
        #expect(scene.questions.count == 1)
    }

    @Test("A READ of an absent block asks the metadata group again, and gives zeros")
    func readAbsent() {
        let scene = Scene()
        scene.write(scene.a, 200, scene.values(8))
        _ = scene.read(scene.a, 200, 4)
        scene.a.log = []
        #expect(scene.read(scene.a, 8, 8) == [UInt64](repeating: 0, count: 8))
        #expect(scene.questions.count == 1)
    }

    @Test(
        "A truncation through another gateway turns a write with the old number back, and it is done again under a new one"
    )
    func truncatedElsewhere() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(64))
        let cut = AttributeChanges(size: 0)
        _ = scene.b.ask(.setAttributes(scene.file, cut, guardTime: nil))
        scene.a.log = []
        scene.write(scene.a, 32, scene.values(32, 2))
        #expect(scene.writes.count == 2)
        #expect(Set(scene.writes.map(\.number)).count == 2)
        #expect(scene.read(scene.b, 0, 64) == [UInt64](repeating: 0, count: 32) + scene.values(32, 2))
    }

    @Test("A write that waited longer than a hint lasts is not sent with its old truncation number")
    func markIsAskedAnew() {
        let scene = Scene(dataGroups: 1)
        scene.write(scene.a, 0, scene.values(64))
        scene.world.records[.data(0)]?.primary = nil
        scene.world.records[.data(0)]?.epoch = Epoch(2)
        scene.a.show()
        var isDone = false
        scene.a.log = []
        scene.a.write(scene.file, 8 * 512, scene.values(8, 2)) { _ in isDone = true }
        scene.world.run(for: .seconds(3)) { isDone }
        // Cut meanwhile; the group has had the cut, and forgotten it since.
        let cut = NamespaceOperation.setAttributes(
            inode: scene.file.inode, changes: AttributeChanges(size: 0), guardTime: nil)
        _ = scene.world.namespace.apply(cut, .zero)
        scene.world.namespace.deletions = []
        for object in scene.world.groups[.data(0)]?.objects.keys.sorted() ?? [] {
            scene.world.groups[.data(0)]?.objects[object] = nil
        }
        scene.world.records[.data(0)]?.primary = NodeID(2)
        scene.world.records[.data(0)]?.epoch = Epoch(3)
        scene.a.show()
        scene.world.run(for: .seconds(3)) { isDone }
        #expect(scene.writes.count == 1)
        for write in scene.writes {
            if case .write(_, let mark, _) = write.body { #expect(mark.number == TruncationNumber(1)) }
        }
        #expect(scene.read(scene.b, 0, 16) == [UInt64](repeating: 0, count: 8) + scene.values(8, 2))
    }

    @Test("A truncation is answered when every group of the cut range has it, a removal before")
    func cutBeforeAnswer() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(512))
        let groups = scene.world.groups.keys.filter { !$0.isMetadata }
        for pg in groups { scene.world.records[pg]?.primary = NodeID(9) }
        var isAnswered = false
        scene.b.begin(.setAttributes(scene.file, AttributeChanges(size: 512), guardTime: nil)) { _ in isAnswered = true
        }
        scene.world.run(for: .seconds(3)) { isAnswered }
        #expect(!isAnswered)
        for pg in groups { scene.world.records[pg]?.primary = NodeID(1) }
        for pg in groups { scene.world.records[pg]?.epoch = Epoch(9) }
        scene.b.show()
        scene.world.run(for: .seconds(5)) { isAnswered }
        #expect(isAnswered)
        for pg in groups { scene.world.records[pg]?.primary = NodeID(9) }
        guard let name = FileName("image") else { return }
        #expect(scene.b.ask(.remove(directory: Scene.root, name)) != nil)
        #expect(!scene.world.namespace.deletions.isEmpty)
    }

    @Test("A removal whose gateway died is finished by the gateway beside the metadata primary")
    func orphanedRemoval() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(512))
        guard let name = FileName("image") else { return }
        // As if the gateway had died right after the entry.
        _ = scene.world.namespace.apply(.remove(directory: .root, name: name), .zero)
        scene.world.records[.metadata(World.fileset)]?.primary = NodeID(2)
        scene.world.records[.metadata(World.fileset)]?.epoch = Epoch(5)
        for door in scene.world.gateways { door.show() }
        scene.world.run(for: .seconds(30)) { scene.world.namespace.deletions.isEmpty }
        #expect(scene.world.namespace.deletions.isEmpty)
        #expect(
            scene.world.groups.values.allSatisfy { group in group.objects.keys.allSatisfy { $0.file != scene.file } })
    }

    @Test("At most 256 requests to a group are unfinished, and the 257th waits by name")
    func window() {
        let scene = Scene(dataGroups: 1)
        scene.write(scene.a, 0, scene.values(128))
        scene.world.faults.unavailable = 1000
        scene.a.log = []
        var done = 0
        for i in 0..<300 { scene.a.write(scene.file, UInt64(i % 16) * 4096, scene.values(8)) { _ in done += 1 } }
        #expect(scene.writes.count == 256)
        let waits = scene.a.machine.waits()
        #expect(waits.contains { $0.reason == .numbers && $0.requests == 44 })
        scene.world.faults = .none
        scene.world.run(for: .seconds(30)) { done == 300 }
        #expect(done == 300)
        #expect(scene.a.violations.isEmpty)
    }

    @Test("Requests wait for a group without primary however long it takes, and press on the doors beyond 1,024")
    func withoutPrimary() {
        let scene = Scene(dataGroups: 1)
        scene.write(scene.a, 0, scene.values(128))
        scene.world.records[.data(0)]?.primary = nil
        scene.world.records[.data(0)]?.epoch = Epoch(2)
        scene.a.show()
        var results: [Result<FileAnswer, FileFailure>] = []
        for i in 0..<1100 {
            scene.a.begin(.read(scene.file, offset: UInt64(i % 16) * 4096, count: 512)) { results.append($0) }
        }
        scene.world.run(for: .seconds(120)) { !results.isEmpty }
        #expect(results.isEmpty)
        #expect(scene.a.machine.isPressed)
        #expect(scene.a.machine.waits().contains { $0.reason == .primary && $0.requests >= 1100 })
        scene.world.records[.data(0)]?.primary = NodeID(2)
        scene.world.records[.data(0)]?.epoch = Epoch(3)
        scene.a.show()
        scene.world.run(for: .seconds(10)) { results.count == 1100 }
        #expect(results.count == 1100)
        #expect(!scene.a.machine.isPressed)
    }

    @Test("When the session has ended every operation fails, and nothing is sent under the next one")
    func sessionEnds() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(8))
        scene.world.faults.unavailable = 1000
        var results: [Result<FileAnswer, FileFailure>] = []
        scene.a.write(scene.file, 0, scene.values(8, 2)) { results.append($0) }
        scene.a.begin(.attributes(scene.file)) { results.append($0) }
        scene.world.run(for: .seconds(1))
        scene.world.faults = .none
        let old = scene.a.session
        scene.world.endSession(scene.a)
        #expect(results == [.failure(.unavailable), .failure(.unavailable)])
        scene.a.log = []
        scene.world.run(for: .seconds(10))
        #expect(scene.a.log?.allSatisfy { $0.session != old } ?? false)
        #expect(scene.writes.isEmpty)
        #expect(scene.read(scene.b, 0, 8) == scene.values(8))
    }

    @Test("A group that no longer serves the session ends it at the gateway")
    func sessionRefused() {
        let scene = Scene()
        let old = scene.a.session
        scene.world.map.sessions.removeAll { $0.id == old }
        var result: Result<FileAnswer, FileFailure>?
        scene.a.begin(.attributes(scene.file)) { result = $0 }
        scene.world.run(for: .milliseconds(100)) { result != nil }
        #expect(result == .failure(.unavailable))
        #expect(scene.a.sessionsEnded == [old].compactMap { $0 })
        // The shell has not heard of it: the old session is not taken up again, a new one is.
        scene.a.log = []
        scene.a.show()
        var next: Result<FileAnswer, FileFailure>?
        scene.a.begin(.attributes(scene.file)) { next = $0 }
        scene.world.run(for: .seconds(1))
        #expect(next == nil)
        #expect(scene.a.log?.isEmpty ?? false)
        scene.world.giveSession(scene.a)
        scene.world.run(for: .seconds(1)) { next != nil }
        if case .success = next {} else { Issue.record("what came between the sessions is begun under the next") }
    }

    @Test("A request that waits for a session is refused after ten seconds, and not carried out when there is one")
    func waitsForSession() {
        let scene = Scene()
        scene.a.session = nil
        scene.a.show()
        var isRefused: Bool?
        scene.a.write(scene.file, 0, scene.values(8)) { isRefused = $0 == .failure(.unavailable) }
        scene.world.run(for: .seconds(9))
        #expect(isRefused == nil)
        scene.world.run(for: .seconds(2))
        #expect(isRefused == true)
        var isWritten = false
        scene.a.write(scene.file, 8 * 512, scene.values(8)) { if case .success = $0 { isWritten = true } }
        scene.world.giveSession(scene.a)
        scene.world.run(for: .seconds(2))
        #expect(isWritten && scene.writes.count == 1)
    }

    @Test("Nor when there is a session again as its process goes on that stood still")
    func waitsForSessionWhileStopped() {
        let scene = Scene()
        scene.a.session = nil
        scene.a.show()
        var isRefused: Bool?
        scene.a.write(scene.file, 0, scene.values(8)) { isRefused = $0 == .failure(.unavailable) }
        scene.world.now += 60_000_000_000
        scene.world.giveSession(scene.a)
        scene.world.run(for: .seconds(2))
        #expect(isRefused == true && scene.writes.isEmpty)
    }
}
