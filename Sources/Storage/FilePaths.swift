import ClusterModel
import NIOCore

/// What leads to a file, for operators.
public enum FilePath: Hashable, Sendable {
    case path(String)
    /// It is open, or being removed, and no name leads to it any more.
    case none
}

extension FileID {
    /// In words: with its path, if that was found; its fileset and its inode are what its handles hold.
    func words(_ path: FilePath?) -> String {
        let inode = "inode \(inode.rawValue) in fileset \(fileset.rawValue)"
        return switch path {
        case .path(let path): "\(path) (\(inode))"
        case FilePath.none?: "a file without a name (\(inode))"
        case nil: inode
        }
    }
}

extension StorageNode {
    /// Finds the paths of damaged files; gives those that it has found in time.
    func findPaths(of files: [FileID], done: @escaping ([FileID: FilePath]) -> Void) {
        guard let pathFinder, !files.isEmpty else { return done([:]) }
        var isOver = false
        let end = { (paths: [FileID: FilePath]) in
            if isOver { return }
            isOver = true
            done(paths)
        }
        loop.assumeIsolated().scheduleTask(in: .nanoseconds(Int64(clamping: StorageLimits.pathPatience.nanoseconds))) {
            end([:])
        }
        pathFinder(files, end)
    }
}
