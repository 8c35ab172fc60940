import Metrics
import Testing

@testable import Admin

@Suite struct MetricsRegistryTests {
    @Test("A counter's dimensions are told apart and summed by its label") func counters() {
        let registry = MetricsRegistry()
        registry.makeCounter(label: "bytes", dimensions: [("kind", "a")]).increment(by: 3)
        registry.makeCounter(label: "bytes", dimensions: [("kind", "b")]).increment(by: 4)
        registry.makeCounter(label: "bytes", dimensions: [("kind", "a")]).increment(by: 10)
        _ = registry.makeCounter(label: "unused", dimensions: [])
        #expect(registry.total("bytes") == 17)
        #expect(
            registry.counters() == [
                MetricValue(name: "bytes", labels: ["kind": "a"], value: 13),
                MetricValue(name: "bytes", labels: ["kind": "b"], value: 4),
            ])
    }

    @Test("A gauge shows what was recorded last") func gauges() {
        let registry = MetricsRegistry()
        let gauge = registry.makeRecorder(label: "depth", dimensions: [], aggregate: false)
        gauge.record(Int64(5))
        gauge.record(2.5)
        #expect(registry.gauges() == [MetricValue(name: "depth", labels: [:], value: 2.5)])
    }

    @Test("Percentiles of latencies are right to two digits") func latencies() throws {
        let registry = MetricsRegistry()
        let timer = registry.makeTimer(label: "write", dimensions: [("layer", "disk")])
        for i in 1...1000 { timer.recordNanoseconds(Int64(i) * 10_000) }
        let report = try #require(registry.latencies().first)
        #expect(report.count == 1000)
        #expect(report.labels == ["layer": "disk"])
        #expect(abs(report.p50Microseconds - 5000) / 5000 < 0.02)
        #expect(abs(report.p99Microseconds - 9900) / 9900 < 0.02)
        #expect(abs(report.meanMicroseconds - 5005) / 5005 < 0.001)
    }

    @Test("Times beyond an hour, and negative ones, do not stop a timer") func extremes() throws {
        let registry = MetricsRegistry()
        let timer = registry.makeTimer(label: "t", dimensions: [])
        timer.recordNanoseconds(Int64.max)
        timer.recordNanoseconds(-5)
        #expect(try #require(registry.latencies().first).count == 2)
    }

    @Test("Labels without end share one series beyond the limit") func bound() {
        let registry = MetricsRegistry()
        for i in 0..<(MetricsRegistry.seriesLimit + 500) {
            registry.makeCounter(label: "c", dimensions: [("client", "\(i)")]).increment(by: 1)
        }
        #expect(registry.counters().count == MetricsRegistry.seriesLimit + 1)
        #expect(registry.total("stave_overflow") == 500)
    }

    @Test("The process's CPU time and memory can be read") func usage() {
        #expect(ProcessUsage.cpuSeconds() > 0)
        #expect(ProcessUsage.residentBytes() > 1 << 20)
    }
}
