import ClusterModel

/// The bounds of this target. Each names what happens when it is reached.
public enum GatewayLimits {
    /// Unfinished numbered requests of one (session, group); the next waits in the gateway (replication.md, 18).
    public static let window: UInt64 = 256
    /// How long a request waits for a session; then it is answered `.unavailable`.
    public static let sessionPatience = TimeSpan.seconds(10)
    /// How long an operation waits for its client's return: a second longer than Linux's NFS client waits after JUKEBOX.
    public static let returnPatience = TimeSpan.seconds(6)
    /// Requests that wait for a group; beyond it `isPressed` asks the doors to stop reading (namespace.md, The NFS door).
    public static let heldRequests = 1024
    /// Bytes of payload that wait with them; beyond it likewise.
    public static let heldBytes = 64 << 20
    /// Operations in progress; one more is answered `.unavailable`, which a door that heeds `isPressed` never sees.
    public static let operations = 16384
    /// Inodes that something is remembered of; beyond it those without registration and work are forgotten.
    public static let files = 16384
    /// How many inodes one new inode looks at to find some to forget.
    public static let evictionSteps = 64
    /// Without a write for this long, a registration is settled.
    public static let settleAfter = TimeSpan.seconds(1)
    /// The limit is raised ahead of a write by at most this many bytes.
    public static let limitAhead: UInt64 = 1 << 30
    /// Reads of at least this many bytes of one object are served by the own replica where it may.
    public static let localRead = 64 << 10
    /// Runs of zeros at least this long, and aligned to it, become requests without payload.
    public static let zeroRun = 64 << 10
    /// First and last pause before a request is sent again.
    public static let firstPause = TimeSpan.milliseconds(4)
    public static let lastPause = TimeSpan.milliseconds(640)
    /// How often an operation meets a newer truncation, or a hint that ran out, before it is given up as an I/O error.
    public static let redoings = 64
    /// Removals that run behind their answers at once; others wait.
    public static let backgroundDeletions = 16
    /// Removals that wait; beyond it a removal is left to the metadata primary's poll.
    public static let waitingDeletions = 4096
    /// Requests of one deletion under way at once.
    public static let deletionRequests = 16
    /// How often the range deletions of filesets whose metadata primary is this node are looked at.
    public static let deletionPoll = TimeSpan.seconds(5)
    /// Rows of one such look.
    public static let deletionRows = 64
    /// How often files of filesets whose metadata primary is this node are measured.
    public static let measuringPoll = TimeSpan.seconds(1)
    /// Filesets that have their turn in one such look.
    public static let measuredFilesets = 64
    /// Rows of pending files in one such look.
    public static let measuringRows = 64
    /// Files of the look at all files in one poll.
    public static let walkedFiles = 8
    /// How long after its end the look at all files is made again.
    public static let measuringWalk = TimeSpan.seconds(24 * 3600)
    /// Requests to data groups for one page of files, beyond the first file; the other files wait for the next poll.
    public static let measuringRequests = 512
    /// Measurements under way at once for the metadata primary; others wait for the next poll.
    public static let measurements = 128
    /// Files that are being written are measured in one of so many polls.
    public static let writtenRounds: UInt64 = 4
    /// A settlement waits so long for its measurement; then the metadata primary measures.
    public static let measuringPatience = TimeSpan.milliseconds(500)
    /// A settlement that nobody waits for measures files in at most this many groups.
    public static let quietMeasuring = 8
    /// An access time older than this is renewed by a READ (the relatime rule of Linux), in nanoseconds.
    public static let accessTimeAge: Int64 = 24 * 3600 * 1_000_000_000
    /// Lines of one answer to "what waits".
    public static let waitLines = 1024
}
