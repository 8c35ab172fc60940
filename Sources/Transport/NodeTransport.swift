import ClusterModel
import Logging
import NIOCore
import NIOPosix
import Wire

/// Where a node listens for other nodes.
public enum NodeEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// On one machine; the socket's mode is 0600.
    case unixSocket(path: String)
    /// Between machines.
    case tcp(host: String, port: Int)

    public var description: String {
        switch self {
        case .unixSocket(let path): path
        case .tcp(let host, let port): "\(host):\(port)"
        }
    }
}

/// Who hears of messages and connections. Called on the transport's loop.
public protocol NodeTransportDelegate: AnyObject {
    func transport(_ transport: NodeTransport, received message: NodeMessage, from node: NodeID)
    /// `spoken`: the version of the protocol that both speak.
    func transport(_ transport: NodeTransport, connected node: NodeID, hello: Hello, spoken: ProtocolVersion)
    func transport(_ transport: NodeTransport, disconnected node: NodeID)
    /// A question of the command line; `answer` is called once, on the loop.
    func transport(_ transport: NodeTransport, asked text: AdminText, answer: @escaping (AdminText) -> Void)
    /// A connection has handed over all that it had read in this cycle.
    func transportReadCycleEnded(_ transport: NodeTransport)
    func transportHello(_ transport: NodeTransport, for purpose: Hello.Purpose) -> Hello
}

/// The connections between this node and the others: one for each pair of nodes, dialled by the one with the lower id and
/// dialled again whenever it ends. Used on its event loop only.
public final class NodeTransport {
    public let eventLoop: any EventLoop
    public let payloads: PayloadTable
    public weak var delegate: (any NodeTransportDelegate)?
    let logger: Logger
    private let localNode: NodeID
    private var connections: [NodeID: NodeConnection] = [:]
    /// Whether large payloads lie in memory that the nodes of one machine share.
    public enum Sharing: Sendable {
        case wherePossible
        case never
    }
    /// Nil where payloads go through sockets only.
    let sharing: PayloadSharing?
    var openConnections: [NodeID: NodeConnection] { connections }
    private var dialled: Set<NodeID> = []
    private var servers: [any Channel] = []
    private var state = State.open
    /// Connections with queued messages.
    private var unflushed: [NodeConnection] = []
    private var isFlushScheduled = false

    /// Since the start, for metrics.
    public private(set) var bytesSent: UInt64 = 0
    public private(set) var bytesReceived: UInt64 = 0
    public private(set) var messagesSent: UInt64 = 0
    public private(set) var messagesReceived: UInt64 = 0
    /// Payload bytes that others were lent in shared memory.
    public private(set) var bytesLent: UInt64 = 0

    private enum State {
        case open
        case closed
    }

    public init(
        eventLoop: any EventLoop, localNode: NodeID, payloads: PayloadTable, sharing: Sharing = .wherePossible,
        logger: Logger
    ) {
        self.eventLoop = eventLoop
        self.localNode = localNode
        self.payloads = payloads
        self.logger = logger
        self.sharing = sharing == .wherePossible ? PayloadSharing(logger: logger) : nil
    }

