import CSupport
import ClusterModel
import DequeModule
import Logging
import NIOCore
import Namespace
import Replication
import Transport
import Wire

/// One replica of a placement group in production: executes its machine's effects on the disk, the namespace, the
/// connections and the coordination store. Used on its loop only.
///
/// Invariant: what is under way for it keeps it, and tells it nothing any more once it is retired.
final class Replica {
    let pg: PGID
    let group: PlacementGroup
    let disk: DiskHost
    /// Of a metadata group; nil until its database is open.
    let namespace: NamespaceHost?
    unowned let node: StorageNode
    private let payloads: PayloadTable

    /// Of a metadata group.
    private var queue = ApplyQueue()
    /// What the queue lets wait, in its order.
    private var waiting: Deque<() -> Void> = []
    /// Set while this replica waits in the node's list of those with effects.
    var isDirty = false
    private var buffer: [ReplicaEffect] = []
    /// Its group has left the cluster.
    private var isRetired = false
    private var waits: (reason: WaitReason, since: Instant)?
    /// Since when it waits for what it waits for now.
    var waitsSince: Instant? { waits.flatMap { $0.reason == group.waiting ? $0.since : nil } }

    init(
        pg: PGID, group: PlacementGroup, disk: DiskHost, namespace: NamespaceHost?, node: StorageNode,
        payloads: PayloadTable
    ) {
        self.pg = pg
        self.group = group
        self.disk = disk
        self.namespace = namespace
        self.node = node
        self.payloads = payloads
        namespace?.cutsKnown = { [unowned self] in cutsKnown($0) }
        namespace?.appliedThrough = { [unowned self] through, results in namespaceApplied(through, results) }
        namespace?.failed = { [unowned disk] reason in disk.fail(reason) }
        namespace?.damaged = { [unowned self] reason in rowsDamaged(reason) }
        namespace?.workArrived = { [unowned node] in node.needsCycleEnd() }
        namespace?.serves = { [unowned group] in group.isServing }
    }

    /// Its disk is out of use: what it holds of payloads is given back.
    func diskFailed() {
        drop(queue.clear())
        event { group, _ in group.retired() }
        refuseHeld()
    }

    /// The group has left the cluster: nothing is done for it any more.
    func retire() {
        isRetired = true
        drop(queue.clear())
        group.retired()
        var left: [ReplicaEffect] = []
        group.takeEffects(into: &left)
        for case .drop(let handle) in left { payloads.drop(handle) }
        refuseHeld()
        let open = searches
        searches = [:]
        for mending in open.values { mending.givenUp() }
        namespace?.cutsKnown = nil
        namespace?.appliedThrough = nil
        namespace?.failed = nil
        namespace?.damaged = nil
        namespace?.workArrived = nil
        namespace?.serves = nil
    }

    /// Takes and executes effects until there are none.
    func settle() {
        if isRetired { return }
        while group.hasEffects {
            buffer.removeAll(keepingCapacity: true)
            group.takeEffects(into: &buffer)
            var effects: [ReplicaEffect] = []
            swap(&effects, &buffer)
            for effect in effects {
                // It may end amid them (`eraseContent`).
                if isRetired { if case .drop(let handle) = effect { payloads.drop(handle) } } else { run(effect) }
            }
            swap(&effects, &buffer)
        }
    }

    // MARK: - Effects

