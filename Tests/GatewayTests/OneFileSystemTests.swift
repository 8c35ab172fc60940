import ClusterModel
import Foundation
import Gateway
import Testing
import Wire

/// Two gateways over one cluster that loses, delays, repeats and refuses: nobody reads what one file system would not give.
struct OneFileSystemTests {
    static var seeds: Int { ProcessInfo.processInfo.environment["STAVE_SEEDS"].flatMap { Int($0) } ?? 40 }
    /// The one seed to repeat, if a failing one is given.
    static var only: Int? { ProcessInfo.processInfo.environment["STAVE_SEED"].flatMap { Int($0) } }
    static var range: [Int] { only.map { [$0] } ?? Array(1...seeds) }

    @Test("Two gateways under faults show one file system, answer everything once, and leave nothing behind")
    func oneFileSystem() {
        for seed in OneFileSystemTests.range {
            let story = Story(seed: UInt64(seed))
            if let failure = story.run() {
                Issue.record("\(failure). Repeat: STAVE_SEED=\(seed) swift test --filter OneFileSystemTests")
                return
            }
        }
    }
}

/// One run of random operations.
final class Story {
    let world: World
    var history = History()
    var files: [FileID] = []
    var names: [FileID: FileName] = [:]
    var busy = 0
    var failures: [String] = []
    var writeID: UInt64 = 0
    var serial = 0
    /// Operations may have been cut off since a session ended, or clients went: whether they were executed is unknown for ever.
    var wasCut = false
    /// Operations that may be removed files: their failures are expected.
    var removed: Set<FileID> = []

    init(seed: UInt64) { world = World(seed: seed) }

    var root: FileID { FileID(fileset: World.fileset, inode: .root) }
    func door() -> Door { world.gateways[world.random.below(world.gateways.count)] }

    func run() -> String? {
        for _ in 0..<3 { create() }
        world.run(for: .seconds(20)) { busy == 0 }
        world.faults = .many
        for step in 0..<160 {
            world.run(for: .seconds(30)) { busy < 6 }
            act(step)
            world.run(for: .milliseconds(UInt64(world.random.below(30))))
        }
        world.faults = .none
        world.run(for: .seconds(1))
        // A node with a gateway looks after what dead sessions left.
        let metadata = PGID.metadata(World.fileset)
        if var record = world.records[metadata] {
            record.primary = NodeID(1)
            record.epoch = record.epoch.next
            world.records[metadata] = record
        }
        for door in world.gateways { door.show() }
        if !world.run(for: .seconds(60), until: { busy == 0 }) {
            return "\(busy) operations hang: \(world.gateways.map { $0.machine.waits() })"
        }
        // Hints, registrations, removals and polls run out.
        world.run(for: .seconds(30))
        for file in files where !removed.contains(file) { for door in world.gateways { look(door, file, 0, 1200) } }
        world.run(for: .seconds(20)) { busy == 0 && world.gateways.allSatisfy { $0.machine.waits().isEmpty } }
        return verdict()
    }

    private func verdict() -> String? {
        if let failure = failures.first { return failure }
        if let text = history.contradiction() { return text }
        for door in world.gateways {
            if let violation = door.violations.first { return violation }
            if door.machine.operationCount != 0 || !door.waiting.isEmpty { return "operations were not answered" }
            if !door.data.isEmpty { return "\(door.data.count) buffers were kept for nobody" }
            if !door.machine.waits().isEmpty { return "requests are left: \(door.machine.waits())" }
        }
        if !world.namespace.deletions.isEmpty { return "range deletions are left: \(world.namespace.deletions)" }
        for (inode, file) in world.namespace.files where !file.writers.isEmpty { return "\(inode) has writers left" }
        for inode in world.namespace.files.keys.sorted() {
            guard let file = world.namespace.files[inode], file.attributes.kind == .regular else { continue }
            let id = FileID(fileset: World.fileset, inode: inode)
            let allocated = world.groups.values.reduce(0) { $0 + $1.allocated(id) }
            if file.isPending || file.used != allocated {
                return "\(inode) uses \(allocated) bytes and shows \(file.used), pending: \(file.isPending)"
            }
        }
        for (pg, group) in world.groups {
            for (object, content) in group.objects
            where world.namespace.files[object.file.inode] == nil && content.units.contains(where: { $0 != nil }) {
                return "\(pg) holds content of the removed \(object)"
            }
        }
        return nil
    }

    private func act(_ step: Int) {
        let door = door()
        guard let file = files.isEmpty ? nil : files[world.random.below(files.count)] else { return create() }
        switch world.random.below(100) {
        case 0..<32: write(door, file)
        case 32..<62:
            look(door, file, UInt64(world.random.below(900)), 1 + world.random.below(300))
        case 62..<70: truncate(door, file)
        case 70..<76: commit(door, file)
        case 76..<84: attributes(door, file)
        case 84..<88: create()
        case 88..<91: remove(door, file)
        case 91..<94: rename(door, file)
        case 94 where step % 2 == 0:
            wasCut = true
            world.endSession(door)
        case 95: leave(door)
        default: world.failOver(world.map.placementGroups[world.random.below(world.map.placementGroups.count)])
        }
    }

    /// The clients of some operations go.
    private func leave(_ door: Door) {
        wasCut = true
        let gone = door.waiting.keys.sorted().filter { _ in world.random.below(2) == 0 }
        door.abandon(gone)
        // Some come back, at once or after a while.
        for back in gone where world.random.below(3) == 0 {
            let away = world.random.below(3) == 0 ? 0 : UInt64(world.random.below(9_000)) * 1_000_000
            world.after(away) { door.want(back) }
        }
    }

