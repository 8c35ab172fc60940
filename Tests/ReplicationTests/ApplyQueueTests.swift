import ClusterModel
import Testing
import Wire

@testable import Replication

/// The order in which decided entries reach the rows, and what waits for them.
struct ApplyQueueTests {
    private static func name(_ epoch: UInt64, _ n: UInt64) -> EntryName { EntryName(epoch: Epoch(epoch), n: n) }
    private static func entry(_ epoch: UInt64, _ n: UInt64) -> Entry {
        Entry(
            name: name(epoch, n), body: .empty, durability: .unstable, lossNumber: .zero,
            time: Timestamp(nanoseconds: Int64(n)))
    }
    /// Entries 1 to 5 of epoch 1.
    private static var five: ApplyQueue {
        var queue = ApplyQueue()
        for n in 1...5 { queue.append(entry(1, UInt64(n))) }
        return queue
    }
    private static func numbers(_ entries: [Entry]) -> [UInt64] { entries.map(\.name.n) }

    @Test("a decided entry is applied only when its record is stable, and the sync is asked for")
    func stableFirst() {
        var queue = ApplyQueueTests.five
        let decided = queue.decided(through: ApplyQueueTests.name(1, 3))
        #expect(decided.apply.isEmpty)
        #expect(decided.requestStable == ApplyQueueTests.name(1, 3))
        let some = queue.stable(through: ApplyQueueTests.name(1, 2))
        #expect(ApplyQueueTests.numbers(some.apply) == [1, 2])
        #expect(some.requestStable == ApplyQueueTests.name(1, 3))
        let rest = queue.stable(through: ApplyQueueTests.name(1, 5))
        #expect(ApplyQueueTests.numbers(rest.apply) == [3])
    }

    @Test("a stable entry is applied only when it is decided")
    func decidedFirst() {
        var queue = ApplyQueueTests.five
        let stable = queue.stable(through: ApplyQueueTests.name(1, 5))
        #expect(stable.apply.isEmpty && stable.requestStable == nil)
        let decided = queue.decided(through: ApplyQueueTests.name(1, 4))
        #expect(ApplyQueueTests.numbers(decided.apply) == [1, 2, 3, 4])
        #expect(decided.requestStable == nil)
        let again = queue.decided(through: ApplyQueueTests.name(1, 4))
        #expect(again.apply.isEmpty)
    }

    @Test("what came after a decision goes on when all of it has been handed over, in the order of coming")
    func waiting() {
        var queue = ApplyQueueTests.five
        let waitsForNothing = queue.mustWait()
        #expect(!waitsForNothing)
        _ = queue.decided(through: ApplyQueueTests.name(1, 2))
        let firstWaits = queue.mustWait()
        #expect(firstWaits)
        _ = queue.decided(through: ApplyQueueTests.name(1, 4))
        let secondWaits = queue.mustWait()
        #expect(secondWaits)
        let early = queue.stable(through: ApplyQueueTests.name(1, 1))
        #expect(early.released == 0)
        let both = queue.stable(through: ApplyQueueTests.name(1, 3))
        #expect(ApplyQueueTests.numbers(both.apply) == [2, 3])
        #expect(both.released == 1)
        let last = queue.stable(through: ApplyQueueTests.name(1, 4))
        #expect(last.released == 1)
        let waitsStill = queue.mustWait()
        #expect(!waitsStill)
    }

    @Test(
        "of a log that begins anew nothing is handed over before it is said to be decided, whatever was decided before")
    func anew() {
        var queue = ApplyQueueTests.five
        _ = queue.decided(through: ApplyQueueTests.name(1, 5))
        let cleared = queue.clear()
        #expect(ApplyQueueTests.numbers(cleared.dropped) == [5, 4, 3, 2, 1])
        // The new log begins behind entry 3: its rows are to come before that.
        queue.append(ApplyQueueTests.entry(1, 4))
        let stable = queue.stable(through: ApplyQueueTests.name(1, 4))
        #expect(stable.apply.isEmpty)
        let waits = queue.mustWait()
        #expect(!waits)
        let decided = queue.decided(through: ApplyQueueTests.name(1, 4))
        #expect(ApplyQueueTests.numbers(decided.apply) == [4])
    }

    @Test("what is cut off is never applied, is stable no more, and nothing waits for it")
    func cut() {
        var queue = ApplyQueueTests.five
        _ = queue.decided(through: ApplyQueueTests.name(1, 4))
        let waits = queue.mustWait()
        #expect(waits)
        _ = queue.stable(through: ApplyQueueTests.name(1, 2))
        let cut = queue.cut(after: ApplyQueueTests.name(1, 2))
        #expect(ApplyQueueTests.numbers(cut.dropped) == [5, 4, 3])
        #expect(cut.released == 1)
        queue.append(ApplyQueueTests.entry(2, 3))
        let steps = queue.decided(through: ApplyQueueTests.name(2, 3))
        #expect(steps.apply.isEmpty)
        #expect(steps.requestStable == ApplyQueueTests.name(2, 3))
        let after = queue.stable(through: ApplyQueueTests.name(2, 3))
        #expect(after.apply.map(\.name) == [ApplyQueueTests.name(2, 3)])
    }

    @Test("a log that begins anew has nothing stable")
    func clear() {
        var queue = ApplyQueueTests.five
        _ = queue.stable(through: ApplyQueueTests.name(1, 5))
        let cleared = queue.clear()
        #expect(cleared.dropped.count == 5)
        queue.append(ApplyQueueTests.entry(1, 4))
        let steps = queue.decided(through: ApplyQueueTests.name(1, 4))
        #expect(steps.apply.isEmpty && steps.requestStable == ApplyQueueTests.name(1, 4))
    }

    @Test("over any history, each entry is applied once, in order, when it is decided and stable", arguments: 1...40)
    func histories(_ seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        var queue = ApplyQueue()
        var log: [EntryName] = []
        var applied: [EntryName] = []
        var decided = EntryName.zero
        var stable = EntryName.zero
        var epoch: UInt64 = 1
        var waiting: [EntryName] = []
        func take(_ steps: ApplyQueue.Steps) {
            for entry in steps.apply {
                #expect(entry.name <= decided && entry.name <= stable)
                applied.append(entry.name)
            }
            for _ in 0..<steps.released {
                #expect(waiting.removeFirst() <= applied.last ?? .zero)
            }
            let due = log.filter { $0 <= decided && $0 <= stable }
            #expect(applied == due)
        }
        for _ in 0..<600 {
            switch random.below(6) {
            case 0, 1:
                let name = ApplyQueueTests.name(epoch, (log.last?.n ?? 0) + 1)
                log.append(name)
                queue.append(ApplyQueueTests.entry(epoch, name.n))
            case 2:
                if let name = log.isEmpty ? nil : log[random.below(log.count)] {
                    stable = max(stable, name)
                    take(queue.stable(through: name))
                }
            case 3:
                if let name = log.isEmpty ? nil : log[random.below(log.count)] {
                    decided = max(decided, name)
                    take(queue.decided(through: name))
                }
            case 4: if queue.mustWait() { waiting.append(decided) }
            default:
                // Only what is not decided is cut off.
                guard random.below(8) == 0 else { break }
                let keep = log.last { $0 <= decided } ?? .zero
                log.removeAll { $0 > keep }
                stable = min(stable, keep)
                let cut = queue.cut(after: keep)
                #expect(cut.dropped.allSatisfy { $0.name > keep })
                waiting.removeFirst(cut.released)
                epoch += 1
            }
        }
    }
}
