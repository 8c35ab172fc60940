import ClusterModel
import ONCRPC
import Testing

@testable import NFS

@Suite(.serialized) struct WriteRunTests {
    private func writes(_ gateway: TestGateway) throws -> Int { try gateway.on { $0.files.executed["write"] ?? 0 } }

    @Test("WRITEs that touch and arrive together are one write, each with its own answer")
    func merged() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            var stream: [UInt8] = []
            var content: [UInt8] = []
            for i in 0..<8 {
                let piece = [UInt8](repeating: UInt8(i + 1), count: 1000 + i)
                stream += client.writeMessage(file, piece, at: UInt64(content.count))
                content += piece
            }
            try client.sendRaw(stream)
            for i in 0..<8 {
                let written = try client.receiveResult { try NFS3.WriteResult(from: &$0) }.success
                #expect(written?.count == UInt32(1000 + i))
            }
            #expect(try writes(gateway) == 1)
            #expect(try client.read(file, count: 1 << 20).1 == content)
        }
    }

    @Test("WRITEs with a gap, of other files, users or durability, and great ones stay apart")
    func apart() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            let other = try client.made(root, "b")
            let piece = [UInt8](repeating: 1, count: 100)
            let great = [UInt8](repeating: 1, count: NFSLimits.mergedPartBytes + 1)
            var stream = client.writeMessage(file, piece, at: 0)
            stream += client.writeMessage(file, piece, at: 101)
            stream += client.writeMessage(other, piece, at: 201)
            stream += client.writeMessage(other, piece, at: 301, .fileSync)
            client.credential = RawClient.sys("host", uid: 0, gid: 7)
            stream += client.writeMessage(other, piece, at: 401, .fileSync)
            stream += client.writeMessage(other, great, at: 501, .fileSync)
            stream += client.writeMessage(other, piece, at: 501, .fileSync)
            try client.sendRaw(stream)
            for _ in 0..<7 { #expect(try client.writeStatus() == .ok) }
            #expect(try writes(gateway) == 7)
        }
    }

    @Test("Another call between two WRITEs that touch finds the first one done")
    func order() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            let stream =
                client.writeMessage(file, [1, 2, 3], at: 0)
                + client.message(.nfs3, 6) { NFS3.RangeArguments(file: file, offset: 0, count: 10).encode(into: &$0) }
                + client.writeMessage(file, [4], at: 3)
            try client.sendRaw(stream)
            _ = try client.receiveResult { try NFS3.WriteResult(from: &$0) }
            let read = try client.receiveResult { try NFS3.ReadResult(from: &$0) }
            #expect(read.success?.dataCount == 3)
            _ = try client.receiveResult { try NFS3.WriteResult(from: &$0) }
            #expect(try writes(gateway) == 2)
        }
    }

    @Test("A failure is told to every part, and a write that waits alone is not delayed")
    func failure() throws {
        try session { (gateway, client, root) throws in
            let file = try client.made(root, "a")
            try gateway.on { $0.files.failure = .namespace(.noSpace) }
            try client.sendRaw(client.writeMessage(file, [1], at: 0) + client.writeMessage(file, [2], at: 1))
            for _ in 0..<2 { #expect(try client.writeStatus() == .noSpace) }
            try gateway.on { $0.files.failure = nil }
            #expect(try client.write(file, [1]).status == .ok)
        }
    }
}
