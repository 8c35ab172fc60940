import ClusterModel
import Wire

/// The operations, each in a file of its name; this file has what they share.
///
/// An operation first checks everything and throws a `NamespaceFailure`, then changes rows: so a failure changes nothing.
extension NamespaceMachine {
    mutating func execute(_ entry: NamespaceEntry, _ rows: some NamespaceRows) throws -> NamespaceResult {
        let caller = entry.credentials
        do {
            switch entry.operation {
            case .create(let directory, let name, let file, let attributes):
                return try create(in: directory, name, file, attributes, caller, rows)
            case .setAttributes(let inode, let changes, let guardTime):
                return try setAttributes(of: inode, changes, guardTime: guardTime, caller, rows)
            case .link(let inode, let directory, let name): return try link(inode, in: directory, name, caller, rows)
            case .remove(let directory, let name): return try remove(in: directory, name, caller, rows)
            case .removeDirectory(let directory, let name):
                return try removeDirectory(in: directory, name, caller, rows)
            case .rename(let from, let name, let to, let newName):
                return try rename(from: from, name, to: to, newName, caller, rows)
            case .raiseLimit(let inode, let limit): return try raiseLimit(of: inode, to: limit, rows)
            case .extend(let inode, let size, let truncation):
                return try extend(inode, to: size, within: truncation, rows)
            case .registerWriter(let inode, let session): return try registerWriter(session, of: inode, caller, rows)
            case .settle(let inode, let session, let modified, let usage):
                return try settle(inode, session, at: modified, usage, rows)
            case .settleSession(let session): return try settleAll(of: session, rows)
            case .touchAccessTime(let inode): return try touchAccessTime(of: inode, rows)
            case .finishRangeDeletion(let inode, let truncation):
                return try finishDeletion(of: inode, truncation, rows)
            case .reserveInodes(let through):
                state.reserved = max(state.reserved, through)
                return NamespaceResult()
            case .abandonReservation:
                state.nextInode = max(state.nextInode, InodeNumber(state.reserved.rawValue + 1))
                return NamespaceResult()
            case .recordFileUsage(let inode, let usage): return try recordFileUsage(of: inode, usage, rows)
            case .recordUsage(let bytes):
                state.usage.bytes = bytes
                return NamespaceResult()
            case .initialize(let setup): return try initialize(setup, rows)
            case .setQuota(let quota):
                state.quota = quota
                return NamespaceResult()
            }
        } catch let failure as NamespaceFailure {
            return try refusal(failure, entry.operation, rows)
        } catch let earlier as UnfinishedCut {
            return NamespaceResult(failure: .cutUnfinished, deletion: earlier.deletion)
        }
    }

    /// A failure comes with the attributes that the NFS answer wants.
    private mutating func refusal(
        _ failure: NamespaceFailure, _ operation: NamespaceOperation, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        func unchanged(_ inode: InodeNumber, _ machine: inout NamespaceMachine) throws -> DirectoryChange? {
            guard let row = try machine.inodes.row(inode, rows), machine.showsBefore(row) else { return nil }
            let attributes = machine.attributes(inode, row)
            return DirectoryChange(before: attributes, after: attributes)
        }
        var result = NamespaceResult(failure: failure)
        switch operation {
        case .create(let directory, _, _, _), .remove(let directory, _), .removeDirectory(let directory, _),
            .link(_, let directory, _):
            result.directory = try unchanged(directory, &self)
        case .rename(let from, _, let to, _):
            result.directory = try unchanged(from, &self)
            result.secondDirectory = try unchanged(to, &self)
        case .setAttributes(let inode, _, _): result.directory = try unchanged(inode, &self)
        case .raiseLimit, .extend, .registerWriter, .settle, .settleSession, .touchAccessTime, .finishRangeDeletion,
            .reserveInodes, .abandonReservation, .recordFileUsage, .recordUsage, .initialize, .setQuota:
            break
        }
        return result
    }

    func attributes(_ inode: InodeNumber, _ row: InodeRow) -> FileAttributes {
        row.attributes(of: FileID(fileset: state.fileset, inode: inode))
    }

