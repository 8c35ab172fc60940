import ClusterModel
import Glibc
import Wire

/// The command line's side of a node's Unix socket: asks one question after the other and waits for each answer.
///
/// It blocks the calling thread, within bounds: a command has nothing else to do.
public final class AdminClient {
    private let socket: Int32
    private let path: String
    private var lastExchange: UInt64 = 0
    /// What the node said of itself.
    public private(set) var hello: Hello

    /// Connects and exchanges hellos. Fails as `unavailable` when nobody listens or answers within `timeout` seconds.
    public init(path: String, timeout: Int = 5) throws(AdminFailure) {
        self.path = path
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        hello = Hello(
            cluster: ClusterID(0), node: NodeID(0), boot: BootID(0), lease: .none, mapVersion: .zero, purpose: .admin)
        guard socket >= 0 else { throw AdminFailure(.unavailable, "no socket: \(AdminClient.text(errno))") }
        do throws(AdminFailure) {
            try AdminClient.connect(socket, path)
            try setTimeout(timeout)
            try send(.hello(hello))
            guard case .hello(let answer) = try receive() else {
                throw AdminFailure(.unavailable, "\(path) did not begin with a hello")
            }
            hello = answer
        } catch {
            Glibc.close(socket)
            throw error
        }
    }

    deinit { Glibc.close(socket) }

    /// Seconds that one answer may take.
    public func setTimeout(_ seconds: Int) throws(AdminFailure) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        guard setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, size) == 0,
            setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, size) == 0
        else { throw AdminFailure(.unavailable, "no timeout for \(path): \(AdminClient.text(errno))") }
    }

    public func ask<T: Codable & Sendable>(_ question: AdminQuestion, _ type: T.Type = T.self) throws(AdminFailure) -> T
    {
        let json: [UInt8]
        do { json = try AdminCoding.encode(question) } catch { throw AdminFailure(.invalid, "\(error)") }
        guard json.count <= Limits.adminBytes else { throw AdminFailure(.invalid, "the question is too long") }
        lastExchange += 1
        try send(.ask(ExchangeID(lastExchange), AdminText(json: json)))
        guard case .tell(let id, let text) = try receive(), id.rawValue == lastExchange else {
            throw AdminFailure(.unavailable, "\(path) answered another question")
        }
        let reply: AdminReply<T>
        do { reply = try AdminCoding.decode(AdminReply<T>.self, text.json) } catch {
            throw AdminFailure(.unavailable, "the answer of \(path) cannot be read: \(error)")
        }
        switch reply {
        case .value(let value): return value
        case .failure(let failure): throw failure
        }
    }

    // MARK: - Frames

    private func send(_ message: NodeMessage) throws(AdminFailure) {
        var writer = WireWriter()
        writer.frame(message)
        let bytes = writer.bytes
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { rest in
                Glibc.send(socket, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw ended(errno) }
            sent += count
        }
    }

    private func receive() throws(AdminFailure) -> NodeMessage {
        let head = try wired(try read(FrameHead.size)) { raw throws(WireError) in try FrameHead(raw) }
        guard head.payloadLength == 0 else { throw AdminFailure(.unavailable, "\(path) sent a payload") }
        return try wired(try read(head.headerLength)) { raw throws(WireError) in
            try NodeMessage(kind: head.kind, header: raw, payload: nil)
        }
    }

    private func wired<T>(
        _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(WireError) -> T
    ) throws(AdminFailure) -> T {
        let result = bytes.withUnsafeBytes { raw -> Result<T, WireError> in
            do throws(WireError) { return .success(try body(raw)) } catch { return .failure(error) }
        }
        switch result {
        case .success(let value): return value
        case .failure(let error): throw AdminFailure(.unavailable, "\(path) sent \(error)")
        }
    }

    private func read(_ count: Int) throws(AdminFailure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let more = bytes[got...].withUnsafeMutableBytes { rest in recv(socket, rest.baseAddress, rest.count, 0) }
            if more < 0, errno == EINTR { continue }
            guard more > 0 else { throw ended(more == 0 ? 0 : errno) }
            got += more
        }
        return bytes
    }

    private func ended(_ error: Int32) -> AdminFailure {
        switch error {
        case 0, EPIPE, ECONNRESET: AdminFailure(.unavailable, "\(path): the node closed the connection")
        case EAGAIN, EWOULDBLOCK: AdminFailure(.unavailable, "\(path): the node did not answer in time")
        default: AdminFailure(.unavailable, "\(path): \(AdminClient.text(error))")
        }
    }

    private static func connect(_ socket: Int32, _ path: String) throws(AdminFailure) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw AdminFailure(.invalid, "the socket's path \(path) is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw AdminFailure(.unavailable, "\(path): \(text(errno))") }
    }

    private static func text(_ error: Int32) -> String { String(cString: strerror(error)) }
}
