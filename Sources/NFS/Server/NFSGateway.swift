import ClusterModel
import Filesystem
import Logging
import NIOCore
import ONCRPC

/// The state of one gateway, on its event loop: connections, calls under way, exports, histories.
final class NFSGateway {
    let vfs: any VirtualFilesystem
    let codec: HandleCodec
    let lossNumbers: any LossNumberSource
    let logger: Logger
    let metrics: NFSMetrics
    let loop: any EventLoop
    let allocator = ByteBufferAllocator()
    var exports: ExportTable
    var pending = PendingCalls()
    var history = VerifierHistory()
    var mounts = MountList()
    /// The bound of `connections`.
    var connectionBound = NFSLimits.connections
    /// How long a client waits before it is sent away.
    var patience = TimeAmount.seconds(NFSLimits.jukeboxSeconds)
    /// How long one that was sent away may take to come again.
    var returnPatience = TimeAmount.seconds(NFSLimits.returnSeconds)
    /// How long a connection may stand within a record, or without a first call.
    var stallLimit = TimeAmount.seconds(NFSLimits.stalledSeconds)
    var hoardLimit = TimeAmount.seconds(NFSLimits.hoardSeconds)
    var admission = Admission()
    private var connections: [ObjectIdentifier: NFSConnection] = [:]
    private var unflushed: [NFSConnection] = []
    private var writer = XDRWriter(capacity: 8192)
    private let zeros: ByteBuffer
    private var complaints = 0
    private var complaintsSince: NIODeadline
    private var isWaking = false

    init(
        vfs: any VirtualFilesystem, exports: ExportTable, key: HandleKey, lossNumbers: any LossNumberSource,
        name: String, logger: Logger
    ) {
        self.vfs = vfs
        loop = vfs.eventLoop
        self.exports = exports
        codec = HandleCodec(key: key)
        self.lossNumbers = lossNumbers
        self.logger = logger
        metrics = NFSMetrics(gateway: name)
        zeros = allocator.buffer(repeating: 0, count: 4)
        complaintsSince = loop.now
    }

    var now: NIODeadline { loop.now }
    var connectionCount: Int { connections.count }

    /// Since the loss number last rose; nil when nobody remembers.
    var secondsSinceRise: Int64? {
        // Asking for the number is what makes a source notice a rise.
        guard lossNumbers.lossNumber > .zero, let rise = lossNumbers.lastRise else { return nil }
        let elapsed: TimeAmount = now - rise
        return elapsed.nanoseconds / 1_000_000_000
    }

    /// 1 … 3 zeros that stand behind data.
    func padding(_ count: Int) -> ByteBuffer { zeros.getSlice(at: 0, length: count) ?? ByteBuffer() }

    // MARK: Connections

    /// Takes a new connection in, in place of the one that has been idle longest when there are too many; false when
    /// it must be closed because all are busy.
    func joined(_ connection: NFSConnection) -> Bool {
        if connections.count >= connectionBound {
            guard let idle = connections.values.filter(\.isIdle).min(by: { $0.lastActive < $1.lastActive }) else {
                complain(
                    about: connection.address, "all \(connectionBound) connections are busy; one more is refused")
                return false
            }
            idle.close(because: "idle while another client needs the place")
        }
        connections[connection.id] = connection
        return true
    }

    func left(_ connection: NFSConnection) {
        connections[connection.id] = nil
        admission.left(connection.id)
        let abandoned = pending.left(connection)
        if !abandoned.isEmpty {
            metrics.abandoned.increment(by: abandoned.count)
            vfs.abandoned(by: Set(abandoned.map(ObjectIdentifier.init)))
        }
        wake()
    }

    /// Ends all connections, when the server stops or its session has ended.
    func closeConnections(because reason: String) {
        for connection in Array(connections.values) { connection.close(because: reason) }
    }

    /// Sends at the end of this turn of the loop, together with what else comes in it.
    func flushSoon(_ connection: NFSConnection) {
        unflushed.append(connection)
        guard unflushed.count == 1 else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.execute {
            let ready = bound.value.unflushed
            bound.value.unflushed.removeAll(keepingCapacity: true)
            for connection in ready { connection.flush() }
        }
    }

    // MARK: Calls

    /// A record came whole. Returns what is wrong with it when it is no call.
    func received(_ record: ByteBuffer, on connection: NFSConnection) -> XDRError? {
        do throws(XDRError) {
            try run(record, on: connection)
            return nil
        } catch {
            metrics.malformed.increment()
            return error
        }
    }

