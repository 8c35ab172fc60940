import ClusterModel
import DiskIO
import Replication

/// Part of what `ReplicaStanding` tells.
public typealias WaitReason = Replication.WaitReason
public typealias ReplicaContent = PlacementGroup.Content
public typealias LossRefusal = Replication.LossRefusal
public typealias LossDemand = Replication.LossDemand
public typealias MemberStanding = Replication.MemberStanding

/// How one replica stands, for status and `stave why`.
public struct ReplicaStanding: Sendable {
    public var pg: PGID
    public var disk: DiskID
    public var record: PGRecord?
    public var role: PlacementGroup.Role
    public var isServing: Bool
    public var isLearning: Bool
    public var decided: EntryName
    public var content: ReplicaContent
    /// What was not flushed may be missing in it.
    public var mayLackUnflushed: Bool
    /// The other members of the record.
    public var members: [(member: Member, standing: MemberStanding)]
    public var waiting: WaitReason?
    /// For how long already, looked at twice a second; nil for nothing, or what has just begun.
    public var waitingFor: TimeSpan?
    /// How far each learner is, at the group's primary.
    public var catchUps: [CatchUpProgress]

    init(_ replica: Replica) {
        pg = replica.pg
        disk = replica.disk.id
        record = replica.group.record
        role = replica.group.role
        isServing = replica.group.isServing
        isLearning = replica.group.isLearning
        decided = replica.group.decided
        content = replica.group.content
        mayLackUnflushed = replica.group.mayLackUnflushed
        members = replica.group.memberStandings(at: replica.node.moment())
        waiting = replica.group.waiting
        waitingFor = replica.waitsSince.map { BootClock.now() - $0 }
        catchUps = replica.group.catchUpProgress(at: BootClock.now())
    }
}

extension StorageNode {
    /// An operator goes on with what this node has of a group. Nil: it is on its way.
    public func acceptLoss(of pg: PGID, _ demand: LossDemand) -> LossRefusal? {
        guard let replica = replicas[pg] else { return .content(.nothing) }
        var refusal: LossRefusal?
        replica.event { refusal = $0.lossAccepted(demand, at: $1) }
        if refusal == nil {
            let named = demand.named.map { "\($0.rawValue)" }.joined(separator: ", ")
            note(
                .group(pg),
                "an operator accepts the loss of the members that are not here"
                    + (named.isEmpty ? "" : ", of node \(named) by name"))
        }
        return refusal
    }
}

/// Why the object layer could not start, in one sentence.
public struct StorageFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}
