import Logging
import NIOCore
import NIOPosix
import ONCRPC

/// Makes the gateway's port findable (namespace.md, The NFS door): answers port 111 of the gateway's address where nothing
/// holds it, else keeps NFS and MOUNT registered with the rpcbind that does. Looks again every 10 seconds.
final class PortmapService {
    private enum Means {
        /// Neither yet.
        case none
        /// Port 111 is ours.
        case builtIn(stream: any Channel, datagram: any Channel)
        /// Another has port 111; registered while the shared lock is held.
        case rpcbind(lock: Int32?)
    }

    private let mode: NFSServerConfiguration.Portmapper
    private let host: UInt32?
    private let address: String
    private let port: Int
    private let loop: any EventLoop
    private let logger: Logger
    /// For libtirpc's blocking calls; made when an rpcbind is met.
    private var threads: NIOThreadPool?
    private var means = Means.none
    private var checking: RepeatedTask?
    private var isChecking = false
    private var isStopped = false
    private var isMakingRoom = false
    private var lastComplaint: String?
    private var registered: () -> Void = {}

    init(mode: NFSServerConfiguration.Portmapper, address: String, port: Int, loop: any EventLoop, logger: Logger) {
        self.mode = mode
        self.address = address
        self.port = port
        self.loop = loop
        self.logger = logger
        let client = ClientAddress(address)
        host = client.flatMap { $0.isV4 ? UInt32(truncatingIfNeeded: $0.bits) : nil }
    }

    /// Of the built-in responder, while it answers.
    var builtInPort: Int? {
        switch means {
        case .builtIn(let stream, _): stream.localAddress?.port
        case .none, .rpcbind: nil
        }
    }

    /// - Parameter registered: called after every look that finds the gateway registered with an rpcbind.
    func start(_ registered: @escaping () -> Void) {
        self.registered = registered
        switch mode {
        case .none: return
        case .builtIn, .automatic: break
        }
        guard host != nil else {
            logger.warning("the portmapper is for IPv4 addresses; clients of \(address) must name port \(port)")
            return
        }
        check()
        let bound = NIOLoopBound(self, eventLoop: loop)
        checking = loop.scheduleRepeatedTask(initialDelay: .seconds(10), delay: .seconds(10)) { _ in bound.value.check()
        }
    }

    func stop() -> EventLoopFuture<Void> {
        isStopped = true
        checking?.cancel()
        let done: EventLoopFuture<Void>
        switch means {
        case .none: done = loop.makeSucceededVoidFuture()
        case .builtIn(let stream, let datagram):
            done = stream.close().and(datagram.close()).map { _ in }.flatMapError { [loop] _ in
                loop.makeSucceededVoidFuture()
            }
        case .rpcbind(let lock):
            guard let lock, let registrar, let threads else {
                done = loop.makeSucceededVoidFuture()
                break
            }
            done = threads.runIfActive(eventLoop: loop) { registrar.leave(lock) }.flatMapError { [loop] _ in
                loop.makeSucceededVoidFuture()
            }
        }
        means = .none
        return done.map { [threads] _ in threads?.shutdownGracefully { _ in } }
    }

    private var registrar: RpcbindRegistrar? {
        guard case .automatic(let runDirectory) = mode, let port = UInt16(exactly: port) else { return nil }
        return RpcbindRegistrar(port: port, runDirectory: runDirectory)
    }

