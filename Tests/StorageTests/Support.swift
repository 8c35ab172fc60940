import ClusterModel
import Coordination
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import Storage

/// A folder of its own under the system's temporary one.
final class TestFolder: Sendable {
    let path: String
    init(_ name: String = #function) throws {
        path = NSTemporaryDirectory() + "/storage-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

struct Timeout: Error, CustomStringConvertible { var description: String }

/// Waits for a condition; throws if it does not come about in time.
func eventually(_ what: String, within seconds: Double = 120, _ condition: () async throws -> Bool) async throws {
    let end = Date().addingTimeInterval(seconds)
    while try await !condition() {
        guard Date() < end else { throw Timeout(description: "not within \(seconds) s: \(what)") }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// Something that lives on one event loop, asked by tests from outside.
///
/// `@unchecked Sendable`: `value` is touched on the loop only.
final class OnLoop<Value>: @unchecked Sendable {
    fileprivate var value: Value
    let loop: any EventLoop
    init(_ value: Value, loop: any EventLoop) {
        self.value = value
        self.loop = loop
    }
    func callAsFunction<Result: Sendable>(_ body: @escaping @Sendable (inout Value) -> Result) async throws -> Result {
        try await loop.submit { body(&self.value) }.get()
    }
}

/// A coordination store of a small cluster: one node, one disk, two data groups.
struct TestStore {
    let folder: TestFolder
    let map: ClusterMap
    let disk = DiskID(0xd15c)
    let boot = BootID(0xb007)

    init() throws {
        folder = try TestFolder()
        guard let policy = ReplicationPolicy(copies: 1, minInSync: 1) else { throw Timeout(description: "no policy") }
        var map = ClusterMap(cluster: ClusterID(0x5107), policy: policy, dataPGCount: 2)
        map.nodes.append(
            ClusterNode(id: NodeID(1), name: "one", address: "127.0.53.11", roles: [.storage], failureDomain: []))
        map.disks.append(ClusterDisk(id: disk, node: NodeID(1), weight: 1, path: folder.path + "/disk"))
        self.map = map
        try LocalCoordinator.createStore(
            at: folder.path + "/store", cluster: map.cluster,
            initial: [
                .put(ClusterKeys.map, map.encoded()), .put(ClusterKeys.handleKey, [UInt8](repeating: 7, count: 16)),
            ]
                + map.placementGroups.map { .put(ClusterKeys.record($0), record($0, epoch: 1).encoded()) })
    }

    func record(_ pg: PGID, epoch: UInt64) -> PGRecord {
        PGRecord(
            pg: pg, epoch: Epoch(epoch), primary: nil, primaryLease: .none,
            inSync: [Member(node: NodeID(1), disk: disk, boot: boot)], learners: [],
            placement: Placement.targets(for: pg, map: map, copies: 1), lossNumber: .zero)
    }

    func open() throws -> LocalCoordinator {
        try LocalCoordinator(
            LocalCoordinatorOptions(path: folder.path + "/store", leaseFolder: folder.path + "/leases"))
    }
}

extension LocalCoordinator {
    func put(_ key: Key, _ value: [UInt8]) async -> TransactionOutcome {
        await withCheckedContinuation { done in
            commit(
                Transaction(comparisons: [], changes: [.put(key, value)]), on: { $0() },
                completion: { done.resume(returning: $0) })
        }
    }

    func stop() async { await withCheckedContinuation { done in close(on: { $0() }) { done.resume() } } }
}

extension OnLoop {
    /// For callbacks that run on the loop already.
    func onLoop(_ body: (inout Value) -> Void) {
        loop.preconditionInEventLoop()
        body(&value)
    }
}
