import ClusterModel
import Namespace
import Replication
import Wire

/// One replica of a group in a simulated process: executes its machine's effects on the hosted disk, the simulated namespace,
/// the network and the coordinator, as `Replica` does in production, in the same order.
final class HostedReplica {
    unowned let simulator: Simulator
    let n: Int
    let pg: PGID
    let group: PlacementGroup
    let disk: HostedDisk
    /// Of a metadata group.
    private var queue = ApplyQueue()
    /// What the queue lets wait, in its order.
    private var waiting: [() -> Void] = []
    private var namespaceWork: [NamespaceWork] = []
    /// Between the loss of the rows and the log that begins anew: no entry joins what is there.
    private var isForgetting = false

    /// What the namespace's thread does, and what the loop does if the rows have rotted.
    struct NamespaceWork {
        var work: (HostedNamespace) throws -> (() -> Void)
        var refused: () -> Void
        var mayChangeRows = false
    }
    private var keptRows = KeptRows()
    private(set) var namespace: HostedNamespace?
    /// Inodes in the rows, as far as the loop knows.
    private var inodes: UInt64 = 0
    private var lastReservation = InodeNumber(0)
    private var settlesBehind: EntryName?
    /// Of a metadata group: in the rows, as far as the loop knows.
    private(set) var applied: EntryName = .zero
    var isDirty = false
    var wasServing = false

    init(_ simulator: Simulator, _ n: Int, _ pg: PGID, _ group: PlacementGroup, _ disk: HostedDisk) {
        self.simulator = simulator
        self.n = n
        self.pg = pg
        self.group = group
        self.disk = disk
        if let fileset = pg.fileset, let rows = node.namespace {
            do {
                namespace = try HostedNamespace(fileset, rows)
                applied = namespace?.applied ?? .zero
            } catch {
                simulator.fail("\(node.id) cannot open its rows of \(pg): \(error)")
            }
        }
        #if DEBUG || STAVE_MUTANTS
            queue.mutation = simulator.scenario.mutation
        #endif
    }

    private var node: Simulator.Node { simulator.nodes[n] }

    /// Hands an event to the machine and sees to its effects.
    func event(_ body: (PlacementGroup, Moment) -> Void) {
        guard disk.isAlive, !isRetired else { return }
        body(group, simulator.moment(n))
        simulator.touched(self)
    }

    func settle() {
        while disk.isAlive, !isRetired, group.hasEffects {
            var effects: [ReplicaEffect] = []
            group.takeEffects(into: &effects)
            for effect in effects {
                guard simulator.mayStep(n), disk.isAlive else { return }
                if isRetired { if case .drop(let handle) = effect { node.drop(handle) } } else { run(effect) }
            }
        }
        if group.isServing != wasServing {
            wasServing = group.isServing
            simulator.tell("\(node.id) \(group.isServing ? "serves" : "serves no more") \(pg)")
        }
    }

    private var isRetired = false

    /// As `Replica` does it: what is under way for it keeps it, and tells it nothing any more.
    func retire() {
        isRetired = true
        drop(queue.clear())
        group.retired()
        var left: [ReplicaEffect] = []
        group.takeEffects(into: &left)
        for case .drop(let handle) in left { node.drop(handle) }
        namespaceWork = []
        let open = searches.sorted { $0.key.rawValue < $1.key.rawValue }
        searches = [:]
        for (_, mending) in open { mending.givenUp() }
    }

