import ONCRPC

#if canImport(Glibc)
    import Glibc
#endif

struct ClientFailure: Error, CustomStringConvertible {
    let description: String
}

/// An RPC client on a plain blocking socket: it shares nothing with the server but the codecs, which have their own oracle.
final class RawClient {
    private let descriptor: Int32
    private var nextXID: UInt32
    var credential: RPCCredential

    static func sys(_ name: String, uid: UInt32 = 0, gid: UInt32 = 0, groups: [UInt32] = [], stamp: UInt32 = 0)
        -> RPCCredential
    {
        .sys(AuthSys(stamp: stamp, machineName: Array(name.utf8), uid: uid, gid: gid, groups: groups))
    }

    init(port: Int, address: String = "127.0.0.1", credential: RPCCredential = RawClient.sys("host"), xid: UInt32 = 1)
        throws
    {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        nextXID = xid
        self.credential = credential
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = in_port_t(port).bigEndian
        inet_pton(AF_INET, address, &target.sin_addr)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        let connected = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw ClientFailure(description: "connect: \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    func sendRaw(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let n = bytes[sent...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard n > 0 else { throw ClientFailure(description: "send: \(String(cString: strerror(errno)))") }
            sent += n
        }
    }

    private func receive(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let n = bytes[got...].withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            guard n > 0 else {
                throw ClientFailure(
                    description: n == 0 ? "closed by the server" : "recv: \(String(cString: strerror(errno)))")
            }
            got += n
        }
        return bytes
    }

    func receiveRecord() throws -> [UInt8] {
        let mark = try receive(4)
        let length = mark.reduce(0) { $0 << 8 | Int($1) } & 0x7fff_ffff
        return try receive(length)
    }

    /// Whether the server has closed the connection, within ten seconds.
    func isClosedByServer() -> Bool {
        do {
            _ = try receiveRecord()
            return false
        } catch { return "\(error)".contains("closed") || "\(error)".contains("reset") }
    }

    static func record(_ body: [UInt8]) -> [UInt8] {
        var writer = XDRWriter()
        writer.uint32(RecordScanner.mark(length: body.count))
        return writer.bytes + body
    }

    /// A call's record; the xid is the next one unless given.
    func message(
        _ program: RPCProgram, _ procedure: UInt32, xid: UInt32? = nil, _ arguments: (inout XDRWriter) -> Void
    ) -> [UInt8] {
        var writer = XDRWriter()
        let number = xid ?? nextXID
        if xid == nil { nextXID += 1 }
        RPCCall(xid: TransactionID(number), program: program, procedure: procedure, credential: credential)
            .encode(into: &writer)
        arguments(&writer)
        return RawClient.record(writer.bytes)
    }

    /// One call and its results.
    func call<T>(
        _ program: RPCProgram, _ procedure: UInt32, xid: UInt32? = nil, _ arguments: (inout XDRWriter) -> Void,
        _ results: (inout XDRReader) throws -> T
    ) throws -> T {
        try sendRaw(message(program, procedure, xid: xid, arguments))
        return try receiveResult(results)
    }

    func receiveResult<T>(_ results: (inout XDRReader) throws -> T) throws -> T {
        let reply = try receiveRecord()
        return try reply.withUnsafeBytes { memory in
            var reader = XDRReader(memory)
            let header = try RPCReply.decode(&reader)
            guard case .accepted(_, .success) = header else { throw ClientFailure(description: "\(header)") }
            return try results(&reader)
        }
    }

    func header(_ message: [UInt8]) throws -> RPCReply {
        try sendRaw(message)
        return try receiveRecord().withUnsafeBytes { memory in
            var reader = XDRReader(memory)
            return try RPCReply.decode(&reader)
        }
    }

    func nfs<R: XDRCodable>(_ procedure: NFS3.Procedure, _ arguments: some XDRCodable, xid: UInt32? = nil, as: R.Type)
        throws -> R
    {
        try call(.nfs3, procedure.rawValue, xid: xid, { arguments.encode(into: &$0) }) { try R(from: &$0) }
    }

    /// Returns when the server has taken in all that was sent before on this connection: NULL is answered at once.
    func barrier() throws { try call(.nfs3, 0, { _ in }) { _ in } }

    // MARK: The calls that tests make most

    func mount(_ path: String) throws -> Mount.Result {
        try call(.mount3, 1, { Mount.Path(Array(path.utf8)).encode(into: &$0) }) { try Mount.Result(from: &$0) }
    }

    func mounted(_ path: String = "/images") throws -> NFS3.FileHandle {
        guard case .ok(let handle, _) = try mount(path) else { throw ClientFailure(description: "no mount of \(path)") }
        return handle
    }

    func getattr(_ file: NFS3.FileHandle) throws -> NFS3.GetattrResult {
        try nfs(.getattr, file, as: NFS3.GetattrResult.self)
    }

    func lookup(_ directory: NFS3.FileHandle, _ name: String) throws -> NFS3.LookupResult {
        try nfs(.lookup, NFS3.NameArguments(directory: directory, name: Array(name.utf8)), as: NFS3.LookupResult.self)
    }

    func create(
        _ directory: NFS3.FileHandle, _ name: String,
        _ mode: NFS3.CreateMode = .unchecked(NFS3.SetAttributes(mode: 0o644)),
        xid: UInt32? = nil
    ) throws -> NFS3.CreateResult {
        try nfs(
            .create,
            NFS3.CreateArguments(place: NFS3.NameArguments(directory: directory, name: Array(name.utf8)), mode: mode),
            xid: xid, as: NFS3.CreateResult.self)
    }

    func made(_ directory: NFS3.FileHandle, _ name: String) throws -> NFS3.FileHandle {
        guard case .ok(let made) = try create(directory, name), let file = made.file else {
            throw ClientFailure(description: "no file \(name)")
        }
        return file
    }

    func writeMessage(
        _ file: NFS3.FileHandle, _ data: [UInt8], at offset: UInt64 = 0, _ stability: NFS3.Stability = .unstable,
        xid: UInt32? = nil
    ) -> [UInt8] {
        message(.nfs3, NFS3.Procedure.write.rawValue, xid: xid) {
            NFS3.WriteArguments.encodeHead(
                file: file, offset: offset, stability: stability, dataCount: data.count, into: &$0)
            $0.fixed(data)
        }
    }

    /// Of the next answer, which is a WRITE's.
    func writeStatus() throws -> NFS3.Status { try receiveResult { try NFS3.WriteResult(from: &$0) }.status }

    func write(
        _ file: NFS3.FileHandle, _ data: [UInt8], at offset: UInt64 = 0, _ stability: NFS3.Stability = .unstable
    ) throws -> NFS3.WriteResult {
        try sendRaw(writeMessage(file, data, at: offset, stability))
        return try receiveResult { try NFS3.WriteResult(from: &$0) }
    }

    func read(_ file: NFS3.FileHandle, at offset: UInt64 = 0, count: UInt32) throws -> (NFS3.ReadResult, [UInt8]) {
        try call(.nfs3, 6, { NFS3.RangeArguments(file: file, offset: offset, count: count).encode(into: &$0) }) {
            reader in
            let result = try NFS3.ReadResult(from: &reader)
            guard case .ok(let head) = result else { return (result, []) }
            let place = try reader.fixedRange(Int(head.dataCount))
            return (result, [UInt8](reader.bytes(in: place)))
        }
    }

    func commit(_ file: NFS3.FileHandle) throws -> NFS3.CommitResult {
        try nfs(.commit, NFS3.RangeArguments(file: file, offset: 0, count: 0), as: NFS3.CommitResult.self)
    }
}

extension NFS3.Result {
    /// The status on the wire.
    var status: NFS3.Status {
        switch self {
        case .ok: .ok
        case .failed(let status, _): status
        }
    }
    /// The success, or nil.
    var success: Success? {
        switch self {
        case .ok(let value): value
        case .failed: nil
        }
    }
}
