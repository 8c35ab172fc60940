import ClusterModel
import Namespace
import Wire

/// A look at a whole fileset through its rows: that they are a tree, and nothing beside it.
///
/// - every name's inode is there, and every inode but the root has a name;
/// - link counts and parents are what the names say;
/// - each name has one cookie; whatever waits to be deleted is a cut, or of an inode that is gone;
/// - nothing is kept of a session that is gone;
/// - the count of inodes is right; and all is what a model of the log says, where there is one.
struct TreeAudit {
    private let namespace: HostedNamespace
    /// Nil where windows of sessions that are gone may be left.
    private let liveSessions: [SessionID]?

    init(_ namespace: HostedNamespace, liveSessions: [SessionID]?) {
        self.namespace = namespace
        self.liveSessions = liveSessions
    }

    private func ask(_ query: NamespaceQuery) throws -> NamespaceAnswer {
        var w = WireWriter()
        NamespaceQuestion(credentials: .superuser, session: .none, query: query).encode(into: &w)
        return try namespace.answer(w.bytes, at: .zero).answer
    }

    func findings(_ model: ModelTree) throws -> String? {
        for inode in model.inodes {
            if let wrong = try compare(.attributes(inode: inode), model) { return wrong }
            if model.nodes[inode]?.kind == .directory {
                let listing = NamespaceQuery.list(directory: inode, cookie: 0, limit: 512, detail: .namesAndInodes)
                if let wrong = try compare(listing, model) ?? compare(.parent(directory: inode), model) { return wrong }
            }
        }
        let whole: [NamespaceQuery] = [.usage, .pendingDeletions(after: InodeNumber(0), limit: 512)]
        for query in whole { if let wrong = try compare(query, model) { return wrong } }
        if let wrong = try findings() { return wrong }
        let counts = [1: model.nodes.count, 2: model.nameCount, 3: model.nameCount, 6: model.deletions.count]
        for table in counts.keys.sorted() where rows(of: table) != counts[table] {
            return "\(rows(of: table)) rows of table \(table) for \(counts[table] ?? 0)"
        }
        return nil
    }

    private func rows(of table: Int) -> Int {
        namespace.rows.everything.filter { $0.key.bytes.first == UInt8(table) }.count
    }

    private func compare(_ query: NamespaceQuery, _ model: ModelTree) throws -> String? {
        model.difference(query, try ask(query)).map { "\(query): \($0)" }
    }

    /// Without a model.
    func findings() throws -> String? {
        guard case .inode(let root) = try ask(.attributes(inode: .root)) else {
            return rows(of: 1) == 0 ? nil : "inodes without a root"
        }
        var names: [InodeNumber: UInt32] = [:]
        var seen: [Inode] = [root]
        var known: Set<InodeNumber> = [.root]
        var nameCount = 0
        var next = 0
        while next < seen.count {
            let directory = seen[next].attributes
            next += 1
            guard directory.kind == .directory else { continue }
            let number = directory.file.inode
            guard
                case .entries(let entries, _, .reached) = try ask(
                    .list(directory: number, cookie: 0, limit: 512, detail: .namesAndInodes))
            else { return "directory \(number) cannot be listed" }
            nameCount += entries.count
            var folders: UInt32 = 0
            for entry in entries {
                guard let inode = entry.details else { return "\(entry.name) in \(number) has no inode" }
                names[entry.inode, default: 0] += 1
                if inode.attributes.kind == .directory {
                    folders += 1
                    guard case .found(let parent, _) = try ask(.parent(directory: entry.inode)),
                        parent.attributes.file.inode == number
                    else { return "directory \(entry.inode) has another parent than \(number)" }
                }
                if known.insert(entry.inode).inserted { seen.append(inode) }
            }
            if directory.linkCount != 2 + folders {
                return "directory \(number) has \(directory.linkCount) links and \(folders) folders"
            }
        }
        for inode in seen where inode.attributes.kind != .directory {
            let number = inode.attributes.file.inode
            if inode.attributes.linkCount != names[number] {
                return "inode \(number) has \(inode.attributes.linkCount) links and \(names[number] ?? 0) names"
            }
        }
        if rows(of: 1) != seen.count { return "\(rows(of: 1)) inodes, of which \(seen.count) have names" }
        if rows(of: 2) != nameCount || rows(of: 3) != nameCount {
            return "\(nameCount) names with \(rows(of: 2)) entries and \(rows(of: 3)) cookies"
        }
        guard case .usage(let usage, _) = try ask(.usage), usage.inodes == UInt64(seen.count) else {
            return "the usage does not say \(seen.count) inodes"
        }
        let writers = namespace.rows.everything.filter { $0.key.bytes.first == 5 }.map { row in
            SessionID(row.key.bytes[1..<9].reduce(0) { $0 << 8 | UInt64($1) })
        }
        for session in writers + namespace.sessions where liveSessions.map({ !$0.contains(session) }) ?? false {
            return "something is kept of session \(session), which is gone"
        }
        guard case .deletions(let deletions) = try ask(.pendingDeletions(after: InodeNumber(0), limit: 512)) else {
            return "pending deletions cannot be asked for"
        }
        for deletion in deletions where known.contains(deletion.file.inode) != (deletion.kind == .truncation) {
            return
                "a \(deletion.kind) of inode \(deletion.file.inode) waits, which is \(known.contains(deletion.file.inode) ? "there" : "gone")"
        }
        return nil
    }
}
