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

    // MARK: Standing down

    func suspend(_ n: Int, _ duty: ClusterNode.Duty) {
        map.nodes[n].duty = duty
        tell("\(nodes[n].id) is \(duty == .suspended ? "suspended" : "resumed")")
        mapChanged()
    }

    /// The node tells the others that it is about to stop, gives away what it can, and stops in order.
    func leave(_ n: Int, restartAfter delay: UInt64) {
        guard nodes[n].isOpen, nodes[n].pausedUntil == nil, !nodes[n].isLeaving else { return }
        tell("\(nodes[n].id) is about to stop")
        nodes[n].isLeaving = true
        everyReplica(n) { $0.leavingBegan(at: $1) }
        for other in nodes.indices where other != n && links[n][other].isUp {
            agenda.add(
                .leaving(other, node: n, connection: links[n][other].connection),
                at: clock + 100_000 + below(5 * millisecond))
        }
        agenda.add(
            .stop(node: n, life: nodes[n].life, restartAfter: delay), at: clock + 300 * millisecond + below(2 * second))
    }

    /// Members that are far slower than the others, as `StorageNode` judges them.
    func judgePaces(_ n: Int) {
        let node = nodes[n]
        guard node.isOpen, clock >= node.lastPaces + 500 * millisecond else { return }
        node.lastPaces = clock
        let changed = node.paces.judge(at: moment(n).now)
        for (told, word) in node.paces.words {
            guard let other = nodes.firstIndex(where: { $0.id == told }), links[n][other].isUp,
                links[n][other].spoken >= .v12
            else { continue }
            agenda.add(
                .slow(other, word, by: n, connection: links[n][other].connection),
                at: clock + 100_000 + below(5 * millisecond))
        }
        guard !changed.isEmpty else { return }
        for standing in changed {
            tell("\(node.id) finds \(standing.node) \(standing.verdict)")
            counts["\(standing.verdict)", default: 0] += 1
        }
        everyReplica(n) { $0.pacesJudged(slow: node.paces.slow, out: node.paces.out, at: $1) }
    }

    /// As `StorageNode` does it.
    func balance(_ n: Int) {
        let node = nodes[n]
        guard scenario.balances, node.isOpen else { return }
        let hurries = node.isLeaving || map.nodes[n].duty == .suspended || !node.paces.standings.isEmpty
        guard clock >= node.lastBalance + (hurries ? 20 : 500) * millisecond else { return }
        node.lastBalance = clock
        let candidates = node.replicas.compactMap(\.group.handoverCandidate)
        let underWay = node.replicas.filter(\.group.isHandingOver).count
        for c in node.balancer.choose(candidates, underWay: underWay, at: moment(n).now) {
            counts["\(c.cause)", default: 0] += 1
            tell("\(node.id) hands \(c.pg) over to \(c.to): \(c.cause)")
            replica(n, c.pg)?.event { $0.handoverWanted(to: c.to, at: $1) }
        }
    }

    /// Whether each group is led by the node that placement wants.
    var isBalanced: Bool {
        !scenario.balances
            || nodes.allSatisfy { node in
                node.replicas.allSatisfy { !$0.group.isServing || $0.group.preferredPrimary == node.id }
            }
    }
}
