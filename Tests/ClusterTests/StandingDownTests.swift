import Admin
import ClusterModel
import Foundation
import ONCRPC
import Synchronization
import Testing

/// One client that writes a block, reads it back and compares, one operation at a time, in a file that spreads over all groups;
/// it counts errors and keeps the longest time that an operation took.
final class AnswerProbe: @unchecked Sendable {
    // `@unchecked`: `run` is used by one thread; what others read meanwhile is atomic.
    private static let places = 64
    private let stopping = Atomic<Bool>(false)
    let count = Atomic<Int>(0)
    private let longest = Atomic<Int>(0)
    private let faults = Mutex<[String]>([])

    func stop() { stopping.store(true, ordering: .relaxed) }
    var found: [String] { faults.withLock { $0 } }
    /// The longest time in milliseconds since the last call.
    func takeLongest() -> Double { Double(longest.exchange(0, ordering: .relaxed)) / 1000 }

    private func timed<T>(_ body: () throws -> T) rethrows -> T {
        let begin = DispatchTime.now().uptimeNanoseconds
        defer {
            let took = Int((DispatchTime.now().uptimeNanoseconds - begin) / 1000)
            if took > longest.load(ordering: .relaxed) { longest.store(took, ordering: .relaxed) }
        }
        return try body()
    }

    /// Until it is stopped, or something goes wrong.
    func run(at address: String) {
        do {
            let client = try NFSClient(address)
            let file = try client.create(try client.mount(), "probe")
            var round: UInt64 = 0
            while !stopping.load(ordering: .relaxed) {
                round += 1
                let offset = round % UInt64(Self.places) << 20
                let content = (0..<4096).map { UInt8(truncatingIfNeeded: UInt64($0) &* 31 &+ round) }
                try timed {
                    try client.write(file, content, at: offset, round.isMultiple(of: 4) ? .fileSync : .unstable)
                }
                let back = try timed { try client.read(file, at: offset, count: 4096) }
                if back != content {
                    faults.withLock { $0.append("round \(round): what was read is not what was written") }
                }
                count.add(1, ordering: .relaxed)
            }
        } catch {
            faults.withLock { $0.append("\(error)") }
        }
    }
}

extension ClusterTests {
    @Test(
        "Nodes that are stopped in order and started again, one after the other, cost clients of other gateways no error"
    )
    func rollingRestart() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 55)
        let probe = AnswerProbe()
        let address = cluster.address(1)
        let running = concurrently(1) { _ in probe.run(at: address) }
        try cluster.wait("the client works", within: 30) { probe.count.load(ordering: .relaxed) >= 100 }
        var told = "longest answer: \(probe.takeLongest()) ms before"
        for node: UInt16 in [2, 3] {
            try cluster.awaitAllInSync(within: 60)
            _ = probe.takeLongest()
            cluster.send(SIGTERM, to: node)
            let status = try cluster.awaitEnd(node, within: 20)
            #expect(status == 0, "node \(node) ended with status \(status)")
            let then = probe.count.load(ordering: .relaxed)
            try cluster.wait("the client goes on without node \(node)", within: 10) {
                probe.count.load(ordering: .relaxed) > then + 100
            }
            told += ", \(probe.takeLongest()) ms around the stop of node \(node)"
            try cluster.launch(node)
            try cluster.wait("node \(node) answers", within: 30) { (try? cluster.status(node)) != nil }
            try cluster.awaitAllInSync(within: 60)
            told += ", \(probe.takeLongest()) ms around its start"
        }
        // Placement gets its way again, and nobody notices. How many groups it gives to a node differs from cluster to cluster.
        try cluster.wait("every group is led by the node that placement names first", within: 90) {
            cluster.ledByOthers()?.isEmpty == true
        }
        told += ", \(probe.takeLongest()) ms while primaries went back"
        probe.stop()
        running.wait()
        print(told)
        #expect(probe.found == [])
        #expect(try cluster.scrub() == nil)
    }

    @Test("A suspended node leads nothing, through a restart too, and leads its own groups again when it is resumed")
    func suspend() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 56)
        let config = ["--config", cluster.folder + ".yaml"]
        let probe = AnswerProbe()
        let address = cluster.address(1)
        let running = concurrently(1) { _ in probe.run(at: address) }
        try cluster.wait("the client works", within: 30) { probe.count.load(ordering: .relaxed) >= 100 }
        try cluster.awaitAllInSync(within: 30)
        try cluster.wait("node 2 leads its groups", within: 90) { cluster.ledByOthers()?.isEmpty == true }
        _ = probe.takeLongest()
        for _ in 0..<2 {
            let outcome = try Command.run([TestCluster.program, "node", "suspend", "2"] + config)
            #expect(outcome.status == 0, "\(outcome.output)")
        }
        let then = probe.count.load(ordering: .relaxed)
        try cluster.wait("the client goes on", within: 10) { probe.count.load(ordering: .relaxed) > then + 100 }
        print("longest answer: \(probe.takeLongest()) ms around the suspension")
        #expect(try cluster.status(2).serving == [])
        let list = try Command.run([TestCluster.program, "node", "list"] + config)
        #expect(list.output.contains("running, suspended"), "\(list.output)")

        cluster.kill9([2])
        try cluster.launch(2)
        try cluster.wait("node 2 is back", within: 30) { (try? cluster.status(2)) != nil }
        try cluster.awaitAllInSync(within: 60)
        #expect(try cluster.status(2).members?.filter { $0.duty == "suspended" }.map(\.node) == [2])
        #expect(try cluster.status(2).serving == [])

        let resumed = try Command.run([TestCluster.program, "node", "resume", "2", "--json"] + config)
        #expect(resumed.status == 0 && resumed.output.contains("\"full\""), "\(resumed.output)")
        try cluster.wait("node 2 leads its groups again", within: 90) { cluster.ledByOthers()?.isEmpty == true }
        probe.stop()
        running.wait()
        #expect(probe.found == [])
    }
}
