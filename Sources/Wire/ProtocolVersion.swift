/// Versions of the protocol between nodes that this program speaks. Two nodes speak the lower of their newest.
///
/// Invariants:
/// - a message, or a part of one, that a version does not have is not sent where that version is spoken: who wants to send it
///   asks the peer's version first, and has another way, or goes without;
/// - what the oldest version has is encoded the same in all of them.
///
/// Before 8 no two versions ever stood beside each other. 2: usage of files and filesets. 3: payloads that are not sent back to
/// where they came from. 4: replicas that are out of use at a node that lives. 5: a cut that waits for the one before it. 6:
/// handover. 7: blocks that a disk has lost.
public enum ProtocolVersion: UInt16, CaseIterable, Comparable, Sendable {
    /// One stamp for a flush of many groups, nodes that are about to stop.
    case v8 = 8
    /// Comparing replicas as of one entry, copies that are proven bad. Without it a member is not compared, and the scrub says
    /// so.
    case v9 = 9
    /// Kept replies and windows of requests in what a scrub compares. Without it a member's are not compared.
    case v10 = 10
    /// Nothing that is sent: it told a node that its disk is slow under a number that frames about shared memory have, and
    /// whoever got that closed the connection.
    case v11 = 11
    /// A node is told that its disk is slow. Without it, it finds that out by itself, if its groups have work.
    case v12 = 12

    /// A program that speaks it knows `ClusterMap.newestSemantics`. New semantics are a new version of the protocol, too.
    public static let ofNewestSemantics = ProtocolVersion.v12

    public static let oldest = ProtocolVersion.v8
    public static let newest = ProtocolVersion.v12

    public static func < (a: ProtocolVersion, b: ProtocolVersion) -> Bool { a.rawValue < b.rawValue }
}

extension Hello {
    /// What is spoken between who sent this hello and who sent the other: nil if there is none that both know.
    public func spoken(with other: Hello) -> ProtocolVersion? {
        let version = min(newestProtocol, other.newestProtocol)
        guard version >= max(oldestProtocol, other.oldestProtocol) else { return nil }
        return ProtocolVersion(rawValue: version)
    }
}

extension NodeMessage {
    /// The first version that has it.
    public var since: ProtocolVersion {
        switch self {
        case .replica(let message): message.body.since
        case .slow: .v12
        case .hello, .request, .response, .flush, .flushed, .alive, .ask, .tell: .v8
        }
    }
}

extension ReplicaMessageBody {
    /// The first version that has it.
    public var since: ProtocolVersion {
        switch self {
        case .askScrub(let ask): ask.part == .windows ? .v10 : .v9
        case .scrubbed(let answer): if case .windows = answer.content { .v10 } else { .v9 }
        case .mustLearn: .v9
        case .attach, .attached, .append, .acknowledge, .decided, .sync, .refused, .learn, .learning, .tables, .start,
            .changedKeys, .piece, .removeObject, .installed, .snapshot, .finish, .finished, .askStatus, .status, .gone,
            .takeOver, .willing, .handedOver, .askBlocks, .blocks:
            .v8
        }
    }
}
