import ClusterModel
import NIOCore
import Storage
import Wire

/// Finds paths that lead to files, for operators after damage: an inode does not know its names, so the filesets are walked.
/// Used on the file system's event loop only.
///
/// Invariants:
/// - one walk at a time, at most one page of a folder under way: clients' requests come between;
/// - a file is said to have no name only if its inode is gone, or counts no links; where a walk was not finished, or a name
///   moved meanwhile, nothing is said.
public final class PathSearch {
    /// Files of one walk; what is asked for beyond it is not found.
    static let files = 256
    /// Entries that one walk looks at, minutes; what lies behind them is not found.
    static let entries = 4 << 20
    /// Entries of a page.
    static let page = 512
    /// Folders above one another; deeper ones have no path here.
    static let depth = 256

    private let filesystem: any VirtualFilesystem
    private let filesets: () -> [Fileset]
    private let context = CallContext(credentials: .superuser)
    private var waiting: [(files: [FileID], done: ([FileID: FilePath]) -> Void)] = []
    private var isWalking = false

    public init(_ filesystem: any VirtualFilesystem, filesets: @escaping () -> [Fileset]) {
        self.filesystem = filesystem
        self.filesets = filesets
    }

    /// One path of each file, where one was found.
    public func find(_ files: [FileID], done: @escaping ([FileID: FilePath]) -> Void) {
        waiting.append((files, done))
        begin()
    }

    private func begin() {
        guard !isWalking, !waiting.isEmpty else { return }
        isWalking = true
        let batch = waiting
        waiting = []
        var files: [FileID] = []
        for file in batch.flatMap(\.files) where files.count < PathSearch.files && !files.contains(file) {
            files.append(file)
        }
        let walk = Walk(wanted: files)
        sortOut(files[...], walk) { [self] in
            isWalking = false
            for one in batch { one.done(walk.found) }
            begin()
        }
    }

    private final class Walk {
        /// Those that have names and whose names were not met.
        var wanted: [FileID]
        var found: [FileID: FilePath] = [:]
        var entries = 0
        /// Folders that are still to be read.
        var folders: [(folder: FileID, path: String)] = []
        init(wanted: [FileID]) { self.wanted = wanted }
    }

    /// First those that have no name.
    private func sortOut(_ files: ArraySlice<FileID>, _ walk: Walk, _ done: @escaping () -> Void) {
        guard let file = files.first else {
            var filesets: [FilesetID] = []
            for file in walk.wanted where !filesets.contains(file.fileset) { filesets.append(file.fileset) }
            return through(filesets[...], walk, done)
        }
        filesystem.attributes(context, of: file) { [self] result in
            switch result {
            case .failure(.namespace(.stale)): walk.found[file] = FilePath.none
            case .success(let inode) where inode.attributes.linkCount == 0: walk.found[file] = FilePath.none
            case .success, .failure: break
            }
            walk.wanted.removeAll { walk.found[$0] != nil }
            later { self.sortOut(files.dropFirst(), walk, done) }
        }
    }

    private func through(_ filesets: ArraySlice<FilesetID>, _ walk: Walk, _ done: @escaping () -> Void) {
        guard let fileset = filesets.first else { return done() }
        let root = FileID(fileset: fileset, inode: .root)
        path(of: root, below: "", depth: 0) { [self] path in
            guard let path else { return through(filesets.dropFirst(), walk, done) }
            walk.folders = [(root, path)]
            descend(walk, of: fileset) { self.through(filesets.dropFirst(), walk, done) }
        }
    }

    private func descend(_ walk: Walk, of fileset: FilesetID, _ done: @escaping () -> Void) {
        guard walk.entries < PathSearch.entries, walk.wanted.contains(where: { $0.fileset == fileset }),
            let (folder, path) = walk.folders.popLast()
        else { return done() }
        read(folder, cookie: 0) { entry in
            walk.entries += 1
            guard let attributes = entry.details?.attributes else { return }
            if attributes.kind == .directory { walk.folders.append((attributes.file, "\(path)/\(entry.name)")) }
            guard let i = walk.wanted.firstIndex(of: attributes.file) else { return }
            walk.wanted.remove(at: i)
            walk.found[attributes.file] = .path("\(path)/\(entry.name)")
        } done: {
            self.descend(walk, of: fileset, done)
        }
    }

    /// All entries of a folder, as far as it can be read.
    private func read(
        _ folder: FileID, cookie: UInt64, _ each: @escaping (DirectoryEntry) -> Void, done: @escaping () -> Void
    ) {
        filesystem.list(
            context, directory: folder, cookie: cookie, limit: PathSearch.page, detail: .namesAndInodes
        ) { [self] result in
            guard case .success(let page) = result else { return later(done) }
            page.entries.forEach(each)
            guard page.end == .more, let last = page.entries.last else { return later(done) }
            later { self.read(folder, cookie: last.cookie, each, done: done) }
        }
    }

    /// The path of a folder, upwards, with what lies below it; nil where it cannot be told.
    private func path(of folder: FileID, below: String, depth: Int, _ done: @escaping (String?) -> Void) {
        guard depth < PathSearch.depth else { return done(nil) }
        if folder.inode == .root {
            if folder.fileset == .root { return done(below) }
            guard let junction = filesets().first(where: { $0.id == folder.fileset })?.junction else {
                return done(nil)
            }
            let name = String(decoding: junction.name, as: UTF8.self)
            return path(of: junction.directory, below: "/\(name)\(below)", depth: depth + 1, done)
        }
        filesystem.parent(context, directory: folder) { [self] result in
            guard case .success(let found) = result else { return done(nil) }
            let parent = found.inode.attributes.file
            var name: FileName?
            read(parent, cookie: 0) { entry in
                if entry.inode == folder.inode { name = entry.name }
            } done: {
                guard let name else { return done(nil) }
                self.path(of: parent, below: "/\(name)\(below)", depth: depth + 1, done)
            }
        }
    }

    /// Answers may come before the call returns: steps do not pile up on the stack.
    private func later(_ step: @escaping () -> Void) { filesystem.eventLoop.assumeIsolated().execute(step) }
}
