import Testing

@testable import ClusterModel

@Suite struct MembersTests {
    private static func disk(_ id: Int, _ node: Int) -> ClusterDisk {
        ClusterDisk(
            id: DiskID(UInt128(StableHash.combine(7, UInt64(id)))), node: NodeID(UInt16(node)), weight: 1,
            path: "/disk-\(id)")
    }

    private static func node(_ id: Int) -> ClusterNode {
        ClusterNode(
            id: NodeID(UInt16(id)), name: "n\(id)", address: "127.0.0.\(id)", roles: [.storage, .interface],
            failureDomain: [])
    }

    /// Nodes 1 … `nodes` with one disk each, which has the node's number.
    private static func map(nodes: Int, copies: Int = 3, minInSync: Int? = nil) throws -> ClusterMap {
        let policy = try #require(ReplicationPolicy(copies: copies, minInSync: minInSync))
        var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 64)
        for n in 1...nodes {
            map.nodes.append(node(n))
            map.disks.append(disk(n, n))
        }
        return map
    }

    private static func targets(_ map: ClusterMap) -> [[PlacementTarget]] {
        (0..<UInt32(512)).map { Placement.targets(for: .data($0), map: map, copies: map.policy.copies) }
    }

    @Test("New metadata semantics are put into force when all nodes' programs have them, and not before")
    func upgrade() throws {
        var map = try Self.map(nodes: 3)
        let all: Set = [NodeID(1), NodeID(2), NodeID(3)]
        #expect(try map.upgraded(ready: []) == map, "there is nothing to do")
        map.semantics = 1
        #expect(throws: ClusterMap.Refusal.self) { try map.upgraded(ready: [NodeID(1), NodeID(3)]) }
        let upgraded = try map.upgraded(ready: all)
        #expect(upgraded.semantics == ClusterMap.newestSemantics)
        map.semantics = upgraded.semantics
        #expect(upgraded == map, "nothing else changes")
    }

    @Test("A node that joins takes its share, and no replica moves between the others")
    func joining() throws {
        let map = try Self.map(nodes: 3)
        let joined = try map.adding(Self.node(4), [Self.disk(4, 4)])
        var moved = 0
        for (before, after) in zip(Self.targets(map), Self.targets(joined)) {
            let new = after.filter { !before.contains($0) }
            #expect(new.allSatisfy { $0.node == NodeID(4) })
            moved += new.count
        }
        // A quarter of 1,536 replicas.
        #expect((330...440).contains(moved), "\(moved)")
    }

    @Test("What joins has an id, a name, an address and folders of its own")
    func distinct() throws {
        let map = try Self.map(nodes: 3)
        #expect(throws: ClusterMap.Refusal.self) { try map.adding(Self.node(2), [Self.disk(9, 2)]) }
        var twin = Self.node(4)
        twin.address = "127.0.0.1"
        #expect(throws: ClusterMap.Refusal.self) { try map.adding(twin, [Self.disk(4, 4)]) }
        #expect(throws: ClusterMap.Refusal.self) { try map.adding(Self.node(4), []) }
        #expect(throws: ClusterMap.Refusal.self) { try map.adding(Self.node(4), [Self.disk(1, 4)]) }
        var same = Self.disk(8, 1)
        same.path = "/disk-1"
        #expect(throws: ClusterMap.Refusal.self) { try map.adding(same) }
        #expect(throws: ClusterMap.Refusal.self) { try map.adding(Self.disk(8, 7)) }
    }

    @Test("A disk that replaces another one gets what that one had, again and again, and nothing else moves")
    func replacing() throws {
        let map = try Self.map(nodes: 4)
        let once = try map.replacing(Self.disk(2, 2).id, by: Self.disk(20, 2))
        let twice = try once.replacing(Self.disk(20, 2).id, by: Self.disk(21, 2))
        for (before, after) in zip(Self.targets(map), Self.targets(twice)) {
            #expect(before.map(\.node) == after.map(\.node))
            #expect(after.allSatisfy { $0.node != NodeID(2) || $0.disk == Self.disk(21, 2).id })
        }
        #expect(throws: ClusterMap.Refusal.self) { try map.replacing(Self.disk(2, 2).id, by: Self.disk(20, 3)) }
        #expect(throws: ClusterMap.Refusal.self) { try twice.adding(Self.disk(2, 2)) }
    }

    @Test("What drains gets nothing, and the others keep what they have")
    func draining() throws {
        let map = try Self.map(nodes: 4)
        let drained = try map.changing(NodeID(2), to: .draining)
        for (before, after) in zip(Self.targets(map), Self.targets(drained)) {
            #expect(after.count == 3 && after.allSatisfy { $0.node != NodeID(2) })
            #expect(before.filter { $0.node != NodeID(2) }.allSatisfy { after.contains($0) })
        }
        #expect(Self.targets(try drained.changing(NodeID(2), to: .full)) == Self.targets(map))
    }

    @Test("Nothing drains that leaves fewer nodes than copies, and a cluster that has fewer already may mend")
    func holders() throws {
        let map = try Self.map(nodes: 3)
        #expect(throws: ClusterMap.Refusal.self) { try map.changing(NodeID(2), to: .draining) }
        #expect(throws: ClusterMap.Refusal.self) { try map.changing(Self.disk(2, 2).id, to: .draining) }
        _ = try map.changing(NodeID(2), to: .suspended)
        let two = try map.adding(Self.disk(22, 2))
        _ = try two.changing(Self.disk(2, 2).id, to: .draining)
        // All members of such a group must be in sync: none can be given up to be moved.
        let tight = try Self.map(nodes: 3, copies: 2, minInSync: 2).adding(Self.disk(22, 2))
        #expect(throws: ClusterMap.Refusal.self) { try tight.changing(Self.disk(2, 2).id, to: .draining) }
    }

    @Test("Only what drained and belongs to no group any more is removed")
    func removing() throws {
        let map = try Self.map(nodes: 4).changing(NodeID(4), to: .draining)
        func record(_ nodes: Int...) -> PGRecord {
            PGRecord(
                pg: .data(1), epoch: Epoch(3), primary: nil, primaryLease: .none,
                inSync: nodes.map { Member(node: NodeID(UInt16($0)), disk: Self.disk($0, $0).id, boot: nil) },
                learners: [],
                placement: nodes.map { PlacementTarget(node: NodeID(UInt16($0)), disk: Self.disk($0, $0).id) },
                lossNumber: .zero)
        }
        #expect(throws: ClusterMap.Refusal.self) { try map.removing(NodeID(4), records: [record(1, 2, 4)]) }
        #expect(throws: ClusterMap.Refusal.self) { try map.removing(NodeID(3), records: [record(1, 2, 4)]) }
        let removed = try map.removing(NodeID(4), records: [record(1, 2, 3)])
        #expect(removed.nodes.count == 3 && removed.disks.count == 3)
        let two = try map.adding(Self.disk(11, 1)).changing(Self.disk(11, 1).id, to: .draining)
        #expect(try two.removing(Self.disk(11, 1).id, records: [record(1, 2, 3)]).disks.count == 4)
        #expect(throws: ClusterMap.Refusal.self) { try two.removing(Self.disk(1, 1).id, records: []) }
    }

    @Test("The only whole replica of a group is known")
    func onlyOn() {
        let disk = Self.disk(1, 1).id
        var record = PGRecord(
            pg: .data(1), epoch: Epoch(3), primary: nil, primaryLease: .none,
            inSync: [Member(node: NodeID(1), disk: disk, boot: nil)], learners: [], placement: [], lossNumber: .zero)
        #expect(ClusterMap.onlyOn(disk, records: [record]) == [.data(1)])
        record.inSync.append(Member(node: NodeID(2), disk: DiskID(2), boot: nil))
        #expect(ClusterMap.onlyOn(disk, records: [record]).isEmpty)
    }
}
