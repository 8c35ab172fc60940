import ClusterModel
import Wire

/// What the primary remembers of the moving times that queries were answered with, so that settled times are never earlier
/// (namespace.md, Attributes before tokens). Not replicated: a new primary starts from the time of its activation.
public struct AnsweredTimes: Sendable {
    /// At least every time answered for an inode that is not in `latest`.
    private var floor: Timestamp
    private var latest: [InodeNumber: Timestamp] = [:]
    private var order = Queue<InodeNumber>()

    public init(activation: Timestamp) { floor = activation }

    /// `time` was shown as the moving time of these inodes.
    public mutating func answered(_ inodes: [InodeNumber], at time: Timestamp) {
        for inode in inodes {
            // Answers come from several places, and not in the order of their times.
            let known = latest[inode]
            latest[inode] = max(known ?? floor, time)
            if known == nil { order.append(inode) }
            if latest.count > NamespaceLimits.answeredInodes, let oldest = order.popFirst(),
                let its = latest.removeValue(forKey: oldest)
            {
                floor = max(floor, its)
            }
        }
    }

    /// Whether a settlement is of writes from before this primary's activation, whose inode it knows nothing of: it is raised to
    /// that time, unless a SETATTR has overruled its session before.
    public func reachesBack(_ inode: InodeNumber, _ modified: Timestamp) -> Bool {
        latest[inode] == nil && modified < floor
    }

    /// The operation as it is to be named: a settlement gets a time that is later than what was answered, for what was written
    /// may not have been in that answer.
    public func fixed(_ operation: NamespaceOperation) -> NamespaceOperation {
        guard case .settle(let inode, let session, let modified, let usage) = operation else { return operation }
        let answered = Timestamp(nanoseconds: (latest[inode] ?? floor).nanoseconds + 1)
        return .settle(inode: inode, session: session, modified: max(modified, answered), usage: usage)
    }
}
