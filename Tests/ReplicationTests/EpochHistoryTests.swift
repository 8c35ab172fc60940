import ClusterModel
import Testing
import Wire

@testable import Replication

struct EpochHistoryTests {
    static func log(_ spans: (UInt64, UInt64)...) -> EpochHistory {
        EpochHistory(spans.map { EpochSpan(epoch: Epoch($0.0), last: $0.1) }) ?? EpochHistory()
    }
    static func name(_ epoch: UInt64, _ n: UInt64) -> EntryName { EntryName(epoch: Epoch(epoch), n: n) }

    @Test("two logs fork after the last entry that both have, compared by epoch and number")
    func fork() {
        let a = EpochHistoryTests.log((1, 5), (3, 9))
        let b = EpochHistoryTests.log((1, 7), (2, 10))
        #expect(a.common(with: b, notBeyond: a.end) == EpochHistoryTests.name(1, 5))
        #expect(b.common(with: a, notBeyond: b.end) == EpochHistoryTests.name(1, 5))
        let longer = EpochHistoryTests.log((1, 5), (3, 12))
        #expect(a.common(with: longer, notBeyond: a.end) == a.end)
        #expect(longer.common(with: a, notBeyond: EpochHistoryTests.name(3, 7)) == EpochHistoryTests.name(3, 7))
        #expect(longer.common(with: a, notBeyond: EpochHistoryTests.name(1, 4)) == EpochHistoryTests.name(1, 4))
    }

    @Test("the same number in another epoch is another entry")
    func pairs() {
        let a = EpochHistoryTests.log((1, 5), (3, 9))
        #expect(a.contains(EpochHistoryTests.name(3, 6)))
        #expect(!a.contains(EpochHistoryTests.name(2, 6)))
        #expect(a.name(at: 5) == EpochHistoryTests.name(1, 5))
        #expect(a.name(at: 10) == nil)
    }

    @Test("a cut ends the log at the entry named, also in the middle of an epoch")
    func cut() {
        var a = EpochHistoryTests.log((1, 5), (3, 9))
        a.cut(after: EpochHistoryTests.name(3, 7))
        #expect(a.end == EpochHistoryTests.name(3, 7))
        a.cut(after: EpochHistoryTests.name(1, 5))
        #expect(a.end == EpochHistoryTests.name(1, 5))
        a.cut(after: .zero)
        #expect(a.end == .zero)
    }

    @Test("logs agree with lists of names on forks, whatever the histories")
    func againstLists() {
        var random = SplitMix64(seed: 9)
        for _ in 0..<2000 {
            // A tree of logs as primaries make them: each begins with a prefix of an earlier one.
            var logs: [[EntryName]] = [[]]
            for epoch in 1...6 {
                var log = Array(logs[random.below(logs.count)])
                log = Array(log.prefix(random.below(log.count + 1)))
                for _ in 0...random.below(3) {
                    log.append(EpochHistoryTests.name(UInt64(epoch), UInt64(log.count + 1)))
                }
                logs.append(log)
                logs.append(Array(log.prefix(random.below(log.count + 1))))
            }
            let a = logs[random.below(logs.count)]
            let b = logs[random.below(logs.count)]
            var ha = EpochHistory()
            for n in a { ha.append(n) }
            var hb = EpochHistory()
            for n in b { hb.append(n) }
            let shared = zip(a, b).prefix { $0 == $1 }.last?.0 ?? .zero
            #expect(ha.common(with: hb, notBeyond: ha.end) == shared)
            if let bound = a.prefix(random.below(a.count + 1)).last {
                #expect(ha.common(with: hb, notBeyond: bound) == (shared.n <= bound.n ? shared : bound))
            }
        }
    }

    @Test("a history that grew too long still knows its newest epochs and claims nothing of older ones")
    func bounded() {
        var a = EpochHistory()
        for i in 1...600 { a.append(EpochHistoryTests.name(UInt64(i), UInt64(i))) }
        #expect(a.spans.count <= ReplicaMessageLimits.historySpans)
        #expect(a.contains(EpochHistoryTests.name(600, 600)))
        #expect(!a.contains(EpochHistoryTests.name(2, 2)))
        #expect(a.common(with: a, notBeyond: EpochHistoryTests.name(2, 2)) == .zero)
    }
}
