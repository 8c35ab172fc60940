import ClusterModel
import DiskIO
import Replication

/// Part of what `ReplicaStanding` tells.
public typealias WaitReason = Replication.WaitReason

/// How one replica stands, for status and `stave why`.
public struct ReplicaStanding: Sendable {
    public var pg: PGID
    public var disk: DiskID
    public var record: PGRecord?
    public var role: PlacementGroup.Role
    public var isServing: Bool
    public var isLearning: Bool
    public var decided: EntryName
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
        waiting = replica.group.waiting
        waitingFor = replica.waitsSince.map { BootClock.now() - $0 }
        catchUps = replica.group.catchUpProgress(at: BootClock.now())
    }
}

/// Why the object layer could not start, in one sentence.
public struct StorageFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}