    private func run(_ record: ByteBuffer, on connection: NFSConnection) throws(XDRError) {
        let outcome = record.withUnsafeReadableBytes { memory -> Result<Void, XDRError> in
            do throws(XDRError) {
                var reader = XDRReader(memory)
                switch try RPCCall.decode(&reader) {
                case .rejected(let xid, let rejection): reject(xid, rejection, to: connection)
                case .call(let header): begin(header, record: record, reader: &reader, on: connection)
                }
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try outcome.get()
    }

    private func begin(_ header: RPCCall, record: ByteBuffer, reader: inout XDRReader, on connection: NFSConnection) {
        switch Dispatch.route(header) {
        case .refused(let acceptance):
            connection.send(answer(header.xid, acceptance, NFS3.Nothing(), data: nil))
        case .operation(let operation):
            let heldBytes = record.readableBytes + min(operation.answerBound, 8192)
            let call = NFSCall(
                gateway: self, connection: connection, header: header,
                caller: Caller(address: connection.address, credential: header.credential), operation: operation,
                record: record, argumentsStart: reader.position, heldBytes: heldBytes, arrival: now)
            switch pending.arrived(call, now: now) {
            case .joins(let first):
                metrics.joined.increment()
                first.join(NFSCall.Waiter(connection: connection, xid: header.xid))
            case .answered(let answer): connection.send(answer.renumbered(header.xid))
            case .new:
                admission.took(calls: 1, bytes: heldBytes, share: &connection.share)
                if !operation.mergesWrites { connection.submitWrites() }
                do throws(XDRError) {
                    try operation.handler(call, &reader)
                } catch {
                    metrics.malformed.increment()
                    complain(about: connection.address, "the arguments of \(operation.name) are garbage: \(error)")
                    call.answer(.garbageArguments)
                }
            }
        }
    }

    private func reject(_ xid: TransactionID, _ rejection: RPCRejection, to connection: NFSConnection) {
        writer.reset()
        writer.uint32(0)
        RPCReply.rejected(xid, rejection).encode(into: &writer)
        connection.send(Answer(&writer, allocator: allocator))
    }

    /// Makes a reply; `result` is used with a success only.
    func answer(_ xid: TransactionID, _ acceptance: RPCAcceptance, _ result: some XDRCodable, data: ByteBuffer?)
        -> Answer
    {
        writer.reset()
        writer.uint32(0)
        RPCReply.accepted(xid, acceptance).encode(into: &writer)
        if acceptance == .success { result.encode(into: &writer) }
        return Answer(&writer, data: data, allocator: allocator)
    }

    /// The call has its answer and holds nothing any more.
    func finished(_ call: NFSCall, heldBytes: Int) {
        metrics.ended(call, now: now)
        admission.gaveBack(calls: 1, bytes: heldBytes, share: &call.connection.share)
        roomCame(for: call.connection)
    }

    /// A call holds this much more.
    func took(bytes: Int, for connection: NFSConnection) {
        admission.took(calls: 0, bytes: bytes, share: &connection.share)
    }

    /// A call holds this much less.
    func gaveBack(bytes: Int, for connection: NFSConnection) {
        admission.gaveBack(calls: 0, bytes: bytes, share: &connection.share)
    }

    /// Whether the connection may bring a call; see `Admission`.
    func admits(_ connection: NFSConnection) -> Bool { admission.admits(connection.id, share: connection.share) }

    /// Less is held: who stands in line goes on first, else the connection that gave the room would take it again and
    /// again; then that connection, which may have waited for its own bounds only.
    func roomCame(for connection: NFSConnection) {
        wake()
        connection.resume()
    }

    /// Wakes those in line, one after the other, as long as there is room. A woken one may end calls at once, so this
    /// does not enter itself.
    private func wake() {
        guard !isWaking else { return }
        isWaking = true
        while let next = admission.nextInLine() { connections[next]?.resume() }
        isWaking = false
    }

    // MARK: Time

    /// Once a second: sends clients away that have waited long, and closes connections that say nothing sensible.
    func tick() {
        metrics.sample(admission, connections: connections.count)
        // A source that looks only when it is asked learns the time of a rise to the second.
        _ = lossNumbers.lossNumber
        for call in pending.older(than: now - patience) where call.understandsJukebox {
            metrics.sentAway.increment()
            call.sendAway()
        }
        metrics.abandoned.increment(by: pending.overdue(since: now - returnPatience).count)
        // Once more for those that have begun another step since.
        let abandoned = pending.abandoned
        if !abandoned.isEmpty { vfs.abandoned(by: Set(abandoned.map(ObjectIdentifier.init))) }
        let stalled = now - stallLimit
        for connection in connections.values.filter({ $0.isStalled(since: stalled) }) {
            connection.close(because: "no whole call came for too long")
        }
        if admission.isOpen { return }
        let hoarding = now - hoardLimit
        for connection in connections.values.filter({ $0.isHoarding(since: hoarding) }) {
            connection.close(because: "others wait for the room of its unfinished record")
        }
    }

    /// Logs what a client did wrong, not more often than is read.
    func complain(about client: ClientAddress, _ text: String) {
        if now - complaintsSince > .seconds(10) {
            let unsaid = complaints - NFSLimits.complaintsPerPeriod
            if unsaid > 0 { logger.warning("\(unsaid) further faults of clients were not logged") }
            complaintsSince = now
            complaints = 0
        }
        complaints += 1
        if complaints <= NFSLimits.complaintsPerPeriod {
            logger.warning("bad input from a client: \(text)", metadata: ["client": "\(client)"])
        }
    }
}
