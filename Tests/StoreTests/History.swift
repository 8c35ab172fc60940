import ClusterModel
import Simulation
import Store
import Testing

/// A block's bytes, different for every (seed, block).
func pattern(_ seed: UInt32, _ block: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: seed), count: 4096)
    for i in 0..<4 { bytes[i * 1024] = UInt8(truncatingIfNeeded: seed >> UInt32(8 * i)) }
    bytes[1] = UInt8(truncatingIfNeeded: block)
    bytes[2] = UInt8(truncatingIfNeeded: block >> 8)
    return bytes
}

func makeWrite(
    _ object: ObjectID, _ blocks: BlockRange, seed: UInt32, truncation: TruncationMark = .none
) -> (BlockWrite, [UInt8]) {
    var payload: [UInt8] = []
    payload.reserveCapacity(blocks.byteCount)
    var sums: [UInt32] = []
    for b in blocks.first..<blocks.end {
        let bytes = pattern(seed, b)
        sums.append(bytes.withUnsafeBytes { fastChecksum.block(object, block: b, bytes: $0) })
        payload += bytes
    }
    return (BlockWrite(object: object, blocks: blocks, checksums: sums, truncation: truncation), payload)
}

/// What the store should do, in the plainest way: the list of a group's operations is run through for every question.
struct ModelGroup {
    struct Op {
        enum Kind {
            case write(ObjectID, BlockRange, UInt32)
            case zero(ObjectID, BlockRange)
            case cut(FileCut, edge: (ObjectID, Int, UInt32)?)
            case opaque(UInt32)
            case empty
        }
        var name: EntryName
        var kind: Kind
        var isVoid = false

        var isLarge: Bool {
            guard case .write(_, let blocks, _) = kind else { return false }
            return ((blocks.first + 15) / 16 + 1) * 16 <= blocks.end
        }
    }
    enum Event {
        case append(Op)
        case cut(after: EntryName)
        case state([UInt8])
    }
    let pg: PGID
    var events: [Event] = []
    var ops: [Op] = []
    var decided = EntryName.zero
    var state: [UInt8] = []
    /// Index in `events` + 1 of the last one known to be durable.
    var durableEvents = 0
    var next: UInt64 = 1
    /// Files and their last truncation.
    var files: [FileID] = []
    var marks: [FileID: TruncationMark] = [:]
    var namespaceDurable = EntryName.zero

    enum Block: Equatable {
        case zero
        case seed(UInt32)
    }

    /// Content of everything through `name`.
    func content(through name: EntryName) -> [ObjectID: [Int: Block]] {
        var all: [ObjectID: [Int: Block]] = [:]
        for op in ops where op.name <= name && !op.isVoid {
            switch op.kind {
            case .write(let object, let blocks, let seed):
                for b in blocks.first..<blocks.end { all[object, default: [:]][b] = .seed(seed) }
            case .zero(let object, let blocks):
                for b in blocks.first..<blocks.end { all[object, default: [:]][b] = .zero }
            case .cut(let cut, let edge):
                for (object, blocks) in all where object.file == cut.file {
                    let first = cut.firstCutBlock(index: object.index)
                    for (b, value) in blocks where b >= first {
                        if cut.kind == .removal {
                            all[object]?[b] = nil
                        } else if value != .zero {
                            all[object]?[b] = .zero
                        }
                    }
                }
                if let (object, block, seed) = edge { all[object, default: [:]][block] = .seed(seed) }
            case .opaque, .empty: break
            }
        }
        return all
    }

    mutating func append(_ op: Op) {
        events.append(.append(op))
        ops.append(op)
    }
    mutating func cut(after name: EntryName) {
        events.append(.cut(after: name))
        ops.removeAll { $0.name > name }
    }

    /// The list and state after the first `count` events, on top of what was there before them.
    func survived(_ count: Int, base: [Op], state: [UInt8]) -> (ops: [Op], state: [UInt8]) {
        var list = base
        var last = state
        for event in events[0..<count] {
            switch event {
            case .append(let op): list.append(op)
            case .cut(let name): list.removeAll { $0.name > name }
            case .state(let s): last = s
            }
        }
        return (list, last)
    }
}

enum Crash { case kill, power, close }

