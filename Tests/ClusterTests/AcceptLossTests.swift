import Admin
import ClusterModel
import Foundation
import ONCRPC
import Testing

extension ClusterTests {
    private func acceptLoss(_ cluster: TestCluster, _ words: [String]) throws -> (status: Int32, output: String) {
        let outcome = try Command.run(
            [TestCluster.program, "pg", "accept-loss", "--config", cluster.folder + ".yaml"] + words)
        return (outcome.status, outcome.output)
    }

    @Test("When all disks but one are destroyed, accepting the loss lets the last one serve everything that it has")
    func acceptLoss() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 57)
        let load = WriteLoad("load", seed: 57)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the client has written", within: 30) { load.count.load(ordering: .relaxed) >= 100 }
        load.stop()
        running.wait()
        try cluster.awaitAllInSync(within: 30)
        #expect(try acceptLoss(cluster, ["--yes"]).output.contains("no group waits"))
        cluster.kill9([2, 3])
        for node in cluster.configuration.nodes.dropFirst() {
            for disk in node.disks { try FileManager.default.removeItem(atPath: disk.path) }
        }
        try cluster.wait("what would be given up is told, and nothing done", within: 30) {
            let told = try acceptLoss(cluster, ["d0", "--yes"])
            return told.status != 0 && told.output.contains("ST1031") && told.output.contains("from node 1: whole")
                && told.output.contains("--lost 2 --lost 3")
        }
        let unconfirmed = try acceptLoss(cluster, ["--lost", "2", "--lost", "3"])
        #expect(unconfirmed.status != 0 && unconfirmed.output.contains("say --yes"), "\(unconfirmed.output)")
        try cluster.wait("the way out is named", within: 30) {
            try Command.run([TestCluster.program, "why", "--config", cluster.folder + ".yaml"]).output.contains(
                "accept-loss")
        }
        #expect(try cluster.status(1).lossNumber == 0)
        // Until the leases of the nodes that were killed have ended it asks again by itself.
        let done = try acceptLoss(cluster, ["--yes", "--lost", "2", "--lost", "3"])
        #expect(done.status == 0 && done.output.contains("d0 serves again, led by node 1"), "\(done.output)")
        #expect(try cluster.status(1).lossNumber > 0)
        #expect(try acceptLoss(cluster, ["d0", "--yes"]).output.contains("nothing is to be given up"))
        #expect(try load.faults(at: address) == [])
        let more = concurrently(1) { _ in load.run(at: address) }
        let then = load.count.load(ordering: .relaxed)
        try cluster.wait("the client writes on", within: 30) { load.count.load(ordering: .relaxed) > then + 40 }
        load.stop()
        more.wait()
        #expect(try load.faults(at: address) == [])
    }

    @Test(
        "Members that were given up and come back with all they have learn, and do not spoil what went on without them")
    func givenUpReturn() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 59)
        let load = WriteLoad("load", seed: 59)
        let address = cluster.address(3)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the client has written", within: 30) { load.count.load(ordering: .relaxed) >= 60 }
        cluster.kill9([1, 2])
        let done = try acceptLoss(cluster, ["--yes", "--lost", "1", "--lost", "2"])
        #expect(done.status == 0, "\(done.output)")
        let then = load.count.load(ordering: .relaxed)
        try cluster.wait("the client writes on", within: 30) { load.count.load(ordering: .relaxed) > then + 40 }
        for node in [1, 2] as [UInt16] { try cluster.launch(node) }
        try cluster.awaitAllInSync(within: 60)
        load.stop()
        running.wait()
        for node in [1, 2, 3] as [UInt16] { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
    }

    @Test("The only disk of a cluster failed: its content is served again when an operator says so, and not before")
    func acceptLossOfFailedDisk() throws {
        let cluster = try TestCluster(TestCluster.nodes(1), copies: 1, net: 58)
        let client = try NFSClient(cluster.address(1))
        let content = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 >> 7) }
        let file = try client.create(try client.mount(), "kept")
        try client.write(file, content, at: 0, .fileSync)
        cluster.kill9()
        setenv("STAVE_DISK_FAULTS", "sync name=log- calls=40-1000000 errno=5", 1)
        try cluster.launch(1)
        unsetenv("STAVE_DISK_FAULTS")
        let load = WriteLoad("load", seed: 58)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the disk fails", within: 60) {
            guard let disk = try? cluster.status(1).disks.first else { return false }
            return disk.state != "in use" && disk.earlierFailure != nil
        }
        cluster.kill9()
        load.stop()
        running.wait()
        try cluster.launch(1)
        try cluster.wait("the node answers, and serves nothing", within: 30) {
            guard let report = try? cluster.status(1), report.lease != nil else { return false }
            return report.serving.isEmpty && !report.disks.isEmpty
        }
        let refused = try acceptLoss(cluster, ["--yes"])
        #expect(refused.status != 0 && refused.output.contains("--incomplete"), "\(refused.output)")
        let done = try acceptLoss(cluster, ["--yes", "--incomplete"])
        #expect(done.status == 0, "\(done.output)")
        let again = try NFSClient(address)
        let found = try again.lookup(try again.mount(), "kept")
        #expect(try again.readAll(found, count: content.count) == content)
        try cluster.wait("the note goes", within: 30) {
            (try? cluster.status(1).disks.first)?.earlierFailure == nil
        }
        cluster.kill9()
        try cluster.start()
        let last = try NFSClient(address)
        #expect(try last.readAll(try last.lookup(try last.mount(), "kept"), count: content.count) == content)
    }
}
