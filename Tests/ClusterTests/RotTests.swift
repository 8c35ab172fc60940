import Admin
import ClusterModel
import Foundation
import ONCRPC
import Testing

/// Disks whose bytes change by themselves under clusters of real processes.
struct RotTests {
    /// Content in which every block of 4 KiB is different.
    private static func content(_ megabytes: Int, seed: UInt64) -> [UInt8] {
        var random = SplitMix64(seed: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(megabytes << 20)
        for _ in 0..<(megabytes << 20) / 8 {
            withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// Flips a byte of these blocks (numbers in the content) in a node's data file, as often as each is there; gives how many
    /// blocks were found.
    private static func rot(
        _ cluster: TestCluster, _ node: UInt16, _ content: [UInt8], blocks: [Int]
    ) throws -> Int {
        let path = "\(cluster.folder)/node-\(node)/disk-0/data"
        let image = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
        guard let file = FileHandle(forUpdatingAtPath: path) else { throw ClusterFailure("\(path) cannot be opened") }
        defer { try? file.close() }
        var places: [[UInt8]: Int] = [:]
        for block in blocks { places[Array(content[block * 4096..<block * 4096 + 16])] = block }
        var found = 0
        for at in stride(from: 0, to: image.count, by: 4096) {
            guard places[Array(image[at..<at + 16])] != nil else { continue }
            try file.seek(toOffset: UInt64(at + 1000))
            try file.write(contentsOf: Data([image[at + 1000] ^ 0x20]))
            found += 1
        }
        return found
    }

    private static func stave(_ cluster: TestCluster, _ words: String...) throws -> Command.Outcome {
        try Command.run([TestCluster.program] + words + ["--config", cluster.folder + ".yaml"], seconds: 120)
    }

    private static func events(_ cluster: TestCluster) throws -> [String] {
        try cluster.nodes.flatMap { try cluster.status($0.rawValue).events.map(\.text) }
    }

    @Test("Rot on one node's disk reaches no reader at any gateway, is mended as it is met, and the rest by a scrub")
    func oneDisk() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 71)
        let clients = try (1...3).map { try NFSClient(cluster.address(UInt16($0))) }
        var roots: [NFS3.FileHandle] = []
        try cluster.wait("every gateway is mounted", within: 60) {
            roots = clients.compactMap { try? $0.mount() }
            return roots.count == 3
        }
        let content = Self.content(8, seed: 7)
        let file = try clients[0].create(roots[0], "image")
        for at in stride(from: 0, to: content.count, by: 1 << 20) {
            try clients[0].write(file, Array(content[at..<at + (1 << 20)]), at: UInt64(at), .fileSync)
        }
        // Every node is the primary of some of the file's groups, and a backup of the others.
        for node: UInt16 in 1...3 {
            let blocks = stride(from: Int(node), to: 2048, by: 16).map { $0 }
            #expect(try Self.rot(cluster, node, content, blocks: blocks) == blocks.count, "node \(node)")
            for client in clients {
                for at in stride(from: 0, to: content.count, by: 1 << 20) {
                    #expect(
                        try client.readAll(file, at: UInt64(at), count: 1 << 20) == Array(content[at..<at + (1 << 20)]),
                        "rot on node \(node), at \(at)")
                }
            }
            // What no reader met is mended by the scrub, which finds all whole then.
            #expect(try cluster.scrub() == nil, "node \(node)")
            let counters = try cluster.status(node).metrics.groups
            #expect(counters.badBlocks >= UInt64(blocks.count), "node \(node)")
            #expect(counters.mendedBlocks >= UInt64(blocks.count), "node \(node)")
            #expect(counters.lostBlocks == 0, "node \(node)")
        }
        #expect(try Self.events(cluster).contains { $0.contains("taken from another replica") })
        // It is on the disks, not only in memory.
        cluster.kill9()
        try cluster.start()
        let again = try NFSClient(cluster.address(2))
        _ = try again.mount()
        #expect(try again.readAll(file, count: 1 << 20) == Array(content.prefix(1 << 20)))
        try cluster.awaitAllInSync(within: 60)
        #expect(try cluster.scrub() == nil)
        for node: UInt16 in 1...3 { #expect(try cluster.status(node).metrics.groups.badBlocks == 0) }
    }

    @Test("A block that has rotted on all replicas is an I/O error, and only it, until something is written over it")
    func allDisks() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 72)
        let client = try NFSClient(cluster.address(1))
        var root: NFS3.FileHandle?
        try cluster.wait("the gateway is mounted", within: 60) {
            root = try? client.mount()
            return root != nil
        }
        let content = Self.content(1, seed: 8)
        let file = try client.create(#require(root), "image")
        try client.write(file, content, at: 0, .fileSync)
        let lost = 37
        for node: UInt16 in 1...3 {
            #expect(try Self.rot(cluster, node, content, blocks: [lost]) == 1, "node \(node)")
        }
        for block in 0..<256 {
            if block == lost {
                #expect(throws: NFSFailure.self) { try client.read(file, at: UInt64(block * 4096), count: 4096) }
            } else {
                #expect(
                    try client.read(file, at: UInt64(block * 4096), count: 4096)
                        == Array(content[block * 4096..<block * 4096 + 4096]), "block \(block)")
            }
        }
        let said = try Self.events(cluster)
        let inode = try client.attributes(file).fileID
        #expect(
            said.contains {
                $0.contains("lost on all replicas") && $0.contains("offset \(lost * 4096) of inode \(inode)")
            },
            "\(said)")
        // Everywhere by its path and its offset: in the events, in the log, by a scrub, which keeps it, and by the status.
        let place = "/images/image (inode \(inode) in fileset 2)"
        try cluster.wait("the events name the path", within: 20) {
            try Self.events(cluster).contains { $0.hasPrefix(place) && $0.hasSuffix("at offset \(lost * 4096)") }
        }
        let named = "offset \(lost * 4096) of \(place)"
        let logs = try (1...3).map { node in
            try String(contentsOfFile: cluster.configuration.logPath(of: NodeID(UInt16(node))), encoding: .utf8)
        }
        #expect(logs.contains { $0.contains(named) })
        let scrub = try #require(try cluster.scrub())
        #expect(scrub.contains("on any replica") && scrub.contains(named), "\(scrub)")
        #expect(try Self.stave(cluster, "status").output.contains("/images/image"))
        // Part of the block cannot be written, for the rest of it is not known; the whole block can.
        #expect(throws: NFSFailure.self) { try client.write(file, [1, 2, 3], at: UInt64(lost * 4096 + 5), .fileSync) }
        let new = [UInt8](repeating: 0x5a, count: 4096)
        try client.write(file, new, at: UInt64(lost * 4096), .fileSync)
        #expect(try client.read(file, at: UInt64(lost * 4096), count: 4096) == new)
        #expect(try cluster.scrub() == nil)
    }

    @Test("A scrub of one fileset mends and names what is in it, and leaves the others to theirs")
    func oneFileset() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 76)
        let client = try NFSClient(cluster.address(1))
        var root: NFS3.FileHandle?
        try cluster.wait("the gateway is mounted", within: 60) {
            root = try? client.mount()
            return root != nil
        }
        let images = try #require(root)
        #expect(try Self.stave(cluster, "fileset", "create", "golden", "--at", "/images/golden").status == 0)
        let golden = try client.makeFolder(client.lookup(images, "golden"), "base")
        let contents = (1...2 as ClosedRange<UInt64>).map { Self.content(1, seed: 80 + $0) }
        for (folder, content) in [(images, contents[0]), (golden, contents[1])] {
            try client.write(client.create(folder, "image"), content, at: 0, .fileSync)
        }
        // Of the one file nothing can be mended, of the other everything.
        for node: UInt16 in 1...3 { #expect(try Self.rot(cluster, node, contents[0], blocks: [7]) == 1) }
        #expect(try Self.rot(cluster, 2, contents[1], blocks: [3, 100]) == 2)
        let first = try Self.stave(cluster, "scrub", "--fileset", "golden", "--wait", "60", "--json")
        #expect(first.status == 0, "\(first.output)")
        let answer = try JSONSerialization.jsonObject(with: Data(first.output.utf8)) as? [String: Any]
        #expect(answer?["fileset"] as? String == "golden" && answer?["mended"] as? Int == 2, "\(first.output)")
        #expect(answer?["objects"] as? Int == 1 && answer?["blocks"] as? Int == 256)
        #expect((answer?["groups"] as? [Any])?.count == 17)
        // It says nothing of the whole groups.
        let groups = try cluster.ask(NodeID(1), .groups, as: [GroupReport].self)
        #expect(groups.filter { $0.scrub == nil }.count > 12)
        #expect(try Self.stave(cluster, "scrub", "--fileset", "golden").output.contains("All replicas agree"))
        let whole = try #require(try cluster.scrub())
        #expect(whole.contains("of /images/image ("))
        // A path that leads through a junction.
        for node: UInt16 in 1...3 { #expect(try Self.rot(cluster, node, contents[1], blocks: [40]) == 1) }
        let second = try Self.stave(cluster, "scrub", "--fileset", "golden")
        #expect(
            second.status == 1 && second.output.contains("offset 163840 of /images/golden/base/image ("), "\(second)")
        #expect(!second.output.contains("of /images/image ("))

        let unknown = try Self.stave(cluster, "scrub", "--fileset", "none")
        #expect(unknown.status == 3)
        #expect(unknown.output.contains("there is no fileset none; there are root, images, golden"))
        let foreign = try Self.stave(cluster, "scrub", "--fileset", "golden", "--pg", "m1")
        #expect(foreign.status == 3 && foreign.output.contains("has nothing in m1"))
        let late = try Self.stave(cluster, "scrub", "--wait", "0")
        #expect(late.status == 4 && late.output.contains("ST1041"), "\(late.output)")
    }
}
