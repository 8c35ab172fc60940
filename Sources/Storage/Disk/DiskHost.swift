import CSupport
import ClusterModel
import DiskIO
import Logging
import NIOCore
import Replication
import Store
import Transport
import Wire

/// One disk in production: its store machine with the executor of its effects, and what the replicas on it wait for. Used on
/// its loop only.
final class DiskHost {
    let id: DiskID
    let path: String
    let store: Store
    private let executor: DiskExecutor
    private let payloads: PayloadTable
    private let threads: DiskThreads
    let namespaces: NamespaceHosts
    let boot: BootID
    private var isSettling = false
    private let health: DiskHealth
    private let home: CompletionHome
    private let logger: Logger
    weak var node: StorageNode?

    var replicas: [PGID: Replica] = [:]
    /// Groups that lie here, and that no record names here; ascending.
    var remains: [PGID] = []
    private var recovered: [RecoveredOnDisk] = []
    private var tokens: [StoreToken: (Notice) -> Void] = [:]
    private var lastToken: UInt64 = 0
    private var closed: (() -> Void)?
    /// Groups whose tables a checkpoint waits for.
    private var tablesWanted: [PGID]?
    private var opened: ((Result<DiskHost, OpeningFailure>) -> Void)?
    private(set) var failure: String?
    /// The first failed write or sync: what the medium holds is not known any more. Nil for a disk that is out of use for
    /// another reason, such as a call that has not come back: nothing is lost by that as long as it has not failed; or a file system
    /// that is full: the transaction that met it was taken back.
    var mediumFailure: DiskError? {
        health.failure.flatMap { $0.cause == .diskFailed || $0.cause == .stuck || $0.isNoSpace ? nil : $0 }
    }
    /// Why the disk failed under an earlier process, if its content was doubtful when it was opened. Nil again when the
    /// coordination store knows that the disk's own log says so.
    private(set) var doubt: String?
    private let folder: DiskFolder
    /// What the disk may use of its file system; and when its free bytes were last asked for.
    private let totalBytes: UInt64
    private var freeBytesAsked = Instant(nanoseconds: 0)

    /// What answers a call that has a token.
    enum Notice {
        case durable
        case readAgain
        case changes(ChangePage)
    }

    var metrics: DiskMetrics { executor.metrics }
    var space: StoreSpace { store.space }
    var takenBytes: UInt64 { UInt64(store.takenSlots) * UInt64(Geometry.slotSize) }
    var waitingFor: String? { failure ?? store.waitingFor }
    /// Bytes of log that a recovery would read.
    var logBytes: Int { store.logBytes }

    func add(_ replica: Replica) { replicas[replica.pg] = replica }
    func holds(_ pg: PGID) -> Bool { replicas[pg] != nil }
    var ownReplicas: Dictionary<PGID, Replica>.Values { replicas.values }

    // MARK: - The log

    func append(_ pg: PGID, _ entry: Entry, _ durability: Durability) {
        // The store would take nothing, and never give the payload back.
        guard failure == nil else { return }
        var checksum: UInt32 = 0
        if let payload = entry.payload {
            payloads.keep(payload)
            if case .namespace = entry.body, let bytes = payloads.bytes(of: payload) {
                checksum = bytes.withUnsafeReadableBytes { CRC32C.hardware.checksum($0) }
            }
        }
        store.append(pg, entry, checksum: checksum)
        if durability == .stable { store.requestStable(pg, through: entry.name) }
    }

    func requestStable(_ pg: PGID, through name: EntryName) { store.requestStable(pg, through: name) }
    func decide(_ pg: PGID, through name: EntryName) { store.decide(pg, through: name) }
    func appliedThrough(_ pg: PGID) -> EntryName { store.appliedThrough(pg) }

    func cut(_ pg: PGID, after name: EntryName, done: @escaping () -> Void) {
        store.cut(pg, after: name, token: token { _ in done() })
        node?.needsCycleEnd()
    }

