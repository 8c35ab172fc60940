import Metrics
import NIOCore

/// Counters and latencies of the door, by procedure, through swift-metrics.
final class NFSMetrics {
    private var latencies: [Metrics.Timer?]
    private let mountLatency: Metrics.Timer
    private let gateway: String
    let readBytes: Counter
    let writtenBytes: Counter
    let mergedWrites: Counter
    let joined: Counter
    let sentAway: Counter
    /// Their clients had gone.
    let abandoned: Counter
    let malformed: Counter
    private let heldCalls: Gauge
    private let heldBytes: Gauge
    private let connections: Gauge

    /// - Parameter gateway: the address, which tells gateways apart.
    init(gateway: String) {
        self.gateway = gateway
        let dimensions = [("gateway", gateway)]
        latencies = Dispatch.nfs3.operations.map { operation in
            operation.map {
                Metrics.Timer(label: "nfs_call_seconds", dimensions: dimensions + [("procedure", $0.name)])
            }
        }
        mountLatency = Metrics.Timer(label: "nfs_mount_call_seconds", dimensions: dimensions)
        readBytes = Counter(label: "nfs_read_bytes", dimensions: dimensions)
        writtenBytes = Counter(label: "nfs_written_bytes", dimensions: dimensions)
        mergedWrites = Counter(label: "nfs_merged_writes", dimensions: dimensions)
        joined = Counter(label: "nfs_joined_calls", dimensions: dimensions)
        sentAway = Counter(label: "nfs_sent_away_calls", dimensions: dimensions)
        abandoned = Counter(label: "nfs_abandoned_calls", dimensions: dimensions)
        malformed = Counter(label: "nfs_malformed_records", dimensions: dimensions)
        heldCalls = Gauge(label: "nfs_held_calls", dimensions: dimensions)
        heldBytes = Gauge(label: "nfs_held_bytes", dimensions: dimensions)
        connections = Gauge(label: "nfs_connections", dimensions: dimensions)
    }

    func ended(_ call: NFSCall, now: NIODeadline) {
        let nanoseconds = (now - call.arrival).nanoseconds
        if call.header.program == .nfs3 {
            latencies[Int(call.header.procedure)]?.recordNanoseconds(nanoseconds)
        } else {
            mountLatency.recordNanoseconds(nanoseconds)
        }
    }

    func sample(_ admission: Admission, connections count: Int) {
        heldCalls.record(admission.calls)
        heldBytes.record(admission.bytes)
        connections.record(count)
    }
}
