import ClusterModel

/// The bounds of a namespace, with their reasons and what happens at each.
public enum NamespaceLimits {
    /// Names of one inode, as ext4 has it; beyond it LINK answers `tooManyLinks`.
    public static let links: UInt32 = 65_000
    /// Bytes of a symbolic link's target (PATH_MAX); longer ones answer `nameTooLong`.
    public static let symbolicLinkTarget = 4096
    /// The first cookie of a directory: 0 is the beginning, 1 and 2 are the doors' "." and "..".
    public static let firstCookie: UInt64 = 3
    /// Entries of one listing; a greater limit is lowered to this.
    public static let listedEntries = 512
    /// Results of a session's requests that are kept: number k + 256 is not sent before k has ended (replication.md, 18).
    public static let sessionWindow = 256
    /// How long, by entries' times, a call's result is kept for its retransmission (replication.md, 20).
    public static let callLifetime = TimeSpan.seconds(120)
    /// Calls kept per origin; the oldest goes.
    public static let callsPerOrigin = 4096
    /// Calls kept in all; the oldest goes.
    public static let calls = 65_536
    /// Expired calls that one entry prunes: twice what an entry can add and a little, so that a long idle time is not paid
    /// by one entry.
    public static let pruneStep = 64
    /// Inode numbers are reserved in steps of this many (namespace.md).
    public static let reservationStep: UInt64 = 4096
    /// Sessions that may be registered as writers of one inode; beyond it registration answers `noSpace`.
    public static let writersPerInode = 1024
    /// Decoded inodes that are kept between entries: about 1.5 MiB; beyond it all clean ones go.
    public static let heldInodes = 4096
    /// Inodes whose moving times the primary remembers; beyond it the oldest raises the floor for all others.
    public static let answeredInodes = 4096
    /// Inodes that one question for all measurable files looks at.
    public static let measuringPage = 512
    /// Bytes of rows in one piece of an export.
    public static let exportPiece = 256 << 10
    /// Entries after which an export that nobody asks for is forgotten: its learner is gone, and its tombstones are some
    /// hundred MB at most. A learner that is there after all begins anew.
    public static let exportPatience: UInt64 = 1 << 18
    /// Tombstones that a batch drops: so many, and so many for each of its entries. An entry leaves four (a removal: name,
    /// cookie, inode, and what was to be measured), but for the end of a session, which leaves one for each file that it wrote.
    public static let tombstoneStep = 32
    public static let tombstonesPerEntry = 8
    /// atime is brought up to date when it is older than this, or than the last change (Linux's relatime rule).
    public static let accessTimeAge = TimeSpan.seconds(24 * 3600)
}
