import ClusterModel
import DiskIO
import Logging
import NIOCore
import Store
import Transport

/// What a disk is opened with.
public struct DiskPlan: Sendable {
    public var path: String
    public var cluster: ClusterID
    public var node: NodeID
    public var boot: BootID
    /// The most bytes that the disk may use of its filesystem; nil for all.
    public var bound: UInt64?
    /// Faults to inject, for tests only.
    public var faults: DiskFaults?
    /// Disks that the coordination store says have failed, with the reason.
    var failed: [DiskID: String] = [:]
    public init(path: String, cluster: ClusterID, node: NodeID, boot: BootID, bound: UInt64?) {
        self.path = path
        self.cluster = cluster
        self.node = node
        self.boot = boot
        self.bound = bound
    }
}

/// A disk's files, open on its threads, before its log was read.
struct DiskFiles: Sendable {
    var disk: OpenDisk
    var index: ThreadBound<IndexRows>
    var indexLog: DiskFile
    var segmentFiles: LogSegments
    var segments: [SegmentNumber: DiskFile]
    var facts: DiskFacts
    /// Why the disk failed earlier, if nothing on it can be relied on.
    var earlierFailure: String?

    /// Opens everything. Runs on the index thread, to which the index is bound.
    static func open(_ plan: DiskPlan, health: DiskHealth, threads: DiskThreads) throws(DiskError) -> DiskFiles {
        let disk = try OpenDisk.open(path: plan.path, cluster: plan.cluster, node: plan.node, health: health)
        let files = try LogSegments(in: disk.folder)
        let numbers = try files.list()
        var segments: [SegmentNumber: DiskFile] = [:]
        for number in numbers { segments[SegmentNumber(number.rawValue)] = try files.open(number) }
        let rows = try IndexRows(in: disk.folder, .existing)
        let log = try rows.database.walFile()
        let mark = try FailureMark.read(from: disk.folder)
        let failure = plan.failed[disk.superblock.disk] ?? mark
        // Committed pages that only the page cache has are written anew, where a sync tells the truth of them.
        if failure != nil { try rows.database.passiveCheckpoint() }
        return DiskFiles(
            disk: disk, index: ThreadBound(rows, to: threads.index), indexLog: log, segmentFiles: files,
            segments: segments,
            facts: try disk.facts(
                boot: plan.boot, segments: numbers, bound: plan.bound, content: failure == nil ? .kept : .doubtful),
            earlierFailure: failure)
    }
}
