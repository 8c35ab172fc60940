import ClusterModel

/// One of the three rights of a mode's classes.
public enum AccessBit: UInt16, Hashable, Sendable {
    case read = 4
    case write = 2
    case execute = 1
}

extension Credentials {
    /// uid 0, that is after squashing.
    public var isSuperuser: Bool { uid == 0 }
    /// By the primary group or a supplementary one.
    public func isMember(of group: UInt32) -> Bool { gid == group || groups.contains(group) }
}

extension FileAttributes {
    /// POSIX's rule by classes (owner, group, other: the first that fits decides). The superuser may all, but executes
    /// files only that someone may execute.
    public func permits(_ bit: AccessBit, to caller: Credentials) -> Bool {
        if caller.isSuperuser { return bit != .execute || kind == .directory || mode & 0o111 != 0 }
        let shift: UInt16 = caller.uid == uid ? 6 : caller.isMember(of: gid) ? 3 : 0
        return (mode >> shift) & bit.rawValue != 0
    }

    /// What of `asked` the caller has (RFC 1813, 3.3.4). Rights that make no sense for the kind are never granted.
    public func granted(_ asked: AccessRights, to caller: Credentials) -> AccessRights {
        var result: AccessRights = []
        if permits(.read, to: caller) { result.insert(.read) }
        if kind == .directory {
            let search = permits(.execute, to: caller)
            if search { result.insert(.lookup) }
            if search && permits(.write, to: caller) { result.formUnion([.modify, .extend, .delete]) }
        } else {
            if permits(.write, to: caller) { result.formUnion([.modify, .extend]) }
            if permits(.execute, to: caller) { result.insert(.execute) }
        }
        return result.intersection(asked)
    }
}
