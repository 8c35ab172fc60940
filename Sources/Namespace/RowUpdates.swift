import ClusterModel
import Wire

/// Inode and entry rows as they are behind a batch, for a `RowCache`: all that the batch changed, and those that its
/// questions about single inodes and names read. A walk (listing, measuring) is not among them: it would push out what is
/// asked for.
public struct RowUpdates: Sendable {
    struct Entry: Sendable {
        var directory: InodeNumber
        var name: FileName
        /// Nil when the directory has no such name.
        var row: EntryRow?
    }

    /// Whether files may be given blocks, behind the batch.
    public var quota: QuotaStanding
    /// Nil where there is no such inode.
    var inodes: [(number: InodeNumber, row: InodeRow?)]
    /// In the order of changes: a later one stands.
    var entries: [Entry]
}

/// What a batch has touched so far.
struct TouchedRows {
    private var isCollecting = false
    private var known: Set<InodeNumber> = []
    private(set) var inodes: [InodeNumber] = []
    private(set) var entries: [RowUpdates.Entry] = []

    init() {}

    static func collecting() -> TouchedRows {
        var touched = TouchedRows()
        touched.isCollecting = true
        return touched
    }

    mutating func touch(_ inode: InodeNumber) {
        guard isCollecting, known.insert(inode).inserted else { return }
        inodes.append(inode)
    }

    mutating func touch(_ directory: InodeNumber, _ name: FileName, _ row: EntryRow?) {
        guard isCollecting else { return }
        entries.append(RowUpdates.Entry(directory: directory, name: name, row: row))
    }
}

extension NamespaceMachine {
    /// From now on it is noted which rows are changed, and which are read by questions.
    public mutating func collectRows() { touched = .collecting() }

    /// The rows noted since `collectRows`, as they are now; ends the collecting.
    public mutating func takeCollectedRows(_ rows: some NamespaceRowReader) throws -> RowUpdates {
        let collected = touched
        touched = TouchedRows()
        var inodes: [(number: InodeNumber, row: InodeRow?)] = []
        inodes.reserveCapacity(collected.inodes.count)
        for inode in collected.inodes { inodes.append((inode, try self.inodes.row(inode, rows))) }
        return RowUpdates(quota: state.quotaStanding, inodes: inodes, entries: collected.entries)
    }
}
