import ClusterModel
import Wire

/// A file that clients work on.
struct WorkFile {
    var id: FileID
    /// As the namespace would have it: every client hears of it at once.
    var mark = TruncationMark.none
    /// A cut that has not reached all groups; a second one waits for it.
    var cut: Cut?

    struct Cut {
        var deletion: RangeDeletion
        var observed: Int
        /// A client is at it.
        var isTaken = true
    }
}

/// What clients do, drawn at random.
extension Simulator {
    /// Runs of blocks whose content is looked at: across slots, pieces and rows.
    static let regions = [0..<3, 14..<18, 31..<33, 62..<66, 255..<257]
    static let objectsPerFile: UInt64 = 2

    func newFile() -> WorkFile {
        lastInode += 1
        return WorkFile(id: FileID(fileset: FilesetID(1), inode: InodeNumber(lastInode)))
    }

    func group(of object: ObjectID) -> Int {
        Int(Placement.group(of: object, groupCount: map.dataPGCount).rawValue)
    }

    var everyObject: [ObjectID] {
        (removedFiles + files.map(\.id)).flatMap { file in
            (0..<Simulator.objectsPerFile).map { ObjectID(file: file, index: $0) }
        }
    }

    func register(_ object: ObjectID, _ field: Int) -> UInt64 {
        object.file.inode.rawValue << 32 | object.index << 24 | UInt64(field)
    }

    private static let tracked: [Bool] = {
        var all = [Bool](repeating: false, count: Geometry.blocksPerObject)
        for region in regions { for b in region { all[b] = true } }
        return all
    }()

    private func seen(_ object: ObjectID, _ fields: Range<Int>, _ value: UInt32) -> [(key: UInt64, value: UInt32)] {
        fields.filter { Simulator.tracked[$0 / BlockContent.fieldsPerBlock] }.map { (register(object, $0), value) }
    }

    /// One piece of work.
    struct Draft {
        var requests: [(g: Int, body: PGRequestBody)]
        var content: [UInt8] = []
        /// Of a read: the first field and how many.
        var fields: Range<Int> = 0..<0
        var file: Int?
        var observed: Observed
    }

    func draw(for c: Int) -> Draft? {
        if scenario.metadata, scenario.dataGroups == 0 || chance(25) { return treeWork(c) }
        let roll = scenario.readsAfterClaims && clock < claimedAt + 300 * millisecond ? 50 : random.below(100)
        if roll < 50 { return aWrite() }
        if roll < 80 { return aRead() }
        if roll < 90 || !scenario.cuts {
            let g = random.below(groups.count)
            return Draft(requests: [(g, .flush)], observed: Observed(kind: .flush, values: [], start: clock, group: g))
        }
        if roll < 94 { return aZero() }
        return aCut()
    }

    private func someFields() -> Range<Int> {
        let per = BlockContent.fieldsPerBlock
        // The row behind the first MiB is seldom used: it makes a learner copy five pieces.
        let region = Simulator.regions[random.below(chance(15) ? 5 : 4)]
        let first = region.lowerBound * per + random.below(region.count * per)
        if chance(30) {
            let block = region.lowerBound + random.below(region.count)
            let end = block + 1 + random.below(region.upperBound - block)
            return block * per..<end * per
        }
        return first..<min(region.upperBound * per, first + 1 + random.below(8))
    }

    private func someObject() -> (file: Int, object: ObjectID) {
        var f = random.below(files.count)
        if scenario.burst > 0, chance(90) { f = Int(clock / millisecond / scenario.burst) % files.count }
        return (f, ObjectID(file: files[f].id, index: UInt64(random.below(Int(Simulator.objectsPerFile)))))
    }

    private func byteRange(_ object: ObjectID, _ fields: Range<Int>) -> ObjectRange {
        let offset = BlockContent.offset(fields.lowerBound)
        return ObjectRange(object: object, offset: offset, length: BlockContent.offset(fields.upperBound) - offset)
    }

    func aWrite() -> Draft {
        nextValue += 1
        let durability: Durability = chance(scenario.stableWrites) ? .stable : .unstable
        let (f, object) = someObject()
        let fields: Range<Int>
        if chance(scenario.largeWrites) {
            let low = 14 * BlockContent.fieldsPerBlock + random.below(9)
            let high = 32 * BlockContent.fieldsPerBlock + random.below(5)
            fields = low..<high
        } else {
            fields = someFields()
        }
        var observed = Observed(
            kind: .write, values: seen(object, fields, nextValue), start: clock, group: group(of: object))
        observed.durability = durability
        observed.mark = files[f].mark.number.rawValue
        return Draft(
            requests: [(group(of: object), .write(byteRange(object, fields), files[f].mark, durability))],
            content: BlockContent.bytes(nextValue, fields: fields), file: f, observed: observed)
    }

