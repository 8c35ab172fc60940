import ClusterModel
import Replication
import Wire

/// A session's numbers in each group; shared by its lanes.
struct ClientSession {
    var id: SessionID
    var next: [UInt64]
    var open: [[UInt64]]

    init(id: SessionID, groups: Int) {
        self.id = id
        next = Array(repeating: 1, count: groups)
        open = Array(repeating: [], count: groups)
    }
}

/// One operation at a time of one session.
struct Client {
    struct Work {
        var draft: Simulator.Draft
        /// Which of its requests is under way.
        var step = 0
        var number: RequestNumber
        var observed: Int
        var g: Int { draft.requests[step].g }
        var body: PGRequestBody { draft.requests[step].body }
    }
    var session: Int
    /// In the order of the groups.
    var known: [PGRecord]
    var mapVersion: MapVersion
    var work: Work?
    var attempt = 0
    var attemptsOfWork = 0
    var ended = false
    var finalRead = 0
    /// Operations of the session before, which cannot take effect once this one has been answered.
    var pendingBefore: [(observed: Int, g: Int)] = []

    init(session: Int, known: [PGRecord], mapVersion: MapVersion) {
        self.session = session
        self.known = known
        self.mapVersion = mapVersion
    }
}

extension Simulator {
    func clientStep(_ c: Int) {
        guard clients[c].work == nil, !clients[c].ended else { return }
        // Number k + 256 is not sent before k has ended (replication.md, 18), and another lane's may take long.
        let session = sessions[clients[c].session]
        if session.open.indices.contains(where: {
            session.next[$0] - (session.open[$0].min() ?? session.next[$0]) > 200
        }) {
            return agenda.add(.clientStep(c), at: clock + 5 * millisecond)
        }
        if finishing {
            for f in files.indices {
                if let cut = resumedCut(f) { return begin(c, cut) }
            }
            guard let read = finalRead(clients[c].finalRead) else {
                clients[c].ended = true
                considerQuiet()
                return
            }
            begin(c, read)
            clients[c].finalRead += 1
            return
        }
        if let draft = draw(for: c) {
            begin(c, draft)
        } else {
            agenda.add(.clientStep(c), at: clock + 5 * millisecond)
        }
    }

    private func begin(_ c: Int, _ draft: Draft) {
        var observed = history.count
        if let f = draft.file, case .deleteRange? = draft.requests.first?.body, let cut = files[f].cut {
            observed = cut.observed
        }
        if observed == history.count { history.append(draft.observed) }
        clients[c].work = Client.Work(draft: draft, number: .none, observed: observed)
        beginStep(c)
    }

    private func beginStep(_ c: Int) {
        guard let work = clients[c].work else { return }
        let s = clients[c].session
        if history[work.observed].kind == .write {
            clients[c].work?.number = RequestNumber(sessions[s].next[work.g])
            sessions[s].open[work.g].append(sessions[s].next[work.g])
            if history[work.observed].tree != nil {
                history[work.observed].tree?.requests.append(
                    LostRequest(session: sessions[s].id, request: RequestNumber(sessions[s].next[work.g])))
            }
            sessions[s].next[work.g] += 1
        }
        clients[c].attemptsOfWork = 0
        attempt(c)
    }

    /// Sends the request to whom the client takes for the primary.
    private func attempt(_ c: Int) {
        guard let work = clients[c].work else { return }
        clients[c].attempt += 1
        clients[c].attemptsOfWork += 1
        let s = clients[c].session
        let g = work.g
        if scenario.readsAfterClaims, clock < claimedAt + 500 * millisecond { clients[c].known[g] = records[g] }
        guard let primary = clients[c].known[g].primary else {
            agenda.add(.clientTimeout(client: c, attempt: clients[c].attempt), at: clock + 50 * millisecond)
            return
        }
        let n = Int(primary.rawValue) - 1
        let ended = sessions[s].open[g].min() ?? sessions[s].next[g]
        let request = PGRequest(
            pg: groups[g], session: sessions[s].id, number: work.number, ended: RequestNumber(ended),
            epoch: clients[c].known[g].epoch, mapVersion: clients[c].mapVersion, body: work.body)
        if clients[c].attemptsOfWork > 5, clients[c].attemptsOfWork < 12 {
            tell("client \(c) tries \(work.number) of \(sessions[s].id) in \(groups[g]) at \(primary) again")
        }
        agenda.add(
            .request(client: c, attempt: clients[c].attempt, node: n, request, work.draft.content),
            at: clock + 20_000 + below(chance(3) ? 2 * second : 300_000))
        agenda.add(.clientTimeout(client: c, attempt: clients[c].attempt), at: clock + 1500 * millisecond)
    }

