import ClusterModel
import Coordination
import DiskIO
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import Replication
@testable import Storage

/// A directory on a loop of its own, and what it told.
private final class Directory {
    struct State {
        var mapChanges: [String] = []
        var directory: ClusterDirectory?
        var failures: [String] = []
        var changes = 0
        var hasReadAgain = false
    }
    let state: OnLoop<State>
    private let coordinator: LocalCoordinator

    init(_ store: TestStore, through other: (LocalCoordinator) -> any Coordinator = { $0 }) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let real = try store.open()
        self.coordinator = real
        let coordinator = other(real)
        let state = OnLoop(State(), loop: loop)
        self.state = state
        let opened: String? = try await withCheckedThrowingContinuation { done in
            loop.execute {
                ClusterDirectory.open(coordinator, on: loop, logger: Logger(label: "test")) { result in
                    switch result {
                    case .failure(let error): done.resume(returning: "\(error)")
                    case .success(let directory):
                        state.onLoop { $0.directory = directory }
                        directory.failed = { error in state.onLoop { $0.failures.append("\(error)") } }
                        directory.changed = { _, _ in state.onLoop { $0.changes += 1 } }
                        done.resume(returning: nil)
                    }
                }
            }
        }
        if let opened { throw Timeout(description: opened) }
    }

    func close() async throws {
        try await state {
            $0.directory?.close()
            $0.directory = nil
        }
        await coordinator.stop()
    }
}

/// A coordination store that refuses all changes as long as it is told to, and counts them.
private final class BusyCoordinator: Coordinator {
    private let real: LocalCoordinator
    let refused = Atomic<Int>(0)
    let isBusy = Atomic<Bool>(true)
    init(_ real: LocalCoordinator) { self.real = real }

    var cluster: ClusterID { real.cluster }
    var servingAllowedFrom: Instant { real.servingAllowedFrom }
    func read(
        _ selection: Selection, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<Snapshot, CoordinationError>) -> Void
    ) { real.read(selection, on: executor, completion: completion) }
    func commit(
        _ transaction: Transaction, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (TransactionOutcome) -> Void
    ) {
        guard isBusy.load(ordering: .relaxed) else {
            return real.commit(transaction, on: executor, completion: completion)
        }
        refused.add(1, ordering: .relaxed)
        executor { completion(.refused(.busy(holders: []))) }
    }
    func takeLease(
        _ request: LeaseRequest, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<HeldLease, CoordinationError>) -> Void
    ) { real.takeLease(request, on: executor, completion: completion) }
    func revoke(
        _ number: LeaseNumber, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<LeaseState, CoordinationError>) -> Void
    ) { real.revoke(number, on: executor, completion: completion) }
    func leases(
        on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<[LeaseListing], CoordinationError>) -> Void
    ) { real.leases(on: executor, completion: completion) }
    func watch(
        _ prefix: Key, after revision: Revision, on executor: @escaping CompletionExecutor,
        handler: @escaping @Sendable (WatchDelivery) -> Void
    ) -> Watch { real.watch(prefix, after: revision, on: executor, handler: handler) }
    func close(on executor: @escaping CompletionExecutor, completion: @escaping @Sendable () -> Void) {
        real.close(on: executor, completion: completion)
    }
}

@Suite struct ClusterDirectoryTests {
    @Test("A change of the map that the store does not take in time is given up, and does not come about later")
    func changeInTime() async throws {
        let store = try TestStore()
        let busy = Mutex<BusyCoordinator?>(nil)
        let directory = try await Directory(store) { real in
            let coordinator = BusyCoordinator(real)
            busy.withLock { $0 = coordinator }
            return coordinator
        }
        guard let coordinator = busy.withLock({ $0 }) else { throw Timeout(description: "no coordinator") }
        let state = directory.state
        let suspend = { @Sendable (duty: ClusterNode.Duty, until: Instant?) in
            try await state { held in
                held.directory?.changeMap(
                    until: until,
                    { map in
                        var map = map
                        map.nodes[0].duty = duty
                        return (map, [])
                    },
                    done: { result in
                        let text =
                            switch result {
                            case .success(let map): "\(map.nodes[0].duty)"
                            case .failure(let error): "\(error)"
                            }
                        state.onLoop { $0.mapChanges.append(text) }
                    })
            }
        }
        try await suspend(.suspended, BootClock.now() + .milliseconds(200))
        try await eventually("it is given up") { try await state { !$0.mapChanges.isEmpty } }
        #expect(try await state { $0.mapChanges.first?.contains("locked") ?? false })
        let tries = coordinator.refused.load(ordering: .relaxed)
        #expect(tries > 1)
        coordinator.isBusy.store(false, ordering: .relaxed)
        try await suspend(.draining, nil)
        try await eventually("the later one is made") { try await state { $0.mapChanges.count } == 2 }
        #expect(try await state { $0.mapChanges.last } == "draining")
        #expect(coordinator.refused.load(ordering: .relaxed) == tries)
        #expect(try await state { $0.directory?.view.map.nodes[0].duty } == .draining)
        try await directory.close()
    }

