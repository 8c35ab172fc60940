import Admin
import ClusterModel
import Foundation
import Glibc
import ONCRPC
import Testing

/// What `du`, `df` and `qemu-img info` show.
extension ClusterTests {
    /// Offsets of blocks in a file of `size` bytes, each another one.
    private func blocks(_ count: Int, in size: UInt64, _ random: inout SplitMix64) -> [UInt64] {
        var chosen: Set<UInt64> = []
        while chosen.count < count { chosen.insert(UInt64.random(in: 0..<size / 4096, using: &random) * 4096) }
        return chosen.sorted()
    }

    /// Bytes that a fileset uses, as the node knows them.
    private func usedBytes(_ cluster: TestCluster, _ fileset: String, asking node: UInt16) throws -> UInt64? {
        try cluster.ask(NodeID(node), .map, as: MapReport.self).filesets.first { $0.name == fileset }?.bytes
    }

    @Test("A sparse file uses its blocks only, exactly, after writes, zeros, cuts and kills of primaries")
    func usage() throws {
        let hasQEMU = Command.isInstalled("qemu-img") && geteuid() == 0
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 52, portmapper: hasQEMU ? 111 : 0)
        var random = SplitMix64(seed: 52)
        let size: UInt64 = 8 << 30
        let one = try NFSClient(cluster.address(1))
        let folder = try one.mount()
        let file = try one.create(folder, "sparse.img")
        try one.setSize(file, size)
        #expect(try one.attributes(file).used == 0)

        // A question to the gateway that wrote is answered exactly, at once.
        try one.write(file, [UInt8](repeating: 1, count: 4096), at: size - 4096)
        #expect(try one.attributes(file).used == 4096)
        let offsets = blocks(100, in: size - 4096, &random)
        for offset in offsets { try one.write(file, [UInt8](repeating: 2, count: 4096), at: offset) }
        #expect(try one.attributes(file).used == 101 * 4096)
        for offset in offsets.prefix(50) { try one.write(file, [UInt8](repeating: 3, count: 4096), at: offset) }
        #expect(try one.attributes(file).used == 101 * 4096, "overwriting needs no blocks")

        // Through another gateway within seconds of the last write.
        let two = try NFSClient(cluster.address(2))
        _ = try two.mount()
        try one.write(file, [UInt8](repeating: 4, count: 1 << 20), at: 1 << 30)
        let inMiB = UInt64(offsets.count { $0 >= 1 << 30 && $0 < (1 << 30) + (1 << 20) })
        var expected = (101 + 256 - inMiB) * 4096
        try cluster.wait("another gateway shows what was written", within: 8) {
            try two.attributes(file).used == expected
        }
        // Runs of zeros become holes.
        try one.write(file, [UInt8](repeating: 0, count: 1 << 20), at: 1 << 30)
        expected -= 256 * 4096
        #expect(try one.attributes(file).used == expected)
        if hasQEMU {
            let info = try Command.run(
                ["qemu-img", "info", "--output", "json", "nfs://\(cluster.address(3))/images/sparse.img"])
            #expect(info.output.contains("\"actual-size\": \(expected)"), "\(info.output)")
        }
        try cluster.wait("the fileset's usage is summed", within: 5) {
            try usedBytes(cluster, "images", asking: 1) == expected
        }

        // Primaries of data and metadata die, and the gateway that has written, before it has settled.
        let more = blocks(60, in: 512 << 20, &random).filter { !offsets.contains($0) }
        for offset in more { try one.write(file, [UInt8](repeating: 5, count: 4096), at: offset) }
        expected += UInt64(more.count) * 4096
        cluster.kill9([1])
        try cluster.wait("the usage is right without node 1", within: 30) { try two.attributes(file).used == expected }
        try cluster.start()
        cluster.kill9([2])
        let three = try NFSClient(cluster.address(3))
        _ = try three.mount()
        try cluster.wait("the usage is right without node 2", within: 30) {
            try three.attributes(file).used == expected
        }
        try cluster.start()
        try cluster.awaitAllInSync(within: 30)
        cluster.kill9()
        try cluster.start()
        let again = try NFSClient(cluster.address(1))
        _ = try again.mount()
        #expect(try again.attributes(file).used == expected)
        try cluster.wait("the fileset's usage is summed after the start", within: 5) {
            try usedBytes(cluster, "images", asking: 3) == expected
        }

        // A cut, and the end.
        let kept = UInt64((offsets + more).count { $0 < 256 << 20 }) * 4096
        try again.setSize(file, 256 << 20)
        try cluster.wait("what was cut off is not counted", within: 8) { try again.attributes(file).used == kept }
        try cluster.wait("the fileset has given back what was cut off", within: 8) {
            try usedBytes(cluster, "images", asking: 1) == kept
        }
        try again.remove(folder, "sparse.img")
        try cluster.wait("the fileset has given everything back", within: 8) {
            try usedBytes(cluster, "images", asking: 1) == 0
        }
        #expect(try cluster.scrub() == nil)
        #expect(cluster.dead.isEmpty)
    }
}
