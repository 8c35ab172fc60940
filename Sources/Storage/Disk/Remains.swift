import ClusterModel
import Store

/// What lies on a disk of groups that have no replica there any more.
extension DiskHost {
    func hasRemains(of pg: PGID) -> Bool { remains.contains(pg) }

    /// The group has no replica here from now on; what it has here stays for the time being.
    func keepRemains(_ pg: PGID) {
        replicas[pg] = nil
        unsettled[pg] = nil
        store.dropLog(pg)
        settle()
        node?.needsCycleEnd()
        guard !remains.contains(pg) else { return }
        let at = remains.firstIndex { pg < $0 } ?? remains.count
        remains.insert(pg, at: at)
    }

    /// Removes what is here of the group. Its namespace goes when the log says durably that nothing here counts. `state`: as in
    /// `Store.leaveGroup`.
    func leave(_ pg: PGID, state: [UInt8] = []) {
        if store.leavingGroups.contains(pg) { return }
        store.leaveGroup(
            pg, state: state,
            token: token { [unowned self] _ in
                if let fileset = pg.fileset { namespaces.remove([fileset]) }
            })
        settle()
        node?.needsCycleEnd()
    }

    func hasLeft(_ pg: PGID) {
        remains.removeAll { $0 == pg }
        node?.left(pg, self)
    }
}
