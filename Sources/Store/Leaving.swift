import ClusterModel
import Wire

/// Takes a group off the disk for good, for its replicas are on other disks now: its rows, its slots, its place in the log.
///
/// Invariants:
/// - before anything of it is removed, the log says durably that the group has no state here, or the state of one that lacks
///   everything: if the disk is opened again before all has gone, what is left of it counts for nothing;
/// - its rows go the way of rows of deleted filesets (`GoneState`), by whole scans of the index: after the last page, and the
///   checkpoint behind it, neither index nor slots nor memory have anything of it; only then does its row go;
/// - notice `left` comes when that is durable: the group may come to this disk again, as one that it has no trace of.
struct LeavingGroup {
    var group: Group
    var token: StoreToken
    var step: Step

    enum Step {
        /// The mark is on its way to the log.
        case marking
        /// The next scan of the index after this checkpoint takes it along: by then the index knows all its objects.
        case waitingForScan(after: Int)
        case scanning
        /// Its emptied rows leave the index with this checkpoint.
        case settling(target: Int)
        /// Its row leaves the index with this checkpoint.
        case forgetting(target: Int)
    }
}

extension Store {
    /// Removes what the disk has of a group that is not hosted here any more. `token`: it is durable that nothing here counts;
    /// what the caller keeps of the group elsewhere may go. Notice `left` when all has gone. Also of a group that the disk does
    /// not know. `state`: what the caller finds if the disk is opened before that; empty for nothing, else of a replica that takes
    /// nothing here for what it has.
    public func leaveGroup(_ pg: PGID, state: [UInt8] = [], token: StoreToken) {
        guard phase == .running else { return }
        let group = group(pg)
        guard !group.isLeaving else { return }
        group.isLeaving = true
        releaseReads(group)
        // What still waits for rows or slots must not hold the mark back.
        for i in 0..<group.queue.count where group.queue[i].mayBeForgone {
            group.queue[i].isDead = true
            if let token = group.queue[i].token { notify(.durable(token)) }
        }
        leaving.append(LeavingGroup(group: group, token: token, step: .marking))
        restart(pg, after: group.row.applied)
        // A group without a state is one that the disk has no trace of. What recovery once reported is settled by that: a
        // later life of the group must not find it in the log.
        enqueue(LogRecord(group: group, body: .state(state), payload: nil, token: nil))
        enqueue(LogRecord(group: group, body: .settle, payload: nil, token: token))
        pump()
    }

    /// Groups that are on their way out.
    public var leavingGroups: [PGID] { leaving.map(\.group.pg) }

    /// Whether nothing of the object counts any more.
    func isGone(_ object: HotObject) -> Bool { object.file.pg.isErased || isGone(object.id) }

    /// A record of the caller's is durable; it may be the mark.
    func markIsDurable(_ token: StoreToken) {
        guard let i = leaving.firstIndex(where: { $0.token == token }), case .marking = leaving[i].step else { return }
        let group = leaving[i].group
        leaving[i].step = .waitingForScan(after: nextCheckpoint)
        group.isErased = true
        for row in cachedRows where row.object.file.pg === group { freshen(row) }
        for file in dirtyFiles + checkpoint.files.map(\.file) where file.pg === group { forgetIfGone(file) }
        wantScan()
    }

    /// What a scan that begins now takes along.
    func leavingScanBegan() -> Bool {
        var found = false
        for i in leaving.indices {
            guard case .waitingForScan(let target) = leaving[i].step, checkpoint.completed >= target else { continue }
            leaving[i].step = .scanning
            found = true
        }
        return found
    }

    /// The scan has seen the whole index.
    func leavingScanEnded() {
        for i in leaving.indices {
            guard case .scanning = leaving[i].step else { continue }
            leaving[i].step = .settling(target: nextCheckpoint)
            checkpoint.isRequested = true
        }
    }

    func pumpLeaving() {
        guard phase == .running, !leaving.isEmpty else { return }
        var left: [PGID] = []
        for i in leaving.indices {
            switch leaving[i].step {
            case .marking, .waitingForScan, .scanning: break
            case .settling(let target):
                guard checkpoint.completed >= target else {
                    if checkpoint.phase == .idle { requestCheckpoint() }
                    continue
                }
                // A later life of the group must not find rows of this one.
                guard evict(leaving[i].group) else {
                    leaving[i].step = .settling(target: nextCheckpoint)
                    continue
                }
                forgetGroup(leaving[i].group.pg)
                leaving[i].step = .forgetting(target: nextCheckpoint)
                checkpoint.isRequested = true
            case .forgetting(let target):
                guard checkpoint.completed >= target else {
                    if checkpoint.phase == .idle { requestCheckpoint() }
                    continue
                }
                left.append(leaving[i].group.pg)
            }
        }
        guard !left.isEmpty else { return }
        leaving.removeAll { left.contains($0.group.pg) }
        for pg in left { notify(.left(pg)) }
    }
}
