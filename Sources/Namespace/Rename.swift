import ClusterModel
import Wire

extension NamespaceMachine {
    /// RENAME (RFC 1813, 3.3.14; rename(2) for what it leaves open).
    mutating func rename(
        from: InodeNumber, _ name: FileName, to: InodeNumber, _ newName: FileName, _ caller: Credentials,
        _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        let source = try directory(from, for: caller, rows)
        let target = try directory(to, for: caller, rows)
        guard let moving = try entry(from, name, rows) else { throw NamespaceFailure.notFound }
        var file = try named(moving.inode, rows)
        let replaced = try entry(to, newName, rows)
        if file.kind == .directory, try isWithin(to, moving.inode, rows) { throw NamespaceFailure.invalid }
        let beforeSource = attributes(from, source)
        let beforeTarget = attributes(to, target)
        if let replaced, replaced.inode == moving.inode {
            // Two names of one file: nothing happens (POSIX).
            return NamespaceResult(
                inode: shown(moving.inode, &file),
                directory: DirectoryChange(before: beforeSource, after: beforeSource),
                secondDirectory: DirectoryChange(before: beforeTarget, after: beforeTarget))
        }
        guard source.permits(.write, to: caller), target.permits(.write, to: caller) else {
            throw NamespaceFailure.accessDenied
        }
        try checkSticky(source, file, caller)
        // Another parent means another "..", which is a change of the directory that moves.
        if file.kind == .directory, from != to, !file.permits(.write, to: caller) {
            throw NamespaceFailure.accessDenied
        }
        var old: InodeRow?
        if let replaced {
            let row = try named(replaced.inode, rows)
            try checkSticky(target, row, caller)
            if file.kind == .directory {
                guard row.kind == .directory else { throw NamespaceFailure.notDirectory }
                guard row.entries == 0 else { throw NamespaceFailure.notEmpty }
            } else if row.kind == .directory {
                throw NamespaceFailure.isDirectory
            }
            old = row
        }
        let deletion = try move(moving, &file, name, from, to, newName, replacing: replaced, old, rows)
        return NamespaceResult(
            inode: shown(moving.inode, &file),
            directory: DirectoryChange(before: beforeSource, after: attributes(from, try named(from, rows))),
            secondDirectory: DirectoryChange(before: beforeTarget, after: attributes(to, try named(to, rows))),
            deletion: deletion)
    }

    /// All is checked. Each row is read when its turn comes: both directories may be one.
    private mutating func move(
        _ moving: EntryRow, _ file: inout InodeRow, _ name: FileName, _ from: InodeNumber, _ to: InodeNumber,
        _ newName: FileName, replacing replaced: EntryRow?, _ old: InodeRow?, _ rows: some NamespaceRows
    ) throws -> RangeDeletion? {
        var source = try named(from, rows)
        if from == to, replaced == nil {
            // The entry keeps its cookie under its new name: a listing that renames what it reads would never end, were
            // each rename a new entry at the end.
            try dropName(from, name, rows)
            try putEntry(from, newName, moving, rows)
            source.nameBytes += UInt64(newName.bytes.count)
            source.nameBytes -= UInt64(name.bytes.count)
            source.modify(at: now)
            store(from, source)
            file.change(at: now)
            store(moving.inode, file)
            return nil
        }
        try dropEntry(from, &source, name, moving, rows)
        if file.kind == .directory { source.linkCount -= 1 }
        source.modify(at: now)
        store(from, source)

        var target = try named(to, rows)
        var deletion: RangeDeletion?
        if let replaced, let old {
            // The name keeps its cookie.
            try putEntry(to, newName, EntryRow(inode: moving.inode, cookie: replaced.cookie), rows)
            if old.kind == .directory {
                target.linkCount -= 1
                _ = try deleteInode(replaced.inode, old, rows)
            } else {
                deletion = try unlink(replaced.inode, old, rows)
            }
        } else {
            try addEntry(to, &target, newName, to: moving.inode, rows)
        }
        if file.kind == .directory {
            target.linkCount += 1
            file.parent = to
        }
        target.modify(at: now)
        store(to, target)

        file.change(at: now)
        store(moving.inode, file)
        return deletion
    }

    /// Whether `directory` is `ancestor` or lies below it.
    private mutating func isWithin(
        _ directory: InodeNumber, _ ancestor: InodeNumber, _ rows: some NamespaceRows
    ) throws -> Bool {
        var inode = directory
        while inode != ancestor {
            if inode == .root { return false }
            inode = try named(inode, rows).parent
        }
        return true
    }
}
