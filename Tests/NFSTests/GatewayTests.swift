import ClusterModel
import Filesystem
import Foundation
import NIOCore
import ONCRPC
import Testing
import Wire

@testable import NFS

/// What the door does beside the procedures: exports, identities, exactly once, bounds, bad input.
@Suite(.serialized) struct GatewayTests {
    // MARK: Exports

    @Test("MNT takes the export and folders below it, and nothing beside, above or that is no folder")
    func mounts() throws {
        try session { (_, client, root) throws in
            _ = try client.nfs(
                .mkdir,
                NFS3.MkdirArguments(
                    place: NFS3.NameArguments(directory: root, name: Array("sub".utf8)),
                    attributes: NFS3.SetAttributes()),
                as: NFS3.CreateResult.self)
            let sub = try client.mounted("/images/sub")
            #expect(try client.lookup(root, "sub").success?.file == sub)
            #expect(try client.lookup(sub, "..").success?.file == root)
            _ = try client.made(root, "file")
            #expect(try client.mount("/images/file") == .failed(.notDirectory))
            #expect(try client.mount("/images/none") == .failed(.noEntry))
            #expect(try client.mount("/images2") == .failed(.noEntry))
            #expect(try client.mount("/images/../secret") == .failed(.noEntry))
            #expect(try client.mount("/") == .failed(.noEntry))
            #expect(try client.mount("/images/" + String(repeating: "n", count: 300)) == .failed(.nameTooLong))
        }
    }

    @Test("EXPORT and DUMP tell exports and mounts in versions 1 and 3, UMNT and UMNTALL take mounts off")
    func lists() throws {
        try session { (_, client, _) throws in
            for program in [RPCProgram.mount1, .mount3] {
                let exports = try client.call(program, 5, { _ in }) { try XDRList<Mount.Export>(from: &$0) }.elements
                #expect(exports == [Mount.Export(path: Array("/images".utf8), groups: ["127.0.0.0/8"])])
                let mounts = try client.call(program, 2, { _ in }) { try XDRList<Mount.Mounted>(from: &$0) }.elements
                #expect(mounts == [Mount.Mounted(host: "127.0.0.1", path: Array("/images".utf8))])
            }
            try client.call(.mount3, 3, { Mount.Path(Array("/images".utf8)).encode(into: &$0) }) { _ in }
            #expect(try client.call(.mount3, 2, { _ in }) { try XDRList<Mount.Mounted>(from: &$0) }.elements.isEmpty)
            _ = try client.mounted()
            try client.call(.mount3, 4, { _ in }) { _ in }
            #expect(try client.call(.mount3, 2, { _ in }) { try XDRList<Mount.Mounted>(from: &$0) }.elements.isEmpty)
        }
    }

    @Test("A client outside the list may neither mount nor use a handle that it has")
    func clientList() throws {
        try session { (gateway, client, root) throws in
            try gateway.setExports([TestGateway.export(gateway.images, clients: ["10.0.0.0/8"])])
            #expect(try client.mount("/images") == .failed(.access))
            #expect(try client.getattr(root).status == .access)
        }
    }

    @Test("Handles of an export that is gone are stale")
    func exportGone() throws {
        try session { (gateway, client, root) throws in
            try gateway.setExports([TestGateway.export(gateway.images, id: 2)])
            #expect(try client.getattr(root).status == .stale)
            #expect(try client.getattr(try client.mounted()).status == .ok)
        }
    }

    @Test("A handle with any bit changed is BADHANDLE and costs the file system nothing")
    func forgedHandles() throws {
        try session { (gateway, client, root) throws in
            let bytes = root.withBytes { [UInt8]($0) }
            let before = try gateway.on { $0.files.calls }
            for bit in stride(from: 0, to: bytes.count * 8, by: 5) {
                var forged = bytes
                forged[bit / 8] ^= 1 << (bit % 8)
                #expect(try client.getattr(NFS3.FileHandle(forged)).status == .badHandle)
            }
            #expect(try client.getattr(NFS3.FileHandle([])).status == .badHandle)
            #expect(try gateway.on { $0.files.calls } == before)
        }
    }

