import ClusterModel
import Coordination
import DiskIO
import Foundation

/// Removes everything of a cluster from this machine: what its configuration names, and nothing else.
public struct ClusterRemoval {
    /// What exists of it.
    public let paths: [String]
    /// What may exist of it.
    private let wanted: [String]
    private let configuration: ClusterConfiguration

    /// Whether the lease file of this cluster would go too.
    func names(_ cluster: ClusterID) -> Bool { wanted.contains(LocalCoordinator.leaseFilePath(of: cluster)) }

    public init(_ configuration: ClusterConfiguration) {
        self.configuration = configuration
        var paths = configuration.nodes.flatMap { $0.disks.map(\.path) }
        switch configuration.coordination {
        // SQLite keeps a journal beside its file, and the coordinator its signal and leases.
        case .local(let path):
            let folder = (path as NSString).deletingLastPathComponent
            let name = (path as NSString).lastPathComponent
            let siblings = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
            paths += siblings.filter { $0 == name || $0.hasPrefix(name + "-") || $0.hasPrefix(name + ".") }.map {
                "\(folder)/\($0)"
            }
        }
        // The lease file bears the cluster's id, which any disk tells.
        for disk in configuration.nodes.flatMap(\.disks) {
            guard let folder = try? DiskFolder(path: disk.path, health: DiskHealth { _ in }),
                let superblock = try? Superblock.read(from: folder)
            else {
                continue
            }
            paths.append(LocalCoordinator.leaseFilePath(of: superblock.cluster))
            break
        }
        paths += configuration.nodes.map { configuration.lockPath(of: $0.id) }
        paths += [configuration.runFolder, configuration.dataFolder + "/log"]
        wanted = paths
        self.paths = paths.filter { FileManager.default.fileExists(atPath: $0) }
    }

    /// Removes them; the folders around them go if they are empty then. A disk's own folder stays where it is a mount point.
    public func run() throws {
        for path in paths {
            do {
                try FileManager.default.removeItem(atPath: path)
            } catch {
                let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
                for name in names { try? FileManager.default.removeItem(atPath: "\(path)/\(name)") }
                let left = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [path]
                if !left.isEmpty {
                    throw OperatorError(.diskFailed, "\(path) cannot be removed: \(error.localizedDescription)")
                }
            }
        }
        for path in paths + [configuration.dataFolder + "/x"] {
            var folder = (path as NSString).deletingLastPathComponent
            while folder.hasPrefix(configuration.dataFolder), rmdir(folder) == 0 {
                folder = (folder as NSString).deletingLastPathComponent
            }
        }
    }
}
