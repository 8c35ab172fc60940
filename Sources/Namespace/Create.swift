import ClusterModel
import Wire

extension NamespaceMachine {
    /// Makes the root; the first operation of a fileset. Does nothing when it is there.
    mutating func initialize(_ setup: FilesetSetup, _ rows: some NamespaceRows) throws -> NamespaceResult {
        if var root = try inodes.row(.root, rows) { return NamespaceResult(inode: shown(.root, &root)) }
        guard setup.mode <= FileMode.all else { throw NamespaceFailure.invalid }
        state.layout = setup.layout
        state.reserved = max(
            state.reserved, InodeNumber(InodeNumber.root.rawValue + NamespaceLimits.reservationStep))
        state.usage.inodes += 1
        var root = InodeRow(
            kind: .directory, mode: setup.mode, uid: setup.uid, gid: setup.gid, layout: setup.layout, generation: 1,
            time: now)
        root.parent = .root
        store(.root, root)
        return NamespaceResult(inode: shown(.root, &root))
    }

    /// CREATE, MKDIR, SYMLINK and MKNOD (RFC 1813, 3.3.8 to 3.3.11).
    mutating func create(
        in number: InodeNumber, _ name: FileName, _ file: NewFile, _ wanted: AttributeChanges, _ caller: Credentials,
        _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var parent = try directory(number, for: caller, rows)
        let before = attributes(number, parent)
        if let found = try entry(number, name, rows) {
            var result = try openExisting(found.inode, file, wanted, caller, rows)
            result.directory = DirectoryChange(before: before, after: before)
            return result
        }
        guard parent.permits(.write, to: caller) else { throw NamespaceFailure.accessDenied }
        var row = try newInode(file, wanted, in: parent, caller)
        if let most = state.quota.inodes, state.usage.inodes >= most { throw NamespaceFailure.quotaExceeded }
        guard inodesLeft > 0 else { throw NamespaceFailure.noSpace }

        let inode = state.nextInode
        state.nextInode = InodeNumber(inode.rawValue + 1)
        state.usage.inodes += 1
        if row.kind == .directory {
            row.parent = number
            parent.linkCount += 1
        }
        store(inode, row)
        try addEntry(number, &parent, name, to: inode, rows)
        parent.modify(at: now)
        store(number, parent)
        return NamespaceResult(
            inode: shown(inode, &row), directory: DirectoryChange(before: before, after: attributes(number, parent)))
    }

    /// The name exists: what CREATE's modes make of it (RFC 1813, 3.3.8).
    private mutating func openExisting(
        _ inode: InodeNumber, _ file: NewFile, _ wanted: AttributeChanges, _ caller: Credentials,
        _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        guard case .regular(let mode) = file else { throw NamespaceFailure.exists }
        var row = try named(inode, rows)
        guard row.kind == .regular else { throw NamespaceFailure.exists }
        switch mode {
        case .guarded: throw NamespaceFailure.exists
        case .exclusive(let verifier):
            guard row.verifier == verifier else { throw NamespaceFailure.exists }
        case .unchecked:
            // Of the attributes only a size of zero counts for a file that exists: O_TRUNC.
            if wanted.size == 0 {
                let changes = AttributeChanges(size: 0)
                var result = try setAttributes(of: inode, changes, guardTime: nil, caller, rows)
                result.directory = nil
                return result
            }
        }
        return NamespaceResult(inode: shown(inode, &row))
    }

    private func newInode(
        _ file: NewFile, _ wanted: AttributeChanges, in parent: InodeRow, _ caller: Credentials
    ) throws -> InodeRow {
        let kind: FileKind
        var mode: UInt16 = 0o600
        switch file {
        case .regular: kind = .regular
        case .directory:
            kind = .directory
            mode = 0o700
        case .symbolicLink(let target):
            kind = .symbolicLink
            mode = 0o777
            if target.isEmpty || target.contains(0) { throw NamespaceFailure.invalid }
            if target.count > NamespaceLimits.symbolicLinkTarget { throw NamespaceFailure.nameTooLong }
        case .device(let device, _):
            guard device == .blockDevice || device == .characterDevice else { throw NamespaceFailure.badType }
            // CAP_MKNOD (mknod(2)).
            guard caller.isSuperuser else { throw NamespaceFailure.notPermitted }
            kind = device
        case .fifo: kind = .fifo
        case .socket: kind = .socket
        }
        if let asked = wanted.mode, kind != .symbolicLink { mode = asked & FileMode.all }
        var gid = caller.gid
        if parent.mode & FileMode.setGID != 0 {
            // The group of a setgid directory is inherited, and by directories the bit as well.
            gid = parent.gid
            if kind == .directory {
                mode |= FileMode.setGID
            } else if mode & FileMode.groupExecute != 0, !caller.isSuperuser, !caller.isMember(of: gid) {
                mode &= ~FileMode.setGID
            }
        }
        var row = InodeRow(
            kind: kind, mode: mode, uid: caller.uid, gid: gid, layout: state.layout, generation: version, time: now)
        if caller.isSuperuser {
            // Only the superuser makes files for others, as Linux's NFS server has it.
            row.uid = wanted.uid ?? row.uid
            row.gid = wanted.gid ?? row.gid
        }
        if let time = wanted.accessTime { row.accessTime = chosen(time) }
        if let time = wanted.modificationTime { row.modificationTime = chosen(time) }
        switch file {
        case .regular(let how):
            if case .exclusive(let verifier) = how { row.verifier = verifier }
            if let size = wanted.size {
                guard size <= Geometry.maximumFileSize else { throw NamespaceFailure.fileTooBig }
                row.size = size
            }
        case .symbolicLink(let target): row.target = target
        case .device(_, let device): row.device = device
        case .directory, .fifo, .socket: break
        }
        return row
    }

    func chosen(_ change: TimeChange) -> Timestamp {
        switch change {
        case .now: now
        case .to(let time): time
        }
    }
}
