import ClusterModel
import Foundation
import Synchronization
import Testing

@testable import Coordination

@Suite("Conformance: leases") struct ConformanceLeases {
    @Test(
        "a lease is renewed beyond its duration as long as there is progress", arguments: ConformanceImplementation.all)
    func isRenewed(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let (a, b) = (try subject.open(), try subject.open())
        let lease = try await a.takeLease("a")
        #expect(lease.isSurelyValid)
        let end = LeaseClock.now + TimeSpan(nanoseconds: 2 * testTerms.duration.nanoseconds)
        while LeaseClock.now < end {
            #expect(lease.isSurelyValid)
            #expect(try await b.revoke(lease.number) != .ended)
            try await Task.sleep(for: .milliseconds(20))
        }
        guard case .lost(let lost) = await b.commit([.leaseEnded(lease.number)], [.put("a", "1")]) else {
            Issue.record("won against a live lease")
            return
        }
        #expect(lost.leasesNotEnded == [lease.number])
        #expect(try await b.leases().map(\.owner) == [LeaseOwner("a")])
    }

    @Test(
        "without progress a lease lapses, can be revoked, and its number never comes back",
        arguments: ConformanceImplementation.all)
    func lapsesWithoutProgress(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let (a, b) = (try subject.open(), try subject.open())
        let box = ProgressBox()
        let lapsed = Collector<(LeaseNumber, LapseReason)>()
        let lease = try await a.takeLease(hasProgress: { box.value }, lapsed: { lapsed.add(($0, $1)) })
        box.value = false
        try await eventually("the lease lapses") { !lease.isSurelyValid }
        box.value = true
        try await b.waitUntilEnded(lease.number)
        guard case .won = await b.commit([.leaseEnded(lease.number)], [.put("a", "1")]) else {
            Issue.record("lost against an ended lease")
            return
        }
        try await eventually("the holder is told") { lapsed.all.count == 1 }
        #expect(lapsed.all[0].0 == lease.number)
        #expect(!lease.isSurelyValid && lease.hasEnded)

        let next = try await a.takeLease()
        #expect(next.number > lease.number)
        #expect(next.isSurelyValid && !lease.isSurelyValid)
        #expect(try await b.revoke(lease.number) == .ended)
        #expect(try await b.revoke(next.number) != .ended)
        #expect(lapsed.all.count == 1)
    }

    @Test(
        "a check that fails for an instant ends the lease, though it could still be renewed",
        arguments: ConformanceImplementation.all)
    func lapseForAnInstant(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        let lapsed = Collector<LapseReason>()
        let lease = try await store.takeLease(lapsed: { lapsed.add($1) })
        #expect(!lease.isSurelyValid(at: LeaseClock.now + .seconds(1)))
        #expect(!lease.isSurelyValid)
        try await eventually("the holder is told") { lapsed.all.count == 1 }
        try await store.waitUntilEnded(lease.number)
    }

    @Test(
        "a released lease has ended at once for others, and its holder is not told",
        arguments: ConformanceImplementation.all)
    func release(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let (a, b) = (try subject.open(), try subject.open())
        let lapsed = Collector<LapseReason>()
        let lease = try await a.takeLease(lapsed: { lapsed.add($1) })
        let other = try await a.takeLease(lapsed: { lapsed.add($1) })
        lease.release()
        #expect(!lease.isSurelyValid)
        try await b.waitUntilEnded(lease.number)
        await a.close()
        #expect(try await b.revoke(other.number) == .ended)
        #expect(!other.isSurelyValid)
        #expect(lapsed.all.isEmpty)
    }

    @Test("numbers are never given twice, whoever takes them", arguments: ConformanceImplementation.all)
    func numbersAreUnique(_ implementation: ConformanceImplementation) async throws {
        let subject = try implementation.make()
        let members = [try subject.open(), try subject.open(), try subject.open()]
        let numbers = try await withThrowingTaskGroup(of: LeaseNumber.self) { group in
            for i in 0..<30 {
                group.addTask {
                    let lease = try await members[i % 3].takeLease()
                    if i % 2 == 0 { lease.release() }
                    return lease.number
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(numbers).count == 30)
        #expect(!numbers.contains(.none))
    }

    @Test("the number of nobody has ended, one never drawn is an error", arguments: ConformanceImplementation.all)
    func strangeNumbers(_ implementation: ConformanceImplementation) async throws {
        let store = try implementation.make().open()
        #expect(try await store.revoke(.none) == .ended)
        guard case .won = await store.commit([.leaseEnded(.none)], [.put("a", "1")]) else {
            Issue.record("the number of nobody counts as held")
            return
        }
        let unknown = LeaseNumber(4711)
        await #expect(throws: CoordinationError.unknownLease(unknown)) { try await store.revoke(unknown) }
        #expect(await store.commit([.leaseEnded(unknown)], [.put("a", "2")]) == .refused(.unknownLease(unknown)))
        #expect(try await store.value(Key("a")) == "1")
    }
}

/// A flag that a test changes while a lease asks for it.
final class ProgressBox: Sendable {
    private let flag = Mutex(true)
    var value: Bool {
        get { flag.withLock { $0 } }
        set { flag.withLock { $0 = newValue } }
    }
}
