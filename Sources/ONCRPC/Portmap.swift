/// portmap version 2 (RFC 1833, section 3).
public enum Portmap {
    /// The procedures.
    public enum Procedure: UInt32, Sendable, CaseIterable {
        /// Does nothing.
        case null = 0
        /// Registers a mapping.
        case set = 1
        /// Takes a mapping out.
        case unset = 2
        /// The port of a program.
        case getPort = 3
        /// All mappings.
        case dump = 4
        /// Calls through the portmapper; never served here, it makes an amplifier.
        case callIt = 5
    }

    /// A transport as portmap numbers it.
    public enum TransportProtocol: UInt32, Sendable, CaseIterable {
        /// TCP over IPv4.
        case tcp = 6
        /// UDP over IPv4.
        case udp = 17
    }

    /// One registration, and the question of GETPORT.
    public struct Mapping: Hashable, Sendable, XDRCodable {
        /// Program and version.
        public var program: RPCProgram
        /// The number of the IP protocol, 6 or 17; other numbers come from clients.
        public var transport: UInt32
        /// The port, 0 in a question.
        public var port: UInt32

        /// - Parameters:
        ///   - program: program and version.
        ///   - transport: the number of the IP protocol.
        ///   - port: the port, 0 in a question.
        public init(program: RPCProgram, transport: UInt32, port: UInt32) {
            self.program = program
            self.transport = transport
            self.port = port
        }

        /// Reads a `mapping`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            program = RPCProgram(number: try reader.uint32(), version: try reader.uint32())
            transport = try reader.uint32()
            port = try reader.uint32()
        }

        /// Appends a `mapping`.
        public func encode(into writer: inout XDRWriter) {
            writer.uint32(program.number)
            writer.uint32(program.version)
            writer.uint32(transport)
            writer.uint32(port)
        }
    }
}

/// rpcbind versions 3 and 4 (RFC 1833, section 2).
public enum Rpcbind {
    /// The procedures of both versions; those from 9 on are version 4's.
    public enum Procedure: UInt32, Sendable, CaseIterable {
        /// Does nothing.
        case null = 0
        /// Registers.
        case set = 1
        /// Takes out.
        case unset = 2
        /// The universal address of a program and version, by the transport of the question in version 3.
        case getAddress = 3
        /// All registrations.
        case dump = 4
        /// CALLIT or BCAST; never served here, it makes an amplifier.
        case broadcast = 5
        /// Seconds since 1970.
        case getTime = 6
        /// Universal address to netbuf.
        case addressToNetbuf = 7
        /// Netbuf to universal address.
        case netbufToAddress = 8
        /// As `getAddress`, for exactly this version (version 4).
        case getVersionAddress = 9
        /// INDIRECT (version 4); never served here.
        case indirect = 10
        /// All addresses of a program and version (version 4).
        case getAddressList = 11
        /// Statistics (version 4).
        case getStatistics = 12
    }

    /// One registration, and the question of GETADDR.
    public struct Registration: Hashable, Sendable, XDRCodable {
        /// Program and version.
        public var program: RPCProgram
        /// The network id, such as "tcp".
        public var netID: String
        /// The universal address, such as "127.0.0.11.8.1" for port 2049.
        public var address: String
        /// Who registered.
        public var owner: String

        /// Each text has at most `RPCLimits.rpcbindStringBytes` bytes.
        public init(program: RPCProgram, netID: String, address: String, owner: String) {
            self.program = program
            self.netID = netID
            self.address = address
            self.owner = owner
        }

        /// Reads an `rpcb`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            program = RPCProgram(number: try reader.uint32(), version: try reader.uint32())
            netID = try reader.text(atMost: RPCLimits.rpcbindStringBytes)
            address = try reader.text(atMost: RPCLimits.rpcbindStringBytes)
            owner = try reader.text(atMost: RPCLimits.rpcbindStringBytes)
        }

        /// Appends an `rpcb`.
        public func encode(into writer: inout XDRWriter) {
            writer.uint32(program.number)
            writer.uint32(program.version)
            writer.text(netID)
            writer.text(address)
            writer.text(owner)
        }
    }

    /// One address of GETADDRLIST (RFC 1833, section 2.1: rpcb_entry).
    public struct AddressEntry: Hashable, Sendable, XDRCodable {
        /// The universal address.
        public var address: String
        /// The network id.
        public var netID: String
        /// NC_TPI_CLTS 1, NC_TPI_COTS 2, NC_TPI_COTS_ORD 3.
        public var semantics: UInt32
        /// The protocol family, "inet".
        public var family: String
        /// The protocol, "tcp" or "udp".
        public var transport: String

        /// Each text has at most `RPCLimits.rpcbindStringBytes` bytes.
        public init(address: String, netID: String, semantics: UInt32, family: String, transport: String) {
            self.address = address
            self.netID = netID
            self.semantics = semantics
            self.family = family
            self.transport = transport
        }

        /// Reads an `rpcb_entry`.
        public init(from reader: inout XDRReader) throws(XDRError) {
            address = try reader.text(atMost: RPCLimits.rpcbindStringBytes)
            netID = try reader.text(atMost: RPCLimits.rpcbindStringBytes)
            semantics = try reader.uint32()
            family = try reader.text(atMost: RPCLimits.rpcbindStringBytes)
            transport = try reader.text(atMost: RPCLimits.rpcbindStringBytes)
        }

        /// Appends an `rpcb_entry`.
        public func encode(into writer: inout XDRWriter) {
            writer.text(address)
            writer.text(netID)
            writer.uint32(semantics)
            writer.text(family)
            writer.text(transport)
        }
    }

    /// A universal address: an IPv4 address and a port, in six decimal numbers (RFC 5665, section 5.2.3.3).
    public struct UniversalAddress: Hashable, Sendable {
        /// The IPv4 address, the first byte in the highest place.
        public var host: UInt32
        /// The port.
        public var port: UInt16

        /// - Parameters:
        ///   - host: the IPv4 address, the first byte in the highest place.
        ///   - port: the port.
        public init(host: UInt32, port: UInt16) {
            self.host = host
            self.port = port
        }

        /// Nil unless the text is six numbers of 0 … 255.
        public init?(_ text: String) {
            let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            guard parts.count == 6 else { return nil }
            var numbers: [UInt32] = []
            for part in parts {
                guard part.allSatisfy({ (0x30...0x39).contains($0) }), let n = UInt8(Substring(part)) else {
                    return nil
                }
                numbers.append(UInt32(n))
            }
            host = numbers[0] << 24 | numbers[1] << 16 | numbers[2] << 8 | numbers[3]
            port = UInt16(numbers[4] << 8 | numbers[5])
        }

        /// The six numbers.
        public var text: String {
            "\(host >> 24).\(host >> 16 & 255).\(host >> 8 & 255).\(host & 255).\(port >> 8).\(port & 255)"
        }
    }
}
