import ClusterModel
import Gateway
import Testing
import Wire

/// What becomes of operations whose clients have gone (replication.md, 19; traps 9).
struct AbandoningTests {
    private let scene = Scene()
    private var world: World { scene.world }

    private func setPrimary(of groups: [PGID], _ primary: NodeID?) {
        for pg in groups {
            guard var record = world.records[pg] else { continue }
            record.primary = primary
            record.epoch = record.epoch.next
            world.records[pg] = record
        }
        for door in world.gateways { door.show() }
    }

    private var dataGroups: [PGID] { (0..<world.map.dataPGCount).map { .data($0) } }

    /// An overwrite through the first gateway; `answer` is called once.
    private func overwrite(
        _ unit: UInt64 = 0, _ id: UInt64, _ answer: @escaping (Result<FileAnswer, FileFailure>) -> Void
    ) -> UInt64 {
        scene.a.write(scene.file, unit * 512, scene.values(8, id), .unstable, zeros: [], answer)
    }

    private func isUnavailable(_ result: Result<FileAnswer, FileFailure>?) -> Bool {
        if case .failure(.unavailable)? = result { true } else { false }
    }

    @Test("A write that waits for its group is not carried out over a later one, once its client has gone elsewhere")
    func waitsForGroup() {
        scene.write(scene.a, 0, scene.values(8))
        setPrimary(of: dataGroups, nil)
        var answers: [Result<FileAnswer, FileFailure>] = []
        let first = overwrite(0, 2) { answers.append($0) }
        world.run(for: .milliseconds(100))
        #expect(answers.isEmpty)
        scene.a.abandon([first])
        #expect(answers.count == 1 && isUnavailable(answers.first))
        // Only the second gateway hears of the new primaries at first.
        for pg in dataGroups {
            world.records[pg]?.primary = NodeID(2)
            world.records[pg]?.epoch = Epoch(3)
        }
        scene.b.show()
        #expect(scene.write(scene.b, 0, scene.values(8, 2)) != nil)
        #expect(scene.write(scene.b, 0, scene.values(8, 3)) != nil)
        scene.a.show()
        world.run(for: .seconds(5))
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 3))
        #expect(scene.write(scene.a, 0, scene.values(8, 4)) != nil)
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 4))
    }

    @Test("What was sent and lost is not sent again for a client that has gone")
    func lost() {
        scene.write(scene.a, 0, scene.values(8))
        world.faults.lostRequest = 1000
        var answer: Result<FileAnswer, FileFailure>?
        let id = overwrite(0, 2) { answer = $0 }
        world.run(for: .milliseconds(50))
        let sent = scene.writes.count
        #expect(answer == nil && sent > 1)
        scene.a.abandon([id])
        // A copy that is under way is waited for.
        world.run(for: .milliseconds(50)) { answer != nil }
        #expect(isUnavailable(answer))
        let then = scene.writes.count
        world.faults = .none
        world.run(for: .seconds(5))
        #expect(scene.writes.count == then)
        #expect(scene.read(scene.b, 0, 8) == scene.values(8))
        // The number has ended: the next write is not held up.
        #expect(scene.write(scene.a, 0, scene.values(8, 3)) != nil)
    }

    @Test("An operation that is wanted again before its copy is answered ends as if nobody had gone")
    func wantedAgain() {
        scene.write(scene.a, 0, scene.values(8))
        var answer: Result<FileAnswer, FileFailure>?
        let id = overwrite(0, 2) { answer = $0 }
        #expect(answer == nil)
        scene.a.abandon([id])
        #expect(answer == nil, "a copy is under way")
        scene.a.want(id)
        world.run(for: .seconds(1)) { answer != nil }
        guard case .success(.written)? = answer else { return #expect(Bool(false), "\(String(describing: answer))") }
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 2))
    }

    @Test("More writes than a window holds are given up at once, and leave the window to others")
    func window() {
        scene.write(scene.a, 0, scene.values(2048))
        setPrimary(of: dataGroups, nil)
        scene.a.log = []
        var ended = 0
        var ids: [UInt64] = []
        for i in 0..<600 { ids.append(overwrite(UInt64(i % 16) * 8, 2) { if isUnavailable($0) { ended += 1 } }) }
        world.run(for: .milliseconds(100))
        var kept: Result<FileAnswer, FileFailure>?
        _ = overwrite(0, 9) { kept = $0 }
        scene.a.abandon(ids)
        #expect(ended == 600 && kept == nil)
        setPrimary(of: dataGroups, NodeID(2))
        world.run(for: .seconds(5)) { kept != nil }
        #expect(scene.writes.count == 1)
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 9))
        #expect(scene.read(scene.b, 8, 8) == Array(scene.values(2048)[8..<16]))
        #expect(world.gateways.allSatisfy { $0.machine.waits().isEmpty && !$0.machine.isPressed })
    }

    @Test("A truncation that was decided is finished in all groups, those that wait behind it are not begun")
    func truncation() {
        scene.write(scene.a, 0, scene.values(64))
        // Until the write's times and size are settled.
        world.run(for: .seconds(3))
        setPrimary(of: dataGroups, nil)
        var answers: [Result<FileAnswer, FileFailure>] = []
        let ids = [UInt64(8), 16, 24].map { units in
            let id = scene.a.newID()
            scene.a.begin(
                .setAttributes(scene.file, AttributeChanges(size: units * 512), guardTime: nil), id: id
            ) { answers.append($0) }
            return id
        }
        world.run(for: .milliseconds(100))
        #expect(answers.isEmpty)
        scene.a.abandon(ids)
        #expect(answers.count == 2)
        setPrimary(of: dataGroups, NodeID(2))
        world.run(for: .seconds(5))
        #expect(answers.count == 3 && world.namespace.deletions.isEmpty)
        #expect(world.namespace.files[scene.file.inode]?.attributes.size == 8 * 512)
        #expect(scene.read(scene.b, 0, 64) == Array(scene.values(8)))
    }

    @Test("Changes of names, questions, reads and commits that wait for their groups end when nobody waits for them")
    func others() throws {
        scene.write(scene.a, 0, scene.values(8))
        world.run(for: .seconds(3))
        setPrimary(of: world.map.placementGroups, nil)
        let name = try #require(FileName("other"))
        let requests: [FileRequest] = [
            .create(directory: Scene.root, name, .regular(.guarded), AttributeChanges()),
            .lookup(directory: Scene.root, name: name), .attributes(scene.file),
            .read(scene.file, offset: 0, count: 4096),
            .commit(scene.file, offset: 0, count: 0),
        ]
        var ended = 0
        var ids: [UInt64] = []
        for request in requests {
            let id = scene.a.newID()
            ids.append(id)
            scene.a.begin(request, id: id) { if isUnavailable($0) { ended += 1 } }
        }
        world.run(for: .milliseconds(100))
        scene.a.abandon(ids)
        #expect(ended == requests.count)
        setPrimary(of: world.map.placementGroups, NodeID(3))
        world.run(for: .seconds(5))
        #expect(scene.a.entries.count { if case .create = $0.operation { true } else { false } } == 1)
        #expect(scene.a.machine.operationCount == 0 && scene.a.machine.waits().isEmpty)
        #expect(scene.read(scene.a, 0, 8) == scene.values(8))
    }

    @Test("What waits for a session ends, too")
    func unstarted() {
        scene.a.session = nil
        scene.a.show()
        var answer: Result<FileAnswer, FileFailure>?
        let id = overwrite(0, 2) { answer = $0 }
        #expect(answer == nil && scene.a.machine.operationCount == 1)
        scene.a.abandon([id])
        #expect(isUnavailable(answer) && scene.a.machine.operationCount == 0)
        #expect(scene.a.machine.waits().isEmpty)
    }
}
