import ClusterModel
import Gateway
import Testing
import Wire

struct AttributeTests {
    private func inode(_ door: Door, _ file: FileID) -> Inode? {
        guard case .success(.inode(let inode)) = door.ask(.attributes(file)) else { return nil }
        return inode
    }

    @Test("A registration ends with the last write's time after a second without writes")
    func settleAfterASecond() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(8))
        let written = scene.world.time.wall
        #expect(scene.world.namespace.files[scene.file.inode]?.writers.count == 1)
        scene.world.run(for: .seconds(2))
        let file = scene.world.namespace.files[scene.file.inode]
        #expect(file?.writers.isEmpty ?? false)
        #expect(file.map { $0.attributes.modificationTime <= written } ?? false)
        #expect(file.map { $0.attributes.modificationTime > $0.attributes.accessTime } ?? false)
    }

    @Test("A GETATTR settles when no write is under way, and its time stays")
    func settleForAQuestion() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(8))
        let first = inode(scene.a, scene.file)?.attributes.modificationTime
        #expect(scene.world.namespace.files[scene.file.inode]?.writers.isEmpty ?? false)
        scene.world.run(for: .seconds(3))
        #expect(inode(scene.b, scene.file)?.attributes.modificationTime == first)
    }

    @Test("A GETATTR beside a write under way shows what others see, moving times, and nothing is settled")
    func questionBesideWrites() {
        let scene = Scene()
        let before = inode(scene.a, scene.file)?.attributes.modificationTime ?? .zero
        scene.write(scene.a, 0, scene.values(8))
        let answered = scene.world.time.wall
        scene.world.run(for: .milliseconds(5))
        let objects = Placement.group(of: ObjectID(file: scene.file, index: 0), groupCount: 8)
        scene.world.records[objects]?.primary = nil
        scene.world.records[objects]?.epoch = Epoch(2)
        scene.a.show()
        scene.a.write(scene.file, 0, scene.values(8)) { _ in }
        let shown = inode(scene.a, scene.file)?.attributes.modificationTime ?? .zero
        #expect(shown > answered && answered > before)
        #expect(inode(scene.b, scene.file).map { $0.attributes.modificationTime > shown } ?? false)
        scene.world.run(for: .seconds(3))
        #expect(scene.world.namespace.files[scene.file.inode]?.writers.count == 1)
    }

    @Test("Times that are set after a write stay, through both gateways and after the settlement")
    func setTimesAfterWrite() {
        let scene = Scene()
        let wanted = Timestamp(nanoseconds: 12_345)
        scene.write(scene.a, 0, scene.values(8))
        _ = scene.a.ask(.setAttributes(scene.file, AttributeChanges(modificationTime: .to(wanted)), guardTime: nil))
        #expect(inode(scene.b, scene.file)?.attributes.modificationTime == wanted)
        #expect(inode(scene.a, scene.file)?.attributes.modificationTime == wanted)
        scene.world.run(for: .seconds(3))
        #expect(inode(scene.b, scene.file)?.attributes.modificationTime == wanted)
    }

    @Test("At all gateways another size has another change time, which does not go back, whatever crosses on the way")
    func sizeAndChangeTime() {
        for seed in 1...8 {
            let scene = Scene(seed: UInt64(seed))
            var shown: [Timestamp: UInt64] = [:]
            var sizes: Set<UInt64> = []
            var different: [Timestamp] = []
            var backward: [Timestamp] = []
            var latest = Timestamp.zero
            func write(_ door: Door) {
                door.write(scene.file, 0, scene.values(8)) { _ in write(door) }
            }
            func cut(_ step: UInt64) {
                let size = step % 2 == 0 ? 4096 + step * 512 : 512 + step
                let changes = AttributeChanges(size: size)
                let door = step % 5 == 0 ? scene.a : scene.b
                door.begin(.setAttributes(scene.file, changes, guardTime: nil)) { result in
                    if case .success(.result(let result)) = result, let inode = result.inode {
                        saw(inode, since: .zero)
                    }
                    cut(step + 1)
                }
            }
            func saw(_ inode: Inode, since: Timestamp) {
                let (time, size) = (inode.attributes.changeTime, inode.attributes.size)
                sizes.insert(size)
                if shown.updateValue(size, forKey: time).map({ $0 != size }) ?? false { different.append(time) }
                if time < since { backward.append(time) }
                latest = max(latest, time)
            }
            func look(_ door: Door, _ step: Int) {
                let since = latest
                // ACCESS and SETATTR of the mode tell attributes, too.
                let request: FileRequest =
                    switch step % 3 {
                    case 0: .attributes(scene.file)
                    case 1: .access(scene.file, .read)
                    default: .setAttributes(scene.file, AttributeChanges(mode: 0o600), guardTime: nil)
                    }
                door.begin(request) { result in
                    switch result {
                    case .success(.inode(let inode)): saw(inode, since: since)
                    case .success(.access(_, let attributes)):
                        saw(Inode(attributes: attributes, hint: nil), since: since)
                    case .success(.result(let result)): if let inode = result.inode { saw(inode, since: since) }
                    default: break
                    }
                    look(door, step + 1)
                }
            }
            for _ in 0..<3 { write(scene.a) }
            if seed % 2 == 0 { write(scene.b) }
            for step in 0..<3 { look(scene.a, step) }
            for step in 0..<2 { look(scene.b, step) }
            cut(0)
            scene.world.run(for: .milliseconds(150))
            #expect(different.isEmpty, "seed \(seed)")
            #expect(backward.isEmpty, "seed \(seed)")
            #expect(sizes.count > 3, "seed \(seed)")
        }
    }

    @Test("A LOOKUP of a name whose file is written here, and replaced meanwhile, gives the one or the other")
    func lookupWhileReplaced() throws {
        let name = try #require(FileName("image"))
        let new = try #require(FileName("new"))
        for seed in 1...8 {
            let scene = Scene(seed: UInt64(seed))
            var found = 0
            var failures: [FileFailure] = []
            func write() {
                scene.a.write(scene.file, 0, scene.values(8)) { if case .success = $0 { write() } }
            }
            func look() {
                scene.a.begin(.lookup(directory: Scene.root, name: name)) { result in
                    switch result {
                    case .success(.found): found += 1
                    case .success: break
                    case .failure(let failure): failures.append(failure)
                    }
                    look()
                }
            }
            for _ in 0..<2 { write() }
            for _ in 0..<4 { look() }
            scene.world.run(for: .milliseconds(30))
            _ = scene.b.ask(.create(directory: Scene.root, new, .regular(.guarded), AttributeChanges()))
            _ = scene.b.ask(.rename(from: Scene.root, new, to: Scene.root, name))
            scene.world.run(for: .milliseconds(30))
            #expect(failures.isEmpty, "seed \(seed)")
            #expect(found > 10, "seed \(seed)")
        }
    }

    @Test("A write that ends after times were set beside it moves them again, at its own gateway at once")
    func writeBesideSetTimes() {
        let scene = Scene()
        let wanted = Timestamp(nanoseconds: 12_345)
        var isWritten = false
        scene.write(scene.a, 0, scene.values(8))
        let objects = Placement.group(of: ObjectID(file: scene.file, index: 0), groupCount: 8)
        let record = scene.world.records[objects]
        scene.world.records[objects]?.primary = nil
        scene.world.records[objects]?.epoch = Epoch(2)
        scene.a.show()
        scene.a.write(scene.file, 0, scene.values(8)) { _ in isWritten = true }
        _ = scene.a.ask(.setAttributes(scene.file, AttributeChanges(modificationTime: .to(wanted)), guardTime: nil))
        scene.a.write(scene.file, 8 * 512, scene.values(8)) { _ in }
        #expect(inode(scene.a, scene.file)?.attributes.modificationTime == wanted)
        scene.world.records[objects]?.primary = record?.primary
        scene.world.records[objects]?.epoch = Epoch(3)
        scene.a.show()
        scene.world.run(for: .seconds(5)) { isWritten }
        #expect(inode(scene.a, scene.file).map { $0.attributes.modificationTime > wanted } ?? false)
    }

    @Test("Times set through another gateway stay until the next write, which moves them again")
    func setTimesElsewhere() {
        let scene = Scene()
        let wanted = Timestamp(nanoseconds: 12_345)
        scene.write(scene.a, 0, scene.values(8))
        _ = scene.b.ask(.setAttributes(scene.file, AttributeChanges(modificationTime: .to(wanted)), guardTime: nil))
        scene.world.run(for: .seconds(3))
        #expect(inode(scene.a, scene.file)?.attributes.modificationTime == wanted)
        scene.write(scene.a, 0, scene.values(8))
        #expect(inode(scene.b, scene.file).map { $0.attributes.modificationTime > wanted } ?? false)
    }

    @Test("A writer that writes on after another gateway set times is seen by others again within two seconds")
    func setTimesBesideWriter() {
        let scene = Scene()
        let wanted = Timestamp(nanoseconds: 12_345)
        var writes = 0
        func write() {
            scene.a.write(scene.file, 0, scene.values(8)) { _ in
                writes += 1
                write()
            }
        }
        write()
        scene.world.run(for: .milliseconds(100))
        _ = scene.b.ask(.setAttributes(scene.file, AttributeChanges(modificationTime: .to(wanted)), guardTime: nil))
        scene.world.run(for: .seconds(2))
        let before = writes
        #expect(inode(scene.b, scene.file).map { $0.attributes.modificationTime > wanted } ?? false)
        scene.world.run(for: .milliseconds(100))
        #expect(writes > before)
    }

    @Test("Permission of data follows the hint: others may not write, the owner may whatever the mode says")
    func permission() {
        let scene = Scene()
        let stranger = Credentials(uid: 5, gid: 5)
        var result: Result<FileAnswer, FileFailure>?
        let id = scene.a.newID()
        scene.a.payloads[id] = scene.values(1)
        let handle = PayloadHandle(id: id, length: 512)
        scene.a.begin(.write(scene.file, offset: 0, handle, zeros: [], .unstable), as: stranger, id: id) { result = $0 }
        scene.world.run(for: .seconds(5)) { result != nil }
        #expect(result == .failure(.namespace(.accessDenied)))
        #expect(scene.writes.isEmpty)
        scene.world.namespace.files[scene.file.inode]?.attributes.mode = 0
        scene.world.run(for: .seconds(2))
        let owner = Credentials(uid: 1000, gid: 1000)
        #expect(scene.a.ask(.read(scene.file, offset: 0, count: 0), as: owner) == .success(.read([], .reached)))
        #expect(
            scene.a.ask(.read(scene.file, offset: 0, count: 0), as: stranger)
                == .failure(.namespace(.accessDenied)))
    }

    @Test("A write by another than the superuser registers in his name, so that setuid and setgid end")
    func privileges() {
        let scene = Scene()
        let stranger = Credentials(uid: 5, gid: 5)
        func registrations() -> [Credentials] {
            scene.a.entries.compactMap { if case .registerWriter = $0.operation { $0.credentials } else { nil } }
        }
        func write(as caller: Credentials) {
            var isDone = false
            let id = scene.a.newID()
            scene.a.payloads[id] = scene.values(1)
            scene.a.begin(
                .write(scene.file, offset: 0, PayloadHandle(id: id, length: 512), zeros: [], .unstable), as: caller,
                id: id
            ) { _ in isDone = true }
            scene.world.run(for: .seconds(5)) { isDone }
        }
        for (mode, ends) in [(UInt16(0o4777), true), (0o2777, true), (0o2767, false), (0o1777, false)] {
            write(as: .superuser)
            scene.a.entries = []
            _ = scene.a.ask(.setAttributes(scene.file, AttributeChanges(mode: mode), guardTime: nil))
            write(as: .superuser)
            #expect(registrations().isEmpty, "\(mode): root is registered and leaves the mode")
            write(as: stranger)
            #expect(registrations() == (ends ? [stranger] : []), "\(mode)")
            #expect(scene.world.namespace.files[scene.file.inode]?.writers.count == 1)
            _ = scene.a.ask(.setAttributes(scene.file, AttributeChanges(mode: 0o777), guardTime: nil))
            scene.world.run(for: .seconds(3))
        }
    }

    @Test("A READ touches the access time once, by relatime's rule, and is not delayed by it")
    func accessTime() {
        let scene = Scene()
        scene.write(scene.a, 0, scene.values(64))
        scene.world.run(for: .seconds(3))
        scene.a.log = []
        for _ in 0..<10 { _ = scene.read(scene.a, 0, 8) }
        scene.world.run(for: .seconds(1))
        #expect(scene.mutations.count == 1)
        scene.world.run(for: .seconds(3))
        scene.a.log = []
        _ = scene.read(scene.a, 0, 8)
        #expect(scene.mutations.isEmpty)
    }

    @Test("A large READ beside an in-sync replica asks the primary for the version only, after a cut elsewhere, too")
    func localReads() {
        let scene = Scene()
        let values = scene.values(512)
        scene.write(scene.a, 0, values)
        for pg in scene.world.groups.keys where !pg.isMetadata {
            scene.world.records[pg]?.primary = NodeID(3)
            scene.world.records[pg]?.epoch = Epoch(2)
        }
        for door in scene.world.gateways { door.show() }
        scene.a.log = []
        #expect(scene.read(scene.a, 0, 256) == Array(values.prefix(256)))
        #expect(scene.bodies { if case .readVersion = $0 { true } else { false } }.count == 2)
        // Cut through the other gateway: the own replica is told of the cut.
        _ = scene.b.ask(.setAttributes(scene.file, AttributeChanges(size: 0), guardTime: nil))
        scene.write(scene.b, 0, values)
        scene.world.run(for: .seconds(2))
        scene.a.log = []
        #expect(scene.read(scene.a, 0, 256) == Array(values.prefix(256)))
        #expect(scene.bodies { if case .readVersion = $0 { true } else { false } }.count == 2)
    }

    @Test("A junction leads into its fileset and back, and names do not cross it")
    func junctions() {
        let scene = Scene()
        let inner = FilesetID(2)
        guard let name = FileName("vms") else { return }
        scene.world.map.filesets.append(
            Fileset(
                id: inner, name: "vms", layout: .standard, state: .live,
                junction: Junction(directory: Scene.root, name: name.bytes)))
        scene.world.map.version = scene.world.map.version.next
        let pg = PGID.metadata(inner)
        scene.world.groups[pg] = FakeGroup(pg: pg)
        scene.world.groups[pg]?.namespace = FakeNamespace(fileset: inner, layout: .standard)
        if var record = scene.world.records[.metadata(World.fileset)] {
            record.pg = pg
            scene.world.records[pg] = record
        }
        scene.a.show()
        let root = FileID(fileset: inner, inode: .root)
        guard
            case .success(.found(let found, directory: let directory)) = scene.a.ask(
                .lookup(directory: Scene.root, name: name))
        else {
            Issue.record("the junction was not found")
            return
        }
        #expect(found.attributes.file == root)
        #expect(directory.file == Scene.root)
        guard case .success(.found(let outer, directory: _)) = scene.a.ask(.parent(directory: root)) else {
            Issue.record("the way back was not found")
            return
        }
        #expect(outer.attributes.file == Scene.root)
        // A listing does not give away the folder that the fileset covers: a client would write into it.
        scene.world.groups[.metadata(World.fileset)]?.namespace?.names[name] = .root
        guard
            case .success(.entries(let entries, directory: _, _)) = scene.a.ask(
                .list(directory: Scene.root, cookie: 0, limit: 10, .namesAndInodes))
        else {
            Issue.record("the directory was not listed")
            return
        }
        #expect(entries.contains { $0.name == name && $0.details == nil })
        #expect(entries.contains { $0.name != name && $0.details != nil })
        guard let file = FileName("image") else { return }
        #expect(
            scene.a.ask(.rename(from: Scene.root, file, to: root, file))
                == .success(.result(NamespaceResult(failure: .crossDevice))))
        #expect(
            scene.a.ask(.link(scene.file, directory: root, file))
                == .success(.result(NamespaceResult(failure: .crossDevice))))
        #expect(
            scene.a.ask(.removeDirectory(directory: Scene.root, name))
                == .success(.result(NamespaceResult(failure: .notEmpty))))
        #expect(scene.a.ask(.attributes(FileID(fileset: FilesetID(9), inode: .root))) == .failure(.namespace(.stale)))
    }
}
