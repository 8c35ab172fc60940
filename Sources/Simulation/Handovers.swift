import ClusterModel
import Replication

extension Simulator {
    /// Some groups get another primary in order. Its old one, its new one, or both, may die at any step of that, be cut off
    /// from each other or from the coordinator, or be stopped.
    func handOver() {
        for g in groups.indices where g == 0 || chance(60) {
            let serving = nodes.indices.filter { n in replica(n, groups[g])?.group.isServing == true }
            guard let from = serving.first, nodes[from].pausedUntil == nil, nodes.count > 1 else { continue }
            let members = records[g].inSync.map { Int($0.node.rawValue) - 1 }.filter { $0 != from }
            guard !members.isEmpty, let replica = replica(from, groups[g]) else { continue }
            let to = members[random.below(members.count)]
            if replica.group.mayHandOver(to: nodes[to].id) {
                tell("\(nodes[from].id) is to hand \(groups[g]) over to \(nodes[to].id)")
                counts["handovers begun", default: 0] += 1
            }
            replica.event { $0.handoverWanted(to: self.nodes[to].id, at: $1) }
            let back = 50 * millisecond + below(4 * second)
            for n in [from, to] where chance(20) && nodes[n].alive && nodes[n].stepsToLive == nil {
                nodes[n].stepsToLive = random.below(50)
                nodes[n].restartAfter = back
            }
            if chance(10) { nodes[from].awayFromCoordinatorUntil = clock + below(6 * second) }
            if chance(10) { agenda.add(.pause(node: chance(50) ? from : to), at: clock + below(40 * millisecond)) }
            if chance(10) { agenda.add(.cut(from, to), at: clock + below(40 * millisecond)) }
        }
    }
}