    /// Listens for nodes with higher ids and for the command line.
    public func listen(on endpoint: NodeEndpoint) -> EventLoopFuture<Void> {
        let owner = LoopBound(self, loop: eventLoop)
        let bootstrap = ServerBootstrap(group: eventLoop)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try owner.value.prepare(channel, side: .accepted)
                }
            }
        let bound: EventLoopFuture<any Channel>
        switch endpoint {
        case .unixSocket(let path): bound = bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true)
        case .tcp(let host, let port): bound = bootstrap.bind(host: host, port: port)
        }
        return bound.assumeIsolated().map { self.servers.append($0) }.nonisolated()
    }

    /// Keeps a connection to `node` from now on, if dialling is this side's part.
    public func connect(to node: NodeID, at endpoint: NodeEndpoint) {
        guard node > localNode, dialled.insert(node).inserted else { return }
        dial(node, endpoint)
    }

    /// Dials a node that has left the cluster no more.
    public func forget(_ node: NodeID) { dialled.remove(node) }

    private func dial(_ node: NodeID, _ endpoint: NodeEndpoint) {
        guard state == .open else { return }
        let owner = LoopBound(self, loop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(.seconds(2))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try owner.value.prepare(channel, side: .dialled(node))
                }
            }
        let connected: EventLoopFuture<any Channel>
        switch endpoint {
        case .unixSocket(let path): connected = bootstrap.connect(unixDomainSocketPath: path)
        case .tcp(let host, let port): connected = bootstrap.connect(host: host, port: port)
        }
        connected.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                if self.state == .closed { channel.close(promise: nil) }
                channel.closeFuture.assumeIsolated().whenComplete { _ in self.dialLater(node, endpoint) }
            case .failure: self.dialLater(node, endpoint)
            }
        }
    }

    private func dialLater(_ node: NodeID, _ endpoint: NodeEndpoint) {
        guard state == .open, dialled.contains(node) else { return }
        eventLoop.assumeIsolated().scheduleTask(in: TransportLimits.reconnectDelay) { self.dial(node, endpoint) }
    }

    private func prepare(_ channel: any Channel, side: NodeConnection.Side) throws {
        try channel.pipeline.syncOperations.addHandler(NodeConnection(transport: self, side: side))
        if let options = channel.syncOptions {
            try options.setOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 32768, maximum: 262144))
            try options.setOption(.maxMessagesPerRead, value: 8)
            try options.setOption(.writeBufferWaterMark, value: .init(low: 1 << 20, high: 4 << 20))
            switch channel.remoteAddress {
            case .v4, .v6: try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
            case .unixDomainSocket, nil:
                // A frame goes at once, with its payload; the system lowers this to its own bound.
                try options.setOption(.socketOption(.so_sndbuf), value: TransportLimits.socketBytes)
            }
        }
    }

    /// Of the own memory for payloads, taken now.
    public var arenaBytesTaken: Int { sharing?.own.takenBytes ?? 0 }

    /// An empty buffer for bytes that may be sent to other nodes as a payload: in memory that they can read, where there is room.
    public func payloadBuffer(capacity: Int) -> ByteBuffer {
        sharing?.own.buffer(capacity: capacity) ?? ByteBufferAllocator().buffer(capacity: capacity)
    }

    /// Queues a message; lost, as if the network had lost it, when there is no connection.
    @discardableResult
    public func send(_ message: NodeMessage, to node: NodeID) -> Delivery {
        guard let connection = connections[node] else { return .notConnected }
        messagesSent += 1
        connection.send(message)
        return .queued
    }

    public enum Delivery: Sendable {
        case queued
        case notConnected
    }

    func hasUnflushed(_ connection: NodeConnection) {
        unflushed.append(connection)
        if isFlushScheduled { return }
        isFlushScheduled = true
        eventLoop.assumeIsolated().execute {
            self.isFlushScheduled = false
            self.flush()
        }
    }

    /// Sends what is queued at once, not at the end of the loop's cycle: before work that it need not wait for.
    public func flush() {
        let connections = unflushed
        unflushed.removeAll(keepingCapacity: true)
        for connection in connections { connection.flush() }
    }

    public func isConnected(to node: NodeID) -> Bool { connections[node] != nil }

    /// Ends the connection to a node; it is dialled anew.
    public func reset(_ node: NodeID) { connections[node]?.close() }

    public func close() {
        state = .closed
        for server in servers { server.close(promise: nil) }
        for connection in connections.values { connection.close() }
    }

    // MARK: - What connections report

    func ownHello(_ purpose: Hello.Purpose) -> Hello {
        guard let delegate else { preconditionFailure("the transport serves before its delegate is set") }
        var hello = delegate.transportHello(self, for: purpose)
        if sharing != nil, purpose == .peer { hello.features |= Hello.sharesMemory }
        return hello
    }

    func connectionOpened(_ connection: NodeConnection, peer: Hello) {
        guard peer.purpose == .peer else { return }
        // A peer that restarted dials before the end of its old connection was seen: the newer one is the live one.
        if let old = connections[peer.node], old !== connection {
            connections[peer.node] = nil
            sharing?.disconnected(peer.node, connections)
            delegate?.transport(self, disconnected: peer.node)
            old.close()
        }
        connections[peer.node] = connection
        delegate?.transport(self, connected: peer.node, hello: peer, spoken: connection.spoken)
    }

    func connectionClosed(_ connection: NodeConnection) {
        guard let peer = connection.peer, peer.purpose == .peer, connections[peer.node] === connection else { return }
        connections[peer.node] = nil
        sharing?.disconnected(peer.node, connections)
        delegate?.transport(self, disconnected: peer.node)
    }

    func deliver(_ message: NodeMessage, from peer: Hello, on connection: NodeConnection) {
        messagesReceived += 1
        switch (peer.purpose, message) {
        case (.admin, .ask(let id, let text)):
            delegate?.transport(self, asked: text) { [weak connection] in connection?.send(.tell(id, $0)) }
        case (.admin, _):
            message.payload.map(payloads.drop)
            connection.close()
        case (.peer, _):
            guard let delegate, connections[peer.node] === connection else {
                // Nobody takes the payload over.
                message.payload.map(payloads.drop)
                return
            }
            delegate.transport(self, received: message, from: peer.node)
        }
    }

    func readCycleEnded() { delegate?.transportReadCycleEnded(self) }
    func countSent(_ bytes: Int) { bytesSent &+= UInt64(bytes) }
    func countLent(_ bytes: Int) { bytesLent &+= UInt64(bytes) }
    func countReceived(_ bytes: Int) { bytesReceived &+= UInt64(bytes) }
}
