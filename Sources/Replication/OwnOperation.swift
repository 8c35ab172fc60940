import ClusterModel
import Wire

extension RecoveredReplica {
    /// A replica of a group whose record was never claimed: it has no content, and whoever the record names holds all of it.
    public static func fresh(boot: BootID) -> RecoveredReplica {
        RecoveredReplica(
            state: ReplicaState(boot: boot).encoded(), tables: nil, entries: [], decided: .zero, stable: .zero, voids: [],
            opening: .clean)
    }
}

extension PlacementGroup {
    /// Logs a namespace operation of the primary itself (a reservation, the making of a fileset's root). It has no session, so
    /// it is not found by retries: it must be one that may be done twice. Dropped unless this replica serves.
    public func ownOperation(_ payload: PayloadHandle, _ durability: Durability, at now: Moment) {
        self.now = now
        guard isServing, pg.isMetadata, lease == reign.lease else {
            drop(payload)
            return
        }
        name(.namespace, payload, durability)
        advanceDecided()
    }
}
