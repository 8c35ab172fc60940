import ClusterModel
import Gateway
import Wire

/// One gateway of the world: executes the machine's effects and checks what must hold of them.
final class Door {
    unowned let world: World
    let node: NodeID
    let machine: GatewayMachine
    var session: SessionID?
    /// Values of a WRITE's payload, by its handle.
    var payloads: [UInt64: [UInt64]] = [:]
    var data: [UInt64: [UInt64]] = [:]
    var waiting: [UInt64: (Result<FileAnswer, FileFailure>) -> Void] = [:]
    var violations: [String] = []
    /// Requests handed over, newest last, while a test wants them.
    var log: [PGRequest]?
    /// Changes of the namespace that it sent.
    var entries: [NamespaceEntry] = []
    var flushLog: [[FlushTarget]] = []
    var sessionsEnded: [SessionID] = []
    private var last: UInt64 = 0
    private var isRunning = false
    private var wakeAt: UInt64?
    private struct Flight: Hashable {
        var session: SessionID
        var pg: PGID
        var number: RequestNumber
        var node: NodeID
    }
    private var flights: Set<Flight> = []

    init(world: World, index: Int, seed: UInt64) {
        self.world = world
        node = NodeID(UInt16(index + 1))
        machine = GatewayMachine(node: node, seed: seed)
    }

    func show() {
        let map = world.map
        machine.viewChanged(
            GatewayView(
                map: map, data: (0..<map.dataPGCount).map { world.records[.data($0)] },
                metadata: map.filesets.map { world.records[.metadata($0.id)] }, session: session), at: world.time)
        run()
    }

    func newID() -> UInt64 {
        last += 1
        return last
    }

    func begin(
        _ request: FileRequest, as caller: Credentials = .superuser, id: UInt64? = nil,
        _ done: @escaping (Result<FileAnswer, FileFailure>) -> Void
    ) {
        let id = id ?? newID()
        waiting[id] = done
        machine.began(OperationID(id), request, by: Caller(credentials: caller), at: world.time)
        run()
    }

    /// Runs the world until the answer is there.
    func ask(_ request: FileRequest, as caller: Credentials = .superuser) -> Result<FileAnswer, FileFailure>? {
        var answer: Result<FileAnswer, FileFailure>?
        begin(request, as: caller) { answer = $0 }
        world.run(for: .seconds(60)) { answer != nil }
        return answer
    }

    /// Nobody waits for these any more.
    func abandon(_ ids: [UInt64]) {
        machine.abandoned(Set(ids.map { OperationID($0) }), at: world.time)
        run()
    }

    func want(_ id: UInt64) {
        machine.wanted(OperationID(id), at: world.time)
        run()
    }

    @discardableResult
    func write(
        _ file: FileID, _ offset: UInt64, _ values: [UInt64], _ durability: Durability = .unstable,
        zeros: [ZeroRun] = [], _ done: @escaping (Result<FileAnswer, FileFailure>) -> Void
    ) -> UInt64 {
        let id = newID()
        payloads[id] = values
        let handle = PayloadHandle(id: id, length: values.count * FakeGroup.unit)
        begin(.write(file, offset: offset, handle, zeros: zeros, durability), id: id, done)
        return id
    }

    func values(_ pieces: [ReadPiece]) -> [UInt64] {
        var result: [UInt64] = []
        for piece in pieces {
            switch piece {
            case .bytes(let handle, let length):
                result.append(contentsOf: (data[handle.id] ?? []).prefix(length / FakeGroup.unit))
            case .zeros(let length): result.append(contentsOf: [UInt64](repeating: 0, count: length / FakeGroup.unit))
            }
        }
        return result
    }

    private func run() {
        if isRunning { return }
        isRunning = true
        var effects: [GatewayEffect] = []
        while !machine.effects.isEmpty {
            machine.takeEffects(into: &effects)
            for effect in effects { execute(effect) }
        }
        isRunning = false
        guard let next = machine.nextDeadline?.nanoseconds else { return }
        let at = max(next, world.now)
        if let wakeAt, wakeAt <= at { return }
        wakeAt = at
        world.after(at - world.now) { [self] in
            if wakeAt == at { wakeAt = nil }
            machine.timePassed(world.time)
            run()
        }
    }

