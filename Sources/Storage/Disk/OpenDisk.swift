import CSupport
import ClusterModel
import DiskIO
import Store

/// A disk's folder with its files open: superblock, log segments, data file and index. Made on a thread that may wait.
///
/// Invariant: nothing is created here but by `format`; a folder that is no disk, or another node's, is refused.
struct OpenDisk: Sendable {
    static let dataName = "data"
    static let namespaceFolder = "namespace"

    let folder: DiskFolder
    let superblock: Superblock
    let data: DiskFile
    let namespaces: DiskFolder

    /// Makes an existing, empty folder a disk. The superblock is written last: a folder that was left half made is no disk.
    static func format(path: String, superblock: Superblock) throws(DiskError) {
        let health = DiskHealth { _ in }
        let folder = try DiskFolder(path: path, health: health)
        try folder.lock()
        let names = try folder.names()
        guard names.isEmpty else {
            throw DiskError(.open, path: path, .malformed("not empty (it has \(names[0])), so it is not made a disk"))
        }
        _ = try folder.open(dataName, .new)
        _ = try folder.createFolder(namespaceFolder)
        _ = try IndexRows(in: folder, .new)
        try folder.sync()
        try superblock.write(to: folder)
    }

    static func open(
        path: String, cluster: ClusterID, node: NodeID, health: DiskHealth
    ) throws(DiskError) -> OpenDisk {
        let folder = try DiskFolder(path: path, health: health)
        try folder.lock()
        let superblock = try Superblock.read(from: folder)
        guard superblock.cluster == cluster else {
            throw DiskError(.open, path: path, .malformed("a disk of cluster \(superblock.cluster), not of \(cluster)"))
        }
        guard superblock.node == node else {
            throw DiskError(.open, path: path, .malformed("a disk of node \(superblock.node), not of \(node)"))
        }
        return OpenDisk(
            folder: folder, superblock: superblock, data: try folder.open(dataName),
            namespaces: try DiskFolder(path: path + "/" + namespaceFolder, health: health))
    }

    /// What the store must know before it reads its log. `bound`: the most bytes that the disk may use, nil for all.
    func facts(
        boot: BootID, segments: [LogSegmentNumber], bound: UInt64?, content: DiskFacts.Content
    ) throws(DiskError) -> DiskFacts {
        let space = try folder.space()
        let total = min(space.total, bound ?? .max)
        let used = UInt64(try data.size()) + UInt64(segments.count) * UInt64(DiskLimits.logSegmentBytes)
        let free = min(space.free, total > used ? total - used : 0)
        return DiskFacts(
            disk: superblock.disk, boot: boot, segments: segments.map { SegmentNumber($0.rawValue) },
            dataSlots: Int(try data.size()) / Geometry.slotSize, freeBytes: free, totalBytes: total, content: content)
    }
}