    func restart(_ pg: PGID, after name: EntryName) {
        store.restart(pg, after: name)
        node?.needsCycleEnd()
    }

    func writeState(_ pg: PGID, state: [UInt8], tables: [UInt8]?, done: @escaping () -> Void) {
        // Tables become durable with the next checkpoint, and a learner's before it is complete (`syncAll`): until then its
        // mark says that it must learn anew.
        store.writeState(
            pg, state,
            token: token { [unowned self] _ in
                done()
                settleReport(pg)
            })
        node?.needsCycleEnd()
    }

    /// What recovery found of a group that was not whole; told again at every opening until it has been dealt with.
    var unsettled: [PGID: RecoveredOnDisk.Origin] = [:]

    /// Void records are kept in the protocol's own state from its first writing on; a corrupt replica is dealt with once it
    /// is durable that it learns.
    private func settleReport(_ pg: PGID) {
        guard let origin = unsettled[pg] else { return }
        switch origin {
        case .found, .fresh: break
        case .corrupt: guard replicas[pg]?.group.isAbsent == false else { return }
        }
        unsettled[pg] = nil
        store.settleReport(pg, token: token { _ in })
        node?.needsCycleEnd()
    }

    /// Everything of the group that was written before this call becomes stable, its namespace's rows first.
    func syncAll(_ pg: PGID, done: @escaping () -> Void) {
        guard let fileset = pg.fileset else { return syncLog(pg, done) }
        namespaces.syncRows(fileset) { [unowned self] in syncLog(pg, done) }
    }

    private func syncLog(_ pg: PGID, _ done: @escaping () -> Void) {
        store.checkpointGroup(pg, token: token { _ in done() })
        node?.needsCycleEnd()
    }

    // MARK: - Reads

    typealias Found = (bytes: ByteBuffer, presence: Presence)

    /// Bytes of an object as applied; content older than `truncation` is seen as cut there.
    func read(
        _ pg: PGID, _ range: ObjectRange, _ truncation: TruncationMark,
        done: @escaping (Result<Found, StoreFailure>) -> Void
    ) {
        ObjectRead(host: self, pg: pg, range: range, truncation: truncation, done: done).start()
    }

    /// Nil when rows must be read first: then `again` is called, once.
    func plan(_ pg: PGID, _ object: ObjectID, _ blocks: BlockRange, again: @escaping () -> Void) -> ReadPlan? {
        let token = token { _ in again() }
        guard let plan = store.read(pg, object, blocks, token: token) else { return nil }
        tokens[token] = nil
        return plan
    }

    func truncationNumber(_ pg: PGID, _ object: ObjectID, again: @escaping () -> Void) -> TruncationNumber? {
        let token = token { _ in again() }
        guard let found = store.version(pg, object, token: token) else { return nil }
        tokens[token] = nil
        return found.truncation
    }

    /// What a file has in a group, as applied. Not called if the disk goes out of use first.
    func usage(_ pg: PGID, of file: FileID, done: @escaping (FileUsage) -> Void) {
        let token = token { [unowned self] _ in usage(pg, of: file, done: done) }
        guard let found = store.usage(pg, of: file, token: token) else { return }
        tokens[token] = nil
        done(found)
    }

    /// How a file was cut last, as of all entries that were appended. Not called if the disk goes out of use first.
    func newestCut(_ pg: PGID, of file: FileID, done: @escaping (NewestCut) -> Void) {
        let token = token { [unowned self] _ in newestCut(pg, of: file, done: done) }
        guard let found = store.newestCut(pg, of: file, token: token) else { return }
        tokens[token] = nil
        done(found)
    }

    /// What a group uses, by fileset ascending.
    func usage(_ pg: PGID) -> [(fileset: FilesetID, usage: StoreUsage)] { store.usage(pg) }