    /// The inode as an operation's result shows it. While other sessions write to it its times move in results as well;
    /// that is remembered, so that settled times are not earlier.
    mutating func shown(_ inode: InodeNumber, _ row: inout InodeRow) -> Inode {
        let file = FileID(fileset: state.fileset, inode: inode)
        guard row.moves(for: asker) else {
            return Inode(attributes: row.attributes(of: file), hint: row.hint(state.quotaStanding))
        }
        row.answered = now
        store(inode, row)
        return Inode(attributes: row.attributes(of: file, moving: now), hint: row.hint(state.quotaStanding))
    }

    /// The inode as it is stored, for operations that gateways do on their own account and show to no one.
    func exact(_ inode: InodeNumber, _ row: InodeRow) -> Inode {
        Inode(attributes: attributes(inode, row), hint: row.hint(state.quotaStanding))
    }

    /// Nil deletes it.
    mutating func store(_ inode: InodeNumber, _ row: InodeRow?) {
        inodes.set(inode, row, version: version)
        touched.touch(inode)
    }

    mutating func existing(_ inode: InodeNumber, _ rows: some NamespaceRowReader) throws -> InodeRow {
        guard let row = try inodes.row(inode, rows) else { throw NamespaceFailure.stale }
        return row
    }

    /// An inode that a row names.
    mutating func named(_ inode: InodeNumber, _ rows: some NamespaceRowReader) throws -> InodeRow {
        guard let row = try inodes.row(inode, rows) else { throw NamespaceFault.missingRow("inode \(inode)") }
        return row
    }

    /// A directory that the caller may search.
    mutating func directory(
        _ inode: InodeNumber, for caller: Credentials, _ rows: some NamespaceRowReader
    ) throws -> InodeRow {
        let row = try existing(inode, rows)
        try row.checkSearch(by: caller)
        return row
    }

    mutating func regular(_ inode: InodeNumber, _ rows: some NamespaceRowReader) throws -> InodeRow {
        let row = try existing(inode, rows)
        guard row.kind == .regular else { throw NamespaceFailure.invalid }
        return row
    }

    func entry(_ directory: InodeNumber, _ name: FileName, _ rows: some NamespaceRowReader) throws -> EntryRow? {
        try rows.value(of: .entry(directory, name)).map { try EntryRow($0) }
    }

    /// In a sticky directory only the owner of the file or of the directory removes or renames (S_ISVTX, POSIX).
    func checkSticky(_ directory: InodeRow, _ file: InodeRow, _ caller: Credentials) throws {
        if directory.mode & FileMode.sticky != 0, !caller.isSuperuser, caller.uid != file.uid,
            caller.uid != directory.uid
        {
            throw NamespaceFailure.notPermitted
        }
    }

    /// Adds a name under a new cookie.
    mutating func addEntry(
        _ number: InodeNumber, _ directory: inout InodeRow, _ name: FileName, to inode: InodeNumber,
        _ rows: some NamespaceRows
    ) throws {
        let cookie = directory.nextCookie
        directory.nextCookie += 1
        directory.entries += 1
        directory.nameBytes += UInt64(name.bytes.count)
        try putEntry(number, name, EntryRow(inode: inode, cookie: cookie), rows)
    }

    mutating func putEntry(
        _ directory: InodeNumber, _ name: FileName, _ entry: EntryRow, _ rows: some NamespaceRows
    ) throws {
        try rows.put(.entry(directory, name), entry.encoded(), version: version)
        try rows.put(
            .cookie(directory, entry.cookie), CookieRow(inode: entry.inode, name: name).encoded(), version: version)
        touched.touch(directory, name, entry)
    }

    /// Takes away the name, not its cookie.
    mutating func dropName(_ directory: InodeNumber, _ name: FileName, _ rows: some NamespaceRows) throws {
        try rows.delete(.entry(directory, name), version: version)
        touched.touch(directory, name, nil)
    }

    mutating func dropEntry(
        _ number: InodeNumber, _ directory: inout InodeRow, _ name: FileName, _ entry: EntryRow,
        _ rows: some NamespaceRows
    ) throws {
        directory.entries -= 1
        directory.nameBytes -= UInt64(name.bytes.count)
        try dropName(number, name, rows)
        try rows.delete(.cookie(number, entry.cookie), version: version)
    }