    private func run(_ effect: ReplicaEffect) {
        switch effect {
        case .append(let entry, let durability): append(entry, durability)
        case .sync(let through): disk.store.requestStable(pg, through: through)
        case .cutLog(let after, let token):
            simulator.tell("\(node.id) cuts its log of \(pg) after \(after)")
            drop(queue.cut(after: after))
            disk.store.cut(
                pg, after: after, token: disk.token { [unowned self] _ in event { $0.logCut(token, at: $1) } })
            simulator.needsCycleEnd(n)
        case .restartLog(let after, let cuts):
            simulator.tell("\(node.id) begins its log of \(pg) anew after \(after)")
            isForgetting = false
            drop(queue.clear())
            disk.store.restart(pg, after: after)
            for cut in cuts {
                disk.store.install(
                    pg,
                    cut: .init(
                        file: cut.file, truncation: cut.truncation, layout: simulator.scenario.layout, kind: cut.kind,
                        version: cut.version))
            }
            simulator.needsCycleEnd(n)
        case .writeState(let state, _, let token):
            disk.writeState(pg, state) { [unowned self] in event { $0.stateWritten(token, at: $1) } }
        case .decided(let through): decided(through)
        case .send(let message, let to): simulator.send(n, message, to: to)
        case .drop(let handle): node.drop(handle)
        case .stableAfter(let member, let span): node.paces.took(member, span, at: simulator.moment(n).now)
        case .answer(let token, let response, let lease): simulator.answer(n, token, response, lease)
        case .read(let ticket, let range, let truncation):
            disk.read(pg, range, truncation) { [unowned self] found in
                guard let found else { return event { $0.readFailed(ticket, at: $1) } }
                let handle = node.keep(found.bytes)
                event { $0.readCompleted(ticket, handle, presence: found.presence, at: $1) }
            }
        case .query(let ticket, let handle, let time):
            let question = node.payloads[handle.id]?.bytes ?? []
            let refused = { [unowned self] in event { $0.readFailed(ticket, at: $1) } }
            afterDecided { [unowned self] in
                if let fileset = pg.fileset, let reply = keptRows.answer(question, of: fileset, at: time) {
                    simulator.counts["answered from kept rows", default: 0] += 1
                    return completed(ticket, reply, asOf: applied)
                }
                ask(refused) { [unowned self] namespace in
                    let reply = try namespace.answer(question, at: time)
                    let applied = namespace.applied
                    return { self.completed(ticket, reply, asOf: applied) }
                }
            }
        case .fetchResult(let ticket, let session, let request, _): fetchResult(ticket, session, request)
        case .findCut(let file, let token):
            disk.newestCut(pg, of: file) { [unowned self] found in
                event { $0.cutFound(token, file, found.truncation.map { ($0, found.kind) }, at: $1) }
            }
        case .completeEdges(let token, let merge):
            disk.complete(merge, pg) { [unowned self] completed in
                guard let completed else { return event { $0.edgesFailed(token, at: $1) } }
                let handle = node.keep(completed.bytes)
                event { $0.edgesCompleted(token, handle, checksums: completed.checksums, at: $1) }
            }
        case .propose(let proposal): simulator.toCoordinator(.propose(node: n, life: disk.life, proposal), n)
        case .askLease(let number): simulator.toCoordinator(.askLease(node: n, life: disk.life, number), n)
        case .readMap(let token), .awaitMap(let token, since: _):
            simulator.toCoordinator(.readMap(node: n, life: disk.life, pg, token), n)
        case .readRecord: simulator.toCoordinator(.readRecord(node: n, life: disk.life), n)
        case .listChanges(let name, let token):
            disk.listChanges(pg, after: name) { [unowned self] objects, cuts in
                simulator.tell("\(node.id) lists changes of \(pg) after \(name): \(objects.count)")
                event { $0.changesListed(token, objects, cuts: cuts, at: $1) }
            }
        case .readPiece(let object, let blocks, let token):
            disk.readPiece(pg, object, blocks) { [unowned self] piece in
                guard let piece else { return event { $0.pieceFailed(token, at: $1) } }
                event { $0.pieceRead(token, piece, at: $1) }
            }
        case .installPiece(let piece, let token):
            simulator.counts["pieces", default: 0] += 1
            disk.install(pg, piece) { [unowned self] in event { $0.installed(token, at: $1) } }
        case .removeObject(let object, let token):
            disk.remove(pg, object) { [unowned self] in event { $0.installed(token, at: $1) } }
        case .readSnapshot(let token):
            askAfterDecided { [unowned self] namespace in
                guard let part = try namespace.exportNext(token.rawValue) else { return {} }
                return {
                    let handle = self.node.keep(part.bytes)
                    self.event { $0.snapshotRead(token, handle, asOf: part.asOf, position: part.position, at: $1) }
                }
            }
        case .installSnapshot(let part, let token):
            let bytes = part.payload.flatMap { node.payloads[$0.id]?.bytes } ?? []
            ask(mayChangeRows: true) { [unowned self] namespace in
                try namespace.receive(bytes, step: part.step)
                let applied = namespace.applied
                return {
                    self.applied = applied
                    self.event { $0.installed(token, at: $1) }
                }
            }
        case .forgoRows(let through, let token):
            ask(mayChangeRows: true) { [unowned self] namespace in
                try namespace.forgo(through: through)
                return {
                    self.applied = through
                    self.event { $0.installed(token, at: $1) }
                }
            }
        case .syncAll(let token): disk.syncAll(pg) { [unowned self] in event { $0.installed(token, at: $1) } }
        case .giveBlocks(let ask, let to, let epoch):
            disk.give(pg, ask.wanted, isChecked: isChecked) { [unowned self] content, bytes in
                let handle = bytes.isEmpty ? nil : node.keep(bytes)
                event { $0.blocksRead(ask, to: to, epoch: epoch, content: content, handle, at: $1) }
            }
        case .blocksFound(let token, let given, let payload):
            let bytes = node.payloads[payload.id]?.bytes ?? []
            let good = searches[token]?.found(given, bytes, isChecked: isChecked) ?? 0
            event { $0.blocksTaken(token, good, at: $1) }
        case .giveUpLease: simulator.startOver(n)
        case .forgetContent: forgetRows()
        case .eraseContent(let state): simulator.beginAnew(n, self, state)
        case .scrub(let ask, let to, let epoch): answer(ask, to: to, epoch: epoch)
        case .scrubEnded(let outcome): simulator.scrubEnded(pg, outcome)
        case .searchEnded(let token): searches.removeValue(forKey: token)?.searchEnded()
        case .report(let report):
            if case .learning(let node) = report { simulator.directed(learning: node, of: pg, by: n) }
            if case .handoverGivenUp = report { node.balancer.gaveUp(pg, at: simulator.moment(n).now) }
            if case .serving = report, pg.isMetadata { beganServing() }
            simulator.tell("\(node.id) \(pg) \(report)")
            simulator.counts[String(String(describing: report).prefix(8)), default: 0] += 1
        }
    }

