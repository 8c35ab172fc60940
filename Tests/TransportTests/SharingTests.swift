import ClusterModel
import NIOCore
import Testing
import Wire

@testable import Transport

/// Payloads in memory that the nodes of one machine share.
@Suite(.serialized) struct SharingTests {
    private static let size = 1 << 20

    private static func bytes(_ seed: Int) -> [UInt8] {
        [UInt8](repeating: UInt8(truncatingIfNeeded: seed &* 37), count: size)
    }

    private static func answer(_ n: UInt64, _ handle: PayloadHandle) -> NodeMessage {
        .response(
            ExchangeID(n),
            PGResponse(pg: .data(1), epoch: Epoch(1), body: .data(present: .complete), payload: handle))
    }

    /// Two or three nodes, connected, each reading the others' arenas.
    private static func connected(_ network: Network, _ count: UInt16) async throws -> [LoopBound<Host>] {
        var hosts: [LoopBound<Host>] = []
        for n in 1...count { hosts.append(try await network.host(hello(n))) }
        for a in 1...count {
            for b in 1...count where b > a { try await network.connect(hosts[Int(a) - 1], to: b) }
        }
        for host in hosts {
            try await network.wait(for: "the others' arenas", host) {
                $0.transport.openConnections.count == Int(count) - 1
                    && $0.transport.sharing?.readable.count == Int(count) - 1
                    && $0.transport.openConnections.values.allSatisfy { $0.readableArenas.count == Int(count) - 1 }
            }
        }
        return hosts
    }

    private static func send(_ host: Host, _ n: UInt64, seed: Int, to node: UInt16) {
        let handle = host.transport.payloads.add(ByteBuffer(bytes: bytes(seed)))
        host.transport.send(answer(n, handle), to: NodeID(node))
        host.transport.payloads.drop(handle)
    }

    /// Three nodes, of which the second has passed on to the third what it got from the first; the third keeps it.
    private static func passedFromOneToThree(_ network: Network) async throws -> [LoopBound<Host>] {
        let hosts = try await SharingTests.connected(network, 3)
        _ = try await network.on(hosts[1]) { $0.keepsPayloads = true }
        _ = try await network.on(hosts[2]) { $0.keepsPayloads = true }
        _ = try await network.on(hosts[0]) { SharingTests.send($0, 1, seed: 1, to: 2) }
        try await network.wait(for: "the payload", hosts[1]) { $0.messages.count == 1 }
        _ = try await network.on(hosts[1]) { host in
            guard let handle = host.messages.first?.payload else { return }
            host.transport.send(SharingTests.answer(2, handle), to: NodeID(3))
            host.transport.payloads.drop(handle)
        }
        try await network.wait(for: "the payload", hosts[2]) { $0.messages.count == 1 }
        return hosts
    }

    private static func contents(_ host: Host) -> [[UInt8]] {
        host.heard.compactMap { if case .message(_, let payload?) = $0 { payload } else { nil } }
    }

    @Test("Large payloads are lent, arrive intact, and their memory is used again when they were read")
    func lent() async throws {
        try await withNetwork { network in
            let hosts = try await SharingTests.connected(network, 2)
            // More bytes than an arena has.
            let rounds = TransportLimits.arenaBytes / SharingTests.size + 8
            for n in 0..<rounds {
                _ = try await network.on(hosts[0]) { SharingTests.send($0, UInt64(n), seed: n, to: 2) }
                try await network.wait(for: "the payload", hosts[1]) { $0.messages.count > n }
            }
            let heard = try await network.on(hosts[1]) { SharingTests.contents($0) }
            #expect(heard == (0..<rounds).map { SharingTests.bytes($0) })
            let lent = try await network.on(hosts[0]) { $0.transport.bytesLent }
            #expect(lent == UInt64(rounds * SharingTests.size))
            try await network.wait(for: "all memory back", hosts[0]) { $0.transport.sharing?.own.takenBytes == 0 }
        }
    }

