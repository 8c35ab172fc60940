import ClusterModel

/// One sync of the log at a time; who asks while one is under way waits for the next. A sync that large records need
/// syncs the data file first, then writes "slots synced through" in a batch, then syncs the log with it (rule 2).
struct SyncState {
    enum Phase {
        case idle
        case data
        case log
    }
    var phase = Phase.idle
    /// The log is to be stable through here.
    var wanted = LogPosition.zero
    /// Slots of large records before here are to be synced.
    var dataWanted = LogPosition.zero
    /// The data file is to be synced whatever its large records say: the checkpoint has written in place.
    var dataForced = false
    /// Syncs of the data file begun and ended.
    var dataBegun = 0
    var dataEnded = 0
}

extension Store {
    /// Everything of the group through `name` becomes stable as soon as it can: notices `stable` tell. Also before it is
    /// in the log.
    public func requestStable(_ pg: PGID, through name: EntryName) {
        guard phase == .running, let group = groups[pg] else { return }
        group.stableWanted = max(group.stableWanted, name)
        if group.stableThrough >= min(name, group.lastName) { notify(.stable(pg, through: group.stableThrough)) }
        var end = LogPosition.zero
        var i = 0
        while i < group.unstable.count {
            let item = group.unstable[i]
            if let n = item.name, name < n { break }
            end = item.end
            i += 1
        }
        if end > .zero { wantStable(group, through: end) }
        pumpSync()
    }

    func wantStable(_ group: Group, through end: LogPosition) {
        sync.wanted = max(sync.wanted, end)
        if group.lastLarge > log.slotsSynced { sync.dataWanted = max(sync.dataWanted, group.lastLarge) }
    }

    func pumpSync() {
        guard sync.phase == .idle, phase != .failed else { return }
        if sync.dataWanted > log.slotsSynced, mutated(.marksSlotsUnsynced) { log.slotsSynced = log.written }
        if sync.dataWanted > log.slotsSynced || sync.dataForced {
            sync.phase = .data
            sync.dataForced = false
            sync.dataBegun += 1
            let upTo = log.written
            emit(.dataSync(upTo: upTo)) { .syncData($0) }
            return
        }
        // The mark goes with the sync: what waits for both is told once.
        if log.slotsSynced > log.markMade, !log.needsSegment { return }
        guard sync.wanted > log.stable, log.written > log.stable else { return }
        let mark = log.markWritten
        sync.phase = .log
        let through = log.written
        let segments = log.unsynced
        log.unsyncedBytes = 0
        firstUnsynced = inFlight.isEmpty ? nil : now
        // What is written from now on needs another sync; the last segment may get more.
        log.unsynced = inFlight.isEmpty ? [] : segments
        emit(.logSync(through: through, mark: mark)) { .syncLog($0, segments) }
    }

    public func dataSynced(_ id: EffectID) {
        guard case .dataSync(let upTo)? = take(id) else { return }
        sync.phase = .idle
        sync.dataEnded += 1
        log.slotsSynced = max(log.slotsSynced, upTo)
        pump()
    }

    public func logSynced(_ id: EffectID) {
        guard case .logSync(let through, let mark)? = take(id) else { return }
        sync.phase = .idle
        log.stable = max(log.stable, through)
        log.markStable = max(log.markStable, mark)
        for group in orderedGroups { advanceStable(group) }
        becameStable()
        pump()
    }

    private func advanceStable(_ group: Group) {
        var through = group.stableThrough
        while let item = group.unstable.first, item.end <= log.stable, !item.isLarge || item.end <= log.markStable {
            _ = group.unstable.removeFirst()
            if let name = item.name { through = max(through, name) }
            if let token = item.token {
                markIsDurable(token)
                notify(.durable(token))
            }
        }
        if through > group.stableThrough {
            group.stableThrough = through
            notify(.stable(group.pg, through: through))
        }
    }
}