    private var searches: [WorkToken: HostedMending] = [:]
    var askedScrub: AskedScrub?

    /// Seeks blocks that the disk has lost; `mending` gets what is found, and the end.
    func seek(_ wanted: WantedBlocks, for mending: HostedMending) {
        event { group, now in searches[group.blocksLost(wanted, at: now)] = mending }
    }

    /// Whether what is given for a lost block is what was lost.
    private var isChecked: Bool {
        #if DEBUG || STAVE_MUTANTS
            simulator.scenario.mutation != .giveWhateverThereIs
        #else
            true
        #endif
    }

    private func append(_ entry: Entry, _ durability: Durability) {
        simulator.mix(entry.name.n &* 31 &+ entry.name.epoch.rawValue)
        if pg.isMetadata {
            if let payload = entry.payload { node.retain(payload) }
            queue.append(entry)
        }
        disk.append(pg, entry, durability)
        simulator.needsCycleEnd(n)
    }

    /// The log is stable through this entry.
    func logStable(through name: EntryName) {
        event { $0.logStable(through: name, at: $1) }
        if pg.isMetadata { take(queue.stable(through: name)) }
    }

    private func decided(_ through: EntryName) {
        if !pg.isMetadata, let asked = askedScrub, asked.ask.mark <= through {
            disk.store.decide(pg, through: asked.ask.mark)
            lookForScrub()
        }
        disk.store.decide(pg, through: through)
        if pg.isMetadata { take(queue.decided(through: through)) }
    }

