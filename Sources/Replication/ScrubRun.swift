import ClusterModel
import Wire

/// What of a group a scrub looks at.
public enum ScrubScope: Hashable, Sendable {
    case whole
    /// Of a data group: the objects of one fileset; of a metadata group, which has one only: its rows. What is remembered of
    /// requests is of more than one fileset.
    case fileset(FilesetID)

    func holds(_ object: ObjectID) -> Bool {
        switch self {
        case .whole: true
        case .fileset(let fileset): object.file.fileset == fileset
        }
    }
}

/// How a scrub of a group ended.
public enum ScrubOutcome: Hashable, Sendable {
    case finished(ScrubResult)
    /// The primary serves no more, or somebody has asked for it. The position is where another can go on; nil if it had not
    /// begun.
    case interrupted(String, ScrubPosition?)
}

/// Where a scrub of a whole group stands: another one, under this primary or the next, can go on there.
///
/// Invariant: all that lies before it was compared, or is named in `again`. What changes after it was looked at is named anew
/// behind it, for objects are looked at in the order of their versions.
public struct ScrubPosition: Hashable, Sendable {
    public var place: Place
    /// Objects before the place that are to be looked at once more.
    public var again: [ObjectID]
    /// Who took part so far: only their copies were compared.
    public var members: [PlacementTarget]
    public var progress: ScrubProgress
    /// What was found so far.
    public var result: ScrubResult

    public enum Place: Hashable, Sendable {
        /// The primary's objects behind this one; nil: all of them.
        case objects(after: ScrubName?)
        /// All of the primary's objects were looked at; those that only others have were not.
        case others
        /// Rows from this key on.
        case rows(from: [UInt8])
    }

    public init(
        place: Place, again: [ObjectID], members: [PlacementTarget], progress: ScrubProgress, result: ScrubResult
    ) {
        self.place = place
        self.again = again
        self.members = members
        self.progress = progress
        self.result = result
    }
}

/// What a scrub found.
public struct ScrubResult: Hashable, Sendable {
    /// Members that took part from the beginning to the end, the primary among them.
    public var members: [NodeID]
    /// Objects that all members hold alike, blocks with content of one copy, rows of a metadata group.
    public var objects: UInt64 = 0
    public var blocks: UInt64 = 0
    public var rows: UInt64 = 0
    /// Kept replies of a metadata group, and sessions of whose requests all members remember the same.
    public var replies: UInt64 = 0
    public var sessions: UInt64 = 0
    /// Bad blocks that were written anew, by the members that had them.
    public var mended: [Mended] = []
    /// Objects with blocks that no replica holds; the first of them, with the first of their blocks.
    public var lost: [Lost] = []
    public var lostCount: UInt64 = 0
    /// What copies differ in that all hold: nothing was changed. The first of them.
    public var differing: [Difference] = []
    public var differingCount: UInt64 = 0
    /// Objects and ranges of rows that changed too often to be compared.
    public var unsettled: UInt64 = 0
    /// Members whose copy was proven bad, and that learn everything anew.
    public var relearning: [NodeID] = []

    public struct Mended: Hashable, Sendable {
        public var node: NodeID
        public var blocks: UInt64
        public init(node: NodeID, blocks: UInt64) {
            self.node = node
            self.blocks = blocks
        }
    }

    public struct Lost: Hashable, Sendable {
        public var object: ObjectID
        public var blocks: [UInt16]
        public init(object: ObjectID, blocks: [UInt16]) {
            self.object = object
            self.blocks = blocks
        }
    }

    /// One object or row, and the members whose copy is not the primary's.
    public struct Difference: Hashable, Sendable {
        public var place: Place
        public var members: [NodeID]
        public init(place: Place, members: [NodeID]) {
            self.place = place
            self.members = members
        }
    }

    public enum Place: Hashable, Sendable {
        case object(ObjectID)
        /// The key of a row.
        case row([UInt8])
        /// The reply that is kept of this entry.
        case reply(n: UInt64)
        /// What is remembered of the requests of a session.
        case window(SessionID)
    }

