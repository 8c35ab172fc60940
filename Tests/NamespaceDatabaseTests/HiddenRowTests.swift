import DiskIO
import Foundation
import Namespace
import Testing

/// Rot in keys, and in the index of versions: nothing that is asked passes a row by because of it.
@Suite struct HiddenRowTests {
    @Test(
        "a row whose key has rotted is told to whoever asks for it, for a range around it or for changes",
        arguments: [Rot(byte: 0, xor: 0x01), Rot(byte: 0, xor: 0xFE), Rot(byte: 5, xor: 0x40), Rot(byte: 8, xor: 0x01)])
    func key(rot: Rot) throws {
        let file = try DatabaseFile()
        for row in stride(from: 2, to: DatabaseFile.count - 1, by: 29) {
            let (folder, rows) = try file.open { $0.spoil(.table, row, rot) }
            func isTold(_ what: String, _ read: () throws -> Void) {
                let error = #expect(throws: DiskError.self, "row \(row), \(what)") { try read() }
                #expect(error?.isDamage == true, "row \(row), \(what): \(String(describing: error))")
            }
            let key = DatabaseFile.key(row)
            isTold("by its key") { _ = try rows.value(of: key) }
            isTold("alone in a range") { _ = try rows.rows(from: key, below: DatabaseFile.key(row + 1), limit: 9) }
            isTold("in all rows") { _ = try rows.rows(from: .least, below: .greatest, limit: .max) }
            isTold("in pages of rows") { try DatabaseFile.readRows(rows) }
            isTold("in pages of changes") { try DatabaseFile.readChanges(rows) }
            isTold("in a digest") { _ = try RowDigest(rows) }
            #expect(!folder.folder.health.hasFailed)
        }
    }

    @Test(
        "a row that the index of versions has under another key or version is told to whoever exports or compares",
        arguments: [
            Rot(byte: 0, xor: 0x01), Rot(byte: 0, xor: 0xFE), Rot(byte: 8, xor: 0x01), Rot(byte: -1, xor: 0x01),
            Rot(byte: -1, xor: 0x80),
        ])
    func index(rot: Rot) throws {
        let file = try DatabaseFile()
        for row in stride(from: 2, to: DatabaseFile.count - 1, by: 29) {
            let (folder, rows) = try file.open { $0.spoil(.index, row, rot) }
            for read in [
                { try DatabaseFile.readChanges(rows) },
                { _ = try rows.changes(after: .after(version: 0), limit: .max) },
                { _ = try RowDigest(rows, from: .least, limit: DatabaseFile.count) },
            ] as [() throws -> Void] {
                let error = #expect(throws: DiskError.self, "row \(row)") { try read() }
                #expect(error?.isDamage == true, "row \(row): \(String(describing: error))")
            }
            #expect(try rows.value(of: DatabaseFile.key(row)) == DatabaseFile.value(row))
            #expect(!folder.folder.health.hasFailed)
        }
    }

    @Test("what has not rotted is found, and what is not there is not") func whole() throws {
        let (_, rows) = try DatabaseFile().open { _ in }
        try DatabaseFile.readRows(rows)
        try DatabaseFile.readChanges(rows)
        _ = try RowDigest(rows, from: .least, limit: 1000)
        for row in 0..<DatabaseFile.count {
            #expect(try rows.value(of: DatabaseFile.key(row)) == DatabaseFile.value(row))
            #expect(try rows.value(of: NamespaceKey(bytes: DatabaseFile.key(row).bytes + [0])) == nil)
        }
    }

    /// A byte of a key, or the one before it, and what is changed in it.
    struct Rot: Sendable, CustomTestStringConvertible {
        var byte: Int
        var xor: UInt8
        var testDescription: String { "byte \(byte) ^ \(xor)" }
    }
}

/// The bytes of a database with rows in several pages.
private struct DatabaseFile {
    enum Place {
        case table
        case index
    }

    static let count = 600
    private(set) var bytes: [UInt8]

    static func key(_ row: Int) -> NamespaceKey { NamespaceKey(bytes: [1] + Array("row-\(1000 + row)".utf8)) }
    static func value(_ row: Int) -> [UInt8] { Array("value-\(1000 + row)".utf8) }

    init() throws {
        let temporary = try TemporaryFolder()
        do {
            let rows = try NamespaceDatabase(in: temporary.folder, name: "m1", .new)
            // Versions of two bytes, in another order than the keys.
            for i in 0..<DatabaseFile.count {
                let row = i * 7 % DatabaseFile.count
                try rows.put(DatabaseFile.key(row), DatabaseFile.value(row), version: UInt64(1000 + 2 * i))
            }
            try rows.commit()
            try rows.database.passiveCheckpoint()
        }
        bytes = Array(try Data(contentsOf: URL(fileURLWithPath: temporary.path + "/m1")))
    }

    /// Changes the bytes of a row in the table or in the index; those in free parts of pages, too, which count for nothing.
    mutating func spoil(_ place: Place, _ row: Int, _ rot: HiddenRowTests.Rot) {
        let (key, value) = (DatabaseFile.key(row).bytes, DatabaseFile.value(row))
        var found = 0
        for i in 1..<bytes.count - 64
        where bytes[i] == key[0] && bytes[i..<i + key.count].elementsEqual(key) {
            // A version lies between a key and its value.
            let end = i + key.count + 2
            let isTable = bytes[end..<end + value.count].elementsEqual(value)
            guard isTable == (place == .table) else { continue }
            bytes[i + rot.byte] ^= rot.xor
            found += 1
        }
        precondition(found > 0, "row \(row) lies in the file")
    }

    /// The database with other bytes, in a folder of its own.
    func open(_ change: (inout DatabaseFile) -> Void) throws -> (TemporaryFolder, NamespaceDatabase) {
        var changed = self
        change(&changed)
        let temporary = try TemporaryFolder()
        try Data(changed.bytes).write(to: URL(fileURLWithPath: temporary.path + "/m1"))
        return (temporary, try NamespaceDatabase(in: temporary.folder, name: "m1", .existing))
    }

    /// All rows in pages; an error if one is missing.
    static func readRows(_ rows: NamespaceDatabase) throws {
        var (next, found) = (NamespaceKey.least, 0)
        while true {
            let page = try rows.rows(from: next, below: .greatest, limit: 7)
            found += page.count
            guard let last = page.last else { break }
            next = NamespaceKey(bytes: last.key.bytes + [0])
        }
        #expect(found == count)
    }

    /// All changes in pages; an error if one is missing.
    static func readChanges(_ rows: NamespaceDatabase) throws {
        var (position, found) = (ChangePosition.after(version: 0), 0)
        while true {
            let page = try rows.changes(after: position, limit: 7)
            found += page.count
            guard let last = page.last else { break }
            position = ChangePosition(version: last.version, key: last.key)
        }
        #expect(found == count)
    }
}
