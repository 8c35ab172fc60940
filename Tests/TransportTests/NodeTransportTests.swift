import ClusterModel
import NIOCore
import Testing
import Wire

@testable import Transport

private func alive(_ n: UInt64) -> NodeMessage {
    .alive(NodeStanding(mapVersion: MapVersion(n), totalBytes: 0, freeBytes: 0))
}

private func write(_ payload: PayloadHandle?, number: UInt64) -> NodeMessage {
    let object = ObjectID(file: FileID(fileset: .root, inode: .root), index: 0)
    return .request(
        ExchangeID(number),
        PGRequest(
            pg: .data(1), session: SessionID(1), number: RequestNumber(number), ended: .none, epoch: Epoch(1),
            mapVersion: MapVersion(1),
            body: .write(ObjectRange(object: object, offset: 0, length: payload?.length ?? 0), .none, .unstable),
            payload: payload))
}

private func append(_ payload: PayloadHandle) -> NodeMessage {
    let object = ObjectID(file: FileID(fileset: .root, inode: .root), index: 0)
    let entry = Entry(
        name: EntryName(epoch: Epoch(1), n: 1),
        body: .write(
            BlockWrite(object: object, blocks: BlockRange(first: 0, count: 1), checksums: [0], truncation: .none)),
        session: SessionID(1), request: RequestNumber(7), call: nil, durability: .unstable, lossNumber: .zero,
        time: .zero, payload: payload)
    return .replica(
        ReplicaMessage(
            pg: .data(1), epoch: Epoch(1),
            body: .append(Append(entry: entry, previous: .zero, decided: .zero, stamp: .zero))))
}

extension Host {
    var connectedTo: [NodeID] { heard.compactMap { if case .connected(let node) = $0 { node } else { nil } } }
    var disconnections: Int { heard.count { if case .disconnected = $0 { true } else { false } } }
    var messages: [NodeMessage] { heard.compactMap { if case .message(let message, _) = $0 { message } else { nil } } }
}

