import ClusterModel
import Testing
import Wire

@testable import Replication

/// Blocks that the own disk has lost (store.md, rule 5).
struct SeekingTests {
    private let wanted = WantedBlocks(
        object: ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(7)), index: 0),
        blocks: BlockRange(first: 0, count: 1), wanted: 1, checksums: [4711])

    private func ends(_ group: PlacementGroup, _ token: WorkToken) -> Bool {
        var effects: [ReplicaEffect] = []
        group.takeEffects(into: &effects)
        return effects.contains { if case .searchEnded(token) = $0 { true } else { false } }
    }

    @Test("A member that has said that its replica is out of use is not waited for, whenever it said so")
    func gone() throws {
        let trio = try HandoverTests.Trio()
        trio.begin()
        let group = trio.groups[0]
        let gone = ReplicaMessage(pg: trio.pg, epoch: .zero, body: .gone)
        group.messageArrived(from: NodeID(3), gone, at: trio.moment)
        let first = group.blocksLost(wanted, at: trio.moment)
        let nothing = BlocksGiven(request: first.rawValue, standing: .ready, content: 0, payload: nil)
        group.messageArrived(
            from: NodeID(2), ReplicaMessage(pg: trio.pg, epoch: trio.record.epoch, body: .blocks(nothing)),
            at: trio.moment)
        #expect(ends(group, first), "both others have answered")
        let second = group.blocksLost(wanted, at: trio.moment)
        #expect(!ends(group, second), "one is asked")
        group.messageArrived(from: NodeID(2), gone, at: trio.moment)
        #expect(ends(group, second), "nobody is left to ask")
    }
}
