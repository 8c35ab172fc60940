import ClusterModel
import ONCRPC
import Testing
import Wire

@testable import NFS

@Suite(.serialized) struct DirectoryTests {
    private func readdir(
        _ client: RawClient, _ root: NFS3.FileHandle, from cookie: UInt64, count: UInt32
    ) throws -> NFS3.ReaddirResult {
        try client.nfs(
            .readdir,
            NFS3.ReaddirArguments(directory: root, cookie: cookie, verifier: NFS3.Verifier(0), count: count),
            as: NFS3.ReaddirResult.self)
    }

    private func readdirplus(
        _ client: RawClient, _ root: NFS3.FileHandle, from cookie: UInt64, names: UInt32, count: UInt32
    ) throws -> NFS3.ReaddirplusResult {
        try client.nfs(
            .readdirplus,
            NFS3.ReaddirplusArguments(
                directory: root, cookie: cookie, verifier: NFS3.Verifier(0), directoryCount: names, maximumCount: count),
            as: NFS3.ReaddirplusResult.self)
    }

    @Test(
        "READDIR tells . and .. and every name once, in answers never greater than asked", arguments: [150, 512, 4096])
    func wholeListing(count: UInt32) throws {
        try session { (gateway, client, root) throws in
            let names = (0..<60).map { "file-\($0)" + String(repeating: "x", count: $0 % 7) }
            for name in names { _ = try client.made(root, name) }
            var seen: [String] = []
            var cookie: UInt64 = 0
            while true {
                let result = try readdir(client, root, from: cookie, count: count)
                let page = try #require(result.success)
                var writer = XDRWriter()
                result.encode(into: &writer)
                #expect(writer.count - 4 <= Int(count))
                seen += page.entries.map { String(decoding: $0.name, as: UTF8.self) }
                if page.endOfDirectory { break }
                cookie = try #require(page.entries.last).cookie
            }
            #expect(seen == [".", ".."] + names)
        }
    }

    @Test("The listing of an export's root tells itself as its parent")
    func rootParent() throws {
        try session { (gateway, client, root) throws in
            let page = try #require(try readdir(client, root, from: 0, count: 4096).success)
            #expect(page.entries.map(\.fileID) == [gateway.images.inode.rawValue, gateway.images.inode.rawValue])
        }
    }

    @Test("Who may read a directory lists it, though he may not search it")
    func readableOnly() throws {
        let gateway = try TestGateway()
        defer { gateway.stop() }
        let owner = try RawClient(port: gateway.port)
        let root = try owner.mounted()
        let name = NFS3.NameArguments(directory: root, name: Array("listed".utf8))
        let made = try owner.nfs(
            .mkdir, NFS3.MkdirArguments(place: name, attributes: NFS3.SetAttributes(mode: 0o444)),
            as: NFS3.CreateResult.self)
        let directory = try #require(made.success?.file)
        _ = try owner.made(directory, "a")
        let reader = try RawClient(port: gateway.port, credential: RawClient.sys("host", uid: 5, gid: 5))
        let page = try #require(try readdir(reader, directory, from: 0, count: 4096).success)
        #expect(page.entries.map { String(decoding: $0.name, as: UTF8.self) } == [".", "..", "a"])
        #expect(try #require(page.entries.dropFirst().first).fileID == gateway.images.inode.rawValue)
        #expect(try readdirplus(reader, directory, from: 0, names: 4096, count: 8192).success?.entries.count == 3)
    }

    @Test("Names that come and go do not change what is told of those that stay")
    func churn() throws {
        try session { (_, client, root) throws in
            for i in 0..<30 { _ = try client.made(root, "stays-\(i)") }
            var seen: [String] = []
            var cookie: UInt64 = 0
            var round = 0
            while true {
                let page = try #require(try readdir(client, root, from: cookie, count: 300).success)
                seen += page.entries.map { String(decoding: $0.name, as: UTF8.self) }
                if page.endOfDirectory { break }
                cookie = try #require(page.entries.last).cookie
                // The entry that the cookie names may go, and new ones may come.
                let last = try #require(seen.last)
                if last.hasPrefix("goes") {
                    let place = NFS3.NameArguments(directory: root, name: Array(last.utf8))
                    _ = try client.nfs(.remove, place, as: NFS3.CacheResult.self)
                }
                if round < 20 { _ = try client.made(root, "goes-\(round)") }
                round += 1
            }
            #expect(seen.filter { $0.hasPrefix("stays") }.count == 30)
            #expect(Set(seen).count == seen.count)
        }
    }

    @Test("An answer that cannot hold one entry is TOOSMALL")
    func tooSmall() throws {
        try session { (_, client, root) throws in
            _ = try client.made(root, "a")
            #expect(try readdir(client, root, from: 0, count: 100).status == .tooSmall)
            #expect(try readdirplus(client, root, from: 0, names: 4096, count: 100).status == .tooSmall)
            let file = try client.made(root, "f")
            #expect(try readdir(client, file, from: 0, count: 4096).status == .notDirectory)
        }
    }

    @Test("READDIRPLUS gives handles that work, is bounded by both counts, and never has more than 512 entries")
    func plus() throws {
        try session { (gateway, client, root) throws in
            try gateway.on { parts in
                for i in 0..<700 {
                    guard let name = FileName("n\(i)") else { continue }
                    parts.files.create(
                        .init(credentials: .superuser),
                        in: try #require(parts.files.nodes[MemoryFilesystem.root]?.entries.first?.file), name: name,
                        file: .regular(.unchecked), attributes: AttributeChanges()
                    ) { _ in }
                }
            }
            let whole = try #require(try readdirplus(client, root, from: 0, names: 1 << 20, count: 1 << 20).success)
            #expect(whole.entries.count == 512 && !whole.endOfDirectory)
            let entry = whole.entries[2]
            let file = try #require(entry.file)
            let attributes = try #require(try client.getattr(file).success)
            #expect(attributes == entry.attributes)
            let few = try #require(try readdirplus(client, root, from: 2, names: 100, count: 1 << 20).success)
            #expect(few.entries.count == 4)
            let result = try readdirplus(client, root, from: 2, names: 1 << 20, count: 1000)
            var writer = XDRWriter()
            result.encode(into: &writer)
            #expect(writer.count - 4 <= 1000 && (result.success?.entries.count ?? 0) >= 4)
        }
    }
}
