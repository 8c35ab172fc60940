import CSupport
import ClusterModel
import Coordination
import DiskIO
import Logging
import NIOCore
import Replication
import Transport
import Wire

/// The object layer of one node: its disks with their replicas, the connections to the other nodes, the lease, and the
/// requests of gateways, own and others'. Used on its event loop only.
///
/// Invariants:
/// - effects of a machine are executed before the next event reaches it from outside;
/// - the log of a disk is written once per cycle of the loop, after all that arrived in it was handed to the machines;
/// - an answer leaves only while the lease it was made under is surely valid;
/// - it lives as long as its event loop runs, and so do its disks with their replicas, the failed ones included: what comes
///   back from threads and other processes refers to them unowned.
public final class StorageNode {
    public let loop: any EventLoop
    public let localNode: NodeID
    let boot: BootID
    /// It speaks no later version of the protocol: the newest, but in a test of versions side by side.
    let newestProtocol: ProtocolVersion
    let logger: Logger
    let payloads: PayloadTable
    let rowCache = SharedRowCache()
    let transport: NodeTransport
    let directory: ClusterDirectory
    let coordinator: any Coordinator
    public let membership: NodeMembership
    var disks: [DiskHost] = []
    var replicas: [PGID: Replica] = [:]
    /// Ascending by group, for everything that walks over all.
    private(set) var orderedReplicas: [Replica] = [] {
        didSet { replicasWithNamespace = orderedReplicas.filter { $0.namespace != nil } }
    }
    private var replicasWithNamespace: [Replica] = []
    /// Groups whose record has changed since it was last looked which disk of this node it names.
    var recordsToLookAt: Set<PGID> = []
    private var dirty: [Replica] = []
    var requests = RequestTable()
    var exchanges = Exchanges(at: BootClock.now())
    private var lastExchangeCheck = Instant(nanoseconds: 0)
    private var map: MapFacts
    private var cycle = Cycle.idle
    private var isSettling = false
    var peers = PeerWatch()
    private var lastAlive = Instant(nanoseconds: 0)
    var lastAccounting = Instant(nanoseconds: 0)
    /// Groups that are being erased from a disk, to be learned anew.
    var erasing: Set<PGID> = []
    /// Metadata groups whose namespace is being opened.
    private var opening: Set<PGID> = []
    var balancer = PrimaryBalancer()
    var placement = WantedPlacement()
    var paces: PaceJudge
    var lastPaces = Instant(nanoseconds: 0)
    var unusableDisks: [UnusableDisk] = []
    /// Disks that are not the cluster's any more; kept, for what is under way for them still comes back.
    var retiredDisks: [DiskHost] = []
    var background = BackgroundWork(RecoverySettings(), at: BootClock.now())
    var lastBalance = Instant(nanoseconds: 0)
    /// Set from the moment that this node is told to stop.
    var departure: Departure?
    /// Disks whose note in the coordination store is being changed.
    var notesChanging: Set<DiskID> = []
    /// Replicas that the disks hold are still being made.
    var isOpening: Bool { !hasBegun || !opening.isEmpty }
    private var hasBegun = false
    var leasesAsked: Set<LeaseNumber> = []
    var lastSessionWatch = Instant(nanoseconds: 0)
    var scrubs = ScrubSchedule()
    var ticking: RepeatedTask?
    private(set) var events = EventLog()
    public var viewChanged: (() -> Void)?
    /// Nodes or disks have come or gone.
    public var membersChanged: (() -> Void)?
    /// Finds paths that lead to damaged files; without it they are named by their inodes.
    public var pathFinder: ((_ files: [FileID], _ done: @escaping ([FileID: FilePath]) -> Void) -> Void)?
    /// Answers the command line.
    public var adminQuestion: ((AdminText, @escaping (AdminText) -> Void) -> Void)?
    /// The node cannot go on (the coordination store is gone); it has to end its process.
    public var mustStop: ((String) -> Void)?
    public internal(set) var counters = StorageCounters()
    /// The folders that other filesets are joined at, by the fileset that has them, as far as they were made here.
    var junctionsMade: [FilesetID: Set<FilesetID>] = [:]
    /// Likewise of those that were deleted, as far as their folders were removed from here.
    var junctionsRemoved: [FilesetID: Set<FilesetID>] = [:]
    /// Deleted filesets that are being taken out of the map by this node.
    var filesetsLeaving: Set<FilesetID> = []
    var liveFilesets: LiveFilesets { map.filesets }