/// A random life of a disk, checked against the model at every reopening.
final class History {
    static let small = StoreConfiguration(
        segmentSize: 1 << 20, maximumSegments: 8, checkpointLogBytes: 1_500_000, dirtyRowBytes: 40_000,
        rowCacheBytes: 30_000, overlayBytes: 8_000, pendingSlots: 60, growthSlots: 64, copyBatchBytes: 32_768,
        rowsPerTransaction: 3, backgroundSyncBytes: 200_000, backgroundSyncDelay: .milliseconds(100),
        idleCheckpointDelay: .seconds(1), checkpointInterval: .seconds(60))

    let seed: UInt64
    let disk = FakeDisk()
    var random: SplitMix64
    var boot: UInt64 = 1
    var epoch: UInt64 = 1
    var host: StoreHost
    var groups: [ModelGroup] = [
        ModelGroup(pg: .data(3)), ModelGroup(pg: .data(5)), ModelGroup(pg: .metadata(FilesetID(1))),
    ]
    /// What each group began this life with.
    var base: [([ModelGroup.Op], [UInt8])] = [([], []), ([], []), ([], [])]
    var tokens: [(group: Int, token: StoreToken, event: Int)] = []
    var nextSeed: UInt32 = 1
    var nextInode: UInt64 = 10
    var voidsSeen = 0
    var stop = Int.max
    /// Whether blocks go bad.
    var rots = false
    var rotten: [RottenBlock] = []
    var rotsSeen = 0
    var repairsMade = 0
    /// How far the log was stable when this life looked, ascending.
    var stableMarks: [LogPosition] = []

    init(seed: UInt64, configuration: StoreConfiguration = History.small) {
        self.seed = seed
        random = SplitMix64(seed: seed)
        host = StoreHost(disk, configuration, boot: 1, seed: seed ^ 0xABCD)
        host.start()
        #expect(host.isReady, "seed \(seed)")
        for g in 0..<2 { for _ in 0..<2 { newFile(g) } }
    }

    private func newFile(_ g: Int) {
        let file = FileID(fileset: FilesetID(UInt32(1 + g)), inode: InodeNumber(nextInode))
        nextInode += 1
        groups[g].files.append(file)
    }

    private func name(_ g: Int) -> EntryName {
        let n = groups[g].next
        groups[g].next += 1
        return EntryName(epoch: Epoch(epoch), n: n)
    }

    private func seedValue() -> UInt32 {
        nextSeed += 1
        return nextSeed
    }

    private func entry(_ name: EntryName, _ body: EntryBody, payload: [UInt8]?) -> Entry {
        Entry(
            name: name, body: body, session: SessionID(4), request: RequestNumber(name.n),
            durability: random.below(3) == 0 ? .stable : .unstable, lossNumber: .zero, time: .zero,
            payload: payload.map { host.payload($0) })
    }

    private var reachedStop: Bool { host.steps >= stop }

    private func settleALittle() {
        var n = random.below(5)
        while n > 0, !reachedStop, host.step() { n -= 1 }
        if random.below(4) == 0 { disk.writeBack(&random) }
    }

    func randomObject(_ g: Int) -> ObjectID {
        let file = groups[g].files[random.below(groups[g].files.count)]
        return ObjectID(file: file, index: UInt64(random.below(3)))
    }

