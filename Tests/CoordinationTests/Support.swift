import ClusterModel
import Foundation
import Synchronization
import Testing

@testable import Coordination

/// Terms short enough for tests, long enough for a busy machine.
let testTerms = LeaseTerms(duration: .milliseconds(600), margin: .milliseconds(100), interval: .milliseconds(100))

/// Longer than a busy machine takes for what must happen before a silence is over.
let silenceTerms = LeaseTerms(duration: .seconds(3), margin: .milliseconds(300), interval: .milliseconds(100))

/// A folder of its own that goes when the process ends: a store that is still open must not lose it before.
final class TestFolder: Sendable {
    private static let all = Mutex<[String]>([])
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/coordination-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let isFirst = Self.all.withLock { folders in
            folders.append(path)
            return folders.count == 1
        }
        if isFirst {
            atexit {
                for folder in TestFolder.all.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: folder) }
            }
        }
    }
    var store: String { path + "/store" }
    var leases: String { path + "/leases" }
    var cluster: ClusterID { ClusterID(0x1234) }
    var leaseFile: String { "\(leases)/stave-\(cluster).leases" }

    func create(initial: [Change] = []) throws {
        try LocalCoordinator.createStore(at: store, cluster: cluster, initial: initial)
    }

    func open(
        boot: BootID? = nil, terms: LeaseTerms = testTerms,
        report: @escaping @Sendable (CoordinationEvent) -> Void = { _ in }
    ) throws -> LocalCoordinator {
        try LocalCoordinator(.init(path: store, leaseFolder: leases, boot: boot, terms: terms, report: report))
    }
}

/// What callbacks collect and tests wait for.
final class Collector<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    var all: [Element] { elements.withLock { $0 } }
    func add(_ element: Element) { elements.withLock { $0.append(element) } }
}

struct Timeout: Error, CustomStringConvertible {
    var description: String
}

/// Waits for a condition; throws if it does not come about in time.
func eventually(
    _ what: String, within seconds: Double = 60, _ condition: () throws -> Bool
) async throws {
    let end = Date().addingTimeInterval(seconds)
    while try !condition() {
        guard Date() < end else { throw Timeout(description: "not within \(seconds) s: \(what)") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

let testQueue = DispatchQueue(label: "coordination-tests")
let testExecutor: CompletionExecutor = { work in testQueue.async { work() } }

extension Coordinator {
    func read(_ selection: Selection) async throws -> Snapshot {
        try await withCheckedContinuation { continuation in
            read(selection, on: testExecutor) { continuation.resume(returning: $0) }
        }.get()
    }

    func value(_ key: Key) async throws -> String? {
        try await read(.keys([key]))[key].map { String(decoding: $0.value, as: UTF8.self) }
    }

    func commit(_ comparisons: [Comparison], _ changes: [Change]) async -> TransactionOutcome {
        await withCheckedContinuation { continuation in
            commit(Transaction(comparisons: comparisons, changes: changes), on: testExecutor) {
                continuation.resume(returning: $0)
            }
        }
    }

    /// A change without conditions that must win.
    @discardableResult
    func make(_ changes: [Change]) async throws -> Revision {
        let outcome = await commit([], changes)
        guard case .won(let revision) = outcome else { throw Timeout(description: "not won: \(outcome)") }
        return revision
    }

    func takeLease(
        _ owner: String = "test", hasProgress: @escaping @Sendable () -> Bool = { true },
        lapsed: @escaping @Sendable (LeaseNumber, LapseReason) -> Void = { _, _ in }
    ) async throws -> HeldLease {
        let request = LeaseRequest(owner: LeaseOwner(owner), hasProgress: hasProgress, lapsed: lapsed)
        return try await withCheckedContinuation { continuation in
            takeLease(request, on: testExecutor) { continuation.resume(returning: $0) }
        }.get()
    }

    func revoke(_ number: LeaseNumber) async throws -> LeaseState {
        try await withCheckedContinuation { continuation in
            revoke(number, on: testExecutor) { continuation.resume(returning: $0) }
        }.get()
    }

    func leases() async throws -> [LeaseListing] {
        try await withCheckedContinuation { continuation in
            leases(on: testExecutor) { continuation.resume(returning: $0) }
        }.get()
    }

    func close() async {
        await withCheckedContinuation { continuation in
            close(on: testExecutor) { continuation.resume() }
        }
    }

    func waitUntilEnded(_ number: LeaseNumber) async throws {
        let end = Date().addingTimeInterval(20)
        while try await revoke(number) != .ended {
            guard Date() < end else { throw Timeout(description: "\(number) did not end") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

extension Change {
    static func put(_ key: String, _ value: String) -> Change { .put(Key(key), Array(value.utf8)) }
    static func delete(_ key: String) -> Change { .delete(Key(key)) }
}

extension Comparison {
    static func version(_ key: String, _ version: KeyVersion) -> Comparison { .version(Key(key), version) }
}

/// SplitMix64, so that a failing random test can be repeated by its seed.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
