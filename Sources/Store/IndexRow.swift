import ClusterModel
import Wire

/// A block whose newest content lies in the log.
struct LogBlock: Equatable {
    /// Of the row, 0 … 255.
    var block: UInt16
    var position: LogPosition
}

/// What a row of one MiB says, and which of its blocks lie in the log. A value: the checkpoint keeps the state of its
/// position by holding a copy, whose arrays are shared until they change.
struct RowContent {
    /// Empty if no block has ever had content; else 16 slots, 16 words of two bits a block, 256 checksums.
    var words: [UInt32] = []
    /// Ascending by block.
    var inLog: [LogBlock] = []
    /// The last entry applied to it, by its record: replay skips what the row has. Not by name: a log that begins anew may go
    /// back in names.
    var applied = LogPosition.zero
    /// The last cut that was applied to it.
    var truncation = TruncationNumber.zero
    /// The last installed piece, by its record.
    var installed = LogPosition.zero

    private static let statesAt = Geometry.slotsPerRow
    private static let sumsAt = 2 * Geometry.slotsPerRow
    private static let wordCount = 2 * Geometry.slotsPerRow + Geometry.blocksPerRow
    private static let presentMask: UInt32 = 0xAAAA_AAAA

    mutating func materialize() {
        if words.isEmpty { words = [UInt32](repeating: 0, count: RowContent.wordCount) }
    }

    func slot(_ i: Int) -> UInt32 { words.isEmpty ? 0 : words[i] }
    static func slot(_ i: Int, of words: [UInt32]) -> UInt32 { words.isEmpty ? 0 : words[i] }
    mutating func setSlot(_ i: Int, _ slot: UInt32) { words[i] = slot }

    func state(_ block: Int) -> BlockState {
        if words.isEmpty { return .absent }
        switch words[RowContent.statesAt + block / 16] >> UInt32(2 * (block % 16)) & 3 {
        case 0: return .absent
        case 1: return .zero
        default: return .present
        }
    }
    mutating func setState(_ block: Int, _ state: BlockState) {
        let word = RowContent.statesAt + block / 16
        let shift = UInt32(2 * (block % 16))
        words[word] = words[word] & ~(3 << shift) | UInt32(state.rawValue) << shift
    }
    mutating func setWholeSlotPresent(_ i: Int) { words[RowContent.statesAt + i] = RowContent.presentMask }

    /// Present blocks of slot `i`.
    func presentCount(slot i: Int) -> Int {
        words.isEmpty ? 0 : (words[RowContent.statesAt + i] & RowContent.presentMask).nonzeroBitCount
    }
    static func usage(of words: [UInt32]) -> StoreUsage {
        var u = StoreUsage()
        if words.isEmpty { return u }
        for i in 0..<Geometry.slotsPerRow {
            u.blocks += Int64((words[statesAt + i] & presentMask).nonzeroBitCount)
            if words[i] != 0 { u.slots += 1 }
        }
        return u
    }

    func checksum(_ block: Int) -> UInt32 { words[RowContent.sumsAt + block] }
    mutating func setChecksum(_ block: Int, _ sum: UInt32) { words[RowContent.sumsAt + block] = sum }

    /// The index in `inLog` of the first block ≥ `block`.
    func lowerBound(_ block: Int) -> Int {
        var low = 0
        var high = inLog.count
        while low < high {
            let middle = (low + high) / 2
            if Int(inLog[middle].block) < block { low = middle + 1 } else { high = middle }
        }
        return low
    }
    func logPosition(_ block: Int) -> LogPosition? {
        let i = lowerBound(block)
        return i < inLog.count && Int(inLog[i].block) == block ? inLog[i].position : nil
    }
    /// Blocks `first ..< first + count` lie in the log from `position` on; returns how many more blocks do now.
    mutating func setInLog(first: Int, count: Int, position: LogPosition) -> Int {
        let low = lowerBound(first)
        if count == 1 {
            let new = LogBlock(block: UInt16(first), position: position)
            if low < inLog.count, Int(inLog[low].block) == first {
                inLog[low] = new
                return 0
            }
            inLog.insert(new, at: low)
            return 1
        }
        let high = lowerBound(first + count)
        inLog.replaceSubrange(
            low..<high,
            with: (0..<count).lazy.map {
                LogBlock(block: UInt16(first + $0), position: position + $0 * Geometry.blockSize)
            })
        return count - (high - low)
    }
    /// None of these blocks lies in the log (any more); returns how many did.
    mutating func removeInLog(first: Int, count: Int) -> Int {
        if inLog.isEmpty { return 0 }
        let low = lowerBound(first)
        let high = lowerBound(first + count)
        if low < high { inLog.removeSubrange(low..<high) }
        return high - low
    }

    var isEmpty: Bool {
        words.isEmpty
            || (0..<Geometry.slotsPerRow).allSatisfy { words[RowContent.statesAt + $0] == 0 && words[$0] == 0 }
    }

    // MARK: On disk

    private static let format: UInt8 = 1

    /// Format (1), applied (8), truncation (8), installed (8), slots (64), states (64), checksums of present blocks,
    /// CRC32C of all before it (4).
    func encoded(crc: CRC32C) -> [UInt8] {
        var b: [UInt8] = []
        b.reserveCapacity(1_200)
        b.append(RowContent.format)
        b.put(applied.rawValue)
        b.put(truncation.rawValue)
        b.put(installed.rawValue)
        if !words.isEmpty {
            for i in 0..<RowContent.sumsAt { b.put(words[i]) }
            for block in 0..<Geometry.blocksPerRow where state(block) == .present { b.put(checksum(block)) }
        }
        b.put(crc.checksum(b))
        return b
    }

    static func decode(_ bytes: [UInt8], crc: CRC32C) throws -> RowContent {
        guard let first = bytes.first, bytes.count >= 29 else {
            throw LogFormatError(description: "an index row of \(bytes.count) bytes")
        }
        guard first == format else { throw LogFormatError(description: "an index row of format \(first)") }
        return try bytes.withUnsafeBytes { raw in
            let body = UnsafeRawBufferPointer(rebasing: raw[0..<raw.count - 4])
            var tail = WireReader(UnsafeRawBufferPointer(rebasing: raw[(raw.count - 4)...]))
            guard crc.checksum(body) == (try tail.u32()) else {
                throw LogFormatError(description: "an index row whose checksum does not hold")
            }
            var r = WireReader(body)
            _ = try r.u8()
            var row = RowContent()
            row.applied = LogPosition(try r.u64())
            row.truncation = TruncationNumber(try r.u64())
            row.installed = LogPosition(try r.u64())
            if r.remaining > 0 {
                row.materialize()
                for i in 0..<sumsAt { row.words[i] = try r.u32() }
                for block in 0..<Geometry.blocksPerRow where row.state(block) == .present {
                    row.setChecksum(block, try r.u32())
                }
            }
            try r.finish()
            return row
        }
    }
}