    private enum Cycle {
        case idle
        case scheduled
    }

    public init(
        loop: any EventLoop, localNode: NodeID, boot: BootID, directory: ClusterDirectory, coordinator: any Coordinator,
        hasProgress: @escaping @Sendable () -> Bool, newestProtocol: ProtocolVersion = .newest, logger: Logger
    ) {
        self.loop = loop
        self.newestProtocol = newestProtocol
        self.localNode = localNode
        self.boot = boot
        self.directory = directory
        self.coordinator = coordinator
        self.logger = logger
        paces = PaceJudge(local: localNode)
        payloads = PayloadTable()
        transport = NodeTransport(eventLoop: loop, localNode: localNode, payloads: payloads, logger: logger)
        membership = NodeMembership(
            node: localNode, coordinator: coordinator, directory: directory, loop: loop, hasProgress: hasProgress,
            logger: logger)
        map = MapFacts(directory.view.map)
        directory.changed = { [unowned self] groups, change in directoryChanged(groups, change) }
        directory.failed = { [unowned self] error in mustStop?("the coordination store failed: \(error)") }
        membership.leaseTaken = { [unowned self] number in leaseTaken(number) }
        membership.leaseLapsed = { [unowned self] number, reason in leaseLapsed(number, "\(reason)") }
        membership.sessionOpened = { [unowned self] _ in viewChanged?() }
        transport.delegate = self
    }

    // MARK: - Starting

    /// Listens for other nodes and for the command line.
    public func listen(on endpoint: NodeEndpoint) -> EventLoopFuture<Void> { transport.listen(on: endpoint) }
    /// Keeps a connection to another node from now on.
    public func connect(to node: NodeID, at endpoint: NodeEndpoint) { transport.connect(to: node, at: endpoint) }
    /// Of a node that has left the cluster.
    public func forget(_ node: NodeID) { transport.forget(node) }

    /// Opens the disks, and starts; without those that cannot be opened, if there are others.
    public func start(_ plans: [DiskPlan], threads: NodeThreads, done: @escaping (Result<Void, StorageFailure>) -> Void)
    {
        openEach(plans[...], threads) { [self] result in
            switch result {
            case .success: begin(done)
            case .failure(let failure): done(.failure(failure))
            }
        }
    }

    /// Makes the replicas that the records name, from what was found on the disks, and joins the cluster.
    private func begin(_ done: @escaping (Result<Void, StorageFailure>) -> Void) {
        // A folder that the configuration still names, after its disk was replaced or removed.
        for disk in disks where directory.view.map.disk(disk.id) == nil { retire(disk) }
        for disk in disks { host(disk) }
        addNewReplicas()
        hasBegun = true
        membership.join()
        let owner = LoopBound(self, loop: loop)
        ticking = loop.scheduleRepeatedTask(initialDelay: .milliseconds(20), delay: .milliseconds(20)) { _ in
            owner.value.tick()
        }
        needsCycleEnd()
        done(.success(()))
    }

    func addReplica(_ pg: PGID, on disk: DiskHost, _ recovered: RecoveredOnDisk?) {
        guard let fileset = pg.fileset else { return addReplica(pg, on: disk, recovered, namespace: nil) }
        guard opening.insert(pg).inserted else { return }
        disk.openNamespace(fileset) { [self] result in
            opening.remove(pg)
            // Its fileset may have gone meanwhile.
            guard directory.view.record(pg) != nil else { return disk.forget(pg) }
            switch result {
            case .success(let namespace): addReplica(pg, on: disk, recovered, namespace: namespace)
            case .failure(let error): disk.fail("\(error)")
            }
        }
    }

