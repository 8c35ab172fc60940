import ClusterModel
import Testing

/// The slow reference: it deals the stripe units of a file to objects one by one, as RAID 0 over sets of objects.
private struct DealtFile {
    var lengths: [Int] = []

    init(layout: Layout, size: Int) {
        var dealt = 0
        var firstOfSet = 0
        while dealt < size {
            // One set: rows of stripe units over `stripeCount` objects until each of them is full.
            lengths += Array(repeating: 0, count: layout.stripeCount)
            for _ in 0..<Geometry.objectSize / layout.stripeUnit {
                for column in 0..<layout.stripeCount {
                    let take = max(min(layout.stripeUnit, size - dealt), 0)
                    lengths[firstOfSet + column] += take
                    dealt += take
                }
            }
            firstOfSet += layout.stripeCount
        }
        while lengths.last == 0 { lengths.removeLast() }
    }
}

private func layout(_ random: inout SplitMix64) -> Layout {
    let unit = Geometry.slotSize << random.below(7)
    guard let layout = Layout(stripeUnit: unit, stripeCount: 1 + random.below(64)) else {
        preconditionFailure("a unit of \(unit) bytes and at most 64 objects are within a layout's ranges")
    }
    return layout
}

/// Sizes near the borders where formulas go wrong: of units, rows, objects and sets.
private func size(_ layout: Layout, below bound: Int, _ random: inout SplitMix64) -> Int {
    let set = layout.stripeCount * Geometry.objectSize
    let steps = [1, 4096, layout.stripeUnit, layout.stripeUnit * layout.stripeCount, Geometry.objectSize, set]
    let step = steps[random.below(steps.count)]
    let near = step * random.below(bound / step + 1) + random.below(3) - 1
    return min(max(near, 0), bound)
}

struct LayoutTests {
    @Test("A layout outside its ranges is refused")
    func ranges() {
        for (unit, count) in [(32768, 4), (1 << 23, 4), (96 << 10, 4), (0, 4), (-65536, 4), (65536, 0), (65536, 65)] {
            #expect(Layout(stripeUnit: unit, stripeCount: count) == nil, "unit \(unit), count \(count)")
        }
        #expect(Layout(stripeUnit: 1 << 20, stripeCount: 4) == .standard)
    }

    @Test("A byte's place leads back to the byte, in random layouts and at the greatest offsets", arguments: 0..<40)
    func inverse(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let layout = layout(&random)
        for _ in 0..<500 {
            let offset =
                switch random.below(3) {
                case 0: UInt64(size(layout, below: 4 << 30, &random))
                case 1: random.next() & Geometry.maximumFileSize
                default: Geometry.maximumFileSize - UInt64(size(layout, below: 1 << 30, &random))
                }
            let place = layout.locate(offset)
            #expect((0..<Geometry.objectSize).contains(place.offset), "seed \(seed), offset \(offset)")
            #expect(layout.fileOffset(index: place.index, offset: place.offset) == offset, "seed \(seed)")
            #expect(place.index < layout.objectCount(fileSize: offset + 1), "seed \(seed), offset \(offset)")
            #expect(
                place.offset < layout.objectLength(index: place.index, fileSize: offset + 1),
                "seed \(seed), offset \(offset)")
        }
    }

    @Test("Objects have the lengths that dealing the units one by one gives", arguments: 0..<40)
    func lengths(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let layout = layout(&random)
        for _ in 0..<30 {
            let size = size(layout, below: 3 * layout.stripeCount * Geometry.objectSize, &random)
            let dealt = DealtFile(layout: layout, size: size)
            #expect(
                layout.objectCount(fileSize: UInt64(size)) == UInt64(dealt.lengths.count), "seed \(seed), size \(size)")
            for index in 0..<dealt.lengths.count + 3 {
                let expected = index < dealt.lengths.count ? dealt.lengths[index] : 0
                #expect(
                    layout.objectLength(index: UInt64(index), fileSize: UInt64(size)) == expected,
                    "seed \(seed), size \(size), object \(index)")
            }
        }
    }

    @Test("The greatest file and the greatest object index are computed without overflow", arguments: 0..<20)
    func greatest(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let layout = layout(&random)
        let count = layout.objectCount(fileSize: Geometry.maximumFileSize)
        let last = layout.locate(Geometry.maximumFileSize - 1)
        #expect(last.index < count)
        #expect(layout.objectLength(index: 0, fileSize: Geometry.maximumFileSize) == Geometry.objectSize)
        #expect(layout.objectLength(index: count, fileSize: Geometry.maximumFileSize) == 0)
        // A peer may name any object.
        #expect(layout.objectLength(index: .max, fileSize: Geometry.maximumFileSize) == 0)
        #expect(layout.fileOffset(index: .max, offset: Geometry.objectSize - 1) >= Geometry.maximumFileSize)
        #expect(layout.objectLength(index: 0, fileSize: 0) == 0)
        #expect(layout.objectCount(fileSize: 0) == 0)
    }

    @Test("The parts of a range cover it in order, each within one unit of one object", arguments: 0..<20)
    func parts(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let layout = layout(&random)
        for _ in 0..<100 {
            let length = random.below(Geometry.maximumTransfer + 1)
            let offset = min(random.next() >> UInt64(1 + random.below(60)), Geometry.maximumFileSize - UInt64(length))
            var done = 0
            layout.forEachPart(offset: offset, length: length) { index, objectOffset, delta, part in
                #expect(delta == done && part > 0, "seed \(seed)")
                #expect(layout.fileOffset(index: index, offset: objectOffset) == offset + UInt64(delta), "seed \(seed)")
                #expect(objectOffset % layout.stripeUnit + part <= layout.stripeUnit, "seed \(seed)")
                done += part
            }
            #expect(done == length, "seed \(seed)")
        }
    }

    @Test("A block range covers exactly the blocks that bytes touch")
    func blocks() {
        #expect(BlockRange(coveringOffset: 0, length: 0).count == 0)
        #expect(BlockRange(coveringOffset: 4095, length: 1) == BlockRange(first: 0, count: 1))
        #expect(BlockRange(coveringOffset: 4095, length: 2) == BlockRange(first: 0, count: 2))
        #expect(BlockRange(coveringOffset: 4096, length: 4096) == BlockRange(first: 1, count: 1))
        #expect(BlockRange(first: 0, count: 2).overlaps(BlockRange(first: 1, count: 1)))
        #expect(!BlockRange(first: 0, count: 1).overlaps(BlockRange(first: 1, count: 1)))
    }
}
