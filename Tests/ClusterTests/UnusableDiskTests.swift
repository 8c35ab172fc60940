import Admin
import ClusterModel
import Foundation
import Testing

extension ClusterTests {
    @Test("A node starts without a disk that cannot be opened, and opens another one in its place at once")
    func unusableDisk() throws {
        var shapes = TestCluster.nodes(3)
        shapes[1].disks = 2
        let cluster = try TestCluster(shapes, copies: 3, net: 84)
        func stave(_ words: String...) throws -> Command.Outcome {
            try Command.run([TestCluster.program] + words + ["--config", cluster.folder + ".yaml"], seconds: 150)
        }
        func named(_ disk: String) throws -> Int {
            try cluster.ask(NodeID(1), .groups, as: [GroupReport].self).filter {
                $0.inSyncDisks?.contains(disk) == true
            }.count
        }
        let load = WriteLoad("load", seed: 84)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the load works", within: 30) { load.count.load(ordering: .relaxed) > 200 }
        let path = cluster.folder + "/node-2/disk-1"
        let id = try #require(try cluster.status(2).disks.first { $0.path == path }?.id)
        #expect(try named(id) > 2)

        cluster.kill9([2])
        // Its superblock is garbage.
        try Data(repeating: 0x5a, count: 4096).write(to: URL(fileURLWithPath: path + "/superblock"))
        try cluster.launch(2)
        try cluster.wait("node 2 runs without it", within: 60) {
            guard let disks = try? cluster.status(2).disks else { return false }
            return disks.count == 2 && disks.contains { $0.id != id && $0.state == "in use" && $0.replicas > 2 }
                && disks.contains { $0.id == id && $0.state.contains("cannot be opened") }
        }
        let list = try stave("disk", "list")
        #expect(list.output.contains("cannot be opened") && list.output.contains("ST1011"), "\(list.output)")
        #expect(try stave("status").output.contains("\(path) of node 2 is out of use"))
        #expect(try stave("why").output.contains("\(path) is out of use"))
        try cluster.wait("no group needs it", within: 60) { try named(id) == 0 }
        let then = load.count.load(ordering: .relaxed)
        try cluster.wait("the load goes on", within: 30) { load.count.load(ordering: .relaxed) > then + 100 }

        let process = cluster.processID(2)
        let replaced = try stave("disk", "replace", path, "--path", cluster.folder + "/node-2/new", "--wait", "120")
        #expect(replaced.status == 0, "\(replaced.output)")
        try cluster.awaitAllInSync(within: 60)
        #expect(cluster.processID(2) == process && cluster.dead == [])
        #expect(try cluster.status(2).disks.allSatisfy { $0.state == "in use" })

        // A folder that is missing, for its file system is not mounted, and is there again at the next start.
        cluster.kill9([2])
        let first = cluster.folder + "/node-2/disk-0"
        try FileManager.default.moveItem(atPath: first, toPath: first + ".away")
        try cluster.launch(2)
        try cluster.wait("node 2 runs with its new disk", within: 60) {
            guard let disks = try? cluster.status(2).disks else { return false }
            return disks.contains { $0.path == first && $0.state.contains("cannot be opened") }
                && disks.contains { $0.path == cluster.folder + "/node-2/new" && $0.state == "in use" }
        }
        cluster.kill9([2])
        try FileManager.default.moveItem(atPath: first + ".away", toPath: first)
        try cluster.launch(2)
        try cluster.awaitAllInSync(within: 60)
        load.stop()
        running.wait()
        for node: UInt16 in 1...3 { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
    }
}
