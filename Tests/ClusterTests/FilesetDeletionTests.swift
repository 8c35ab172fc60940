import Admin
import ClusterModel
import Foundation
import Glibc
import ONCRPC
import Testing

/// `stave fileset delete`, with processes that die in the middle of it.
extension ClusterTests {
    private func command(_ cluster: TestCluster, _ words: String...) throws -> Command.Outcome {
        try Command.run([TestCluster.program] + words + ["--config", cluster.folder + ".yaml"])
    }

    /// Bytes of slots that the node's disks have given.
    private func taken(_ cluster: TestCluster, _ node: UInt16) throws -> UInt64 {
        try cluster.status(node).disks.reduce(0) { $0 + $1.takenBytes }
    }

    private func fileset(_ cluster: TestCluster, _ name: String, asking node: UInt16) throws -> FilesetReport? {
        try cluster.ask(NodeID(node), .map, as: MapReport.self).filesets.first { $0.name == name }
    }

    private func isStale(_ body: () throws -> Void) -> Bool {
        do {
            try body()
            return false
        } catch let failure as NFSFailure {
            return failure.status == .stale
        } catch {
            return false
        }
    }

    /// Database files of a fileset's namespace on any node.
    private func databases(_ cluster: TestCluster, _ fileset: Int) -> [String] {
        let all = FileManager.default.enumerator(atPath: cluster.folder)?.compactMap { $0 as? String } ?? []
        return all.filter { ($0 as NSString).lastPathComponent.hasPrefix("m\(fileset)") }
    }

    @Test(
        "A deleted fileset is stale everywhere at once and gives all its space back, whoever is killed or away meanwhile"
    )
    func filesetDeletion() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 53)
        let clients = try [1, 2, 3].map { try NFSClient(cluster.address($0)) }
        let folder = try clients[0].mount()
        for client in clients { _ = try client.mount() }
        let stays = try clients[0].create(folder, "stays")
        try clients[0].write(stays, [UInt8](repeating: 9, count: 1 << 20), at: 0, .fileSync)
        let before: UInt64 = 1 << 20
        try cluster.wait("one file is on all disks", within: 10) {
            try (1...3).allSatisfy { try taken(cluster, $0) == before }
        }

        #expect(try command(cluster, "fileset", "create", "scratch", "--at", "/images/scratch").status == 0)
        let first = try #require(try fileset(cluster, "scratch", asking: 1)).id
        let scratch = try clients[0].lookup(folder, "scratch")
        var files: [NFS3.FileHandle] = []
        for i in 0..<24 {
            let file = try clients[i % 3].create(scratch, "f\(i)")
            for m in 0..<3 {
                try clients[i % 3].write(
                    file, [UInt8](repeating: UInt8(1 + i), count: 1 << 20), at: UInt64(m) << 21)
            }
            try clients[i % 3].write(file, [7], at: 77)
            files.append(file)
        }
        try clients[0].setSize(files[0], 1 << 20)
        try clients[0].remove(scratch, "f1")
        for i in [0] + Array(2..<24) { try clients[i % 3].commit(files[i]) }
        try cluster.wait("the space is taken", within: 20) {
            try (1...3).allSatisfy { try taken(cluster, $0) > before + (48 << 20) }
        }

        // One node is away from before the deletion; another is killed right after it.
        cluster.kill9([3])
        let deleted = try command(cluster, "fileset", "delete", "scratch")
        #expect(deleted.status == 0, "\(deleted.output)")
        try cluster.wait("every gateway knows", within: 2) {
            [0, 1].allSatisfy { c in isStale { _ = try clients[c].attributes(files[2]) } }
        }
        for c in [0, 1] {
            for file in files {
                #expect(isStale { _ = try clients[c].attributes(file) })
                #expect(isStale { _ = try clients[c].read(file, at: 0, count: 4096) })
                #expect(isStale { try clients[c].write(file, [1], at: 0) })
            }
            #expect(try !clients[c].names(folder).contains("scratch"))
        }
        cluster.kill9([2])
        try cluster.start()
        cluster.kill9()
        try cluster.start()

        try cluster.wait("the fileset has left the map", within: 60) {
            try [1, 2, 3].allSatisfy { try fileset(cluster, "scratch", asking: $0) == nil }
        }
        try cluster.wait("every disk has its space back", within: 60) {
            try (1...3).allSatisfy { try taken(cluster, $0) == before }
        }
        try cluster.wait("the databases are gone", within: 20) { databases(cluster, first).isEmpty }
        try cluster.awaitAllInSync(within: 30)
        #expect(try cluster.scrub() == nil)

        let again = try [1, 2, 3].map { try NFSClient(cluster.address($0)) }
        for client in again {
            _ = try client.mount()
            #expect(isStale { _ = try client.attributes(files[3]) })
            #expect(try client.readAll(stays, count: 2 << 20) == [UInt8](repeating: 9, count: 1 << 20))
        }
        #expect(try command(cluster, "fileset", "create", "scratch", "--at", "/images/scratch").status == 0)
        let second = try #require(try fileset(cluster, "scratch", asking: 1))
        #expect(second.id > first)
        let anew = try again[1].lookup(folder, "scratch")
        #expect(try again[1].names(anew).isEmpty)
        let file = try again[1].create(anew, "f0")
        try again[1].write(file, [UInt8](repeating: 3, count: 100_000), at: 0, .fileSync)
        #expect(try again[2].readAll(file, count: 100_000) == [UInt8](repeating: 3, count: 100_000))
        #expect(isStale { _ = try again[2].attributes(files[0]) })
        // The same again, with everybody there: nothing of it stays either.
        #expect(try command(cluster, "fileset", "delete", "scratch").status == 0)
        try cluster.wait("the second one has left, too", within: 30) {
            try fileset(cluster, "scratch", asking: 2) == nil && databases(cluster, second.id).isEmpty
                && (1...3).allSatisfy { try taken(cluster, $0) == before }
        }
        #expect(cluster.dead.isEmpty)
    }
}
