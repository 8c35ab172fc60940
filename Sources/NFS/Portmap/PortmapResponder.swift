import ONCRPC

/// Answers portmap version 2 and rpcbind versions 3 and 4 (RFC 1833) for one address. A pure machine: a record in, a
/// record or silence out.
///
/// Invariants:
/// - nothing can be registered from outside: SET and UNSET answer false;
/// - nothing is called through it (CALLIT, BCAST, INDIRECT), which would make it an amplifier and hide who calls;
/// - over UDP, where a sender can be forged, no answer is much longer than its question.
struct PortmapResponder: Sendable {
    /// What a question came by.
    enum Transport: Sendable {
        case tcp
        case udp
    }

    /// A program that can be asked for; all here are over TCP, the portmapper itself also over UDP.
    struct Registration: Hashable, Sendable {
        var program: RPCProgram
        var port: UInt16
        var transport: Portmap.TransportProtocol
    }

    private let registrations: [Registration]
    /// The IPv4 address that is answered for.
    private let host: UInt32

    /// - Parameters:
    ///   - host: IPv4, the first byte in the highest place.
    ///   - servicePort: of NFS and MOUNT.
    ///   - ownPort: of the portmapper itself.
    init(host: UInt32, servicePort: UInt16, ownPort: UInt16) {
        self.host = host
        let own: [Registration] = (2...4).reversed().flatMap { (version: UInt32) in
            [Portmap.TransportProtocol.tcp, .udp].map {
                Registration(
                    program: RPCProgram(number: RPCProgram.portmapNumber, version: version), port: ownPort,
                    transport: $0)
            }
        }
        registrations =
            own
            + [RPCProgram.nfs3, .mount1, .mount3].map {
                Registration(program: $0, port: servicePort, transport: .tcp)
            }
    }

    /// The programs that clients look for: NFS 3, MOUNT 1 and 3.
    static let services: [RPCProgram] = [.nfs3, .mount1, .mount3]

    /// The reply to a record; nil for silence. Throws when the record is no call.
    /// - Parameter now: seconds since 1970, for GETTIME.
    func reply(to record: UnsafeRawBufferPointer, over transport: Transport, now: UInt32) throws(XDRError) -> [UInt8]? {
        var reader = XDRReader(record)
        var writer = XDRWriter()
        switch try RPCCall.decode(&reader) {
        case .rejected(let xid, let rejection): RPCReply.rejected(xid, rejection).encode(into: &writer)
        case .call(let call):
            guard call.program.number == RPCProgram.portmapNumber else {
                RPCReply.accepted(call.xid, .programUnavailable).encode(into: &writer)
                break
            }
            guard (2...4).contains(call.program.version) else {
                RPCReply.accepted(call.xid, .programMismatch(low: 2, high: 4)).encode(into: &writer)
                break
            }
            var results = XDRWriter()
            let acceptance: RPCAcceptance
            do throws(XDRError) {
                acceptance =
                    call.program.version == 2
                    ? try portmap(call, over: transport, &reader, &results)
                    : try rpcbind(call, over: transport, now: now, &reader, &results)
            } catch {
                acceptance = .garbageArguments
            }
            RPCReply.accepted(call.xid, acceptance).encode(into: &writer)
            if acceptance == .success { writer.fixed(results.bytes) }
        }
        return writer.bytes
    }

    private func portmap(
        _ call: RPCCall, over transport: Transport, _ reader: inout XDRReader, _ results: inout XDRWriter
    ) throws(XDRError) -> RPCAcceptance {
        guard let procedure = Portmap.Procedure(rawValue: call.procedure) else { return .procedureUnavailable }
        switch procedure {
        case .null: break
        case .set, .unset:
            _ = try Portmap.Mapping(from: &reader)
            results.bool(false)
        case .getPort:
            let asked = try Portmap.Mapping(from: &reader)
            results.uint32(
                registrations.first {
                    $0.program == asked.program && $0.transport.rawValue == asked.transport
                }.map { UInt32($0.port) } ?? 0)
        case .dump:
            guard case .tcp = transport else { return .procedureUnavailable }
            XDRList(
                registrations.map {
                    Portmap.Mapping(program: $0.program, transport: $0.transport.rawValue, port: UInt32($0.port))
                }
            ).encode(into: &results)
        case .callIt: return .procedureUnavailable
        }
        return .success
    }

    private func rpcbind(
        _ call: RPCCall, over transport: Transport, now: UInt32, _ reader: inout XDRReader, _ results: inout XDRWriter
    ) throws(XDRError) -> RPCAcceptance {
        guard let procedure = Rpcbind.Procedure(rawValue: call.procedure) else { return .procedureUnavailable }
        let isVersion4 = call.program.version == 4
        switch procedure {
        case .null: break
        case .set, .unset:
            _ = try Rpcbind.Registration(from: &reader)
            results.bool(false)
        case .getAddress:
            results.text(address(of: try Rpcbind.Registration(from: &reader), exactly: false, over: transport))
        case .getVersionAddress:
            guard isVersion4 else { return .procedureUnavailable }
            results.text(address(of: try Rpcbind.Registration(from: &reader), exactly: true, over: transport))
        case .dump:
            guard case .tcp = transport else { return .procedureUnavailable }
            XDRList(
                registrations.map {
                    Rpcbind.Registration(
                        program: $0.program, netID: netID($0.transport), address: text($0.port), owner: "superuser")
                }
            ).encode(into: &results)
        case .getTime: results.uint32(now)
        case .getAddressList:
            guard isVersion4 else { return .procedureUnavailable }
            let asked = try Rpcbind.Registration(from: &reader)
            XDRList(
                registrations.filter { $0.program == asked.program }.map {
                    let isStream = $0.transport == .tcp
                    return Rpcbind.AddressEntry(
                        address: text($0.port), netID: netID($0.transport), semantics: isStream ? 3 : 1, family: "inet",
                        transport: netID($0.transport))
                }
            ).encode(into: &results)
        case .broadcast, .addressToNetbuf, .netbufToAddress, .indirect, .getStatistics: return .procedureUnavailable
        }
        return .success
    }

    /// The universal address of a program, "" for none. Without a network id, the one that the question came by is meant
    /// (RFC 1833, section 2.2.1); another version of the program will do unless `exactly`.
    private func address(of asked: Rpcbind.Registration, exactly: Bool, over transport: Transport) -> String {
        let wanted = asked.netID.isEmpty ? (transport == .tcp ? "tcp" : "udp") : asked.netID
        let candidates = registrations.filter {
            $0.program.number == asked.program.number && netID($0.transport) == wanted
        }
        let match =
            candidates.first { $0.program.version == asked.program.version } ?? (exactly ? nil : candidates.first)
        return match.map { text($0.port) } ?? ""
    }

    private func text(_ port: UInt16) -> String { Rpcbind.UniversalAddress(host: host, port: port).text }

    private func netID(_ transport: Portmap.TransportProtocol) -> String {
        switch transport {
        case .tcp: "tcp"
        case .udp: "udp"
        }
    }
}
