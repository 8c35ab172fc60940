import ClusterModel
import Wire

/// What files use: measured at the data groups, recorded here (docs/decisions/008).
///
/// Invariants:
/// - a file whose `used` may be wrong is pending: a write is not answered before its session is registered, a cut not before
///   its entry, and both make the file pending;
/// - it ceases to be pending only by a measurement that began after the last registration, end of a registration or cut,
///   and that found nothing under way, while no other session writes.
extension NamespaceMachine {
    /// Measurements that began before this entry may lack something.
    func unmeasure(_ inode: InodeNumber, _ row: inout InodeRow, _ rows: some NamespaceRows) throws {
        row.usageMark = UsageMark(version)
        if row.measurement == .pending { return }
        row.measurement = .pending
        try rows.put(.unmeasured(inode), [], version: version)
    }

    func measured(
        _ inode: InodeNumber, _ row: inout InodeRow, _ usage: MeasuredUsage, _ rows: some NamespaceRows
    ) throws {
        guard usage.mark == row.usageMark else { return }
        switch row.measurement {
        case .pending:
            row.used = usage.bytes
            guard usage.standing == .settled, row.writers.isEmpty else { return }
            row.measurement = .done
            try rows.delete(.unmeasured(inode), version: version)
        case .done:
            // A look at a file that should be right already; what is under way there is a defect elsewhere.
            if usage.standing == .settled { row.used = usage.bytes }
        }
    }

    /// The inode may be gone meanwhile.
    mutating func recordFileUsage(
        of inode: InodeNumber, _ usage: MeasuredUsage, _ rows: some NamespaceRows
    ) throws -> NamespaceResult {
        guard var row = try inodes.row(inode, rows), row.kind == .regular else { return NamespaceResult() }
        try measured(inode, &row, usage, rows)
        store(inode, row)
        return NamespaceResult()
    }

    mutating func measurable(
        _ after: InodeNumber, _ limit: Int, _ scope: MeasuringScope, _ rows: some NamespaceRowReader
    ) throws -> NamespaceAnswer {
        guard after.rawValue < UInt64.max else { return .measurable([], next: nil) }
        let first = InodeNumber(after.rawValue + 1)
        let most = min(max(limit, 1), NamespaceLimits.listedEntries)
        var files: [MeasurableFile] = []
        var last = after
        switch scope {
        case .pending:
            let page = try rows.rows(from: .unmeasured(first), below: .endOfUnmeasured, limit: most)
            for item in page {
                last = InodeNumber(item.key.number(0))
                files.append(try measurable(last, try named(last, rows)))
            }
            return .measurable(files, next: page.count < most ? nil : last)
        case .all:
            // Directories and the like are passed over.
            let page = try rows.rows(from: .inode(first), below: .endOfInodes, limit: NamespaceLimits.measuringPage)
            for item in page {
                if files.count == most { return .measurable(files, next: last) }
                last = InodeNumber(item.key.number(0))
                // The row may have changed since the last commit.
                if let row = try inodes.row(last, rows), row.kind == .regular {
                    files.append(try measurable(last, row))
                }
            }
            return .measurable(files, next: page.count < NamespaceLimits.measuringPage ? nil : last)
        }
    }

    private func measurable(_ inode: InodeNumber, _ row: InodeRow) throws -> MeasurableFile {
        guard let hint = row.hint(state.quotaStanding) else {
            throw NamespaceFault.damagedRow("inode \(inode) is to be measured and is no regular file")
        }
        return MeasurableFile(
            inode: inode, hint: hint, used: row.used, writers: UInt32(row.writers.count),
            scope: row.measurement == .pending ? .pending : .all)
    }
}
