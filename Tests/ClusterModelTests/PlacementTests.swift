import Testing

@testable import ClusterModel

private func map(nodes: Int, disksPerNode: Int = 1, domain: (Int) -> [String] = { _ in [] }) -> ClusterMap {
    guard let policy = ReplicationPolicy(copies: 3) else { preconditionFailure("three copies are within the range") }
    var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 64)
    for n in 1...nodes {
        map.nodes.append(
            ClusterNode(
                id: NodeID(UInt16(n)), name: "n\(n)", address: "127.0.0.\(n)", roles: .storage,
                failureDomain: domain(n)))
        for d in 0..<disksPerNode {
            var random = SplitMix64(seed: UInt64(n * 100 + d))
            let id = DiskID(UInt128(random.next()) << 64 | UInt128(random.next()))
            map.disks.append(ClusterDisk(id: id, node: NodeID(UInt16(n)), weight: 100, path: "/d"))
        }
    }
    return map
}

private func object(_ random: inout SplitMix64) -> ObjectID {
    ObjectID(
        file: FileID(fileset: FilesetID(UInt32(1 + random.below(4))), inode: InodeNumber(random.next() >> 40)),
        index: random.next() >> 50)
}

struct PlacementTests {
    static let groups = 4096

    @Test(
        "-log2 in fixed point is the exact value, rounded up",
        arguments: [
            // (hash, ceiling of -log2(hash / 2^64) × 2^32), computed with 80 digits.
            (0x1, 274_877_906_944), (0x2, 270_582_939_648), (0x3, 268_070_544_839), (0x5, 264_905_301_713),
            (0x7, 262_820_409_366), (0xa, 260_610_334_417), (0x3e8, 232_075_189_363), (0xdead_beef, 138_303_016_191),
            (0x0123_4567_89ab_cdef, 33_559_934_675), (0x4000_0000_0000_0000, 8_589_934_592),
            (0x6000_0000_0000_0000, 6_077_539_783), (0x7fff_ffff_ffff_ffff, 4_294_967_297),
            (0x8000_0000_0000_0000, 4_294_967_296), (0x8000_0000_0000_0001, 4_294_967_296),
            (0xb504_f333_f9de_6484, 2_147_483_649), (0xb504_f333_f9de_6485, 2_147_483_648),
            (0xc000_0000_0000_0000, 1_782_572_487), (0xffff_ffff_0000_0000, 2), (0xffff_ffff_8000_0000, 1),
            (0xffff_ffff_ffff_ffff, 1), (0xfedc_ba98_7654_3210, 27_600_616), (0x9e37_79b9_7f4a_7c15, 2_981_746_315),
            (0, 274_877_906_944),
        ] as [(UInt64, UInt64)])
    func logarithm(hash: UInt64, exact: UInt64) {
        #expect(Placement.negativeLog2(hash) == exact)
    }

