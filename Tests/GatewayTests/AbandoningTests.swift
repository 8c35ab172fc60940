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

    /// Longer than a client's return is waited for.
    private func pass() { world.run(for: .milliseconds(100 + GatewayLimits.returnPatience.nanoseconds / 1_000_000)) }

    private func isWritten(_ result: Result<FileAnswer, FileFailure>?) -> Bool {
        if case .success(.written)? = result { true } else { false }
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
        scene.a.abandon([first])
        setPrimary(of: dataGroups, NodeID(2))
        #expect(scene.write(scene.b, 0, scene.values(8, 2)) != nil)
        #expect(scene.write(scene.b, 0, scene.values(8, 3)) != nil)
        world.run(for: .seconds(5))
        #expect(answers.isEmpty)
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 3))
        pass()
        #expect(answers.count == 1 && isUnavailable(answers.first))
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
        // A copy may be under way.
        world.run(for: .milliseconds(50))
        let then = scene.writes.count
        world.faults = .none
        pass()
        #expect(isUnavailable(answer))
        #expect(scene.writes.count == then)
        #expect(scene.read(scene.b, 0, 8) == scene.values(8))
        // The number has ended: the next write is not held up.
        #expect(scene.write(scene.a, 0, scene.values(8, 3)) != nil)
    }

    @Test("Who comes back in time finds the write under its number: what was executed unseen is not executed again")
    func backInTime() {
        scene.write(scene.a, 0, scene.values(8))
        world.faults.lostAnswer = 1000
        var answer: Result<FileAnswer, FileFailure>?
        let id = overwrite(0, 2) { answer = $0 }
        let pg = Placement.group(of: ObjectID(file: scene.file, index: 0), groupCount: world.map.dataPGCount)
        let executed = world.groups[pg]?.executed
        world.run(for: .milliseconds(20)) { world.groups[pg]?.executed != executed }
        scene.a.abandon([id])
        world.run(for: .seconds(2))
        world.faults = .none
        // Another client's write comes between.
        #expect(scene.write(scene.b, 0, scene.values(8, 3)) != nil)
        scene.a.want(id)
        world.run(for: .seconds(3)) { answer != nil }
        #expect(isWritten(answer), "\(String(describing: answer))")
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 3))
    }

    /// A former primary that stands still has a copy, and the pause after its successor's refusal passes while nobody waits.
    @Test("A request whose pause passed while its client was away goes on when the client is back")
    func pausedMeanwhile() {
        scene.write(scene.a, 0, scene.values(8))
        world.faults.stall = 1000
        var answer: Result<FileAnswer, FileFailure>?
        let id = overwrite(0, 2) { answer = $0 }
        world.faults = .none
        setPrimary(of: dataGroups, NodeID(3))
        setPrimary(of: dataGroups, NodeID(1))
        world.faults.unavailable = 1000
        setPrimary(of: dataGroups, NodeID(2))
        world.run(for: .milliseconds(5))
        scene.a.abandon([id])
        world.run(for: .seconds(2))
        world.faults = .none
        #expect(answer == nil)
        scene.a.want(id)
        world.run(for: .seconds(8)) { answer != nil }
        #expect(isWritten(answer), "\(String(describing: answer))")
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 2))
    }

    @Test("Times move for the data of a write that failed while it waited for a settlement")
    func landedWhileSettling() {
        scene.write(scene.a, 0, scene.values(8))
        scene.a.begin(.attributes(scene.file)) { _ in }
        setPrimary(of: [.metadata(World.fileset)], nil)
        world.run(for: .milliseconds(50))
        var answer: Result<FileAnswer, FileFailure>?
        let begun = world.time.wall
        let id = overwrite(0, 2) { answer = $0 }
        world.run(for: .milliseconds(50))
        scene.a.abandon([id])
        pass()
        #expect(isUnavailable(answer))
        setPrimary(of: [.metadata(World.fileset)], NodeID(2))
        world.run(for: .seconds(5))
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 2))
        let attributes = world.namespace.files[scene.file.inode]?.attributes
        #expect(attributes.map { $0.modificationTime > begun } ?? false)
    }

    @Test("Times move for what a write left that was given up with a part of it unsent")
    func landedInPart() {
        scene.write(scene.a, 0, scene.values(256))
        let groups = (0..<2).map {
            Placement.group(of: ObjectID(file: scene.file, index: $0), groupCount: world.map.dataPGCount)
        }
        #expect(groups[0] != groups[1])
        scene.a.begin(.attributes(scene.file)) { _ in }
        setPrimary(of: [groups[1]], nil)
        let begun = world.time.wall
        var answer: Result<FileAnswer, FileFailure>?
        // The end of the first object's stripe unit, and the begin of the second's.
        let id = overwrite(124, 2) { answer = $0 }
        world.run(for: .seconds(2))
        scene.a.abandon([id])
        pass()
        #expect(isUnavailable(answer))
        setPrimary(of: [groups[1]], NodeID(2))
        world.run(for: .seconds(5))
        #expect(scene.read(scene.b, 124, 8) == Array(scene.values(8, 2)[..<4] + scene.values(256)[128..<132]))
        let attributes = world.namespace.files[scene.file.inode]?.attributes
        #expect(attributes.map { $0.modificationTime > begun } ?? false)
    }

    @Test("A client's write gets a number as soon as another one goes whose requests have them all")
    func numbersOfTheGone() {
        scene.write(scene.a, 0, scene.values(2048))
        setPrimary(of: dataGroups, nil)
        let ids = (0..<300).map { overwrite(UInt64($0 % 16) * 8, 2) { _ in } }
        var kept: Result<FileAnswer, FileFailure>?
        _ = overwrite(0, 9) { kept = $0 }
        world.run(for: .milliseconds(100))
        setPrimary(of: dataGroups, NodeID(2))
        scene.a.abandon(ids)
        world.run(for: .seconds(2)) { kept != nil }
        #expect(kept != nil)
        #expect(world.gateways.allSatisfy { $0.violations.isEmpty })
    }

    @Test("Of many requests that their client left, those that it comes back for get numbers, whoever holds them")
    func numbersOfTheBack() {
        scene.write(scene.a, 0, scene.values(2048))
        setPrimary(of: dataGroups, nil)
        var ended = 0
        let ids = (0..<300).map { overwrite(UInt64($0 % 16) * 8, 2) { if case .success = $0 { ended += 1 } } }
        world.run(for: .milliseconds(100))
        scene.a.abandon(ids)
        setPrimary(of: dataGroups, NodeID(2))
        for id in ids.suffix(40) { scene.a.want(id) }
        world.run(for: .seconds(3)) { ended == 40 }
        #expect(ended == 40)
        for id in ids.dropFirst(100).prefix(100) { scene.a.want(id) }
        world.run(for: .seconds(2)) { ended == 140 }
        #expect(ended == 140)
        pass()
        #expect(scene.a.machine.operationCount == 0 && scene.a.machine.waits().isEmpty)
        #expect(world.gateways.allSatisfy { $0.violations.isEmpty })
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
        #expect(isWritten(answer), "\(String(describing: answer))")
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 2))
    }

    @Test("More writes than a window holds, of a client that has gone, give way to one of another, and end in time")
    func window() {
        scene.write(scene.a, 0, scene.values(2048))
        setPrimary(of: dataGroups, nil)
        scene.a.log = []
        var ended = 0
        var ids: [UInt64] = []
        for i in 0..<600 { ids.append(overwrite(UInt64(i % 16) * 8, 2) { if isUnavailable($0) { ended += 1 } }) }
        world.run(for: .milliseconds(100))
        scene.a.abandon(ids)
        #expect(ended == 0)
        var kept: Result<FileAnswer, FileFailure>?
        _ = overwrite(0, 9) { kept = $0 }
        #expect(ended == 1 && kept == nil)
        setPrimary(of: dataGroups, NodeID(2))
        world.run(for: .seconds(3)) { kept != nil }
        #expect(kept != nil && scene.writes.count == 1)
        pass()
        #expect(ended == 600)
        #expect(scene.read(scene.b, 0, 8) == scene.values(8, 9))
        #expect(scene.read(scene.b, 8, 8) == Array(scene.values(2048)[8..<16]))
        #expect(world.gateways.allSatisfy { !$0.machine.isPressed })
        #expect(scene.a.machine.waits().isEmpty, "\(scene.a.machine.waits())")
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
        scene.a.abandon(ids)
        #expect(answers.isEmpty)
        pass()
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
        pass()
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