    private func run(_ effect: ReplicaEffect) {
        switch effect {
        case .append(let entry, let durability): append(entry, durability)
        case .sync(let through): disk.requestStable(pg, through: through)
        case .cutLog(let after, let token):
            drop(queue.cut(after: after))
            disk.cut(pg, after: after) { [self] in event { $0.logCut(token, at: $1) } }
        case .restartLog(let after, let cuts):
            isForgetting = false
            drop(queue.clear())
            disk.restart(pg, after: after)
            for cut in cuts { disk.install(pg, cut.file, cut.truncation, cut.kind, asOf: cut.version) }
        case .writeState(let state, let tables, let token):
            disk.writeState(pg, state: state, tables: tables) { [self] in
                event { $0.stateWritten(token, at: $1) }
            }
        case .decided(let through): decided(through)
        case .send(let message, let to): node.send(.replica(message), to: to)
        case .drop(let handle): payloads.drop(handle)
        case .stableAfter(let member, let span): node.stableAfter(member, span)
        case .answer(let token, let response, let lease):
            answer(Answer(token: token, response: response, lease: lease))
        case .read(let ticket, let range, let truncation): read(ticket, range, truncation)
        case .query(let ticket, let payload, let time): query(ticket, payload, asOf: time)
        case .fetchResult(let ticket, let session, let request, _): fetchResult(ticket, session, request)
        case .completeEdges(let token, let merge): completeEdges(token, merge)
        case .findCut(let file, let token):
            disk.newestCut(pg, of: file) { [self] found in
                event { $0.cutFound(token, file, found.truncation.map { ($0, found.kind) }, at: $1) }
            }
        case .propose(let proposal): node.propose(proposal, for: self)
        case .askLease(let number): node.askLease(number)
        case .readMap(let token): node.readMap { [self] map in self.event { $0.mapRead(token, map, at: $1) } }
        case .awaitMap(let token, let version):
            node.awaitMap(since: version) { [self] map in self.event { $0.mapRead(token, map, at: $1) } }
        case .readRecord: node.readRecord()
        case .listChanges(let after, let token):
            disk.listChanges(pg, after: after) { [self] objects, cuts in
                event { $0.changesListed(token, objects, cuts: cuts, at: $1) }
            }
        case .readPiece(let object, let blocks, let token): readPiece(object, blocks, token)
        case .installPiece(let piece, let token):
            disk.install(pg, piece) { [self] in event { $0.installed(token, at: $1) } }
        case .removeObject(let object, let token):
            disk.remove(pg, object) { [self] in event { $0.installed(token, at: $1) } }
        case .readSnapshot(let token): readSnapshot(token)
        case .installSnapshot(let part, let token): installSnapshot(part, token)
        case .forgoRows(let through, let token):
            namespace?.forgo(through: through) { [self] in event { $0.installed(token, at: $1) } }
        case .syncAll(let token): disk.syncAll(pg) { [self] in event { $0.installed(token, at: $1) } }
        case .giveBlocks(let ask, let to, let epoch):
            BlockGiving(host: disk, pg: pg, wanted: ask.wanted) { [self] content, bytes in
                let handle = bytes.map(payloads.add)
                event { $0.blocksRead(ask, to: to, epoch: epoch, content: content, handle, at: $1) }
            }.start()
        case .blocksFound(let token, let given, let payload):
            let good = payloads.bytes(of: payload).flatMap { searches[token]?.found(given, $0) } ?? 0
            event { $0.blocksTaken(token, good, at: $1) }
        case .giveUpLease: node.membership.startOver()
        case .forgetContent: disk.renewNamespace(pg, decided: group.decided)
        case .eraseContent(let state): node.beginAnew(self, state)
        case .scrub(let ask, let to, let epoch): scrubbing.ask(ask, to: to, epoch: epoch, of: self)
        case .scrubEnded(let outcome): node.scrubEnded(pg, outcome)
        case .searchEnded(let token): searches.removeValue(forKey: token)?.searchEnded()
        case .report(let report): reported(report)
        }
    }

    /// Hands an event to the machine and sees to its effects.
    func event(_ body: (PlacementGroup, Moment) -> Void) {
        if isRetired { return }
        body(group, node.moment())
        node.touched(self)
    }

    func lookAtWaits(_ now: Instant) {
        guard let reason = group.waiting else { return waits = nil }
        if waits?.reason != reason { waits = (reason, now) }
    }

    private func append(_ entry: Entry, _ durability: Durability) {
        if namespace != nil {
            if let payload = entry.payload { payloads.keep(payload) }
            queue.append(entry)
        }
        disk.append(pg, entry, durability)
        node.needsCycleEnd()
    }

    /// The log is stable through this entry.
    func logStable(through name: EntryName) {
        event { $0.logStable(through: name, at: $1) }
        if let namespace { take(queue.stable(through: name), namespace) }
    }

    private func decided(_ through: EntryName) {
        // What a scrub asks for is as of its mark.
        if namespace == nil, let mark = scrubbing.mark, mark <= through {
            disk.decide(pg, through: mark)
            scrubbing.look(self)
        }
        disk.decide(pg, through: through)
        if let namespace { take(queue.decided(through: through), namespace) }
    }

