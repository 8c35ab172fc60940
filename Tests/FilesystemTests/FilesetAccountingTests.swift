import ClusterModel
import Testing
import Wire

@testable import Storage

/// What filesets use, summed from nodes' reports.
struct FilesetAccountingTests {
    private func report(_ groups: [UInt32], _ bytes: [UInt32: UInt64]) -> GroupsUsage {
        GroupsUsage(
            groups: groups.map { .data($0) },
            filesets: bytes.keys.sorted().map { FilesetBytes(fileset: FilesetID($0), bytes: bytes[$0] ?? 0) })
    }

    @Test("A sum needs every data group in exactly one report")
    func sum() {
        let first = report([0, 2], [1: 10, 2: 5])
        let second = report([1, 3], [2: 7])
        #expect(
            FilesetAccounting.sum([first, second], dataGroups: 4) == [FilesetID(1): 10, FilesetID(2): 12])
        #expect(FilesetAccounting.sum([first], dataGroups: 4) == nil, "groups 1 and 3 have no primary now")
        #expect(
            FilesetAccounting.sum([first, second, report([3], [:])], dataGroups: 4) == nil, "two nodes claim group 3")
        #expect(FilesetAccounting.sum([first, report([1, 4], [:])], dataGroups: 4) == nil, "there is no group 4")
        #expect(FilesetAccounting.sum([], dataGroups: 4) == nil)
    }

    @Test("Usage that a node told stands until it tells the next")
    func lastTold() {
        var peers = PeerWatch()
        peers.connected(NodeID(2), boot: BootID(1), spoken: .newest, at: Instant(nanoseconds: 0))
        let usage = report([1], [1: 10])
        peers.told(NodeID(2), NodeStanding(mapVersion: MapVersion(1), totalBytes: 5, freeBytes: 4, usage: usage))
        peers.told(NodeID(2), NodeStanding(mapVersion: MapVersion(2), totalBytes: 5, freeBytes: 3))
        #expect(peers.standings.first?.standing.usage == usage)
        #expect(peers.standings.first?.standing.freeBytes == 3)
    }
}
