import ClusterModel
import Store
import Wire

extension Scenario {
    /// A scenario drawn from the seed in which one node's disk rots, and two others have what it had.
    public static func rotting(seed: UInt64) -> Scenario {
        var scenario = Scenario.drawn(seed: seed)
        scenario.rot = .oneDisk
        scenario.nodes = max(scenario.nodes, 3)
        scenario.copies = 3
        // An empty disk in the place of another one is a second fault: a block may then be whole nowhere.
        scenario.faults.removeAll { $0 == .replaceDisk }
        if !scenario.metadata { scenario.dataGroups = max(scenario.dataGroups, 1) }
        return scenario
    }
}

/// Rot: bytes on one node's disk change although nothing wrote them. One node in a run, so that every block is whole
/// somewhere.
extension Simulator {
    func rot() {
        guard !healing else { return }
        agenda.add(.rot, at: clock + 10 * millisecond + below(400 * millisecond))
        account.began(.rot, until: clock + second)
        let node = nodes[Int(seed % UInt64(scenario.copies))]
        guard node.isOpen, node.pausedUntil == nil, let host = node.host else { return }
        // What a batch header on the disk knows to be stable: rot before it is never taken for the log's torn end.
        let stable = node.stableMarks.count > 2 ? node.stableMarks[node.stableMarks.count - 3] : nil
        if node.stableMarks.last != host.store.logStable { node.stableMarks.append(host.store.logStable) }
        if scenario.metadata, chance(5) { return rotRow(of: node) }
        let objects = scenario.dataGroups == 0 ? [] : everyObject
        guard !objects.isEmpty else { return }
        let object = objects[random.below(objects.count)]
        let pg = groups[group(of: object)]
        let token = host.token { _ in }
        let blocks = BlockRange(first: 0, count: 64)
        guard let plan = host.store.read(pg, object, blocks, token: token) else { return }
        host.forget(token)
        defer { host.store.readFinished(plan.ticket) }
        let content = plan.contentBlocks
        guard !content.isEmpty else { return }
        let victim = content[random.below(content.count)]
        switch victim.source {
        case .data(let offset):
            guard host.disk.data.isSynced(at: Int(offset)) else { return }
            harm(host.disk.data, Int(offset))
        case .log(let segment, let offset):
            let position = segment.rawValue * UInt64(scenario.store.segmentSize) + UInt64(offset)
            guard let file = host.disk.segments[segment], let stable, position + 4096 <= stable.rawValue else { return }
            harm(file, offset)
        case .payload, .zero, .absent: return
        }
        tell("\(node.id): block \(victim.blocks.first) of \(object) in \(pg) rots")
        counts["rot", default: 0] += 1
    }

    /// A row of the node's namespace changes. Only while another member holds all of them.
    private func rotRow(of node: Node) {
        guard let pg = metadataGroup, let namespace = node.namespace,
            let g = groups.firstIndex(of: pg),
            replica(node.index, pg)?.group.canReadLocally == true,
            records[g].inSync.contains(where: { m in
                m.node != node.id && isWhole(m, pg)
            }), namespace.rot(&random)
        else { return }
        tell("\(node.id): a row of \(pg) rots")
        counts["rotten rows", default: 0] += 1
    }

    /// At the end, when all replicas are whole, so that a scrub has one to find.
    func rotRowOnce() {
        guard scenario.rot != .none, scenario.metadata, !hasRottenRow else { return }
        hasRottenRow = true
        rotRow(of: nodes[Int(seed % UInt64(scenario.copies))])
    }

    /// A flipped byte, a write that was lost, or one that went elsewhere.
    private func harm(_ file: FakeFile, _ offset: Int) {
        switch random.below(3) {
        // A byte that the quick checksum reads.
        case 0: file.flip(at: offset + 512 * random.below(8) + random.below(8))
        case 1: file.rot(at: offset, [UInt8](repeating: 0, count: Geometry.blockSize))
        default:
            let other = offset >= Geometry.blockSize ? offset - Geometry.blockSize : offset + Geometry.blockSize
            file.rot(at: offset, file.read(at: other, count: Geometry.blockSize))
        }
    }
}
