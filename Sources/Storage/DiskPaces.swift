import ClusterModel
import Replication

/// Members whose disks are far slower than the others', as this node sees them as primary: reported, done without as leaders,
/// and in the end as members.
extension StorageNode {
    /// Nodes that are not good, with how long they take to make a write stable.
    public var slowMembers: [PaceJudge.Standing] { paces.standings }

    func stableAfter(_ node: NodeID, _ span: TimeSpan) { paces.took(node, span, at: moment().now) }

    func watchPaces(_ now: Moment) {
        guard now.now - lastPaces >= StorageLimits.paceInterval else { return }
        lastPaces = now.now
        let changed = paces.judge(at: now.now)
        for (node, word) in paces.words {
            if let peer = peers.connected.first(where: { $0.node == node }), peer.spoken >= .v12 {
                send(.slow(word), to: node)
            }
        }
        if changed.isEmpty { return }
        for standing in changed {
            let text = standing.inWords
            note(.node, text)
            logger.warning("\(text)")
        }
        for replica in orderedReplicas { tellPaces(replica) }
    }

    func tellPaces(_ replica: Replica) {
        replica.event { $0.pacesJudged(slow: paces.slow, out: paces.out, at: $1) }
    }
}

extension PaceJudge.Standing {
    /// For people.
    public var inWords: String {
        let times =
            "\(median.nanoseconds / 1_000_000) ms to make a write stable, others \(others.nanoseconds / 1_000_000) ms"
        switch verdict {
        case .good: return "node \(node.rawValue) is not slow any more"
        case .slow:
            return "the disk of node \(node.rawValue) is slow (\(times)): it leads no group that others can lead"
        case .out:
            return
                "the disk of node \(node.rawValue) stays slow (\(times)): groups with enough other members go on without it"
        }
    }
}
