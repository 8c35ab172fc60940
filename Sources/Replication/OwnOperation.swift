import ClusterModel
import Wire

extension RecoveredReplica {
    /// A replica of a group whose record was never claimed: it has no content, and whoever the record names holds all of it.
    public static func fresh(boot: BootID) -> RecoveredReplica {
        RecoveredReplica(
            state: ReplicaState(boot: boot).encoded(), tables: nil, entries: [], decided: .zero, stable: .zero,
            voids: [],
            opening: .clean)
    }
}

extension PlacementGroup {
    /// The stamp of a flush that has nothing to do: every decided entry is stable on every member that must have it. Nil
    /// when the flush has to be asked for as a request, whatever the reason. As with any answer, the lease is to be checked
    /// after this.
    public func stampIfStable(_ session: SessionID, epoch: Epoch, mapVersion: MapVersion) -> (LossNumber, LeaseNumber)?
    {
        guard isServing, lease == reign.lease, let record, record.epoch == epoch, let map, map.version >= mapVersion,
            map.isLive(session), agreed.stable >= decided.n
        else { return nil }
        return (presentStamp, reign.lease)
    }

    /// The last cut of each file that this replica knows, as of its decided entries: a learner that begins a new log applies
    /// them, for it gets neither the entries that cut nor, for objects that are gone, anything else that tells.
    var cuts: [ListedCut] {
        marks.list.compactMap { file, mark in
            guard mark.truncation.number > .zero || mark.removed == .removal else { return nil }
            return ListedCut(version: decided, file: file, truncation: mark.truncation, kind: mark.removed)
        }
    }

    /// Whether this group's log, as far as it is named, has the file's truncation `number` or a later one.
    public func knowsTruncation(_ number: TruncationNumber, of file: FileID) -> Bool {
        number == .zero || (marks.newest(file).map { $0.truncation.number >= number } ?? false)
    }

    /// Cuts a file before a change is named that knows of a truncation this group has not heard of: the truncation's own
    /// range deletion comes later and must find it done, or it would cut off what was written after it (traps 34). Nobody
    /// waits for it. Dropped unless this replica reigns.
    public func ownDeletion(_ deletion: RangeDeletion, at now: Moment) {
        self.now = now
        guard isServing, !pg.isMetadata, lease == reign.lease, let record, let map else { return }
        let request = PGRequest(
            pg: pg, session: .none, number: .none, ended: .none, epoch: record.epoch, mapVersion: map.version,
            body: .deleteRange(deletion))
        if let range = blocksTouched(request), mustPark(request, range.file, range.object, range.blocks) {
            park(.none, request, [])
        } else {
            nameRequest(.none, request, nil, [], edge: nil)
        }
    }

    /// Whether the map, as far as this group knows it, does not list the session: nothing of it is executed any more.
    public func hasEnded(_ session: SessionID) -> Bool { map.map { !$0.isLive(session) } ?? false }

    /// The last entry that has a name here.
    public var lastNamed: EntryName { history.end }

    /// Logs a namespace operation of the primary itself (a reservation, the making of a fileset's root). It has no session, so
    /// it is not found by retries: it must be one that may be done twice. Dropped unless this replica serves.
    public func ownOperation(_ payload: PayloadHandle, _ durability: Durability, fixesTimes: Bool, at now: Moment) {
        self.now = now
        guard isServing, pg.isMetadata, lease == reign.lease else {
            drop(payload)
            return
        }
        name(.namespace, payload, durability, fixesTimes: fixesTimes)
        advanceDecided()
    }
}
