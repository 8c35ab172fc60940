import Foundation
import ONCRPC
import Testing

/// Clusters of real processes. One after the other: each takes a machine's processors for itself.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ClusterTests {
    @Test("Every acknowledged write is there after all processes were killed in the middle of a load, again and again")
    func killAll() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 41)
        var random = SplitMix64(seed: 41)
        let loads = (0..<3).map { WriteLoad("load-\($0)", seed: UInt64($0)) }
        let addresses = [1, 2, 3].map { cluster.address($0) }
        for round in 0..<4 {
            let before = loads.map { $0.count.load(ordering: .relaxed) }
            let running = concurrently(3) { loads[$0].run(at: addresses[$0]) }
            try cluster.wait("every client has written", within: 30) {
                zip(loads, before).allSatisfy { $0.count.load(ordering: .relaxed) >= $1 + 40 }
            }
            if round.isMultiple(of: 2) {
                cluster.kill9()
            } else {
                for node in [UInt16(1), 2, 3].shuffled(using: &random) {
                    cluster.kill9([node])
                    usleep(UInt32.random(in: 0...600_000, using: &random))
                }
            }
            for load in loads { load.stop() }
            running.wait()
            try cluster.start()
            let door = addresses[Int.random(in: 0..<3, using: &random)]
            for load in loads {
                let faults = try load.faults(at: door)
                #expect(faults.isEmpty, "round \(round): \(faults.prefix(5))")
            }
        }
        try cluster.awaitAllInSync(within: 30)
        #expect(try cluster.status(1).lossNumber == 0, "kill -9 is no loss of power")
        #expect(try cluster.scrub() == nil)
    }

    /// Starts `qemu-img bench -w` at node 1's gateway.
    private func bench(_ cluster: TestCluster, count: Int) throws -> Command {
        let image = "nfs://\(cluster.address(1))/images/bench.img"
        let made = try Command.run(["qemu-img", "create", "-q", "-f", "raw", image, "256M"])
        guard made.status == 0 else { throw ClusterFailure(made.output) }
        // Steps of 1 MiB and 4 KiB: every write meets another group than the one before.
        return try Command([
            "timeout", "120", "qemu-img", "bench", "-w", "-c", "\(count)", "-d", "16", "-s", "4096", "-S", "1052672",
            "-t", "none",
            "-f", "raw", "--flush-interval", "64", "--no-drain", image,
        ])
    }

    /// Waits until the benchmark's writes reach node 1.
    private func awaitWrites(_ cluster: TestCluster) throws {
        let before = try cluster.status(1).metrics.gateway.writtenBytes
        try cluster.wait("the benchmark writes", within: 20) {
            try cluster.status(1).metrics.gateway.writtenBytes > before + 200 * 4096
        }
    }

    @Test(
        "QEMU writes on without an error while another node is killed or paused for 20 s, and it is in sync soon after",
        .enabled(if: Command.isInstalled("qemu-img") && geteuid() == 0, "QEMU's driver needs ports 111 and 2049"))
    func anotherNodeGoes() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 42, portmapper: 111)
        let first = try bench(cluster, count: 6000)
        try awaitWrites(cluster)
        cluster.kill9([2])
        try cluster.wait("groups go on without node 2", within: 15) { cluster.lacking().map { !$0.isEmpty } ?? false }
        try cluster.launch(2)
        try cluster.awaitAllInSync(within: 30)
        let ended = first.end()
        #expect(ended.status == 0, "\(ended.output)")
        #expect(try cluster.scrub() == nil)

        let second = try bench(cluster, count: 6000)
        try awaitWrites(cluster)
        cluster.send(SIGSTOP, to: 3)
        let deadline = Date().addingTimeInterval(20)
        try cluster.wait("groups go on without node 3", within: 15) { cluster.lacking().map { !$0.isEmpty } ?? false }
        while Date() < deadline { usleep(100_000) }
        cluster.send(SIGCONT, to: 3)
        // Who holds a lock of the coordination store for a second without a lease is killed by those who wait.
        if !cluster.dead.isEmpty { cluster.kill9([3]) }
        try cluster.start()
        try cluster.awaitAllInSync(within: 30)
        let again = second.end()
        #expect(again.status == 0, "\(again.output)")
        #expect(try cluster.scrub() == nil)
        #expect(cluster.dead.isEmpty)
    }

    @Test("A clean stop and a start are quick, lose nothing and raise no loss number")
    func cleanStop() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 43)
        let load = WriteLoad("load", seed: 3)
        let address = cluster.address(2)
        for _ in 0..<2 {
            let before = load.count.load(ordering: .relaxed)
            let running = concurrently(1) { _ in load.run(at: address) }
            try cluster.wait("the client has written", within: 30) {
                load.count.load(ordering: .relaxed) >= before + 60
            }
            let stopped = try cluster.stop()
            load.stop()
            running.wait()
            #expect(stopped < 10, "the stop took \(stopped) s")
            let started = try cluster.start()
            #expect(started < 10, "the start took \(started) s")
            #expect(try load.faults(at: cluster.address(1)) == [])
            #expect(try cluster.status(1).lossNumber == 0)
            try cluster.awaitAllInSync(within: 20)
        }
        #expect(try cluster.scrub() == nil)
    }

    @Test("A node that is restarted again and again under load, and one that was away for long, catch up")
    func restarts() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 44)
        let loads = (0..<2).map { WriteLoad("load-\($0)", seed: UInt64(50 + $0)) }
        let addresses = [1, 2].map { cluster.address($0) }
        let running = concurrently(2) { loads[$0].run(at: addresses[$0]) }
        func written() -> Int { loads.map { $0.count.load(ordering: .relaxed) }.reduce(0, +) }
        try cluster.wait("clients write", within: 30) { written() > 50 }
        for _ in 0..<4 {
            cluster.kill9([3])
            let then = written()
            try cluster.wait("clients write without node 3", within: 20) { written() > then + 30 }
            try cluster.launch(3)
            let now = written()
            try cluster.wait("clients write while node 3 comes", within: 20) { written() > now + 10 }
        }
        try cluster.start()
        let caughtUp = try cluster.awaitAllInSync(within: 30)
        #expect(caughtUp < 20, "catching up took \(caughtUp) s")
        for load in loads { load.stop() }
        running.wait()
        for load in loads {
            let faults = try load.faults(at: cluster.address(3))
            #expect(faults.isEmpty, "\(faults.count) blocks: \(faults.prefix(3))")
        }
        let differences = try cluster.scrub()
        #expect(differences == nil, "\(differences ?? "")")
    }
}
