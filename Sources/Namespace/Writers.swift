import ClusterModel
import Wire

/// Sizes and times of files that are being written (namespace.md: Size, limit, truncation; Attributes before tokens).
extension NamespaceMachine {
    mutating func raiseLimit(
        of inode: InodeNumber, to limit: UInt64, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var row = try regular(inode, rows)
        guard limit <= Geometry.maximumFileSize else { throw NamespaceFailure.fileTooBig }
        if limit > row.limit {
            if state.quotaStanding == .exceeded { throw NamespaceFailure.quotaExceeded }
            row.limit = limit
            store(inode, row)
        }
        return NamespaceResult(inode: exact(inode, row))
    }

    mutating func extend(
        _ inode: InodeNumber, to size: UInt64, within truncation: TruncationNumber, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var row = try regular(inode, rows)
        if truncation == row.truncation.number, size > row.size {
            // No data goes beyond the limit, so such a size is a defect of the sender.
            guard size <= row.limit else { throw NamespaceFailure.invalid }
            row.size = size
            row.modify(at: now)
            store(inode, row)
        }
        return NamespaceResult(inode: exact(inode, row))
    }

    /// From now on the times move for others. A registration that a SETATTR has overruled counts again. A write by anyone
    /// but the superuser ends setuid and setgid, as Linux has it.
    mutating func registerWriter(
        _ session: SessionID, of inode: InodeNumber, _ caller: Credentials, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var row = try regular(inode, rows)
        let place = row.writers.firstIndex { $0.session >= session } ?? row.writers.count
        if place < row.writers.count, row.writers[place].session == session {
            row.writers[place].overruled = nil
        } else {
            guard row.writers.count < NamespaceLimits.writersPerInode else { throw NamespaceFailure.noSpace }
            row.writers.insert(WriterRegistration(session: session, overruled: nil), at: place)
            try rows.put(.writer(session, inode), [], version: version)
        }
        let mode = caller.isSuperuser ? row.mode : FileMode.withoutPrivileges(row.mode)
        if mode != row.mode {
            row.mode = mode
            row.change(at: now)
        }
        try unmeasure(inode, &row, rows)
        store(inode, row)
        return NamespaceResult(inode: exact(inode, row))
    }

    mutating func settle(
        _ inode: InodeNumber, _ session: SessionID, at modified: Timestamp, _ usage: MeasuredUsage?,
        _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        var row = try regular(inode, rows)
        // The gateway's clock may be ahead of the log's.
        try endRegistration(of: session, inode, &row, modified: min(modified, now), usage, rows)
        return NamespaceResult(inode: exact(inode, row))
    }

    private mutating func endRegistration(
        of session: SessionID, _ inode: InodeNumber, _ row: inout InodeRow, modified: Timestamp,
        _ usage: MeasuredUsage?, _ rows: some NamespaceRows
    ) throws {
        guard let place = row.writers.firstIndex(where: { $0.session == session }) else { return }
        let registration = row.writers.remove(at: place)
        try rows.delete(.writer(session, inode), version: version)
        let isOverruled = registration.overruled.map { modified <= $0 } ?? false
        if !isOverruled {
            // Of several writers the last write counts.
            let time = max(modified, row.answered)
            row.modificationTime = time
            row.changeTime = max(row.changeTime, time)
            row.changeCounter = max(row.changeCounter + 1, InodeRow.counter(at: now))
            row.answered = time
        }
        if row.writers.isEmpty { row.answered = .zero }
        if let usage { try measured(inode, &row, usage, rows) }
        // What others measured meanwhile may lack this session's last writes.
        if row.measurement == .pending { try unmeasure(inode, &row, rows) }
        store(inode, row)
    }

    /// The session is gone: its last writes count as of now, its request window is over.
    mutating func settleAll(of session: SessionID, _ rows: some NamespaceRows) throws -> NamespaceResult {
        let end = NamespaceKey.writer(SessionID(session.rawValue &+ 1), InodeNumber(0))
        while true {
            let page = try rows.rows(from: .writer(session, InodeNumber(0)), below: end, limit: 1024)
            if page.isEmpty { break }
            for registration in page {
                let inode = InodeNumber(registration.key.number(1))
                var row = try named(inode, rows)
                guard let writer = row.writers.first(where: { $0.session == session }) else {
                    throw NamespaceFault.missingRow("the registration of session \(session) in inode \(inode)")
                }
                // Nobody can say when it wrote last; what a SETATTR has overruled stays as it was set.
                let modified = writer.overruled ?? now
                try endRegistration(of: session, inode, &row, modified: modified, nil, rows)
            }
        }
        try endWindow(of: session, rows)
        return NamespaceResult()
    }
}
