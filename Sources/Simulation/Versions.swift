import ClusterModel
import Wire

/// Nodes of several versions beside each other: some programs of a run are older, and are exchanged for newer ones when they
/// are started again; some go back once more.
///
/// Numbers of their own, so that a run without old nodes stays what it is.
extension Simulator {
    func drawVersions() {
        guard scenario.mixedVersions else { return }
        var random = SplitMix64(seed: seed ^ 0x7e25_1095)
        for node in nodes where random.below(3) != 0 { node.newestProtocol = .oldest }
    }

    /// A node is started, maybe by another program than before.
    func considerUpgrade(_ node: Node) {
        guard scenario.mixedVersions, !healing else { return }
        var random = SplitMix64(seed: StableHash.combine(seed ^ 0x7e25_1095, UInt64(node.index * 1000 + node.life)))
        let before = node.newestProtocol
        switch random.below(5) {
        case 0, 1: node.newestProtocol = .newest
        case 2: node.newestProtocol = .oldest
        default: break
        }
        if node.newestProtocol != before {
            tell("\(node.id) speaks protocol \(node.newestProtocol.rawValue) from now on")
            counts["other versions", default: 0] += 1
        }
    }

    /// After the last fault the rest is upgraded.
    func upgradeForGood(_ n: Int) {
        guard nodes[n].newestProtocol != .newest else { return }
        nodes[n].newestProtocol = .newest
        if nodes[n].alive { kill(n, restartAfter: 50 * millisecond) }
    }
}
