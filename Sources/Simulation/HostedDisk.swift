import ClusterModel
import Replication
import Store
import Wire

/// One disk of a process: the store machine on fake files and the threads that execute its effects, as `DiskHost` and
/// `DiskExecutor` do in production, in the same order. Dies with its process; the `FakeDisk` stays.
final class HostedDisk {
    unowned let simulator: Simulator
    let n: Int
    let life: Int
    let store: Store
    let disk: FakeDisk
    var lanes: [Lane: [Job]] = [:]
    private var laneFree: [Lane: UInt64] = [:]
    private var isSettling = false
    private var tokens: [StoreToken: (Notice) -> Void] = [:]
    private var lastToken: UInt64 = 0
    private var tablesWanted: [PGID]?
    /// Under way, by slot.
    var mendings: [Slot: HostedMending] = [:]
    private var unsettled: [PGID: RecoveredGroup.Health] = [:]
    private(set) var recovered: [Recovered] = []
    /// Groups that lie here, and that no record names here.
    var remains: [PGID] = []
    /// Of these, what is to be learned anew.
    var erasing: Set<PGID> = []
    private(set) var isReady = false
    private(set) var isClosing = false

    /// The threads of a disk; each does its work in order.
    enum Lane: Hashable, CaseIterable {
        case sync
        case io
        case index
        case namespace
    }
    /// Work of a thread; gives what the loop does when it is told.
    typealias Job = () -> (() -> Void)

    enum Notice {
        case durable
        case readAgain
        case changes(ChangePage)
    }

    /// What a replica begins with.
    struct Recovered {
        var pg: PGID
        var state: [UInt8]
        var tables: [UInt8]?
        var entries: [Entry] = []
        var decided: EntryName
        var stable: EntryName
        var voids: [Wire.VoidRecord]
        var opening: RecoveredReplica.Opening
        var undecided: [Entry] = []
        var reapply: [(Entry, [UInt8]?)] = []
        var isCorrupt: Bool

        /// The last entry that anything here knows of.
        var end: EntryName { max(decided, max(stable, entries.last?.name ?? .zero)) }
        var replica: RecoveredReplica? {
            isCorrupt || state.isEmpty
                ? nil
                : RecoveredReplica(
                    state: state, tables: tables, entries: entries, decided: decided, stable: stable, voids: voids,
                    opening: opening)
        }
    }

    init(_ simulator: Simulator, _ n: Int) {
        self.simulator = simulator
        self.n = n
        life = simulator.nodes[n].life
        disk = simulator.nodes[n].disk
        store = Store(configuration: simulator.scenario.store, crc: BlockContent.crc)
        #if DEBUG || STAVE_MUTANTS
            store.mutation = simulator.scenario.storeMutation
            simulator.nodes[n].disk.verifiesReads = store.mutation != .readsUnverified
        #endif
    }

    var node: Simulator.Node { simulator.nodes[n] }
    /// A sync failed: nothing is written, read or answered any more.
    private(set) var hasFailed = false
    var isAlive: Bool { node.alive && node.life == life && !hasFailed }
    private func replica(_ pg: PGID) -> HostedReplica? { simulator.replica(n, pg) }

    // MARK: Threads

    /// Gives work to a thread.
    func submit(_ lane: Lane, _ job: @escaping Job) {
        lanes[lane, default: []].append(job)
        var delay = 10_000 + simulator.below(lane == .sync ? 1_500_000 : 300_000)
        if simulator.chance(2) { delay += simulator.below(lane == .sync ? 300 * millisecond : 40 * millisecond) }
        if simulator.clock < node.slowUntil { delay *= 50 }
        if lane == .io, simulator.scenario.slowReads, simulator.chance(5) {
            delay += simulator.below(400 * millisecond)
        }
        let at = max(laneFree[lane] ?? 0, max(simulator.clock, node.hungUntil) + delay)
        laneFree[lane] = at
        simulator.agenda.add(.work(node: n, life: life, lane), at: at)
    }

    /// The disk hangs no more: what waits goes on now.
    func hangsNoMore() {
        for lane in Lane.allCases {
            for i in 0..<(lanes[lane]?.count ?? 0) {
                simulator.agenda.add(
                    .work(node: n, life: life, lane), at: simulator.clock + UInt64(i + 1) * 100_000)
            }
            laneFree[lane] = simulator.clock + UInt64((lanes[lane]?.count ?? 0) + 1) * 100_000
        }
    }

