import Admin
import ClusterModel
import DiskIO
import Foundation
import ONCRPC
import Testing

/// Namespaces whose rows change by themselves under clusters of real processes.
struct RowRotTests {
    /// Works on the rows of the root fileset on one node's disk, whose process does not run, and brings all into the database
    /// file.
    private static func change(_ cluster: TestCluster, _ node: UInt16, _ sql: String) throws {
        let folder = try DiskFolder(
            path: "\(cluster.folder)/node-\(node)/disk-0/namespace", health: DiskHealth(onFailure: { _ in }))
        let database = try SQLiteDatabase(in: folder, name: "m1", .existing)
        try database.execute(sql)
        _ = try database.passiveCheckpoint()
    }

    /// Whether the node has put a damaged database aside.
    private static func hasPutAside(_ cluster: TestCluster, _ node: UInt16) -> Bool {
        FileManager.default.fileExists(atPath: "\(cluster.folder)/node-\(node)/disk-0/namespace/m1.damaged")
    }

    private static func cluster(net: Int, names: [String]) throws -> TestCluster {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: net)
        let client = try NFSClient(cluster.address(1))
        var root: NFS3.FileHandle?
        try cluster.wait("the gateway is mounted", within: 60) {
            root = try? client.mount()
            return root != nil
        }
        for name in names { _ = try client.create(#require(root), name) }
        return cluster
    }

    /// Scrubs until all is well, and looks whether everything is there.
    private static func mend(_ cluster: TestCluster, _ names: [String], node: UInt16) throws {
        // The scrub that meets the damage says so; once the copy has been made anew, all agree.
        _ = try cluster.scrub()
        try cluster.wait("node \(node)'s rows are whole again", within: 60) {
            try cluster.lacking(asking: 1)?.isEmpty == true && cluster.scrub() == nil
        }
        for gateway: UInt16 in 1...3 {
            let client = try NFSClient(cluster.address(gateway))
            var found: [String] = []
            try cluster.wait("gateway \(gateway) answers", within: 30) {
                guard let root = try? client.mount(), let listed = try? client.names(root) else { return false }
                found = listed
                return true
            }
            #expect(Set(found).isSuperset(of: names), "gateway \(gateway) after damage on node \(node)")
        }
        #expect(cluster.dead.isEmpty)
    }

    @Test("A row that changed on one node's disk is found by a scrub, and its copy is made anew, whoever leads")
    func rows() throws {
        let names = (1...40).map { "file-\($0)" }
        let cluster = try Self.cluster(net: 73, names: names)
        for node: UInt16 in 1...3 {
            cluster.kill9()
            // A byte of the value of each inode's row.
            try Self.change(
                cluster, node,
                """
                UPDATE rows SET value = CAST(substr(value, 1, length(value) - 6) || X'5A' || substr(value, -5) AS BLOB)
                WHERE substr(key, 1, 1) = X'01' AND length(value) > 40
                """)
            try cluster.start()
            try Self.mend(cluster, names, node: node)
            #expect(Self.hasPutAside(cluster, node), "node \(node)")
        }
    }

    @Test("A namespace's database that SQLite cannot read costs its node that copy and nothing else")
    func database() throws {
        let names = (1...20).map { "file-\($0)" }
        let cluster = try Self.cluster(net: 74, names: names)
        for node: UInt16 in [1, 3] {
            cluster.kill9()
            try Self.change(cluster, node, "PRAGMA user_version=1")
            let path = "\(cluster.folder)/node-\(node)/disk-0/namespace/m1"
            try? FileManager.default.removeItem(atPath: path + "-wal")
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            try file.write(contentsOf: Data(repeating: 0x5a, count: 100))
            try file.close()
            try cluster.start()
            try Self.mend(cluster, names, node: node)
            #expect(Self.hasPutAside(cluster, node), "node \(node)")
            #expect(try cluster.status(node).disks.allSatisfy { $0.state == "in use" })
        }
    }
}
