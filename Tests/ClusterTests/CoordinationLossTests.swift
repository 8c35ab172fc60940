import ClusterModel
import Foundation
import Node
import Testing

/// Keeps every other process out of a SQLite database, as a writer does that hangs: an exclusive lock on its pending,
/// reserved and shared bytes (SQLite's os_unix.c).
private final class DatabaseLock {
    private let file: Int32

    init(_ path: String) throws {
        file = open(path, O_RDWR | O_CLOEXEC)
        guard file >= 0 else { throw ClusterFailure("\(path) cannot be opened: errno \(errno)") }
        let deadline = Date().addingTimeInterval(10)
        while true {
            var lock = flock()
            lock.l_type = Int16(F_WRLCK)
            lock.l_whence = Int16(SEEK_SET)
            lock.l_start = 0x4000_0000
            lock.l_len = 512
            if fcntl(file, F_SETLK, &lock) == 0 { return }
            guard Date() < deadline else { throw ClusterFailure("\(path) cannot be locked: errno \(errno)") }
            usleep(1_000)
        }
    }

    func release() { close(file) }
}

extension ClusterTests {
    @Test(
        "While the coordination store is out of reach writes go on, a dead node's groups wait for it, and all goes on by itself"
    )
    func coordinationLoss() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 75)
        let load = WriteLoad("load", seed: 75)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the load works", within: 30) { load.count.load(ordering: .relaxed) > 200 }
        try cluster.awaitAllInSync(within: 30)
        guard case .local(let path) = cluster.configuration.coordination else {
            throw ClusterFailure("the cluster has no local coordination store")
        }
        let lock = try DatabaseLock(path)
        // Longer than a lease: nothing on the way of a write asks the store.
        let end = Date().addingTimeInterval(6)
        while Date() < end {
            let then = load.count.load(ordering: .relaxed)
            try cluster.wait("writes go on without the store", within: 3) {
                load.count.load(ordering: .relaxed) > then + 20
            }
        }
        cluster.kill9([2])
        // Its groups can be claimed, and it can be removed from the others, only in the store.
        try cluster.wait("somebody waits", within: 30) { !cluster.health().isHealthy }
        // Longer than the dead node's lease.
        let watched = Date().addingTimeInterval(5)
        while Date() < watched {
            let served = try cluster.status(1).serving.count + cluster.status(3).serving.count
            #expect(served < 18, "groups of a dead node were claimed without the store")
        }
        lock.release()
        let then = load.count.load(ordering: .relaxed)
        try cluster.wait("writes go on again", within: 30) { load.count.load(ordering: .relaxed) > then + 100 }
        try cluster.launch(2)
        try cluster.awaitAllInSync(within: 60)
        load.stop()
        running.wait()
        for node: UInt16 in 1...3 { #expect(try load.faults(at: cluster.address(node)) == []) }
        #expect(try cluster.scrub() == nil)
    }
}