@Suite(.serialized) struct NodeTransportTests {
    @Test("Two nodes of one cluster connect once, the lower id dials")
    func connect() async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            let two = try await network.host(hello(2))
            try await network.connect(two, to: 1)
            try await network.connect(one, to: 2)
            try await network.wait(for: "a connection", one) { $0.transport.isConnected(to: NodeID(2)) }
            try await network.wait(for: "a connection", two) { $0.transport.isConnected(to: NodeID(1)) }
            #expect(try await network.on(one) { $0.connectedTo } == [NodeID(2)])
            #expect(try await network.on(two) { $0.connectedTo } == [NodeID(1)])
        }
    }

    @Test("Messages arrive in the order they were sent, both ways")
    func order() async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            let two = try await network.host(hello(2))
            try await network.connect(one, to: 2)
            try await network.wait(for: "a connection", two) { $0.transport.isConnected(to: NodeID(1)) }
            try await network.wait(for: "a connection", one) { $0.transport.isConnected(to: NodeID(2)) }
            for _ in 0..<20 {
                _ = try await network.on(one) { host in
                    for n in 0..<100 { host.transport.send(alive(UInt64(n)), to: NodeID(2)) }
                }
                _ = try await network.on(two) { host in
                    for n in 0..<100 { host.transport.send(alive(UInt64(n)), to: NodeID(1)) }
                }
            }
            let expected = (0..<20).flatMap { _ in (0..<100).map { alive(UInt64($0)) } }
            for host in [one, two] {
                try await network.wait(for: "2,000 messages", host) { $0.messages.count >= 2000 }
                #expect(try await network.on(host) { $0.messages } == expected)
            }
        }
    }

    @Test("Payloads of every size up to the greatest arrive intact, and none is kept afterwards")
    func payloads() async throws {
        let sizes = [1, 4095, 4096, 65536, 262_145, Limits.payloadBytes]
        func bytes(_ size: Int) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) } }
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            let two = try await network.host(hello(2))
            try await network.connect(one, to: 2)
            try await network.wait(for: "a connection", one) { $0.transport.isConnected(to: NodeID(2)) }
            let contents = sizes.map(bytes)
            _ = try await network.on(one) { host in
                for (n, content) in contents.enumerated() {
                    let handle = host.transport.payloads.add(ByteBuffer(bytes: content))
                    host.transport.send(
                        .response(
                            ExchangeID(UInt64(n)),
                            PGResponse(pg: .data(1), epoch: Epoch(1), body: .data(present: .complete), payload: handle)),
                        to: NodeID(2))
                    host.transport.payloads.drop(handle)
                    host.transport.send(alive(UInt64(n)), to: NodeID(2))
                }
            }
            try await network.wait(for: "all payloads", two) { $0.messages.count == 2 * sizes.count }
            let heard = try await network.on(two) { host in
                host.heard.compactMap { if case .message(_, let payload?) = $0 { payload } else { nil } }
            }
            #expect(heard == contents)
            for host in [one, two] { #expect(try await network.on(host) { $0.transport.payloads.byteCount } == 0) }
        }
    }

    @Test(
        "A node of another cluster, or of a protocol that is not spoken, is not let in",
        arguments: [
            hello(1, cluster: ClusterID(9)), hello(1, protocols: 100...101), hello(1, protocols: 0...0),
        ])
    func strangers(stranger: Hello) async throws {
        try await withNetwork { network in
            let host = try await network.host(hello(2))
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            raw.send(.hello(stranger))
            #expect(raw.receive().isEmpty)
            #expect(try await network.on(host) { $0.heard.isEmpty })
        }
    }

    @Test(
        "Of two protocol ranges that meet, the lower of the newest versions is spoken",
        arguments: [
            (0...ProtocolVersion.oldest.rawValue, ProtocolVersion.oldest), (0...1000, .newest),
        ] as [(ClosedRange<UInt16>, ProtocolVersion)])
    func protocols(_ range: ClosedRange<UInt16>, _ spoken: ProtocolVersion) async throws {
        try await withNetwork { network in
            let host = try await network.host(hello(2))
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            raw.send(.hello(hello(1, protocols: range)))
            #expect(raw.receive(FrameHead.size).count == FrameHead.size)
            try await network.wait(for: "the stranger", host) { $0.connectedTo == [NodeID(1)] }
            #expect(try await network.on(host) { $0.spoken } == spoken)
        }
    }

    @Test("What the version that is spoken does not have is not sent, and the connection goes on without it")
    func newerMessages() async throws {
        try await withNetwork { network in
            let old = try await network.host(hello(1, protocols: 0...ProtocolVersion.oldest.rawValue))
            let new = try await network.host(hello(2))
            try await network.connect(old, to: 2)
            try await network.wait(for: "the connection", new) { $0.connectedTo == [NodeID(1)] }
            _ = try await network.on(new) { host in
                host.transport.send(
                    .replica(ReplicaMessage(pg: .data(1), epoch: Epoch(1), body: .mustLearn)), to: NodeID(1))
                host.transport.send(alive(5), to: NodeID(1))
                host.transport.flush()
            }
            try await network.wait(for: "the message that both know", old) { $0.messages.count == 1 }
            #expect(try await network.on(old) { $0.messages } == [alive(5)])
        }
    }

    @Test("A message that the version which is spoken does not have ends the connection of who sends it")
    func newerMessageReceived() async throws {
        try await withNetwork { network in
            let host = try await network.host(hello(2))
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            raw.send(.hello(hello(1, protocols: 0...ProtocolVersion.oldest.rawValue)))
            try await network.wait(for: "the connection", host) { $0.connectedTo == [NodeID(1)] }
            raw.send(.replica(ReplicaMessage(pg: .data(1), epoch: Epoch(1), body: .mustLearn)))
            try await network.wait(for: "its end", host) { $0.transport.openConnections.isEmpty }
            let heard = try await network.on(host) { $0.messages.count }
            #expect(heard == 0)
        }
    }

    @Test("The node that answers must be the one that was dialled")
    func wrongNode() async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            _ = try await network.host(hello(3))
            let path = network.path(3)
            _ = try await network.on(one) { $0.transport.connect(to: NodeID(2), at: .unixSocket(path: path)) }
            // Long enough for two attempts.
            let deadline = ContinuousClock.now.advanced(by: .milliseconds(250))
            while ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(10)) }
            #expect(try await network.on(one) { $0.transport.openConnections.isEmpty })
        }
    }

    @Test("Garbage closes the connection that it came on, and no other", arguments: 0..<7)
    func garbage(kind: Int) async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            let two = try await network.host(hello(2))
            try await network.connect(one, to: 2)
            try await network.wait(for: "a connection", two) { $0.transport.isConnected(to: NodeID(1)) }
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            var random = SplitMix64(seed: UInt64(kind))
            switch kind {
            case 0: raw.send((0..<200).map { _ in UInt8(random.below(256)) | 1 })
            case 1: raw.send(Array(repeating: 0xFF, count: 12))
            case 2: raw.send(alive(1))
            case 3:
                raw.send(.hello(hello(9)))
                raw.send(.hello(hello(9)))
            case 4:
                raw.send(.hello(hello(9)))
                raw.send([0, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0])
            case 5:
                // A payload that no field announces.
                raw.send(.hello(hello(9)))
                raw.send([0, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 1, 2, 3, 4])
            default: raw.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
            }
            _ = raw.receive()
            _ = try await network.on(one) { $0.transport.send(alive(5), to: NodeID(2)) }
            try await network.wait(for: "the good message", two) { $0.messages == [alive(5)] }
            #expect(try await network.on(two) { $0.transport.isConnected(to: NodeID(1)) })
            #expect(try await network.on(two) { $0.transport.payloads.count } == 0)
        }
    }

    @Test("After a connection was reset it is made again and carries messages")
    func reconnect() async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            let two = try await network.host(hello(2))
            try await network.connect(one, to: 2)
            try await network.wait(for: "a connection", two) { $0.transport.isConnected(to: NodeID(1)) }
            for round in 1...3 {
                _ = try await network.on(two) { $0.transport.reset(NodeID(1)) }
                try await network.wait(for: "the end, told once", one) { $0.disconnections == round }
                try await network.wait(for: "a new connection", one) { $0.connectedTo.count == round + 1 }
                _ = try await network.on(one) { $0.transport.send(alive(UInt64(round)), to: NodeID(2)) }
                try await network.wait(for: "the message", two) { $0.messages.count == round }
            }
            #expect(try await network.on(two) { $0.messages } == (1...3).map { alive(UInt64($0)) })
        }
    }

    @Test("A node that starts later than its dialler is reached")
    func lateStart() async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1))
            try await network.connect(one, to: 2)
            #expect(try await network.on(one) { $0.transport.send(alive(1), to: NodeID(2)) } == .notConnected)
            _ = try await network.host(hello(2))
            try await network.wait(for: "a connection", one) { $0.transport.isConnected(to: NodeID(2)) }
        }
    }

    @Test("A node that dials again before its old connection has ended takes its place; the old one is heard no more")
    func replaced() async throws {
        try await withNetwork { network in
            let two = try await network.host(hello(2))
            let old = try RawSocket(path: network.path(2))
            defer { old.close() }
            old.send(.hello(hello(1)))
            try await network.wait(for: "the first", two) { $0.connectedTo.count == 1 }
            let new = try RawSocket(path: network.path(2))
            defer { new.close() }
            new.send(.hello(hello(1)))
            try await network.wait(for: "the second", two) { $0.connectedTo.count == 2 }
            old.send(alive(1))
            new.send(alive(2))
            try await network.wait(for: "a message", two) { !$0.messages.isEmpty }
            #expect(try await network.on(two) { $0.messages } == [alive(2)])
            #expect(try await network.on(two) { $0.disconnections } == 1)
        }
    }

    @Test("The command line is answered without knowing the cluster, and may send nothing but questions")
    func admin() async throws {
        try await withNetwork { network in
            let host = try await network.host(hello(2))
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            raw.send(.hello(hello(0, cluster: ClusterID(0), purpose: .admin)))
            raw.send(.ask(ExchangeID(4), AdminText(json: [1, 2, 3])))
            var expected = WireWriter()
            expected.frame(.hello(hello(2, purpose: .admin)))
            expected.frame(.tell(ExchangeID(4), AdminText(json: [3, 2, 1])))
            #expect(raw.receive(expected.bytes.count) == expected.bytes)
            raw.send(write(nil, number: 1))
            #expect(raw.receive().isEmpty)
            #expect(try await network.on(host) { $0.heard } == [.asked([1, 2, 3])])
        }
    }

    @Test("What is sent by a peer that is not heard leaves no payload behind")
    func leaks() async throws {
        try await withNetwork { network in
            let host = try await network.host(hello(2))
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            raw.send(.hello(hello(0, purpose: .admin)))
            var w = WireWriter()
            w.frame(write(PayloadHandle(id: 1, length: 5), number: 1))
            raw.send(w.bytes + [1, 2, 3, 4, 5])
            _ = raw.receive()
            #expect(try await network.on(host) { $0.transport.payloads.count } == 0)
        }
    }

    @Test("A payload is not sent back to the one who asked with it, until it is answered; it arrives all the same")
    func echoes() async throws {
        try await withNetwork { network in
            let one = try await network.host(hello(1), sharing: .never)
            let two = try await network.host(hello(2), sharing: .never)
            try await network.connect(one, to: 2)
            try await network.wait(for: "a connection", one) { $0.transport.isConnected(to: NodeID(2)) }
            try await network.wait(for: "a connection", two) { $0.transport.isConnected(to: NodeID(1)) }
            let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            _ = try await network.on(two) { $0.keepsPayloads = true }
            _ = try await network.on(one) { host in
                let handle = host.transport.payloads.add(ByteBuffer(bytes: bytes))
                host.transport.send(write(handle, number: 7), to: NodeID(2))
                host.transport.payloads.drop(handle)
            }
            try await network.wait(for: "the request", two) { !$0.messages.isEmpty }
            let answer = NodeMessage.response(
                ExchangeID(7), PGResponse(pg: .data(1), epoch: Epoch(1), body: .written(stamp: .zero)))
            let sent = try await network.on(two) { host -> [UInt64] in
                guard let handle = host.messages[0].payload else { return [] }
                var sent = [host.transport.bytesSent]
                for message in [append(handle), answer, append(handle)] {
                    host.transport.send(message, to: NodeID(1))
                    sent.append(host.transport.bytesSent)
                }
                return sent
            }
            #expect(sent.count == 4 && sent[1] - sent[0] < 1000 && sent[3] - sent[2] > 100_000, "\(sent)")
            try await network.wait(for: "both entries", one) { $0.messages.count == 3 }
            let payloads = try await network.on(one) { host in
                host.heard.compactMap { if case .message(.replica, let payload) = $0 { payload } else { nil } }
            }
            #expect(payloads == [bytes, bytes])
            #expect(try await network.on(one) { $0.transport.payloads.count } == 0)
        }
    }

    @Test("An entry whose payload should have come from here, and did not, ends its connection")
    func echoOfNothing() async throws {
        try await withNetwork { network in
            let host = try await network.host(hello(2))
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            raw.send(.hello(hello(1)))
            guard case .replica(let message) = append(PayloadHandle(id: 1, length: 5)) else { return }
            var w = WireWriter()
            w.echoFrame(message, of: ExchangeID(3))
            raw.send(w.bytes)
            _ = raw.receive()
            #expect(try await network.on(host) { $0.messages.isEmpty && $0.transport.payloads.count == 0 })
        }
    }

    @Test("A peer that stops reading is cut off when it costs more memory than the limit")
    func backlog() async throws {
        try await withNetwork { network in
            let host = try await network.host(hello(2))
            let raw = try RawSocket(path: network.path(2))
            defer { raw.close() }
            raw.send(.hello(hello(1)))
            _ = raw.receive(FrameHead.size)
            try await network.wait(for: "the peer", host) { $0.transport.isConnected(to: NodeID(1)) }
            var sent = 0
            while try await network.on(host, { $0.transport.isConnected(to: NodeID(1)) }), sent < 200 {
                _ = try await network.on(host) { host in
                    let handle = host.transport.payloads.add(ByteBuffer(repeating: 1, count: 1 << 20))
                    host.transport.send(
                        .response(
                            ExchangeID(1),
                            PGResponse(pg: .data(1), epoch: Epoch(1), body: .data(present: .complete), payload: handle)),
                        to: NodeID(1))
                    host.transport.payloads.drop(handle)
                }
                sent += 1
            }
            #expect((60...80).contains(sent), "cut off after \(sent) MiB")
        }
    }
}

struct PayloadTableTests {
    @Test("Bytes stay until as many drops as add and keep have come")
    func references() {
        let table = PayloadTable()
        let handle = table.add(ByteBuffer(bytes: [1, 2, 3]))
        #expect(handle.length == 3 && handle.id != 0 && table.byteCount == 3)
        table.keep(handle)
        table.drop(handle)
        #expect(table.bytes(of: handle) == ByteBuffer(bytes: [1, 2, 3]))
        table.drop(handle)
        #expect(table.bytes(of: handle) == nil && table.byteCount == 0 && table.count == 0)
        table.drop(handle)
        #expect(table.count == 0)
        #expect(table.add(ByteBuffer()).id != handle.id)
    }
}