    private func take(_ steps: ApplyQueue.Steps, _ namespace: NamespaceHost) {
        for entry in steps.apply {
            if !isForgetting { namespace.apply(entry, entry.payload.flatMap(payloads.bytes)) }
            if entry.name == scrubbing.mark { scrubbing.look(self) }
            if let payload = entry.payload { payloads.drop(payload) }
        }
        if let through = steps.requestStable { disk.requestStable(pg, through: through) }
        release(steps.released)
    }

    /// Between the loss of the rows and the log that begins anew: no entry joins what is there.
    private var isForgetting = false

    /// The rows have rotted: they are learned anew from the other members, one of which leads from now on.
    private func rowsDamaged(_ reason: String) {
        node.note(.group(pg), "the rows on disk \(disk.id) are damaged, and are made anew: \(reason)")
        isForgetting = true
        drop(queue.clear())
        let hadRole = group.role != .follower
        event { $0.contentLost("its rows are damaged", at: $1) }
        // Others can claim only when the lease that the record names has ended.
        if hadRole { node.membership.startOver() }
    }

    /// Its rows could not be opened.
    func lookAtRows() {
        if namespace?.isDamaged == true { rowsDamaged("they cannot be opened") }
    }

    /// Does what is to see every entry decided so far, once they have been handed over.
    private func afterDecided(_ work: @escaping () -> Void) {
        if queue.mustWait() { waiting.append(work) } else { work() }
    }

    private func release(_ count: Int) { for _ in 0..<count { waiting.popFirst()?() } }

    private func drop(_ outcome: (dropped: [Entry], released: Int)) {
        for entry in outcome.dropped { if let payload = entry.payload { payloads.drop(payload) } }
        release(outcome.released)
    }

    /// Decided entries that the disk had and the rows may lack, after a restart.
    func reapply(_ entries: [(Entry, ByteBuffer?)]) {
        guard let namespace else { return }
        for (entry, bytes) in entries where entry.name > namespace.applied { namespace.apply(entry, bytes) }
    }

    /// Undecided entries of the log, after a restart.
    func resume(_ entries: [Entry]) {
        guard namespace != nil else { return }
        for entry in entries {
            if let payload = entry.payload { payloads.keep(payload) }
            queue.append(entry)
        }
    }

    private func namespaceApplied(_ through: EntryName, _ results: [(entry: EntryName, bytes: [UInt8])]) {
        let applied = results.map { AppliedResult(entry: $0.entry, payload: payloads.add(ByteBuffer(bytes: $0.bytes))) }
        event { $0.namespaceApplied(through: through, results: applied, at: $1) }
        reserveInodes()
        if let name = settlesBehind, through.n >= name.n { settleSessions() }
    }

    // MARK: - Answers

    private struct Answer {
        var token: RequestToken
        var response: PGResponse
        var lease: LeaseNumber
    }
    /// Of a metadata group: what shows cuts that are not finished.
    private var held = HeldAnswers<Answer>()

    private func answer(_ answer: Answer) {
        guard namespace != nil else { return leave(answer) }
        let now = node.moment().now
        guard held.isLooking(at: now) else { return leave(answer) }
        if let free = held.hold(answer, showing: shown(answer.response), at: now) { leave(free) }
    }

    private func leave(_ answer: Answer) { node.answer(answer.token, answer.response, under: answer.lease) }

    private func shown(_ response: PGResponse) -> Set<InodeNumber> {
        guard let bytes = response.payload.flatMap(payloads.bytes) else { return [] }
        switch response.body {
        case .mutated:
            let result = try? bytes.decoded { r throws(WireError) in try NamespaceResult(from: &r) }
            return result?.shown ?? []
        case .answered:
            let answer = try? bytes.decoded { r throws(WireError) in try NamespaceAnswer(from: &r) }
            return answer?.shown ?? []
        case .data, .version, .written, .flushed, .refused: return []
        }
    }

    private func cutsKnown(_ unfinished: [InodeNumber: TruncationNumber]) {
        let now = node.moment().now
        held.update(unfinished, at: now)
        releaseHeld(now)
    }

