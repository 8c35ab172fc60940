import ClusterModel
import Filesystem
import NIOCore
import NIOEmbedded
import Storage
import Testing
import Wire

/// Finding what damaged files are called.
struct PathSearchTests {
    private final class Tree {
        let loop = EmbeddedEventLoop()
        let files: MemoryFilesystem
        let search: PathSearch
        private let context = CallContext(credentials: .superuser)

        init(_ filesets: [Fileset] = []) {
            files = MemoryFilesystem(eventLoop: loop)
            search = PathSearch(files) { filesets }
        }

        func name(_ text: String) throws -> FileName { try #require(FileName(text)) }

        func make(_ text: String, in folder: FileID = MemoryFilesystem.root, _ kind: NewFile) throws -> FileID {
            var made: FileID?
            files.create(
                context, in: folder, name: try name(text), file: kind, attributes: AttributeChanges()
            ) { made = (try? $0.get())?.inode?.attributes.file }
            return try #require(made)
        }

        func remove(_ text: String, in folder: FileID = MemoryFilesystem.root) throws {
            files.remove(context, in: folder, name: try name(text)) { _ in }
        }

        func find(_ wanted: [FileID]) -> [FileID: FilePath]? {
            var found: [FileID: FilePath]?
            search.find(wanted) { found = $0 }
            for _ in 0..<10_000 where found == nil { loop.run() }
            return found
        }
    }

    @Test("files are found wherever they lie, however full the folders are; those that are gone have no name")
    func paths() throws {
        let tree = Tree()
        let folder = try tree.make("images", .directory)
        for i in 0..<1200 { _ = try tree.make("f\(i)", in: folder, .regular(.unchecked)) }
        let late = try tree.make("a name", in: folder, .regular(.unchecked))
        var deep = folder
        for i in 0..<200 { deep = try tree.make("d\(i)", in: deep, .directory) }
        let deepest = try tree.make("x", in: deep, .regular(.unchecked))
        let gone = try tree.make("gone", .regular(.unchecked))
        try tree.remove("gone")
        let found = try #require(tree.find([late, gone, deepest, MemoryFilesystem.root]))
        #expect(found[late] == .path("/images/a name"))
        #expect(found[gone] == FilePath.none)
        let folders = (0..<200).map { "d\($0)" }.joined(separator: "/")
        #expect(found[deepest] == .path("/images/\(folders)/x"))
        #expect(found.count == 3)
    }

    @Test("two who search at once are both answered, each walk once")
    func together() throws {
        let tree = Tree()
        let file = try tree.make("a", .regular(.unchecked))
        var answers = 0
        for _ in 0..<5 {
            tree.search.find([file]) { if $0[file] == .path("/a") { answers += 1 } }
        }
        for _ in 0..<100 { tree.loop.run() }
        #expect(answers == 5)
        #expect(tree.files.calls < 10)
    }

    @Test("where the file system does not answer nothing is said, and the search ends")
    func unavailable() throws {
        let tree = Tree()
        let file = try tree.make("a", .regular(.unchecked))
        tree.files.failure = .unavailable
        #expect(tree.find([file]) == [:])
    }
}
