import ClusterModel
import Gateway
import Namespace
import Wire

/// What may go wrong, in parts of 1,000 requests.
struct Faults {
    var lostRequest = 0
    var lostAnswer = 0
    /// The sender hears that the connection ended, and the request arrives all the same, later.
    var lateCopy = 0
    var unavailable = 0
    var stall = 0
    static let none = Faults()
    static let many = Faults(lostRequest: 30, lostAnswer: 40, lateCopy: 20, unavailable: 30, stall: 10)
}

/// Nodes, placement groups and gateways on virtual time; everything follows from the seed.
final class World {
    struct Event {
        var at: UInt64
        var order: UInt64
        var run: () -> Void
    }

    static let fileset = FilesetID.root
    var now: UInt64 = 1_000_000_000
    var random: SplitMix64
    var faults = Faults.none
    var loss = LossNumber.zero
    let layout: Layout
    var groups: [PGID: FakeGroup] = [:]
    var records: [PGID: PGRecord] = [:]
    var map: ClusterMap
    var gateways: [Door] = []
    /// Whether cuts are shown only when all data groups have them; off where a test shows what becomes of it else.
    var holdsCuts = true
    private var held = HeldAnswers<() -> Void>()
    private var events: [Event] = []
    private var order: UInt64 = 0

    init(seed: UInt64, gateways count: Int = 2, dataGroups: UInt32 = 8, layout: Layout? = nil) {
        random = SplitMix64(seed: seed)
        guard let small = Layout(stripeUnit: 64 << 10, stripeCount: 2), let policy = ReplicationPolicy(copies: 3) else {
            preconditionFailure("these values are within their ranges")
        }
        self.layout = layout ?? small
        map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: dataGroups)
        map.filesets = [Fileset(id: World.fileset, name: "root", layout: self.layout, state: .live, junction: nil)]
        let members = (1...3).map { Member(node: NodeID($0), disk: DiskID(UInt128($0)), boot: BootID(1)) }
        for pg in map.placementGroups {
            groups[pg] = FakeGroup(pg: pg)
            records[pg] = PGRecord(
                pg: pg, epoch: Epoch(1), primary: NodeID(UInt16(1 + random.below(3))), primaryLease: LeaseNumber(1),
                inSync: members, learners: [], placement: [], lossNumber: .zero)
        }
        groups[.metadata(World.fileset)]?.namespace = FakeNamespace(fileset: World.fileset, layout: self.layout)
        for index in 0..<count {
            let door = Door(world: self, index: index, seed: random.next())
            gateways.append(door)
            giveSession(door)
        }
    }

    var time: GatewayTime {
        GatewayTime(
            now: Instant(nanoseconds: now), wall: Timestamp(nanoseconds: Int64(now) + 1_700_000_000_000_000_000))
    }

    var namespace: FakeNamespace {
        get { groups[.metadata(World.fileset)]?.namespace ?? FakeNamespace(fileset: World.fileset, layout: layout) }
        set { groups[.metadata(World.fileset)]?.namespace = newValue }
    }

    func giveSession(_ door: Door) {
        let id = SessionID(map.lastSession.rawValue + 1)
        map.lastSession = id
        map.sessions.append(Session(id: id, node: door.node, lease: LeaseNumber(1)))
        map.version = map.version.next
        door.session = id
        for one in gateways { one.show() }
    }

    func endSession(_ door: Door) {
        map.sessions.removeAll { $0.id == door.session }
        // The metadata primary settles for who is gone.
        if let session = door.session {
            for inode in namespace.files.keys.sorted()
            where namespace.files[inode]?.writers.removeValue(forKey: session) != nil { namespace.unmeasure(inode) }
        }
        map.version = map.version.next
        door.session = nil
        door.show()
        giveSession(door)
    }

    // MARK: Time

    func after(_ delay: UInt64, _ run: @escaping () -> Void) {
        order += 1
        let event = Event(at: now + delay, order: order, run: run)
        var low = 0
        var high = events.count
        // Latest first, so that the next is taken off the end.
        while low < high {
            let middle = (low + high) / 2
            if (events[middle].at, events[middle].order) > (event.at, event.order) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        events.insert(event, at: low)
    }

    /// Runs until `condition` holds; false when `limit` of virtual time has passed first.
    @discardableResult
    func run(for limit: TimeSpan, until condition: () -> Bool = { false }) -> Bool {
        let end = now + limit.nanoseconds
        while !condition() {
            guard let next = events.last, next.at <= end else {
                now = end
                return condition()
            }
            events.removeLast()
            now = next.at
            next.run()
        }
        return true
    }

    func chance(_ parts: Int) -> Bool { parts > 0 && random.below(1000) < parts }
    func delay() -> UInt64 { 50_000 + UInt64(random.below(2_000_000)) }

    // MARK: Changing primaries

    /// Another node becomes primary, or the same one anew, perhaps after a while without one; the gateways learn of it late.
    func failOver(_ pg: PGID) {
        guard var record = records[pg], let old = record.primary else { return }
        record.epoch = record.epoch.next
        record.primary = nil
        records[pg] = record
        let gap = UInt64(random.below(300)) * 1_000_000
        after(gap) { [self] in
            record.epoch = record.epoch.next
            record.primary = NodeID((old.rawValue - 1 + UInt16(random.below(3))) % 3 + 1)
            records[pg] = record
            for door in gateways { after(UInt64(random.below(800)) * 1_000_000) { door.show() } }
        }
        if random.below(2) == 0 {
            for door in gateways { after(UInt64(random.below(200)) * 1_000_000) { door.show() } }
        }
    }

    // MARK: Requests

    /// `done` nil: the connection ended.
    func send(
        _ request: PGRequest, _ payload: FakePayload, to node: NodeID,
        done: @escaping ((PGResponse, FakeGroup.Content)?) -> Void
    ) {
        let travel = chance(faults.stall) ? 500_000_000 + UInt64(random.below(2_500)) * 1_000_000 : delay()
        if chance(faults.lostRequest) { return after(travel) { done(nil) } }
        if chance(faults.lateCopy) {
            after(delay()) { done(nil) }
            return after(travel + UInt64(random.below(50)) * 1_000_000) { [self] in _ = arrive(request, payload, node) }
        }
        after(travel) { [self] in
            let answer = arrive(request, payload, node)
            if chance(faults.lostAnswer) { return after(delay()) { done(nil) } }
            let back = delay()
            hold(request, answer.1) { [self] in after(back) { done(answer) } }
        }
    }

    /// As a metadata primary does.
    private func hold(_ request: PGRequest, _ content: FakeGroup.Content, _ leave: @escaping () -> Void) {
        guard holdsCuts, request.pg.isMetadata else { return leave() }
        let cuts = namespace.deletions.filter { $0.kind == .truncation }
        let at = Instant(nanoseconds: now)
        held.update(
            Dictionary(cuts.map { ($0.file.inode, $0.truncation.number) }, uniquingKeysWith: max), at: at)
        let shown: Set<InodeNumber> =
            switch content {
            case .result(let result): result.shown
            case .answer(let answer): answer.shown
            case .units, .none: []
            }
        if let free = held.hold(leave, showing: shown, at: at) {
            free()
        } else {
            after(HeldAnswers<() -> Void>.patience.nanoseconds) { [self] in release() }
        }
        release()
    }

    private func release() { for free in held.takeReleased(at: Instant(nanoseconds: now)) { free() } }

    private func arrive(_ request: PGRequest, _ payload: FakePayload, _ node: NodeID) -> (PGResponse, FakeGroup.Content)
    {
        let record = records[request.pg]
        func refuse(_ refusal: PGRefusal) -> (PGResponse, FakeGroup.Content) {
            (PGResponse(pg: request.pg, epoch: record?.epoch ?? .zero, body: .refused(refusal)), .none)
        }
        guard let record, record.primary == node else {
            return refuse(.notPrimary(random.below(2) == 0 ? nil : record))
        }
        if request.epoch < record.epoch { return refuse(.newerEpoch(record)) }
        if !map.isLive(request.session) { return refuse(.sessionEnded(map.version)) }
        if chance(faults.unavailable) { return refuse(.unavailable) }
        guard
            let (body, content) = groups[request.pg]?.execute(
                request, payload, layout: layout, loss: loss, now: time.wall)
        else { return refuse(.invalid) }
        return (PGResponse(pg: request.pg, epoch: record.epoch, body: body), content)
    }
}
