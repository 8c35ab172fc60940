import ClusterModel
import Wire

extension NamespaceMachine {
    /// A name that is to be taken out of a directory that the caller may change.
    private mutating func victim(
        _ number: InodeNumber, _ name: FileName, _ caller: Credentials, _ rows: some NamespaceRows
    ) throws -> (parent: InodeRow, entry: EntryRow, file: InodeRow) {
        let parent = try directory(number, for: caller, rows)
        guard let found = try entry(number, name, rows) else { throw NamespaceFailure.notFound }
        guard parent.permits(.write, to: caller) else { throw NamespaceFailure.accessDenied }
        let file = try named(found.inode, rows)
        try checkSticky(parent, file, caller)
        return (parent, found, file)
    }

    /// REMOVE (RFC 1813, 3.3.12).
    mutating func remove(
        in number: InodeNumber, _ name: FileName, _ caller: Credentials, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var (parent, found, file) = try victim(number, name, caller, rows)
        if file.kind == .directory { throw NamespaceFailure.isDirectory }
        let before = attributes(number, parent)
        try dropEntry(number, &parent, name, found, rows)
        parent.modify(at: now)
        store(number, parent)
        let deletion = try unlink(found.inode, file, rows)
        return NamespaceResult(
            directory: DirectoryChange(before: before, after: attributes(number, parent)), deletion: deletion)
    }

    /// RMDIR (RFC 1813, 3.3.13).
    mutating func removeDirectory(
        in number: InodeNumber, _ name: FileName, _ caller: Credentials, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var (parent, found, file) = try victim(number, name, caller, rows)
        guard file.kind == .directory else { throw NamespaceFailure.notDirectory }
        guard file.entries == 0 else { throw NamespaceFailure.notEmpty }
        let before = attributes(number, parent)
        try dropEntry(number, &parent, name, found, rows)
        parent.linkCount -= 1
        parent.modify(at: now)
        store(number, parent)
        _ = try deleteInode(found.inode, file, rows)
        return NamespaceResult(directory: DirectoryChange(before: before, after: attributes(number, parent)))
    }

    /// LINK (RFC 1813, 3.3.15). Directories have one name only.
    mutating func link(
        _ inode: InodeNumber, in number: InodeNumber, _ name: FileName, _ caller: Credentials,
        _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var file = try existing(inode, rows)
        var parent = try directory(number, for: caller, rows)
        if try entry(number, name, rows) != nil { throw NamespaceFailure.exists }
        guard parent.permits(.write, to: caller) else { throw NamespaceFailure.accessDenied }
        if file.kind == .directory { throw NamespaceFailure.notPermitted }
        guard file.linkCount < NamespaceLimits.links else { throw NamespaceFailure.tooManyLinks }
        let before = attributes(number, parent)
        file.linkCount += 1
        file.change(at: now)
        store(inode, file)
        try addEntry(number, &parent, name, to: inode, rows)
        parent.modify(at: now)
        store(number, parent)
        return NamespaceResult(
            inode: shown(inode, &file), directory: DirectoryChange(before: before, after: attributes(number, parent)))
    }
}