    func verdict(_ plan: ReadPlan, block: Int) -> BlockVerdict { store.verdict(plan, block: block) }
    func finished(_ plan: ReadPlan) { store.readFinished(plan.ticket) }
    func readBlocks(_ reader: BlockReader, done: @escaping (BlockReader.Outcome) -> Void) {
        executor.read(reader, done: done)
    }
    func reader(for plan: ReadPlan, held: HeldBlocks = HeldBlocks()) -> BlockReader {
        executor.reader(for: plan, held: held)
    }
    /// Each piece by itself; nil for one that does not match.
    func readEach(_ reader: BlockReader, done: @escaping ([ByteBuffer?]) -> Void) {
        executor.readEach(reader, done: done)
    }

    // MARK: - Mending

    private(set) lazy var mendings = Mendings(host: self)
    /// Bad blocks met since the disk was opened.
    private(set) var badBlocks = 0
    /// Blocks that no replica holds, with when it was said last.
    private var lostBlocks: [LostBlock: Instant] = [:]

    func replica(_ pg: PGID) -> Replica? { replicas[pg] }

    /// Writes a slot's blocks anew; `done` when that is durable.
    func repair(_ pg: PGID, _ repair: SlotRepair, _ bytes: ByteBuffer, done: @escaping () -> Void) {
        store.repair(pg, repair, payload: payloads.add(bytes), token: token { _ in done() })
        node?.needsCycleEnd()
    }

    func note(_ text: String) { node?.note(.disk(id), text) }

    /// A disk of which many blocks go bad is named, each time there are eight times as many.
    func met(badBlocks count: Int) {
        let before = badBlocks
        badBlocks += count
        var step = 64
        while step <= before { step *= 8 }
        if badBlocks >= step {
            note("\(badBlocks) blocks did not match since it was opened: the disk wants to be replaced")
        }
    }

    /// No replica holds these blocks: reads of them fail until something is written over them.
    func lost(_ blocks: [Int], of object: ObjectID, in pg: PGID, _ words: String) {
        let now = node?.moment().now ?? Instant(nanoseconds: 0)
        if lostBlocks.count > StorageLimits.lostBlocks { lostBlocks = [:] }
        let new = blocks.filter { block in
            let key = LostBlock(object: object, block: block)
            defer { lostBlocks[key] = now }
            guard let last = lostBlocks[key] else {
                node?.counters.lostBlocks += 1
                return true
            }
            return now - last > StorageLimits.lostBlockInterval
        }
        guard !new.isEmpty else { return }
        let layout = node?.layout(of: object.file.fileset)
        let places = new.map { block in
            layout.map { "\($0.fileOffset(index: object.index, offset: block * Geometry.blockSize))" } ?? "unknown"
        }
        let what = "\(words) of \(object) in \(pg) lost on all replicas: \(Geometry.blockSize) bytes at offset "
        let place = "\(places.joined(separator: ", ")) of "
        let consequence = " cannot be read until they are written anew"
        note(what + place + object.file.words(nil) + consequence)
        node?.findPaths(of: [object.file]) { [weak self] paths in
            let text = what + place + object.file.words(paths[object.file]) + consequence
            self?.node?.logger.warning("\(text)")
            if let path = paths[object.file] {
                self?.note(
                    "\(object.file.words(path)) has lost \(Geometry.blockSize) bytes at offset \(places.joined(separator: ", "))"
                )
            }
        }
    }

    private struct LostBlock: Hashable {
        var object: ObjectID
        var block: Int
    }

    // MARK: - Catching up

    func listChanges(_ pg: PGID, after name: EntryName, done: @escaping ([ObjectID], [ListedCut]) -> Void) {
        ChangeListing(host: self, pg: pg, after: name, done: done).start()
    }

    func changes(_ pg: PGID, after cursor: ChangeCursor, done: @escaping (ChangePage) -> Void) {
        store.changes(pg, after: cursor, token: token { if case .changes(let page) = $0 { done(page) } })
    }

    func version(
        _ pg: PGID, _ object: ObjectID, again: @escaping () -> Void
    ) -> (version: EntryName, truncation: TruncationNumber)? {
        let token = token { _ in again() }
        guard let found = store.version(pg, object, token: token) else { return nil }
        tokens[token] = nil
        return found
    }

