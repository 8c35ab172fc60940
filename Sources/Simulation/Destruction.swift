import ClusterModel
import Replication

/// All disks but a few are destroyed, or their nodes stay away, and an operator accepts the loss (replication.md, 10).
///
/// What is checked then:
/// - what the replicas that are left had, is all there, if they were whole: stable or not, unless they had lost power;
/// - whoever comes back learns: all replicas hold the same at the end, though some have entries that the survivors never had;
/// - the group serves.
struct Destruction {
    /// Nodes that go on, the first of them by the operator's choice; empty until they are chosen.
    var survivors: [Int] = []
    /// Nodes that stay down until the loss has been accepted.
    var down: [Int] = []
    /// A node that is kept out for a while so that it lacks something.
    var laggard: Int?
    /// Until the loss has been accepted in every group.
    var isUnderWay = false
    /// How often it was looked whom to leave.
    var looks = 0
    /// How often the operator has asked.
    var attempts = 0
    /// Groups whose loss the operator has accepted, until the record says so.
    var accepted: Set<Int> = []
    /// Survivors lacked something that was decided.
    var losesContent = false
}

extension Simulator {
    /// After the last fault.
    func beginDestruction() {
        // The last copy must not be one that rots.
        guard scenario.destruction != .none, scenario.rot == .none else { return }
        destruction.isUnderWay = true
        agenda.add(.destroy, at: clock + second)
    }

    func destroy() {
        guard let left = scenario.destruction == .laggardLeft ? laggards() : covering([]) else {
            destruction.looks += 1
            // Groups may lie so that whoever keeps one of each keeps enough of another to go on.
            if destruction.laggard == nil, destruction.looks > 60 {
                destruction.isUnderWay = false
                return
            }
            return agenda.add(.destroy, at: clock + (destruction.laggard == nil ? second : 2 * millisecond))
        }
        destruction.survivors = left
        destruction.laggard = nil
        tell("only \(left.map { "\(nodes[$0].id)" }.joined(separator: " and ")) is left")
        for n in nodes.indices where !left.contains(n) {
            kill(n, restartAfter: 0)
            switch scenario.destruction {
            case .none, .othersAway, .laggardLeft: destruction.down.append(n)
            case .othersDestroyed:
                putEmptyDisk(n)
                destruction.down.append(n)
            case .othersEmpty: putEmptyDisk(n)
            }
        }
        agenda.add(.acceptLoss, at: clock + below(2 * second))
    }

    /// The fewest nodes that keep each group with a member that is whole, and none with enough of them to go on by itself.
    /// `given` are among them, whatever they hold.
    private func covering(_ given: [Int]) -> [Int]? {
        // With five copies of everything one node would do, and nobody would ever be left beside it.
        let fewest = scenario.copies == 5 && chance(50) ? 2 : 1
        let sets = (1..<1 << nodes.count).filter { $0.nonzeroBitCount >= fewest }.sorted {
            ($0.nonzeroBitCount, $0) < ($1.nonzeroBitCount, $1)
        }
        return sets.lazy.map { set in self.nodes.indices.filter { set >> $0 & 1 == 1 } }.first { left in
            given.allSatisfy(left.contains)
                && self.groups.indices.allSatisfy { g in
                    let least = min(self.map.policy.minInSync, self.records[g].inSync.count)
                    let members = left.filter { self.records[g].inSyncMember(on: self.nodes[$0].id) != nil }
                    let isKept = left.contains { given.contains($0) && self.replica($0, self.groups[g]) != nil }
                    return isKept || members.count < least && members.contains { self.isWhole($0, g) }
                }
        }
    }

    /// And stays there: a member that the group moves away from may be removed by a change that is on its way already.
    private func isWhole(_ n: Int, _ g: Int) -> Bool {
        guard nodes[n].isOpen, nodes[n].lease != .none, let group = replica(n, groups[g])?.group,
            records[g].placement.contains(where: { $0.node == nodes[n].id }),
            case .whole = group.content
        else { return false }
        return true
    }

    /// One node is away for a while, and comes back: as soon as it lacks something, it is all that is left.
    private func laggards() -> [Int]? {
        guard let n = destruction.laggard else {
            guard isWhole, let chosen = records[0].placement.last.map({ Int($0.node.rawValue) - 1 }) else { return nil }
            destruction.laggard = chosen
            kill(chosen, restartAfter: second + below(3 * second))
            return nil
        }
        guard nodes[n].isOpen, nodes[n].lease != .none else { return nil }
        let contents = groups.compactMap { replica(n, $0)?.group.content }
        let lacks = contents.contains { content in
            switch content {
            case .incomplete: true
            case .old, .whole, .nothing: false
            }
        }
        // It may have learned all before it was looked at.
        let isIn = records.allSatisfy { $0.inSyncMember(on: nodes[n].id) != nil } && !lacks
        guard lacks || isIn || chance(1) else { return nil }
        guard let left = covering([n]) else { return nil }
        destruction.losesContent = !isIn
        return left
    }

    /// The operator: asks until every group that waits for who is gone goes on.
    func acceptLoss() {
        var isDone = true
        destruction.attempts += 1
        // A removal of the survivor may have been made after who proposed it was destroyed: nothing was decided without it then.
        let takesAny = scenario.destruction == .laggardLeft || destruction.attempts > 30
        for g in groups.indices {
            let isServed = nodes.contains { node in
                node.replicas.contains { $0.pg == groups[g] && $0.group.isServing }
            }
            // Of nodes that come back empty some may have learned all without an operator.
            let waits = records[g].inSync.contains { m in destruction.down.contains { nodes[$0].id == m.node } }
            if isServed, !waits { continue }
            isDone = false
            // Whoever has most is found by asking all.
            for n in destruction.survivors {
                guard let hosted = replica(n, groups[g]) else { continue }
                var refusal: LossRefusal?
                // Those that are back with empty disks, too: they do not use the ones that the record names.
                let named = nodes.filter { !destruction.survivors.contains($0.index) }.map(\.id)
                let content: LossDemand.Demanded = takesAny ? .any : .whole
                let mayLack = hosted.group.mayLackUnflushed
                hosted.event {
                    refusal = $0.lossAccepted(
                        LossDemand(epoch: self.records[g].epoch, content: content, named: named), at: $1)
                }
                if refusal == nil {
                    tell("\(nodes[n].id) is to go on with \(groups[g])")
                    counts["losses accepted", default: 0] += 1
                    destruction.accepted.insert(g)
                    if mayLack { lossesOfPower += 1 }
                    break
                }
            }
        }
        guard isDone else { return agenda.add(.acceptLoss, at: clock + 300 * millisecond) }
        destruction.isUnderWay = false
        let back = destruction.down
        destruction.down = []
        for n in back where !nodes[n].alive { agenda.add(.restart(node: n), at: clock + below(second)) }
    }
}
