import ClusterModel
import Replication
import Wire

/// Groups that move to other disks, as `StorageNode` hosts them: which replicas a process has follows from the records that
/// it has heard of.
extension Simulator {
    /// The groups are to lie elsewhere, or in another order.
    func relocate() {
        for g in groups.indices where g == 0 || chance(60) {
            var order = nodes.indices.map { $0 }
            for i in order.indices.dropLast() { order.swapAt(i, i + random.below(order.count - i)) }
            wanted[g] = order.prefix(scenario.copies).map {
                PlacementTarget(node: nodes[$0].id, disk: nodes[$0].disk.id)
            }
            tell("\(groups[g]) is to lie on \(wanted[g].map(\.node))")
        }
        placementChanged()
    }

    /// The process is killed, and comes back with an empty disk. Only where every group has other whole replicas.
    func replaceDisk(_ n: Int, restartAfter delay: UInt64) {
        let node = nodes[n]
        guard node.alive, node.pausedUntil == nil, !node.lostItsDisk, node.host?.isClosing != true else { return }
        for g in groups.indices {
            let whole = records[g].inSync.filter { $0.node != node.id && isWhole($0, groups[g]) }
            if whole.isEmpty || whole.count < 2 && map.policy.minInSync < 2 { return }
        }
        kill(n, restartAfter: delay)
        putEmptyDisk(n)
    }

    /// Into a node that does not run.
    func putEmptyDisk(_ n: Int) {
        let node = nodes[n]
        let old = node.disk.id
        node.replaceDisk()
        for g in groups.indices {
            if records[g].inSync.contains(where: { $0.disk == old }) { situations.insert(.emptyDiskInAMembersPlace) }
            for t in wanted[g].indices where wanted[g][t].disk == old { wanted[g][t].disk = node.disk.id }
        }
        tell("\(node.id) has an empty disk \(node.disk.id)")
        placementChanged()
    }

    private func placementChanged() {
        wantedVersion += 1
        for n in nodes.indices where hears(n) { placementChanged(for: n) }
    }

    func placementChanged(for n: Int) {
        answerNode(
            n, nodes[n].life, .placement(wanted, version: wantedVersion),
            after: below(chance(10) ? 3 * second : 50 * millisecond) + watchDelay)
    }

    func placementHeard(_ n: Int, _ targets: [[PlacementTarget]], _ version: Int) {
        let node = nodes[n]
        guard node.isOpen, version > node.placementVersion else { return }
        node.placementVersion = version
        for g in groups.indices { replica(n, groups[g])?.event { $0.placementWanted(targets[g], at: $1) } }
    }

    // MARK: Hosting

    /// Makes a replica where the record names the disk; else what is found there is remains.
    func host(_ n: Int, _ g: Int, _ found: HostedDisk.Recovered?) {
        let node = nodes[n]
        let pg = groups[g]
        guard let host = node.host, let record = node.view[g] else { return }
        guard record.names(node.id, node.disk.id) else {
            guard let found else { return }
            for entry in found.undecided { if let payload = entry.payload { node.drop(payload) } }
            host.keepRemains(pg)
            return
        }
        let local = Member(node: node.id, disk: node.disk.id, boot: node.bootID)
        let listed = record.inSync.contains { $0.node == node.id && $0.disk == node.disk.id }
        var recovered = found?.replica
        if found == nil, record.primary == nil, listed { recovered = .fresh(boot: node.bootID) }
        do {
            let group = try PlacementGroup(
                pg: pg, local: local, recovered: recovered, found: found?.end ?? .zero, limits: .simulated(scenario),
                at: moment(n))
            #if DEBUG || STAVE_MUTANTS
                group.mutation = scenario.mutation
            #endif
            let replica = HostedReplica(self, n, pg, group, host)
            if let found {
                if recovered != nil {
                    if !group.isLearning { replica.reapply(found.reapply) }
                    replica.resume(found.undecided)
                } else {
                    for entry in found.undecided { if let payload = entry.payload { node.drop(payload) } }
                }
            }
            let at = node.replicas.firstIndex { pg < $0.pg } ?? node.replicas.count
            node.replicas.insert(replica, at: at)
            replica.event { group, _ in group.roomChanged(host.store.space.admissible) }
        } catch {
            fail("\(node.id) cannot open its replica of \(pg): \(error)")
        }
    }

