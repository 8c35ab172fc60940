import ClusterModel
import Metrics

/// Kinds of operations, as metrics name them.
enum OperationKind: Int, CaseIterable {
    case lookup
    case parent
    case attributes
    case setAttributes
    case access
    case readSymbolicLink
    case read
    case write
    case commit
    case create
    case remove
    case removeDirectory
    case rename
    case link
    case list
    case usage

    var name: String { "\(self)" }
}

/// Counts and latencies per kind of operation, and what waits.
struct OperationMetrics {
    private let succeeded: [Counter]
    private let failed: [Counter]
    private let latency: [Metrics.Timer]
    private let readBytes = Counter(label: "stave_filesystem_read_bytes")
    private let writtenBytes = Counter(label: "stave_filesystem_written_bytes")
    private let operations = Gauge(label: "stave_filesystem_operations_in_progress")

    init() {
        func counters(_ outcome: String) -> [Counter] {
            OperationKind.allCases.map {
                Counter(
                    label: "stave_filesystem_operations",
                    dimensions: [("operation", $0.name), ("outcome", outcome)])
            }
        }
        succeeded = counters("succeeded")
        failed = counters("failed")
        latency = OperationKind.allCases.map {
            Metrics.Timer(label: "stave_filesystem_latency", dimensions: [("operation", $0.name)])
        }
    }

    func ended(_ kind: OperationKind, isSuccess: Bool, after time: TimeSpan) {
        (isSuccess ? succeeded : failed)[kind.rawValue].increment()
        latency[kind.rawValue].recordNanoseconds(Int64(clamping: time.nanoseconds))
    }

    func read(bytes: Int) { readBytes.increment(by: bytes) }
    func wrote(bytes: Int) { writtenBytes.increment(by: bytes) }
    func inProgress(_ count: Int) { operations.record(count) }
}
