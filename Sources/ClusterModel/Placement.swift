/// Where things lie: which placement group an object belongs to, and which disks should hold a group.
///
/// Invariants:
/// - the group of an object depends only on its identity and the (power of two) number of groups, and doubling the
///   number splits each group in two and moves nothing else;
/// - adding one node to N of equal weight moves about 1 / (N + 1) of the replicas, and no replica between old nodes but
///   to keep failure domains apart;
/// - a disk that replaces another one gets what that one had, and nothing else moves;
/// - what drains gets nothing;
/// - fixed-point arithmetic only: every machine computes the same.
public enum Placement {
    /// The data group of an object. `groupCount` is a power of two.
    public static func group(of object: ObjectID, groupCount: UInt32) -> PGID {
        let file = StableHash.combine(UInt64(object.file.fileset.rawValue), object.file.inode.rawValue)
        let h = StableHash.combine(file, object.index)
        return .data(UInt32(truncatingIfNeeded: h) & (groupCount - 1))
    }

    /// The disks for `pg`, `copies` of them if there are that many nodes with disks, by weighted rendezvous hashing:
    /// best score first, no two on one node, spread over the outermost failure domains first.
    public static func targets(for pg: PGID, map: ClusterMap, copies: Int) -> [PlacementTarget] {
        struct Candidate {
            var score: UInt128
            var target: PlacementTarget
            var domain: [String]
        }
        var candidates: [Candidate] = []
        for disk in map.disks {
            guard let node = map.node(disk.node), node.roles.contains(.storage), node.duty.holds, disk.duty == .full
            else { continue }
            let h = StableHash.combine(
                StableHash.combine(
                    UInt64(truncatingIfNeeded: disk.place.rawValue),
                    UInt64(truncatingIfNeeded: disk.place.rawValue >> 64)),
                UInt64(pg.rawValue))
            candidates.append(
                Candidate(
                    score: weightedScore(hash: h, weight: disk.weight),
                    target: PlacementTarget(node: disk.node, disk: disk.id), domain: node.failureDomain))
        }
        candidates.sort { $0.score != $1.score ? $0.score > $1.score : $0.target.disk < $1.target.disk }
        var chosen: [Candidate] = []
        while chosen.count < copies {
            // The candidate that shares the fewest domain levels with what is chosen; among these the best score.
            var best: (shared: Int, index: Int)?
            for (i, c) in candidates.enumerated() {
                if chosen.contains(where: { $0.target.node == c.target.node }) { continue }
                let shared = chosen.reduce(0) { $0 + sharedLevels($1.domain, c.domain) }
                if best.map({ shared < $0.shared }) ?? true { best = (shared, i) }
            }
            guard let next = best else { break }
            chosen.append(candidates.remove(at: next.index))
        }
        return chosen.map(\.target)
    }

    private static func sharedLevels(_ a: [String], _ b: [String]) -> Int {
        var n = 0
        while n < a.count, n < b.count, a[n] == b[n] { n += 1 }
        return n
    }

    /// weight / -log2(u) for u = hash / 2^64, in fixed point: each disk's chance of the greatest score is in proportion
    /// to its weight.
    static func weightedScore(hash: UInt64, weight: UInt32) -> UInt128 {
        (UInt128(weight) << 64) / UInt128(max(negativeLog2(hash), 1))
    }

    /// -log2(hash / 2^64) with 32 fractional bits, 32 bits computed by repeated squaring.
    static func negativeLog2(_ hash: UInt64) -> UInt64 {
        let h = max(hash, 1)
        let leading = UInt64(h.leadingZeroBitCount)
        // h = 2^(63 - leading) × m with m in [1, 2) as 1.63 fixed point.
        var m = h << leading
        var fraction: UInt64 = 0
        for bit in stride(from: 31, through: 0, by: -1) {
            let square = m.multipliedFullWidth(by: m)
            // The square of 1.63 is 2.126; its top bit tells whether it is at least 2.
            if square.high & (1 << 63) != 0 {
                fraction |= 1 << UInt64(bit)
                m = square.high
            } else {
                m = (square.high << 1) | (square.low >> 63)
            }
        }
        let log = ((63 - leading) << 32) | fraction
        return (64 << 32) - log
    }
}
