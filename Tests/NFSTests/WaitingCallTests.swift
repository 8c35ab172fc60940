import ClusterModel
import Filesystem
import Foundation
import NIOCore
import ONCRPC
import Testing
import Wire

@testable import NFS

/// Calls that storage does not answer yet: who comes again joins them, who waits long is sent away, who goes is not waited for
/// (replication.md, 19).
@Suite(.serialized) struct WaitingCallTests {
    @Test("A WRITE that comes again while it is under way is joined, not run, also on another connection")
    func joined() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.holdsWrites = true }
            let message = client.writeMessage(file, [1, 2, 3, 4], xid: 500)
            try client.sendRaw(message)
            try client.sendRaw(message)
            let other = try RawClient(port: gateway.port)
            try other.sendRaw(message)
            let stamped = try RawClient(port: gateway.port, credential: RawClient.sys("host", stamp: 99))
            try stamped.sendRaw(stamped.writeMessage(file, [1, 2, 3, 4], xid: 500))
            let different = try RawClient(port: gateway.port)
            try different.sendRaw(different.writeMessage(file, [9, 9, 9, 9], xid: 500))
            let someoneElse = try RawClient(port: gateway.port, credential: RawClient.sys("host", uid: 5))
            try someoneElse.sendRaw(someoneElse.writeMessage(file, [1, 2, 3, 4], xid: 500))
            for client in [client, other, stamped, different, someoneElse] { try client.barrier() }
            #expect(try gateway.on { $0.files.held } == 3)
            #expect(try gateway.on { $0.files.executed["write"] } == 3)
            try gateway.on { $0.files.release() }
            for client in [client, other, stamped, different] {
                #expect(try client.writeStatus() == .ok)
            }
            // The connection that sent it twice gets one answer: the next is of the next call.
            #expect(try client.getattr(file).status == .ok)
        }
    }

    @Test("Nobody wants what a client left that has gone, unless it waits on another connection, or comes again")
    func abandoned() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.holdsWrites = true }
            let message = client.writeMessage(file, [1, 2, 3, 4], xid: 500)
            var clients: [RawClient] = try [RawClient(port: gateway.port), RawClient(port: gateway.port)]
            for one in clients {
                try one.sendRaw(message)
                try one.barrier()
            }
            try client.sendRaw(client.writeMessage(file, [5, 6, 7, 8], xid: 501))
            try client.barrier()
            func connections() throws -> Int { try gateway.on { $0.server.gateway.connectionCount } }
            let before = try connections()
            clients.removeFirst()
            #expect(try eventually { try connections() == before - 1 })
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            clients.removeFirst()
            #expect(try eventually { try gateway.on { $0.files.heldForNobody } == 1 })
            // Once more, on a new connection.
            let again = try RawClient(port: gateway.port)
            try again.sendRaw(message)
            try again.barrier()
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            #expect(try gateway.on { $0.files.executed["write"] } == 2)
            try gateway.on { $0.files.release() }
            for one in [client, again] {
                #expect(try one.writeStatus() == .ok)
            }
        }
    }

    @Test("Who was sent away and closes the connection is not expected back; who comes all the same finds the call")
    func sentAwayAndGone() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.sendAway(.writes)
            var gone: RawClient? = try RawClient(port: gateway.port)
            try gone?.sendRaw(client.writeMessage(file, [1], xid: 600))
            #expect(try gone?.writeStatus() == .jukebox)
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            gone = nil
            #expect(try eventually { try gateway.on { $0.files.heldForNobody } == 1 })
            // Comes back on another connection, is sent away there, and goes for good.
            var back: RawClient? = try RawClient(port: gateway.port)
            try back?.sendRaw(client.writeMessage(file, [1], xid: 601))
            try back?.barrier()
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            back = nil
            #expect(try eventually { try gateway.on { $0.files.heldForNobody } == 1 })
            try gateway.on { $0.server.gateway.patience = .seconds(1000) }
            try client.sendRaw(client.writeMessage(file, [1], xid: 602))
            try client.barrier()
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            try gateway.on { $0.files.release() }
            #expect(try client.writeStatus() == .ok)
            #expect(try gateway.on { $0.files.executed["write"] } == 1)
        }
    }

    @Test("Who was sent away and does not come again in time is not expected any more, though its connection lives")
    func overdue() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.sendAway(.writes)
            try client.sendRaw(client.writeMessage(file, [1], xid: 600))
            #expect(try client.writeStatus() == .jukebox)
            try gateway.on {
                $0.server.gateway.patience = .seconds(1000)
                $0.server.gateway.tick()
            }
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            try gateway.on {
                $0.server.gateway.returnPatience = .zero
                $0.server.gateway.tick()
            }
            #expect(try gateway.on { $0.files.heldForNobody } == 1)
            try client.sendRaw(client.writeMessage(file, [1], xid: 601))
            try client.barrier()
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            try gateway.on { $0.files.release() }
            #expect(try client.writeStatus() == .ok)
        }
    }

    @Test("Who was sent away is expected for as long as the gateway does not read what may be its return")
    func notRead() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on {
                $0.files.holdsWrites = true
                $0.server.gateway.patience = .zero
                $0.server.gateway.returnPatience = .zero
                $0.server.gateway.admission = Admission(callBound: 1)
            }
            try client.sendRaw(client.writeMessage(file, [1], xid: 600) + client.writeMessage(file, [1], xid: 601))
            #expect(try client.writeStatus() == .jukebox)
            for _ in 0..<3 { try gateway.on { $0.server.gateway.tick() } }
            #expect(try gateway.on { $0.files.heldForNobody } == 0)
            try gateway.on {
                $0.server.gateway.patience = .seconds(1000)
                $0.files.release()
            }
            #expect(try client.writeStatus() == .ok)
        }
    }

    @Test("A client that waits long is sent away, its return is joined to the call, and libnfs is never sent away")
    func sentAway() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.sendAway(.all)
            let libnfs = try RawClient(port: gateway.port, credential: RawClient.sys("libnfs"))
            try libnfs.sendRaw(libnfs.writeMessage(file, [7], at: 100))
            try client.sendRaw(client.writeMessage(file, [1], xid: 600))
            #expect(try client.writeStatus() == .jukebox)
            // Returns under a new xid, as clients do.
            try gateway.on { $0.server.gateway.patience = .seconds(1000) }
            try client.sendRaw(client.writeMessage(file, [1], xid: 601))
            try client.barrier()
            #expect(try gateway.on { $0.files.held } == 2)
            try gateway.on { $0.files.release() }
            #expect(try client.writeStatus() == .ok)
            #expect(try libnfs.writeStatus() == .ok)
            #expect(try gateway.on { $0.files.executed["write"] } == 2)
        }
    }

    @Test("A COMMIT that comes while one that was sent away still runs flushes by itself")
    func commitsAnew() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.sendAway(.all)
            #expect(try client.commit(file).status == .jukebox)
            let before = try gateway.on { $0.files.held }
            #expect(try client.commit(file).status == .jukebox)
            #expect(try gateway.on { $0.files.held } == before + 1)
            try gateway.on { $0.files.release() }
        }
    }

    @Test("On an export whose clients are as libnfs, nobody is sent away, and losses are told as errors")
    func blindExport() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.setExports([TestGateway.export(gateway.images, verifierBlind: true)])
            _ = try client.write(file, [1])
            try gateway.sendAway(.all)
            try client.sendRaw(client.writeMessage(file, [1]))
            #expect(try eventually { try gateway.on { $0.files.held } == 1 })
            try gateway.on { $0.server.gateway.tick() }
            try gateway.on {
                $0.files.release()
                $0.files.commitStamp = LossNumber(2)
            }
            #expect(try client.writeStatus() == .ok)
            #expect(try client.commit(file).status == .io)
            #expect(try client.commit(file).status == .ok)
        }
    }

    @Test("Who was sent away and returns after the call has ended gets its answer, if it may be executed once only")
    func returnsLate() throws {
        try session { (gateway, client, root) throws in
            try gateway.sendAway(.all)
            let guarded = NFS3.CreateMode.guarded(NFS3.SetAttributes())
            #expect(try client.create(root, "late", guarded, xid: 700).status == .jukebox)
            try gateway.on { $0.files.release() }
            #expect(try client.create(root, "late", guarded, xid: 701).status == .ok)
            #expect(try client.create(root, "late", guarded, xid: 702).status == .exists)
        }
    }
}
