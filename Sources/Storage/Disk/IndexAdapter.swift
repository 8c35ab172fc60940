import ClusterModel
import Store

import enum DiskIO.ChunkKind
import struct DiskIO.DiskError
import enum DiskIO.IndexChange
import class DiskIO.IndexRows
import enum DiskIO.MetaKey
import struct DiskIO.ObjectRow
import struct DiskIO.RowKey

/// The store's rows in the index's tables. Runs on the index's thread.
enum IndexAdapter {
    static func load(_ keys: [IndexKey], from index: IndexRows) throws(DiskError) -> [IndexRecord?] {
        var loaded: [IndexRecord?] = []
        loaded.reserveCapacity(keys.count)
        for key in keys {
            switch key {
            case .content(let content):
                let value = try index.row(row(content))
                loaded.append(value.map { IndexRecord(value: $0) })
            case .object(let object):
                loaded.append(try index.object(object).map(record))
            }
        }
        return loaded
    }

    static func scan(_ scan: IndexScan, in index: IndexRows) throws(DiskError) -> IndexScanResult {
        switch scan {
        case .opening: try opening(index)
        case .objects(let file, let from, let limit):
            .objects(
                try index.objects(
                    in: ObjectID(file: file, index: from)...ObjectID(file: file, index: UInt64(Int64.max)), limit: limit
                )
                .rows.map { ($0.object, record($0)) })
        case .fileset(let from, let limit):
            .objects(
                try index.objects(in: from...ObjectID.end(of: from.file.fileset), limit: limit)
                    .rows.map { ($0.object, record($0)) })
        case .filesets: .filesets(try filesets(index))
        case .changed(let group, let version, let object, let limit):
            .objects(
                try index.changed(
                    in: group, after: IndexRows.ChangePosition(version: version, object: object), limit: limit
                )
                .rows.map { ($0.object, record($0)) })
        }
    }

    /// One step of the index for each fileset, however many rows it has.
    private static func filesets(_ index: IndexRows) throws(DiskError) -> [FilesetID] {
        var found: [FilesetID] = []
        var from = ObjectID(file: FileID(fileset: FilesetID(0), inode: InodeNumber(0)), index: 0)
        while let first = try index.objects(in: from...ObjectID.end(of: FilesetID(.max)), limit: 1).rows.first {
            let fileset = first.object.file.fileset
            found.append(fileset)
            guard fileset.rawValue < .max else { break }
            from = ObjectID(file: FileID(fileset: FilesetID(fileset.rawValue + 1), inode: InodeNumber(0)), index: 0)
        }
        return found
    }

    private static func opening(_ index: IndexRows) throws(DiskError) -> IndexScanResult {
        var map: [(piece: Int, value: [UInt8])] = []
        var piece: UInt64? = 0
        while let from = piece {
            let page = try index.chunks(.allocation, from: from, limit: 1024)
            map += page.rows.map { (Int(clamping: $0.number), $0.value) }
            piece = page.next
        }
        var groups: [(PGID, [UInt8])] = []
        var group: PGID? = PGID(rawValue: 0)
        while let from = group {
            let page = try index.groups(from: from, limit: 1024)
            groups += page.rows.map { ($0.group, $0.value) }
            group = page.next
        }
        return .opening(meta: try index.meta(.storeState), map: map, groups: groups, tables: try tables(index))
    }

    // Tables may be long: they lie in pieces of 60 KiB, numbered group × 65,536 + piece; the first begins with the whole length.
    private static let piece = 60 << 10

    private static func tables(_ index: IndexRows) throws(DiskError) -> [(PGID, [UInt8])] {
        var found: [(PGID, [UInt8])] = []
        var next: UInt64? = 0
        while let from = next {
            let page = try index.chunks(.groupTables, from: from, limit: 256)
            for (number, value) in page.rows {
                let pg = PGID(rawValue: UInt32(truncatingIfNeeded: number >> 16))
                if number & 0xffff == 0 {
                    found.append((pg, value))
                } else if found.last?.0 == pg {
                    found[found.count - 1].1 += value
                }
            }
            next = page.next
        }
        // Pieces beyond the length are left from longer tables.
        return found.compactMap { pg, bytes in
            guard bytes.count >= 4 else { return nil }
            let length = bytes.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) }
            return length <= bytes.count - 4 ? (pg, Array(bytes[4..<4 + length])) : nil
        }
    }

    private static func tables(_ pg: PGID, _ bytes: [UInt8]) -> [IndexChange] {
        let whole = withUnsafeBytes(of: UInt32(bytes.count).littleEndian) { Array($0) } + bytes
        return stride(from: 0, to: whole.count, by: piece).enumerated().map { i, from in
            .putChunk(
                .groupTables, number: UInt64(pg.rawValue) << 16 | UInt64(i),
                Array(whole[from..<min(from + piece, whole.count)]))
        }
    }

    /// A write's changes; several for long tables.
    static func changes(_ write: IndexWrite) -> [IndexChange] {
        switch write {
        case .putTables(let pg, let bytes): tables(pg, bytes)
        case .deleteGroup(let pg):
            [
                change(write),
                .deleteChunks(
                    .groupTables, numbers: UInt64(pg.rawValue) << 16...UInt64(pg.rawValue) << 16 | 0xffff),
            ]
        case .putContent, .deleteContent, .putObject, .deleteObject, .putGroup, .putMap, .putMeta: [change(write)]
        }
    }

    private static func change(_ write: IndexWrite) -> IndexChange {
        switch write {
        case .putTables: preconditionFailure("tables are several changes")
        case .putContent(let key, let value): .putRow(row(key), value)
        case .deleteContent(let key): .deleteRow(row(key))
        case .putObject(let object, let record):
            .putObject(
                ObjectRow(
                    object: object, group: record.group, version: record.version, truncation: record.truncation,
                    value: record.value))
        case .deleteObject(let object): .deleteObject(object)
        case .putGroup(let group, let value): .putGroup(group, value)
        case .deleteGroup(let group): .deleteGroup(group)
        case .putMap(let piece, let value): .putChunk(.allocation, number: UInt64(piece), value)
        case .putMeta(let value): .putMeta(.storeState, value)
        }
    }

    private static func row(_ key: ContentKey) -> RowKey { RowKey(object: key.object, mebibyte: key.mebibyte) }

    private static func record(_ row: ObjectRow) -> IndexRecord {
        IndexRecord(group: row.group, version: row.version, truncation: row.truncation, value: row.value)
    }
}

extension ObjectID {
    /// After every object that a fileset can have in the index.
    fileprivate static func end(of fileset: FilesetID) -> ObjectID {
        ObjectID(file: FileID(fileset: fileset, inode: InodeNumber(UInt64(Int64.max))), index: UInt64(Int64.max))
    }
}
