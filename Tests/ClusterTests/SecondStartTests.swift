import Admin
import ClusterModel
import Foundation
import Node
import Testing

extension ClusterTests {
    @Test("A second start of a node whose process file is gone is refused, and the first one goes on being reached")
    func secondStart() throws {
        let cluster = try TestCluster(TestCluster.nodes(1), copies: 1, net: 85)
        let first = try #require(cluster.processID(1))
        try FileManager.default.removeItem(atPath: cluster.configuration.processPath(of: NodeID(1)))
        for _ in 0..<2 {
            let second = try Command.run(
                [TestCluster.program, "node", "--config", cluster.folder + ".yaml", "--id", "1"], seconds: 30)
            #expect(second.status == 1)
            #expect(second.output.contains("node 1 runs already, as process \(first)"), "\(second.output)")
        }
        #expect(cluster.dead.isEmpty)
        #expect(try cluster.status(1).process == Int(first))
        // Whoever starts and stops clusters finds it, too.
        let file = cluster.folder + ".yaml"
        let launcher = NodeLauncher(configuration: cluster.configuration, file: file, program: TestCluster.program)
        #expect(launcher.running(NodeID(1))?.process == first)
        let down = try Command.run([TestCluster.program, "cluster", "down", file], seconds: 60)
        #expect(down.status == 0, "\(down.output)")
        #expect(launcher.running(NodeID(1)) == nil)
    }
}
