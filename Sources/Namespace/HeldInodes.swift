import ClusterModel

/// Decoded inodes: those that a batch has changed, written once at its end, and others that were read.
struct HeldInodes {
    private struct Held {
        /// Nil when there is no such inode.
        var row: InodeRow?
        /// Of the entry that last changed it, while it is not in the rows; else nil.
        var changed: UInt64?
    }

    private var held: [InodeNumber: Held] = [:]
    private var order: [InodeNumber] = []

    mutating func row(_ inode: InodeNumber, _ rows: some NamespaceRowReader) throws -> InodeRow? {
        if let known = held[inode] { return known.row }
        let row = try rows.value(of: .inode(inode)).map { try InodeRow($0) }
        if held.count >= NamespaceLimits.heldInodes, order.isEmpty { held.removeAll(keepingCapacity: true) }
        held[inode] = Held(row: row, changed: nil)
        return row
    }

    /// Nil deletes it.
    mutating func set(_ inode: InodeNumber, _ row: InodeRow?, version: UInt64) {
        let old = held.updateValue(Held(row: row, changed: version), forKey: inode)
        if old?.changed == nil { order.append(inode) }
    }

    /// Puts what was changed into the rows, in the order of the first changes.
    mutating func flush(to rows: some NamespaceRows) throws {
        for inode in order {
            guard let now = held[inode], let version = now.changed else { continue }
            if let row = now.row {
                try rows.put(.inode(inode), row.encoded(), version: version)
            } else {
                try rows.delete(.inode(inode), version: version)
            }
            held[inode]?.changed = nil
        }
        order.removeAll(keepingCapacity: true)
    }

}