    @Test("A record that cannot be read stops the directory, and the old content is not shown under the new revision")
    func damagedRecord() async throws {
        let store = try TestStore()
        let directory = try await Directory(store)
        let writer = try store.open()
        let pg = PGID.data(1)
        _ = await writer.put(ClusterKeys.record(pg), store.record(pg, epoch: 2).encoded())
        try await eventually("the good record is seen") {
            try await directory.state { $0.directory?.view.record(pg)?.epoch == Epoch(2) }
        }
        let version = try await directory.state { $0.directory?.version(of: pg) }
        let changes = try await directory.state { $0.changes }
        _ = await writer.put(ClusterKeys.record(pg), [99, 1, 2, 3])
        try await eventually("the directory fails") { try await directory.state { !$0.failures.isEmpty } }
        let failures = try await directory.state { $0.failures }
        #expect(failures.count == 1)
        #expect(failures.first?.contains("pg/\(pg)") == true && failures.first?.contains("99") == true)
        #expect(try await directory.state { $0.directory?.version(of: pg) } == version)
        _ = await writer.put(ClusterKeys.record(.data(0)), store.record(.data(0), epoch: 3).encoded())
        _ = await writer.put(ClusterKeys.map, [77])
        let state = directory.state
        try await state { $0.directory?.barrier { state.onLoop { $0.hasReadAgain = true } } }
        try await eventually("everything was read again") { try await state { $0.hasReadAgain } }
        #expect(try await directory.state { $0.changes } == changes)
        #expect(try await directory.state { $0.failures.count } == 1)
        try await directory.close()
        await writer.stop()
    }

    @Test("A store with a record that cannot be read is not opened")
    func damagedAtOpening() async throws {
        let store = try TestStore()
        let writer = try store.open()
        _ = await writer.put(ClusterKeys.record(.data(0)), [1])
        await #expect(throws: Timeout.self) { try await Directory(store) }
        await writer.stop()
    }

    @Test("Proposals of one turn of the loop share a transaction, and those that come meanwhile the next one")
    func proposalsTogether() async throws {
        let store = try TestStore()
        let directory = try await Directory(store)
        let outcomes = OnLoop<[RecordVersion]>([], loop: directory.state.loop)
        let state = directory.state
        let propose = { @Sendable (records: [PGRecord]) in
            try await state { state in
                guard let view = state.directory else { return }
                for record in records {
                    let proposal = Proposal(
                        token: WorkToken(1), expected: view.version(of: record.pg), record: record, requiresEnded: nil,
                        raisesLossNumber: nil)
                    view.propose(proposal) { outcome in
                        if case .won(let version) = outcome { outcomes.onLoop { $0.append(version) } }
                    }
                }
            }
        }
        try await propose([store.record(.data(0), epoch: 2), store.record(.data(1), epoch: 2)])
        try await eventually("both are made") { try await outcomes { $0.count } == 2 }
        #expect(try await outcomes { Set($0).count } == 1, "one transaction, one revision")
        // Nothing is left behind.
        try await propose([store.record(.data(0), epoch: 3)])
        try await eventually("a later one is made, too") { try await outcomes { $0.count } == 3 }
        try await directory.close()
    }

    @Test("What a change of a record came with is known without another read, once the watch has told of it")
    func awaitChange() async throws {
        let store = try TestStore()
        let directory = try await Directory(store)
        let writer = try store.open()
        let pg = PGID.data(1)
        var map = store.map
        map.version = map.version.next
        _ = await writer.put(ClusterKeys.map, map.encoded())
        guard case .won(let revision) = await writer.put(ClusterKeys.record(pg), store.record(pg, epoch: 2).encoded())
        else { throw Timeout(description: "the record is not put") }
        let seen = OnLoop<[MapVersion]>([], loop: directory.state.loop)
        try await directory.state { state in
            guard let view = state.directory else { return }
            view.awaitChange(RecordVersion(revision.rawValue)) { seen.onLoop { $0.append(view.view.map.version) } }
        }
        try await eventually("the change is known") { try await !seen({ $0.isEmpty }) }
        #expect(try await seen { $0 } == [map.version])
        // Of one that nobody makes nothing is told.
        try await directory.state { state in
            guard let view = state.directory else { return }
            view.awaitChange(RecordVersion(revision.rawValue + 1)) { seen.onLoop { $0.append(view.view.map.version) } }
        }
        let read = OnLoop(false, loop: directory.state.loop)
        try await directory.state { state in state.directory?.barrier { read.onLoop { $0 = true } } }
        try await eventually("everything was read again") { try await read { $0 } }
        #expect(try await seen { $0.count } == 1)
        try await directory.close()
        await writer.stop()
    }
}
