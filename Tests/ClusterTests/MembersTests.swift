import Admin
import ClusterModel
import Foundation
import Testing

extension ClusterTests {
    private func stave(_ words: [String], _ cluster: TestCluster, seconds: Int = 150) throws -> Command.Outcome {
        try Command.run(
            [TestCluster.program] + words + ["--config", cluster.folder + ".yaml"], seconds: seconds)
    }

    private func groups(_ cluster: TestCluster, asking node: UInt16) throws -> [GroupReport] {
        try cluster.ask(NodeID(node), .groups, as: [GroupReport].self)
    }

    @Test("A node joins under a load and gets its share, another one is drained and leaves, and nothing is lost")
    func joinAndLeave() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 70)
        let loads = (0..<2).map { WriteLoad("load-\($0)", seed: UInt64(70 + $0)) }
        let addresses = [cluster.address(1), cluster.address(3)]
        let running = concurrently(2) { i in loads[i].run(at: addresses[i]) }
        try cluster.wait("the load works", within: 30) { loads.allSatisfy { $0.count.load(ordering: .relaxed) > 200 } }

        try cluster.describe(TestCluster.nodes(4))
        let added = try stave(["node", "add", "4", "--wait", "120"], cluster)
        #expect(added.status == 0, "\(added.output)")
        let placed = try groups(cluster, asking: 1)
        let share = placed.filter { g in g.placement.contains { $0.node == 4 } }.count
        // Three quarters of the groups in the mean.
        #expect((placed.count / 3...placed.count).contains(share), "\(share) of \(placed.count)")
        #expect(placed.allSatisfy { Set($0.inSync) == Set($0.placement.map(\.node)) })
        let again = try stave(["node", "add", "4", "--wait", "60"], cluster)
        #expect(again.status == 0 && again.output.contains("already"), "\(again.output)")

        let early = try stave(["node", "remove", "2"], cluster)
        #expect(early.status == 1 && early.output.contains("drain"), "\(early.output)")
        let drained = try stave(["node", "drain", "2", "--wait", "120"], cluster)
        #expect(drained.status == 0, "\(drained.output)")
        // What it held is removed there, too.
        try cluster.wait("node 2 is empty", within: 60) {
            try cluster.status(2).disks.allSatisfy { $0.replicas == 0 && $0.remains == 0 && $0.takenBytes == 0 }
        }
        let tooFew = try stave(["node", "drain", "3"], cluster)
        #expect(tooFew.status == 1 && tooFew.output.contains("add a node first"), "\(tooFew.output)")
        let then = loads.map { $0.count.load(ordering: .relaxed) }
        let removed = try stave(["node", "remove", "2", "--wipe"], cluster)
        #expect(removed.status == 0, "\(removed.output)")
        #expect(!FileManager.default.fileExists(atPath: cluster.folder + "/node-2/disk-0"))
        try cluster.describe([1, 3, 4].map { TestCluster.NodeShape(id: $0) })
        try cluster.wait("the load goes on", within: 30) {
            zip(loads, then).allSatisfy { $0.count.load(ordering: .relaxed) > $1 + 100 }
        }
        for load in loads { load.stop() }
        running.wait()
        for load in loads {
            for node: UInt16 in [1, 3, 4] { #expect(try load.faults(at: cluster.address(node)) == []) }
        }
        #expect(try cluster.scrub() == nil)
        #expect(try groups(cluster, asking: 4).allSatisfy { !$0.inSync.contains(2) && $0.inSync.count == 3 })
    }

    @Test("A node that is gone for good is drained and removed, and may come back with an empty disk")
    func goneForGood() throws {
        let cluster = try TestCluster(TestCluster.nodes(4), copies: 3, net: 73)
        let load = WriteLoad("load", seed: 73)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the load works", within: 30) { load.count.load(ordering: .relaxed) > 300 }
        cluster.kill9([2])
        let drained = try stave(["node", "drain", "2", "--wait", "120"], cluster)
        #expect(drained.status == 0, "\(drained.output)")
        let removed = try stave(["node", "remove", "2", "--wipe"], cluster)
        #expect(removed.status == 0, "\(removed.output)")
        let foreign = try stave(["node", "--id", "2"], cluster, seconds: 20)
        #expect(foreign.status == 3 && foreign.output.contains("node add 2"), "\(foreign.output)")
        let back = try stave(["node", "add", "2", "--wait", "120"], cluster)
        #expect(back.status == 0, "\(back.output)")
        load.stop()
        running.wait()
        for node: UInt16 in 1...4 { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
    }

    @Test("An empty folder takes the place of a lost disk, under a load, and learns everything from the others")
    func replaceDisk() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 71)
        let load = WriteLoad("load", seed: 71)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the load works", within: 30) { load.count.load(ordering: .relaxed) > 300 }
        let path = cluster.folder + "/node-2/disk-0"
        let refused = try stave(["disk", "replace", path], cluster)
        #expect(refused.status == 1 && refused.output.contains("is a disk already"), "\(refused.output)")

        cluster.kill9([2])
        let before = try groups(cluster, asking: 1)
        try FileManager.default.removeItem(atPath: path)
        let replaced = try stave(["disk", "replace", path, "--wait", "120"], cluster)
        #expect(replaced.status == 0, "\(replaced.output)")
        try cluster.awaitAllInSync(within: 60)
        let after = try groups(cluster, asking: 1)
        for (a, b) in zip(before, after) {
            #expect(a.placement.map(\.node) == b.placement.map(\.node), "\(a.group) has moved between nodes")
        }
        load.stop()
        running.wait()
        for node: UInt16 in [1, 2, 3] { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
        // The new disk is what is opened from now on.
        let status = try cluster.status(2)
        #expect(status.disks.count == 1 && status.disks[0].state == "in use")

        // A disk that is in use, and on which groups are led, can be replaced, too.
        try cluster.wait("node 3 leads groups", within: 90) { try !cluster.status(3).serving.isEmpty }
        let elsewhere = try stave(
            [
                "disk", "replace", cluster.folder + "/node-3/disk-0", "--path", cluster.folder + "/node-3/new",
                "--wait", "120",
            ],
            cluster)
        #expect(elsewhere.status == 0, "\(elsewhere.output)")
        // The configuration still names the old folder, which is none of the cluster's disks any more.
        cluster.kill9([3])
        try cluster.launch(3)
        try cluster.wait("node 3 uses its new disk", within: 60) {
            (try? cluster.status(3).disks.map(\.path)) == [cluster.folder + "/node-3/new"]
        }
        try cluster.awaitAllInSync(within: 60)
        for node: UInt16 in [1, 2, 3] { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
    }

    @Test("A second disk of a node gets its share, and the first one can be drained and removed while the node runs")
    func disksOfANode() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 72)
        let load = WriteLoad("load", seed: 72)
        let address = cluster.address(2)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the load works", within: 30) { load.count.load(ordering: .relaxed) > 300 }
        var shapes = TestCluster.nodes(3)
        shapes[0].disks = 2
        try cluster.describe(shapes)
        let added = try stave(["disk", "add", "1", "--wait", "120"], cluster)
        #expect(added.status == 0, "\(added.output)")
        try cluster.wait("both disks hold replicas", within: 30) {
            let disks = try cluster.status(1).disks
            return disks.count == 2 && disks.allSatisfy { $0.replicas > 0 }
        }
        let first = cluster.folder + "/node-1/disk-0"
        let drained = try stave(["disk", "drain", first, "--wait", "120"], cluster)
        #expect(drained.status == 0, "\(drained.output)")
        try cluster.wait("the first disk is empty", within: 60) {
            try cluster.status(1).disks.contains { $0.path == first && $0.replicas == 0 && $0.remains == 0 }
        }
        let removed = try stave(["disk", "remove", first], cluster)
        #expect(removed.status == 0, "\(removed.output)")
        try cluster.wait("the first disk is closed", within: 30) { try cluster.status(1).disks.count == 1 }
        load.stop()
        running.wait()
        try cluster.awaitAllInSync(within: 60)
        for node: UInt16 in [1, 2, 3] { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
    }

    @Test("A disk that answers every sync late is named, leads nothing, and leads again when it is well")
    func slowDisk() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 74)
        let load = WriteLoad("load", seed: 74)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the load works", within: 30) { load.count.load(ordering: .relaxed) > 200 }
        cluster.kill9([2])
        setenv("STAVE_DISK_FAULTS", "sync name=log- calls=60-1000000 delay=800", 1)
        try cluster.launch(2)
        unsetenv("STAVE_DISK_FAULTS")
        try cluster.awaitAllInSync(within: 60)
        try cluster.wait("the slow disk is named", within: 60) {
            try stave(["why"], cluster).output.contains("the disk of node 2 is slow")
        }
        try cluster.wait("node 2 leads nothing", within: 120) { try cluster.status(2).serving.isEmpty }
        let then = load.count.load(ordering: .relaxed)
        try cluster.wait("the load goes on", within: 30) { load.count.load(ordering: .relaxed) > then + 50 }

        cluster.kill9([2])
        try cluster.launch(2)
        try cluster.awaitAllInSync(within: 60)
        try cluster.wait("node 2 leads groups again", within: 120) {
            (try? cluster.status(2).serving.isEmpty) == false
        }
        load.stop()
        running.wait()
        for node: UInt16 in 1...3 { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
    }
}