    /// A thread does the next of its work.
    func work(_ lane: Lane) {
        guard let queue = lanes[lane], !queue.isEmpty else { return }
        let job = lanes[lane]?.removeFirst()
        guard let done = job?() else { return }
        node.completions.append(done)
        simulator.agenda.add(.completions(node: n, life: life), at: simulator.clock + simulator.below(30_000))
    }

    /// The process is killed: a call that a thread is in may have its effect.
    func die() {
        for lane in Lane.allCases {
            guard let job = lanes[lane]?.first, simulator.chance(50) else { continue }
            _ = job()
        }
        letGo()
    }

    /// Nothing is told anything any more: what holds the disk, and is held by it, goes.
    func letGo() {
        lanes = [:]
        tokens = [:]
        mendings = [:]
    }

    // MARK: Life

    func fail() {
        die()
        hasFailed = true
    }

    func open() {
        store.open(disk.facts(boot: node.bootID, content: node.isDoubtful ? .doubtful : .kept))
        settle()
    }

    func tick() {
        giveTables()
        store.spaceChanged(freeBytes: disk.freeBytes)
        for replica in node.replicas { replica.group.roomChanged(store.space.admissible) }
        store.tick(Instant(nanoseconds: simulator.local(n, simulator.clock)))
        if simulator.clock >= node.namespaceSyncedAt + 2 * second {
            node.namespaceSyncedAt = simulator.clock
            syncNamespaces {}
        }
    }

    func endCycle() {
        store.endOfCycle()
        settle()
    }

    func settle() {
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        while isAlive, store.hasEffects {
            for effect in store.takeEffects() {
                guard simulator.mayStep(n), isAlive else {
                    tear(effect)
                    return
                }
                if case .notify(let notice) = effect { took(notice) } else { run(effect) }
            }
        }
    }

    /// The process dies within this effect: a long write may be there in part.
    private func tear(_ effect: StoreEffect) {
        guard case .writeLog(_, let write) = effect, simulator.chance(50) else { return }
        let bytes = disk.gather(write, payload: payload)
        let pages = simulator.random.below(bytes.count / 4096 + 1)
        disk.segments[write.segment]?.write(Array(bytes[..<(pages * 4096)]), at: write.offset)
    }

    private func payload(_ handle: PayloadHandle) -> [UInt8] {
        if let bytes = node.payloads[handle.id]?.bytes { return bytes }
        simulator.fail("\(node.id): the store uses a payload that it dropped")
        return [UInt8](repeating: 0, count: handle.length)
    }

    private func completed(_ completion: StoreCompletion) {
        store.completed(completion)
        if isSettling { return }
        settle()
        simulator.needsCycleEnd(n)
    }

    private func run(_ effect: StoreEffect) {
        switch effect {
        case .writeLog:
            if let done = disk.perform(effect, payload: payload) { completed(done) }
        case .syncLog, .syncData: sync(effect)
        case .prepareSegment, .removeSegment, .growData, .copyBlocks, .readLog, .checkBlocks: perform(effect, on: .io)
        case .writeSlots(_, let handle, _):
            // The thread has the bytes, whatever is dropped meanwhile.
            let bytes = payload(handle)
            submit(.io) { [unowned self] in
                let done = disk.perform(effect) { _ in bytes }
                return { if let done { self.completed(done) } }
            }
        case .loadRows, .scanRows, .commitRows: perform(effect, on: .index)
        case .syncRows: submit(.index) { [unowned self] in { self.sync(effect) } }
        case .dropPayload(let handle): node.drop(handle)
        case .notify: break
        }
    }

    private func perform(_ effect: StoreEffect, on lane: Lane) {
        submit(lane) { [unowned self] in
            let done = disk.perform(effect, payload: payload)
            return { if let done { self.completed(done) } }
        }
    }

    private func sync(_ effect: StoreEffect) { perform(effect, on: .sync) }

    // MARK: Notices