    private func addReplica(_ pg: PGID, on disk: DiskHost, _ recovered: RecoveredOnDisk?, namespace: NamespaceHost?) {
        let local = Member(node: localNode, disk: disk.id, boot: boot)
        let group: PlacementGroup
        let found = recovered?.replica(boot: boot)
        do {
            group = try PlacementGroup(
                pg: pg, local: local, recovered: found, found: recovered?.end ?? .zero, limits: .byTurn, at: moment())
        } catch {
            return disk.fail("the state of group \(pg) cannot be read: \(error)")
        }
        let replica = Replica(
            pg: pg, group: group, disk: disk, namespace: namespace, node: self, payloads: payloads)
        if let recovered {
            if found != nil {
                // A learner's rows wait for a snapshot: entries do not join what is there now.
                if !group.isLearning { replica.reapply(recovered.reapply) }
                replica.resume(recovered.undecided)
            } else {
                // It learns anew: its old log counts for nothing, and may have holes.
                for entry in recovered.undecided { if let payload = entry.payload { payloads.drop(payload) } }
            }
        }
        replicas[pg] = replica
        orderedReplicas.insert(replica, at: orderedReplicas.firstIndex { pg < $0.pg } ?? orderedReplicas.count)
        disk.add(replica)
        replica.event { group, now in
            group.roomChanged(disk.space.admissible)
            group.mapChanged(map, at: now)
            for peer in peers.connected {
                group.peerConnected(PeerFacts(node: peer.node, boot: peer.boot, spoken: peer.spoken), at: now)
                if peers.isLeaving(peer.node) { group.peerLeaving(peer.node, at: now) }
            }
            if departure != nil { group.leavingBegan(at: now) }
            if let lease = membership.lease?.number { group.leaseTaken(lease, at: now) }
            if !paces.standings.isEmpty { tellPaces(replica) }
            if let targets = placement.targets(for: pg, directory.view.map) { group.placementWanted(targets, at: now) }
            if let record = directory.view.record(pg) { group.recordRead(record, directory.version(of: pg), at: now) }
        }
        replica.lookAtRows()
    }

    /// Takes a replica out whose group has left the cluster.
    func remove(_ replica: Replica) {
        replicas[replica.pg] = nil
        orderedReplicas.removeAll { $0 === replica }
        replica.retire()
    }

    /// Every replica of this node, ascending by group.
    public var standings: [ReplicaStanding] { orderedReplicas.map(ReplicaStanding.init) }
    func host(_ pg: PGID) -> Replica? { replicas[pg] }
    func layout(of fileset: FilesetID) -> Layout? { directory.view.map.fileset(fileset)?.layout }

    // MARK: - Time and cycles

    func moment() -> Moment {
        Moment(now: BootClock.now(), time: Timestamp(nanoseconds: cs_wall_time_ns()))
    }

    private func tick() {
        let now = moment()
        for disk in disks { disk.tick(now.now) }
        var look = GroupsLook()
        for replica in orderedReplicas {
            if replica.group.nextTick <= now.now { replica.event { $0.ticked(at: $1) } }
            replica.releaseHeld(now.now)
            replica.group.roomChanged(replica.disk.space.admissible)
            look.add(replica)
        }
        if !recordsToLookAt.isEmpty || disks.contains(where: { !$0.remains.isEmpty }) { considerRemains() }
        watchPeers(now.now)
        watchSessions(now.now)
        watchExchanges(now.now)
        settleNotes()
        balancePrimaries(now.now)
        pursueBackgroundWork(look, now.now)
        watchScrubs(leading: look.served, now)
        watchPaces(now)
        settle()
        watchDeparture(now.now)
        for replica in replicasWithNamespace { replica.namespace?.flush() }
    }

