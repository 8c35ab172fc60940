import ClusterModel
import Logging
import NIOCore
import Wire

/// One connection to another node (or to the command line), after or before its hello.
///
/// Invariants:
/// - nothing is delivered before the other side's hello was accepted, and nothing but a hello is accepted as the first;
/// - a message that cannot be read closes this connection, with a log line, and nothing else;
/// - nothing that came behind such a message is delivered;
/// - at most `TransportLimits.unsentBytes` wait to be sent; the connection of a peer that takes no more is closed;
/// - a payload that came with a request is not sent back to the one who sent it before that request is answered: what the
///   request makes of it names the request instead, and the asker has kept the bytes.
final class NodeConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private(set) var peer: Hello?
    /// The version that both sides speak, from their hellos on; a hello is the same in all.
    private(set) var spoken = ProtocolVersion.oldest
    private let transport: NodeTransport
    private let side: Side
    private var decoder = FrameDecoder()
    private var context: ChannelHandlerContext?
    private var writer = WireWriter(capacity: 1024)
    private var isUnflushed = false
    /// Payloads of own requests that are not answered yet.
    private var asked: [ExchangeID: Payload] = [:]
    /// Of requests of the other side that are not answered yet: which one a payload came with, and the other way round.
    private var origins: [UInt64: ExchangeID] = [:]
    private var unanswered: [ExchangeID: UInt64] = [:]
    private var hasFailed = false
    /// Arenas that the peer can read.
    private(set) var readableArenas: Set<ArenaID> = []
    private var lent = LentRegions()
    private var returns: GrantReturns?

    /// Which side opened the connection; the opener knows whom it expects.
    enum Side {
        case dialled(NodeID)
        case accepted
    }

    init(transport: NodeTransport, side: Side) {
        self.transport = transport
        self.side = side
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        if case .dialled = side { send(.hello(transport.ownHello(.peer))) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        transport.connectionClosed(self)
        endSharing()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        transport.logger.notice("connection to \(describePeer) failed: \(error)")
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // The decoder has lost its place in the stream.
        if hasFailed { return }
        do {
            try decoder.feed(unwrapInboundIn(data)) { kind, header, payload in
                transport.countReceived(header.readableBytes + (payload?.count ?? 0) + FrameHead.size)
                if kind == SharingMessage.kind { return try received(sharing: header) }
                var kind = kind
                var header = header
                let handle: PayloadHandle?
                if kind == LentPayload.kind {
                    let lent = try header.withUnsafeReadableBytes { try LentPayload($0) }
                    header.moveReaderIndex(forwardBy: LentPayload.size)
                    kind = lent.messageKind
                    handle = transport.payloads.add(Payload(try region(lent)))
                } else if kind == EchoFrame.kind {
                    handle = transport.payloads.add(try echoed(&header))
                    kind = EchoFrame.messageKind
                } else {
                    handle = payload.map(transport.payloads.add)
                }
                do {
                    let message = try header.withUnsafeReadableBytes {
                        try NodeMessage(kind: kind, header: $0, payload: handle, in: spoken)
                    }
                    try received(message)
                } catch {
                    if let handle { transport.payloads.drop(handle) }
                    throw error
                }
            }
        } catch {
            hasFailed = true
            transport.logger.warning("closing the connection to \(describePeer): it sent \(error)")
            context.close(promise: nil)
        }
    }

    /// The payload that the other side did not send back; takes the id of its request off the header.
    private func echoed(_ header: inout ByteBuffer) throws -> Payload {
        guard let id = header.readInteger(endianness: .little, as: UInt64.self), let kept = asked[ExchangeID(id)] else {
            throw WireError("a message whose payload should have come from here, and did not")
        }
        return kept
    }

    /// Notes what came with a request, so that it is not sent back.
    private func noteReceived(_ message: NodeMessage) {
        switch message {
        case .request(let id, let request):
            guard let payload = request.payload else { return }
            origins[payload.id] = id
            unanswered[id] = payload.id
        case .response(let id, _): asked[id] = nil
        case .hello, .flush, .flushed, .replica, .alive, .slow, .ask, .tell: break
        }
    }

    /// Keeps what is asked with, and forgets what is answered.
    private func noteSent(_ message: NodeMessage, _ payload: Payload?) {
        switch message {
        case .request(let id, _): if let payload { asked[id] = payload }
        case .response(let id, _): if let origin = unanswered.removeValue(forKey: id) { origins[origin] = nil }
        case .hello, .flush, .flushed, .replica, .alive, .slow, .ask, .tell: break
        }
    }

    private var describePeer: String {
        if let peer { return "\(peer.node)" }
        if case .dialled(let node) = side { return "\(node)" }
        return "an unknown peer"
    }

    private func received(_ message: NodeMessage) throws {
        guard let peer else {
            guard case .hello(let hello) = message else { throw WireError("something before its hello") }
            try accept(hello)
            return
        }
        if case .hello = message { throw WireError("a second hello") }
        noteReceived(message)
        transport.deliver(message, from: peer, on: self)
    }

    private func accept(_ hello: Hello) throws {
        let own = transport.ownHello(hello.purpose)
        // The command line learns the cluster's id from the answer; its own hello has none.
        let isNameless = hello.purpose == .admin && hello.cluster == ClusterID(0)
        if hello.cluster != own.cluster, !isNameless { throw WireError("a hello of another cluster, \(hello.cluster)") }
        guard let version = own.spoken(with: hello) else {
            throw WireError(
                "a hello of protocol \(hello.oldestProtocol)…\(hello.newestProtocol); this program speaks "
                    + "\(own.oldestProtocol)…\(own.newestProtocol)")
        }
        switch side {
        case .dialled(let expected):
            if hello.node != expected { throw WireError("a hello of \(hello.node) where \(expected) was dialled") }
        case .accepted:
            send(.hello(own))
        }
        peer = hello
        spoken = version
        transport.connectionOpened(self, peer: hello)
        beginSharing(hello)
    }

    /// Queues a message; it leaves with `NodeTransport.flush`.
    func send(_ message: NodeMessage) {
        guard let context else {
            return
        }
        // Who sends has asked for the peer's version; what slips through is lost, as with a connection that breaks.
        guard message.since <= spoken else {
            transport.logger.error(
                "\(describePeer) speaks protocol \(spoken.rawValue): a message of \(message.since.rawValue) is not sent"
            )
            return
        }
        var origin: ExchangeID?
        if case .replica(let replica) = message, let handle = replica.payload { origin = origins[handle.id] }
        let region = origin == nil && !readableArenas.isEmpty ? message.payload.flatMap(lendable) : nil
        let payload = message.payload.flatMap(transport.payloads.payload)
        if let handle = message.payload, payload?.count != handle.length {
            // The frame would promise bytes that do not follow, and the peer would take the next frame for them.
            transport.logger.critical("closing the connection to \(describePeer): payload \(handle.id) was dropped")
            context.close(promise: nil)
            return
        }
        noteSent(message, payload)
        writer.reset()
        let following: Payload?
        if case .replica(let replica) = message, let origin {
            following = nil
            writer.echoFrame(replica, of: origin)
        } else if let region {
            following = nil
            transport.countLent(region.range.count)
            writer.lentFrame(
                message, grant: lent.lend(region), arena: region.mapping.id, offset: UInt64(region.range.lowerBound),
                count: UInt32(region.range.count))
        } else {
            following = payload
            writer.frame(message)
        }
        write(context, then: following)
    }

    /// Queues the frame in `writer`, and the payload that follows it.
    private func write(_ context: ChannelHandlerContext, then payload: Payload?) {
        var buffer = context.channel.allocator.buffer(capacity: writer.count)
        writer.withUnsafeBytes { _ = buffer.writeBytes($0) }
        context.write(NIOAny(buffer), promise: nil)
        payload?.forEachPart { context.write(NIOAny($0), promise: nil) }
        transport.countSent(writer.count + (payload?.count ?? 0))
        if !isUnflushed {
            isUnflushed = true
            transport.hasUnflushed(self)
        }
    }

    /// Sends what is queued.
    func flush() {
        isUnflushed = false
        guard let context else { return }
        context.flush()
        guard !context.channel.isWritable,
            let waiting = try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
        else { return }
        if waiting > TransportLimits.unsentBytes {
            transport.logger.warning(
                "closing the connection to \(describePeer): it takes too little, and \(waiting) bytes wait")
            context.close(promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        transport.readCycleEnded()
        context.fireChannelReadComplete()
    }

    func close() { context?.close(promise: nil) }

    // MARK: Payloads in shared memory

    /// Between processes of one machine that both can.
    private func beginSharing(_ hello: Hello) {
        guard let sharing = transport.sharing, hello.purpose == .peer, hello.features & Hello.sharesMemory != 0,
            let context, case .unixDomainSocket? = context.channel.localAddress ?? context.channel.remoteAddress
        else { return }
        let loop = context.eventLoop
        let owner = LoopBound(self, loop: loop)
        returns = GrantReturns { loop.execute { owner.value.giveBack() } }
        send(sharing.own.mapping.offer)
        for arena in sharing.readable { send(.readable(arena)) }
    }

    func send(_ message: SharingMessage) {
        guard let context, returns != nil else { return }
        writer.reset()
        writer.frame(message)
        write(context, then: nil)
    }

    private func received(sharing header: ByteBuffer) throws {
        let message = try header.withUnsafeReadableBytes { try SharingMessage($0) }
        guard let sharing = transport.sharing, let peer, returns != nil else {
            throw WireError("a message about shared memory that was not agreed on")
        }
        switch message {
        case .readable(let arena):
            guard readableArenas.count < TransportLimits.arenas else { throw WireError("too many arenas") }
            readableArenas.insert(arena)
        case .unreadable(let arena):
            readableArenas.remove(arena)
            send(.lastUse(arena))
        case .returned(let grants):
            for grant in grants where !lent.returned(grant) { throw WireError("something back that was not lent") }
        case .offer, .lastUse, .spoiled: break
        }
        sharing.received(message, from: peer.node, transport.openConnections)
    }

    private func lendable(_ payload: PayloadHandle) -> SharedRegion? {
        transport.sharing?.region(of: payload, in: transport.payloads, readable: readableArenas)
    }

    /// The bytes that the peer lends.
    private func region(_ lent: LentPayload) throws -> SharedRegion {
        guard let returns, let mapping = transport.sharing?.mapping(lent.arena) else {
            throw WireError("a payload in memory that was not mapped")
        }
        let (end, overflow) = lent.offset.addingReportingOverflow(UInt64(lent.count))
        guard !overflow, end <= UInt64(mapping.length), lent.offset >= UInt64(SharedMapping.headerBytes),
            Int(lent.count) <= Limits.payloadBytes
        else { throw WireError("a payload of \(lent.count) bytes at \(lent.offset) of shared memory") }
        let grant = lent.grant
        return SharedRegion(mapping, Int(lent.offset)..<Int(end)) { returns.add(grant) }
    }

    private func giveBack() {
        guard let all = returns?.take() else { return }
        var rest = all[...]
        while !rest.isEmpty {
            send(.returned(Array(rest.prefix(SharingMessage.grantsPerMessage))))
            rest = rest.dropFirst(SharingMessage.grantsPerMessage)
        }
    }

    /// The peer may be stopped only, and read on: nothing that it was lent is written again.
    private func endSharing() {
        let (arenas, regions) = lent.lose()
        transport.sharing?.lost(arenas, transport.openConnections)
        returns = nil
        readableArenas = []
        // Only now: what is given back now is behind the word about its arena.
        withExtendedLifetime(regions) {}
    }
}

/// Bounds of connections.
public enum TransportLimits {
    /// Bytes that may wait for a peer that does not read (a stopped process) before its connection is closed: the data
    /// that placement groups keep in flight to one member, several times.
    public static let unsentBytes = 64 << 20
    /// What the socket takes before the sender waits.
    static let socketBytes = 2 << 20
    /// Payloads from this size on lie in memory that the nodes of one machine share; smaller ones are cheaper to send.
    static let sharedPayload = 64 << 10
    /// Memory in which a node lends payloads. When it is all out, payloads go through sockets.
    static let arenaBytes = (32 << 20) + (64 << 10)
    /// Arenas of others that a node maps; the payloads of further ones come through sockets.
    static let arenas = 32
    /// Between attempts to reach a node.
    public static let reconnectDelay: TimeAmount = .milliseconds(100)
}