    @Test("The score grows with the hash and with the weight, and never overflows")
    func scores() {
        var random = SplitMix64(seed: 1)
        for _ in 0..<2000 {
            let a = random.next()
            let b = random.next()
            let weight = UInt32(1 + random.below(1 << 20))
            let (low, high) = (min(a, b), max(a, b))
            #expect(
                Placement.weightedScore(hash: low, weight: weight)
                    <= Placement.weightedScore(hash: high, weight: weight))
            #expect(
                Placement.weightedScore(hash: a, weight: weight) < Placement.weightedScore(hash: a, weight: weight + 1))
        }
        #expect(Placement.weightedScore(hash: .max, weight: .max) == UInt128(UInt32.max) << 64)
    }

    @Test("Nodes of equal weight hold equal shares, within a tenth")
    func balance() {
        let map = map(nodes: 7)
        var shares: [NodeID: Int] = [:]
        for group in 0..<Self.groups {
            for target in Placement.targets(for: .data(UInt32(group)), map: map, copies: 3) {
                shares[target.node, default: 0] += 1
            }
        }
        let even = Self.groups * 3 / 7
        for node in map.nodes {
            let share = shares[node.id] ?? 0
            #expect(abs(share - even) < even / 10, "\(node.id) holds \(share) replicas where \(even) are even")
        }
    }

    @Test("A disk of twice the weight gets twice the groups when one copy is kept, within a tenth")
    func weights() {
        var map = map(nodes: 4)
        map.disks[0].weight = 200
        let first = (0..<Self.groups).count { group in
            Placement.targets(for: .data(UInt32(group)), map: map, copies: 1).first?.disk == map.disks[0].id
        }
        let even = Self.groups * 2 / 5
        #expect(abs(first - even) < even / 10, "\(first) groups where \(even) are due")
    }

    @Test(
        "Adding a node to N moves about 1 / (N + 1) of the replicas, all of them to the new node", arguments: [3, 5, 9])
    func growth(nodes: Int) {
        let before = map(nodes: nodes)
        let after = map(nodes: nodes + 1)
        var moved = 0
        for group in 0..<Self.groups {
            let old = Placement.targets(for: .data(UInt32(group)), map: before, copies: 3)
            let new = Placement.targets(for: .data(UInt32(group)), map: after, copies: 3)
            let arrived = new.filter { !old.contains($0) }
            moved += arrived.count
            for target in arrived { #expect(target.node == NodeID(UInt16(nodes + 1)), "group \(group)") }
        }
        let due = Self.groups * 3 / (nodes + 1)
        #expect(abs(moved - due) < due / 10, "\(moved) replicas moved where \(due) are due")
    }

    @Test("A replica never shares a node with another, and racks are used before a second node of a rack")
    func domains() {
        let map = map(nodes: 6, disksPerNode: 2) { ["site", "rack-\($0 % 3)"] }
        for group in 0..<Self.groups {
            let targets = Placement.targets(for: .data(UInt32(group)), map: map, copies: 3)
            #expect(Set(targets.map(\.node)).count == 3, "group \(group)")
            #expect(Set(targets.map { $0.node.rawValue % 3 }).count == 3, "group \(group) has two replicas in one rack")
        }
    }

    @Test("With fewer nodes than copies every node holds one replica; nodes without the storage role hold none")
    func fewNodes() {
        var map = map(nodes: 3)
        map.nodes[1].roles = [.interface, .management]
        let targets = Placement.targets(for: .data(5), map: map, copies: 3)
        #expect(Set(targets.map(\.node)) == [NodeID(1), NodeID(3)])
    }

    @Test("The order of disks in the map does not matter")
    func order() {
        let map = map(nodes: 5, disksPerNode: 2)
        var reversed = map
        reversed.disks.reverse()
        reversed.nodes.reverse()
        for group in 0..<256 {
            let pg = PGID.data(UInt32(group))
            #expect(
                Placement.targets(for: pg, map: map, copies: 3) == Placement.targets(for: pg, map: reversed, copies: 3))
        }
    }

    @Test("Doubling the groups splits each in two and moves nothing else")
    func split() {
        var random = SplitMix64(seed: 3)
        for _ in 0..<5000 {
            let object = object(&random)
            let before = Placement.group(of: object, groupCount: 64)
            let after = Placement.group(of: object, groupCount: 128)
            #expect(after.rawValue == before.rawValue || after.rawValue == before.rawValue + 64)
        }
    }

    @Test("Neighbouring objects of one file are dealt evenly over the groups")
    func spread() {
        var counts = Array(repeating: 0, count: 64)
        let file = FileID(fileset: .root, inode: InodeNumber(77))
        for index in 0..<64_000 {
            counts[Int(Placement.group(of: ObjectID(file: file, index: UInt64(index)), groupCount: 64).rawValue)] += 1
        }
        for count in counts { #expect(abs(count - 1000) < 200, "\(count) of 1,000") }
    }

    @Test("Placement is what it was: values that disks depend on do not change")
    func frozen() {
        let map = map(nodes: 5)
        let targets = (0..<8).map { group in
            Placement.targets(for: .data(UInt32(group)), map: map, copies: 3).map { Int($0.node.rawValue) }
        }
        #expect(targets == Frozen.targets)
        let groups = (0..<8).map { index in
            Placement.group(
                of: ObjectID(file: FileID(fileset: .root, inode: InodeNumber(9)), index: UInt64(index)), groupCount: 64
            ).rawValue
        }
        #expect(groups == Frozen.groups)
    }
}

/// Taken from the first version; a change would look for objects where they are not.
private enum Frozen {
    static let targets = [
        [3, 4, 5], [2, 1, 5], [2, 4, 1], [2, 4, 3], [5, 1, 3], [5, 4, 2], [5, 2, 4], [5, 3, 1],
    ]
    static let groups: [UInt32] = [37, 11, 6, 53, 46, 14, 28, 40]
}