    /// The process has heard of a record.
    func viewed(_ n: Int, _ record: PGRecord) {
        let node = nodes[n]
        guard node.isOpen, !node.lostItsDisk, let g = groups.firstIndex(of: record.pg), g < node.view.count else {
            return
        }
        if let known = node.view[g], known.epoch >= record.epoch { return }
        node.view[g] = record
        if let replica = replica(n, record.pg), !record.names(node.id, node.disk.id) { unhost(n, replica) }
        considerRemains(n)
        hostNamed(n)
    }

    private func unhost(_ n: Int, _ replica: HostedReplica) {
        tell("\(replica.pg) has moved away from \(nodes[n].id)")
        end(replica, n)
    }

    /// Nothing that the disk has of the group counts.
    func beginAnew(_ n: Int, _ replica: HostedReplica, _ state: [UInt8]) {
        tell("\(nodes[n].id) begins anew with \(replica.pg)")
        end(replica, n)
        nodes[n].host?.erasing.insert(replica.pg)
        nodes[n].host?.leave(replica.pg, state: state)
    }

    private func end(_ replica: HostedReplica, _ n: Int) {
        let node = nodes[n]
        node.replicas.removeAll { $0 === replica }
        node.retired.append(replica)
        replica.retire()
        node.host?.keepRemains(replica.pg)
    }

    func considerRemains(_ n: Int) {
        guard let host = nodes[n].host, !host.remains.isEmpty else { return }
        for g in groups.indices where host.remains.contains(groups[g]) {
            guard let record = nodes[n].view[g], !host.store.leavingGroups.contains(groups[g]) else { continue }
            let isNamed = record.names(nodes[n].id, nodes[n].disk.id)
            if isNamed { situations.insert(.remainsNamedAgain) }
            guard isNamed || PlacementGroup.remainsMayGo(record, policy: map.policy) else { continue }
            host.leave(groups[g])
        }
    }

    /// Replicas that records name here and the process has not.
    func hostNamed(_ n: Int) {
        let node = nodes[n]
        guard node.isOpen, !node.lostItsDisk, let host = node.host, !host.isClosing else { return }
        for g in groups.indices where replica(n, groups[g]) == nil && !host.remains.contains(groups[g]) {
            guard let record = node.view[g], record.names(node.id, node.disk.id) else { continue }
            self.host(n, g, nil)
            guard let replica = replica(n, groups[g]) else { return }
            replica.event { [self] group, now in
                group.mapChanged(MapFacts(map), at: now)
                for other in nodes.indices where other != n && nodes[other].isOpen && links[other][n].isUp {
                    group.peerConnected(
                        PeerFacts(
                            node: nodes[other].id, boot: nodes[other].bootID, spoken: links[other][n].spoken), at: now)
                }
                if node.lease != .none { group.leaseTaken(node.lease, at: now) }
                group.pacesJudged(slow: node.paces.slow, out: node.paces.out, at: now)
                if node.placementVersion == wantedVersion { group.placementWanted(wanted[g], at: now) }
                group.recordRead(record, version(of: record, g), at: now)
            }
            replica.lookAtRows()
        }
    }

    /// What a process has heard of may be older than the store's.
    private func version(of record: PGRecord, _ g: Int) -> RecordVersion {
        records[g] == record ? version(g) : RecordVersion(0)
    }

    /// As `StorageNode` tells it: the record names a disk that the node does not have any more.
    func isOnForeignDisk(_ n: Int, _ pg: PGID) -> Bool {
        let node = nodes[n]
        guard node.isOpen, let g = groups.firstIndex(of: pg), let record = node.view[g] else { return false }
        return record.inSync.contains { $0.node == node.id && $0.disk != node.disk.id }
    }

    // MARK: Checks

    /// Whether only those hold the group, or anything of it, that are placed.
    func isOnlyPlaced(_ g: Int) -> Bool {
        nodes.allSatisfy { node in
            guard let host = node.host else { return true }
            if host.remains.contains(groups[g]) { return false }
            return records[g].placement.contains { $0.node == node.id }
                || host.store.usage(groups[g]).allSatisfy { $0.usage.blocks == 0 && $0.usage.slots == 0 }
        }
    }
}