    func requestArrived(_ c: Int, _ attempt: Int, _ n: Int, _ request: PGRequest, _ content: [UInt8]) {
        guard nodes[n].isOpen, let replica = replica(n, request.pg) else { return }
        if sessions[clients[c].session].id != request.session, sessionsServed.contains(clients[c].session) {
            situations.insert(.lateRequestOfFencedSession)
        }
        var request = request
        var checksums: [UInt32] = []
        switch request.body {
        case .write(let range, _, _):
            request.payload = nodes[n].keep(content)
            if range.offset % Geometry.blockSize == 0, range.length % Geometry.blockSize == 0 {
                checksums = BlockContent.checksums(range.object, first: range.blocks.first, content)
            }
        case .mutate:
            request.payload = nodes[n].keep(content)
            let entry = try? content.decoded { r throws(WireError) in try NamespaceEntry(from: &r) }
            if let entry { request.describe(entry.operation) }
        case .query: request.payload = nodes[n].keep(content)
        case .zero, .deleteRange, .read, .readVersion, .flush: break
        }
        guard cutBefore(request, replica) else {
            if let payload = request.payload { nodes[n].drop(payload) }
            agenda.add(
                .response(
                    client: c, attempt: attempt,
                    PGResponse(
                        pg: request.pg, epoch: replica.group.record?.epoch ?? .zero, body: .refused(.unavailable)), []),
                at: clock + 20_000 + below(300_000))
            return
        }
        nodes[n].nextToken += 1
        let token = nodes[n].nextToken
        nodes[n].tokens[token] = (c, attempt)
        replica.event { $0.requestArrived(RequestToken(token), request, checksums: checksums, at: $1) }
    }

    /// A change that knows of a truncation which the group has not heard of comes after that cut, as `StorageNode` does it.
    private func cutBefore(_ request: PGRequest, _ replica: HostedReplica) -> Bool {
        let object: ObjectID
        let mark: TruncationMark
        switch request.body {
        case .write(let range, let truncation, _): (object, mark) = (range.object, truncation)
        case .zero(let changed, _, let truncation, _): (object, mark) = (changed, truncation)
        case .deleteRange, .read, .readVersion, .flush, .mutate, .query: return true
        }
        guard !replica.group.knowsTruncation(mark.number, of: object.file), replica.group.isPrimary else { return true }
        guard replica.group.isServing else { return false }
        replica.event {
            $0.ownDeletion(
                RangeDeletion(
                    file: object.file, truncation: mark, layout: self.scenario.layout, kind: .truncation, edge: nil),
                at: $1)
        }
        return true
    }

    /// An answer leaves: the lease is checked now.
    func answer(_ n: Int, _ token: RequestToken, _ response: PGResponse, _ lease: LeaseNumber) {
        guard let (c, attempt) = nodes[n].tokens.removeValue(forKey: token.rawValue) else {
            // 0: a cut of the primary's own, which nobody waits for.
            if token.rawValue != 0 { fail("\(nodes[n].id) answers a request twice") }
            if let handle = response.payload { nodes[n].drop(handle) }
            return
        }
        var response = response
        let bytes = response.payload.flatMap { nodes[n].payloads[$0.id]?.bytes } ?? []
        if let handle = response.payload { nodes[n].drop(handle) }
        if lease != .none, lease != nodes[n].lease || clock >= nodes[n].leaseUntil {
            situations.insert(.answerStoppedByLease)
            response = PGResponse(pg: response.pg, epoch: response.epoch, body: .refused(.unavailable))
        }
        if case .written = response.body, let work = clients[c].work { directed(written: work, by: n) }
        agenda.add(
            .response(client: c, attempt: attempt, response, bytes), at: clock + 20_000 + below(300_000))
    }

