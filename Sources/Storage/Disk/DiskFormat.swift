import ClusterModel
import DiskIO

/// Makes folders disks: for cluster creation and `disk add` only (traps.md, 20).
public enum DiskFormat {
    /// The folder must exist and be empty.
    public static func format(
        path: String, cluster: ClusterID, node: NodeID, disk: DiskID, at time: Timestamp
    ) throws(DiskError) {
        try OpenDisk.format(
            path: path, superblock: Superblock(cluster: cluster, node: node, disk: disk, created: time))
    }
}
