import ClusterModel
import Wire

/// Permission to read and write data, decided from a hint. As NFS servers do, the owner may always (a client checks at
/// open, and may have changed the mode since), and who may execute may read (RFC 1813, 4.4).
enum Permission {
    static func mayRead(_ attributes: FileAttributes, _ caller: Credentials) -> Bool {
        caller.uid == attributes.uid || attributes.permits(.read, to: caller)
            || attributes.permits(.execute, to: caller)
    }

    static func mayWrite(_ attributes: FileAttributes, _ caller: Credentials) -> Bool {
        caller.uid == attributes.uid || attributes.permits(.write, to: caller)
    }

    /// Whether a write by `caller` ends setuid or setgid, as Linux has it: not by the superuser, and setgid only where it
    /// means execution as the group.
    static func endsPrivileges(_ attributes: FileAttributes, _ caller: Credentials) -> Bool {
        !caller.isSuperuser && (attributes.mode & 0o4000 != 0 || attributes.mode & 0o2010 == 0o2010)
    }
}
