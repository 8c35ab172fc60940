import ClusterModel
import Testing

struct IdentifierTests {
    @Test("A unique identifier reads what it prints, and the forms of the kernel and of UUIDs")
    func unique() {
        var random = SplitMix64(seed: 1)
        for shift in 0..<128 {
            let id = DiskID((UInt128(random.next()) << 64 | UInt128(random.next())) >> UInt128(shift))
            #expect(id.description.count == 32)
            #expect(DiskID(hex: id.description) == id)
        }
        #expect(BootID(hex: "00000000-0000-0000-0000-0000000000ff") == BootID(255))
        #expect(ClusterID(hex: "ABCDEF00000000000000000000000000") == ClusterID(UInt128(0xabcdef) << 104))
    }

    @Test(
        "What is no identifier is refused",
        arguments: [
            "", "ff", "0000000000000000000000000000000", "000000000000000000000000000000000",
            "g0000000000000000000000000000000", "+0000000000000000000000000000000", "-",
            "0x000000000000000000000000000000",
            " 0000000000000000000000000000000", "٠0000000000000000000000000000000",
        ])
    func notUnique(text: String) {
        #expect(DiskID(hex: text) == nil)
    }

    @Test("A placement group reads what it prints")
    func groups() {
        for index: UInt32 in [0, 1, 63, 1 << 20, (1 << 31) - 1] {
            #expect(PGID(PGID.data(index).description) == PGID.data(index))
            let metadata = PGID.metadata(FilesetID(index))
            #expect(PGID(metadata.description) == metadata)
            #expect(metadata.fileset == FilesetID(index))
            #expect(PGID.data(index).fileset == nil)
        }
    }

    @Test(
        "What is no placement group is refused",
        arguments: [
            "", "d", "m", "1", "x1", "d-1", "d+1", "d1 ", " d1", "d2147483648", "m4294967296", "d1.0", "d٣", "D1",
        ])
    func notGroups(text: String) {
        #expect(PGID(text) == nil)
    }

    @Test("Entries are compared by epoch first, then by number")
    func names() {
        let names = [
            EntryName.zero, EntryName(epoch: Epoch(1), n: 1), EntryName(epoch: Epoch(1), n: 9),
            EntryName(epoch: Epoch(2), n: 2), EntryName(epoch: Epoch(3), n: 1),
        ]
        #expect(names.shuffled().sorted() == names)
    }

    @Test("Instants do not go below zero")
    func instants() {
        let a = Instant(nanoseconds: 5)
        let b = Instant(nanoseconds: 9)
        #expect(b - a == TimeSpan(nanoseconds: 4))
        #expect(a - b == .zero)
        #expect(a + .milliseconds(2) == Instant(nanoseconds: 2_000_005))
    }

    @Test("A policy takes 1 to 5 copies, and a majority by default")
    func policies() {
        #expect((1...5).compactMap { ReplicationPolicy(copies: $0)?.minInSync } == [1, 2, 2, 3, 3])
        for (copies, least) in [(0, 1), (6, 1), (3, 0), (3, 4), (-1, -1)] {
            #expect(ReplicationPolicy(copies: copies, minInSync: least) == nil)
        }
    }

    @Test("Only sessions in the map are live")
    func sessions() {
        guard let policy = ReplicationPolicy(copies: 1) else { return }
        var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 1)
        #expect(!map.isLive(SessionID(1)))
        map.sessions = [2, 3, 5, 8, 13].map { Session(id: SessionID($0), node: NodeID(1), lease: .none) }
        for id: UInt64 in 0..<20 { #expect(map.isLive(SessionID(id)) == [2, 3, 5, 8, 13].contains(id)) }
    }
}