    func install(_ pg: PGID, _ piece: Piece, done: @escaping () -> Void) {
        guard failure == nil else { return }
        if let payload = piece.payload { payloads.keep(payload) }
        store.install(pg, ObjectPiece(piece), payload: piece.payload, token: token { _ in done() })
        node?.needsCycleEnd()
    }

    /// A cut of a file that happened while this replica did not take part.
    func install(
        _ pg: PGID, _ file: FileID, _ truncation: TruncationMark, _ kind: RangeDeletion.Kind, asOf name: EntryName
    ) {
        guard let layout = node?.layout(of: file.fileset) else { return }
        store.install(
            pg, cut: FileCut(file: file, truncation: truncation, layout: layout, kind: kind, version: name))
        node?.needsCycleEnd()
    }

    func remove(_ pg: PGID, _ object: ObjectID, done: @escaping () -> Void) {
        store.deleteObject(pg, object, token: token { _ in done() })
        node?.needsCycleEnd()
    }

    func cutLength(_ object: ObjectID, _ truncation: TruncationMark) -> Int? {
        node?.layout(of: object.file.fileset)?.objectLength(index: object.index, fileSize: truncation.size)
    }

    func openNamespace(_ fileset: FilesetID, done: @escaping (Result<NamespaceHost, DiskError>) -> Void) {
        namespaces.open(fileset, done: done)
    }

    /// A metadata replica learns everything anew, durably: its rows go, and its log need not be kept for them.
    func renewNamespace(_ pg: PGID, decided: EntryName) {
        guard let fileset = pg.fileset else { return }
        namespaces.renew(fileset)
        store.namespaceDurable(pg, through: decided)
        settle()
    }

    // MARK: - Filesets that are gone

    /// What the disk has of filesets that are gone is removed, bit by bit.
    func filesetsChanged(_ map: ClusterMap) {
        store.filesetsChanged(LiveFilesets(map))
        settle()
        namespaces.removeGone(map)
    }

    /// Forgets a group that the cluster does not have any more, its namespace's database included.
    func forget(_ pg: PGID) {
        replicas[pg] = nil
        unsettled[pg] = nil
        store.forgetGroup(pg)
        if let fileset = pg.fileset { namespaces.remove([fileset]) }
    }

    // MARK: - Life

    /// Opens a disk: its files, its log; `done` comes when it takes appends.
    static func open(
        _ plan: DiskPlan, number: Int, namespaceThread: DiskThread, rowCache: SharedRowCache, payloads: PayloadTable,
        loop: any EventLoop, watchdog: Watchdog, logger: Logger,
        done: @escaping (Result<DiskHost, OpeningFailure>) -> Void
    ) {
        let home = CompletionHome { loop.execute($0) }
        let slot = HostSlot()
        let owner = LoopBound((slot, done), loop: loop)
        let health = DiskHealth(faults: plan.faults) { error in
            loop.execute { owner.value.0.host?.healthFailed(error) }
        }
        let threads: DiskThreads
        do throws(DiskError) {
            threads = try DiskThreads(number: number)
        } catch {
            return done(.failure(OpeningFailure("\(error)")))
        }
        watchdog.watch(threads.marks)
        watchdog.watch(health)
        let context = LoopBound((payloads, rowCache, logger), loop: loop)
        let admission = threads.index.submit(
            to: home,
            work: { () throws(DiskError) -> DiskFiles in try DiskFiles.open(plan, health: health, threads: threads) },
            completion: { result in
                let (slot, done) = owner.value
                let (payloads, rowCache, logger) = context.value
                switch result {
                case .failure(let error):
                    done(.failure(OpeningFailure("\(error)", medium: health.failure, isLocked: error.isLocked)))
                case .success(let files):
                    let host = DiskHost(
                        files, plan: plan, home: home, threads: threads, namespaceThread: namespaceThread,
                        rowCache: rowCache, payloads: payloads, loop: loop, health: health, logger: logger)
                    slot.host = host
                    slot.opening = host
                    host.opened = { result in
                        slot.opening = nil
                        done(result)
                    }
                    host.store.open(files.facts)
                    host.settle()
                }
            })
        if admission != .accepted { done(.failure(OpeningFailure("disk \(plan.path): its thread takes no work"))) }
    }

