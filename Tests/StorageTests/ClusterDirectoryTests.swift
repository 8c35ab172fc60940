import ClusterModel
import Coordination
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import Storage

/// A directory on a loop of its own, and what it told.
private final class Directory {
    struct State {
        var directory: ClusterDirectory?
        var failures: [String] = []
        var changes = 0
        var hasReadAgain = false
    }
    let state: OnLoop<State>
    private let coordinator: LocalCoordinator

    init(_ store: TestStore) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let coordinator = try store.open()
        self.coordinator = coordinator
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

@Suite struct ClusterDirectoryTests {
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
}