    func touched(_ replica: Replica) {
        if !replica.isDirty {
            replica.isDirty = true
            dirty.append(replica)
        }
        // Effects are executed when the event at hand has been dealt with.
        if !isSettling { needsCycleEnd() }
    }

    /// Executes effects until no machine has any.
    func settle() {
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        repeat {
            while let replica = dirty.popLast() {
                replica.isDirty = false
                replica.settle()
            }
            for disk in disks { disk.settle() }
        } while !dirty.isEmpty
    }

    /// The cycle's end runs after all that is ready on the loop now was read.
    func needsCycleEnd() {
        guard case .idle = cycle else { return }
        cycle = .scheduled
        loop.assumeIsolated().execute { [unowned self] in endCycle() }
    }

    private func endCycle() {
        cycle = .idle
        settle()
        // Backups get an entry before it is written here, and write it at the same time.
        transport.flush()
        for disk in disks { disk.endCycle() }
        settle()
        for replica in replicasWithNamespace { replica.namespace?.flush() }
    }

    // MARK: - Requests

    /// A request for a group of this node; `reply` is called once. The payload, if any, belongs to the group from now on,
    /// that of the answer to `reply`.
    func request(_ request: PGRequest, reply: @escaping (PGResponse) -> Void) {
        counters.requests += 1
        var request = request
        var reply = reply
        guard let replica = replicas[request.pg] else {
            if let payload = request.payload { payloads.drop(payload) }
            let record = directory.view.record(request.pg)
            return reply(PGResponse(pg: request.pg, epoch: record?.epoch ?? .zero, body: .refused(.notPrimary(record))))
        }
        // What brings no payload is no burden to what is full of them: reads go on.
        let isFull = request.payload != nil && payloads.byteCount > StorageLimits.payloadBytes
        if requests.count >= StorageLimits.waitingRequests || isFull {
            if let payload = request.payload { payloads.drop(payload) }
            counters.overloaded += 1
            return reply(
                PGResponse(pg: request.pg, epoch: replica.group.record?.epoch ?? .zero, body: .refused(.unavailable)))
        }
        let checksums = checksums(of: request)
        func sayUnavailable() {
            if let payload = request.payload { payloads.drop(payload) }
            reply(PGResponse(pg: request.pg, epoch: replica.group.record?.epoch ?? .zero, body: .refused(.unavailable)))
        }
        if case .mutate = request.body {
            guard let fixed = fixed(request, replica) else { return sayUnavailable() }
            request = fixed.request
            if let inode = fixed.setting, let namespace = replica.namespace {
                namespace.setsTimes(of: inode)
                let answer = reply
                reply = { response in
                    namespace.setTimes(of: inode)
                    answer(response)
                }
            }
        }
        if case .later = cutBefore(request, replica) { return sayUnavailable() }
        let token = requests.add(request, reply: reply)
        replica.event { $0.requestArrived(token, request, checksums: checksums, at: $1) }
    }

    /// A change that knows of a truncation which the group has not heard of comes after that cut.
    private func cutBefore(_ request: PGRequest, _ replica: Replica) -> Cut {
        let object: ObjectID
        let mark: TruncationMark
        switch request.body {
        case .write(let range, let truncation, _): (object, mark) = (range.object, truncation)
        case .zero(let changed, _, let truncation, _): (object, mark) = (changed, truncation)
        case .deleteRange, .read, .readVersion, .mutate, .query, .flush: return .done
        }
        guard !replica.group.knowsTruncation(mark.number, of: object.file),
            let layout = layout(of: object.file.fileset),
            replica.group.isPrimary
        else { return .done }
        guard replica.group.isServing else { return .later }
        replica.event {
            $0.ownDeletion(
                RangeDeletion(file: object.file, truncation: mark, layout: layout, kind: .truncation, edge: nil), at: $1
            )
        }
        return .done
    }

    private enum Cut {
        case done
        /// The group cannot name a cut yet: the sender tries again.
        case later
    }

