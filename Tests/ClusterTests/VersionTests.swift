import ClusterModel
import Foundation
import Testing
import Wire

extension ClusterTests {
    @Test(
        "Nodes of the version before and of this one serve together through kills and catching up, then the cluster is upgraded"
    )
    func versionsSideBySide() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 59, semantics: 1)
        cluster.kill9([3])
        try cluster.launch(3, newestProtocol: .oldest)
        try cluster.wait("node 3 answers", within: 30) { (try? cluster.status(3)) != nil }
        try cluster.awaitAllInSync(within: 60)

        // One client through the new version's gateway, one through the old one's.
        let loads = [1, 3].map { WriteLoad("load-\($0)", seed: UInt64($0)) }
        let addresses = [cluster.address(1), cluster.address(3)]
        let running = concurrently(2) { i in loads[i].run(at: addresses[i]) }
        func goOn(_ what: String, _ chosen: [WriteLoad]) throws {
            let then = chosen.map { $0.count.load(ordering: .relaxed) }
            try cluster.wait("clients go on \(what)", within: 60) {
                zip(chosen, then).allSatisfy { $0.count.load(ordering: .relaxed) > $1 + 60 }
            }
        }
        try goOn("on both versions", loads)

        // A new one dies, and learns from an old one, or beside it.
        cluster.kill9([2])
        try goOn("without node 2", loads)
        try cluster.launch(2)
        try cluster.wait("node 2 answers", within: 30) { (try? cluster.status(2)) != nil }
        try cluster.awaitAllInSync(within: 90)

        // The old one dies, and learns from new ones.
        cluster.kill9([3])
        try goOn("without node 3", [loads[0]])
        try cluster.launch(3, newestProtocol: .oldest)
        try cluster.wait("node 3 answers", within: 30) { (try? cluster.status(3)) != nil }
        try cluster.awaitAllInSync(within: 90)
        try goOn("on both versions again", loads)
        for load in loads { load.stop() }
        running.wait()
        for load in loads { #expect(try load.faults(at: cluster.address(3)) == []) }

        // What the old version cannot be asked is left out, and the command says so; nothing breaks by it.
        let mixed = try #require(try cluster.scrub())
        #expect(mixed.contains("of 3 copies"), "\(mixed)")
        try cluster.wait("node 3 hears the others", within: 20) {
            Set(try cluster.status(3).peersHeard).isSuperset(of: [1, 2])
        }

        func upgrade() throws -> Command.Outcome {
            try Command.run([TestCluster.program, "cluster", "upgrade", "--config", cluster.folder + ".yaml"])
        }
        let early = try upgrade()
        #expect(early.status != 0 && early.output.contains("earlier program: 3;"), "\(early)")
        #expect(try cluster.status(1).semantics == 1)

        cluster.kill9([3])
        try cluster.launch(3)
        try cluster.wait("node 3 answers", within: 30) { (try? cluster.status(3)) != nil }
        try cluster.awaitAllInSync(within: 60)
        try cluster.wait("the nodes hear each other", within: 20) {
            Set(try cluster.status(1).peersHeard) == [1, 2, 3]
        }
        let upgraded = try upgrade()
        #expect(upgraded.status == 0, "\(upgraded)")
        try cluster.wait("all nodes know of it", within: 20) {
            try (1...3).allSatisfy { try cluster.status($0).semantics == ClusterMap.newestSemantics }
        }
        let after = WriteLoad("load-after", seed: 9)
        let second = cluster.address(2)
        let going = concurrently(1) { _ in after.run(at: second) }
        try cluster.wait("clients go on after the upgrade", within: 60) { after.count.load(ordering: .relaxed) > 60 }
        after.stop()
        going.wait()
        #expect(try after.faults(at: cluster.address(1)) == [])
        // A member may be in the record and still on its way back into the stream.
        var last: String?
        try cluster.wait("all three copies are compared, and agree", within: 30) {
            last = try cluster.scrub()
            return last?.contains("of 3 copies") != true
        }
        #expect(last == nil)
    }
}
