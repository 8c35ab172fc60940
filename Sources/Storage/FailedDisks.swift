import ClusterModel
import DiskIO
import Wire

/// Disks whose use a failed write or sync ended: noted durably, begun as ones that must learn all, and forgotten when all was
/// learned (store.md, rule 4; traps.md, 26).
extension StorageNode {
    /// The disk that a plan names, as far as the map tells: its own superblock may not be readable any more.
    func failed(_ plan: DiskPlan) -> DiskID? {
        directory.view.map.disks.first { $0.node == localNode && $0.path == plan.path }?.id
    }

    /// `done` comes when the failure is durable, or cannot be made so any more.
    func noteFailure(of disk: DiskID, _ failure: DiskError, done: @escaping () -> Void) {
        let note = DiskNote(stage: .failed, time: moment().time, reason: "\(failure)")
        directory.noteFailure(of: disk, note) { [logger] isNoted in
            if !isNoted { logger.critical("the failure of disk \(disk) could not be noted in the coordination store") }
            done()
        }
    }

    /// Hands over from the note to the disk's own log, which says of every group that it must learn, and drops the note when
    /// all has been learned.
    func settleNotes() {
        if isOpening { return }
        for disk in disks where disk.failure == nil && !notesChanging.contains(disk.id) {
            let noted = directory.diskNotes[disk.id]
            if let reason = disk.doubt {
                let note = DiskNote(
                    stage: .learning, time: noted?.time ?? moment().time, reason: noted?.reason ?? reason)
                change(disk, to: note, isNoted: noted != nil) { [unowned self] in
                    disk.forgetDoubt()
                    self.note(.disk(disk.id), "learns its content anew, for it failed earlier: \(reason)")
                }
            } else if noted?.stage == .learning, lacksNothing(disk) {
                change(disk, to: nil, isNoted: true) { [unowned self] in
                    self.note(.disk(disk.id), "has learned its content anew")
                }
            }
        }
    }

    /// Tells every node that the replicas on a disk are out of use: theirs would wait for them, for the node lives.
    func tellGone(_ groups: [PGID]) {
        for peer in peers.connected {
            for pg in groups {
                transport.send(.replica(ReplicaMessage(pg: pg, epoch: .zero, body: .gone)), to: peer.node)
            }
        }
        transport.flush()
    }

    /// Whoever asks for a replica that was on a disk which is out of use now, or is none of this node's any more, or that is being
    /// erased. What has not been opened yet, or is not known to be placed here, is not answered for.
    func answerForFailedDisk(_ message: ReplicaMessage, to node: NodeID) {
        switch message.body {
        case .attach, .askStatus: break
        case .attached, .append, .acknowledge, .decided, .sync, .refused, .learn, .learning, .tables, .start,
            .changedKeys,
            .piece, .removeObject, .installed, .snapshot, .finish, .finished, .status, .gone, .takeOver, .willing,
            .handedOver, .askBlocks, .blocks, .askScrub, .scrubbed, .mustLearn:
            return
        }
        guard
            erasing.contains(message.pg) || disks.contains(where: { $0.failure != nil && $0.holds(message.pg) })
                || isOnMissingDisk(message.pg)
        else { return }
        transport.send(.replica(ReplicaMessage(pg: message.pg, epoch: .zero, body: .gone)), to: node)
    }

    private func change(_ disk: DiskHost, to note: DiskNote?, isNoted: Bool, done: @escaping () -> Void) {
        notesChanging.insert(disk.id)
        let ended = { [unowned self] (isChanged: Bool) in
            notesChanging.remove(disk.id)
            if isChanged { done() }
        }
        if !isNoted, let note {
            directory.noteFailure(of: disk.id, note, done: ended)
        } else {
            directory.changeNote(of: disk.id, to: note, done: ended)
        }
    }

    /// Whether every replica that a record names on the disk is in-sync and has all of its group's content.
    private func lacksNothing(_ disk: DiskHost) -> Bool {
        for replica in disk.ownReplicas {
            guard let record = directory.view.record(replica.pg) else { continue }
            let isNamed =
                record.placement.contains { $0.disk == disk.id }
                || (record.inSync + record.learners).contains { $0.disk == disk.id }
            if isNamed, !replica.group.canReadLocally { return false }
        }
        return true
    }
}
