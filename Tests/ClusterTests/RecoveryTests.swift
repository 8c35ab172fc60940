import Admin
import ClusterModel
import Foundation
import ONCRPC
import Testing

extension ClusterTests {
    @Test(
        "A member that was away is brought up to date a few groups at a time; commands tell how far that is, and when it ends"
    )
    func recoveryProgress() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 57)
        let client = try NFSClient(cluster.address(1))
        var root: NFS3.FileHandle?
        try cluster.wait("the gateway is mounted", within: 60) {
            root = try? client.mount()
            return root != nil
        }
        let file = try client.create(try #require(root), "away")
        cluster.kill9([3])
        let megabytes = 160
        let content = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 >> 4 | 1) }
        for i in 0..<megabytes { try client.write(file, content, at: UInt64(i) << 20, .unstable) }
        try client.commit(file)

        try cluster.launch(3)
        var copied: UInt64 = 0
        var underWay = 0
        var objects = 0
        var lists: [String] = []
        var summaries: [RecoverySummary] = []
        try cluster.wait("all groups have all copies", within: 120) {
            for node: UInt16 in [1, 2] {
                let groups = try cluster.ask(NodeID(node), .groups, as: [GroupReport].self)
                let catchUps = groups.flatMap { $0.replica?.catchUps ?? [] }
                underWay = max(underWay, catchUps.filter { ["listing", "copying"].contains($0.stage) }.count)
                for one in catchUps {
                    copied = max(copied, one.copiedBytes)
                    objects = max(objects, one.objects ?? 0)
                    #expect(one.node == 3)
                    #expect((one.copiedObjects ?? 0) <= one.objects ?? 0)
                }
                summaries.append(try cluster.status(node).recovery)
            }
            if copied > 0, lists.count < 3 {
                lists.append(
                    try Command.run([TestCluster.program, "pg", "list", "--config", cluster.folder + ".yaml"]).output)
                lists.append(
                    try Command.run([TestCluster.program, "status", "--config", cluster.folder + ".yaml"]).output)
            }
            return cluster.lacking()?.isEmpty == true
        }
        #expect(copied > 1 << 20)
        #expect(objects > 1)
        #expect((1...4).contains(underWay))
        #expect(summaries.contains { $0.groups > 4 && $0.waiting > 0 }, "of 16 groups some wait for their turn")
        #expect(summaries.contains { $0.bytesPerSecond > 0 && ($0.secondsLeft ?? 0) > 0 })
        #expect(lists.contains { $0.contains("learning") }, "\(lists)")
        #expect(lists.contains { $0.contains("learn") && $0.contains("recovery") }, "\(lists)")

        try cluster.wait("nothing is left", within: 10) {
            try [1, 2, 3].allSatisfy { try cluster.status($0).recovery.groups == 0 }
        }
        let counters = try [1, 2].flatMap { try cluster.status($0).metrics.counters }
        let moved = counters.filter { $0.name == "stave_recovery_bytes" }.reduce(0) { $0 + $1.value }
        #expect(moved >= Double(megabytes) * 1_048_576 * 0.9, "what learners were sent is counted: \(moved)")
        let status = try Command.run([TestCluster.program, "status", "--config", cluster.folder + ".yaml"]).output
        #expect(!status.contains("recovery  "), "\(status)")
        #expect(try cluster.scrub() == nil)
    }
}
