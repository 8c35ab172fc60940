/// Which filesets there are, as of one cluster map.
///
/// Ids are given in ascending order and never used again: one that was given and is not live is gone for good, whatever a
/// later map says.
public struct LiveFilesets: Hashable, Sendable {
    /// Ascending.
    private var live: [FilesetID] = []
    private var last = FilesetID(0)

    /// Before a map is known: none is gone.
    public init() {}

    public init(_ map: ClusterMap) {
        live = map.filesets.filter { $0.state == .live }.map(\.id).sorted()
        last = map.lastFileset
    }

    /// Whether a fileset may be gone that was not as of `earlier`.
    public func hasLost(since earlier: LiveFilesets) -> Bool {
        earlier.last == FilesetID(0) || earlier.live.contains(where: isGone)
            || earlier.last < last && (earlier.last.rawValue + 1...last.rawValue).contains { isGone(FilesetID($0)) }
    }

    /// Whether the fileset was deleted: nothing of it is served any more, and what is left of it may be removed.
    public func isGone(_ id: FilesetID) -> Bool {
        if id > last { return false }
        var low = 0
        var high = live.count
        while low < high {
            let middle = (low + high) / 2
            if live[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low == live.count || live[low] != id
    }
}