    private func aZero() -> Draft {
        let (f, object) = someObject()
        let region = Simulator.regions[random.below(4)]
        var blocks = BlockRange(first: region.lowerBound, count: 1 + random.below(region.count))
        if chance(20) { blocks = BlockRange(first: 14, count: 19) }
        let durability: Durability = chance(scenario.stableWrites) ? .stable : .unstable
        let per = BlockContent.fieldsPerBlock
        var observed = Observed(
            kind: .write, values: seen(object, blocks.first * per..<blocks.end * per, 0), start: clock,
            group: group(of: object))
        observed.durability = durability
        observed.mark = files[f].mark.number.rawValue
        return Draft(
            requests: [(group(of: object), .zero(object, blocks, files[f].mark, durability))], file: f,
            observed: observed)
    }

    /// A truncation or, seldom, a removal; all data groups are told of it.
    private func aCut() -> Draft? {
        let f = random.below(files.count)
        guard files[f].cut == nil else { return resumedCut(f) }
        let number = files[f].mark.number.next
        var values: [(key: UInt64, value: UInt32)] = []
        var size: UInt64 = 0
        let kind: RangeDeletion.Kind = chance(20) ? .removal : .truncation
        do {
            let fields = someFields()
            let index = UInt64(random.below(Int(Simulator.objectsPerFile)))
            if kind == .truncation {
                size = scenario.layout.fileOffset(index: index, offset: BlockContent.offset(fields.lowerBound))
            }
            for index in 0..<Simulator.objectsPerFile {
                let object = ObjectID(file: files[f].id, index: index)
                for region in Simulator.regions {
                    let per = BlockContent.fieldsPerBlock
                    for field in region.lowerBound * per..<region.upperBound * per
                    where scenario.layout.fileOffset(index: index, offset: BlockContent.offset(field)) >= size {
                        values.append((register(object, field), 0))
                    }
                }
            }
        }
        let mark = TruncationMark(number: number, size: size)
        files[f].mark = mark
        tell("\(kind) \(number.rawValue) of \(files[f].id) at \(size), \(scenario.layout.locate(size))")
        var observed = Observed(kind: .write, values: values, start: clock, group: nil)
        observed.durability = .stable
        observed.mark = number.rawValue
        observed.isCut = true
        let deletion = RangeDeletion(
            file: files[f].id, truncation: mark, layout: scenario.layout, kind: kind, edge: nil)
        files[f].cut = WorkFile.Cut(deletion: deletion, observed: history.count)
        return cut(f, deletion, observed)
    }

    private func cut(_ f: Int, _ deletion: RangeDeletion, _ observed: Observed) -> Draft {
        Draft(
            requests: (0..<scenario.dataGroups).map { ($0, .deleteRange(deletion)) }, file: f, observed: observed)
    }

    /// A cut whose client's session ended goes on under another one.
    func resumedCut(_ f: Int) -> Draft? {
        guard let cut = files[f].cut, !cut.isTaken else { return nil }
        files[f].cut?.isTaken = true
        return self.cut(f, cut.deletion, history[cut.observed])
    }

    private func aRead() -> Draft {
        let (f, object) = someObject()
        return read(f, object, someFields(), chance(40) ? .replica : .primary)
    }

    enum From { case primary, replica }

    private func read(_ f: Int, _ object: ObjectID, _ fields: Range<Int>, _ from: From) -> Draft {
        let range = byteRange(object, fields)
        let g = group(of: object)
        return Draft(
            requests: [(g, from == .replica ? .readVersion(range, files[f].mark) : .read(range, files[f].mark))],
            fields: fields, file: f,
            observed: Observed(kind: .read, values: seen(object, fields, 0), start: clock, group: g))
    }

    /// The reads at the end, one after the other; nil when all are done.
    func finalRead(_ i: Int) -> Draft? {
        var i = i
        if scenario.metadata {
            if let query = finalTreeQuery(i) { return query }
            i -= tree.directories.count + 1
        }
        let regions = Simulator.regions.count
        let objects = Int(Simulator.objectsPerFile)
        guard i < files.count * objects * regions else { return nil }
        let f = i / (objects * regions)
        let region = Simulator.regions[i % regions]
        let per = BlockContent.fieldsPerBlock
        return read(
            f, ObjectID(file: files[f].id, index: UInt64(i / regions % objects)),
            region.lowerBound * per..<region.upperBound * per, .primary)
    }
}
