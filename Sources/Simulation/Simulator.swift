import ClusterModel
import Replication
import Wire

let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000

/// A cluster of one placement group in one process, on virtual time: replicas, disks, network, coordinator, leases and
/// clients, all driven by one seed.
public final class Simulator {
    struct Link {
        var connection = 0
        /// The connection that the receiver has heard of last.
        var told = 0
        /// The last connection to an earlier process of the receiver.
        var dead = 0
        /// The last connection of which something was lost, and all that came behind it.
        var torn = 0
        var isUp = false
        var downUntil: UInt64 = 0
        /// Nothing arrives before this, or all of it late.
        var stalledUntil: UInt64 = 0
        var slowUntil: UInt64 = 0
        var lastDelivery: UInt64 = 0
        /// The version of the protocol that both ends speak.
        var spoken = ProtocolVersion.newest
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
    /// All of them are on every node's disk.
    let groups: [PGID]
    /// In the order of the groups.
    var records: [PGRecord]
    var recordVersions: [Int64]
    #if DEBUG || STAVE_MUTANTS
        /// Each group's record before the present one, for a mutant.
        var recordsBefore: [PGRecord?] = []
    #endif
    var map: ClusterMap
    /// Where each group should lie, and how often that has changed.
    var wanted: [[PlacementTarget]]
    var wantedVersion = 1
    /// By lease number - 1.
    var leases: [Lease] = []
    var clients: [Client] = []
    var sessions: [ClientSession] = []
    var history: [Observed] = []
    /// Places of sessions whose present holder has been served.
    var sessionsServed: Set<Int> = []
    var healing = false
    var destruction = Destruction()
    /// How often the loss number rose because something may have been lost with the power.
    var lossesOfPower = 0
    var disksReturnAt: UInt64 = 0
    var finishing = false
    var failure: String?
    var story: [String] = []
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    var answered = 0
    var nextValue: UInt32 = 0
    var counts: [String: Int] = [:]
    var situations = Situations()
    var deadline: UInt64 = 0
    var quietSince: UInt64?
    var coordinatorSlowUntil: UInt64 = 0
    var watchesLateUntil: UInt64 = 0
    /// What each catching up has brought so far.
    var pieces: [CatchUpCount: Int] = [:]
    /// When a claim was last made.
    var claimedAt: UInt64 = 0
    /// How many faults have come.
    var faultCount = 0
    var account = FaultAccount()
    /// What a directed schedule lets each node wait for the coordinator's answers.
    var answersHeldUntil: [UInt64] = []
    var partitions: [(a: Int, b: Int, until: UInt64)] = []
    /// The files that clients use, and those that were removed.
    var files: [WorkFile] = []
    var removedFiles: [FileID] = []
    var lastInode: UInt64 = 6
    var tree = KnownTree()
    var lineage = Lineage()
    public var tracing = false
    /// Groups that were scrubbed at the end, and whether that has begun.
    var scrubbed: Set<PGID> = []
    /// Blocks that rotted on all disks, and what the last scrub of each group found to be lost.
    var ruined: Set<BlockPlace> = []
    var lost: [PGID: Set<BlockPlace>] = [:]
    /// Where interrupted scrubs stood.
    var scrubPositions: [PGID: ScrubPosition] = [:]
    var quietBegins = false
    var hasRottenRow = false

    public init(seed: UInt64, scenario: Scenario) {
        self.seed = seed
        self.scenario = scenario
        random = SplitMix64(seed: seed)
        var groups = (0..<UInt32(scenario.dataGroups)).map { PGID.data($0) }
        if scenario.metadata { groups.append(.metadata(FilesetID(1))) }
        self.groups = groups
        let policy =
            ReplicationPolicy(copies: scenario.copies, minInSync: scenario.minInSync)
            ?? ReplicationPolicy(copies: 1).unsafelyUnwrapped
        map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: UInt32(max(scenario.dataGroups, 1)))
        let members = (1...scenario.copies).map { i in
            Member(node: NodeID(UInt16(i)), disk: DiskID(UInt128(i)), boot: nil)
        }
        records = groups.map { pg in
            PGRecord(
                pg: pg, epoch: Epoch(1), primary: nil, primaryLease: .none, inSync: members, learners: [],
                placement: members.map { PlacementTarget(node: $0.node, disk: $0.disk) }, lossNumber: .zero)
        }
        recordVersions = groups.map { _ in 1 }
        wanted = records.map(\.placement)
        for i in 1...scenario.nodes {
            map.nodes.append(
                ClusterNode(
                    id: NodeID(UInt16(i)), name: "n\(i)", address: "", roles: .storage, failureDomain: []))
        }
        for i in 0..<scenario.nodes { nodes.append(Node(index: i, hasNamespace: scenario.metadata)) }
        var clocks = SplitMix64(seed: seed ^ 0xc10c_c10c)
        for node in nodes where scenario.clockDrift > 0 {
            node.rate = UInt64(1000 - scenario.clockDrift + clocks.below(2 * scenario.clockDrift + 1))
        }
        drawVersions()
        links = Array(
            repeating: Array(repeating: Link(), count: scenario.nodes), count: scenario.nodes)
        answersHeldUntil = Array(repeating: 0, count: scenario.nodes)
    }

