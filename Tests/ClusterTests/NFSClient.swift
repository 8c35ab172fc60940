import Foundation
import Glibc
import ONCRPC

/// The server's answer was an error of NFS.
struct NFSFailure: Error, CustomStringConvertible {
    var status: NFS3.Status
    var call: String
    var description: String { "\(call): \(status)" }
}

/// An NFSv3 client on a plain blocking socket. Calls may be sent ahead; it keeps nothing between calls.
final class NFSClient {
    private let descriptor: Int32
    private let credential: RPCCredential
    private var nextXID: UInt32
    private var input: [UInt8] = []
    private var taken = 0

    init(
        _ address: String, port: Int = 2049, name: String = "host", seconds: Int = 60,
        xid: UInt32 = .random(in: 1...1 << 30)
    )
        throws
    {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        nextXID = xid
        credential = .sys(AuthSys(stamp: 0, machineName: Array(name.utf8), uid: 0, gid: 0, groups: []))
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = in_port_t(port).bigEndian
        inet_pton(AF_INET, address, &target.sin_addr)
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        let connected = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else {
            throw ClusterFailure("connect \(address):\(port): \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    // MARK: Records

    func sendRaw(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let n = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard n > 0 else { throw ClusterFailure("send: \(String(cString: strerror(errno)))") }
            sent += n
        }
    }

    private func receive(_ count: Int) throws -> ArraySlice<UInt8> {
        if taken > 1 << 20 {
            input.removeFirst(taken)
            taken = 0
        }
        var piece = [UInt8](repeating: 0, count: 1 << 17)
        while input.count - taken < count {
            let n = recv(descriptor, &piece, piece.count, 0)
            guard n > 0 else {
                throw ClusterFailure(n == 0 ? "closed by the server" : "recv: \(String(cString: strerror(errno)))")
            }
            input += piece[..<n]
        }
        defer { taken += count }
        return input[taken..<taken + count]
    }

    /// Whether the server ends the connection, without an answer before.
    func isClosedByServer() -> Bool {
        do {
            _ = try receive(1)
            return false
        } catch { return "\(error)".contains("closed") || "\(error)".contains("reset") }
    }

    /// Sends a call and gives its transaction id.
    @discardableResult
    func send(_ program: RPCProgram, _ procedure: UInt32, _ arguments: (inout XDRWriter) -> Void) throws -> UInt32 {
        nextXID &+= 1
        var body = XDRWriter()
        RPCCall(xid: TransactionID(nextXID), program: program, procedure: procedure, credential: credential)
            .encode(into: &body)
        arguments(&body)
        var record = XDRWriter()
        record.uint32(RecordScanner.mark(length: body.bytes.count))
        try sendRaw(record.bytes + body.bytes)
        return nextXID
    }

    /// The next answer: its transaction id and what `results` makes of it.
    func receiveAnswer<T>(_ results: (inout XDRReader) throws -> T) throws -> (xid: UInt32, T) {
        let mark = try receive(4).reduce(0) { $0 << 8 | Int($1) }
        let record = Array(try receive(mark & 0x7fff_ffff))
        return try record.withUnsafeBytes { memory in
            var reader = XDRReader(memory)
            let header = try RPCReply.decode(&reader)
            guard case .accepted(let xid, .success) = header else { throw ClusterFailure("\(header)") }
            return (xid.rawValue, try results(&reader))
        }
    }

    private func call<S, F>(
        _ procedure: NFS3.Procedure, _ arguments: some XDRCodable, _ type: NFS3.Result<S, F>.Type
    ) throws -> S {
        try send(.nfs3, procedure.rawValue) { arguments.encode(into: &$0) }
        return try Self.value(try receiveAnswer { try NFS3.Result<S, F>(from: &$0) }.1, "\(procedure)")
    }

    static func value<S, F>(_ result: NFS3.Result<S, F>, _ call: String) throws -> S {
        switch result {
        case .ok(let value): return value
        case .failed(let status, _): throw NFSFailure(status: status, call: call)
        }
    }

    // MARK: Calls

    func null() throws {
        try send(.nfs3, 0) { _ in }
        _ = try receiveAnswer { _ in }
    }

    func mount(_ path: String = "/images") throws -> NFS3.FileHandle {
        try send(.mount3, 1) { Mount.Path(Array(path.utf8)).encode(into: &$0) }
        guard case .ok(let handle, _) = try receiveAnswer({ try Mount.Result(from: &$0) }).1 else {
            throw ClusterFailure("\(path) cannot be mounted")
        }
        return handle
    }

    private func place(_ directory: NFS3.FileHandle, _ name: String) -> NFS3.NameArguments {
        NFS3.NameArguments(directory: directory, name: Array(name.utf8))
    }

    func attributes(_ file: NFS3.FileHandle) throws -> NFS3.Attributes {
        try call(.getattr, file, NFS3.GetattrResult.self)
    }

    func lookup(_ directory: NFS3.FileHandle, _ name: String) throws -> NFS3.FileHandle {
        try call(.lookup, place(directory, name), NFS3.LookupResult.self).file
    }

    func create(_ directory: NFS3.FileHandle, _ name: String) throws -> NFS3.FileHandle {
        let arguments = NFS3.CreateArguments(
            place: place(directory, name), mode: .unchecked(NFS3.SetAttributes(mode: 0o644)))
        return try call(.create, arguments, NFS3.CreateResult.self).file ?? lookup(directory, name)
    }

    func makeFolder(_ directory: NFS3.FileHandle, _ name: String) throws -> NFS3.FileHandle {
        let arguments = NFS3.MkdirArguments(
            place: place(directory, name), attributes: NFS3.SetAttributes(mode: 0o755))
        return try call(.mkdir, arguments, NFS3.CreateResult.self).file ?? lookup(directory, name)
    }

    func setSize(_ file: NFS3.FileHandle, _ size: UInt64) throws {
        let arguments = NFS3.SetattrArguments(file: file, attributes: NFS3.SetAttributes(size: size))
        _ = try call(.setattr, arguments, NFS3.CacheResult.self)
    }

    func remove(_ directory: NFS3.FileHandle, _ name: String) throws {
        _ = try call(.remove, place(directory, name), NFS3.CacheResult.self)
    }

    func rename(_ from: NFS3.FileHandle, _ name: String, _ to: NFS3.FileHandle, _ newName: String) throws {
        _ = try call(
            .rename, NFS3.RenameArguments(from: place(from, name), to: place(to, newName)), NFS3.RenameResult.self)
    }

    func sendWrite(
        _ file: NFS3.FileHandle, _ data: [UInt8], at offset: UInt64, _ stability: NFS3.Stability = .unstable
    ) throws -> UInt32 {
        try send(.nfs3, NFS3.Procedure.write.rawValue) {
            NFS3.WriteArguments.encodeHead(
                file: file, offset: offset, stability: stability, dataCount: data.count, into: &$0)
            $0.fixed(data)
        }
    }

    /// Writes all of it, in one call.
    func write(
        _ file: NFS3.FileHandle, _ data: [UInt8], at offset: UInt64, _ stability: NFS3.Stability = .unstable
    ) throws {
        _ = try sendWrite(file, data, at: offset, stability)
        let written = try Self.value(try receiveAnswer { try NFS3.WriteResult(from: &$0) }.1, "write")
        if Int(written.count) != data.count { throw ClusterFailure("\(written.count) of \(data.count) bytes written") }
    }

    /// One call: at most `count` bytes, fewer at the end of the file.
    func read(_ file: NFS3.FileHandle, at offset: UInt64, count: Int) throws -> [UInt8] {
        try send(.nfs3, NFS3.Procedure.read.rawValue) {
            NFS3.RangeArguments(file: file, offset: offset, count: UInt32(count)).encode(into: &$0)
        }
        return try receiveAnswer { reader in
            let head = try Self.value(try NFS3.ReadResult(from: &reader), "read")
            return [UInt8](reader.bytes(in: try reader.fixedRange(Int(head.dataCount))))
        }.1
    }

    /// As many bytes as there are, up to `count`, in as many calls as it takes.
    func readAll(_ file: NFS3.FileHandle, at offset: UInt64 = 0, count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let piece = try read(file, at: offset + UInt64(bytes.count), count: min(1 << 20, count - bytes.count))
            if piece.isEmpty { break }
            bytes += piece
        }
        return bytes
    }

    func commit(_ file: NFS3.FileHandle) throws {
        _ = try call(.commit, NFS3.RangeArguments(file: file, offset: 0, count: 0), NFS3.CommitResult.self)
    }

    /// Names in a folder, without "." and "..", sorted.
    func names(_ directory: NFS3.FileHandle) throws -> [String] {
        var names: [String] = []
        var cookie: UInt64 = 0
        var verifier = NFS3.Verifier(0)
        while true {
            let page = try call(
                .readdir,
                NFS3.ReaddirArguments(directory: directory, cookie: cookie, verifier: verifier, count: 8192),
                NFS3.ReaddirResult.self)
            names += page.entries.map { String(decoding: $0.name, as: UTF8.self) }
            guard !page.endOfDirectory, let last = page.entries.last else { break }
            cookie = last.cookie
            verifier = page.verifier
        }
        return names.filter { $0 != "." && $0 != ".." }.sorted()
    }
}