    /// Why a disk could not be opened.
    struct OpeningFailure: Error {
        var reason: String
        /// Set if its medium failed meanwhile.
        var medium: DiskError?
        /// Another process has it.
        var isLocked: Bool
        init(_ reason: String, medium: DiskError? = nil, isLocked: Bool = false) {
            self.reason = reason
            self.medium = medium
            self.isLocked = isLocked
        }
    }

    /// Lets the health's observer find the host that is made after it, and holds the host while it opens: the host has the
    /// health, so a slot that held it longer would hold it for ever.
    private final class HostSlot {
        weak var host: DiskHost?
        var opening: DiskHost?
    }

    private init(
        _ files: DiskFiles, plan: DiskPlan, home: CompletionHome, threads: DiskThreads, namespaceThread: DiskThread,
        rowCache: SharedRowCache, payloads: PayloadTable, loop: any EventLoop, health: DiskHealth, logger: Logger
    ) {
        id = files.disk.superblock.disk
        path = plan.path
        boot = plan.boot
        doubt = files.earlierFailure
        folder = files.disk.folder
        totalBytes = files.facts.totalBytes
        self.payloads = payloads
        self.threads = threads
        self.health = health
        self.home = home
        self.logger = logger
        store = Store(configuration: .standard, crc: .hardware)
        namespaces = NamespaceHosts(
            folder: files.disk.namespaces, thread: namespaceThread, sync: threads.sync, home: home, loop: loop,
            content: files.facts.content, cache: rowCache, logger: logger)
        executor = DiskExecutor(
            disk: files.disk, loop: loop, home: home, payloads: payloads, threads: threads, index: files.index,
            indexLog: files.indexLog, segmentFiles: files.segmentFiles, segments: files.segments)
        // Work on threads holds the executor and the namespaces, and may come back after the host has gone.
        executor.completed = { [weak self] in self?.completed($0) }
        namespaces.becameDurable = { [weak self] fileset, name in
            self?.store.namespaceDurable(.metadata(fileset), through: name)
            self?.settle()
        }
        namespaces.failed = { [weak self] in self?.fail($0) }
    }

    private func completed(_ completion: StoreCompletion) {
        store.completed(completion)
        // Within `settle` (a log write completes at once) the loop there goes on.
        if isSettling { return }
        settle()
        guard let node else { return endCycle() }
        // What the completion made ready goes to the log with all else of this cycle.
        node.needsCycleEnd()
    }

    /// The log was read: payloads that groups will need are fetched, then the disk begins.
    private func recoveredLog(_ report: RecoveryReport) {
        let recovery = LogRecovery(host: self, report: report, payloads: payloads)
        recovery.run { [self] result in
            switch result {
            case .success(let found):
                recovered = found
                for group in found where group.origin == .corrupt || !group.voids.isEmpty {
                    unsettled[group.pg] = group.origin
                }
                store.begin(corrupt: found.filter { $0.origin == .corrupt }.map(\.pg))
                settle()
            case .failure(let failure): fail(failure.description)
            }
        }
    }

    /// Where an entry's payload lies; ended by `finished`.
    func location(_ pg: PGID, _ name: EntryName) -> EntryLocation? { store.location(pg, name) }
    func finished(_ location: EntryLocation) { store.readFinished(location.ticket) }
    func readPayload(_ location: EntryLocation, done: @escaping (ByteBuffer?) -> Void) {
        executor.read(location, done: done)
    }

    func takeRecovered() -> [RecoveredOnDisk] {
        defer { recovered = [] }
        return recovered
    }

    func tick(_ now: Instant) {
        giveTables()
        store.tick(now)
        namespaces.tick(now)
        askFreeBytes(now)
    }