    @Test("Memory that a peer holds is not used again; when none is left, payloads go through the socket")
    func held() async throws {
        try await withNetwork { network in
            let hosts = try await SharingTests.connected(network, 2)
            _ = try await network.on(hosts[1]) { $0.keepsPayloads = true }
            let rounds = TransportLimits.arenaBytes / SharingTests.size + 10
            _ = try await network.on(hosts[0]) { host in
                for n in 0..<rounds { SharingTests.send(host, UInt64(n), seed: n, to: 2) }
            }
            try await network.wait(for: "all payloads", hosts[1]) { $0.messages.count == rounds }
            let lent = try await network.on(hosts[0]) { Int($0.transport.bytesLent) }
            #expect(lent > 0 && lent < rounds * SharingTests.size)
            // What was kept is as it came, whatever was sent later.
            let kept = try await network.on(hosts[1]) { host in
                host.messages.map { message -> [UInt8] in
                    message.payload.flatMap { host.transport.payloads.bytes(of: $0) }.map {
                        Array($0.readableBytesView)
                    } ?? []
                }
            }
            #expect(kept == (0..<rounds).map { SharingTests.bytes($0) })
            _ = try await network.on(hosts[1]) { host in
                for message in host.messages { message.payload.map(host.transport.payloads.drop) }
            }
            try await network.wait(for: "all memory back", hosts[0]) { $0.transport.sharing?.own.takenBytes == 0 }
        }
    }

    @Test(
        "A payload that came in one node's memory is passed on in it, and goes back only when the last reader is done")
    func passedOn() async throws {
        try await withNetwork { network in
            let hosts = try await SharingTests.passedFromOneToThree(network)
            #expect(try await network.on(hosts[2]) { SharingTests.contents($0) } == [SharingTests.bytes(1)])
            #expect(try await network.on(hosts[1]) { $0.transport.sharing?.own.takenBytes } == 0)
            #expect(try await network.on(hosts[0]) { $0.transport.sharing?.own.takenBytes ?? 0 } > 0)
            _ = try await network.on(hosts[2]) { host in host.messages.first?.payload.map(host.transport.payloads.drop)
            }
            try await network.wait(for: "all memory back", hosts[0]) { $0.transport.sharing?.own.takenBytes == 0 }
        }
    }

    @Test("When a reader's connection is lost, the memory it may still read is never written again, nor by its owner")
    func lost() async throws {
        try await withNetwork { network in
            let hosts = try await SharingTests.passedFromOneToThree(network)
            let before = try await network.on(hosts[0]) { $0.transport.sharing?.own.mapping.id }
            _ = try await network.on(hosts[1]) { $0.transport.reset(NodeID(3)) }
            try await network.wait(for: "another arena", hosts[0]) { $0.transport.sharing?.own.mapping.id != before }
            try await network.wait(for: "the new arena to be readable", hosts[0]) {
                guard let id = $0.transport.sharing?.own.mapping.id else { return false }
                return $0.transport.openConnections.values.allSatisfy { $0.readableArenas.contains(id) }
            }
            for n in 0..<20 {
                _ = try await network.on(hosts[0]) { SharingTests.send($0, UInt64(n + 10), seed: 50 + n, to: 2) }
            }
            try await network.wait(for: "more payloads", hosts[1]) { $0.messages.count == 21 }
            let kept = try await network.on(hosts[2]) { host in
                host.messages.first?.payload.flatMap { host.transport.payloads.bytes(of: $0) }.map {
                    Array($0.readableBytesView)
                }
            }
            #expect(kept == SharingTests.bytes(1))
        }
    }

