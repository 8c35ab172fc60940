import ClusterModel
import Wire

/// A cut that comes while this one has not reached every data group of its range.
struct UnfinishedCut: Error {
    var deletion: RangeDeletion
}

extension NamespaceMachine {
    /// SETATTR (RFC 1813, 3.3.2), with Linux's rules for who may and for setuid and setgid. All or nothing.
    mutating func setAttributes(
        of inode: InodeNumber, _ changes: AttributeChanges, guardTime: Timestamp?, _ caller: Credentials,
        _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var row = try existing(inode, rows)
        let before = attributes(inode, row)
        if let guardTime, guardTime != row.changeTime { throw NamespaceFailure.notSynchronized }
        try checkChanges(changes, of: row, caller)
        guard changes != AttributeChanges() else {
            let isQuiet = showsBefore(row)
            return NamespaceResult(
                inode: shown(inode, &row), directory: isQuiet ? DirectoryChange(before: before, after: before) : nil)
        }

        if let uid = changes.uid { row.uid = uid }
        if let gid = changes.gid { row.gid = gid }
        var mode = changes.mode ?? row.mode
        if changes.mode != nil, !caller.isSuperuser, !caller.isMember(of: row.gid) { mode &= ~FileMode.setGID }
        if row.kind != .directory, changes.uid != nil || changes.gid != nil { mode = FileMode.withoutPrivileges(mode) }
        if changes.size != nil, !caller.isSuperuser { mode = FileMode.withoutPrivileges(mode) }
        row.mode = mode & FileMode.all
        var deletion: RangeDeletion?
        if let size = changes.size {
            deletion = try resize(inode, &row, to: size, rows)
            row.modificationTime = now
        }
        if let time = changes.accessTime { row.accessTime = chosen(time) }
        if let time = changes.modificationTime { row.modificationTime = chosen(time) }
        if changes.size != nil || changes.accessTime != nil || changes.modificationTime != nil {
            // What was set now stands: settlements of writes before it change nothing.
            for i in row.writers.indices { row.writers[i].overruled = now }
            row.answered = .zero
        }
        row.change(at: now)
        store(inode, row)
        let change = showsBefore(row) ? DirectoryChange(before: before, after: attributes(inode, row)) : nil
        return NamespaceResult(inode: shown(inode, &row), directory: change, deletion: deletion)
    }

    /// Whether the attributes of before a change may be told. Not while somebody writes: times that are not settled yet are not
    /// in the row, and a client that knows the row would take the writes of others for its own change (RFC 1813, 2.6).
    func showsBefore(_ row: InodeRow) -> Bool { semantics < 3 || row.writers.isEmpty }

    private func checkChanges(_ changes: AttributeChanges, of row: InodeRow, _ caller: Credentials) throws {
        if let mode = changes.mode, mode > FileMode.all { throw NamespaceFailure.invalid }
        if let size = changes.size {
            switch row.kind {
            case .regular: break
            case .directory: throw NamespaceFailure.isDirectory
            case .symbolicLink, .blockDevice, .characterDevice, .fifo, .socket: throw NamespaceFailure.invalid
            }
            // The owner may in any case: over NFS a file that was opened for writing stays writable (RFC 1813, 4.4).
            guard caller.uid == row.uid || row.permits(.write, to: caller) else { throw NamespaceFailure.accessDenied }
            guard size <= Geometry.maximumFileSize else { throw NamespaceFailure.fileTooBig }
        }
        if caller.isSuperuser { return }
        let isOwner = caller.uid == row.uid
        if let uid = changes.uid, !isOwner || uid != row.uid { throw NamespaceFailure.notPermitted }
        if let gid = changes.gid, !isOwner || (gid != row.gid && !caller.isMember(of: gid)) {
            throw NamespaceFailure.notPermitted
        }
        if changes.mode != nil, !isOwner { throw NamespaceFailure.notPermitted }
        for change in [changes.accessTime, changes.modificationTime] {
            switch change {
            case .to: if !isOwner { throw NamespaceFailure.notPermitted }
            case .now: if !isOwner, !row.permits(.write, to: caller) { throw NamespaceFailure.accessDenied }
            case nil: break
            }
        }
    }

    /// Growing only sets the size. Cutting raises the truncation number and leaves the row of a range deletion; the limit
    /// falls, because what was sent before the cut no longer counts.
    ///
    /// Operations on objects carry one mark, the newest: a data group that first hears of a cut from the one after it would
    /// keep what lies below that one, and show it once the file has grown. So a cut is executed only when those before it
    /// have reached all data groups of their ranges, that is, when the inode has no row of a deletion.
    private mutating func resize(
        _ inode: InodeNumber, _ row: inout InodeRow, to size: UInt64, _ rows: some NamespaceRows
    ) throws -> RangeDeletion? {
        defer { row.size = size }
        guard size < row.size else { return nil }
        if semantics >= 2, let earlier = try unfinishedDeletions(of: inode, limit: 1, rows).first {
            throw UnfinishedCut(deletion: earlier.deletion)
        }
        row.truncation = TruncationMark(number: row.truncation.number.next, size: size)
        let deletion = RangeDeletion(
            file: FileID(fileset: state.fileset, inode: inode), truncation: row.truncation, layout: row.layout,
            kind: .truncation, limit: row.limit, edge: nil)
        row.limit = min(row.limit, max(size, UInt64(row.layout.stripeUnit)))
        let block = UInt64(Geometry.blockSize)
        row.used = min(row.used, (size + block - 1) / block * block)
        try unmeasure(inode, &row, rows)
        try putDeletion(deletion, rows)
        return deletion
    }

    /// Linux's relatime rule: only when the time is not later than the last change, or a day old.
    mutating func touchAccessTime(of inode: InodeNumber, _ rows: some NamespaceRows) throws -> NamespaceResult {
        var row = try existing(inode, rows)
        let age = now.nanoseconds &- row.accessTime.nanoseconds
        if row.accessTime <= row.modificationTime || row.accessTime <= row.changeTime
            || age >= Int64(NamespaceLimits.accessTimeAge.nanoseconds)
        {
            row.accessTime = now
            store(inode, row)
        }
        return NamespaceResult(inode: exact(inode, row))
    }
}
