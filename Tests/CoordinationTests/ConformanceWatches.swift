import ClusterModel
import Foundation
import Testing

@testable import Coordination

@Suite("Conformance: watches") struct ConformanceWatches {
    @Test(
        "a watch shows changes of its prefix by any member, in order, and nothing else",
        arguments: ConformanceImplementation.all)
    func showsChanges(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let (a, b) = (try subject.open(), try subject.open())
        let start = try await a.make([.put("w/1", "old"), .put("v", "old")])
        let seen = Collector<WatchDelivery>()
        let watch = a.watch(Key("w/"), after: start, on: testExecutor) { seen.add($0) }
        try await a.make([.put("w/1", "new")])
        try await b.make([.put("v", "new")])
        try await b.make([.put("w/2", "two")])
        try await b.make([.delete("w/1")])
        try await eventually("the deletion is seen") { seen.events.last?.value == nil && !seen.events.isEmpty }
        let events = seen.events
        #expect(events.allSatisfy { $0.key.hasPrefix(Key("w/")) && $0.revision > start })
        #expect(events.map(\.revision) == events.map(\.revision).sorted())
        #expect(events.contains { $0.key == Key("w/2") && $0.value == Array("two".utf8) })
        #expect(events.last?.key == Key("w/1"))
        watch.cancel()
    }

    @Test("a watch from an earlier revision shows what has changed since", arguments: ConformanceImplementation.all)
    func showsThePast(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let start = try await store.make([.put("w/1", "1"), .put("w/2", "2")])
        try await store.make([.put("w/2", "22")])
        try await store.make([.delete("w/1")])
        let seen = Collector<WatchDelivery>()
        let watch = store.watch(Key("w/"), after: start, on: testExecutor) { seen.add($0) }
        try await eventually("two events") { seen.events.count == 2 }
        #expect(seen.events.map(\.value) == [Array("22".utf8), nil])
        watch.cancel()
    }

    @Test(
        "a slow reader misses no last state, however many changes there are", arguments: ConformanceImplementation.all)
    func slowReader(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let (a, b) = (try subject.open(), try subject.open())
        let seen = Collector<WatchDelivery>()
        let slow = DispatchQueue(label: "slow")
        let watch = a.watch(
            Key("w/"), after: .zero, on: { work in slow.asyncAfter(deadline: .now() + 0.05) { work() } }
        ) {
            seen.add($0)
        }
        for round in 0..<8 {
            try await b.make((0..<256).map { .put("w/\(round % 2)/\($0)", "\(round)") })
        }
        try await b.make([.put("w/end", "end")])
        try await eventually("the end") { seen.events.last?.key == Key("w/end") }
        var state: [Key: [UInt8]] = [:]
        for event in seen.events { state[event.key] = event.value }
        let snapshot = try await b.read(.prefix(Key("w/")))
        #expect(snapshot.entries.count == 513)
        for entry in snapshot.entries { #expect(state[entry.key] == entry.value) }
        watch.cancel()
    }

    @Test(
        "a watch that has lost its place says so, and a reader that reads anew has everything",
        arguments: ConformanceImplementation.all)
    func lostPlace(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let (a, b) = (try subject.open(), try subject.open())
        let start = try await a.make([.put("w/1", "1"), .put("w/2", "2")])
        try await b.make([.delete("w/1")])
        try await subject.forgetHistory(through: b)
        let seen = Collector<WatchDelivery>()
        _ = a.watch(Key("w/"), after: start, on: testExecutor) { seen.add($0) }
        try await eventually("lost place") { seen.all.contains(.lostPlace) }
        #expect(seen.all == [.lostPlace])

        let anew = try await a.read(.prefix(Key("w/")))
        #expect(anew.entries.map(\.key) == [Key("w/2")])
        let again = Collector<WatchDelivery>()
        let watch = a.watch(Key("w/"), after: anew.revision, on: testExecutor) { again.add($0) }
        try await b.make([.put("w/3", "3")])
        try await eventually("the next change") { again.events.map(\.key) == [Key("w/3")] }
        #expect(seen.all == [.lostPlace])
        watch.cancel()
    }

    @Test(
        "a watch of a revision that the store has not reached has lost its place",
        arguments: ConformanceImplementation.all)
    func watchOfTheFuture(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let seen = Collector<WatchDelivery>()
        _ = store.watch(Key(""), after: Revision(1000), on: testExecutor) { seen.add($0) }
        try await eventually("lost place") { seen.all == [.lostPlace] }
    }

    @Test("a cancelled watch is silent, and closing ends a watch", arguments: ConformanceImplementation.all)
    func ends(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let (first, second) = (Collector<WatchDelivery>(), Collector<WatchDelivery>())
        let watch = store.watch(Key(""), after: .zero, on: testExecutor) { first.add($0) }
        _ = store.watch(Key(""), after: .zero, on: testExecutor) { second.add($0) }
        watch.cancel()
        try await store.make([.put("a", "1")])
        try await eventually("the other one sees it") { second.events.count == 1 }
        #expect(first.all.isEmpty)
        await store.close()
        try await eventually("the end") { second.all.last == .failed(.closed) }
    }
}

extension Collector where Element == WatchDelivery {
    var events: [WatchEvent] {
        all.flatMap { delivery -> [WatchEvent] in
            if case .events(let events) = delivery { events } else { [] }
        }
    }
}
