import ClusterModel
import Foundation
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import Transport

/// What one transport told its delegate, on its loop.
enum Heard: Hashable {
    case connected(NodeID)
    case disconnected(NodeID)
    case message(NodeMessage, payload: [UInt8]?)
    case asked([UInt8])
}

/// One node's transport on a loop of its own, with everything that its delegate hears. All members are used on the loop.
final class Host: NodeTransportDelegate {
    let transport: NodeTransport
    private(set) var heard: [Heard] = []
    /// Whether payloads of what was heard are kept.
    var keepsPayloads = false
    private(set) var spoken: ProtocolVersion?
    private let hello: Hello

    init(loop: any EventLoop, hello: Hello, sharing: NodeTransport.Sharing) {
        self.hello = hello
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        transport = NodeTransport(
            eventLoop: loop, localNode: hello.node, payloads: PayloadTable(), sharing: sharing, logger: logger)
        transport.delegate = self
    }

    func transport(_ transport: NodeTransport, received message: NodeMessage, from node: NodeID) {
        let bytes = message.payload.flatMap { transport.payloads.bytes(of: $0) }.map { Array($0.readableBytesView) }
        heard.append(.message(message, payload: bytes))
        if let handle = message.payload, !keepsPayloads { transport.payloads.drop(handle) }
    }
    func transport(_ transport: NodeTransport, connected node: NodeID, hello: Hello, spoken: ProtocolVersion) {
        self.spoken = spoken
        heard.append(.connected(node))
    }
    func transport(_ transport: NodeTransport, disconnected node: NodeID) { heard.append(.disconnected(node)) }
    func transport(_ transport: NodeTransport, asked text: AdminText, answer: @escaping (AdminText) -> Void) {
        heard.append(.asked(text.json))
        answer(AdminText(json: text.json.reversed()))
    }
    func transportReadCycleEnded(_ transport: NodeTransport) {}
    func transportHello(_ transport: NodeTransport, for purpose: Hello.Purpose) -> Hello {
        var own = hello
        own.purpose = purpose
        return own
    }
}

let cluster = ClusterID(0x1234)

func hello(
    _ node: UInt16, cluster: ClusterID = cluster,
    protocols: ClosedRange<UInt16> = ProtocolVersion.oldest.rawValue...ProtocolVersion.newest.rawValue,
    purpose: Hello.Purpose = .peer
) -> Hello {
    Hello(
        cluster: cluster, node: NodeID(node), boot: BootID(1), lease: LeaseNumber(1),
        oldestProtocol: protocols.lowerBound,
        newestProtocol: protocols.upperBound, mapVersion: MapVersion(1), purpose: purpose)
}

/// Hosts on one event loop, their sockets in a folder of their own.
final class Network {
    let loop: any EventLoop
    private let group: MultiThreadedEventLoopGroup
    private let folder: URL
    private var hosts: [LoopBound<Host>] = []

    init() throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        loop = group.next()
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("st-\(UInt32.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func path(_ node: UInt16) -> String { folder.appendingPathComponent("\(node)").path }

    func host(_ hello: Hello, sharing: NodeTransport.Sharing = .wherePossible) async throws -> LoopBound<Host> {
        let loop = loop
        let path = path(hello.node.rawValue)
        let host = try await loop.submit { LoopBound(Host(loop: loop, hello: hello, sharing: sharing), loop: loop) }
            .get()
        try await loop.flatSubmit { host.value.transport.listen(on: .unixSocket(path: path)) }.get()
        hosts.append(host)
        return host
    }

    /// `from`, the lower id, dials `to`.
    func connect(_ from: LoopBound<Host>, to: UInt16) async throws {
        let path = path(to)
        try await loop.submit { from.value.transport.connect(to: NodeID(to), at: .unixSocket(path: path)) }.get()
    }

    func on<T: Sendable>(_ host: LoopBound<Host>, _ body: @escaping @Sendable (Host) -> T) async throws -> T {
        try await loop.submit { body(host.value) }.get()
    }

    /// Asks on the host's loop until `condition` holds; records an issue after a minute.
    func wait(
        for what: String, _ host: LoopBound<Host>, _ condition: @escaping @Sendable (Host) -> Bool
    ) async throws {
        let deadline = ContinuousClock.now.advanced(by: .seconds(60))
        while ContinuousClock.now < deadline {
            if try await on(host, condition) { return }
            try await Task.sleep(for: .milliseconds(2))
        }
        Issue.record("waited a minute for \(what)")
    }

    func close() async throws {
        for host in hosts { try await on(host) { $0.transport.close() } }
        try await group.shutdownGracefully()
        try? FileManager.default.removeItem(at: folder)
    }
}

/// Runs `body` on a fresh network and closes it, whatever happens.
func withNetwork(_ body: (Network) async throws -> Void) async throws {
    let network = try Network()
    do {
        try await body(network)
    } catch {
        try await network.close()
        throw error
    }
    try await network.close()
}

/// A blocking client of a Unix socket, for sending what no node would.
struct RawSocket {
    private let descriptor: Int32

    init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        var timeout = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if result != 0 { throw WireError("no connection to \(path): errno \(errno)") }
    }

    func send(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
    func send(_ message: NodeMessage) {
        var w = WireWriter()
        w.frame(message)
        send(w.bytes)
    }

    /// What comes until the other side closes, or `count` bytes.
    func receive(_ count: Int = .max) -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while all.count < count {
            let n = recv(descriptor, &buffer, min(buffer.count, count - all.count), 0)
            if n <= 0 { break }
            all += buffer[..<n]
        }
        return all
    }

    func close() { _ = Glibc.close(descriptor) }
}
