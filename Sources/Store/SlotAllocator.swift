import ClusterModel

/// Which slots of the data file are taken: named by a row, by a record in the log, or pending. Invariants:
/// - a slot is given once until it is released;
/// - a large part gets neighbouring slots where there are any.
struct SlotAllocator {
    /// Slots 1 … capacity exist.
    private(set) var capacity = 0
    private(set) var takenCount = 0
    /// Bit s - 1 is slot s.
    private var words: [UInt64] = []
    /// Where the last search ended, or a slot before it that was released since: the next one goes on there. What was freed is
    /// used again before the file grows into what was never written, and its pages are still in the page cache.
    private var hand = 0

    var freeCount: Int { capacity - takenCount }

    mutating func grow(to slots: Int) {
        guard slots > capacity else { return }
        capacity = slots
        let count = (slots + 63) / 64
        if count > words.count { words.append(contentsOf: repeatElement(0, count: count - words.count)) }
    }

    func isTaken(_ slot: UInt32) -> Bool {
        let bit = Int(slot) - 1
        return bit >= 0 && bit / 64 < words.count && words[bit / 64] >> UInt64(bit % 64) & 1 == 1
    }

    /// Marks a slot that an index row or a record names; it may be marked already.
    mutating func mark(_ slot: UInt32) {
        guard slot != 0 else { return }
        let bit = Int(slot) - 1
        if bit >= capacity { grow(to: bit + 1) }
        if words[bit / 64] >> UInt64(bit % 64) & 1 == 0 {
            words[bit / 64] |= 1 << UInt64(bit % 64)
            takenCount += 1
        }
    }

    mutating func release(_ slot: UInt32) {
        let bit = Int(slot) - 1
        precondition(isTaken(slot), "a slot is released once")
        words[bit / 64] &= ~(1 << UInt64(bit % 64))
        takenCount -= 1
        hand = min(hand, bit)
    }

    /// `count` slots, or nil if there are not that many; neighbours if a run of them is found, else any.
    mutating func allocate(_ count: Int) -> [UInt32]? {
        guard count <= freeCount else { return nil }
        if let first = run(count, from: hand, to: capacity) ?? run(count, from: 0, to: min(hand + count, capacity)) {
            hand = first + count
            return take(first..<first + count)
        }
        var found: [UInt32] = []
        found.reserveCapacity(count)
        var bit = 0
        while found.count < count {
            if bit % 64 == 0, words[bit / 64] == .max {
                bit += 64
                continue
            }
            if bit < capacity, words[bit / 64] >> UInt64(bit % 64) & 1 == 0 {
                found.append(contentsOf: take(bit..<bit + 1))
            }
            bit += 1
        }
        return found
    }

    private mutating func take(_ bits: Range<Int>) -> [UInt32] {
        bits.map { bit in
            words[bit / 64] |= 1 << UInt64(bit % 64)
            takenCount += 1
            return UInt32(bit + 1)
        }
    }

    /// The first of `count` free neighbours within the range; looks at no more than 1 Mi slots.
    private func run(_ count: Int, from: Int, to end: Int) -> Int? {
        var bit = from
        var length = 0
        let last = min(end, from + 1 << 20)
        while bit < last {
            let word = words[bit / 64]
            if bit % 64 == 0, word == .max {
                length = 0
                bit += 64
                continue
            }
            if bit % 64 == 0, word == 0, bit + 64 <= last, count - length > 64 {
                length += 64
                bit += 64
                continue
            }
            length = word >> UInt64(bit % 64) & 1 == 0 ? length + 1 : 0
            bit += 1
            if length == count { return bit - count }
        }
        return nil
    }
}

/// The allocation map as the index has it: changed in the same transactions as the rows that name the slots.
struct DurableMap {
    private var pieces: [[UInt8]] = []
    private var dirty: [Int] = []
    /// Pieces that `takeDirty` would give.
    var dirtyCount: Int { dirty.count }
    private var isDirty: [Bool] = []

    mutating func load(piece: Int, _ value: [UInt8]) {
        grow(piece)
        pieces[piece] = value
        if value.count < StoreLimits.slotsPerMapPiece / 8 {
            pieces[piece] += [UInt8](repeating: 0, count: StoreLimits.slotsPerMapPiece / 8 - value.count)
        }
    }

    private mutating func grow(_ piece: Int) {
        while pieces.count <= piece {
            pieces.append([UInt8](repeating: 0, count: StoreLimits.slotsPerMapPiece / 8))
            isDirty.append(false)
        }
    }

    mutating func set(_ slot: UInt32, _ taken: Bool) {
        let bit = Int(slot) - 1
        let piece = bit / StoreLimits.slotsPerMapPiece
        grow(piece)
        let within = bit % StoreLimits.slotsPerMapPiece
        if taken {
            pieces[piece][within / 8] |= 1 << UInt8(within % 8)
        } else {
            pieces[piece][within / 8] &= ~(1 << UInt8(within % 8))
        }
        if !isDirty[piece] {
            isDirty[piece] = true
            dirty.append(piece)
        }
    }

    /// The pieces that have changed since the last call.
    mutating func takeDirty() -> [(piece: Int, value: [UInt8])] {
        let result = dirty.sorted().map { (piece: $0, value: pieces[$0]) }
        for d in dirty { isDirty[d] = false }
        dirty.removeAll(keepingCapacity: true)
        return result
    }

    /// Every taken slot, ascending.
    func forEachTaken(_ body: (UInt32) -> Void) {
        for (p, piece) in pieces.enumerated() {
            for (i, byte) in piece.enumerated() where byte != 0 {
                for b in 0..<8 where byte >> UInt8(b) & 1 == 1 {
                    body(UInt32(p * StoreLimits.slotsPerMapPiece + i * 8 + b + 1))
                }
            }
        }
    }
}
