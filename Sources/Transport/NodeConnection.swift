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
        transport.connectionClosed(self)
        self.context = nil
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
                var kind = kind
                var header = header
                let handle: PayloadHandle?
                if kind == EchoFrame.kind {
                    handle = transport.payloads.add(try echoed(&header))
                    kind = EchoFrame.messageKind
                } else {
                    handle = payload.map(transport.payloads.add)
                }
                do {
                    let message = try header.withUnsafeReadableBytes {
                        try NodeMessage(kind: kind, header: $0, payload: handle)
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
        case .hello, .flush, .flushed, .replica, .alive, .ask, .tell: break
        }
    }

    /// Keeps what is asked with, and forgets what is answered.
    private func noteSent(_ message: NodeMessage, _ payload: Payload?) {
        switch message {
        case .request(let id, _): if let payload { asked[id] = payload }
        case .response(let id, _): if let origin = unanswered.removeValue(forKey: id) { origins[origin] = nil }
        case .hello, .flush, .flushed, .replica, .alive, .ask, .tell: break
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
        if min(hello.newestProtocol, own.newestProtocol) < max(hello.oldestProtocol, own.oldestProtocol) {
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
        transport.connectionOpened(self, peer: hello)
    }

    /// Queues a message; it leaves with `NodeTransport.flush`.
    func send(_ message: NodeMessage) {
        guard let context else {
            return
        }
        let payload = message.payload.flatMap(transport.payloads.payload)
        if let handle = message.payload, payload?.count != handle.length {
            // The frame would promise bytes that do not follow, and the peer would take the next frame for them.
            transport.logger.critical("closing the connection to \(describePeer): payload \(handle.id) was dropped")
            context.close(promise: nil)
            return
        }
        noteSent(message, payload)
        writer.reset()
        let isEcho: Bool
        if case .replica(let replica) = message, let handle = replica.payload, let origin = origins[handle.id] {
            isEcho = true
            writer.echoFrame(replica, of: origin)
        } else {
            isEcho = false
            writer.frame(message)
        }
        var buffer = context.channel.allocator.buffer(capacity: writer.count)
        writer.withUnsafeBytes { _ = buffer.writeBytes($0) }
        var size = writer.count
        context.write(NIOAny(buffer), promise: nil)
        if let bytes = payload, !isEcho {
            size += bytes.count
            bytes.forEachPart { context.write(NIOAny($0), promise: nil) }
        }
        transport.countSent(size)
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
}

/// Bounds of connections.
public enum TransportLimits {
    /// Bytes that may wait for a peer that does not read (a stopped process) before its connection is closed: the data
    /// that placement groups keep in flight to one member, several times.
    public static let unsentBytes = 64 << 20
    /// What the socket takes before the sender waits.
    static let socketBytes = 2 << 20
    /// Between attempts to reach a node.
    public static let reconnectDelay: TimeAmount = .milliseconds(100)
}