    func responseArrived(_ c: Int, _ attempt: Int, _ response: PGResponse, _ content: [UInt8]) {
        guard clients[c].attempt == attempt, let work = clients[c].work else { return }
        if scenario.lostAnswers > 0, !healing, work.number != .none, chance(scenario.lostAnswers) {
            clients[c].attempt += 1
            agenda.add(
                .clientTimeout(client: c, attempt: clients[c].attempt), at: clock + second + below(9 * second))
            return
        }
        switch response.body {
        case .refused(let refusal): refused(c, refusal)
        case .written(let stamp), .flushed(let stamp), .mutated(let stamp):
            history[work.observed].stamp = stamp
            if case .mutated = response.body { heard(c, work, content) }
            finished(c, work)
        case .data:
            took(c, work, content)
            finished(c, work)
        case .answered:
            heard(c, work, content)
            finished(c, work)
        case .version(_, let through): readLocally(c, work, response.epoch, through)
        }
    }

    /// The values of the fields that are looked at.
    private func took(_ c: Int, _ work: Client.Work, _ bytes: [UInt8]) {
        let fields = work.draft.fields
        let values = BlockContent.values(bytes, first: fields.lowerBound, count: fields.count)
        for i in history[work.observed].values.indices {
            let field = Int(history[work.observed].values[i].key & 0xff_ffff)
            history[work.observed].values[i].value = values[field - fields.lowerBound]
        }
    }

    /// From a replica beside the client, through what the primary has decided; from the primary where it cannot.
    private func readLocally(_ c: Int, _ work: Client.Work, _ epoch: Epoch, _ through: EntryName) {
        guard case .readVersion(let range, let truncation) = work.body else { return }
        let attempt = clients[c].attempt
        let askPrimary = { [unowned self] in
            guard clients[c].attempt == attempt, clients[c].work != nil else { return }
            clients[c].work?.draft.requests[work.step].body = .read(range, truncation)
            self.attempt(c)
        }
        let n = random.below(nodes.count)
        guard nodes[n].isOpen, nodes[n].pausedUntil == nil, let replica = replica(n, groups[work.g]),
            replica.group.canReadLocally
        else { return askPrimary() }
        var known = true
        replica.event { group, _ in known = group.decidedReported(through, epoch: epoch) }
        guard known, replica.disk.store.appliedThrough(replica.pg) >= through else { return askPrimary() }
        situations.insert(.readBesideThePrimary)
        replica.disk.read(replica.pg, range, .none) { [unowned self] found in
            guard clients[c].attempt == attempt, clients[c].work != nil else { return }
            guard let found else { return askPrimary() }
            took(c, work, found.bytes)
            finished(c, work)
        }
    }

    private func finished(_ c: Int, _ work: Client.Work) {
        answered += 1
        sessionsServed.insert(clients[c].session)
        mix(clock)
        sessions[clients[c].session].open[work.g].removeAll { $0 == work.number.rawValue }
        for pending in clients[c].pendingBefore where pending.g == work.g {
            history[pending.observed].notAfter = min(history[pending.observed].notAfter, clock)
        }
        clients[c].pendingBefore.removeAll { $0.g == work.g }
        if work.step + 1 < work.draft.requests.count {
            clients[c].work?.step += 1
            clients[c].work?.number = .none
            beginStep(c)
            return
        }
        history[work.observed].end = clock
        if let f = work.draft.file, case .deleteRange(let deletion) = work.body, let cut = files[f].cut,
            cut.observed == work.observed
        {
            files[f].cut = nil
            if deletion.kind == .removal {
                removedFiles.append(files[f].id)
                files[f] = newFile()
            }
        }
        clients[c].work = nil
        // Some come back after seconds, with what they knew then.
        let sleeps = scenario.laggards && c % 2 == 1 && chance(40)
        agenda.add(
            .clientStep(c),
            at: clock + 1 + below(sleeps ? 6 * second : chance(20) ? 300 * millisecond : 15 * millisecond))
    }