    /// As `Replica` does it.
    private func take(_ steps: ApplyQueue.Steps) {
        for entry in steps.apply {
            if !isForgetting { apply(entry, entry.payload.flatMap { node.payloads[$0.id]?.bytes }) }
            if entry.name == askedScrub?.ask.mark { lookForScrub() }
            if let payload = entry.payload { node.drop(payload) }
        }
        if let through = steps.requestStable { disk.store.requestStable(pg, through: through) }
        release(steps.released)
    }

    private func afterDecided(_ work: @escaping () -> Void) {
        if queue.mustWait() { waiting.append(work) } else { work() }
    }

    private func release(_ count: Int) { for _ in 0..<count { waiting.removeFirst()() } }

    private func drop(_ outcome: (dropped: [Entry], released: Int)) {
        for entry in outcome.dropped { if let payload = entry.payload { node.drop(payload) } }
        release(outcome.released)
    }

    /// Decided entries that the disk had and the rows may lack, after a restart.
    func reapply(_ entries: [(Entry, [UInt8]?)]) {
        guard pg.isMetadata else { return }
        for (entry, bytes) in entries where entry.name > applied { apply(entry, bytes) }
    }

    /// Undecided entries of the log, after a restart.
    func resume(_ entries: [Entry]) {
        guard pg.isMetadata else { return }
        for entry in entries {
            if let payload = entry.payload { node.retain(payload) }
            queue.append(entry)
        }
    }

    // MARK: Namespace

    private func apply(_ entry: Entry, _ bytes: [UInt8]?) {
        ask(mayChangeRows: true) { [unowned self] namespace in
            let before = namespace.applied
            let found = try namespace.apply(entry, bytes)
            let (applied, inodes, wanted) = (namespace.applied, namespace.inodes, namespace.wantedReservation)
            if applied > before {
                var step = Lineage.Step(previous: before)
                if let found {
                    step = Lineage.Step(
                        previous: before, session: entry.session, request: entry.request, call: entry.call,
                        operation: bytes ?? [], result: found.outcome.encoded, isKept: found.outcome.origin == .kept,
                        time: found.time)
                }
                if let wrong = simulator.lineage.applied(applied, step) {
                    simulator.fail("\(node.id) applies entries of \(pg): \(wrong)")
                }
            }
            return {
                guard applied > self.applied else { return }
                self.applied = applied
                self.inodes = inodes
                var results: [AppliedResult] = []
                if let found {
                    results.append(
                        AppliedResult(entry: entry.name, payload: self.node.keep(found.outcome.encoded)))
                }
                self.event { $0.namespaceApplied(through: applied, results: results, at: $1) }
                self.reserve(wanted)
                if let name = self.settlesBehind, applied.n >= name.n { self.settleSessions() }
            }
        }
    }

    private func fetchResult(_ ticket: ReadTicket, _ session: SessionID, _ request: RequestNumber) {
        let refused = { [unowned self] in event { $0.readFailed(ticket, at: $1) } }
        askAfterDecided(refused) { [unowned self] namespace in
            let kept = try namespace.keptResult(session, request)
            return {
                guard let kept else {
                    if self.simulator.map.sessions.contains(where: { $0.id == session }) {
                        self.simulator.fail("\(self.node.id) has no result of \(session) \(request)")
                    }
                    return refused()
                }
                self.completed(ticket, kept)
            }
        }
    }

    private func completed(_ ticket: ReadTicket, _ reply: NamespaceReply, asOf applied: EntryName) {
        var w = WireWriter()
        reply.answer.encode(into: &w)
        completed(ticket, w.bytes + TreeObservation.trailer(applied), showsWriting: reply.showsWriting)
    }

    private func completed(_ ticket: ReadTicket, _ bytes: [UInt8], showsWriting: Bool = false) {
        let handle = node.keep(bytes)
        event { $0.readCompleted(ticket, handle, presence: .complete, showsWriting: showsWriting, at: $1) }
    }

    private func askAfterDecided(
        _ refused: @escaping () -> Void = {}, _ work: @escaping (HostedNamespace) throws -> (() -> Void)
    ) {
        afterDecided { [self] in ask(refused, work) }
    }

