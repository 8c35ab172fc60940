import ClusterModel
import DiskIO
import Transport

/// What a node does about the leases of others.
extension StorageNode {
    /// Finds out whether another's lease has ended; asked by many groups at once, so once at a time.
    func askLease(_ number: LeaseNumber) {
        guard leasesAsked.insert(number).inserted else { return }
        let owner = LoopBound(self, loop: loop)
        coordinator.revoke(number, on: loop.executor) { result in
            let node = owner.value
            node.leasesAsked.remove(number)
            if case .success(.ended) = result {
                for replica in node.orderedReplicas { replica.event { $0.leaseSeenEnded(number, at: $1) } }
            }
        }
    }

    /// Takes sessions of nodes that are gone, or that stand still, out of the map once their leases have run out, so that what they
    /// registered ends.
    func watchSessions(_ now: Instant) {
        guard now - lastSessionWatch > .seconds(1), membership.session != nil else { return }
        lastSessionWatch = now
        for session in directory.view.map.sessions where session.node != localNode && !peers.isHeard(session.node) {
            let owner = LoopBound(self, loop: loop)
            coordinator.revoke(session.lease, on: loop.executor) { result in
                if case .success(.ended) = result {
                    let node = owner.value
                    node.membership.dropSession(session) { dropped in
                        if dropped { node.note(.sessionDropped, "\(session.id) of \(session.node)") }
                    }
                }
            }
        }
    }
}
