import ClusterModel
import Testing

@Suite struct LiveFilesetsTests {
    private func map(last: UInt32, _ filesets: (UInt32, Fileset.State)...) throws -> ClusterMap {
        let policy = try #require(ReplicationPolicy(copies: 3))
        var map = ClusterMap(cluster: ClusterID(1), policy: policy, dataPGCount: 4)
        map.filesets = filesets.map {
            Fileset(id: FilesetID($0.0), name: "f\($0.0)", layout: .standard, state: $0.1, junction: nil)
        }
        map.lastFileset = FilesetID(last)
        return map
    }

    @Test("a fileset is gone when its id was given and it is not live; one that is not given yet may come")
    func gone() throws {
        let filesets = LiveFilesets(try map(last: 7, (4, .live), (1, .live), (6, .deleting)))
        #expect((1...9).filter { filesets.isGone(FilesetID($0)) } == [2, 3, 5, 6, 7])
        #expect(!LiveFilesets().isGone(FilesetID(1)), "before a map is known nothing is gone")
    }

    @Test("what was lost since an earlier map is told, the first map counting as news")
    func lost() throws {
        let first = LiveFilesets(try map(last: 2, (1, .live), (2, .live)))
        #expect(first.hasLost(since: LiveFilesets()))
        #expect(!first.hasLost(since: first))
        #expect(!LiveFilesets(try map(last: 3, (1, .live), (2, .live), (3, .live))).hasLost(since: first))
        #expect(LiveFilesets(try map(last: 2, (1, .live), (2, .deleting))).hasLost(since: first))
        #expect(LiveFilesets(try map(last: 4, (1, .live), (2, .live), (4, .live))).hasLost(since: first))
    }
}
