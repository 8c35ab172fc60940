import ClusterModel
import Filesystem
import Wire

extension NFSCall {
    /// The directory above `target`; the export's root is its own parent (traps 48). A directory that is not below the
    /// export's root, because it was moved out while its handle was held, has no parent through this export.
    func findParent(of target: Target, done: @escaping (Result<LookupResult, VFSFailure>) -> Void) {
        if target.file == target.export.root {
            vfs.attributes(target.context, of: target.file) { result in
                done(result.map { LookupResult(inode: $0, directory: $0.attributes) })
            }
            return
        }
        vfs.parent(target.context, directory: target.file) { result in
            switch result {
            case .failure: done(result)
            case .success(let parent):
                self.demand(parent.inode.attributes.file, isWithin: target.export.root, levels: NFSLimits.treeDepth) {
                    failure in
                    done(failure.map(Result.failure) ?? result)
                }
            }
        }
    }

    /// The inode of "..", as a listing tells it: the export's root is its own parent; whether what lies above is within
    /// the export does not matter, since no handle of it is given. Asked with the server's own rights: who may read a
    /// directory may list it, without the right to search it.
    func findParentInode(of target: Target, done: @escaping (Result<InodeNumber, VFSFailure>) -> Void) {
        if target.file == target.export.root { return done(.success(target.file.inode)) }
        vfs.parent(superuser, directory: target.file) {
            done($0.map { $0.inode.attributes.file.inode })
        }
    }

    /// Climbs from `directory` to `root` with the rights of nobody in particular but the server itself, since the caller
    /// need not be able to search what lies between.
    private func demand(
        _ directory: FileID, isWithin root: FileID, levels: Int, done: @escaping (VFSFailure?) -> Void
    ) {
        if directory == root { return done(nil) }
        guard levels > 0 else { return done(.namespace(.accessDenied)) }
        vfs.parent(superuser, directory: directory) { result in
            switch result {
            case .failure(let failure): done(failure)
            case .success(let parent):
                let next = parent.inode.attributes.file
                if next == directory { return done(.namespace(.accessDenied)) }
                self.demand(next, isWithin: root, levels: levels - 1, done: done)
            }
        }
    }
}
