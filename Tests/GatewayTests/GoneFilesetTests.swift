import ClusterModel
import Gateway
import Testing
import Wire

/// A fileset is deleted while a gateway works on its files.
struct GoneFilesetTests {
    private func isStale(_ result: Result<FileAnswer, FileFailure>?) -> Bool {
        if case .failure(.namespace(.stale)) = result { true } else { false }
    }

    @Test("When its fileset is deleted everything asked of a file ends as stale, what is under way included")
    func everythingEnds() throws {
        let name = try #require(FileName("image"))
        let scene = Scene()
        let (world, a) = (scene.world, scene.a)
        scene.write(a, 0, scene.values(64))
        // Nothing of the metadata group answers any more.
        let metadata = PGID.metadata(World.fileset)
        world.records[metadata]?.primary = nil
        var ended: [Result<FileAnswer, FileFailure>] = []
        let requests: [FileRequest] = [
            .attributes(scene.file), .setAttributes(scene.file, AttributeChanges(size: 5), guardTime: nil),
            .commit(scene.file, offset: 0, count: 0),
            .lookup(directory: Scene.root, name: name),
        ]
        for request in requests { a.begin(request) { ended.append($0) } }
        a.write(scene.file, 1 << 20, scene.values(64, 9), .stable) { ended.append($0) }
        world.run(for: .seconds(1))
        #expect(ended.isEmpty)
        world.map.filesets[0].state = .deleting
        world.map.version = world.map.version.next
        a.show()
        world.run(for: .seconds(5)) { ended.count == 5 }
        #expect(ended.count == 5)
        #expect(ended.allSatisfy { isStale($0) })
        #expect(isStale(a.ask(.read(scene.file, offset: 0, count: 512))))
        #expect(isStale(a.ask(.attributes(scene.file))))

        // The map forgets the fileset, and the gateway what it knew of it.
        world.map.filesets.removeAll()
        world.map.version = world.map.version.next
        world.records[metadata] = nil
        a.show()
        world.run(for: .seconds(20))
        #expect(isStale(a.ask(.attributes(scene.file))))
        #expect(a.machine.waits().isEmpty)
        #expect(a.machine.operationCount == 0)
    }
}
