import ClusterModel
import Replication
import Wire

let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000

/// A cluster of one placement group in one process, on virtual time: replicas, disks, network, coordinator, leases and
/// clients, all driven by one seed.
public final class Simulator {
    struct Node {
        var id: NodeID
        var alive = false
        var pausedUntil: UInt64?
        var boot: UInt64 = 1
        /// Counts processes, so that what was under way for a dead one is dropped.
        var life = 0
        var group: PlacementGroup?
        var disk = FakeDisk()
        var lease: LeaseNumber = .none
        /// Until then the holder may use it.
        var leaseUntil: UInt64 = 0
        var awayFromCoordinatorUntil: UInt64 = 0
        var payloads: [UInt64: Content] = [:]
        var nextPayload: UInt64 = 0
        var tokens: [UInt64: (client: Int, attempt: Int)] = [:]
        var nextToken: UInt64 = 0
        var appendedAt: UInt64 = 0
        var stateAt: UInt64 = 0
        var tickAt: UInt64 = 0
        var syncing = false
        var syncWanted = false
        var wasServing = false
    }

    struct Link {
        var connection = 0
        var isUp = false
        var downUntil: UInt64 = 0
        var lastDelivery: UInt64 = 0
    }

    struct Lease {
        var until: UInt64
        var revoked = false
    }

    let scenario: Scenario
    let seed: UInt64
    var random: SplitMix64
    var agenda = Agenda()
    var clock: UInt64 = second
    var nodes: [Node] = []
    /// links[from][to]
    var links: [[Link]] = []
    var record: PGRecord
    var recordVersion: Int64 = 1
    var map: ClusterMap
    /// By lease number - 1.
    var leases: [Lease] = []
    var clients: [Client] = []
    var sessions: [ClientSession] = []
    var history: [Observed] = []
    var healing = false
    var finishing = false
    var failure: String?
    var story: [String] = []
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    var answered = 0
    var nextValue: UInt32 = 0
    var counts: [String: Int] = [:]
    var deadline: UInt64 = 0
    var quietSince: UInt64?
    var partitions: [(a: Int, b: Int, until: UInt64)] = []
    var buffer: [ReplicaEffect] = []
    public var tracing = false