    /// One for each block of a write of whole blocks.
    private func checksums(of request: PGRequest) -> [UInt32] {
        guard case .write(let range, _, _) = request.body, range.offset % Geometry.blockSize == 0,
            range.length % Geometry.blockSize == 0, let bytes = request.payload.flatMap(payloads.payload),
            bytes.count == range.length
        else { return [] }
        return BlockChecksums.compute(range.object, first: range.blocks.first, bytes)
    }

    /// What this node knows of a change of the namespace: whether it takes space, and fixes times; and a settlement's time is
    /// fixed when it is named, by what this primary answered (namespace.md). `setting`: the inode whose times a SETATTR sets. Nil
    /// when it is to come again.
    private func fixed(_ request: PGRequest, _ replica: Replica) -> (request: PGRequest, setting: InodeNumber?)? {
        guard let namespace = replica.namespace, let payload = request.payload, let bytes = payloads.bytes(of: payload),
            let entry = try? bytes.decoded({ r throws(WireError) in try NamespaceEntry(from: &r) })
        else { return (request, nil) }
        var request = request
        request.describe(entry.operation)
        if case .setAttributes(let inode, _, _) = entry.operation, request.fixesTimes { return (request, inode) }
        guard case .settle = entry.operation else { return (request, nil) }
        // Who does not serve has answered nothing that counts, and says so.
        guard replica.group.isServing else { return (request, nil) }
        var changed = entry
        guard let operation = namespace.fixed(entry.operation) else { return nil }
        changed.operation = operation
        if changed == entry { return (request, nil) }
        payloads.drop(payload)
        request.payload = payloads.add(ByteBuffer(bytes: wireBytes(changed.encode)))
        return (request, nil)
    }

    func answer(_ token: RequestToken, _ response: PGResponse, under lease: LeaseNumber) {
        guard let waiting = requests.take(token, &background.governor) else {
            if let payload = response.payload { payloads.drop(payload) }
            return
        }
        if lease != .none, membership.lease?.number != lease || !membership.isSurelyValid {
            if let payload = response.payload { payloads.drop(payload) }
            return waiting.reply(PGResponse(pg: response.pg, epoch: response.epoch, body: .refused(.unavailable)))
        }
        waiting.reply(response)
    }

    // MARK: - Peers

    func send(_ message: NodeMessage, to node: NodeID) { transport.send(message, to: node) }

    private func watchPeers(_ now: Instant) {
        for change in peers.check(at: now, silence: ReplicationLimits().silence) { peerChanged(change) }
        guard now - lastAlive >= StorageLimits.aliveInterval else { return }
        lastAlive = now
        let standing = standing(now)
        for peer in peers.connected { transport.send(.alive(standing), to: peer.node) }
    }

    private func watchExchanges(_ now: Instant) {
        guard now - lastExchangeCheck >= StorageLimits.exchangeCheckInterval else { return }
        lastExchangeCheck = now
        let ended = exchanges.expired(at: now) { peers.isHeard($0) }
        if !ended.isEmpty { logger.warning("\(ended.count) questions to other nodes were not answered in time") }
        for waiter in ended { waiter(.lost) }
    }

    func peerChanged(_ change: PeerWatch.Change) {
        switch change {
        case .fellSilent(let node):
            logger.warning("\(node) has fallen silent")
            for replica in orderedReplicas { replica.event { $0.peerFellSilent(node, at: $1) } }
        case .spoke(let node): for replica in orderedReplicas { replica.event { $0.peerSpoke(node, at: $1) } }
        }
    }

    /// Nodes that are connected and not silent, and speak this version of the protocol with this one; it itself, if it does.
    public func speakers(of version: ProtocolVersion) -> Set<NodeID> {
        let others = peers.connected.filter { $0.spoken >= version && peers.isHeard($0.node) }.map(\.node)
        return Set(others + (newestProtocol >= version ? [localNode] : []))
    }

    /// Nodes that are connected and not silent.
    public func isHeard(_ node: NodeID) -> Bool { node == localNode || peers.isHeard(node) }

