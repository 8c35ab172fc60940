import ClusterModel
import Foundation
import GRDB
import Testing

@testable import Coordination

/// What becomes of a store whose file says something else than what was written.
@Suite("Rot in the local store") struct LocalStoreRotTests {
    private func change(_ folder: TestFolder, _ sql: String) throws {
        let queue = try DatabaseQueue(path: folder.store)
        try queue.writeWithoutTransaction { try $0.execute(sql: sql) }
        try queue.close()
    }

    @Test("a value that has rotted comes empty, others as they are, and it is whole again once it was put anew")
    func value() async throws {
        for rot in [
            "UPDATE records SET value = X'6669727374AA' WHERE key = CAST('map' AS BLOB)",
            "UPDATE records SET checksum = checksum + 1 WHERE key = CAST('map' AS BLOB)",
            "UPDATE records SET value = (SELECT value FROM records WHERE key = CAST('pg/d0' AS BLOB)) "
                + "WHERE key = CAST('map' AS BLOB)",
        ] {
            let folder = try TestFolder()
            try folder.create(initial: [.put("map", "first"), .put("pg/d0", "a record")])
            try change(folder, rot)
            let store = try folder.open()
            let all = try await store.read(.prefix(Key("")))
            #expect(all[Key("map")]?.value == [] && all[Key("map")]?.revision == Revision(1), "\(rot)")
            #expect(try await store.value(Key("map")) == "")
            #expect(try await store.value(Key("pg/d0")) == "a record")
            let won = await store.commit([.version("map", .changed(Revision(1)))], [.put("map", "second")])
            #expect(won == .won(Revision(2)))
            #expect(try await store.value(Key("map")) == "second")
            await store.close()
            let again = try folder.open()
            #expect(try await again.value(Key("map")) == "second")
        }
    }

    @Test("a store of an earlier program is taken as it is, and what such a program writes beside this one")
    func earlierProgram() async throws {
        let folder = try TestFolder()
        try folder.create(initial: [.put("map", "first"), .put("pg/d0", "a record")])
        try change(folder, "ALTER TABLE records DROP COLUMN checksum; ALTER TABLE records DROP COLUMN checksumOf")
        let store = try folder.open()
        #expect(try await store.value(Key("map")) == "first")
        #expect(await store.commit([], [.put("map", "second")]) == .won(Revision(2)))
        try change(
            folder,
            "UPDATE records SET value = CAST('third' AS BLOB), revision = 3 WHERE key = CAST('map' AS BLOB); "
                + "UPDATE store SET revision = 3")
        #expect(try await store.value(Key("map")) == "third")
        #expect(try await store.value(Key("pg/d0")) == "a record")
        #expect(await store.commit([], [.put("pg/d0", "another")]) == .won(Revision(4)))
        try change(folder, "UPDATE records SET value = X'00' WHERE key = CAST('pg/d0' AS BLOB)")
        #expect(try await store.value(Key("pg/d0")) == "")
    }

    @Test(
        "a header that went back, or is nothing that anybody wrote, is refused by name",
        arguments: ["revision = 1", "revision = -4", "forgotten = 100", "nextLease = 0", "nextWord = 70000"])
    func header(_ rot: String) async throws {
        let folder = try TestFolder()
        try folder.create(initial: [.put("map", "first")])
        let store = try folder.open()
        #expect(await store.commit([], [.put("map", "second")]) == .won(Revision(2)))
        _ = try await store.takeLease("one")
        await store.close()
        try change(folder, "UPDATE store SET \(rot)")
        do {
            _ = try folder.open()
            Issue.record("opened with \(rot)")
        } catch let error as CoordinationError {
            #expect("\(error)".contains("header has rotted") && "\(error)".contains(folder.store), "\(error)")
        }
    }

    @Test("whatever bits of the file have flipped, the process goes on: it is read, or refused")
    func anyBits() async throws {
        let folder = try TestFolder()
        try folder.create(initial: (0..<40).map { .put("pg/d\($0)", String(repeating: "record \($0) ", count: 40)) })
        let first = try folder.open()
        #expect(await first.commit([], [.put("map", "second"), .delete("pg/d7")]) == .won(Revision(2)))
        _ = try await first.takeLease("one")
        await first.close()
        let whole = try Data(contentsOf: URL(fileURLWithPath: folder.store))
        var random = SplitMix64(state: 0x5354_4156)
        var opened = 0
        for _ in 0..<400 {
            let copy = try TestFolder()
            var bytes = whole
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                // Rows of small tables lie at the ends of their pages: there are the kinds of columns.
                let end = Int.random(in: 1...bytes.count / 4096, using: &random) * 4096
                let place =
                    Bool.random(using: &random)
                    ? end - Int.random(in: 1...96, using: &random) : Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
            try bytes.write(to: URL(fileURLWithPath: copy.store))
            guard let store = try? copy.open() else { continue }
            opened += 1
            _ = try? await store.read(.prefix(Key("")))
            _ = await store.commit(
                [.version("pg/d3", .changed(Revision(1)))], [.put("pg/d3", "new"), .delete("pg/d4")])
            _ = try? await store.takeLease("two")
            _ = try? await store.leases()
            await store.close()
        }
        #expect(opened > 50)
    }
}
