import ClusterModel
import Foundation
import Testing

@testable import Coordination

@Suite("Conformance: transactions") struct ConformanceTransactions {
    @Test("what was put is read, by key and by prefix, at one revision", arguments: ConformanceImplementation.all)
    func readsWhatWasPut(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let a = try subject.open()
        let b = try subject.open()
        #expect(try await a.read(.prefix(Key(""))).entries.isEmpty)
        let revision = try await a.make([.put("x/1", "one"), .put("x/2", ""), .put("y", "why")])
        for reader in [a, b] {
            let all = try await reader.read(.prefix(Key("x/")))
            #expect(all.revision == revision)
            #expect(all.entries.map(\.key) == [Key("x/1"), Key("x/2")])
            #expect(all.entries.map(\.value) == [Array("one".utf8), []])
            #expect(all.entries.allSatisfy { $0.revision == revision })
            #expect(
                try await reader.read(.keys([Key("y"), Key("none"), Key("x/1")])).entries.map(\.key) == [
                    Key("x/1"), Key("y"),
                ])
            #expect(try await reader.read(.prefix(Key(""))).entries.count == 3)
        }
    }

    @Test("keys of any bytes are kept apart and ordered bytewise", arguments: ConformanceImplementation.all)
    func anyBytes(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let keys: [[UInt8]] = [
            [0], [0, 0], [0x7f], [0xff], [0xff, 0], [0xff, 0xff], Array(repeating: 0xff, count: 512),
        ]
        try await store.make(keys.map { .put(Key($0), $0) })
        #expect(
            try await store.read(.prefix(Key([]))).entries.map(\.value)
                == keys.sorted { $0.lexicographicallyPrecedes($1) })
        #expect(try await store.read(.prefix(Key([0xff]))).entries.count == 4)
        #expect(try await store.read(.prefix(Key([0]))).entries.count == 2)
    }

    @Test("a transaction wins only if every version is as compared", arguments: ConformanceImplementation.all)
    func comparesVersions(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let first = try await store.make([.put("a", "1")])
        let absent = await store.commit([.version("b", .absent), .version("a", .changed(first))], [.put("b", "2")])
        guard case .won(let second) = absent else { throw Timeout(description: "\(absent)") }
        #expect(second > first)

        let outcome = await store.commit(
            [.version("a", .changed(first)), .version("b", .absent)], [.put("a", "3"), .put("c", "3")])
        guard case .lost(let lost) = outcome else { throw Timeout(description: "\(outcome)") }
        #expect(lost.current.map(\.key) == [Key("a"), Key("b")])
        #expect(lost.current.map { $0.entry?.value } == [Array("1".utf8), Array("2".utf8)])
        #expect(lost.current[1].entry?.version == .changed(second))
        #expect(try await store.value(Key("a")) == "1")
        #expect(try await store.value(Key("c")) == nil)
    }

    @Test(
        "a key that was deleted and put again does not have its old version", arguments: ConformanceImplementation.all)
    func versionsDoNotComeBack(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let first = try await store.make([.put("a", "1")])
        try await store.make([.delete("a")])
        #expect(await store.commit([.version("a", .absent)], []) == .won(first.next))
        let again = try await store.make([.put("a", "1")])
        #expect(again > first)
        guard case .lost = await store.commit([.version("a", .changed(first))], [.delete("a")]) else {
            Issue.record("an old version won")
            return
        }
    }

    @Test(
        "of many that compare the same version, from several members, exactly one wins",
        arguments: ConformanceImplementation.all)
    func oneWinner(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let members = [try subject.open(), try subject.open(), try subject.open()]
        for round in 0..<5 {
            let won = await withTaskGroup(of: Bool.self) { group in
                for contender in 0..<30 {
                    group.addTask {
                        let outcome = await members[contender % 3].commit(
                            [.version("key/\(round)", .absent)], [.put("key/\(round)", "\(contender)")])
                        if case .won = outcome { return true }
                        return false
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(won == 1)
        }
    }

    @Test("independent transactions sent together each get their own outcome", arguments: ConformanceImplementation.all)
    func independentOutcomes(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let outcomes = Collector<(Int, TransactionOutcome)>()
        for i in 0..<64 {
            let comparison: Comparison = .version("k\(i / 2)", .absent)
            store.commit(Transaction(comparisons: [comparison], changes: [.put("k\(i / 2)", "\(i)")]), on: testExecutor)
            {
                outcomes.add((i, $0))
            }
        }
        try await eventually("64 outcomes") { outcomes.all.count == 64 }
        #expect(outcomes.all.map(\.0) == Array(0..<64))
        for (i, outcome) in outcomes.all {
            if case .won = outcome { #expect(i % 2 == 0) } else { #expect(i % 2 == 1) }
        }
        #expect(try await store.read(.prefix(Key("k"))).entries.count == 32)
    }

    @Test("what no store takes is refused and changes nothing", arguments: ConformanceImplementation.all)
    func refusesBeyondBounds(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let tooMuch: [[Change]] = [
            [.put(Key([]), [])], [.put(Key(Array(repeating: 1, count: 513)), [])],
            [.put(Key("a"), Array(repeating: 0, count: CoordinationLimits.valueBytes + 1))],
            (0...256).map { .put("k\($0)", "") }, [.put("a", "1"), .delete("a")],
            (0..<5).map { .put(Key("k\($0)"), Array(repeating: 0, count: CoordinationLimits.valueBytes)) },
        ]
        for changes in tooMuch {
            guard case .refused(.invalid) = await store.commit([], changes) else {
                Issue.record("taken: \(changes.count) changes")
                continue
            }
        }
        try await store.make([.put(Key("big"), Array(repeating: 7, count: CoordinationLimits.valueBytes))])
        try await store.make((0..<256).map { .put("k\($0)", "") })
        #expect(try await store.read(.prefix(Key(""))).entries.count == 257)
    }

    @Test("what has won is there after the store was closed and opened again", arguments: ConformanceImplementation.all)
    func survivesClosing(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let store = try subject.open()
        let revision = try await store.make([.put("a", "1")])
        await store.close()
        #expect(await store.commit([], [.put("a", "2")]) == .refused(.closed))
        let again = try subject.open()
        #expect(try await again.value(Key("a")) == "1")
        #expect(try await again.make([.put("a", "3")]) == revision.next)
    }
}
