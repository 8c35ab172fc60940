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

/// Rot: bytes on a disk change although nothing wrote them. On one node in a run, so that every block is whole somewhere; or of
/// one block on all nodes that hold it.
extension Simulator {
    /// One block, on the medium.
    struct BlockPlace: Hashable {
        var object: ObjectID
        var block: Int
    }

    /// Where the bytes of a block lie on one disk.
    private struct Victim {
        var place: BlockPlace
        var file: FakeFile
        var offset: Int
        var content: [UInt32]
    }

    func rot() {
        guard !healing else { return }
        agenda.add(.rot, at: clock + 10 * millisecond + below(400 * millisecond))
        account.began(.rot, until: clock + second)
        var stable: [LogPosition?] = []
        for node in nodes {
            guard node.isOpen, node.pausedUntil == nil, let host = node.host else {
                stable.append(nil)
                continue
            }
            // What a batch header on the disk knows to be stable: rot before it is never taken for the log's torn end.
            stable.append(node.stableMarks.count > 2 ? node.stableMarks[node.stableMarks.count - 3] : nil)
            if node.stableMarks.last != host.store.logStable { node.stableMarks.append(host.store.logStable) }
        }
        let one = Int(seed % UInt64(scenario.copies))
        if scenario.rot == .oneDisk, scenario.metadata, chance(scenario.rottenRows) { return rotRow(of: nodes[one]) }
        let objects = scenario.dataGroups == 0 ? [] : everyObject
        guard !objects.isEmpty else { return }
        let object = objects[random.below(objects.count)]
        let g = group(of: object)
        switch scenario.rot {
        case .none: break
        case .oneDisk:
            let found = victims(of: object, g, on: one, stable[one])
            guard !found.isEmpty else { return }
            let victim = found[random.below(found.count)]
            harm(victim.file, victim.offset)
            tell("\(nodes[one].id): block \(victim.place.block) of \(object) in \(groups[g]) rots")
        case .allDisks:
            // All that could give it hold the same, where rot shows.
            guard isWhole else { return }
            let members = records[g].placement.map { Int($0.node.rawValue) - 1 }
            let found = members.map { victims(of: object, g, on: $0, stable[$0]) }
            let common = found[0].filter { first in
                found.allSatisfy { $0.contains { $0.place == first.place && $0.content == first.content } }
            }
            guard !common.isEmpty else { return }
            let place = common[random.below(common.count)].place
            for victim in found.joined() where victim.place == place { harm(victim.file, victim.offset) }
            ruined.insert(place)
            tell("block \(place.block) of \(object) in \(groups[g]) rots on all disks")
        }
        counts["rot", default: 0] += 1
    }

    /// Blocks of the object's beginning that can rot on that node's disk.
    private func victims(of object: ObjectID, _ g: Int, on n: Int, _ stable: LogPosition?) -> [Victim] {
        guard nodes[n].isOpen, nodes[n].pausedUntil == nil, let host = nodes[n].host else { return [] }
        let token = host.token { _ in }
        guard let plan = host.store.read(groups[g], object, BlockRange(first: 0, count: 64), token: token) else {
            return []
        }
        host.forget(token)
        defer { host.store.readFinished(plan.ticket) }
        return plan.contentBlocks.compactMap { piece in
            let place = BlockPlace(object: object, block: piece.blocks.first)
            switch piece.source {
            case .data(let offset):
                guard host.disk.data.isSynced(at: Int(offset)) else { return nil }
                return Victim(
                    place: place, file: host.disk.data, offset: Int(offset), content: piece.checksums)
            case .log(let segment, let offset):
                let position = segment.rawValue * UInt64(scenario.store.segmentSize) + UInt64(offset)
                guard let file = host.disk.segments[segment], let stable, position + 4096 <= stable.rawValue else {
                    return nil
                }
                return Victim(place: place, file: file, offset: offset, content: piece.checksums)
            case .payload, .zero, .absent: return nil
            }
        }
    }

    /// Whether a request needs the bytes of a block that was ruined on all disks.
    func needsRuined(_ body: PGRequestBody) -> Bool {
        func holds(_ object: ObjectID, _ bytes: Range<Int>) -> Bool {
            ruined.contains {
                $0.object == object && $0.block * Geometry.blockSize < bytes.upperBound
                    && bytes.lowerBound < ($0.block + 1) * Geometry.blockSize
            }
        }
        // A change comes behind the truncation that it knows of, which goes through a block.
        func cuts(_ file: FileID, _ mark: TruncationMark) -> Bool {
            let (index, offset) = scenario.layout.locate(mark.size)
            return mark.number > .zero && holds(ObjectID(file: file, index: index), offset..<offset + 1)
        }
        switch body {
        case .read(let range, _), .readVersion(let range, _):
            return holds(range.object, range.offset..<range.offset + range.length)
        case .write(let range, let mark, _):
            return holds(range.object, range.offset..<range.offset + range.length) || cuts(range.object.file, mark)
        case .zero(let object, _, let mark, _): return cuts(object.file, mark)
        case .deleteRange(let d): return cuts(d.file, d.truncation)
        case .mutate, .query, .flush: return false
        }
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