    func ask(
        _ refused: @escaping () -> Void = {}, mayChangeRows: Bool = false,
        _ work: @escaping (HostedNamespace) throws -> (() -> Void)
    ) {
        if isForgetting { return refused() }
        if mayChangeRows { keptRows.changesUnderWay += 1 }
        namespaceWork.append(NamespaceWork(work: work, refused: refused, mayChangeRows: mayChangeRows))
        simulator.needsCycleEnd(n)
    }

    /// What the primary of a metadata group makes by itself, as `StorageNode` does it.
    private func beganServing() {
        if inodes == 0 { performOwn(.initialize(FilesetSetup(layout: simulator.scenario.layout))) }
        sessionsEnded()
    }

    /// As `Replica` does it.
    func sessionsEnded() {
        settlesBehind = group.lastNamed
        if applied.n >= group.lastNamed.n { settleSessions() }
    }

    private func settleSessions() {
        settlesBehind = nil
        guard group.isServing else { return }
        ask { [unowned self] namespace in
            let found = namespace.sessions
            return {
                for session in found where self.group.hasEnded(session) {
                    self.simulator.counts["settled sessions", default: 0] += 1
                    self.performOwn(.settleSession(session: session))
                }
            }
        }
    }

    private func reserve(_ wanted: InodeNumber?) {
        guard group.isServing, let wanted, wanted > lastReservation else { return }
        lastReservation = wanted
        performOwn(.reserveInodes(through: wanted))
    }

    private func performOwn(_ operation: NamespaceOperation) {
        let entry = NamespaceEntry(
            semantics: simulator.map.semantics, credentials: .superuser, operation: operation)
        let handle = node.keep(entry.encoded)
        event { $0.ownOperation(handle, .stable, fixesTimes: operation.fixesTimes, at: $1) }
    }

    /// Its rows could not be opened.
    func lookAtRows() { if namespace?.isDamaged == true { rowsDamaged() } }

    /// It lacks nothing, whoever leads.
    var isWhole: Bool { !group.isLearning && !group.isAbsent && !isForgetting }

    /// The namespace thread met damage that no question led to.
    func rowsUnreadable() { rowsDamaged() }

    /// The rows have rotted: they are learned anew, as `Replica` does it.
    private func rowsDamaged() {
        guard !isForgetting else { return }
        simulator.tell("\(node.id) finds its rows of \(pg) damaged")
        simulator.counts["damaged rows", default: 0] += 1
        isForgetting = true
        drop(queue.clear())
        for item in namespaceWork { item.refused() }
        namespaceWork = []
        keptRows = KeptRows(generation: keptRows.generation + 1)
        let hadRole = group.role != .follower
        event { $0.contentLost("its rows are damaged", at: $1) }
        if hadRole { simulator.startOver(n) }
    }

    private func forgetRows() {
        guard let namespace else { return }
        disk.submit(.namespace) { [unowned self] in
            do {
                try namespace.renew()
            } catch {
                simulator.fail("\(node.id) cannot make its rows of \(pg) anew: \(error)")
            }
            return { [unowned self] in applied = .zero }
        }
        disk.store.namespaceDurable(pg, through: group.decided)
    }

    /// Hands over what has come, at the end of the loop's cycle; one transaction.
    func flushNamespace() {
        guard !namespaceWork.isEmpty, let namespace else { return }
        let batch = namespaceWork
        namespaceWork = []
        let keepsRows = group.isServing
        let changes = batch.count { $0.mayChangeRows }
        let generation = keptRows.generation
        disk.submit(.namespace) { [unowned self] in
            do {
                if let (outcomes, updates) = try namespace.run(batch.map(\.work), keepsRows: keepsRows) {
                    return { [unowned self] in
                        keptRows.took(updates, changes: changes, of: generation)
                        for outcome in outcomes { outcome() }
                    }
                }
            } catch {
                simulator.fail("\(node.id): the namespace of \(pg): \(error)")
            }
            return { [unowned self] in
                rowsDamaged()
                for item in batch { item.refused() }
            }
        }
    }
}