    /// One random call, then a few effects.
    func act() {
        if rots, random.below(8) == 0 {
            rotOrRepair()
            return settleALittle()
        }
        let g = random.below(2)
        switch random.below(100) {
        case 0..<36:
            let first = random.below(4) == 0 ? 250 + random.below(12) : random.below(60)
            write(g, randomObject(g), BlockRange(first: first, count: 1 + random.below(4)))
        case 36..<50:
            let first = random.below(2) == 0 ? 16 * random.below(3) : random.below(40)
            write(g, randomObject(g), BlockRange(first: first, count: 16 + random.below(48)))
        case 50..<57:
            let object = randomObject(g)
            let blocks = BlockRange(first: random.below(60), count: 1 + random.below(40))
            let name = name(g)
            let zero = BlockZero(object: object, blocks: blocks, truncation: groups[g].marks[object.file] ?? .none)
            groups[g].append(ModelGroup.Op(name: name, kind: .zero(object, blocks)))
            let entry = entry(name, .zero(zero), payload: nil)
            host.call { $0.append(groups[g].pg, entry) }
        case 57..<61: truncate(g)
        case 61..<62: remove(g)
        case 62..<74:
            if let through = host.appended[groups[g].pg], through > groups[g].decided, through.epoch == Epoch(epoch) {
                // Up to what is in the log.
                let list = groups[g].ops.filter { $0.name > groups[g].decided && $0.name <= through }
                if let last = list.randomElement(using: &random) {
                    groups[g].decided = last.name
                    host.call { $0.decide(groups[g].pg, through: last.name) }
                }
            }
        case 74..<77:
            let state = [UInt8](repeating: UInt8(random.below(256)), count: 1 + random.below(300))
            groups[g].events.append(.state(state))
            groups[g].state = state
            let token = host.token()
            tokens.append((g, token, groups[g].events.count))
            host.call { $0.writeState(groups[g].pg, state, token: token) }
        case 77..<79: cut(g)
        case 79..<85:
            let last = groups[g].ops.last?.name ?? .zero
            host.call { $0.requestStable(groups[g].pg, through: last) }
        case 85..<87:
            host.store.requestCheckpoint()
            host.collect()
        case 87..<90: host.tick(milliseconds: UInt64(random.below(700)))
        case 90..<95: namespace()
        default: check(g, "while running")
        }
        settleALittle()
    }

    func write(_ g: Int, _ object: ObjectID, _ blocks: BlockRange) {
        let value = seedValue()
        let name = name(g)
        let (write, payload) = makeWrite(object, blocks, seed: value, truncation: groups[g].marks[object.file] ?? .none)
        groups[g].append(ModelGroup.Op(name: name, kind: .write(object, blocks, value)))
        let entry = entry(name, .write(write), payload: payload)
        host.call { $0.append(groups[g].pg, entry) }
    }

    private func truncate(_ g: Int) {
        let file = groups[g].files[random.below(groups[g].files.count)]
        let size = UInt64(random.below(900_000))
        let old = groups[g].marks[file] ?? .none
        let mark = TruncationMark(number: old.number.next, size: size)
        let name = name(g)
        let cut = FileCut(file: file, truncation: mark, layout: .standard, kind: .truncation, version: name)
        var edge: (ObjectID, Int, UInt32)?
        var write: BlockWrite?
        var payload: [UInt8]?
        let (index, offset) = Layout.standard.locate(size)
        let object = ObjectID(file: file, index: index)
        if size % 4096 != 0, case .seed? = groups[g].content(through: name)[object]?[offset / 4096] {
            let value = seedValue()
            edge = (object, offset / 4096, value)
            let made = makeWrite(object, BlockRange(first: offset / 4096, count: 1), seed: value, truncation: mark)
            write = made.0
            payload = made.1
        }
        groups[g].marks[file] = mark
        groups[g].append(ModelGroup.Op(name: name, kind: .cut(cut, edge: edge)))
        let deletion = RangeDeletion(file: file, truncation: mark, layout: .standard, kind: .truncation, edge: write)
        let entry = entry(name, .deleteRange(deletion), payload: payload)
        host.call { $0.append(groups[g].pg, entry) }
    }

    private func remove(_ g: Int) {
        let i = random.below(groups[g].files.count)
        let file = groups[g].files.remove(at: i)
        newFile(g)
        let old = groups[g].marks[file] ?? .none
        let mark = TruncationMark(number: old.number.next, size: 0)
        let name = name(g)
        let cut = FileCut(file: file, truncation: mark, layout: .standard, kind: .removal, version: name)
        groups[g].append(ModelGroup.Op(name: name, kind: .cut(cut, edge: nil)))
        let deletion = RangeDeletion(file: file, truncation: mark, layout: .standard, kind: .removal, edge: nil)
        let entry = entry(name, .deleteRange(deletion), payload: nil)
        host.call { $0.append(groups[g].pg, entry) }
    }

    private func cut(_ g: Int) {
        let list = groups[g].ops.filter { $0.name >= groups[g].decided }
        guard let keep = list.randomElement(using: &random) else { return }
        // A cut deletion takes its truncation number along: the files of cut ones are left alone afterwards.
        for op in groups[g].ops where op.name > keep.name {
            if case .cut(let cut, _) = op.kind {
                groups[g].files.removeAll { $0 == cut.file }
            }
        }
        while groups[g].files.count < 2 { newFile(g) }
        groups[g].cut(after: keep.name)
        epoch += 1
        let token = host.token()
        tokens.append((g, token, groups[g].events.count))
        host.call { $0.cut(groups[g].pg, after: keep.name, token: token) }
    }

