/// The transaction number that a client gives a call.
public struct TransactionID: Hashable, Sendable {
    /// As on the wire.
    public let rawValue: UInt32
    /// - Parameter rawValue: as on the wire.
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }
}

/// A program and one of its versions.
public struct RPCProgram: Hashable, Sendable {
    /// The program's number.
    public var number: UInt32
    /// The version.
    public var version: UInt32
    /// - Parameters:
    ///   - number: the program's number.
    ///   - version: the version.
    public init(number: UInt32, version: UInt32) {
        self.number = number
        self.version = version
    }

    /// portmap (RFC 1833), which rpcbind continues under versions 3 and 4.
    public static let portmapNumber: UInt32 = 100_000
    /// NFS (RFC 1813).
    public static let nfsNumber: UInt32 = 100_003
    /// MOUNT (RFC 1813, appendix I).
    public static let mountNumber: UInt32 = 100_005
    /// NFS version 3.
    public static let nfs3 = RPCProgram(number: nfsNumber, version: 3)
    /// MOUNT version 1, of which EXPORT and DUMP are in use.
    public static let mount1 = RPCProgram(number: mountNumber, version: 1)
    /// MOUNT version 3.
    public static let mount3 = RPCProgram(number: mountNumber, version: 3)
}

/// Who a client says its user is: AUTH_SYS (RFC 5531, appendix A).
public struct AuthSys: Hashable, Sendable, XDRCodable {
    /// An arbitrary number of the client's.
    public var stamp: UInt32
    /// The client's name for itself, at most 255 bytes; "libnfs" from libnfs.
    public var machineName: [UInt8]
    /// The effective user.
    public var uid: UInt32
    /// The effective group.
    public var gid: UInt32
    /// At most 16 further groups.
    public var groups: [UInt32]

    /// - Precondition: the bounds of `RPCLimits` hold.
    public init(stamp: UInt32, machineName: [UInt8], uid: UInt32, gid: UInt32, groups: [UInt32]) {
        precondition(
            machineName.count <= RPCLimits.machineNameBytes && groups.count <= RPCLimits.authSysGroups,
            "credentials are made within their bounds")
        self.stamp = stamp
        self.machineName = machineName
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }

    /// Reads the body of the credential.
    public init(from reader: inout XDRReader) throws(XDRError) {
        stamp = try reader.uint32()
        machineName = try reader.opaque(atMost: RPCLimits.machineNameBytes)
        uid = try reader.uint32()
        gid = try reader.uint32()
        let count = try reader.uint32()
        guard count <= UInt32(RPCLimits.authSysGroups) else {
            throw XDRError("\(count) groups where AUTH_SYS has at most \(RPCLimits.authSysGroups)")
        }
        groups = []
        for _ in 0..<count { groups.append(try reader.uint32()) }
    }

    /// Appends the body of the credential.
    public func encode(into writer: inout XDRWriter) {
        writer.uint32(stamp)
        writer.opaque(machineName)
        writer.uint32(uid)
        writer.uint32(gid)
        writer.uint32(UInt32(groups.count))
        for group in groups { writer.uint32(group) }
    }
}

/// The credential of a call (RFC 5531, section 8.2).
public enum RPCCredential: Hashable, Sendable {
    /// AUTH_NONE: nobody in particular.
    case none
    /// AUTH_SYS.
    case sys(AuthSys)
}

/// The header of a call (RFC 5531, section 9). Its arguments follow in the record.
public struct RPCCall: Hashable, Sendable {
    /// The client's number for the call.
    public var xid: TransactionID
    /// Program and version.
    public var program: RPCProgram
    /// The procedure's number within the program.
    public var procedure: UInt32
    /// Who calls.
    public var credential: RPCCredential

    /// A header to send.
    public init(xid: TransactionID, program: RPCProgram, procedure: UInt32, credential: RPCCredential) {
        self.xid = xid
        self.program = program
        self.procedure = procedure
        self.credential = credential
    }

    /// What the head of a record turned out to be.
    public enum Decoded: Hashable, Sendable {
        /// A call; the reader stands at its arguments.
        case call(RPCCall)
        /// A call that is answered by a rejection.
        case rejected(TransactionID, RPCRejection)
    }

    /// Reads the head of a record.
    /// - Throws: when it is no call at all; the connection is then closed.
    public static func decode(_ reader: inout XDRReader) throws(XDRError) -> Decoded {
        let xid = TransactionID(try reader.uint32())
        let kind = try reader.uint32()
        guard kind == 0 else { throw XDRError("a message of type \(kind) where a call (0) is expected") }
        guard try reader.uint32() == 2 else { return .rejected(xid, .rpcMismatch(low: 2, high: 2)) }
        let number = try reader.uint32()
        let version = try reader.uint32()
        let procedure = try reader.uint32()
        let flavor = try reader.uint32()
        let length = Int(try reader.uint32())
        guard length <= RPCLimits.authBytes else { return .rejected(xid, .auth(.badCredential)) }
        let end = reader.position + XDRAlignment.padded(length)
        guard reader.remaining >= XDRAlignment.padded(length) else {
            throw XDRError("the message ends within the credential")
        }
        let credential: RPCCredential
        switch flavor {
        case 0:
            _ = try reader.fixedRange(length)
            credential = .none
        case 1:
            guard let sys = try? AuthSys(from: &reader), reader.position == end else {
                return .rejected(xid, .auth(.badCredential))
            }
            credential = .sys(sys)
        case 2: return .rejected(xid, .auth(.rejectedCredential))
        case 6: return .rejected(xid, .auth(.tooWeak))
        // Flavors have no bound; one that nobody here knows is a bad credential (RFC 5531, section 8.2).
        default: return .rejected(xid, .auth(.badCredential))
        }
        _ = try reader.uint32()
        let verifierLength = Int(try reader.uint32())
        guard verifierLength <= RPCLimits.authBytes else { return .rejected(xid, .auth(.badVerifier)) }
        _ = try reader.fixedRange(verifierLength)
        let program = RPCProgram(number: number, version: version)
        return .call(RPCCall(xid: xid, program: program, procedure: procedure, credential: credential))
    }

    /// Appends the header; the arguments follow.
    public func encode(into writer: inout XDRWriter) {
        writer.uint32(xid.rawValue)
        writer.uint32(0)
        writer.uint32(2)
        writer.uint32(program.number)
        writer.uint32(program.version)
        writer.uint32(procedure)
        switch credential {
        case .none:
            writer.uint32(0)
            writer.uint32(0)
        case .sys(let sys):
            var body = XDRWriter()
            sys.encode(into: &body)
            writer.uint32(1)
            writer.opaque(body.bytes)
        }
        writer.uint32(0)
        writer.uint32(0)
    }
}
