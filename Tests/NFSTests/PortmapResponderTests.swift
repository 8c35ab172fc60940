import ONCRPC
import Testing

@testable import NFS

private let responder = PortmapResponder(host: 0x7f00_000b, servicePort: 2049, ownPort: 111)

private func ask<T>(
    version: UInt32, _ procedure: UInt32, over transport: PortmapResponder.Transport = .tcp,
    _ arguments: (inout XDRWriter) -> Void = { _ in }, _ results: (inout XDRReader) throws -> T
) throws -> T {
    let reply = try #require(try raw(program: 100_000, version: version, procedure, over: transport, arguments))
    return try reply.withUnsafeBytes { memory in
        var reader = XDRReader(memory)
        guard case .accepted(_, .success) = try RPCReply.decode(&reader) else {
            throw ClientFailure(description: "rejected")
        }
        let value = try results(&reader)
        #expect(reader.remaining == 0)
        return value
    }
}

private func raw(
    program: UInt32, version: UInt32, _ procedure: UInt32, over transport: PortmapResponder.Transport = .tcp,
    _ arguments: (inout XDRWriter) -> Void = { _ in }
) throws -> [UInt8]? {
    var writer = XDRWriter()
    RPCCall(
        xid: TransactionID(5), program: RPCProgram(number: program, version: version), procedure: procedure,
        credential: .none
    ).encode(into: &writer)
    arguments(&writer)
    return try writer.bytes.withUnsafeBytes { try responder.reply(to: $0, over: transport, now: 1000) }
}

private func header(_ bytes: [UInt8]?) throws -> RPCReply {
    try #require(bytes).withUnsafeBytes { memory in
        var reader = XDRReader(memory)
        return try RPCReply.decode(&reader)
    }
}

@Suite struct PortmapResponderTests {
    @Test(
        "GETPORT finds NFS 3 and MOUNT 1 and 3 over TCP, the portmapper over both, and nothing else",
        arguments: [
            (RPCProgram.nfs3, UInt32(6), UInt32(2049)), (.mount1, 6, 2049), (.mount3, 6, 2049), (.nfs3, 17, 0),
            (RPCProgram(number: 100_003, version: 4), 6, 0), (RPCProgram(number: 100_000, version: 2), 17, 111),
            (RPCProgram(number: 100_021, version: 4), 6, 0), (.nfs3, 99, 0),
        ])
    func getPort(program: RPCProgram, transport: UInt32, port: UInt32) throws {
        let question = Portmap.Mapping(program: program, transport: transport, port: 0)
        for over in [PortmapResponder.Transport.tcp, .udp] {
            #expect(try ask(version: 2, 3, over: over, { question.encode(into: &$0) }) { try $0.uint32() } == port)
        }
    }

    @Test("GETADDR gives the universal address, GETVERSADDR only for exactly the version", arguments: [UInt32(3), 4])
    func getAddress(version: UInt32) throws {
        func address(_ procedure: UInt32, _ program: RPCProgram, _ netID: String) throws -> String {
            let question = Rpcbind.Registration(program: program, netID: netID, address: "", owner: "")
            return try ask(version: version, procedure, { question.encode(into: &$0) }) { try $0.text(atMost: 100) }
        }
        #expect(try address(3, .nfs3, "tcp") == "127.0.0.11.8.1")
        #expect(try address(3, .nfs3, "") == "127.0.0.11.8.1")
        #expect(try address(3, .nfs3, "udp") == "")
        #expect(try address(3, .nfs3, "tcp6") == "")
        #expect(try address(3, RPCProgram(number: 100_005, version: 2), "tcp") == "127.0.0.11.8.1")
        if version == 4 { #expect(try address(9, RPCProgram(number: 100_005, version: 2), "tcp") == "") }
    }

    @Test("DUMP tells all registrations in every version")
    func dump() throws {
        let mappings = try ask(version: 2, 4) { try XDRList<Portmap.Mapping>(from: &$0) }.elements
        #expect(mappings.contains(Portmap.Mapping(program: .nfs3, transport: 6, port: 2049)))
        #expect(mappings.count == 9)
        for version: UInt32 in [3, 4] {
            let all = try ask(version: version, 4) { try XDRList<Rpcbind.Registration>(from: &$0) }.elements
            #expect(all.count == 9)
        }
    }

    @Test("GETADDRLIST tells each transport of a program")
    func addressList() throws {
        let question = Rpcbind.Registration(
            program: RPCProgram(number: 100_000, version: 2), netID: "", address: "", owner: "")
        let entries = try ask(version: 4, 11, { question.encode(into: &$0) }) {
            try XDRList<Rpcbind.AddressEntry>(from: &$0)
        }
        #expect(entries.elements.map(\.netID).sorted() == ["tcp", "udp"])
    }

    @Test("Nobody can register or unregister from outside", arguments: [UInt32(1), 2])
    func set(procedure: UInt32) throws {
        let mapping = Portmap.Mapping(program: .nfs3, transport: 6, port: 666)
        #expect(try ask(version: 2, procedure, { mapping.encode(into: &$0) }) { try $0.bool() } == false)
        let registration = Rpcbind.Registration(program: .nfs3, netID: "tcp", address: "1.2.3.4.5.6", owner: "me")
        #expect(try ask(version: 4, procedure, { registration.encode(into: &$0) }) { try $0.bool() } == false)
    }

    @Test("Calls through the portmapper and long answers over UDP are refused")
    func amplification() throws {
        let refused = RPCReply.accepted(TransactionID(5), .procedureUnavailable)
        #expect(try header(raw(program: 100_000, version: 2, 5)) == refused)
        #expect(try header(raw(program: 100_000, version: 4, 5)) == refused)
        #expect(try header(raw(program: 100_000, version: 4, 10)) == refused)
        for version: UInt32 in 2...4 {
            #expect(try header(raw(program: 100_000, version: version, 4, over: .udp)) == refused)
        }
    }

    @Test("Another program, version, procedure, and garbage are rejected as the RFC says")
    func rejects() throws {
        let xid = TransactionID(5)
        #expect(try header(raw(program: 100_003, version: 3, 0)) == .accepted(xid, .programUnavailable))
        #expect(try header(raw(program: 100_000, version: 5, 0)) == .accepted(xid, .programMismatch(low: 2, high: 4)))
        #expect(try header(raw(program: 100_000, version: 2, 99)) == .accepted(xid, .procedureUnavailable))
        #expect(try header(raw(program: 100_000, version: 3, 9)) == .accepted(xid, .procedureUnavailable))
        #expect(try header(raw(program: 100_000, version: 2, 3)) == .accepted(xid, .garbageArguments))
        #expect(throws: XDRError.self) {
            _ = try [UInt8](repeating: 1, count: 12).withUnsafeBytes { try responder.reply(to: $0, over: .udp, now: 0) }
        }
    }

    @Test("NULL answers in every version, and GETTIME the time")
    func null() throws {
        for version: UInt32 in 2...4 { try ask(version: version, 0, over: .udp) { _ in } }
        #expect(try ask(version: 3, 6) { try $0.uint32() } == 1000)
    }
}
