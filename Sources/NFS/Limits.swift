/// Every bound of the NFS door, and what happens at it.
public enum NFSLimits {
    /// Connections of one gateway. One more takes the place of the one that has been idle longest, or is closed itself
    /// when all have calls under way.
    public static let connections = 1024
    /// Calls of one gateway that are not answered yet. At the bound no further record is read from any connection.
    public static let heldCalls = 1024
    /// Bytes of such calls and their answers. At the bound no further record is read from any connection.
    public static let heldBytes = 64 << 20
    /// Of these, what one connection may have. At the bound no further record is read from it.
    public static let heldCallsPerConnection = 512
    /// As above, in bytes.
    public static let heldBytesPerConnection = 16 << 20
    /// Unsent answers of one connection in bytes from which on nothing is read from it, until half of it is sent.
    public static let unsentBytes = 4 << 20
    /// A record greater than this reserves its size among the held bytes before its rest is read.
    public static let unreservedRecordBytes = 64 << 10
    /// The greatest WRITE that is joined to its neighbours of the same read cycle; a greater one is worth its own entry.
    public static let mergedPartBytes = 64 << 10
    /// Bytes read from a socket at once.
    public static let receiveBytes = 256 << 10
    /// A connection on which no whole call arrived in its first minute, that stops within a record for a minute, or that
    /// takes no answers for a minute, is closed.
    public static let stalledSeconds: Int64 = 60
    /// While no record is taken in because of what calls hold, a connection is closed already when it stops for this long
    /// within a record that has room reserved: else a few dozen of them would silence the gateway for a minute.
    public static let hoardSeconds: Int64 = 5
    /// After this long a client that understands JUKEBOX is told to come again.
    public static let jukeboxSeconds: Int64 = 30
    /// Who was told so and has not come again after this long does not wait any more. Linux's client comes after five seconds.
    public static let returnSeconds: Int64 = 6
    /// Answers of calls that a client was sent away from, kept for its return: their number and their age.
    public static let keptAnswers = 1024
    /// As above, in seconds.
    public static let keptAnswerSeconds: Int64 = 20
    /// Repetitions that wait for one call; the first gives way.
    public static let waitersPerCall = 64
    /// Entries in one answer of READDIR or READDIRPLUS.
    public static let directoryEntries = 512
    /// Bytes in one answer of READDIR or READDIRPLUS, whatever the client allows.
    public static let directoryBytes = 256 << 10
    /// Levels from a directory up to its export's root.
    public static let treeDepth = 1024
    /// Files with unflushed writes of clients that compare no verifiers. At the bound their writes are made stable.
    public static let verifierHistories = 65_536
    /// Files whose handles a connection got, for the history of its writes. Beyond them a history is unknown.
    public static let knownFilesPerConnection = 4096
    /// Time after a rise of the loss number in which unknown history counts as preceding it.
    public static let unknownHistorySeconds: Int64 = 600
    /// Entries of the list of mounts; the oldest gives way.
    public static let mounts = 4096
    /// A symbolic link's target.
    public static let symlinkBytes = 4096
    /// Log lines about bad input within 10 seconds; more are counted only.
    public static let complaintsPerPeriod = 20
}