    private func namespace() {
        let g = 2
        switch random.below(4) {
        case 0, 1:
            let value = seedValue()
            let name = name(g)
            let bytes = Array(pattern(value, 0)[0..<(40 + random.below(400))])
            groups[g].append(ModelGroup.Op(name: name, kind: .opaque(value)))
            let entry = entry(name, .namespace, payload: bytes)
            host.call { $0.append(groups[g].pg, entry, checksum: fastChecksum.checksum(bytes)) }
        case 2:
            if let through = host.appended[groups[g].pg], through > groups[g].decided {
                groups[g].decided = through
                host.call { $0.decide(groups[g].pg, through: through) }
            }
        default:
            if groups[g].decided > groups[g].namespaceDurable {
                groups[g].namespaceDurable = groups[g].decided
                host.call { $0.namespaceDurable(groups[g].pg, through: groups[g].decided) }
            }
        }
    }

    // MARK: Checks

    /// Every block that was ever touched reads as the model has it.
    func check(_ g: Int, _ when: String) {
        repairAll(when)
        let pg = groups[g].pg
        let applied = host.store.appliedThrough(pg)
        let expected = groups[g].content(through: applied)
        for file in groups[g].files {
            for index in 0..<UInt64(3) {
                let object = ObjectID(file: file, index: index)
                let want = expected[object] ?? [:]
                for blocks in [BlockRange(first: 0, count: 104), BlockRange(first: 248, count: 20)] {
                    do {
                        let got = try host.read(pg, object, blocks)
                        // Read again with what was applied meanwhile.
                        guard host.store.appliedThrough(pg) == applied else { return }
                        for (i, bytes) in got.enumerated() {
                            let b = blocks.first + i
                            let same: Bool
                            switch want[b] {
                            case nil: same = bytes == nil
                            case .zero?: same = bytes == [UInt8](repeating: 0, count: 4096)
                            case .seed(let s)?: same = bytes == pattern(s, b)
                            }
                            if !same {
                                Issue.record(
                                    "seed \(seed): \(when): \(pg) \(object) block \(b) is not as of \(applied): wanted \(String(describing: want[b])), got \(bytes.map { "\($0[0..<4])" } ?? "absent")"
                                )
                                return
                            }
                        }
                    } catch {
                        Issue.record("seed \(seed): \(when): \(pg) \(object): \(error)")
                        return
                    }
                }
            }
        }
    }

