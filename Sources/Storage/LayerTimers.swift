import ClusterModel
import DiskIO
import Metrics
import Wire

/// Latencies of the object layer's parts, over all groups and disks of the node.
enum LayerTimers {
    /// From a request's arrival at its group to its answer.
    static let group = RequestKind.allCases.map {
        Metrics.Timer(label: "stave_group_latency", dimensions: [("request", "\($0)")])
    }
    /// From a request's leaving for another node to its answer.
    static let transport = Metrics.Timer(label: "stave_transport_latency")
    /// Writing a batch to the log, into the page cache.
    static let logWrite = Metrics.Timer(label: "stave_log_write_latency")
    /// From asking for a sync of the log to its end.
    static let logSync = Metrics.Timer(label: "stave_log_sync_latency")
    /// Blocks that the page cache did not have.
    static let diskRead = Metrics.Timer(label: "stave_disk_read_latency")

    static func record(_ timer: Metrics.Timer, since begin: Instant) {
        timer.recordNanoseconds(Int64(clamping: (BootClock.now() - begin).nanoseconds))
    }
}

/// Kinds of requests to groups, as metrics name them.
enum RequestKind: Int, CaseIterable {
    case write
    case zero
    case deleteRange
    case read
    case readVersion
    case mutate
    case query
    case flush

    init(_ request: PGRequest) {
        switch request.body {
        case .write: self = .write
        case .zero: self = .zero
        case .deleteRange: self = .deleteRange
        case .read: self = .read
        case .readVersion: self = .readVersion
        case .mutate: self = .mutate
        case .query: self = .query
        case .flush: self = .flush
        }
    }
}