    private func refused(_ c: Int, _ refusal: PGRefusal) {
        guard let work = clients[c].work else { return }
        if clients[c].attemptsOfWork > 5, clients[c].attemptsOfWork < 12 {
            tell("client \(c) is refused: \(String(describing: refusal).prefix(40))")
        }
        switch refusal {
        case .newerEpoch(let newer): clients[c].known[work.g] = newer
        case .notPrimary(let known?) where known.epoch > clients[c].known[work.g].epoch:
            clients[c].known[work.g] = known
        case .notPrimary, .unavailable: break
        case .unreadable where scenario.rot != .none:
            if scenario.rot == .allDisks, !needsRuined(work.body) {
                return fail("client \(c) cannot read what rotted nowhere: \(work.body)")
            }
            // Who holds the block may be away, or learning. If nobody holds it, because the others lost power before it rotted
            // here, the operation has no answer.
            if healing, clients[c].attemptsOfWork > 40, isWhole {
                counts["lost", default: 0] += 1
                // Nor has a truncation through it.
                if let f = work.draft.file, case .deleteRange = work.body { files[f].cut = nil }
                abandon(c)
                return
            }
        case .sessionEnded:
            // Nothing of this session is executed any more; the lane goes on under the new one.
            abandon(c)
            return
        case .truncated(let mark):
            var body = work.body
            switch body {
            case .write(let range, _, let durability): body = .write(range, mark, durability)
            case .zero(let object, let blocks, _, let durability): body = .zero(object, blocks, mark, durability)
            case .read(let range, _): body = .read(range, mark)
            case .readVersion(let range, _): body = .readVersion(range, mark)
            case .deleteRange, .mutate, .query, .flush: fail("client \(c) was refused: \(refusal)")
            }
            clients[c].work?.draft.requests[work.step].body = body
        case .removed:
            // The file is gone, and nobody will look at it again.
            sessions[clients[c].session].open[work.g].removeAll { $0 == work.number.rawValue }
            clients[c].work = nil
            clients[c].attempt += 1
            agenda.add(.clientStep(c), at: clock + below(30 * millisecond))
            return
        case .noSpace:
            // Tried again until there is space: its number stays open.
            clients[c].attempt += 1
            agenda.add(
                .clientTimeout(client: c, attempt: clients[c].attempt), at: clock + 100 * millisecond + below(second))
            return
        case .belowWindow, .beyondWindow, .invalid, .unreadable:
            fail("client \(c) was refused: \(refusal)")
            return
        }
        clients[c].attempt += 1
        agenda.add(
            .clientTimeout(client: c, attempt: clients[c].attempt),
            at: clock + 10 * millisecond + below(30 * millisecond))
    }

    func clientTimedOut(_ c: Int, _ attempt: Int) {
        guard clients[c].attempt == attempt, let g = clients[c].work?.g else { return }
        let staysAsLong = scenario.laggards && c % 2 == 1 && !finishing
        if !staysAsLong, chance(70), records[g].epoch > clients[c].known[g].epoch { clients[c].known[g] = records[g] }
        self.attempt(c)
    }

    /// The operation stays without an answer.
    func abandon(_ c: Int) {
        guard let work = clients[c].work else { return }
        if let f = work.draft.file, case .deleteRange = work.body, files[f].cut?.observed == work.observed {
            files[f].cut?.isTaken = false
        } else {
            clients[c].pendingBefore.append((work.observed, work.g))
        }
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
        sessionsServed.remove(s)
        // Numbers that the old session has not used in any group.
        let first = sessions[s].next.max() ?? 1
        let numbers = (0..<UInt64(scenario.lanes)).map { RequestNumber(first + $0) }
        sessions[s] = ClientSession(id: map.lastSession, groups: groups.count)
        for c in clients.indices where clients[c].session == s {
            let mapVersion = clients[c].mapVersion
            if let work = clients[c].work {
                haunt(c, session: old, number: work.number, mapVersion: mapVersion, work)
            }
            clients[c].mapVersion = map.version
            // A client of a dead gateway sends its open call again through another one.
            if let work = clients[c].work, history[work.observed].tree?.call != nil, chance(70) {
                clients[c].attempt += 1
                beginStep(c)
            } else {
                abandon(c)
            }
            haunt(c, session: old, number: numbers[c % scenario.lanes], mapVersion: mapVersion)
        }
    }
}
