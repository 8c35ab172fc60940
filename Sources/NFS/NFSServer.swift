import ClusterModel
import Filesystem
import Logging
import NIOCore
import NIOPosix
import ONCRPC

/// Where a gateway learns of losses of unstable data. Asked on the gateway's event loop only.
public protocol LossNumberSource: AnyObject {
    /// The highest loss number that this node knows. Asked every second, so that a source may notice a rise, and take its
    /// time, when it is asked.
    var lossNumber: LossNumber { get }
    /// When it last rose, by the event loop's clock; nil when that is more than ten minutes ago or never was. A process
    /// that starts under a raised number and cannot know when it rose gives its own start only if the machine was booted
    /// within ten minutes: else every restart of a gateway would cost each libnfs client one failed flush.
    var lastRise: NIODeadline? { get }
}

/// What a gateway serves, and where.
public struct NFSServerConfiguration: Sendable {
    /// The gateway's own IP address.
    public var address: String
    /// NFS and MOUNT; 2049 outside tests, because portmap registrations of all gateways of a machine must agree.
    public var port: Int
    /// Authenticates file handles; the same at every gateway of the cluster.
    public var handleKey: HandleKey
    /// Whether and how clients find the port.
    public var portmap: Portmapper

    /// How clients find the port.
    public enum Portmapper: Sendable {
        /// Answers port 111 of the address itself where nothing holds it, else registers with the running rpcbind.
        /// `runDirectory` holds the lock by which the last gateway of the machine knows that it is the last.
        case automatic(runDirectory: String)
        /// As the built-in responder of `automatic`, on another port; for tests without privileges.
        case builtIn(port: Int)
        /// Not at all: clients name the port.
        case none
    }

    /// - Parameters:
    ///   - address: the gateway's own IP address.
    ///   - port: of NFS and MOUNT; 0 lets the system choose.
    ///   - handleKey: the same at every gateway of the cluster.
    ///   - portmap: how clients find the port.
    public init(address: String, port: Int = 2049, handleKey: HandleKey, portmap: Portmapper) {
        self.address = address
        self.port = port
        self.handleKey = handleKey
        self.portmap = portmap
    }
}

/// The NFS door of a node: NFS version 3 and MOUNT over TCP, and the portmapper beside it.
///
/// Create it, then `start()`. It lives on the event loop of the file system that it is given: every connection and every
/// call of the file system is there, and all functions here must be called on it.
public final class NFSServer {
    /// The configuration that it was made with.
    public let configuration: NFSServerConfiguration
    let gateway: NFSGateway
    private let loop: any EventLoop
    private let logger: Logger
    private var listener: (any Channel)?
    private var ticking: RepeatedTask?
    private var portmapper: PortmapService?
    private var sharedLoopback: (any Channel)?
    private var isSharingLoopback = false
    private var isStopped = false

    /// - Parameters:
    ///   - configuration: what is served, and where.
    ///   - filesystem: what it is served from; its event loop becomes the server's.
    ///   - exports: may be changed later by `setExports`.
    ///   - lossNumbers: the cluster's loss number as this node knows it.
    ///   - logger: gets one line per fault of a client, and each event that an operator must know.
    public init(
        configuration: NFSServerConfiguration, filesystem: any VirtualFilesystem, exports: [Export],
        lossNumbers: any LossNumberSource, logger: Logger
    ) {
        self.configuration = configuration
        self.logger = logger
        loop = filesystem.eventLoop
        gateway = NFSGateway(
            vfs: filesystem, exports: ExportTable(exports), key: configuration.handleKey, lossNumbers: lossNumbers,
            name: configuration.address, logger: logger)
        warnOfUnreadableClients()
    }

    /// Listens. Fails with the system's error when the address and port are not to be had. A portmapper that cannot be
    /// had is no failure: it is logged with what to do, and tried again every 10 seconds.
    public func start() -> EventLoopFuture<Void> {
        loop.assertInEventLoop()
        let bound = NIOLoopBound(self, eventLoop: loop)
        return listen(on: configuration.address, port: configuration.port).map { channel in bound.value.didBind(channel)
        }
    }