    /// Stops answering itself for a while, so that an rpcbind can be started on the port; then looks again who has it.
    func makeRoom(for time: TimeAmount) {
        guard case .builtIn(let stream, let datagram) = means else { return }
        means = .none
        isMakingRoom = true
        stream.close(promise: nil)
        datagram.close(promise: nil)
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: time) {
            bound.value.isMakingRoom = false
            bound.value.check()
        }
    }

    private func startedThreads() -> NIOThreadPool {
        if let threads { return threads }
        let made = NIOThreadPool(numberOfThreads: 1)
        made.start()
        threads = made
        return made
    }

    private func check() {
        guard !isChecking, !isStopped, !isMakingRoom else { return }
        switch means {
        case .builtIn: return
        case .none:
            isChecking = true
            bindOwn()
        case .rpcbind(let lock):
            isChecking = true
            // When rpcbind is gone, its port is free for us.
            if lock == nil { enterRpcbind() } else { register() }
        }
    }

    private func bindOwn() {
        guard let host else { return }
        let ownPort: Int
        switch mode {
        case .builtIn(let port): ownPort = port
        case .automatic: ownPort = 111
        case .none: return
        }
        let bound = NIOLoopBound(self, eventLoop: loop)
        let (loop, address, servicePort) = (loop, address, UInt16(truncatingIfNeeded: port))
        // Both handlers answer for the port that TCP got.
        let binding = ServerBootstrap(group: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let own = UInt16(truncatingIfNeeded: channel.localAddress?.port ?? 111)
                    let responder = PortmapResponder(host: host, servicePort: servicePort, ownPort: own)
                    try channel.pipeline.syncOperations.addHandler(PortmapStreamHandler(responder: responder))
                }
            }
            .bind(host: address, port: ownPort)
        binding.flatMap { stream -> EventLoopFuture<(any Channel, any Channel)> in
            let own = stream.localAddress?.port ?? ownPort
            return DatagramBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let responder = PortmapResponder(
                            host: host, servicePort: servicePort, ownPort: UInt16(truncatingIfNeeded: own))
                        try channel.pipeline.syncOperations.addHandler(PortmapDatagramHandler(responder: responder))
                    }
                }
                .bind(host: address, port: own)
                .map { (stream, $0) }
                .flatMapErrorThrowing { error in
                    stream.close(promise: nil)
                    throw error
                }
        }.whenComplete { bound.value.didBind($0) }
    }

    private func didBind(_ result: Result<(any Channel, any Channel), any Error>) {
        isChecking = false
        switch result {
        case .success(let (stream, datagram)):
            if isStopped {
                stream.close(promise: nil)
                datagram.close(promise: nil)
                return
            }
            means = .builtIn(stream: stream, datagram: datagram)
            logger.info(
                "the built-in portmapper answers", metadata: ["address": "\(address)", "port": "\(builtInPort ?? 0)"])
        case .failure(let error):
            if isStopped { return }
            switch mode {
            case .builtIn, .none: complain("the portmapper's port cannot be had: \(error)")
            case .automatic:
                isChecking = true
                enterRpcbind()
            }
        }
    }

    private func enterRpcbind() {
        guard let registrar else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        let threads = startedThreads()
        threads.runIfActive(eventLoop: loop) { registrar.enter() }.whenComplete { result in
            let service = bound.value
            service.isChecking = false
            let lock = (try? result.get()) ?? nil
            if service.isStopped {
                if let lock { registrar.release(lock) }
                return
            }
            guard let lock else {
                return service.complain(
                    "\(registrar.runDirectory) cannot be written, so nothing is registered with rpcbind")
            }
            service.means = .rpcbind(lock: lock)
            service.isChecking = true
            service.register()
        }
    }

    private func register() {
        guard let registrar, let host else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        startedThreads().runIfActive(eventLoop: loop) { registrar.ensure(host: host) }.whenComplete { result in
            let service = bound.value
            service.isChecking = false
            if service.isStopped { return }
            switch result {
            case .success(.registered):
                service.lastComplaint = nil
                service.registered()
            case .success(.registeredNow):
                service.lastComplaint = nil
                service.registered()
                service.logger.info(
                    "NFS and MOUNT are registered with rpcbind", metadata: ["port": "\(registrar.port)"])
            case .success(.refused), .failure:
                service.complain(
                    """
                    port 111 of \(service.address) is taken, and no rpcbind there takes a registration; clients must name \
                    port \(service.port). Run as root, or start rpcbind, or free the port
                    """)
                // It may have gone: then the port is ours at the next look.
                if case .rpcbind(let lock) = service.means {
                    service.means = .none
                    if let lock { registrar.release(lock) }
                }
            }
        }
    }

    private func complain(_ text: String) {
        guard text != lastComplaint else { return }
        lastComplaint = text
        logger.warning("\(text)")
    }
}