    public init(seed: UInt64, scenario: Scenario) {
        self.seed = seed
        self.scenario = scenario
        random = SplitMix64(seed: seed)
        let pg = scenario.metadata ? PGID.metadata(FilesetID(1)) : PGID.data(0)
        let policy =
            ReplicationPolicy(copies: scenario.copies, minInSync: scenario.minInSync)
            ?? ReplicationPolicy(copies: 1).unsafelyUnwrapped
        map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 1)
        let members = (1...scenario.copies).map { i in
            Member(node: NodeID(UInt16(i)), disk: DiskID(UInt128(i)), boot: nil)
        }
        record = PGRecord(
            pg: pg, epoch: Epoch(1), primary: nil, primaryLease: .none, inSync: members, learners: [],
            placement: members.map { PlacementTarget(node: $0.node, disk: $0.disk) }, lossNumber: .zero)
        for i in 0..<scenario.nodes {
            nodes.append(Node(id: NodeID(UInt16(i + 1))))
        }
        links = Array(
            repeating: Array(repeating: Link(), count: scenario.nodes), count: scenario.nodes)
    }

    // MARK: Running

    public func run() -> Outcome {
        for s in 0..<scenario.sessions {
            let id = SessionID(UInt64(s + 1))
            map.sessions.append(Session(id: id, node: NodeID(1), lease: .none))
            map.lastSession = id
            sessions.append(ClientSession(id: id))
            for _ in 0..<scenario.lanes {
                clients.append(Client(session: s, known: record, mapVersion: map.version))
                agenda.add(.clientStep(clients.count - 1), at: clock + below(20 * millisecond))
            }
        }
        for i in nodes.indices { start(i) }
        if scenario.faultsFor > 0 { agenda.add(.fault, at: clock + 500 * millisecond) }
        agenda.add(.mend, at: clock + scenario.faultsFor * millisecond)
        deadline = clock + scenario.faultsFor * millisecond + 400 * second
        var steps = 0
        while failure == nil, !isDone, let next = agenda.next() {
            clock = max(clock, next.at)
            steps += 1
            if clock > deadline {
                fail("does not settle: \(stateOfThings)")
                break
            }
            happen(next.what)
            checkAlways()
            if steps > 4_000_000 { fail("too many steps") }
        }
        if failure == nil { checkAtTheEnd() }
        return Outcome(
            seed: seed, failure: failure, story: failure == nil ? [] : Array(story.suffix(60)), hash: hash,
            answered: answered, virtualMilliseconds: clock / millisecond, counts: counts)
    }

    func below(_ bound: UInt64) -> UInt64 { bound == 0 ? 0 : random.next() % bound }
    func chance(_ percent: Int) -> Bool { random.below(100) < percent }

    func fail(_ text: String) {
        if failure == nil { failure = text + " (at \(clock / millisecond) ms)" }
    }

    func tell(_ line: @autoclosure () -> String) {
        let text = "\(clock / millisecond) ms: " + line()
        if tracing { print(text) }
        story.append(text)
        if story.count > 400 { story.removeFirst(300) }
    }

    func mix(_ value: UInt64) { hash = (hash ^ value) &* 0x0000_0100_0000_01b3 &+ (hash >> 29) }

    var moment: Moment { Moment(now: Instant(nanoseconds: clock), time: Timestamp(nanoseconds: Int64(clock))) }

    /// The node that a happening is for, if it waits while that node is stopped.
    private func target(_ what: Happening) -> Int? {
        switch what {
        case .tick(let n, _), .done(let n, _, _), .renew(let n, _), .toNode(let n, _, _), .checkpoint(let n, _): n
        case .deliver(_, let to, _, _, _), .connected(_, let to, _): to
        case .disconnected(let n, _), .silence(let n, _), .spoke(let n, _): n
        case .request(_, _, let n, _, _): n
        case .coordinator, .clientStep, .response, .clientTimeout, .fault, .restart, .thaw, .mend, .end: nil
        }
    }

    private func happen(_ what: Happening) {
        if let n = target(what), let until = nodes[n].pausedUntil, until > clock {
            agenda.add(what, at: until)
            return
        }
        switch what {
        case .tick(let n, let life): if isLife(n, life) { tick(n) }
        case .deliver(let from, let to, let connection, let message, let content):
            deliver(from, to, connection, message, content)
        case .connected(let from, let to, let connection):
            guard nodes[to].alive, nodes[from].alive, links[from][to].connection == connection, links[from][to].isUp
            else { return }
            withGroup(to) {
                $0.peerConnected(
                    PeerFacts(node: nodes[from].id, boot: BootID(UInt128(nodes[from].boot) << 8 | UInt128(from + 1))),
                    at: moment)
            }
        case .disconnected(let n, let from):
            if nodes[n].alive, !links[from][n].isUp { withGroup(n) { $0.peerDisconnected(nodes[from].id, at: moment) } }
        case .silence(let n, let of):
            if nodes[n].alive, links[of][n].isUp, let until = nodes[of].pausedUntil, until > clock {
                withGroup(n) { $0.peerFellSilent(nodes[of].id, at: moment) }
            }
        case .spoke(let n, let of):
            if nodes[n].alive, links[of][n].isUp { withGroup(n) { $0.peerSpoke(nodes[of].id, at: moment) } }
        case .done(let n, let life, let completion): if isLife(n, life) { completed(n, completion) }
        case .renew(let n, let life): if isLife(n, life) { renew(n) }
        case .coordinator(let request): coordinate(request)
        case .toNode(let n, let life, let answer): if isLife(n, life) { answerArrived(n, answer) }
        case .clientStep(let c): clientStep(c)
        case .request(let c, let attempt, let n, let request, let content):
            requestArrived(c, attempt, n, request, content)
        case .response(let c, let attempt, let response, let content): responseArrived(c, attempt, response, content)
        case .clientTimeout(let c, let attempt): clientTimedOut(c, attempt)
        case .fault: fault()
        case .restart(let n): if !nodes[n].alive { start(n) }
        case .thaw(let n): thaw(n)
        case .mend: mend()
        case .checkpoint(let n, let life): if isLife(n, life) { checkpoint(n) }
        case .end:
            mendLinks()
            // Two seconds of work after the last fault, then each client reads everything.
            if healing { finishing = true }
            considerQuiet()
            if healing { agenda.add(.end, at: clock + second) }
        }
    }

    private func isLife(_ n: Int, _ life: Int) -> Bool { nodes[n].alive && nodes[n].life == life }

    /// Hands an event in and executes what comes out.
    func withGroup(_ n: Int, _ event: (PlacementGroup) -> Void) {
        guard let group = nodes[n].group else { return }
        event(group)
        execute(n)
    }

    func execute(_ n: Int) {
        while let group = nodes[n].group, group.hasEffects {
            var effects: [ReplicaEffect] = []
            group.takeEffects(into: &effects)
            for effect in effects { perform(n, effect) }
        }
        guard let group = nodes[n].group else { return }
        let wanted = min(max(group.nextTick.nanoseconds, clock + millisecond), clock + 250 * millisecond)
        if nodes[n].tickAt <= clock || wanted < nodes[n].tickAt {
            nodes[n].tickAt = wanted
            agenda.add(.tick(node: n, life: nodes[n].life), at: wanted)
        }
        if group.isServing != nodes[n].wasServing {
            nodes[n].wasServing = group.isServing
            tell("\(nodes[n].id) \(group.isServing ? "serves" : "serves no more")")
        }
    }

    private func tick(_ n: Int) {
        if clock >= nodes[n].tickAt { nodes[n].tickAt = 0 }
        withGroup(n) { $0.ticked(at: moment) }
        if chance(5) { startSync(n) }
    }

    // MARK: Payloads

    func keep(_ n: Int, _ content: Content) -> PayloadHandle {
        nodes[n].nextPayload += 1
        nodes[n].payloads[nodes[n].nextPayload] = content
        let bytes = scenario.metadata ? content.count * 4 : content.count * FakeDisk.halfBlock
        return PayloadHandle(id: nodes[n].nextPayload, length: bytes)
    }

    func content(_ n: Int, _ handle: PayloadHandle?) -> Content {
        guard let handle else { return [] }
        guard let found = nodes[n].payloads[handle.id] else {
            fail("\(nodes[n].id) uses a payload that it dropped")
            return []
        }
        return found
    }

    // MARK: Checks

    private func checkAlways() {
        var serving: [NodeID] = []
        for n in nodes where n.alive && n.group?.isPrimary == true && n.lease != .none && clock < n.leaseUntil {
            serving.append(n.id)
        }
        if serving.count > 1 { fail("two primaries could answer: \(serving)") }
    }

    private var isDone: Bool { quietSince.map { clock >= $0 + 3 * second } ?? false }

    /// All clients have ended, all replicas are in-sync and hold the same: then quiet begins.
    func considerQuiet() {
        guard finishing, quietSince == nil, clients.allSatisfy({ $0.ended }), isWhole else { return }
        quietSince = clock
    }

    var isWhole: Bool {
        record.inSync.count == scenario.copies
            && record.placement.allSatisfy { t in
                guard let n = nodes.first(where: { $0.id == t.node }), n.alive, let g = n.group else { return false }
                return record.inSync.contains { $0.node == t.node } && !g.isLearning
            } && nodes.contains { $0.group?.isServing == true }
    }

    var stateOfThings: String {
        var text =
            "record \(record.epoch) primary \(record.primary.map(\.description) ?? "none") in-sync \(record.inSync)"
        for n in nodes {
            text += "; \(n.id) \(n.alive ? "up" : "down")"
            if let g = n.group {
                text +=
                    " \(g.role)\(g.isServing ? " serving" : "")\(g.isLearning ? " learning" : "") decided \(g.decided)"
                text += " (\(g.progress))"
                if let w = g.waiting { text += " waits for \(w)" }
            }
        }
        let open = clients.indices.filter { !clients[$0].ended }
        if !open.isEmpty { text += "; clients \(open) wait" }
        return text
    }

    private func checkAtTheEnd() {
        guard isDone else {
            fail("the agenda is empty: \(stateOfThings)")
            return
        }
        if map.lossNumber == .zero, let wrong = Checkers.linearizable(history) {
            fail(wrong)
            return
        }
        if let wrong = Checkers.promisesKept(history) {
            fail(wrong)
            return
        }
        let members = record.placement.compactMap { t in nodes.first { $0.id == t.node } }
        guard let first = members.first, let firstGroup = first.group else { return }
        for other in members.dropFirst() {
            guard let group = other.group else { continue }
            if group.decided != firstGroup.decided {
                fail("\(other.id) has decided \(group.decided), \(first.id) \(firstGroup.decided)")
                return
            }
            for object in workObjects {
                let a = first.disk.present.visible(object)
                let b = other.disk.present.visible(object)
                if a.halves.filter({ $0.value != 0 }) != b.halves.filter({ $0.value != 0 }) {
                    fail("\(first.id) and \(other.id) differ in \(object): \(show(a)) and \(show(b))")
                    return
                }
            }
            if first.disk.present.rows != other.disk.present.rows {
                fail("\(first.id) and \(other.id) differ in their rows")
                return
            }
        }
        for n in nodes where n.payloads.count > 5000 {
            fail("\(n.id) holds \(n.payloads.count) payloads")
        }
    }

    private func show(_ o: FakeDisk.Object) -> String {
        "\(o.version)" + o.halves.keys.sorted().map { " \($0):\(o.halves[$0] ?? 0)" }.joined()
    }
}
