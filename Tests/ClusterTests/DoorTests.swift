import Foundation
import Glibc
import ONCRPC
import Testing

extension ClusterTests {
    @Test("Two clients at two gateways see what one file system would show, while a third node comes and goes")
    func twoGateways() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 45)
        for seed in UInt64(1)...3 {
            let model = try TwoGatewaysModel(seed: seed, addresses: [cluster.address(1), cluster.address(2)])
            for round in 0..<28 {
                if seed == 3, round == 7 { cluster.kill9([3]) }
                if seed == 3, round == 14 { try cluster.launch(3) }
                if seed == 3, round == 21 { cluster.send(SIGSTOP, to: 3) }
                try model.round()
            }
            if seed == 3 { cluster.send(SIGCONT, to: 3) }
            try model.compareAll()
        }
        if !cluster.dead.isEmpty { cluster.kill9([3]) }
        try cluster.start()
        try cluster.awaitAllInSync(within: 30)
        #expect(try cluster.scrub() == nil)
    }

    @Test("Garbage on every port ends its connection and nothing else", .enabled(if: geteuid() == 0, "port 111"))
    func badInput() throws {
        let cluster = try TestCluster(TestCluster.nodes(3), copies: 3, net: 46, portmapper: 111)
        let client = try NFSClient(cluster.address(1))
        let file = try client.create(try client.mount(), "file")
        let content = [UInt8](repeating: 7, count: 100_000)
        try client.write(file, content, at: 0, .fileSync)
        let processes = [1, 2, 3].map { cluster.processID($0) }

        var garbage = Garbage(random: SplitMix64(seed: 46), samples: Self.samples(file))
        var random = SplitMix64(seed: 47)
        for i in 0..<900 {
            let node = UInt16.random(in: 1...3, using: &random)
            let doors: [Door] = [
                .tcp(cluster.address(node), 2049), .tcp(cluster.address(node), 111),
                .unixSocket(cluster.configuration.socketPath(of: .init(node))),
            ]
            let descriptor = try #require(doors[i % 3].connect(), "node \(node) listens at \(doors[i % 3])")
            let bytes = garbage.next()
            _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            if random.next().isMultiple(of: 2) { shutdown(descriptor, Int32(SHUT_WR)) }
            var answer = [UInt8](repeating: 0, count: 256)
            _ = recv(descriptor, &answer, answer.count, 0)
            close(descriptor)
        }
        #expect(cluster.dead.isEmpty)
        #expect([1, 2, 3].map { cluster.processID($0) } == processes)
        for node in UInt16(1)...3 {
            let other = try NFSClient(cluster.address(node))
            _ = try other.mount()
            #expect(try other.readAll(file, count: content.count + 1) == content, "through node \(node)")
        }
        #expect(cluster.health().isHealthy)
        #expect(try cluster.scrub() == nil)
    }

    /// Calls that are right and change nothing.
    private static func samples(_ file: NFS3.FileHandle) -> [[UInt8]] {
        func record(_ program: RPCProgram, _ procedure: UInt32, _ arguments: (inout XDRWriter) -> Void) -> [UInt8] {
            var body = XDRWriter()
            let credential = RPCCredential.sys(
                AuthSys(stamp: 0, machineName: Array("host".utf8), uid: 1000, gid: 1000, groups: []))
            RPCCall(xid: TransactionID(9), program: program, procedure: procedure, credential: credential)
                .encode(into: &body)
            arguments(&body)
            var mark = XDRWriter()
            mark.uint32(RecordScanner.mark(length: body.bytes.count))
            return mark.bytes + body.bytes
        }
        return [
            record(.nfs3, 0) { _ in }, record(.nfs3, 1) { file.encode(into: &$0) },
            record(.nfs3, 6) { NFS3.RangeArguments(file: file, offset: 0, count: 100).encode(into: &$0) },
            record(.nfs3, 3) { NFS3.NameArguments(directory: file, name: Array("name".utf8)).encode(into: &$0) },
            record(.mount3, 1) { Mount.Path(Array("/images".utf8)).encode(into: &$0) },
        ]
    }

    /// Writes at one gateway, reads at each, kills all, and reads again.
    private func serves(_ cluster: TestCluster, gateways: [UInt16], asking node: UInt16) throws {
        let load = WriteLoad("load", seed: 7)
        let address = cluster.address(gateways[0])
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the client has written", within: 30) { load.count.load(ordering: .relaxed) >= 60 }
        cluster.kill9()
        load.stop()
        running.wait()
        try cluster.start()
        for gateway in gateways { #expect(try load.faults(at: cluster.address(gateway)) == []) }
        try cluster.awaitAllInSync(asking: node, within: 30)
        #expect(try cluster.scrub() == nil)
    }

    @Test("A cluster of one node keeps what it acknowledged")
    func oneNode() throws {
        try serves(try TestCluster(TestCluster.nodes(1), copies: 1, net: 47), gateways: [1], asking: 1)
    }

    @Test("Five nodes in two racks keep every group in both, and go on when a rack's smaller half is gone")
    func twoRacks() throws {
        let shapes = (UInt16(1)...5).map { TestCluster.NodeShape(id: $0, domain: $0 <= 3 ? "rack-a" : "rack-b") }
        let cluster = try TestCluster(shapes, copies: 3, net: 48)
        try serves(cluster, gateways: [1, 5], asking: 1)
        let load = WriteLoad("second", seed: 8)
        let address = cluster.address(1)
        let running = concurrently(1) { _ in load.run(at: address) }
        try cluster.wait("the client has written", within: 30) { load.count.load(ordering: .relaxed) >= 30 }
        cluster.kill9([5])
        let before = load.count.load(ordering: .relaxed)
        try cluster.wait("the client writes without node 5", within: 30) {
            load.count.load(ordering: .relaxed) >= before + 30
        }
        load.stop()
        running.wait()
        try cluster.start()
        try cluster.awaitAllInSync(within: 30)
        #expect(try load.faults(at: cluster.address(4)) == [])
        #expect(try cluster.scrub() == nil)
    }

    @Test("Management, interface and storage nodes may be apart, with several disks each")
    func rolesApart() throws {
        var shapes = [TestCluster.NodeShape(id: 1, roles: "management", disks: 0)]
        shapes += [2, 3].map { TestCluster.NodeShape(id: $0, roles: "interface", disks: 0) }
        shapes += [4, 5, 6].map { TestCluster.NodeShape(id: $0, roles: "storage", disks: 2) }
        let cluster = try TestCluster(shapes, copies: 3, net: 49)
        try serves(cluster, gateways: [2, 3], asking: 4)
    }
}