    private func listen(on address: String, port: Int) -> EventLoopFuture<any Channel> {
        let gateway = NIOLoopBound(self.gateway, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 16384, maximum: NFSLimits.receiveBytes)
            )
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: NFSLimits.unsentBytes / 2, high: NFSLimits.unsentBytes)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let address = ClientAddress(channel.remoteAddress) else {
                        throw ChannelError.unknownLocalAddress
                    }
                    let connection = NFSConnection(gateway: gateway.value, address: address)
                    try channel.pipeline.syncOperations.addHandler(connection)
                    guard gateway.value.joined(connection) else { throw ChannelError.ioOnClosedChannel }
                }
            }
            .bind(host: address, port: port)
            .hop(to: loop)
    }

    /// Of gateways on several loopback addresses, one listens on 127.0.0.1 too: rpcbind tells clients the first address
    /// of the interface that their question came by, and some (showmount) then connect there. All gateways answer alike.
    private func shareLoopback() {
        guard sharedLoopback == nil, !isSharingLoopback, !isStopped, let port,
            let own = ClientAddress(configuration.address), let first = ClientAddress("127.0.0.1"),
            let loopback = ClientNetwork("127.0.0.0/8"), loopback.contains(own), own != first
        else { return }
        isSharingLoopback = true
        let bound = NIOLoopBound(self, eventLoop: loop)
        listen(on: "\(first)", port: port).whenComplete { result in
            let server = bound.value
            server.isSharingLoopback = false
            // A failure means that another gateway has it; the next check tries again.
            guard case .success(let channel) = result else { return }
            if server.isStopped {
                channel.close(promise: nil)
            } else {
                server.sharedLoopback = channel
            }
        }
    }

    private func didBind(_ channel: any Channel) {
        listener = channel
        let gateway = NIOLoopBound(self.gateway, eventLoop: loop)
        ticking = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in gateway.value.tick() }
        logger.info("NFS is served", metadata: ["address": "\(configuration.address)", "port": "\(port ?? 0)"])
        portmapper = PortmapService(
            mode: configuration.portmap, address: configuration.address, port: port ?? configuration.port, loop: loop,
            logger: logger)
        let bound = NIOLoopBound(self, eventLoop: loop)
        portmapper?.start { bound.value.shareLoopback() }
    }

    /// The port that is listened on; nil before `start` has succeeded.
    public var port: Int? { listener?.localAddress?.port }

    /// The port of the built-in portmapper while it answers; nil when a running rpcbind is used, or none.
    public var portmapPort: Int? { portmapper?.builtInPort }

    /// Gives the portmapper's port up for a while, so that an rpcbind can be started: beside the built-in portmapper it would
    /// stay without IPv4 TCP for good.
    public func makeRoomForRpcbind(for time: TimeAmount) {
        loop.assertInEventLoop()
        portmapper?.makeRoom(for: time)
    }

    /// Replaces the exports. Handles of an export that is gone are stale at once.
    public func setExports(_ exports: [Export]) {
        loop.assertInEventLoop()
        gateway.exports = ExportTable(exports)
        warnOfUnreadableClients()
    }

    /// Closes all client connections, as when this node's session has ended: clients come again and repeat what was not
    /// answered.
    public func closeConnections(because reason: String) {
        loop.assertInEventLoop()
        gateway.closeConnections(because: reason)
    }

    /// Stops listening, closes all connections, and takes the registrations back if this is the machine's last gateway.
    public func stop() -> EventLoopFuture<Void> {
        loop.assertInEventLoop()
        isStopped = true
        ticking?.cancel()
        ticking = nil
        sharedLoopback?.close(promise: nil)
        sharedLoopback = nil
        gateway.closeConnections(because: "the server stops")
        let portmapper = self.portmapper
        self.portmapper = nil
        let closing = listener?.close() ?? loop.makeSucceededVoidFuture()
        listener = nil
        let unregistering = portmapper?.stop() ?? loop.makeSucceededVoidFuture()
        let gateway = NIOLoopBound(self.gateway, eventLoop: loop)
        return closing.flatMapError { [loop] _ in loop.makeSucceededVoidFuture() }.and(unregistering).map { _ in
            // One that was being accepted when listening ended.
            gateway.value.closeConnections(because: "the server stops")
        }
    }

    /// What the door holds now, for status reports.
    public var load: Load {
        Load(
            connections: gateway.connectionCount, heldCalls: gateway.admission.calls,
            heldBytes: gateway.admission.bytes)
    }

    /// What the door holds: each has a bound in `NFSLimits`.
    public struct Load: Hashable, Sendable {
        /// Client connections.
        public var connections: Int
        /// Calls that are not answered yet.
        public var heldCalls: Int
        /// Bytes of these and their answers.
        public var heldBytes: Int
    }

    private func warnOfUnreadableClients() {
        for text in gateway.exports.unreadable {
            logger.error("an export's client list holds what is no address block, and admits nobody by it: \(text)")
        }
    }
}