    func releaseHeld(_ now: Instant) {
        for answer in held.takeReleased(at: now) { leave(answer) }
    }

    /// Who asked asks again, elsewhere.
    private func refuseHeld() {
        for answer in held.takeAll() {
            if let payload = answer.response.payload { payloads.drop(payload) }
            let refusal = PGResponse(pg: pg, epoch: answer.response.epoch, body: .refused(.unavailable))
            node.answer(answer.token, refusal, under: .none)
        }
    }

    // MARK: - Reads

    private func read(_ ticket: ReadTicket, _ range: ObjectRange, _ truncation: TruncationMark) {
        disk.read(pg, range, truncation) { [self] result in
            // What was removed meanwhile looks as if it had never been written.
            if node.isGone(range.object.file.fileset) {
                if case .success = result { return event { $0.readGone(ticket, at: $1) } }
            }
            switch result {
            case .success(let found):
                let handle = payloads.add(found.bytes)
                event { $0.readCompleted(ticket, handle, presence: found.presence, at: $1) }
            case .failure(let failure): event { $0.readFailed(ticket, isOverload: failure.isOverload, at: $1) }
            }
        }
    }

    private func query(_ ticket: ReadTicket, _ payload: PayloadHandle, asOf time: Timestamp) {
        guard let question = payloads.bytes(of: payload) else { return event { $0.readFailed(ticket, at: $1) } }
        guard let namespace else { return allocation(ticket, question) }
        afterDecided { [self] in
            // The root of a new fileset is on its way: nobody is told that it is not there.
            guard namespace.usage.inodes > 0 else { return event { $0.readFailed(ticket, at: $1) } }
            namespace.answer(question, asOf: time) { [self] in completed(ticket, $0, showsWriting: $1) }
        }
    }

    /// The one question that data groups answer: what a file has here.
    private func allocation(_ ticket: ReadTicket, _ question: ByteBuffer) {
        guard let question = try? question.decoded({ r throws(WireError) in try NamespaceQuestion(from: &r) }),
            case .allocation(let file) = question.query
        else { return event { $0.readFailed(ticket, at: $1) } }
        disk.usage(pg, of: file) { [self] usage in
            let answer = NamespaceAnswer.allocation(
                FileAllocation(
                    bytes: UInt64(max(usage.blocks, 0)) * UInt64(Geometry.blockSize),
                    standing: usage.standing == .settled && !group.hasParked(file) ? .settled : .moving))
            completed(ticket, wireBytes(answer.encode))
        }
    }

    private func fetchResult(_ ticket: ReadTicket, _ session: SessionID, _ request: RequestNumber) {
        guard let namespace else { return event { $0.readFailed(ticket, at: $1) } }
        afterDecided { [self] in namespace.keptResult(session, request) { [self] in completed(ticket, $0) } }
    }

    private func completed(_ ticket: ReadTicket, _ bytes: [UInt8]?, showsWriting: Bool = false) {
        guard let bytes else { return event { $0.readFailed(ticket, at: $1) } }
        let handle = payloads.add(ByteBuffer(bytes: bytes))
        event { $0.readCompleted(ticket, handle, presence: .complete, showsWriting: showsWriting, at: $1) }
    }

    /// Reads from this replica for the own gateway, once it has applied through `name`; content that is older than
    /// `truncation` is seen as cut there.
    func readLocally(
        _ range: ObjectRange, _ truncation: TruncationMark, epoch: Epoch, through name: EntryName,
        done: @escaping ((data: ByteBuffer, presence: Presence)?) -> Void
    ) {
        guard group.canReadLocally else { return done(nil) }
        var known = true
        event { group, _ in known = group.decidedReported(name, epoch: epoch) }
        guard known else { return done(nil) }
        // What was just learned to be decided is applied first. Within `settle` itself it comes later: then the primary is
        // asked, as it is when rows have to be read before.
        if disk.appliedThrough(pg) < name { node.settle() }
        guard disk.appliedThrough(pg) >= name else { return done(nil) }
        disk.read(pg, range, truncation) { [node] result in
            switch result {
            case .success(let found):
                // The primary is asked, and refuses, where the fileset went meanwhile.
                done(node.isGone(range.object.file.fileset) ? nil : (found.bytes, found.presence))
            case .failure: done(nil)
            }
        }
    }