    public init(members: [NodeID]) { self.members = members }

    /// All copies hold and agree.
    public var isClean: Bool { lostCount == 0 && differingCount == 0 && relearning.isEmpty }
}

/// How far a scrub under way has come.
public struct ScrubProgress: Hashable, Sendable {
    /// Objects or rows that were looked at.
    public var done: UInt64
    /// Bytes of blocks that each member has read.
    public var bytes: UInt64
    public init(done: UInt64 = 0, bytes: UInt64 = 0) {
        self.done = done
        self.bytes = bytes
    }
}

/// A scrub under way, at the primary.
struct ScrubRun {
    let scope: ScrubScope
    var stage: Stage
    /// The members that it began with, and their disks.
    var began: [PlacementTarget]
    var result: ScrubResult
    var progress = ScrubProgress()
    /// What was decided when it began: objects that changed later are looked at once more, and no more than once.
    var decided: EntryName
    var late: Set<ObjectID> = []

    // The question that is out
    var request: UInt64 = 0
    var part: ScrubAsk.Part = .names(after: nil)
    var mark: EntryName = .zero
    /// Who was asked, in order of nodes, with the attempt of its stream: an answer that was lost with a stream never comes.
    var asked: [(node: NodeID, attempt: UInt32)] = []
    var answers: [(node: NodeID, content: ScrubAnswer.Content)] = []
    var askedAt: Instant
    /// What of the question was touched by an entry behind the mark, with the first such n; 0: nothing.
    var touched: [UInt64] = []
    /// Questions in a row that had no full answer.
    var failures = 0

    // Where it is
    /// Who names its objects now: the primary, then each other member, for what the primary does not know.
    var listers: [NodeID] = []
    var cursor: ScrubName?
    /// Behind which the page under way begins.
    var pageAfter: ScrubName?
    var isLastPage = false
    var names: [ScrubName] = []
    var next = 0
    /// Objects to be looked at again, at a later mark.
    var again: [Again] = []
    /// Those that the question that is out names.
    var window: [Again] = []
    /// No question goes out before this, for the sake of the pace.
    var due: Instant
    /// Rows, and then kept replies, from this key on are next; compared finer up to `fineUntil` (nil: to the end), after they differed.
    var from: [UInt8] = []
    var level = 0
    var fineUntil: [[UInt8]?] = []
    var rowAttempts = 0
    /// How often windows were looked at that differed.
    var windowLooks = 0

    struct Again {
        var object: ObjectID
        /// How often it was touched while it was looked at, and how often copies differed that were not.
        var moved = 0
        var differed = 0
    }

    /// Whether rows were all compared, and kept replies are.
    var isAtReplies: Bool { from.first == ScrubAsk.replies }

    enum Stage {
        /// A member names its objects. → `comparing`.
        case naming
        /// → `naming` (the next page or member), or `windows`.
        case comparing
        /// Of a metadata group, and then its kept replies. → `windows`.
        case rows
        /// → the end.
        case windows
    }

    /// The objects of the question that had no full answer are looked at again.
    mutating func windowAgain() {
        again.insert(contentsOf: window, at: 0)
        window = []
        touched = []
    }

    /// Where another scrub could go on.
    func position(of pg: PGID, at primary: NodeID) -> ScrubPosition {
        var place = ScrubPosition.Place.rows(from: from)
        var left: [ObjectID] = []
        if !pg.isMetadata {
            if listers.first == primary {
                left = again.map(\.object)
                if !asked.isEmpty, case .objects = part { left += window.map(\.object) }
                place = .objects(after: stage == .naming ? cursor : next > 0 ? names[next - 1] : pageAfter)
            } else {
                place = .others
            }
        }
        let members = began.filter { result.members.contains($0.node) }
        return ScrubPosition(place: place, again: left, members: members, progress: progress, result: result)
    }

    /// Behind the last row.
    static let replies = [ScrubAsk.replies]
    /// Rows of one digest: first many; where they differ, fewer, and then one by one.
    static let rowLevels: [UInt16] = [UInt16(ReplicaMessageLimits.scrubRows), 32, 1]
}
