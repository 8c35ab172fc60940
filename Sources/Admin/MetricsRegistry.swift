import CoreMetrics
import Glibc
import Histogram
import Synchronization

/// Keeps what the whole process measures: counters, gauges, and latencies as HDR histograms. The backend of swift-metrics.
///
/// Invariant: at most `seriesLimit` series of each kind; what comes later is counted together under "stave_overflow", so a
/// label that grows without bound costs no memory.
public final class MetricsRegistry: MetricsFactory {
    /// The process's own.
    public static let process = MetricsRegistry()
    /// Series of one kind: far above what this program names.
    static let seriesLimit = 1024

    private struct Name: Hashable, Comparable {
        var label: String
        var dimensions: [String]
        init(_ label: String, _ dimensions: [(String, String)]) {
            self.label = label
            self.dimensions = dimensions.map { "\($0.0)=\($0.1)" }.sorted()
        }
        static func < (a: Name, b: Name) -> Bool {
            a.label != b.label ? a.label < b.label : a.dimensions.lexicographicallyPrecedes(b.dimensions)
        }
        var labels: [String: String] {
            var labels: [String: String] = [:]
            for text in dimensions {
                let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                labels[String(parts[0])] = String(parts[1])
            }
            return labels
        }
    }

    private struct Series {
        var counters: [Name: RegistryCounter] = [:]
        var gauges: [Name: RegistryGauge] = [:]
        var timers: [Name: RegistryTimer] = [:]
    }
    private let series = Mutex(Series())

    public init() {}

    /// Makes the process's registry the backend of swift-metrics. Once, before anything is measured.
    public static func bootstrap() { MetricsSystem.bootstrap(process) }

    private static func bounded<T>(
        _ known: inout [Name: T], _ label: String, _ dimensions: [(String, String)], _ make: () -> T
    ) -> T {
        var name = Name(label, dimensions)
        if let one = known[name] { return one }
        if known.count >= seriesLimit { name = Name("stave_overflow", []) }
        if let one = known[name] { return one }
        let one = make()
        known[name] = one
        return one
    }

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series.withLock { MetricsRegistry.bounded(&$0.counters, label, dimensions, RegistryCounter.init) }
    }

    /// Gauges; of an aggregating recorder the last value is kept too: this program measures distributions as times.
    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        series.withLock { MetricsRegistry.bounded(&$0.gauges, label, dimensions, RegistryGauge.init) }
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series.withLock { MetricsRegistry.bounded(&$0.timers, label, dimensions, RegistryTimer.init) }
    }

    // A series lives as long as the process: its users come and go, its counts stay.
    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}

    // MARK: - Reading

    /// All counters, by name; those that never counted are left out.
    public func counters() -> [MetricValue] {
        let known = series.withLock { $0.counters }
        return known.sorted { $0.key < $1.key }.compactMap { name, counter in
            let value = counter.value
            return value == 0 ? nil : MetricValue(name: name.label, labels: name.labels, value: Double(value))
        }
    }

    public func gauges() -> [MetricValue] {
        let known = series.withLock { $0.gauges }
        return known.sorted { $0.key < $1.key }.map { name, gauge in
            MetricValue(name: name.label, labels: name.labels, value: gauge.value)
        }
    }

    /// Latencies of everything that was timed at least once.
    public func latencies() -> [LatencyReport] {
        let known = series.withLock { $0.timers }
        return known.sorted { $0.key < $1.key }.compactMap { name, timer in timer.report(name.label, name.labels) }
    }

    /// The sum of a counter over all its dimensions.
    public func total(_ label: String) -> UInt64 {
        let known = series.withLock { $0.counters }
        return known.filter { $0.key.label == label }.reduce(0) { $0 + UInt64(clamping: $1.value.value) }
    }
}

final class RegistryCounter: CounterHandler {
    private let count = Atomic<Int64>(0)
    var value: Int64 { count.load(ordering: .relaxed) }
    func increment(by amount: Int64) { count.wrappingAdd(amount, ordering: .relaxed) }
    func reset() { count.store(0, ordering: .relaxed) }
}

final class RegistryGauge: RecorderHandler {
    private let bits = Atomic<UInt64>(0)
    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
}

/// Nanoseconds in an HDR histogram with two significant digits: 1 µs … 1 h, some 15 KiB.
final class RegistryTimer: TimerHandler {
    private static let greatest: UInt64 = 3_600_000_000_000
    private struct State: ~Copyable {
        var histogram: Histogram<UInt32>
        var sum: Double = 0
    }
    private let state = Mutex(
        State(
            histogram: Histogram<UInt32>(
                lowestDiscernibleValue: 1000, highestTrackableValue: RegistryTimer.greatest,
                numberOfSignificantValueDigits: .two)))

    func recordNanoseconds(_ duration: Int64) {
        let value = min(UInt64(clamping: duration), RegistryTimer.greatest)
        state.withLock {
            $0.histogram.record(value)
            $0.sum += Double(value)
        }
    }

    func report(_ name: String, _ labels: [String: String]) -> LatencyReport? {
        state.withLock { state in
            let count = state.histogram.totalCount
            guard count > 0 else { return nil }
            func at(_ percentile: Double) -> Double { Double(state.histogram.valueAtPercentile(percentile)) / 1000 }
            return LatencyReport(
                name: name, labels: labels, count: count, meanMicroseconds: state.sum / Double(count) / 1000,
                p50Microseconds: at(50), p99Microseconds: at(99), p999Microseconds: at(99.9),
                maximumMicroseconds: Double(state.histogram.max) / 1000)
        }
    }
}

/// What the kernel knows of this process.
public enum ProcessUsage {
    /// User and system time in seconds.
    public static func cpuSeconds() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        func seconds(_ t: timeval) -> Double { Double(t.tv_sec) + Double(t.tv_usec) / 1_000_000 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// Bytes of memory in use (statm's resident pages); 0 if it cannot be read.
    public static func residentBytes() -> UInt64 {
        guard let file = fopen("/proc/self/statm", "re") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard fgets(&line, 128, file) != nil else { return 0 }
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = UInt64(fields[1]) else { return 0 }
        return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }
}