    func token(_ done: @escaping (Notice) -> Void) -> StoreToken {
        lastToken += 1
        let token = StoreToken(lastToken)
        tokens[token] = done
        return token
    }
    func forget(_ token: StoreToken) { tokens[token] = nil }

    private func took(_ notice: StoreNotice) {
        switch notice {
        case .recovered(let report): recoveredLog(report)
        case .ready:
            isReady = true
            simulator.opened(n)
        case .appended(let pg, let through): replica(pg)?.event { $0.logAppended(through: through, at: $1) }
        case .stable(let pg, let through): replica(pg)?.logStable(through: through)
        case .applied(let pg, _): replica(pg)?.group.roomChanged(store.space.admissible)
        case .durable(let token): tokens.removeValue(forKey: token)?(.durable)
        case .readAgain(let token): tokens.removeValue(forKey: token)?(.readAgain)
        case .tablesWanted(let groups):
            tablesWanted = groups
            giveTables()
        case .changes(let token, let page): tokens.removeValue(forKey: token)?(.changes(page))
        case .left(let pg):
            simulator.tell("\(node.id) has nothing of \(pg) any more")
            remains.removeAll { $0 == pg }
            simulator.hostNamed(n)
            if erasing.remove(pg) != nil { replica(pg)?.event { $0.contentErased(at: $1) } }
        case .closed: simulator.closed(n)
        case .badBlock(let pg, let object, let block):
            if simulator.scenario.rot == .none {
                simulator.fail("\(node.id): block \(block) of \(object) in \(pg) is bad")
            }
            mend(pg, object, block: block) { _ in }
        case .failed(let reason): simulator.fail("\(node.id): the disk failed: \(reason)")
        }
    }

    private func giveTables() {
        guard let groups = tablesWanted, node.isOpen else { return }
        tablesWanted = nil
        store.giveTables(groups.compactMap { pg in replica(pg).map { (pg, $0.group.checkpointTables().bytes) } })
    }

    /// The group has no replica here any more, as in `DiskHost.keepRemains`.
    func keepRemains(_ pg: PGID) {
        remains.append(pg)
        store.dropLog(pg)
        settle()
        simulator.needsCycleEnd(n)
    }

    /// Removes what is here of a group that has moved away, as `DiskHost.leave` does it.
    func leave(_ pg: PGID, state: [UInt8] = []) {
        simulator.tell("\(node.id) removes what it has of \(pg)")
        unsettled[pg] = nil
        store.leaveGroup(
            pg, state: state,
            token: token { [unowned self] _ in
                if pg.isMetadata { node.namespace = FakeDatabase() }
            })
        settle()
        simulator.needsCycleEnd(n)
    }

    // MARK: Recovery

    /// Fetches the payloads of entries that are not applied yet, one after the other, then begins.
    private func recoveredLog(_ report: RecoveryReport) {
        var wanted: [(group: Int, entry: Entry, decided: Bool)] = []
        for group in report.groups {
            var r = Recovered(
                pg: group.pg, state: group.state, tables: group.tables, entries: group.decided,
                decided: group.decidedThrough, stable: group.logEnd,
                voids: group.voids.map {
                    VoidRecord(
                        entry: $0.name, object: $0.object,
                        request: LostRequest(session: $0.session, request: $0.request))
                }, opening: report.closing == .clean ? .clean : .crashed,
                isCorrupt: group.health == .corrupt
                    || group.health == .piecesLost && !RecoveredReplica.isLearning(state: group.state))
            r.entries = group.decided
            if !r.voids.isEmpty { simulator.tell("\(node.id) finds void \(r.voids.map(\.entry)) of \(r.pg)") }
            if r.isCorrupt {
                simulator.tell("\(node.id) finds \(r.pg) corrupt")
                simulator.counts["corrupt", default: 0] += 1
            }
            for entry in group.reapply { wanted.append((recovered.count, entry, true)) }
            for entry in group.undecided { wanted.append((recovered.count, entry, false)) }
            if r.isCorrupt || !group.voids.isEmpty { unsettled[group.pg] = r.isCorrupt ? .corrupt : group.health }
            recovered.append(r)
        }
        wanted.reverse()
        fetch(wanted)
    }

