/// Every bound of the RPC floor, and what happens at it.
public enum RPCLimits {
    /// The greatest record: one WRITE or READ of 1 MiB and 64 KiB for all headers. A greater one closes the connection.
    public static let recordBytes = (1 << 20) + (64 << 10)
    /// Fragments of one record. More of them (a sender of one-byte fragments) close the connection.
    public static let fragmentsPerRecord = 1024
    /// An authenticator's body (RFC 5531, section 8.2). A longer one is AUTH_BADCRED or AUTH_BADVERF.
    public static let authBytes = 400
    /// The machine name of AUTH_SYS (RFC 5531, appendix A).
    public static let machineNameBytes = 255
    /// The supplementary groups of AUTH_SYS (RFC 5531, appendix A).
    public static let authSysGroups = 16
    /// A file name as the decoder takes it. The file system's own bound (255) is lower and has a status of its own.
    public static let nameBytes = 4096
    /// A symbolic link's target or a mount path as the decoder takes it.
    public static let pathBytes = 8192
    /// The data of one READ or WRITE.
    public static let dataBytes = 1 << 20
    /// A mount path (RFC 1813, section 5.1.2: MNTPATHLEN).
    public static let mountPathBytes = 1024
    /// A host or group name of the mount protocol (RFC 1813, section 5.1.2: MNTNAMLEN).
    public static let mountNameBytes = 255
    /// Entries of a list that a client of ours decodes (exports, groups, mounts, registrations, directory entries).
    public static let listEntries = 4096
    /// A string of rpcbind: network id, universal address, owner.
    public static let rpcbindStringBytes = 128
}
