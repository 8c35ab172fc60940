import ClusterModel
import DiskIO
import Foundation
import Storage

/// Makes folders of this machine disks of a cluster that exists: for `stave node add`, `disk add` and `disk replace` only.
///
/// Invariant: nothing is ever made in a folder that holds anything. A folder that was made a disk of this node for the same
/// cluster, and that the map does not know yet, is what an interrupted command left: it is taken.
public enum DiskMaking {
    /// The disk's id. `known`: the ids of the disks in the map.
    public static func make(
        path: String, cluster: ClusterID, node: NodeID, known: [DiskID]
    ) throws(OperatorError) -> DiskID {
        let files = FileManager.default
        do {
            try files.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw OperatorError(.diskFailed, "the folder \(path) cannot be made: \(error.localizedDescription)")
        }
        let names = ((try? files.contentsOfDirectory(atPath: path)) ?? []).filter { $0 != "lost+found" }.sorted()
        if names.contains(Superblock.fileName) {
            let found = try read(path)
            guard found.cluster == cluster, found.node == node, !known.contains(found.disk) else {
                throw OperatorError(
                    .diskFailed,
                    "\(path) is a disk already (\(found.disk), of node \(found.node.rawValue)): only an empty folder is made "
                        + "one; if nothing in it is wanted, empty it")
            }
            return found.disk
        }
        guard names.isEmpty else {
            throw OperatorError(
                .diskFailed,
                "\(path) is not empty (\(names.prefix(3).joined(separator: ", ")) …): only an empty folder is made a disk; "
                    + "if nothing in it is wanted, empty it")
        }
        let id = DiskID(ClusterCreation.random128())
        let now = Timestamp(nanoseconds: Int64(Date().timeIntervalSince1970 * 1_000_000_000))
        do throws(DiskError) {
            try DiskFormat.format(path: path, cluster: cluster, node: node, disk: id, at: now)
        } catch {
            throw OperatorError(.diskFailed, "\(error)")
        }
        return id
    }

    private static func read(_ path: String) throws(OperatorError) -> Superblock {
        do throws(DiskError) {
            return try Superblock.read(from: DiskFolder(path: path, health: DiskHealth { _ in }))
        } catch {
            throw OperatorError(.diskFailed, "\(error)")
        }
    }
}
