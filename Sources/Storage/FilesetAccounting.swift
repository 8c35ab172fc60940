import ClusterModel
import Wire

/// Sums what the data groups use, by fileset, from what the nodes report of the groups whose primaries they are.
///
/// Invariant: a sum is taken only if every data group is in exactly one report; while a group changes its primary, the last
/// sum stands.
struct FilesetAccounting {
    /// The usage of every fileset that has any; nil while reports do not fit together.
    static func sum(_ reports: [GroupsUsage], dataGroups: UInt32) -> [FilesetID: UInt64]? {
        var isIn = [Bool](repeating: false, count: Int(dataGroups))
        var count: UInt32 = 0
        var sum: [FilesetID: UInt64] = [:]
        for report in reports {
            for pg in report.groups {
                let index = Int(pg.rawValue)
                guard index < isIn.count, !isIn[index] else { return nil }
                isIn[index] = true
                count += 1
            }
            for used in report.filesets { sum[used.fileset, default: 0] &+= used.bytes }
        }
        return count == dataGroups ? sum : nil
    }
}

extension StorageNode {
    /// What this node tells the others of itself with a sign of life.
    func standing(_ now: Instant) -> NodeStanding {
        NodeStanding(
            mapVersion: directory.view.map.version, totalBytes: disks.reduce(0) { $0 + $1.space.total },
            freeBytes: disks.reduce(0) { $0 + $1.space.admissible }, usage: usageIfDue(now),
            intent: departure == nil ? .staying : .leaving)
    }

    /// Once a second: what is told to the others, after filesets were accounted by it.
    private func usageIfDue(_ now: Instant) -> GroupsUsage? {
        guard now - lastAccounting >= StorageLimits.accountingInterval else { return nil }
        lastAccounting = now
        let own = groupsUsage()
        accountFilesets(own)
        return own
    }

    /// Of the data groups whose primary this node is.
    private func groupsUsage() -> GroupsUsage {
        var report = GroupsUsage(groups: [], filesets: [])
        var blocks: [FilesetID: Int64] = [:]
        for replica in orderedReplicas where !replica.pg.isMetadata && replica.group.isServing {
            report.groups.append(replica.pg)
            for used in replica.disk.usage(replica.pg) { blocks[used.fileset, default: 0] += used.usage.blocks }
        }
        for fileset in directory.view.map.filesets.map(\.id).sorted().prefix(Limits.filesets) {
            guard let count = blocks[fileset], count > 0 else { continue }
            report.filesets.append(FilesetBytes(fileset: fileset, bytes: UInt64(count) * UInt64(Geometry.blockSize)))
        }
        return report
    }

    /// Records the sums in the filesets whose metadata primary this node is. Unstable: the next one follows in a second.
    private func accountFilesets(_ own: GroupsUsage) {
        let served = orderedReplicas.filter { $0.namespace != nil && $0.group.isServing }
        if served.isEmpty { return }
        let reports = [own] + peers.standings.filter { peers.isHeard($0.node) }.compactMap(\.standing.usage)
        guard let sum = FilesetAccounting.sum(reports, dataGroups: directory.view.map.dataPGCount) else { return }
        for replica in served {
            guard let fileset = replica.pg.fileset, let namespace = replica.namespace else { continue }
            let bytes = sum[fileset] ?? 0
            if bytes != namespace.usage.bytes, namespace.usage.inodes > 0 {
                replica.performOwn(.recordUsage(bytes: bytes), .unstable)
            }
        }
        endDeletions(served, used: sum)
    }
}