    private func finished(_ file: FileID, _ result: Result<FileAnswer, FileFailure>, _ what: String) -> Bool {
        busy -= 1
        if case .failure(let failure) = result {
            if removed.contains(file), failure == .namespace(.stale) { return false }
            if failure == .unavailable, wasCut { return false }
            failures.append("\(what) of \(file) failed: \(failure)")
            return false
        }
        return true
    }

    private func wasCutOff(_ result: Result<FileAnswer, FileFailure>) -> Bool {
        if case .failure(.unavailable) = result { wasCut } else { false }
    }

    private func create() {
        serial += 1
        guard let name = FileName("f\(serial)") else { return }
        busy += 1
        door().begin(.create(directory: root, name, .regular(.guarded), AttributeChanges())) { [self] result in
            busy -= 1
            if wasCutOff(result) { return }
            guard case .success(.result(let created)) = result, let inode = created.inode else {
                return failures.append("a create was executed twice or failed: \(result)")
            }
            files.append(inode.attributes.file)
            names[inode.attributes.file] = name
        }
    }

    private func remove(_ door: Door, _ file: FileID) {
        guard files.count > 2, let name = names[file] else { return }
        files.removeAll { $0 == file }
        names[file] = nil
        removed.insert(file)
        busy += 1
        door.begin(.remove(directory: root, name)) { [self] result in
            busy -= 1
            if wasCutOff(result) { return }
            guard case .success(.result(let answer)) = result, answer.failure == nil else {
                return failures.append("a removal was executed twice or failed: \(result)")
            }
        }
    }

    private func rename(_ door: Door, _ file: FileID) {
        serial += 1
        guard let name = names[file], let new = FileName("r\(serial)") else { return }
        names[file] = new
        busy += 1
        // Nothing else names this file meanwhile: its name is taken out until the answer.
        files.removeAll { $0 == file }
        door.begin(.rename(from: root, name, to: root, new)) { [self] result in
            busy -= 1
            // Nobody knows its name now.
            if wasCutOff(result) { return }
            files.append(file)
            guard case .success(.result(let answer)) = result, answer.failure == nil else {
                return failures.append("a rename was executed twice or failed: \(result)")
            }
        }
    }

    private func write(_ door: Door, _ file: FileID) {
        let unit = UInt64(FakeGroup.unit)
        var first = UInt64(world.random.below(1000))
        let count = 1 + world.random.below(300)
        let isZero = world.random.below(8) == 0
        if isZero { first = first / 128 * 128 }
        busy += 1
        let length = isZero ? 128 : count
        writeID += 1
        let id = isZero ? 0 : writeID
        let units = first..<first + UInt64(length)
        let index = history.began(file, History.Change(id: id, units: units, start: world.now, end: .max))
        let values = (0..<length).map { isZero ? 0 : id * History.indexes + UInt64($0) }
        let zeros = isZero ? [ZeroRun(offset: 0, length: 64 << 10)] : []
        door.write(file, first * unit, values, world.random.below(3) == 0 ? .stable : .unstable, zeros: zeros) {
            [self] result in
            if finished(file, result, "a write") { history.ended(file, index, world.now) }
        }
    }

    private func look(_ door: Door, _ file: FileID, _ first: UInt64, _ count: Int) {
        busy += 1
        let start = world.now
        let unit = UInt64(FakeGroup.unit)
        door.begin(.read(file, offset: first * unit, count: count * FakeGroup.unit)) { [self] result in
            guard finished(file, result, "a read"), case .success(.read(let pieces, let end)) = result else { return }
            let values = door.values(pieces)
            if end == .notReached, values.count != count { failures.append("a short read before the end") }
            history.saw(
                file,
                History.Look(
                    start: start, end: world.now, first: first, values: values,
                    endsAt: end == .reached ? (values.count < count ? first + UInt64(values.count) : nil) : nil,
                    size: end == .reached && !values.isEmpty ? first + UInt64(values.count) : nil))
        }
    }

    private func truncate(_ door: Door, _ file: FileID) {
        busy += 1
        let to = UInt64(world.random.below(3) == 0 ? 0 : world.random.below(1000))
        let cut = History.Change(id: 0, units: to..<100_000, start: world.now, end: .max, isCut: true)
        let index = history.began(file, cut)
        let changes = AttributeChanges(size: to * UInt64(FakeGroup.unit))
        door.begin(.setAttributes(file, changes, guardTime: nil)) { [self] result in
            busy -= 1
            if wasCutOff(result) { return }
            guard case .success(.result(let answer)) = result else {
                return failures.append("a truncation failed: \(result)")
            }
            if answer.failure == nil { history.ended(file, index, world.now) }
        }
    }

    private func commit(_ door: Door, _ file: FileID) {
        busy += 1
        door.begin(.commit(file, offset: 0, count: 0)) { [self] result in _ = finished(file, result, "a commit") }
    }

    private func attributes(_ door: Door, _ file: FileID) {
        busy += 1
        let start = world.now
        door.begin(.attributes(file)) { [self] result in
            guard finished(file, result, "a question"), case .success(.inode(let inode)) = result else { return }
            let size = inode.attributes.size / UInt64(FakeGroup.unit)
            history.saw(
                file, History.Look(start: start, end: world.now, first: size, values: [], endsAt: size, size: size))
        }
    }
}
