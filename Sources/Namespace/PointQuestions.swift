import ClusterModel
import Wire

/// Where questions about single inodes and names find their rows: the machine, on the namespace thread, or `RowCache`, on
/// the loop. Both are answered by the code of this file, so that they cannot differ.
protocol PointRows {
    /// Nil when there is no such inode.
    mutating func inode(_ number: InodeNumber) throws -> InodeRow?
    /// Nil when the directory has no such name.
    mutating func entry(_ directory: InodeNumber, _ name: FileName) throws -> EntryRow?
}

/// How inodes look to the one who asks.
struct InodeView {
    var fileset: FilesetID
    var quota: QuotaStanding
    var asker: SessionID
    var now: Timestamp
    var moving: [InodeNumber] = []
    var showsWriting = false

    mutating func inode(_ inode: InodeNumber, _ row: InodeRow) -> Inode {
        Inode(attributes: attributes(inode, row), hint: row.hint(quota))
    }

    mutating func attributes(_ inode: InodeNumber, _ row: InodeRow) -> FileAttributes {
        let file = FileID(fileset: fileset, inode: inode)
        if !row.writers.isEmpty { showsWriting = true }
        guard row.moves(for: asker) else { return row.attributes(of: file) }
        moving.append(inode)
        return row.attributes(of: file, moving: now)
    }
}

extension NamespaceQuery {
    /// Whether it is about single inodes and names, which `PointRows` answer.
    public var isPoint: Bool {
        switch self {
        case .lookup, .parent, .attributes, .access, .readSymbolicLink: true
        case .list, .usage, .pendingDeletions, .measurable, .allocation: false
        }
    }
}

extension PointRows {
    /// Nil for a question that is not about single inodes and names.
    mutating func answer(
        _ query: NamespaceQuery, _ caller: Credentials, _ view: inout InodeView
    ) throws -> NamespaceAnswer? {
        switch query {
        case .lookup(let number, let name):
            let parent = try existing(number)
            try parent.checkSearch(by: caller)
            guard let found = try entry(number, name) else { throw NamespaceFailure.notFound }
            let row = try named(found.inode)
            return .found(view.inode(found.inode, row), directory: view.attributes(number, parent))
        case .parent(let number):
            let child = try existing(number)
            try child.checkSearch(by: caller)
            let row = try named(child.parent)
            return .found(view.inode(child.parent, row), directory: view.attributes(number, child))
        case .attributes(let inode): return .inode(view.inode(inode, try existing(inode)))
        case .access(let inode, let rights):
            let attributes = view.attributes(inode, try existing(inode))
            return .access(attributes.granted(rights, to: caller), attributes)
        case .readSymbolicLink(let inode):
            let row = try existing(inode)
            guard row.kind == .symbolicLink else { throw NamespaceFailure.invalid }
            return .symbolicLink(target: row.target, view.attributes(inode, row))
        case .list, .usage, .pendingDeletions, .measurable, .allocation: return nil
        }
    }

    private mutating func existing(_ number: InodeNumber) throws -> InodeRow {
        guard let row = try inode(number) else { throw NamespaceFailure.stale }
        return row
    }

    /// An inode that a row names.
    private mutating func named(_ number: InodeNumber) throws -> InodeRow {
        guard let row = try inode(number) else { throw NamespaceFault.missingRow("inode \(number)") }
        return row
    }
}

extension InodeRow {
    func permits(_ bit: AccessBit, to caller: Credentials) -> Bool {
        attributes(of: FileID(fileset: .root, inode: InodeNumber(0))).permits(bit, to: caller)
    }

    /// Throws unless it is a directory that the caller may search.
    func checkSearch(by caller: Credentials) throws {
        guard kind == .directory else { throw NamespaceFailure.notDirectory }
        guard permits(.execute, to: caller) else { throw NamespaceFailure.accessDenied }
    }
}
