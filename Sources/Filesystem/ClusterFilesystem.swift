import ClusterModel
import Gateway
import NIOCore
import Storage
import Wire

/// A request that waits in the gateway, as `ClusterFilesystem.waits` tells it.
public typealias GatewayWait = Gateway.GatewayWait

/// The cluster's files, for all doors of one event loop: drives the gateway machine over the object layer.
///
/// It owns the bytes that the machine knows by handles: a WRITE's payload and a READ's parts, each until its operation
/// is answered. Every answer is given only while the node's lease is surely valid, checked last (traps 2, 21).
///
/// Used on its event loop only.
public final class ClusterFilesystem: VirtualFilesystem {
    public let eventLoop: any EventLoop
    let service: any PGService
    let machine: GatewayMachine
    let clock: () -> GatewayTime
    let metrics = OperationMetrics()

    /// Told when the session has ended: what clients asked for under it failed, and their connections are to be closed,
    /// for nothing may be run again under another session.
    public var sessionEnded: ((SessionID) -> Void)?
    /// Told when `isPressed` changes.
    public var pressureChanged: ((Pressure) -> Void)?

    /// Whether doors may read on.
    public enum Pressure: Sendable {
        case open
        /// Too much waits for placement groups: doors stop reading from their connections.
        case stopped
    }

    struct Pending {
        var kind: OperationKind
        var began: Instant
        var payload: ByteBuffer?
        var asker: ObjectIdentifier?
        var done: (Result<FileAnswer, FileFailure>) -> Void
    }
    var pending: [UInt64: Pending] = [:]
    var data: [UInt64: ByteBuffer] = [:]
    private var lastID: UInt64 = 0
    private var isRunning = false
    private var effects: [GatewayEffect] = []
    private var tick: (deadline: Instant, task: Scheduled<Void>)?
    private var pressure = Pressure.open
    /// What the machine was last told.
    private var shownSession: SessionID?

    /// `seed` spreads retries, and differs between gateways.
    public init(service: any PGService, seed: UInt64, clock: @escaping () -> GatewayTime = FilesystemClock.system) {
        self.service = service
        self.clock = clock
        eventLoop = service.eventLoop
        machine = GatewayMachine(node: service.localNode, seed: seed)
        let earlier = service.viewChanged
        service.viewChanged = { [weak self] in
            earlier?()
            self?.viewChanged()
        }
        viewChanged()
    }

    public func dataBuffer(capacity: Int) -> ByteBuffer { service.payloadBuffer(capacity: capacity) }

    public var isPressed: Bool { machine.isPressed }

    /// What requests wait for, for `stave why`.
    public func waits() -> [GatewayWait] { machine.waits() }

    public var counters: GatewayCounters { machine.counters }

    // MARK: Operations

    func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    func begin(
        _ kind: OperationKind, _ context: CallContext, _ request: FileRequest, id: UInt64? = nil,
        payload: ByteBuffer? = nil, done: @escaping (Result<FileAnswer, FileFailure>) -> Void
    ) {
        eventLoop.preconditionInEventLoop()
        if service.session != shownSession { viewChanged() }
        let id = id ?? nextID()
        let time = clock()
        pending[id] = Pending(kind: kind, began: time.now, payload: payload, asker: context.asker, done: done)
        let caller = Caller(credentials: context.credentials, call: context.call)
        machine.began(OperationID(id), request, by: caller, at: time)
        run()
    }

    public func abandoned(by askers: Set<ObjectIdentifier>) {
        let ids = pending.filter { $0.value.asker.map(askers.contains) ?? false }.keys
        machine.abandoned(Set(ids.map { OperationID($0) }), at: clock())
        run()
    }

    public func wanted(by asker: ObjectIdentifier) {
        for (id, operation) in pending where operation.asker == asker { machine.wanted(OperationID(id), at: clock()) }
        run()
    }

    private func viewChanged() {
        let view = service.view
        shownSession = service.session
        machine.viewChanged(
            GatewayView(map: view.map, data: view.data, metadata: view.metadata, session: service.session), at: clock())
        run()
    }

    // MARK: Effects

    /// Executes what the machine wants, in order. An event that arrives meanwhile leaves its effects to this loop.
    func run() {
        if isRunning { return }
        isRunning = true
        while !machine.effects.isEmpty {
            machine.takeEffects(into: &effects)
            for effect in effects { execute(effect) }
        }
        effects.removeAll(keepingCapacity: true)
        isRunning = false
        setTick()
        let now: Pressure = machine.isPressed ? .stopped : .open
        if now != pressure {
            pressure = now
            pressureChanged?(now)
        }
    }

    private func execute(_ effect: GatewayEffect) {
        switch effect {
        case .send(let token, let request, let payload, to: let node): send(token, request, payload, to: node)
        case .flush(let token, let groups, let session, let version, to: let node):
            service.flush(groups, session: session, mapVersion: version, on: node) { [self] answer in
                machine.flushed(token, answer, at: clock())
                run()
            }
        case .readLocal(let token, let range, let truncation, let pg, let epoch, let name):
            service.readLocal(range, truncation, in: pg, epoch: epoch, through: name) { [self] result in
                machine.readLocally(token, result.map { (keep($0.data), $0.presence) }, at: clock())
                run()
            }
        case .finish(let operation, let result): finish(operation.rawValue, result)
        case .drop(let handle): data[handle.id] = nil
        case .refresh(let version): service.refresh(atLeast: version)
        case .sessionEnded(let session): sessionEnded?(session)
        }
    }

    private func send(_ token: RequestToken, _ request: PGRequest, _ payload: RequestPayload, to node: NodeID) {
        var request = request
        let bytes = bytes(of: payload)
        if let bytes { request.payload = PayloadHandle(id: nextID(), length: bytes.readableBytes) }
        service.send(request, payload: bytes, to: node) { [self] outcome in
            switch outcome {
            case .answered(let response, let payload):
                machine.answered(token, response, content(of: response, payload), at: clock())
            case .unknown: machine.connectionLost(token, at: clock())
            }
            run()
        }
    }

    private func finish(_ id: UInt64, _ result: Result<FileAnswer, FileFailure>) {
        guard let operation = pending.removeValue(forKey: id) else { return }
        // The lease last, as the answer leaves: this process may have been stopped since the placement groups answered.
        let isLeased = service.leaseIsSurelyValid()
        var isSuccess = false
        if case .success = result { isSuccess = isLeased }
        metrics.ended(operation.kind, isSuccess: isSuccess, after: clock().now - operation.began)
        operation.done(isLeased ? result : .failure(.unavailable))
        if case .success(.read(let pieces, _)) = result {
            for piece in pieces { if case .bytes(let handle, length: _) = piece { data[handle.id] = nil } }
        }
    }

    // MARK: Time

    /// One scheduled task, at the machine's next deadline.
    private func setTick() {
        guard let deadline = machine.nextDeadline else { return }
        if let tick {
            if tick.deadline <= deadline { return }
            tick.task.cancel()
        }
        let delay = deadline - clock().now
        let task = eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(Int64(clamping: delay.nanoseconds))) {
            [weak self] in
            if let self { self.ticked() }
        }
        tick = (deadline, task)
    }

    private func ticked() {
        tick = nil
        metrics.inProgress(machine.operationCount)
        machine.timePassed(clock())
        run()
    }
}
