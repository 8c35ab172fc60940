import ClusterModel
import DiskIO
import Replication
import Wire

/// Which groups have a replica on which disk of this node: those that a record names there. What lies on a disk that no record
/// names is remains: nobody speaks for it, and it goes when every disk that is to hold the group does.
///
/// Invariants:
/// - a node has at most one replica of a group; a disk that is a member comes before one that only should be;
/// - remains are never made a replica again: if the record names their disk anew, they go first, and the replica begins as one
///   that its disk has no trace of.
extension StorageNode {
    /// Makes replicas of what a disk has, where a record names it there.
    func host(_ disk: DiskHost) {
        for recovered in disk.takeRecovered() {
            guard let record = directory.view.record(recovered.pg) else {
                dropRemains(of: recovered, on: disk)
                continue
            }
            if self.disk(for: record) === disk {
                addReplica(recovered.pg, on: disk, recovered)
            } else {
                for entry in recovered.undecided { if let payload = entry.payload { payloads.drop(payload) } }
                disk.keepRemains(recovered.pg)
            }
        }
        disk.filesetsChanged(directory.view.map)
        // It may be the one that their records name.
        recordsToLookAt.formUnion(orderedReplicas.map(\.pg))
        considerRemains()
    }

    /// The disk of this node that the record names: as a member's, if that is in use, or as one to be.
    private func disk(for record: PGRecord) -> DiskHost? {
        let members = (record.inSync + record.learners).filter { $0.node == localNode }.map(\.disk)
        let targets = record.placement.filter { $0.node == localNode }.map(\.disk)
        for id in members + targets {
            if let disk = disks.first(where: { $0.id == id && $0.failure == nil }) { return disk }
        }
        return nil
    }

    /// Replicas that records place or list here and no disk has a trace of.
    func addNewReplicas() {
        let view = directory.view
        for pg in view.map.placementGroups where replicas[pg] == nil {
            guard let record = view.record(pg), let disk = disk(for: record), !disk.hasRemains(of: pg) else { continue }
            // A group that was never claimed has no content: whoever its record names holds all of it.
            let isFresh = record.primary == nil && record.inSync.contains { $0.disk == disk.id }
            addReplica(pg, on: disk, isFresh ? .fresh(pg) : nil)
        }
    }

    /// Ends replicas that their records do not name any more, and removes remains that nobody can need.
    func considerRemains() {
        if isOpening { return }
        let changed = recordsToLookAt
        recordsToLookAt = []
        for pg in changed {
            guard let replica = replicas[pg], let record = directory.view.record(pg),
                disk(for: record) !== replica.disk
            else { continue }
            note(.group(replica.pg), "has moved away from disk \(replica.disk.id)")
            end(replica, record)
        }
        let policy = directory.view.map.policy
        for disk in disks where disk.failure == nil {
            for pg in disk.remains {
                guard let record = directory.view.record(pg) else { continue }
                if self.disk(for: record) === disk || PlacementGroup.remainsMayGo(record, policy: policy) {
                    disk.leave(pg)
                }
            }
        }
    }

    private func end(_ replica: Replica, _ record: PGRecord) {
        remove(replica)
        for waiting in requests.takeAll(of: replica.pg) {
            waiting.reply(PGResponse(pg: replica.pg, epoch: record.epoch, body: .refused(.notPrimary(record))))
        }
        replica.disk.keepRemains(replica.pg)
    }

    /// Nothing that the disk has of the group counts: it goes, and `left` makes a replica that learns everything.
    func beginAnew(_ replica: Replica, _ state: [UInt8]) {
        guard let record = directory.view.record(replica.pg), replicas[replica.pg] === replica else { return }
        note(.group(replica.pg), "is erased from disk \(replica.disk.id), and learned anew")
        end(replica, record)
        erasing.insert(replica.pg)
        replica.disk.leave(replica.pg, state: state)
    }

    /// Nothing of the group is on the disk any more.
    func left(_ pg: PGID, _ disk: DiskHost) {
        logger.info("\(pg) is off disk \(disk.id)")
        addNewReplicas()
        guard erasing.remove(pg) != nil, let replica = replicas[pg], replica.disk === disk else { return }
        replica.event { $0.contentErased(at: $1) }
    }

    // MARK: - The map

    /// The map has changed: groups hear where they should lie, and disks that are the cluster's no more are closed.
    func placementChanged() {
        let map = directory.view.map
        guard placement.changes(to: map) else { return }
        for replica in orderedReplicas {
            guard let targets = placement.targets(for: replica.pg, map) else { continue }
            replica.event { $0.placementWanted(targets, at: $1) }
        }
        for disk in disks where map.disk(disk.id) == nil { retire(disk) }
        unusableDisks.removeAll { map.disk($0.id) == nil }
        membersChanged?()
    }

    /// A disk that was taken out of the map, or replaced by another one. If it was in use, its replicas end as those of a disk
    /// that fails: who leads a group there lets others claim it at once.
    func retire(_ disk: DiskHost) {
        note(.disk(disk.id), "is not the cluster's any more")
        endReplicas(on: disk)
        disks.removeAll { $0 === disk }
        retiredDisks.append(disk)
        disk.close { [logger] in logger.info("disk \(disk.id) is closed") }
    }

    /// Opens a disk and takes it in; its replicas are not made yet.
    func open(
        _ plan: DiskPlan, _ threads: NodeThreads, done: @escaping (Result<DiskHost, DiskHost.OpeningFailure>) -> Void
    ) {
        var plan = plan
        plan.failed = directory.diskNotes.filter { $0.value.stage == .failed }.mapValues(\.reason)
        DiskHost.open(
            plan, number: disks.count + retiredDisks.count, namespaceThread: threads.namespace, rowCache: rowCache,
            payloads: payloads, loop: loop, watchdog: threads.watchdog, logger: logger
        ) { [self] result in
            if case .success(let disk) = result {
                disk.node = self
                disks.append(disk)
            }
            done(result)
        }
    }

    /// Opens a disk that was added to this node.
    public func openDisk(_ plan: DiskPlan, threads: NodeThreads, done: @escaping (Result<Void, StorageFailure>) -> Void)
    {
        open(plan, threads) { [self] result in
            switch result {
            case .failure(let failure): cannotOpen(plan, failure) { done(.failure(StorageFailure(failure.reason))) }
            case .success(let disk):
                note(.disk(disk.id), "is in use, at \(disk.path)")
                host(disk)
                addNewReplicas()
                needsCycleEnd()
                done(.success(()))
            }
        }
    }

    /// Disks of this node that the map has and that are not open here, but for those that cannot be opened. What failed since
    /// it was opened counts as open.
    public var unopenedDisks: [ClusterDisk] {
        directory.view.map.disks.filter { d in
            d.node == localNode && !disks.contains { $0.id == d.id } && !unusableDisks.contains { $0.id == d.id }
        }
    }
}

/// Where the map wants each group, computed anew only when what it depends on has changed.
struct WantedPlacement {
    private var nodes: [ClusterNode] = []
    private var disks: [ClusterDisk] = []

    /// Whether the map has other nodes or disks than the last one.
    mutating func changes(to map: ClusterMap) -> Bool {
        if map.nodes == nodes, map.disks == disks { return false }
        nodes = map.nodes
        disks = map.disks
        return true
    }

    /// Nil for a map without disks that could hold anything.
    func targets(for pg: PGID, _ map: ClusterMap) -> [PlacementTarget]? {
        let targets = Placement.targets(for: pg, map: map, copies: map.policy.copies)
        return targets.isEmpty ? nil : targets
    }
}