    private func execute(_ effect: GatewayEffect) {
        switch effect {
        case .send(let token, let request, let payload, let node): send(token, request, payload, node)
        case .flush(let token, let targets, let session, let version, let node):
            flush(token, targets, session, version, node)
        case .readLocal(let token, let range, let mark, let pg, _, let through):
            world.after(world.delay()) { [self] in
                guard world.random.below(3) > 0, let group = world.groups[pg], group.n >= through.n else {
                    machine.readLocally(token, nil, at: world.time)
                    return run()
                }
                let (values, presence) = group.read(range, mark, world.layout)
                machine.readLocally(token, (keep(values), presence), at: world.time)
                run()
            }
        case .finish(let id, let result):
            guard let done = waiting.removeValue(forKey: id.rawValue) else {
                return violations.append("operation \(id.rawValue) was answered twice")
            }
            done(result)
            payloads[id.rawValue] = nil
            if case .success(.read(let pieces, _)) = result {
                for piece in pieces { if case .bytes(let handle, length: _) = piece { data[handle.id] = nil } }
            }
        case .drop(let handle): data[handle.id] = nil
        case .refresh: world.after(world.delay()) { [self] in show() }
        case .sessionEnded(let session): sessionsEnded.append(session)
        }
    }

    private func keep(_ values: [UInt64]) -> PayloadHandle {
        let handle = PayloadHandle(id: newID(), length: values.count * FakeGroup.unit)
        data[handle.id] = values
        return handle
    }

    private func send(_ token: RequestToken, _ request: PGRequest, _ payload: RequestPayload, _ node: NodeID) {
        log?.append(request)
        var flight: Flight?
        if request.number != .none {
            let one = Flight(session: request.session, pg: request.pg, number: request.number, node: node)
            if !flights.insert(one).inserted { violations.append("two copies of \(request.number) at \(node)") }
            flight = one
            if request.number.rawValue >= request.ended.rawValue + 256 {
                violations.append("number \(request.number) beyond the window of \(request.ended)")
            }
        }
        if request.session != session { violations.append("a request under \(request.session), which has ended") }
        let fake: FakePayload
        switch payload {
        case .none: fake = .none
        case .slice(let handle, let offset, let length):
            let first = offset / FakeGroup.unit
            fake = .units(Array((payloads[handle.id] ?? [])[first..<first + length / FakeGroup.unit]))
        case .entry(let entry):
            entries.append(entry)
            fake = .operation(entry.operation)
        case .query(let question): fake = .question(question)
        }
        world.send(request, fake, to: node) { [self] answer in
            if let flight { flights.remove(flight) }
            guard let (response, content) = answer else {
                machine.connectionLost(token, at: world.time)
                return run()
            }
            let reply: ReplyContent
            switch content {
            case .none: reply = .none
            case .units(let values, _): reply = .data(keep(values))
            case .result(let result): reply = .result(result)
            case .answer(let answer): reply = .answer(answer)
            }
            machine.answered(token, response, reply, at: world.time)
            run()
        }
    }

    private func flush(
        _ token: FlushToken, _ targets: [FlushTarget], _ session: SessionID, _ version: MapVersion, _ node: NodeID
    ) {
        flushLog.append(targets)
        var responses: [PGResponse] = []
        var remaining = targets.count
        var isLost = false
        // One message: its parts share one fate, which the first of them decides.
        for target in targets {
            let request = PGRequest(
                pg: target.pg, session: session, number: .none, ended: .none, epoch: target.epoch, mapVersion: version,
                body: .flush)
            world.send(request, .none, to: node) { [self] answer in
                remaining -= 1
                if let answer { responses.append(answer.0) } else { isLost = true }
                if remaining > 0 { return }
                let sorted = targets.compactMap { target in responses.first { $0.pg == target.pg } }
                // As a node answers.
                var stamps: [LossNumber] = []
                for response in sorted { if case .flushed(let stamp) = response.body { stamps.append(stamp) } }
                let highest = stamps.max() ?? .zero
                machine.flushed(
                    token, isLost ? nil : stamps.count == sorted.count ? .all(highest) : .each(sorted), at: world.time)
                run()
            }
        }
    }
}
