import ClusterModel
import DiskIO
import Foundation
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import Storage

/// The namespaces of one disk.
@Suite struct NamespaceHostsTests {
    @Test("more namespaces than the thread's queue has room for are all opened, once it gets on")
    func manyOpenings() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let folder = try TestFolder()
        let thread = try DiskThread(name: "namespace", capacity: 3)
        let sync = try SyncThread(name: "sync")
        let home = CompletionHome { loop.execute($0) }
        let gate = DispatchSemaphore(value: 0)
        let isHeld = thread.submit(to: home) {
            gate.wait()
            return nil
        }
        #expect(isHeld == .accepted)
        let state = try await loop.submit {
            let files = try DiskFolder(path: folder.path, health: DiskHealth(onFailure: { _ in }))
            return OnLoop(
                Openings(
                    NamespaceHosts(
                        folder: files, thread: thread, sync: sync, home: home, loop: loop, content: .kept,
                        cache: SharedRowCache(), logger: Logger(label: "test"))), loop: loop)
        }.get()
        let wanted = (1...20).map { FilesetID(UInt32($0)) }
        try await state { state in for fileset in wanted { state.open(fileset) } }
        #expect(try await state { $0.opened }.isEmpty)
        gate.signal()
        try await eventually("all are opened, or some fail") {
            try await state { $0.opened.count + $0.failures.count == wanted.count }
        }
        #expect(try await state { $0.failures } == [])
        #expect(try await state { $0.opened } == wanted)
        let closed = loop.makePromise(of: Void.self)
        try await state { $0.hosts.close { closed.succeed() } }
        try await closed.futureResult.get()
        thread.stop()
        sync.stop()
    }
}

/// Touched on the loop only.
private final class Openings {
    let hosts: NamespaceHosts
    /// In the order in which they came.
    private(set) var opened: [FilesetID] = []
    private(set) var failures: [String] = []

    init(_ hosts: NamespaceHosts) { self.hosts = hosts }

    func open(_ fileset: FilesetID) {
        hosts.open(fileset) { [unowned self] result in
            switch result {
            case .success: opened.append(fileset)
            case .failure(let error): failures.append("\(error)")
            }
        }
    }
}
