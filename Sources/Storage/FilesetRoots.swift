import ClusterModel
import Wire

/// What the primary of a metadata group makes by itself when it begins to serve: the root of a new fileset, and the folders at
/// which other filesets are joined.
extension StorageNode {
    func beganServing(_ replica: Replica) {
        guard let fileset = replica.pg.fileset else { return }
        if replica.namespace?.usage.inodes == 0, let described = directory.view.map.fileset(fileset) {
            replica.performOwn(
                .initialize(
                    FilesetSetup(
                        mode: described.rootMode, uid: described.rootUID, gid: described.rootGID,
                        layout: described.layout)))
        }
        replica.sessionsEnded()
        junctionsMade[fileset] = []
        junctionsRemoved[fileset] = []
        makeJunctions(of: fileset, replica)
        removeJunctions(of: fileset, replica)
    }

    /// Makes the folders that other filesets are joined at, so that listings name them. Making one that is there changes
    /// nothing.
    func makeJunctions(of fileset: FilesetID, _ replica: Replica) {
        for joined in directory.view.map.filesets {
            guard joined.state == .live, let junction = joined.junction, junction.directory.fileset == fileset,
                let name = FileName(junction.name), junctionsMade[fileset, default: []].insert(joined.id).inserted
            else { continue }
            replica.performOwn(
                .create(
                    directory: junction.directory.inode, name: name, file: .directory,
                    attributes: AttributeChanges(mode: joined.rootMode, uid: joined.rootUID, gid: joined.rootGID)))
        }
    }

    /// Removes the folders of filesets that were deleted; whoever deleted one may have died before he could. One that is not
    /// empty, or not there, stays as it is.
    func removeJunctions(of fileset: FilesetID, _ replica: Replica) {
        for left in directory.view.map.filesets {
            guard left.state == .deleting, let junction = left.junction, junction.directory.fileset == fileset,
                let name = FileName(junction.name), junctionsRemoved[fileset, default: []].insert(left.id).inserted
            else { continue }
            replica.performOwn(.removeDirectory(directory: junction.directory.inode, name: name))
        }
    }
}
