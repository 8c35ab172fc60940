import ClusterModel
import DiskIO
import Namespace
import Testing

/// What every implementation of `NamespaceRows` does.
@Suite struct RowsConformanceTests {
    private func key(_ bytes: UInt8...) -> NamespaceKey { NamespaceKey(bytes: bytes) }

    @Test("new rows have nothing in them", arguments: Implementation.allCases)
    func new(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            #expect(try rows.state() == nil)
            #expect(try rows.value(of: key(1)) == nil)
            #expect(try rows.rows(from: .least, below: .greatest, limit: 10).isEmpty)
            #expect(try rows.changes(after: .after(version: 0), limit: 10).isEmpty)
            #expect(try rows.replies(after: 0, limit: 10).isEmpty)
            #expect(try rows.tombstoneHorizon() == 0)
        }
    }

    @Test(
        "what was put is seen before and after commit, and replaced by the next put", arguments: Implementation.allCases
    )
    func put(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            try rows.put(key(1, 2), [], version: 1)
            #expect(try rows.value(of: key(1, 2)) == [])
            try rows.put(key(1, 2), [9, 0, 8], version: 2)
            try rows.putState([1, 2, 3])
            try rows.commit()
            #expect(try rows.value(of: key(1, 2)) == [9, 0, 8])
            #expect(try rows.state() == [1, 2, 3])
            let all = try rows.rows(from: .least, below: .greatest, limit: 10)
            #expect(all == [NamespaceRow(key: key(1, 2), version: 2, value: [9, 0, 8])])
        }
    }

    @Test("a range has its lower bound, not its upper one, in the order of bytes", arguments: Implementation.allCases)
    func range(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            let keys = [key(1), key(1, 0), key(1, 0x7F), key(1, 0x80), key(1, 0xFF), key(2)]
            for (i, key) in keys.enumerated().reversed() { try rows.put(key, [UInt8(i)], version: UInt64(i + 1)) }
            func found(_ lower: NamespaceKey, _ upper: NamespaceKey, _ limit: Int = 10) throws -> [NamespaceKey] {
                try rows.rows(from: lower, below: upper, limit: limit).map(\.key)
            }
            #expect(try found(.least, .greatest) == keys)
            #expect(try found(key(1, 0), key(1, 0xFF)) == Array(keys[1...3]))
            #expect(try found(key(1, 0), key(2), 2) == Array(keys[1...2]))
            #expect(try found(key(2), key(2)).isEmpty)
        }
    }

    @Test("a delete leaves a tombstone, whether the row was there or not", arguments: Implementation.allCases)
    func tombstones(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            try rows.put(key(1), [1], version: 1)
            try rows.delete(key(1), version: 5)
            try rows.delete(key(2), version: 6)
            try rows.commit()
            #expect(try rows.value(of: key(1)) == nil)
            let changes = try rows.changes(after: .after(version: 1), limit: 10)
            #expect(
                changes == [
                    ChangedRow(key: key(1), version: 5, value: nil), ChangedRow(key: key(2), version: 6, value: nil),
                ])
        }
    }

    @Test("a key that is live again is given as a row only", arguments: Implementation.allCases)
    func liveAgain(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            try rows.delete(key(1), version: 5)
            try rows.put(key(1), [7], version: 5)
            try rows.delete(key(2), version: 6)
            try rows.put(key(2), [8], version: 7)
            #expect(
                try rows.changes(after: .after(version: 0), limit: 10) == [
                    ChangedRow(key: key(1), version: 5, value: [7]), ChangedRow(key: key(2), version: 7, value: [8]),
                ])
        }
    }

    @Test("changes come by version, then key, page by page without a gap", arguments: Implementation.allCases)
    func changes(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            for i in 0..<50 { try rows.put(key(UInt8(i)), [UInt8(i)], version: UInt64(100 - i / 5)) }
            for i in 50..<70 { try rows.delete(key(UInt8(i)), version: UInt64(90 + i % 10)) }
            let all = try rows.changes(after: .after(version: 0), limit: 1000)
            #expect(all.count == 70)
            let places = all.map { ChangePosition(version: $0.version, key: $0.key) }
            #expect(places == places.sorted())
            var paged: [ChangedRow] = []
            var place = ChangePosition.after(version: 0)
            while true {
                let page = try rows.changes(after: place, limit: 7)
                paged += page
                guard let last = page.last else { break }
                place = ChangePosition(version: last.version, key: last.key)
            }
            #expect(paged == all)
            #expect(try rows.changes(after: .after(version: 99), limit: 10).allSatisfy { $0.version == 100 })
        }
    }

    @Test("pruning drops old tombstones and remembers how far", arguments: Implementation.allCases)
    func prune(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            try rows.delete(key(1), version: 5)
            try rows.delete(key(2), version: 6)
            try rows.pruneTombstones(through: 5, atMost: .max)
            #expect(try rows.changes(after: .after(version: 0), limit: 10).map(\.key) == [key(2)])
            #expect(try rows.tombstoneHorizon() == 5)
            try rows.pruneTombstones(through: 3, atMost: .max)
            #expect(try rows.tombstoneHorizon() == 5)
        }
    }

    @Test("pruning drops no more than it is asked to, the oldest first", arguments: Implementation.allCases)
    func pruneSome(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            for i in 0..<6 { try rows.delete(key(UInt8(9 - i)), version: UInt64(5 + i / 2)) }
            try rows.pruneTombstones(through: 6, atMost: 3)
            #expect(try rows.changes(after: .after(version: 0), limit: 10).map(\.key) == [key(7), key(4), key(5)])
            #expect(try rows.tombstoneHorizon() == 6)
            try rows.pruneTombstones(through: 6, atMost: 3)
            #expect(try rows.changes(after: .after(version: 0), limit: 10).map(\.version) == [7, 7])
            try rows.pruneTombstones(through: 6, atMost: 3)
            #expect(try rows.tombstoneHorizon() == 6)
        }
    }

    @Test("replies are found by n and listed in its order", arguments: Implementation.allCases)
    func replies(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            for n: UInt64 in [3, 1, 2, 5] { try rows.putReply(n, [UInt8(n)]) }
            try rows.putReply(2, [22])
            try rows.deleteReply(1)
            try rows.deleteReply(4)
            #expect(try rows.reply(2) == [22])
            #expect(try rows.reply(1) == nil)
            #expect(try rows.replies(after: 2, limit: 10).map(\.n) == [3, 5])
            #expect(try rows.replies(after: 0, limit: 2).map(\.n) == [2, 3])
            try rows.deleteAllReplies()
            #expect(try rows.replies(after: 0, limit: 10).isEmpty)
        }
    }

    @Test("a rollback brings back what was committed", arguments: Implementation.allCases)
    func rollback(_ implementation: Implementation) throws {
        try implementation.withRows { rows throws in
            try rows.put(key(1), [1], version: 1)
            try rows.putState([1])
            try rows.commit()
            try rows.removeEverything(horizon: 9)
            try rows.put(key(2), [2], version: 2)
            try rows.putState([2])
            #expect(try rows.value(of: key(1)) == nil)
            try rows.rollback()
            #expect(try rows.value(of: key(1)) == [1])
            #expect(try rows.value(of: key(2)) == nil)
            #expect(try rows.state() == [1])
            #expect(try rows.tombstoneHorizon() == 0)
            try rows.rollback()
        }
    }
}
