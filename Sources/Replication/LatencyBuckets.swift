import ClusterModel

/// Latencies, counted in buckets: four to an octave, from 1 µs to over a minute. What is beyond counts in the last one.
///
/// A quantile is exact to a quarter of an octave at worst; within a bucket values are taken for evenly spread.
struct LatencyBuckets: Sendable {
    static let count = 26 * 4
    private var counts = [UInt32](repeating: 0, count: LatencyBuckets.count)
    private(set) var total: UInt64 = 0

    /// In units of 256 ns, of which 4 … 7 are the first octave.
    private static func bucket(of span: TimeSpan) -> Int {
        let units = max(span.nanoseconds >> 8, 4)
        let octave = 61 - units.leadingZeroBitCount
        return min(octave * 4 + Int((units >> UInt64(octave)) & 3), count - 1)
    }

    /// The first duration, in ns, that does not belong to the buckets before this one.
    private static func lowerBound(_ bucket: Int) -> UInt64 { UInt64(4 + bucket % 4) << UInt64(bucket / 4 + 8) }

    mutating func add(_ span: TimeSpan) {
        counts[LatencyBuckets.bucket(of: span)] &+= 1
        total += 1
    }

    mutating func add(_ other: LatencyBuckets) {
        for i in counts.indices { counts[i] = UInt32(clamping: UInt64(counts[i]) + UInt64(other.counts[i])) }
        total += other.total
    }

    /// Every latency counts half as much as before.
    mutating func halve() {
        total = 0
        for i in counts.indices {
            counts[i] /= 2
            total += UInt64(counts[i])
        }
    }

    mutating func clear() {
        guard total > 0 else { return }
        for i in counts.indices { counts[i] = 0 }
        total = 0
    }

    /// The latency that 99 of 100 do not exceed; nil of nothing.
    var p99: TimeSpan? {
        guard total > 0 else { return nil }
        let rank = (total * 99 + 99) / 100
        var before: UInt64 = 0
        for i in counts.indices where counts[i] > 0 {
            let here = UInt64(counts[i])
            if before + here >= rank {
                let low = LatencyBuckets.lowerBound(i)
                let width = LatencyBuckets.lowerBound(i + 1) - low
                return TimeSpan(nanoseconds: low + width * (rank - before) / here)
            }
            before += here
        }
        return nil
    }
}