    /// Takes one name from a file that is no directory; with the last one the inode goes, and a regular file's objects are
    /// to be deleted.
    mutating func unlink(
        _ inode: InodeNumber, _ file: InodeRow, _ rows: some NamespaceRows
    ) throws -> RangeDeletion? {
        var file = file
        guard file.linkCount == 1 else {
            file.linkCount -= 1
            file.change(at: now)
            store(inode, file)
            return nil
        }
        return try deleteInode(inode, file, rows)
    }

    mutating func deleteInode(
        _ inode: InodeNumber, _ file: InodeRow, _ rows: some NamespaceRows
    ) throws -> RangeDeletion? {
        store(inode, nil)
        unfinishedCuts[inode] = nil
        state.usage.inodes -= 1
        for writer in file.writers { try rows.delete(.writer(writer.session, inode), version: version) }
        guard file.kind == .regular else { return nil }
        if file.measurement == .pending { try rows.delete(.unmeasured(inode), version: version) }
        var deletion = RangeDeletion(
            file: FileID(fileset: state.fileset, inode: inode),
            truncation: TruncationMark(number: file.truncation.number.next, size: 0), layout: file.layout,
            kind: .removal, limit: file.limit, edge: nil)
        // The removal covers what truncations before it were still to cut.
        for (key, pending) in try unfinishedDeletions(of: inode, limit: Int.max, rows) {
            deletion.limit = max(deletion.limit, pending.limit)
            try rows.delete(key, version: version)
        }
        try putDeletion(deletion, rows)
        return deletion
    }

    /// The data groups have the cut: what is measured from now on is without what it cut.
    mutating func finishDeletion(
        of inode: InodeNumber, _ truncation: TruncationNumber, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        try rows.delete(.deletion(inode, truncation), version: version)
        if unfinishedCuts[inode] == truncation { unfinishedCuts[inode] = nil }
        if var row = try inodes.row(inode, rows), row.kind == .regular {
            try unmeasure(inode, &row, rows)
            store(inode, row)
        }
        return NamespaceResult()
    }

    /// The oldest first.
    func unfinishedDeletions(
        of inode: InodeNumber, limit: Int, _ rows: some NamespaceRowReader
    ) throws -> [(key: NamespaceKey, deletion: RangeDeletion)] {
        try rows.rows(
            from: .deletion(inode, .zero), below: .deletion(InodeNumber(inode.rawValue + 1), .zero), limit: limit
        ).map { row in
            (row.key, try decodeRow(row.value) { r throws(WireError) in try r.rangeDeletion() })
        }
    }

    /// Of all files, as the rows have them.
    static func unfinishedCuts(_ rows: some NamespaceRowReader) throws -> [InodeNumber: TruncationNumber] {
        var cuts: [InodeNumber: TruncationNumber] = [:]
        var next = NamespaceKey.deletion(InodeNumber(0), .zero)
        while true {
            let page = try rows.rows(from: next, below: .endOfDeletions, limit: NamespaceLimits.listedEntries)
            for row in page {
                let deletion = try decodeRow(row.value) { r throws(WireError) in try r.rangeDeletion() }
                // Ascending: the newest of a file comes last.
                if deletion.kind == .truncation { cuts[deletion.file.inode] = deletion.truncation.number }
            }
            guard page.count == NamespaceLimits.listedEntries, let last = page.last else { return cuts }
            next = NamespaceKey(bytes: last.key.bytes + [0])
        }
    }

    mutating func putDeletion(_ deletion: RangeDeletion, _ rows: some NamespaceRows) throws {
        if deletion.kind == .truncation { unfinishedCuts[deletion.file.inode] = deletion.truncation.number }
        var w = WireWriter(capacity: 40)
        w.rangeDeletion(deletion)
        try rows.put(.deletion(deletion.file.inode, deletion.truncation.number), w.bytes, version: version)
    }
}

/// Bits of a mode beyond the nine of permissions.
enum FileMode {
    static let setUID: UInt16 = 0o4000
    static let setGID: UInt16 = 0o2000
    static let sticky: UInt16 = 0o1000
    static let groupExecute: UInt16 = 0o0010
    static let all: UInt16 = 0o7777

    /// What a change of content or owner leaves: no setuid, and no setgid where it means execution as the group (setgid
    /// without group execute means nothing of the kind and stays).
    static func withoutPrivileges(_ mode: UInt16) -> UInt16 {
        var mode = mode & ~setUID
        if mode & groupExecute != 0 { mode &= ~setGID }
        return mode
    }
}