    /// Usage is exact, and no slot is lost or given twice.
    func checkSpace(_ when: String) {
        var slots: Int64 = 0
        for g in 0..<2 {
            let content = groups[g].content(through: host.store.appliedThrough(groups[g].pg))
            var blocks: Int64 = 0
            var byFile: [FileID: Int64] = [:]
            for (object, map) in content {
                for (_, v) in map {
                    if case .seed = v {
                        blocks += 1
                        byFile[object.file, default: 0] += 1
                    }
                }
            }
            for file in groups[g].files {
                let usage = host.usage(groups[g].pg, of: file)
                #expect(
                    usage == FileUsage(blocks: byFile[file] ?? 0, standing: .settled),
                    "seed \(seed): \(when): \(file) in \(groups[g].pg)")
            }
            let usage = host.store.usage(groups[g].pg)
            let used = usage.reduce(0) { $0 + $1.usage.blocks }
            #expect(used == blocks, "seed \(seed): \(when): blocks of \(groups[g].pg)")
            slots += usage.reduce(0) { $0 + $1.usage.slots }
        }
        #expect(host.store.pendingSlotCount == 0, "seed \(seed): \(when): pending slots")
        #expect(host.store.takenSlots == Int(slots), "seed \(seed): \(when): slots taken and used")
    }

    // MARK: Crashes

    func crash(_ kind: Crash, _ configuration: StoreConfiguration = History.small) {
        switch kind {
        case .kill: break
        case .power:
            disk.losePower(&random)
            boot += 1
        case .close:
            host.run()
            host.call { $0.close() }
            host.run()
            #expect(host.isClosed, "seed \(seed): closes")
            disk.losePower(&random)
            boot += 1
        }
        for (g, token, event) in tokens where host.durable.contains(token) {
            groups[g].durableEvents = max(groups[g].durableEvents, event)
        }
        tokens = []
        stableMarks = []
        let before = host
        host = StoreHost(disk, configuration, boot: boot, seed: random.next())
        host.run()
        guard let report = host.report else {
            Issue.record("seed \(seed): no report: \(host.failure?.description ?? "")")
            return
        }
        #expect((report.closing == .clean) == (kind == .close), "seed \(seed)")
        for g in groups.indices { reconcile(g, report, kind, before) }
        host.start()
        #expect(host.isReady, "seed \(seed): ready")
        for g in 0..<2 { check(g, "after \(kind)") }
        for g in groups.indices {
            let last = groups[g].ops.last?.name ?? .zero
            groups[g].decided = last
            host.call { $0.decide(groups[g].pg, through: last) }
            host.appended[groups[g].pg] = last
        }
        for g in 0..<2 { check(g, "decided after \(kind)") }
        epoch += 1
    }

    private func reconcile(_ g: Int, _ report: RecoveryReport, _ kind: Crash, _ before: StoreHost) {
        let pg = groups[g].pg
        let found = report.groups.first { $0.pg == pg }
        let end = found?.logEnd ?? .zero
        var least = groups[g].durableEvents
        let known = (kind == .power ? before.stable[pg] : before.appended[pg]) ?? .zero
        for (i, event) in groups[g].events.enumerated() {
            if case .append(let op) = event, op.name <= known || kind == .close { least = max(least, i + 1) }
            if kind == .close { least = max(least, i + 1) }
        }
        var match: (ops: [ModelGroup.Op], state: [UInt8])?
        for count in least...max(least, groups[g].events.count) {
            let candidate = groups[g].survived(count, base: base[g].0, state: base[g].1)
            if (candidate.ops.last?.name ?? .zero) == end, candidate.state == (found?.state ?? []) { match = candidate }
        }
        guard var match else {
            Issue.record(
                "seed \(seed): \(pg) after \(kind) ends at \(end), which is no prefix of what was logged from event \(least) of \(groups[g].events.count) on"
            )
            return
        }
        #expect(found?.health != .corrupt, "seed \(seed): \(pg) is whole")
        let voids = found?.voids ?? []
        voidsSeen += voids.count
        for v in voids {
            guard let i = match.ops.firstIndex(where: { $0.name == v.name }) else { continue }
            if !match.ops[i].isVoid {
                #expect(kind == .power && match.ops[i].isLarge, "seed \(seed): \(v.name) is void")
                #expect(v.name > (before.stable[pg] ?? .zero), "seed \(seed): \(v.name) was stable and is void")
            }
            match.ops[i].isVoid = true
        }
        if let found {
            let undecided = match.ops.filter { $0.name > found.decidedThrough }.map(\.name)
            #expect(found.undecided.map(\.name) == undecided, "seed \(seed): undecided of \(pg)")
            if kind == .close {
                #expect(found.decidedThrough >= groups[g].decided || groups[g].decided > end, "seed \(seed)")
            }
            if pg.isMetadata {
                let names = found.reapply.map(\.name)
                let must = match.ops.filter { $0.name > groups[g].namespaceDurable && $0.name <= found.decidedThrough }
                for op in must {
                    #expect(names.contains(op.name), "seed \(seed): \(op.name) is there to be applied again")
                }
            }
        }
        groups[g].ops = match.ops
        groups[g].state = match.state
        groups[g].events = []
        groups[g].durableEvents = 0
        groups[g].next = max(groups[g].next, (match.ops.last?.name.n ?? 0) + 1)
        base[g] = (match.ops, match.state)
        // Truncations that did not survive are not known to anybody.
        var marks: [FileID: TruncationMark] = [:]
        var removed: Set<FileID> = []
        for op in match.ops {
            if case .cut(let cut, _) = op.kind {
                marks[cut.file] = cut.truncation
                if cut.kind == .removal { removed.insert(cut.file) }
            }
        }
        groups[g].marks = marks
        groups[g].files.removeAll { removed.contains($0) }
        while groups[g].files.count < 2, g < 2 { newFile(g) }
    }
}
