import Admin
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
        #expect(try cluster.scrub()?.contains("on any replica") == true)
        // Part of the block cannot be written, for the rest of it is not known; the whole block can.
        #expect(throws: NFSFailure.self) { try client.write(file, [1, 2, 3], at: UInt64(lost * 4096 + 5), .fileSync) }
        let new = [UInt8](repeating: 0x5a, count: 4096)
        try client.write(file, new, at: UInt64(lost * 4096), .fileSync)
        #expect(try client.read(file, at: UInt64(lost * 4096), count: 4096) == new)
        #expect(try cluster.scrub() == nil)
    }
}
