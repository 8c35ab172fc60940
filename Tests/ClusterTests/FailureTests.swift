import ClusterModel
import Foundation
import ONCRPC
import Testing

extension ClusterTests {
    @Test("A disk whose sync failed learns everything anew after a restart under the same boot, and the note goes then")
    func failedSync() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 53)
        let load = WriteLoad("load", seed: 53)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the client has written", within: 30) { load.count.load(ordering: .relaxed) >= 40 }
        cluster.kill9([3])
        setenv("STAVE_DISK_FAULTS", "sync name=log- calls=40-1000000 errno=5", 1)
        try cluster.launch(3)
        unsetenv("STAVE_DISK_FAULTS")
        try cluster.wait("the disk of node 3 fails", within: 60) {
            // Which call tells of it first is chance; what is noted is the sync.
            guard let disk = try? cluster.status(3).disks.first else { return false }
            return disk.state != "in use" && disk.earlierFailure?.contains("sync") == true
        }
        let list = try Command.run([TestCluster.program, "disk", "list", "--config", cluster.folder + ".yaml"])
        #expect(list.output.contains("ST1011"), "\(list.output)")
        let failure = try cluster.status(3).disks.first?.earlierFailure
        #expect(failure?.contains("errno 5") == true)

        cluster.kill9([3])
        // The mark on the disk itself is a second witness only.
        let disk = try #require(cluster.configuration.nodes.last?.disks.first?.path)
        try FileManager.default.removeItem(atPath: disk + "/failed")
        try cluster.launch(3)
        try cluster.wait("node 3 says that its disk learns anew", within: 60) {
            let events = (try? cluster.status(3).events) ?? []
            // From the first entry on: nothing of its log counts.
            return events.contains { $0.text.contains("learns its content anew") }
                && events.contains { $0.text.contains("ends at \(EntryName.zero)") }
        }
        try cluster.awaitAllInSync(within: 60)
        try cluster.wait("the note goes", within: 20) {
            guard let disk = try? cluster.status(3).disks.first else { return false }
            return disk.state == "in use" && disk.earlierFailure == nil
        }
        load.stop()
        running.wait()
        #expect(try load.faults(at: cluster.address(3)) == [])
        #expect(try cluster.scrub() == nil)

        // It is a member like others again, and nothing is learned anew by the next process.
        cluster.kill9([3])
        try cluster.start()
        #expect(try cluster.status(3).disks.first?.state == "in use")
    }

    @Test("Requests to a node that is stopped end without it, and are executed once elsewhere")
    func stoppedNode() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 53)
        let load = WriteLoad("load", seed: 54)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        func waiting() -> Int? { try? cluster.status(1).metrics.transport.waiting }
        try cluster.wait("the client has written", within: 30) { load.count.load(ordering: .relaxed) >= 40 }
        cluster.send(SIGSTOP, to: 3)
        let then = load.count.load(ordering: .relaxed)
        try cluster.wait("the client writes on", within: 30) { load.count.load(ordering: .relaxed) > then + 40 }
        load.stop()
        running.wait()
        try cluster.wait("nothing waits for node 3", within: 20) { waiting() == 0 }
        cluster.send(SIGCONT, to: 3)
        try cluster.awaitAllInSync(within: 60)
        #expect(try load.faults(at: cluster.address(3)) == [])
        #expect(try cluster.scrub() == nil)
    }

    @Test("A node that cannot finish its stop names what hangs and ends by itself, with an error")
    func stopHangs() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 53)
        // Somebody holds the coordination store: the session cannot leave the map.
        guard case .local(let store) = cluster.configuration.coordination else { return }
        let held = cluster.folder + "/held"
        let script = """
            import os, sqlite3, sys, time
            store = sqlite3.connect(sys.argv[1], timeout=20)
            store.execute("BEGIN EXCLUSIVE")
            open(sys.argv[2], "w").close()
            while os.path.exists(sys.argv[2]): time.sleep(0.05)
            """
        let holder = try Command(["timeout", "120", "python3", "-c", script, store, held])
        defer {
            try? FileManager.default.removeItem(atPath: held)
            _ = holder.end()
        }
        var log: String {
            (try? String(contentsOfFile: cluster.configuration.logPath(of: NodeID(3)), encoding: .utf8)) ?? ""
        }
        try cluster.wait("the store is held", within: 30) { FileManager.default.fileExists(atPath: held) }
        cluster.send(SIGTERM, to: 3)
        let status = try cluster.awaitEnd(3, within: 28)
        #expect(status >> 8 & 0xff == 1 && status & 0x7f == 0, "it ended with status \(status)")
        #expect(log.contains("ST1019") && log.contains("it waits for the coordination store"), "\(log.suffix(2000))")
    }

    @Test("Large reads right after cuts and writes through other gateways come from the own replica, and are right")
    func localReads() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 53)
        let clients = try (1...3).map { try NFSClient(cluster.address(UInt16($0))) }
        var roots: [NFS3.FileHandle] = []
        try cluster.wait("every gateway is mounted", within: 60) {
            roots = clients.compactMap { try? $0.mount() }
            return roots.count == 3
        }
        let files = try (0..<8).map { try clients[0].create(roots[0], "cut-\($0)") }
        let (length, cut) = (1 << 20, 256 << 10)
        let before = try cluster.status(3).metrics.gateway
        for round in 0..<4 {
            let content = (0..<length).map { UInt8(truncatingIfNeeded: $0 >> 8 ^ (round + 1) * 37) }
            for file in files {
                try clients[1].setSize(file, 0)
                try clients[0].write(file, content, at: 0, .fileSync)
                #expect(try clients[2].readAll(file, count: length) == content, "round \(round)")
                try clients[1].setSize(file, UInt64(cut))
                try clients[0].setSize(file, UInt64(length))
                let left = Array(content.prefix(cut)) + [UInt8](repeating: 0, count: length - cut)
                #expect(try clients[2].readAll(file, count: length) == left, "round \(round), after the cut")
            }
        }
        let after = try cluster.status(3).metrics.gateway
        let asked = after.localReads - before.localReads
        let missed = after.localReadsMissed - before.localReadsMissed
        #expect(asked >= 8, "\(asked) parts were asked for")
        #expect(missed * 4 <= asked, "\(missed) of \(asked) parts could not be served")
    }
}