    // MARK: Running

    public func run() -> Outcome {
        defer { for node in nodes { node.host?.letGo() } }
        if scenario.dataGroups > 0 { files = (0..<scenario.files).map { _ in newFile() } }
        for s in 0..<scenario.sessions {
            let id = SessionID(UInt64(s + 1))
            map.sessions.append(Session(id: id, node: NodeID(1), lease: .none))
            map.lastSession = id
            sessions.append(ClientSession(id: id, groups: groups.count))
            for _ in 0..<scenario.lanes {
                clients.append(Client(session: s, known: records, mapVersion: map.version))
                agenda.add(.clientStep(clients.count - 1), at: clock + below(20 * millisecond))
            }
        }
        for i in nodes.indices { start(i) }
        if scenario.clockDrift > 0 { account.began(.clockDrift, until: .max) }
        if scenario.faultsFor > 0 { agenda.add(.fault, at: clock + 500 * millisecond) }
        if scenario.rot != .none { agenda.add(.rot, at: clock + second) }
        if scenario.scrubs { agenda.add(.scrub, at: clock + second) }
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
            account.stepped(at: clock)
            checkAlways()
            if steps > 4_000_000 { fail("too many steps") }
        }
        if failure == nil { checkAtTheEnd() }
        for node in nodes {
            node.collectSituations()
            situations.formUnion(node.situations)
        }
        return Outcome(
            seed: seed, failure: failure, story: failure == nil ? [] : Array(story.suffix(60)), hash: hash,
            finalRandom: random.next(), state: stateHash, answered: answered, steps: steps, faults: faultCount,
            virtualMilliseconds: clock / millisecond, counts: counts,
            situations: situations, account: account, differences: scenario.differences(fromSeed: seed))
    }

    /// Of records, logs, and what clients saw.
    private var stateHash: UInt64 {
        var words: [UInt64] = [map.version.rawValue, map.lossNumber.rawValue]
        for record in records { words += [record.epoch.rawValue, UInt64(record.inSync.count)] }
        for node in nodes {
            for replica in node.replicas {
                let decided = replica.group.decided
                words += [decided.epoch.rawValue, decided.n, UInt64(replica.group.progress.utf8.count)]
            }
        }
        for op in history {
            words += [op.start, op.end ?? 0, op.stamp.rawValue] + op.values.map { UInt64($0.value) }
            if let tree = op.tree { words += [tree.asOf.n, StableHash.bytes(tree.answer ?? [])] }
        }
        return words.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x0000_0100_0000_01b3 &+ ($0 >> 29) }
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

    /// By the node's own clocks.
    func moment(_ n: Int) -> Moment {
        Moment(
            now: Instant(nanoseconds: local(n, clock)),
            time: Timestamp(nanoseconds: Int64(clock) + nodes[n].wallOffset))
    }

    /// The node's boot-time clock when it is so late in truth.
    func local(_ n: Int, _ time: UInt64) -> UInt64 { time / 1000 * nodes[n].rate }
    /// When the node's boot-time clock has come so far.
    func global(_ n: Int, _ time: UInt64) -> UInt64 { (time / nodes[n].rate + 1) * 1000 }
    /// How long a span by the node's clock is in truth.
    func span(_ n: Int, _ length: UInt64) -> UInt64 { length / nodes[n].rate * 1000 }

    /// The node that a happening is for, if it waits while that node is stopped.
    private func target(_ what: Happening) -> Int? {
        switch what {
        case .tick(let n, _), .cycle(let n, _), .work(let n, _, _), .completions(let n, _), .renew(let n, _): n
        case .toNode(let n, _, _), .stop(let n, _, _), .loseRows(let n, _): n
        case .deliver(_, let to, _, _, _), .connected(_, let to, _): to
        case .disconnected(let n, _), .silence(let n, _, _), .spoke(let n, _), .leaving(let n, _, _),
            .slow(let n, _, _, _):
            n
        case .request(_, _, let n, _, _): n
        case .coordinator, .clientStep, .response, .clientTimeout, .fault, .rot, .scrub, .restart, .kill, .cutPower,
            .thaw,
            .pause,
            .cut, .destroy, .acceptLoss, .mend, .end, .endProcess, .stallThenReset, .reset, .replaceSession, .late:
            nil
        }
    }

    private func happen(_ what: Happening) {
        if let n = target(what), let until = nodes[n].pausedUntil, until > clock {
            // Renewal and watches stand on threads of their own: what was frozen goes on in any order.
            let isLater =
                switch what {
                case .renew, .toNode: scenario.laggards
                default: false
                }
            agenda.add(what, at: until + (isLater ? below(30 * millisecond) : 0))
            return
        }
        switch what {
        case .tick(let n, let life): if isLife(n, life) { tick(n) }
        case .deliver(let from, let to, let connection, let message, let content):
            deliver(from, to, connection, message, content)
        case .connected(let from, let to, let connection):
            guard nodes[from].isOpen, links[from][to].connection == connection, links[from][to].isUp else { return }
            settle(to)
            links[from][to].told = connection
            everyReplica(to) {
                $0.peerConnected(
                    PeerFacts(
                        node: self.nodes[from].id, boot: self.nodes[from].bootID, spoken: self.links[from][to].spoken),
                    at: $1)
            }
        case .disconnected(let n, let from):
            guard !links[from][n].isUp else { return }
            // What was meant for this connection is lost with it.
            settle(n)
            everyReplica(n) { $0.peerDisconnected(self.nodes[from].id, at: $1) }
        case .silence(let n, let of, let until):
            let isStill = nodes[of].pausedUntil == until || links[of][n].stalledUntil == until
            if links[of][n].isUp, isStill, until > clock {
                everyReplica(n) { $0.peerFellSilent(self.nodes[of].id, at: $1) }
            }
        case .spoke(let n, let of):
            if links[of][n].isUp, links[of][n].stalledUntil <= clock {
                everyReplica(n) { $0.peerSpoke(self.nodes[of].id, at: $1) }
            }
        case .cycle(let n, let life): if isLife(n, life) { endCycle(n) }
        case .work(let n, let life, let lane): if isLife(n, life) { nodes[n].host?.work(lane) }
        case .completions(let n, let life): if isLife(n, life) { completions(n) }
        case .renew(let n, let life): if isLife(n, life) { renew(n) }
        case .coordinator(let request): coordinate(request)
        case .toNode(let n, let life, let answer): if isLife(n, life) { answerArrived(n, answer) }
        case .clientStep(let c): clientStep(c)
        case .request(let c, let attempt, let n, let request, let content):
            requestArrived(c, attempt, n, request, content)
        case .response(let c, let attempt, let response, let content): responseArrived(c, attempt, response, content)
        case .clientTimeout(let c, let attempt): clientTimedOut(c, attempt)
        case .fault: fault()
        case .rot: rot()
        case .scrub:
            if !healing {
                scrubSomething()
                agenda.add(.scrub, at: clock + 100 * millisecond + below(3 * second))
            }
        case .restart(let n): if !nodes[n].alive, !destruction.down.contains(n) { start(n) }
        case .destroy: destroy()
        case .acceptLoss: acceptLoss()
        case .kill(let n): if !healing { kill(n, restartAfter: 50 * millisecond + below(200 * millisecond)) }
        case .cutPower(let n, let life, let back):
            if isLife(n, life), nodes[n].cutsPower { losePower(n, restartAfter: back) }
        case .thaw(let n): thaw(n)
        case .pause(let n): if !healing { pause(n, 100 * millisecond + below(5 * second)) }
        case .cut(let a, let b): if !healing { partition(a, b, 100 * millisecond + below(6 * second)) }
        case .leaving(let n, let leaver, let connection):
            if links[leaver][n].isUp, links[leaver][n].connection == connection {
                everyReplica(n) { $0.peerLeaving(self.nodes[leaver].id, at: $1) }
            }
        case .slow(let n, let word, let teller, let connection):
            if nodes[n].isOpen, links[teller][n].isUp, links[teller][n].connection == connection {
                nodes[n].paces.told(word, at: moment(n).now)
            }
        case .stop(let n, let life, let delay): if isLife(n, life) { stopCleanly(n, restartAfter: delay) }
        case .mend: mend()
        case .endProcess(let n, let life, let power, let back): end(n, life, losesPower: power, back: back)
        case .stallThenReset(let n, let life): stallThenReset(n, life)
        case .reset(let a, let b): if !healing { reset(a, b) }
        case .loseRows(let n, let pg): loseRows(n, pg)
        case .replaceSession: if !healing { replaceSession(random.below(sessions.count)) }
        case .late(let c, let g, let request, let content): lateRequest(c, g, request, content)
        case .end:
            mendLinks()
            returnDisks()
            // Two seconds of work after the last fault, then each client reads everything.
            if healing, !destruction.isUnderWay { finishing = true }
            considerQuiet()
            if healing { agenda.add(.end, at: clock + second) }
        }
    }

    func isLife(_ n: Int, _ life: Int) -> Bool { nodes[n].alive && nodes[n].life == life }

    func replica(_ n: Int, _ pg: PGID) -> HostedReplica? { nodes[n].replicas.first { $0.pg == pg } }

    /// Whether the member lives, and lacks nothing of the group.
    func isWhole(_ m: Member, _ pg: PGID) -> Bool {
        let node = nodes[Int(m.node.rawValue) - 1]
        return node.isOpen && m.disk == node.disk.id && replica(node.index, pg)?.group.canReadLocally == true
    }

    /// Of those of a process that has made its replicas.
    func everyReplica(_ n: Int, _ event: @escaping (PlacementGroup, Moment) -> Void) {
        guard nodes[n].isOpen else { return }
        for replica in nodes[n].replicas { replica.event(event) }
    }

    var metadataGroup: PGID? { groups.last.flatMap { $0.isMetadata ? $0 : nil } }

    // MARK: Checks

    private func checkAlways() {
        for g in groups.indices {
            var serving = 0
            for n in nodes where n.isOpen && n.lease != .none && clock < n.leaseUntil {
                for replica in n.replicas where replica.pg == groups[g] && replica.group.isPrimary { serving += 1 }
            }
            if serving > 1 { fail("two primaries of \(groups[g]) could answer") }
        }
    }

    var isDone: Bool { quietSince.map { clock >= $0 + 3 * second } ?? false }

    /// All clients have ended, all replicas are in-sync and hold the same: then quiet begins.
    func considerQuiet() {
        guard finishing, quietSince == nil, clients.allSatisfy({ $0.ended }), isWhole, isBalanced else { return }
        quietBegins = true
        scrubAll()
        guard scrubbed.count == groups.count else { return }
        quietSince = clock
    }

    var isWhole: Bool {
        groups.indices.allSatisfy { g in
            let record = records[g]
            return record.inSync.count == scenario.copies && record.placement == wanted[g] && isOnlyPlaced(g)
                && record.placement.allSatisfy { t in
                    guard let n = nodes.first(where: { $0.id == t.node }), n.isOpen, n.host?.isClosing == false,
                        n.disk.id == t.disk,
                        let r = n.replicas.first(where: { $0.pg == groups[g] })
                    else { return false }
                    return record.inSync.contains { $0.node == t.node } && !r.group.isLearning
                }
                && nodes.contains { n in n.replicas.contains { $0.pg == groups[g] && $0.group.isServing } }
        }
    }

    var stateOfThings: String {
        var text = ""
        for g in groups.indices {
            let record = records[g]
            text +=
                "\(groups[g]) record \(record.epoch) primary \(record.primary.map(\.description) ?? "none") in-sync \(record.inSync)"
            for n in nodes {
                text += "; \(n.id) \(n.isOpen ? "up" : n.alive ? "opening" : "down")"
                if let group = n.replicas.first(where: { $0.pg == groups[g] })?.group {
                    text += " \(group.role)\(group.isServing ? " serving" : "")\(group.isLearning ? " learning" : "")"
                    text += " (\(group.progress))"
                    if let w = group.waiting { text += " waits for \(w)" }
                }
                if let store = n.host?.store, let waits = store.waitingFor { text += " its disk waits for \(waits)" }
            }
            text += "\n"
        }
        let open = clients.indices.filter { !clients[$0].ended }
        if !open.isEmpty { text += "clients \(open) wait" }
        return text
    }
}