    @Test("A read-only export refuses every procedure that writes, and serves the others")
    func readOnly() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.setExports([TestGateway.export(gateway.images, access: .readOnly)])
            for procedure in NFS3.Procedure.allCases where procedure != .null {
                let status = try self.status(client, procedure, root: root, file: file)
                switch procedure {
                case .setattr, .write, .create, .mkdir, .symlink, .mknod, .remove, .rmdir, .rename, .link, .commit:
                    #expect(status == .readOnly, "\(procedure)")
                case .null, .getattr, .lookup, .access, .readlink, .read, .readdir, .readdirplus, .fsstat, .fsinfo,
                    .pathconf:
                    #expect(status != .readOnly, "\(procedure)")
                }
            }
        }
    }

    /// Sends any procedure with plausible arguments; the status is the first word of every result.
    private func status(
        _ client: RawClient, _ procedure: NFS3.Procedure, root: NFS3.FileHandle, file: NFS3.FileHandle
    ) throws -> NFS3.Status {
        let place = NFS3.NameArguments(directory: root, name: Array("n\(procedure.rawValue)".utf8))
        let code = try client.call(
            .nfs3, procedure.rawValue,
            { w in
                switch procedure {
                case .null: break
                case .getattr, .readlink, .fsstat, .fsinfo, .pathconf: file.encode(into: &w)
                case .setattr:
                    NFS3.SetattrArguments(file: file, attributes: NFS3.SetAttributes(mode: 0o600)).encode(into: &w)
                case .lookup, .remove, .rmdir: place.encode(into: &w)
                case .access: NFS3.AccessArguments(file: file, access: .read).encode(into: &w)
                case .read, .commit: NFS3.RangeArguments(file: file, offset: 0, count: 0).encode(into: &w)
                case .write:
                    NFS3.WriteArguments.encodeHead(file: file, offset: 0, stability: .unstable, dataCount: 4, into: &w)
                    w.uint32(0)
                case .create: NFS3.CreateArguments(place: place, mode: .guarded(NFS3.SetAttributes())).encode(into: &w)
                case .mkdir: NFS3.MkdirArguments(place: place, attributes: NFS3.SetAttributes()).encode(into: &w)
                case .symlink:
                    NFS3.SymlinkArguments(place: place, attributes: NFS3.SetAttributes(), target: [1]).encode(into: &w)
                case .mknod: NFS3.MknodArguments(place: place, kind: .fifo(NFS3.SetAttributes())).encode(into: &w)
                case .rename: NFS3.RenameArguments(from: place, to: place).encode(into: &w)
                case .link: NFS3.LinkArguments(file: file, place: place).encode(into: &w)
                case .readdir:
                    NFS3.ReaddirArguments(directory: root, cookie: 0, verifier: NFS3.Verifier(0), count: 4096)
                        .encode(into: &w)
                case .readdirplus:
                    NFS3.ReaddirplusArguments(
                        directory: root, cookie: 0, verifier: NFS3.Verifier(0), directoryCount: 4096, maximumCount: 8192
                    ).encode(into: &w)
                }
            }
        ) { try $0.uint32() }
        return try #require(NFS3.Status(rawValue: code))
    }

    @Test("Every procedure reaches the file system under the squashed identity", arguments: [Squash.none, .root, .all])
    func squashEverywhere(squash: Squash) throws {
        for (uid, gid) in [(UInt32(0), UInt32(0)), (1000, 100), (1000, 0)] {
            try session { (gateway, client, root) throws in
                let file = try client.made(root, "a")
                try gateway.setExports([TestGateway.export(gateway.images, squash: squash)])
                client.credential = RawClient.sys("host", uid: uid, gid: gid, groups: [0, 7])
                let anonymous = Credentials(uid: 65534, gid: 65534)
                let expected: Credentials
                switch squash {
                case .none: expected = Credentials(uid: uid, gid: gid, groups: [0, 7])
                case .all: expected = anonymous
                case .root:
                    expected =
                        uid == 0
                        ? anonymous : Credentials(uid: uid, gid: gid == 0 ? 65534 : gid, groups: [65534, 7])
                }
                for procedure in NFS3.Procedure.allCases where procedure != .null {
                    _ = try self.status(client, procedure, root: root, file: file)
                    #expect(try gateway.on { $0.files.lastCredentials } == expected, "\(procedure) as \(uid):\(gid)")
                }
            }
        }
    }

    // MARK: Exactly once

    @Test("A call sent again with its xid, on the same or another connection, gets its first answer")
    func firstAnswer() throws {
        try session { (gateway, client, root) throws in
            let guarded = NFS3.CreateMode.guarded(NFS3.SetAttributes())
            let first = try client.create(root, "a", guarded, xid: 900)
            #expect(first.status == .ok)
            #expect(try client.create(root, "a", guarded, xid: 900) == first)
            let other = try RawClient(port: gateway.port)
            #expect(try other.create(root, "a", guarded, xid: 900) == first)
            #expect(try other.create(root, "a", guarded, xid: 901).status == .exists)
            #expect(try gateway.on { $0.files.executed["create"] ?? 0 } >= 1)
        }
    }

    // MARK: The loss number and libnfs

    @Test("libnfs gets one error for writes before a rise, and clients that compare verifiers none")
    func lossToldOnce() throws {
        for (name, first) in [("libnfs", NFS3.Status.io), ("kernel", .ok)] {
            try session { (gateway, client, root) throws in
                client.credential = RawClient.sys(name)
                let file = try client.made(root, "vm.img")
                _ = try client.write(file, [1])
                try gateway.on {
                    $0.files.writeStamp = LossNumber(2)
                    $0.files.commitStamp = LossNumber(2)
                    $0.lossNumbers.lastRise = .now()
                }
                #expect(try client.commit(file).status == first)
                #expect(gateway.logLines.contains { $0.contains("error") && $0.contains("vm.img") } == (first == .io))
                _ = try client.write(file, [2])
                #expect(try client.commit(file).status == .ok)
            }
        }
    }

    @Test("A libnfs that reconnects after a rise gets one error, one that opens the file after it none")
    func unknownHistory() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "vm.img")
            try gateway.on {
                $0.files.commitStamp = LossNumber(2)
                $0.files.writeStamp = LossNumber(2)
                $0.lossNumbers.lastRise = .now()
            }
            let opener = try RawClient(port: gateway.port, credential: RawClient.sys("libnfs", uid: 1, stamp: 1))
            _ = try opener.lookup(root, "vm.img")
            #expect(try opener.commit(file).status == .ok)
            let returner = try RawClient(port: gateway.port, credential: RawClient.sys("libnfs", uid: 1, stamp: 2))
            #expect(try returner.commit(file).status == .io)
            #expect(try returner.commit(file).status == .ok)
        }
    }

    @Test("The loss number is asked for every second, so that the time of a rise is known")
    func askedEverySecond() throws {
        try session { (gateway, client, root) throws in
            let before = try gateway.on { $0.lossNumbers.questions }
            try gateway.on { $0.server.gateway.tick() }
            #expect(try gateway.on { $0.lossNumbers.questions } > before)
        }
    }

    // MARK: Bounds

    @Test("While the gateway holds all that it may, further calls wait, and go on when there is room")
    func backPressure() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.holdsWrites = true }
            // Other xids, or the calls of one would be joined to those of another.
            let clients = try (1...3).map { try RawClient(port: gateway.port, xid: UInt32($0 << 20)) }
            for client in clients {
                for i in 0..<NFSLimits.heldCallsPerConnection + 50 {
                    try client.sendRaw(client.writeMessage(file, [UInt8(truncatingIfNeeded: i)], at: UInt64(2 * i)))
                }
            }
            #expect(try eventually { try gateway.on { $0.files.held } == NFSLimits.heldCalls })
            #expect(try gateway.on { $0.server.load.heldCalls } == NFSLimits.heldCalls)
            try gateway.on { $0.files.release() }
            for client in clients {
                for _ in 0..<NFSLimits.heldCallsPerConnection + 50 {
                    #expect(try client.writeStatus() == .ok)
                }
            }
            #expect(try eventually { try gateway.on { $0.server.load.heldBytes } == 0 })
            #expect(try gateway.on { $0.server.load.heldCalls } == 0)
        }
    }

    @Test("Connections that wait for room get it in turn")
    func fairness() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            _ = try client.nfs(
                .setattr, NFS3.SetattrArguments(file: file, attributes: NFS3.SetAttributes(mode: 0o666)),
                as: NFS3.CacheResult.self)
            try gateway.on {
                $0.server.gateway.admission = Admission(callBound: 2)
                $0.files.holdsWrites = true
            }
            let clients = try (1...3).map {
                try RawClient(
                    port: gateway.port, credential: RawClient.sys("host", uid: UInt32($0)), xid: UInt32($0 << 20))
            }
            for client in clients {
                for i in 0..<20 { try client.sendRaw(client.writeMessage(file, [1], at: UInt64(2 * i))) }
            }
            // All of them have been read.
            #expect(try eventually { try gateway.on { $0.server.gateway.admission.waiting } == 3 })
            var served = 0
            while served < 60 {
                #expect(try eventually { try gateway.on { $0.files.held } > 0 })
                try gateway.on { $0.files.releaseOne() }
                served += 1
            }
            for client in clients {
                for _ in 0..<20 {
                    #expect(try client.writeStatus() == .ok)
                }
            }
            // The first may come alone; from then on nobody waits for more than a few of the others.
            let writers = try gateway.on { $0.files.writers }
            for uid in 1...3 as ClosedRange<UInt32> {
                #expect(writers.prefix(24).filter { $0 == uid }.count >= 4, "\(writers)")
            }
        }
    }

    @Test("Held bytes are bounded too, those of half-read records among them")
    func heldBytes() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.holdsWrites = true }
            let data = [UInt8](repeating: 5, count: 1 << 20)
            let clients = try (1...5).map { try RawClient(port: gateway.port, xid: UInt32($0 << 20)) }
            // The senders stand still when their sockets are full: that is the point.
            for client in clients {
                nonisolated(unsafe) let sender = client
                Thread.detachNewThread {
                    for _ in 0..<15 { try? sender.sendRaw(sender.writeMessage(file, data)) }
                }
            }
            #expect(try eventually { try gateway.on { $0.server.load.heldBytes } >= NFSLimits.heldBytes })
            let held = try gateway.on { $0.files.held }
            usleep(200_000)
            let load = try gateway.on { $0.server.load }
            #expect(load.heldBytes <= NFSLimits.heldBytes + (6 << 20))
            #expect(try gateway.on { $0.files.held } <= held + 5)
            try gateway.on { $0.files.release() }
            for client in clients {
                for _ in 0..<15 { #expect(try client.writeStatus() == .ok) }
            }
            #expect(try eventually { try gateway.on { $0.server.load.heldBytes } == 0 })
        }
    }

    @Test("Half-read records that reserve all the room there is can still be finished")
    func allReserved() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            let data = [UInt8](repeating: 5, count: 1 << 20)
            let clients = try (1...70).map { try RawClient(port: gateway.port, xid: UInt32($0 << 20)) }
            var rests: [[UInt8]] = []
            for client in clients {
                let message = client.writeMessage(file, data)
                try client.sendRaw(Array(message.prefix(70_000)))
                rests.append(Array(message.dropFirst(70_000)))
            }
            #expect(try eventually { try gateway.on { $0.server.load.heldBytes } >= NFSLimits.heldBytes })
            for (client, rest) in zip(clients, rests) {
                nonisolated(unsafe) let sender = client
                Thread.detachNewThread { try? sender.sendRaw(rest) }
            }
            for client in clients {
                #expect(try client.writeStatus() == .ok)
            }
            #expect(try eventually { try gateway.on { $0.server.load.heldBytes } == 0 })
        }
    }

    @Test("Half-read records that reserve all the room there is and do not go on give way to others")
    func hoarders() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.server.gateway.hoardLimit = .milliseconds(200) }
            let message = Array(client.writeMessage(file, [UInt8](repeating: 5, count: 1 << 20)).prefix(70_000))
            let clients = try (1...70).map { try RawClient(port: gateway.port, xid: UInt32($0 << 20)) }
            for client in clients { try client.sendRaw(message) }
            #expect(try eventually { try gateway.on { $0.server.load.heldBytes } >= NFSLimits.heldBytes })
            #expect(try client.getattr(file).status == .ok)
            #expect(try gateway.on { $0.server.load.heldBytes } < NFSLimits.heldBytes)
        }
    }

    @Test(
        "A client that takes no answers holds no more than its share, and is closed, whether it asks for more or not",
        arguments: [12, 100])
    func takesNothing(_ count: Int) throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            _ = try client.write(file, [UInt8](repeating: 5, count: 1 << 20))
            let greedy = try RawClient(port: gateway.port)
            for _ in 0..<count {
                try greedy.sendRaw(
                    greedy.message(.nfs3, 6) {
                        NFS3.RangeArguments(file: file, offset: 0, count: 1 << 20).encode(into: &$0)
                    })
            }
            // The socket takes a little more after the connection has stopped, down to half the bound at the most.
            #expect(try eventually { try gateway.on { $0.server.load.heldBytes } > NFSLimits.unsentBytes / 2 })
            let held = try gateway.on { $0.server.load.heldBytes }
            #expect(held <= NFSLimits.heldBytesPerConnection + (3 << 20))
            #expect(try client.getattr(file).status == .ok)
            try gateway.on { $0.server.gateway.stallLimit = .milliseconds(1) }
            #expect(try eventually { try gateway.on { $0.server.load.connections } == 1 })
            #expect(try gateway.on { $0.server.load.heldBytes } == 0)
        }
    }

    @Test("What a connection holds when it dies is given back")
    func connectionDies() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.holdsWrites = true }
            do {
                let doomed = try RawClient(port: gateway.port)
                try doomed.sendRaw(doomed.writeMessage(file, [UInt8](repeating: 1, count: 100_000)))
                #expect(try eventually { try gateway.on { $0.files.held } == 1 })
                let half = doomed.writeMessage(file, [UInt8](repeating: 1, count: 500_000)).prefix(200_000)
                try doomed.sendRaw(Array(half))
                #expect(try eventually { try gateway.on { $0.server.load.heldBytes } > 500_000 })
            }
            #expect(try eventually { try gateway.on { $0.server.load.connections } == 1 })
            #expect(try gateway.on { $0.server.load.heldBytes } < 200_000)
            try gateway.on { $0.files.release() }
            #expect(try gateway.on { $0.server.load } == NFSServer.Load(connections: 1, heldCalls: 0, heldBytes: 0))
        }
    }

    @Test("A connection that says nothing, or stops within a record, is closed; one that has called stays")
    func stalled() throws {
        try session { (gateway, client, root) throws in
            let silent = try RawClient(port: gateway.port)
            let halting = try RawClient(port: gateway.port)
            _ = try halting.getattr(root)
            try halting.sendRaw([0x80, 0, 0])
            #expect(try eventually { try gateway.on { $0.server.load.connections } == 3 })
            try gateway.on { $0.server.gateway.stallLimit = .milliseconds(1) }
            #expect(silent.isClosedByServer())
            #expect(halting.isClosedByServer())
            #expect(try client.getattr(root).status == .ok)
        }
    }

    @Test("When there are too many connections, the one idle longest gives way, and none that is busy")
    func tooManyConnections() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.server.gateway.connectionBound = 2 }
            let idle = try RawClient(port: gateway.port)
            _ = try idle.getattr(root)
            try gateway.on { $0.files.holdsWrites = true }
            try client.sendRaw(client.writeMessage(file, [1]))
            #expect(try eventually { try gateway.on { $0.files.held } == 1 })
            let third = try RawClient(port: gateway.port)
            #expect(try third.getattr(root).status == .ok)
            #expect(idle.isClosedByServer())
            try third.sendRaw(third.writeMessage(file, [1], at: 1))
            #expect(try eventually { try gateway.on { $0.files.held } == 2 })
            let refused = try RawClient(port: gateway.port)
            #expect(refused.isClosedByServer())
            try gateway.on { $0.files.release() }
            for client in [client, third] {
                #expect(try client.writeStatus() == .ok)
            }
        }
    }

    // MARK: Bad input

    @Test(
        "A malformed record ends its connection with a log line and harms no other",
        arguments: [
            [0xff, 0xff, 0xff, 0xff] as [UInt8], [0x80, 0, 0, 4, 1, 2, 3, 4], [0x80, 0, 0, 0],
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [0x80, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2],
        ])
    func malformed(bytes: [UInt8]) throws {
        try session { (gateway, client, root) throws in
            let bad = try RawClient(port: gateway.port)
            try bad.sendRaw(bytes)
            #expect(bad.isClosedByServer())
            #expect(gateway.logLines.contains { $0.hasPrefix("warning: bad input") })
            #expect(try client.getattr(root).status == .ok)
        }
    }

    @Test("Each reject of RFC 5531 is answered, and the connection goes on")
    func rejects() throws {
        try session { (_, client, root) throws in
            let xid = TransactionID(42)
            func reply(_ program: UInt32, _ version: UInt32, _ procedure: UInt32, _ body: [UInt8] = []) throws
                -> RPCReply
            {
                try client.header(
                    client.message(RPCProgram(number: program, version: version), procedure, xid: 42) { $0.fixed(body) }
                )
            }
            #expect(try reply(100_004, 1, 0) == .accepted(xid, .programUnavailable))
            #expect(try reply(100_003, 4, 0) == .accepted(xid, .programMismatch(low: 3, high: 3)))
            #expect(try reply(100_005, 2, 0) == .accepted(xid, .programMismatch(low: 1, high: 3)))
            #expect(try reply(100_003, 3, 22) == .accepted(xid, .procedureUnavailable))
            #expect(try reply(100_005, 1, 1) == .accepted(xid, .procedureUnavailable))
            #expect(try reply(100_003, 3, 1, [0, 0, 0, 99]) == .accepted(xid, .garbageArguments))
            var old = client.message(.nfs3, 0, xid: 42) { _ in }
            old[15] = 3
            #expect(try client.header(old) == .rejected(xid, .rpcMismatch(low: 2, high: 2)))
            #expect(try client.getattr(root).status == .ok)
        }
    }

    @Test("A record in many fragments and bytes one by one is a record")
    func fragments() throws {
        try session { (_, client, root) throws in
            let whole = client.message(.nfs3, 1, xid: 4) { root.encode(into: &$0) }.dropFirst(4)
            var stream: [UInt8] = []
            for (i, byte) in whole.enumerated() {
                stream += [i == whole.count - 1 ? 0x80 : 0, 0, 0, 1, byte]
            }
            for byte in stream { try client.sendRaw([byte]) }
            #expect(try client.receiveResult { try NFS3.GetattrResult(from: &$0) }.status == .ok)
        }
    }

    @Test("Random bytes on the port never harm the server", arguments: 0..<20)
    func garbage(seed: Int) throws {
        try session { (gateway, client, root) throws in
            var random = SplitMix64(seed: UInt64(seed))
            for _ in 0..<10 {
                let bad = try RawClient(port: gateway.port)
                var bytes = (0..<random.below(400)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                if random.below(2) == 0 {
                    var message = bad.message(.nfs3, UInt32(random.below(22))) { root.encode(into: &$0) }
                    message[4 + random.below(message.count - 4)] ^= UInt8(1 + random.below(255))
                    bytes = message + bytes
                }
                try? bad.sendRaw(bytes)
            }
            #expect(try client.getattr(root).status == .ok, "seed \(seed)")
        }
    }

    @Test("Many calls in one read cycle are all answered, in any order of ends")
    func pipelined() throws {
        try session { (_, client, root) throws in
            var stream: [UInt8] = []
            for i in 0..<300 { stream += client.message(.nfs3, 1, xid: UInt32(10_000 + i)) { root.encode(into: &$0) } }
            try client.sendRaw(stream)
            for _ in 0..<300 { #expect(try client.receiveResult { try NFS3.GetattrResult(from: &$0) }.status == .ok) }
        }
    }
}
