/// Why a caller's identity was not taken (RFC 5531, section 9: auth_stat).
public enum RPCAuthFailure: UInt32, Hashable, Sendable, CaseIterable {
    /// AUTH_BADCRED: the credential is malformed.
    case badCredential = 1
    /// AUTH_REJECTEDCRED: the client must begin a new session.
    case rejectedCredential = 2
    /// AUTH_BADVERF: the verifier is malformed.
    case badVerifier = 3
    /// AUTH_REJECTEDVERF: the verifier has expired or was replayed.
    case rejectedVerifier = 4
    /// AUTH_TOOWEAK: refused for reasons of security.
    case tooWeak = 5
    /// AUTH_INVALIDRESP: the server's verifier is malformed (set by clients).
    case invalidResponse = 6
    /// AUTH_FAILED: for no stated reason.
    case failed = 7
}

/// A call that was not looked at (RFC 5531, section 9: rejected_reply).
public enum RPCRejection: Hashable, Sendable {
    /// RPC_MISMATCH: another version of RPC itself; low and high are those that are spoken.
    case rpcMismatch(low: UInt32, high: UInt32)
    /// AUTH_ERROR.
    case auth(RPCAuthFailure)
}

/// What became of a call that was accepted (RFC 5531, section 9: accept_stat).
public enum RPCAcceptance: Hashable, Sendable {
    /// SUCCESS: results follow.
    case success
    /// PROG_UNAVAIL.
    case programUnavailable
    /// PROG_MISMATCH; low and high are the versions that are spoken.
    case programMismatch(low: UInt32, high: UInt32)
    /// PROC_UNAVAIL.
    case procedureUnavailable
    /// GARBAGE_ARGS: the arguments cannot be read.
    case garbageArguments
    /// SYSTEM_ERR: such as lack of memory.
    case systemError
}

/// The header of a reply (RFC 5531, section 9), always with a verifier of AUTH_NONE.
public enum RPCReply: Hashable, Sendable {
    /// MSG_ACCEPTED.
    case accepted(TransactionID, RPCAcceptance)
    /// MSG_DENIED.
    case rejected(TransactionID, RPCRejection)

    /// Appends the header; results follow a success.
    public func encode(into writer: inout XDRWriter) {
        switch self {
        case .accepted(let xid, let acceptance):
            writer.uint32(xid.rawValue)
            writer.uint32(1)
            writer.uint32(0)
            writer.uint32(0)
            writer.uint32(0)
            switch acceptance {
            case .success: writer.uint32(0)
            case .programUnavailable: writer.uint32(1)
            case .programMismatch(let low, let high):
                writer.uint32(2)
                writer.uint32(low)
                writer.uint32(high)
            case .procedureUnavailable: writer.uint32(3)
            case .garbageArguments: writer.uint32(4)
            case .systemError: writer.uint32(5)
            }
        case .rejected(let xid, let rejection):
            writer.uint32(xid.rawValue)
            writer.uint32(1)
            writer.uint32(1)
            switch rejection {
            case .rpcMismatch(let low, let high):
                writer.uint32(0)
                writer.uint32(low)
                writer.uint32(high)
            case .auth(let failure):
                writer.uint32(1)
                writer.uint32(failure.rawValue)
            }
        }
    }

    /// Reads the head of a record that a server sent; the reader then stands at the results.
    public static func decode(_ reader: inout XDRReader) throws(XDRError) -> RPCReply {
        let xid = TransactionID(try reader.uint32())
        let kind = try reader.uint32()
        guard kind == 1 else { throw XDRError("a message of type \(kind) where a reply (1) is expected") }
        switch try reader.uint32() {
        case 0:
            _ = try reader.uint32()
            _ = try reader.opaqueRange(atMost: RPCLimits.authBytes)
            return .accepted(xid, try decodeAcceptance(&reader))
        case 1:
            switch try reader.uint32() {
            case 0: return .rejected(xid, .rpcMismatch(low: try reader.uint32(), high: try reader.uint32()))
            case 1:
                let code = try reader.uint32()
                guard let failure = RPCAuthFailure(rawValue: code) else {
                    throw XDRError("an authentication failure \(code) that is not defined")
                }
                return .rejected(xid, .auth(failure))
            case let other: throw XDRError("a rejection \(other) where 0 and 1 are defined")
            }
        case let other: throw XDRError("a reply status \(other) where 0 and 1 are defined")
        }
    }

    private static func decodeAcceptance(_ reader: inout XDRReader) throws(XDRError) -> RPCAcceptance {
        switch try reader.uint32() {
        case 0: return .success
        case 1: return .programUnavailable
        case 2: return .programMismatch(low: try reader.uint32(), high: try reader.uint32())
        case 3: return .procedureUnavailable
        case 4: return .garbageArguments
        case 5: return .systemError
        case let other: throw XDRError("an acceptance \(other) where 0 to 5 are defined")
        }
    }
}
