import ClusterModel
import ONCRPC
import Wire

/// Who sent a call: an address and what it says its user is.
struct Caller: Hashable, Sendable {
    var address: ClientAddress
    var credential: RPCCredential

    /// libnfs gives every machine this name. It never compares write verifiers, and gives JUKEBOX to its caller as an
    /// error (namespace.md, The NFS door).
    var isLibnfs: Bool {
        switch credential {
        case .none: false
        case .sys(let sys): sys.machineName == Caller.libnfs
        }
    }
    private static let libnfs = Array("libnfs".utf8)

    /// The identity that the file system sees. This is the only place where callers are squashed, for all procedures
    /// (traps 49). AUTH_NONE is always anonymous. Groups of a squashed caller are dropped with him, and group 0 of one
    /// who is not root is replaced too, since it is root's group.
    func credentials(in export: Export) -> Credentials {
        let anonymous = Credentials(uid: export.anonymousUID, gid: export.anonymousGID)
        guard case .sys(let sys) = credential else { return anonymous }
        switch export.squash {
        case .none: return Credentials(uid: sys.uid, gid: sys.gid, groups: sys.groups)
        case .all: return anonymous
        case .root:
            if sys.uid == 0 { return anonymous }
            return Credentials(
                uid: sys.uid, gid: sys.gid == 0 ? export.anonymousGID : sys.gid,
                groups: sys.groups.map { $0 == 0 ? export.anonymousGID : $0 })
        }
    }

    /// The identity of a call that must not be executed twice, the same through whichever gateway it comes
    /// (replication.md, 20): neither a port nor anything of this gateway is in it.
    func identity(xid: TransactionID, procedure: UInt32, arguments: UnsafeRawBufferPointer) -> CallIdentity {
        var origin = SipHash(key: Caller.identityKey, width: .bits128)
        origin.combine(UInt64(truncatingIfNeeded: address.bits >> 64))
        origin.combine(UInt64(truncatingIfNeeded: address.bits))
        switch credential {
        case .none: origin.combine(UInt8(0))
        case .sys(let sys):
            origin.combine(UInt8(1))
            origin.combine(UInt32(sys.machineName.count))
            origin.combine(sys.machineName)
            origin.combine(sys.uid)
            origin.combine(sys.gid)
            for group in sys.groups { origin.combine(group) }
        }
        var request = SipHash(key: Caller.identityKey, width: .bits64)
        request.combine(xid.rawValue)
        request.combine(procedure)
        request.combine(arguments)
        return CallIdentity(origin: origin.finish128(), request: request.finish())
    }
    /// Not secret: every gateway of every version must compute the same.
    private static let identityKey: (UInt64, UInt64) = (0x5374_6176_6520_4e46, 0x5320_6964_656e_7469)
}