    // MARK: - Disks

    func diskFailed(_ disk: DiskHost, _ reason: String) {
        note(.disk(disk.id), "out of use: \(reason)")
        if let medium = disk.mediumFailure { noteFailure(of: disk.id, medium) {} }
        endReplicas(on: disk)
    }

    /// The disk is not used any more: others hear of it, and claim what was led there.
    func endReplicas(on disk: DiskHost) {
        let lost = orderedReplicas.filter { $0.disk === disk }
        if lost.isEmpty { return }
        for replica in lost { replica.event { $0.leaseLapsed(membership.lease?.number ?? .none, at: $1) } }
        // Its groups can be claimed elsewhere only when the lease of their primary (or of a claim under way) has ended.
        membership.startOver()
        settle()
        // The disk keeps them: what is under way for them still comes back.
        orderedReplicas.removeAll { $0.disk === disk }
        for replica in lost {
            replicas[replica.pg] = nil
            replica.diskFailed()
        }
        settle()
        tellGone(lost.map(\.pg))
        // What was being read there never returns.
        for replica in lost {
            for waiting in requests.takeAll(of: replica.pg) {
                waiting.reply(
                    PGResponse(
                        pg: replica.pg, epoch: replica.group.record?.epoch ?? .zero, body: .refused(.unavailable)))
            }
        }
    }

    func note(_ subject: EventLog.Subject, _ text: String) { events.add(subject, text, at: moment().time) }

    // MARK: - Lease

    private func leaseTaken(_ number: LeaseNumber) {
        for replica in orderedReplicas { replica.event { $0.leaseTaken(number, at: $1) } }
        viewChanged?()
    }

    private func leaseLapsed(_ number: LeaseNumber, _ reason: String) {
        note(.leaseLapsed, "\(number): \(reason)")
        for replica in orderedReplicas { replica.event { $0.leaseLapsed(number, at: $1) } }
        viewChanged?()
    }

    // MARK: - Coordination

    private func directoryChanged(_ groups: [PGID], _ change: ClusterDirectory.MapChange) {
        if case .newer = change {
            map = MapFacts(directory.view.map)
            for replica in orderedReplicas { replica.event { $0.mapChanged(map, at: $1) } }
            membership.mapChanged(directory.view.map)
            filesetsChanged()
            placementChanged()
        }
        for pg in groups {
            if let replica = replicas[pg], let record = directory.view.record(pg) {
                replica.event { $0.recordRead(record, directory.version(of: pg), at: $1) }
            }
        }
        recordsToLookAt.formUnion(groups)
        if !groups.isEmpty { considerRemains() }
        addNewReplicas()
        if case .newer = change {
            for replica in orderedReplicas where replica.group.isServing {
                guard let fileset = replica.pg.fileset else { continue }
                replica.sessionsEnded()
                makeJunctions(of: fileset, replica)
                removeJunctions(of: fileset, replica)
            }
        }
        viewChanged?()
    }

    func propose(_ proposal: Proposal, for replica: Replica) {
        directory.propose(proposal) { replica.proposalEnded(proposal, $0) }
    }

    func readMap(_ done: @escaping (MapFacts) -> Void) {
        directory.barrier { [unowned self] in done(MapFacts(directory.view.map)) }
    }

    func awaitMap(since version: RecordVersion, _ done: @escaping (MapFacts) -> Void) {
        directory.awaitChange(version) { [unowned self] in done(MapFacts(directory.view.map)) }
    }

    func readRecord() {
        directory.barrier { [unowned self] in
            for replica in orderedReplicas {
                if let record = directory.view.record(replica.pg) {
                    replica.event { $0.recordRead(record, directory.version(of: replica.pg), at: $1) }
                }
            }
        }
    }

    func reported(_ report: ReplicaReport, by pg: PGID) {
        if case .handoverGivenUp = report { balancer.gaveUp(pg, at: moment().now) }
        logger.info("\(pg): \(report)")
        note(.group(pg), "\(report)")
    }
}