    /// Once a second: others use the file system too, and what was full may have room again.
    private func askFreeBytes(_ now: Instant) {
        guard now >= freeBytesAsked + .seconds(1) else { return }
        freeBytesAsked = now
        executor.askFreeBytes(of: totalBytes) { [weak self] free in
            self?.store.spaceChanged(freeBytes: free)
            self?.settle()
        }
    }

    func endCycle() {
        store.endOfCycle()
        settle()
    }

    /// Runs the store's effects until it has none.
    func settle() {
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        while store.hasEffects {
            for effect in store.takeEffects() {
                if case .notify(let notice) = effect { took(notice) } else { executor.run(effect) }
            }
        }
    }

    /// A write or sync failed, or a call is stuck. One that was stuck and fails in the end tells only then what is lost.
    private func healthFailed(_ error: DiskError) {
        guard failure != nil else { return fail("\(error)") }
        guard let mediumFailure else { return }
        FailureMark.leave(in: path, reason: "\(mediumFailure)")
        node?.noteFailure(of: id, mediumFailure) {}
    }

    /// The use of this disk ends (store.md, rule 4).
    func fail(_ reason: String) {
        guard failure == nil else { return }
        store.failed(StoreFailure(reason))
        settle()
    }

    /// The coordination store knows that the disk learns anew: the mark in its folder has done its work, too.
    func forgetDoubt() {
        doubt = nil
        let folder = folder
        let home = home
        _ = threads.index.submit(
            to: home, work: { () throws(DiskError) in try FailureMark.remove(from: folder) }, completion: { _ in })
    }

    /// Makes the disk clean and ends its threads.
    func close(done: @escaping () -> Void) {
        guard failure == nil else { return done() }
        // From here on a failure of the disk ends the wait: a sync that hangs never comes back.
        closed = { [self] in namespaces.close(done) }
        namespaces.makeDurable { [self] in
            guard failure == nil else { return }
            store.close()
            settle()
        }
    }

    func token(_ done: @escaping (Notice) -> Void) -> StoreToken {
        lastToken += 1
        let token = StoreToken(lastToken)
        tokens[token] = done
        return token
    }

    /// Not before every replica is there: the log would be trimmed that its tables are to be made from.
    private func giveTables() {
        guard let groups = tablesWanted, let node, !node.isOpening else { return }
        tablesWanted = nil
        store.giveTables(groups.compactMap { pg in replicas[pg].map { (pg, $0.group.checkpointTables().bytes) } })
    }

    private func took(_ notice: StoreNotice) {
        switch notice {
        case .recovered(let report): recoveredLog(report)
        case .ready:
            opened?(.success(self))
            opened = nil
        case .appended(let pg, let through): replicas[pg]?.event { $0.logAppended(through: through, at: $1) }
        case .stable(let pg, let through): replicas[pg]?.logStable(through: through)
        case .applied(let pg, _): replicas[pg]?.group.roomChanged(store.space.admissible)
        case .durable(let token): tokens.removeValue(forKey: token)?(.durable)
        case .readAgain(let token): tokens.removeValue(forKey: token)?(.readAgain)
        case .tablesWanted(let groups):
            tablesWanted = groups
            giveTables()
        case .changes(let token, let page): tokens.removeValue(forKey: token)?(.changes(page))
        case .left(let pg): hasLeft(pg)
        case .closed:
            closed?()
            closed = nil
        case .badBlock(let pg, let object, let block): mendings.mend(pg, object, block: block) { _ in }
        case .failed(let reason):
            failure = reason.description
            health.fail(DiskError(.write, path: path, .diskFailed))
            logger.critical("disk \(id) is out of use: \(reason)")
            if let mediumFailure { FailureMark.leave(in: path, reason: "\(mediumFailure)") }
            opened?(.failure(OpeningFailure(reason.description, medium: mediumFailure)))
            opened = nil
            node?.diskFailed(self, reason.description)
            closed?()
            closed = nil
        }
    }
}
