import ClusterModel
import Replication
import Wire

/// A session's numbers; shared by its lanes.
struct ClientSession {
    var id: SessionID
    var next: UInt64 = 1
    var open: [UInt64] = []
}

/// One operation at a time of one session.
struct Client {
    struct Work {
        var body: PGRequestBody
        var number: RequestNumber
        var content: Content
        var observed: Int
        var startedAs: SessionID
    }
    var session: Int
    var known: PGRecord
    var mapVersion: MapVersion
    var work: Work?
    var attempt = 0
    var attemptsOfWork = 0
    var ended = false
    var done = 0
    var finalRead = 0
    /// Operations of the session before, which cannot take effect once this one has been answered.
    var pendingBefore: [Int] = []

    init(session: Int, known: PGRecord, mapVersion: MapVersion) {
        self.session = session
        self.known = known
        self.mapVersion = mapVersion
    }
}

extension Simulator {
    var workObjects: [ObjectID] {
        [1, 2].map { ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(7)), index: $0) }
    }
    static let workBlocks = [0, 1, 2, 70, 71]
    private var keyCount: Int { scenario.metadata ? 6 : 2 * Simulator.workBlocks.count * 2 }

    func register(_ object: ObjectID, _ half: Int) -> UInt64 { object.index << 32 | UInt64(half) }

    func clientStep(_ c: Int) {
        guard clients[c].work == nil, !clients[c].ended else { return }
        if finishing {
            if clients[c].finalRead >= (scenario.metadata ? 6 : 4) {
                clients[c].ended = true
                considerQuiet()
                return
            }
            begin(c, finalRead(clients[c].finalRead))
            clients[c].finalRead += 1
            return
        }
        let roll = random.below(100)
        if roll < 55 {
            begin(c, aWrite())
        } else if roll < 88 {
            begin(c, aRead())
        } else {
            begin(c, (.flush, [], Observed(kind: .flush, values: [], start: clock)))
        }
    }

    private func aWrite() -> (PGRequestBody, Content, Observed) {
        nextValue += 1
        let durability: Durability = chance(30) ? .stable : .unstable
        if scenario.metadata {
            let key = UInt32(random.below(6))
            var seen = Observed(kind: .write, values: [(UInt64(key), nextValue)], start: clock)
            seen.durability = durability
            return (.mutate(durability, nil), [key, nextValue], seen)
        }
        let object = workObjects[random.below(2)]
        let block = [0, 1, 70][random.below(3)]
        let first = block * 2 + random.below(2)
        let count = 1 + random.below(min(4, (block == 70 ? 144 : 6) - first))
        var seen = Observed(
            kind: .write, values: (0..<count).map { (register(object, first + $0), nextValue) }, start: clock)
        seen.durability = durability
        let range = ObjectRange(
            object: object, offset: first * FakeDisk.halfBlock, length: count * FakeDisk.halfBlock)
        return (.write(range, .none, durability), Content(repeating: nextValue, count: count), seen)
    }

    private func aRead() -> (PGRequestBody, Content, Observed) {
        if scenario.metadata {
            let key = UInt32(random.below(6))
            return (.query, [key], Observed(kind: .read, values: [(UInt64(key), 0)], start: clock))
        }
        return readOf(workObjects[random.below(2)], first: [0, 2, 140][random.below(3)], count: 1 + random.below(4))
    }

    private func readOf(_ object: ObjectID, first: Int, count: Int) -> (PGRequestBody, Content, Observed) {
        let range = ObjectRange(
            object: object, offset: first * FakeDisk.halfBlock, length: count * FakeDisk.halfBlock)
        return (
            .read(range, .none), [],
            Observed(kind: .read, values: (0..<count).map { (register(object, first + $0), 0) }, start: clock)
        )
    }

    private func finalRead(_ i: Int) -> (PGRequestBody, Content, Observed) {
        if scenario.metadata {
            return (.query, [UInt32(i)], Observed(kind: .read, values: [(UInt64(i), 0)], start: clock))
        }
        return readOf(workObjects[i / 2], first: i % 2 == 0 ? 0 : 140, count: i % 2 == 0 ? 6 : 4)
    }

    private func begin(_ c: Int, _ what: (PGRequestBody, Content, Observed)) {
        history.append(what.2)
        let s = clients[c].session
        var number = RequestNumber.none
        if what.2.kind == .write {
            number = RequestNumber(sessions[s].next)
            sessions[s].open.append(sessions[s].next)
            sessions[s].next += 1
        }
        clients[c].work = Client.Work(
            body: what.0, number: number, content: what.1, observed: history.count - 1, startedAs: sessions[s].id)
        clients[c].attemptsOfWork = 0
        attempt(c)
    }

    /// Sends the request to whom the client takes for the primary.
    private func attempt(_ c: Int) {
        guard let work = clients[c].work else { return }
        clients[c].attempt += 1
        clients[c].attemptsOfWork += 1
        let s = clients[c].session
        guard let primary = clients[c].known.primary else {
            agenda.add(.clientTimeout(client: c, attempt: clients[c].attempt), at: clock + 50 * millisecond)
            return
        }
        let n = Int(primary.rawValue) - 1
        let ended = sessions[s].open.min() ?? sessions[s].next
        let request = PGRequest(
            pg: record.pg, session: sessions[s].id, number: work.number, ended: RequestNumber(ended),
            epoch: clients[c].known.epoch, mapVersion: clients[c].mapVersion, body: work.body)
        if clients[c].attemptsOfWork > 5, clients[c].attemptsOfWork < 12 {
            tell("client \(c) tries \(work.body) \(work.number) of \(sessions[s].id) at \(primary) again")
        }
        agenda.add(
            .request(client: c, attempt: clients[c].attempt, node: n, request, work.content),
            at: clock + 20_000 + below(chance(3) ? 2 * second : 300_000))
        agenda.add(.clientTimeout(client: c, attempt: clients[c].attempt), at: clock + 1500 * millisecond)
    }

    func requestArrived(_ c: Int, _ attempt: Int, _ n: Int, _ request: PGRequest, _ content: Content) {
        guard nodes[n].alive, nodes[n].group != nil else { return }
        var request = request
        switch request.body {
        case .write, .mutate, .query: request.payload = keep(n, content)
        case .zero, .deleteRange, .read, .readVersion, .flush: break
        }
        nodes[n].nextToken += 1
        let token = nodes[n].nextToken
        nodes[n].tokens[token] = (c, attempt)
        var checksums: [UInt32] = []
        if case .write(let range, _, _) = request.body, range.offset % Geometry.blockSize == 0,
            range.length % Geometry.blockSize == 0
        {
            checksums = Array(repeating: 0, count: range.blocks.count)
        }
        withGroup(n) { $0.requestArrived(RequestToken(token), request, checksums: checksums, at: moment) }
    }

    /// An answer leaves: the lease is checked now.
    func answer(_ n: Int, _ token: RequestToken, _ response: PGResponse, _ lease: LeaseNumber) {
        guard let (c, attempt) = nodes[n].tokens.removeValue(forKey: token.rawValue) else {
            fail("\(nodes[n].id) answers a request twice")
            return
        }
        var response = response
        let bytes = content(n, response.payload)
        if let handle = response.payload { nodes[n].payloads[handle.id] = nil }
        if lease != .none, lease != nodes[n].lease || clock >= nodes[n].leaseUntil {
            response = PGResponse(pg: response.pg, epoch: response.epoch, body: .refused(.unavailable))
        }
        agenda.add(
            .response(client: c, attempt: attempt, response, bytes), at: clock + 20_000 + below(300_000))
    }

    func responseArrived(_ c: Int, _ attempt: Int, _ response: PGResponse, _ content: Content) {
        guard clients[c].attempt == attempt, let work = clients[c].work else { return }
        switch response.body {
        case .refused(let refusal): refused(c, refusal)
        case .written(let stamp), .flushed(let stamp), .mutated(let stamp):
            history[work.observed].stamp = stamp
            if case .mutated = response.body, let key = work.content.first, let before = content.first {
                // The result shows what was there before.
                var seen = Observed(kind: .read, values: [(UInt64(key), before)], start: history[work.observed].start)
                seen.end = clock
                history.append(seen)
            }
            finished(c, work)
        case .data, .answered:
            for i in history[work.observed].values.indices where i < content.count {
                history[work.observed].values[i].value = content[i]
            }
            finished(c, work)
        case .version: finished(c, work)
        }
    }

    private func finished(_ c: Int, _ work: Client.Work) {
        answered += 1
        mix(clock)
        history[work.observed].end = clock
        for i in clients[c].pendingBefore { history[i].notAfter = min(history[i].notAfter, clock) }
        clients[c].pendingBefore = []
        sessions[clients[c].session].open.removeAll { $0 == work.number.rawValue }
        clients[c].work = nil
        clients[c].done += 1
        agenda.add(.clientStep(c), at: clock + 1 + below(chance(20) ? 300 * millisecond : 15 * millisecond))
    }

    private func refused(_ c: Int, _ refusal: PGRefusal) {
        if clients[c].attemptsOfWork > 5, clients[c].attemptsOfWork < 12 { tell("client \(c) is refused: \(refusal)") }
        switch refusal {
        case .newerEpoch(let newer): clients[c].known = newer
        case .notPrimary(let known?) where known.epoch > clients[c].known.epoch: clients[c].known = known
        case .notPrimary, .unavailable, .noSpace: break
        case .sessionEnded:
            // Nothing of this session is executed any more; the lane goes on under the new one.
            abandon(c)
            return
        case .truncated, .removed, .belowWindow, .beyondWindow, .invalid, .unreadable:
            fail("client \(c) was refused: \(refusal)")
            return
        }
        clients[c].attempt += 1
        agenda.add(
            .clientTimeout(client: c, attempt: clients[c].attempt),
            at: clock + 10 * millisecond + below(30 * millisecond))
    }

    func clientTimedOut(_ c: Int, _ attempt: Int) {
        guard clients[c].attempt == attempt, clients[c].work != nil else { return }
        if chance(70), record.epoch > clients[c].known.epoch { clients[c].known = record }
        self.attempt(c)
    }

    /// The operation stays without an answer.
    func abandon(_ c: Int) {
        guard let work = clients[c].work else { return }
        clients[c].pendingBefore.append(work.observed)
        clients[c].work = nil
        clients[c].attempt += 1
        agenda.add(.clientStep(c), at: clock + below(30 * millisecond))
    }

    /// The session ends, as when its gateway died; another one takes its place, relying on the new map.
    func replaceSession(_ s: Int) {
        let old = sessions[s].id
        map.sessions.removeAll { $0.id == old }
        map.lastSession = SessionID(map.lastSession.rawValue + 1)
        map.sessions.append(Session(id: map.lastSession, node: NodeID(1), lease: .none))
        mapChanged()
        tell("\(old) is replaced by \(map.lastSession)")
        sessions[s] = ClientSession(id: map.lastSession)
        for c in clients.indices where clients[c].session == s {
            clients[c].mapVersion = map.version
            abandon(c)
        }
    }
}