    @Test(
        "Bytes that came in a buffer for payloads are lent where they are; one that grows moves out, and all memory comes back"
    )
    func buffers() async throws {
        try await withNetwork { network in
            let hosts = try await SharingTests.connected(network, 2)
            _ = try await network.on(hosts[0]) { host in
                var buffer = host.transport.payloadBuffer(capacity: SharingTests.size + 128)
                buffer.writeRepeatingByte(7, count: 100)
                buffer.writeBytes(SharingTests.bytes(3))
                let taken = host.transport.sharing?.own.takenBytes
                let handle = host.transport.payloads.add(
                    buffer.getSlice(at: 100, length: SharingTests.size) ?? ByteBuffer())
                host.transport.send(SharingTests.answer(1, handle), to: NodeID(2))
                #expect(host.transport.sharing?.own.takenBytes == taken)
                host.transport.payloads.drop(handle)
                var small = host.transport.payloadBuffer(capacity: 100)
                small.writeBytes(SharingTests.bytes(4))
                small.writeBytes(SharingTests.bytes(5))
                #expect(Array(small.readableBytesView) == SharingTests.bytes(4) + SharingTests.bytes(5))
            }
            try await network.wait(for: "the payload", hosts[1]) { $0.messages.count == 1 }
            #expect(try await network.on(hosts[1]) { SharingTests.contents($0) } == [SharingTests.bytes(3)])
            try await network.wait(for: "all memory back", hosts[0]) { $0.transport.sharing?.own.takenBytes == 0 }
        }
    }

    @Test("A node that does not share gets its payloads through the socket")
    func notShared() async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            let raw = try await network.host(hello(2), sharing: .never)
            try await network.connect(one, to: 2)
            try await network.wait(for: "a connection", one) { $0.transport.isConnected(to: NodeID(2)) }
            _ = try await network.on(one) { SharingTests.send($0, 1, seed: 1, to: 2) }
            try await network.wait(for: "the payload", raw) { $0.messages.count == 1 }
            #expect(try await network.on(raw) { SharingTests.contents($0) } == [SharingTests.bytes(1)])
            #expect(try await network.on(one) { $0.transport.bytesLent } == 0)
        }
    }

    @Test("An offer of what is no sealed memory file of that name and length is refused")
    func offers() throws {
        for (process, descriptor) in [(Int32(1), Int32(0)), (-5, 3), (Int32.max, 3)] {
            #expect(throws: SharedMapping.Refusal.self) {
                try SharedMapping.open(
                    ArenaID(1), process: process, descriptor: descriptor, length: UInt64(TransportLimits.arenaBytes),
                    atMost: TransportLimits.arenaBytes)
            }
        }
        let own = try SharedMapping.create(id: ArenaID(7), length: 1 << 20)
        guard case .offer(_, let process, let descriptor, let length) = own.offer else { return }
        for (id, length) in [
            (ArenaID(8), length), (ArenaID(7), length + 4096), (ArenaID(7), 4096), (ArenaID(7), 1 << 40),
        ] {
            #expect(throws: SharedMapping.Refusal.self) {
                try SharedMapping.open(id, process: process, descriptor: descriptor, length: length, atMost: 64 << 20)
            }
        }
        let mapped = try SharedMapping.open(
            ArenaID(7), process: process, descriptor: descriptor, length: length, atMost: 64 << 20)
        #expect(mapped.length == own.length)
    }

    @Test("A peer that names memory which was not agreed on, or returns what was not lent, loses its connection")
    func lies() async throws {
        let lies: [@Sendable (inout WireWriter) -> Void] = [
            { $0.lentFrame(alive(1), grant: 1, arena: ArenaID(3), offset: 65536, count: 4096) },
            { $0.frame(SharingMessage.returned([4])) },
            { $0.frame(SharingMessage.readable(ArenaID(1))) },
        ]
        for lie in lies {
            try await withNetwork { network in
                let one = try await network.host(hello(1))
                let socket = try RawSocket(path: network.path(1))
                socket.send(.hello(hello(2)))
                try await network.wait(for: "a connection", one) { $0.transport.isConnected(to: NodeID(2)) }
                var w = WireWriter()
                lie(&w)
                socket.send(w.bytes)
                try await network.wait(for: "its end", one) { !$0.transport.isConnected(to: NodeID(2)) }
                socket.close()
            }
        }
    }
}

private func alive(_ n: UInt64) -> NodeMessage {
    .alive(NodeStanding(mapVersion: MapVersion(n), totalBytes: 0, freeBytes: 0))
}
