import ClusterModel
import Replication
import Wire

/// Deleted filesets. The map says that one is being deleted; from then on gateways and groups refuse its files, and every
/// disk removes what it has of it. When the data groups' primaries have nothing left, the primary of the metadata group
/// takes the fileset and the group's record out of the map, in one transaction; then every node drops its replica of that
/// group, database included. A node that was away does both when it returns: ids are never used again, so what is not in
/// the map is gone.
extension StorageNode {
    func isGone(_ fileset: FilesetID) -> Bool { liveFilesets.isGone(fileset) }

    /// The map is newer.
    func filesetsChanged() {
        let map = directory.view.map
        for disk in disks { disk.filesetsChanged(map) }
        for replica in orderedReplicas {
            guard let fileset = replica.pg.fileset, map.fileset(fileset) == nil, isGone(fileset) else { continue }
            note(.group(replica.pg), "its fileset is deleted")
            remove(replica)
            for waiting in requests.takeAll(of: replica.pg) {
                waiting.reply(
                    PGResponse(
                        pg: replica.pg, epoch: replica.group.record?.epoch ?? .zero, body: .refused(.removed)))
            }
            replica.disk.forget(replica.pg)
        }
    }

    /// What a disk has of a group that the cluster does not have.
    func dropRemains(of recovered: RecoveredOnDisk, on disk: DiskHost) {
        for entry in recovered.undecided { if let payload = entry.payload { payloads.drop(payload) } }
        guard let fileset = recovered.pg.fileset, isGone(fileset) else {
            return logger.warning("disk \(disk.id) holds group \(recovered.pg), which the cluster does not have")
        }
        logger.info("disk \(disk.id) drops group \(recovered.pg): its fileset was deleted")
        disk.forget(recovered.pg)
    }

    /// Ends deletions of filesets whose metadata primary this node is, as soon as no data group has anything of them.
    /// `used` is complete.
    func endDeletions(_ served: [Replica], used: [FilesetID: UInt64]) {
        for replica in served {
            guard let fileset = replica.pg.fileset, used[fileset, default: 0] == 0,
                directory.view.map.fileset(fileset)?.state == .deleting, filesetsLeaving.insert(fileset).inserted
            else { continue }
            directory.changeMap(
                removed: [replica.pg],
                { map in
                    guard map.fileset(fileset)?.state == .deleting else { return nil }
                    var map = map
                    map.filesets.removeAll { $0.id == fileset }
                    return (map, [])
                },
                done: { [self] result in
                    filesetsLeaving.remove(fileset)
                    if case .failure(let error) = result {
                        logger.warning("fileset \(fileset) is empty and stays in the map for now: \(error)")
                    }
                })
        }
    }
}
