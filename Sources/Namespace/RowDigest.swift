import ClusterModel

/// A digest of rows in the order of their keys: equal on all replicas that have applied the same entries.
public struct RowDigest: Hashable, Sendable {
    public var value: UInt64
    /// Rows that went into it.
    public var count: UInt64

    /// Live rows with `lower` ≤ key < `upper`, with their versions; neither replies nor tombstones, which replicas may
    /// drop at different times.
    public init(
        _ rows: some NamespaceRowReader, from lower: NamespaceKey = .least, below upper: NamespaceKey = .greatest
    ) throws {
        value = 0
        count = 0
        var next = lower
        while true {
            let page = try rows.rows(from: next, below: upper, limit: 1024)
            for row in page {
                value = StableHash.combine(value, StableHash.bytes(row.key.bytes, seed: row.version))
                value = StableHash.combine(value, StableHash.bytes(row.value))
            }
            count += UInt64(page.count)
            guard page.count == 1024, let last = page.last else { return }
            next = NamespaceKey(bytes: last.key.bytes + [0])
        }
    }
}
