import ClusterModel

/// A digest of rows in the order of their keys: equal on all replicas that have applied the same entries.
public struct RowDigest: Hashable, Sendable {
    public var value: UInt64
    /// Rows that went into it.
    public var count: UInt64
    /// The last key, if there may be rows behind it.
    public private(set) var end: NamespaceKey?

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
            add(page)
            guard page.count == 1024, let last = page.last else { return }
            next = NamespaceKey(bytes: last.key.bytes + [0])
        }
    }

    /// At most `limit` live rows from `lower` on; throws as well if an export would not find one of them.
    public init(_ rows: some NamespaceRowReader, from lower: NamespaceKey, limit: Int) throws {
        value = 0
        count = 0
        let page = try rows.rows(from: lower, below: .greatest, limit: limit)
        // A row that an export would not find is rot, too, and whoever compares rows is to learn of it.
        try rows.checkVersions(of: page)
        add(page)
        if page.count == limit { end = page.last?.key }
    }

    private mutating func add(_ page: [NamespaceRow]) {
        for row in page {
            value = StableHash.combine(value, StableHash.bytes(row.key.bytes, seed: row.version))
            value = StableHash.combine(value, StableHash.bytes(row.value))
        }
        count += UInt64(page.count)
    }
}