    private func fetch(_ list: [(group: Int, entry: Entry, decided: Bool)]) {
        var wanted = list
        while let item = wanted.popLast() {
            guard item.entry.payload != nil,
                let location = store.location(recovered[item.group].pg, item.entry.name)
            else {
                took(item, nil)
                continue
            }
            let rest = wanted
            submit(.io) { [unowned self] in
                let bytes = bytes(of: location)
                return { [unowned self] in
                    store.readFinished(location.ticket)
                    if bytes == nil {
                        simulator.tell("\(node.id): the payload of \(item.entry.name) does not hold")
                        recovered[item.group].isCorrupt = true
                    }
                    took(item, bytes)
                    fetch(rest)
                }
            }
            return
        }
        store.begin(corrupt: recovered.filter(\.isCorrupt).map(\.pg))
        settle()
    }

    private func took(_ item: (group: Int, entry: Entry, decided: Bool), _ bytes: [UInt8]?) {
        if item.decided {
            recovered[item.group].reapply.append((item.entry, bytes))
            return
        }
        var entry = item.entry
        entry.payload = bytes.map { node.keep($0) }
        recovered[item.group].entries.append(entry)
        recovered[item.group].undecided.append(entry)
    }

    private func bytes(of location: EntryLocation) -> [UInt8]? {
        var whole: [UInt8] = []
        for piece in location.pieces {
            let bytes: [UInt8]
            switch piece.source {
            case .log(let segment, let offset):
                bytes = disk.segments[segment]?.read(at: offset, count: piece.length) ?? []
            case .data(let offset): bytes = disk.data.read(at: Int(offset), count: piece.length)
            case .zero, .absent, .payload: return nil
            }
            if let (object, first) = location.entry.body.target {
                let sums = BlockContent.checksums(object, first: first + whole.count / Geometry.blockSize, bytes)
                if sums != piece.checksums { return nil }
            } else if piece.checksums != [BlockContent.crc.checksum(bytes)] {
                return nil
            }
            whole += bytes
        }
        return whole
    }

    // MARK: The log

    func append(_ pg: PGID, _ entry: Entry, _ durability: Durability) {
        var checksum: UInt32 = 0
        if let handle = entry.payload {
            node.retain(handle)
            if case .namespace = entry.body { checksum = BlockContent.crc.checksum(payload(handle)) }
        }
        store.append(pg, entry, checksum: checksum)
        if durability == .stable { store.requestStable(pg, through: entry.name) }
    }

    func writeState(_ pg: PGID, _ state: [UInt8], done: @escaping () -> Void) {
        store.writeState(
            pg, state,
            token: token { [unowned self] _ in
                done()
                settleReport(pg)
            })
        simulator.needsCycleEnd(n)
    }

    private func settleReport(_ pg: PGID) {
        guard let health = unsettled[pg] else { return }
        if health == .corrupt, replica(pg)?.group.isAbsent != false { return }
        unsettled[pg] = nil
        store.settleReport(pg, token: token { _ in })
        simulator.needsCycleEnd(n)
    }

    func syncAll(_ pg: PGID, done: @escaping () -> Void) {
        let log = { [unowned self] in
            store.checkpointGroup(pg, token: token { _ in done() })
            simulator.needsCycleEnd(n)
        }
        if pg.isMetadata { syncNamespaces(log) } else { log() }
    }

    /// Makes the rows durable as they are when the thread gets to it; through what was applied when it was asked.
    private func syncNamespaces(_ done: @escaping () -> Void) {
        guard let pg = simulator.metadataGroup, let replica = replica(pg), let namespace = replica.namespace else {
            return done()
        }
        let through = replica.applied
        submit(.sync) { [unowned self] in
            namespace.rows.sync()
            return { [unowned self] in
                store.namespaceDurable(pg, through: through)
                settle()
                done()
            }
        }
    }

    /// Makes the disk clean; then the process ends.
    func close() {
        isClosing = true
        syncNamespaces { [unowned self] in
            store.close()
            settle()
        }
    }
}

extension EntryBody {
    /// The object and first block that the payload's blocks are of.
    var target: (ObjectID, Int)? {
        switch self {
        case .write(let write): (write.object, write.blocks.first)
        case .deleteRange(let deletion): deletion.edge.map { ($0.object, $0.blocks.first) }
        case .empty, .zero, .restate, .namespace, .scrubMark: nil
        }
    }
}