    // MARK: - Edges

    private func completeEdges(_ token: WorkToken, _ merge: EdgeMerge) {
        EdgeCompletion(merge: merge, pg: pg, disk: disk, payloads: payloads).run { [self] completed in
            guard let completed else { return event { $0.edgesFailed(token, at: $1) } }
            let handle = payloads.add(completed.bytes)
            event { $0.edgesCompleted(token, handle, checksums: completed.checksums, at: $1) }
        }
    }

    private let scrubbing = ScrubAnswering()

    // MARK: - Mending

    private var searches: [WorkToken: SlotMending] = [:]

    /// Seeks blocks that the disk has lost; `mending` gets what is found, and the end.
    func seek(_ wanted: WantedBlocks, for mending: SlotMending) {
        event { group, now in searches[group.blocksLost(wanted, at: now)] = mending }
    }

    // MARK: - Catching up

    private func readPiece(_ object: ObjectID, _ blocks: BlockRange, _ token: WorkToken) {
        PieceReading(host: disk, payloads: payloads, pg: pg, object: object, blocks: blocks) { [self] piece in
            guard let piece else { return event { $0.pieceFailed(token, at: $1) } }
            event { $0.pieceRead(token, piece, at: $1) }
        }.start()
    }

    private func readSnapshot(_ token: WorkToken) {
        guard let namespace else { return }
        afterDecided { [self] in
            namespace.exportNext(token.rawValue) { [self] part in
                guard let part else { return }
                let handle = payloads.add(ByteBuffer(bytes: part.bytes))
                event {
                    $0.snapshotRead(
                        token, handle, asOf: part.asOf, position: part.position, rows: (part.rows, of: part.allRows),
                        at: $1)
                }
            }
        }
    }

    private func installSnapshot(_ part: SnapshotPart, _ token: WorkToken) {
        guard let namespace, let bytes = part.payload.flatMap(payloads.bytes) else { return }
        namespace.install(bytes, step: part.step) { [self] in event { $0.installed(token, at: $1) } }
    }

    // MARK: - Coordination

    func proposalEnded(_ proposal: Proposal, _ outcome: ProposalOutcome) {
        event { $0.proposalEnded(proposal.token, outcome, at: $1) }
    }

    private func reported(_ report: ReplicaReport) {
        node.reported(report, by: pg)
        if case .serving = report, let namespace {
            namespace.reignBegan(at: node.moment().time)
            // The rows may have been made anew since, or an entry of that kind cut off.
            lastReservation = InodeNumber(0)
            node.beganServing(self)
        }
    }

    /// Keeps inode numbers reserved ahead of need, by stable entries of the primary's own.
    private func reserveInodes() {
        guard group.isServing, let wanted = namespace?.wantedReservation, wanted > lastReservation else { return }
        lastReservation = wanted
        performOwn(.reserveInodes(through: wanted))
    }
    private var lastReservation = InodeNumber(0)

    /// Sessions have ended, or may have while another node led: their last entries are named.
    func sessionsEnded() {
        settlesBehind = group.lastNamed
        if let namespace, namespace.applied.n >= group.lastNamed.n { settleSessions() }
    }
    private var settlesBehind: EntryName?

    /// Settles for sessions that are gone, so that times of files cease to move on their account, and drops their windows
    /// (namespace.md, Attributes before tokens).
    private func settleSessions() {
        settlesBehind = nil
        guard group.isServing else { return }
        namespace?.sessions { [self] found in
            for session in found where group.hasEnded(session) { performOwn(.settleSession(session: session)) }
        }
    }

    /// Logs an operation of the primary itself; nobody waits for its result.
    func performOwn(_ operation: NamespaceOperation, _ durability: Durability = .stable) {
        let entry = NamespaceEntry(semantics: node.view.map.semantics, credentials: .superuser, operation: operation)
        let handle = payloads.add(ByteBuffer(bytes: wireBytes(entry.encode)))
        event { $0.ownOperation(handle, durability, fixesTimes: operation.fixesTimes, at: $1) }
    }
}
