import ClusterModel
import Gateway
import Testing
import Wire

/// What files use is measured by gateways (docs/decisions/008).
struct MeasuringTests {
    private func used(_ door: Door, _ file: FileID) -> UInt64? {
        guard case .success(.inode(let inode)) = door.ask(.attributes(file)) else { return nil }
        return inode.attributes.used
    }

    /// The metadata primary's gateway is a; b has no polls of its own.
    private func scene(dataGroups: UInt32 = 8) -> Scene {
        let scene = Scene(dataGroups: dataGroups)
        scene.lead(scene.a)
        return scene
    }

    @Test("A GETATTR after a write shows what the data groups have, holes not counted")
    func afterWrite() {
        let scene = scene()
        scene.write(scene.b, 0, scene.values(8))
        scene.write(scene.b, 16, scene.values(1))
        #expect(used(scene.b, scene.file) == 8192)
        #expect(scene.world.namespace.files[scene.file.inode]?.isPending == false)
        #expect(used(scene.a, scene.file) == 8192)
    }

    @Test("A settlement does not wait longer than half a second for a group without primary; it is measured later")
    func patience() {
        let scene = scene()
        scene.write(scene.b, 0, scene.values(8))
        let group = Placement.group(of: ObjectID(file: scene.file, index: 0), groupCount: 8)
        scene.world.records[group]?.primary = nil
        scene.world.records[group]?.epoch = Epoch(2)
        scene.a.show()
        scene.b.show()
        let begin = scene.world.now
        _ = used(scene.b, scene.file)
        #expect(scene.world.now - begin < 700_000_000)
        #expect(scene.world.namespace.unmeasured == 1)
        #expect(scene.world.namespace.files[scene.file.inode]?.isPending == true)
        scene.world.records[group]?.primary = NodeID(2)
        scene.world.records[group]?.epoch = Epoch(3)
        scene.a.show()
        scene.b.show()
        scene.world.run(for: .seconds(5))
        #expect(scene.world.namespace.files[scene.file.inode]?.isPending == false)
        #expect(used(scene.a, scene.file) == 4096)
    }

    @Test("While a file is written, others see a number that is some seconds old at most")
    func whileWritten() {
        let scene = scene()
        for i in 0..<60 {
            scene.write(scene.b, UInt64(i) * 8, scene.values(8))
            scene.world.run(for: .milliseconds(200))
        }
        let shown = used(scene.a, scene.file) ?? 0
        #expect(scene.world.namespace.files[scene.file.inode]?.writers.count == 1)
        #expect(shown >= 30 * 4096, "six seconds ago it had 30 blocks")
    }

    @Test("What a dead gateway wrote is measured within seconds after its session has left the map")
    func deadGateway() {
        let scene = scene()
        scene.write(scene.b, 0, scene.values(24))
        scene.world.endSession(scene.b)
        scene.a.show()
        scene.world.run(for: .seconds(3))
        #expect(used(scene.a, scene.file) == 3 * 4096)
        #expect(scene.world.namespace.files[scene.file.inode]?.isPending == false)
    }

    @Test("A settlement that nobody waits for leaves a file in many groups to the metadata primary")
    func wideFiles() {
        let scene = scene(dataGroups: 64)
        for i in 0..<40 { scene.write(scene.b, UInt64(i) << 13, scene.values(8)) }
        scene.world.run(for: .milliseconds(1_900))
        #expect(scene.world.namespace.measured == 0)
        #expect(scene.world.namespace.unmeasured == 1)
        scene.world.run(for: .seconds(3))
        #expect(used(scene.a, scene.file) == 40 * 4096)
    }

    @Test("A cut that has not been carried through everywhere is measured until it has")
    func movingCut() {
        let scene = scene()
        scene.write(scene.b, 0, scene.values(24))
        #expect(used(scene.b, scene.file) == 3 * 4096)
        for pg in scene.world.groups.keys { scene.world.groups[pg]?.standing = .moving }
        _ = scene.b.ask(.setAttributes(scene.file, AttributeChanges(size: 4096), guardTime: nil))
        scene.world.run(for: .seconds(10))
        #expect(scene.world.namespace.files[scene.file.inode]?.isPending == true)
        for pg in scene.world.groups.keys { scene.world.groups[pg]?.standing = .settled }
        scene.world.run(for: .seconds(3))
        #expect(scene.world.namespace.files[scene.file.inode]?.isPending == false)
        #expect(used(scene.a, scene.file) == 4096)
    }

    @Test(
        "A number that is wrong unseen is mended after a loss, the end of a session, a new metadata primary, or a day",
        arguments: 0..<4)
    func drift(reason: Int) {
        let scene = scene()
        scene.write(scene.b, 0, scene.values(8))
        #expect(used(scene.b, scene.file) == 4096)
        scene.world.run(for: .seconds(30))
        scene.world.namespace.files[scene.file.inode]?.used = 77
        scene.world.run(for: .seconds(30))
        #expect(scene.world.namespace.files[scene.file.inode]?.used == 77, "nothing has happened")
        switch reason {
        case 0:
            scene.world.map.lossNumber = LossNumber(1)
            scene.world.map.version = scene.world.map.version.next
            scene.a.show()
        case 1:
            scene.world.endSession(scene.b)
            scene.a.show()
        case 2: scene.lead(scene.b)
        default: scene.world.run(for: .seconds(24 * 3600))
        }
        scene.world.run(for: .seconds(10))
        #expect(scene.world.namespace.files[scene.file.inode]?.used == 4096)
    }

    @Test("Beyond the quota, writes that need blocks are refused within a second, overwriting and zeros go on")
    func quota() {
        let scene = scene()
        func write(_ unit: UInt64, _ count: Int, zeros: [ZeroRun] = []) -> Result<FileAnswer, FileFailure>? {
            var answer: Result<FileAnswer, FileFailure>?
            scene.b.write(scene.file, unit * 512, scene.values(count), zeros: zeros) { answer = $0 }
            scene.world.run(for: .seconds(60)) { answer != nil }
            return answer
        }
        scene.write(scene.b, 0, scene.values(16))
        #expect(used(scene.b, scene.file) == 8192)
        scene.world.namespace.quota = .exceeded
        scene.world.run(for: .seconds(2))
        #expect(write(16, 8) == .failure(.namespace(.quotaExceeded)))
        guard case .success = write(8, 8) else {
            Issue.record("a file without holes may be overwritten")
            return
        }
        guard case .success = write(0, 128, zeros: [ZeroRun(offset: 0, length: 64 << 10)]) else {
            Issue.record("zeros need no blocks")
            return
        }
        scene.world.namespace.quota = .within
        scene.world.run(for: .seconds(2))
        guard case .success = write(512, 8) else {
            Issue.record("within the quota again")
            return
        }
    }
}

extension Scene {
    /// The node of `door` becomes the metadata primary.
    func lead(_ door: Door) {
        let metadata = PGID.metadata(World.fileset)
        guard var record = world.records[metadata] else { return }
        record.primary = door.node
        record.epoch = record.epoch.next
        world.records[metadata] = record
        for door in world.gateways { door.show() }
    }
}
