import ClusterModel
import Wire

/// A file's row in one group: how many blocks it has there, and its last cut. There is none for a file without either.
struct FileRow: Equatable {
    var blocks: Int64 = 0
    var cut: FileCut?

    var isEmpty: Bool { blocks == 0 && cut == nil }

    private static let format: UInt8 = 2
    /// More than any disk has.
    private static let mostBlocks: Int64 = 1 << 48

    /// Format (1), blocks (8), whether a cut follows (1), the cut.
    func encoded() -> [UInt8] {
        var b: [UInt8] = [FileRow.format]
        b.put(blocks)
        b.append(cut == nil ? 0 : 1)
        if let cut { CutCoding.encode(cut, into: &b) }
        return b
    }

    static func decode(_ bytes: [UInt8]) throws -> FileRow {
        try bytes.withUnsafeBytes {
            var r = WireReader($0)
            let format = try r.u8()
            guard format == FileRow.format else {
                throw LogFormatError(description: "a file's row of format \(format)")
            }
            var row = FileRow(blocks: try r.i64())
            guard 0...FileRow.mostBlocks ~= row.blocks else {
                throw LogFormatError(description: "a file's row that counts \(row.blocks) blocks")
            }
            if try r.u8() == 1 { row.cut = try CutCoding.decode(&r) }
            try r.finish()
            return row
        }
    }

    /// The write that brings the index to this row. Without a cut it has version zero: no listing of changes shows it.
    func write(_ file: FileID, in pg: PGID) -> IndexWrite {
        let key = IndexKey.fileObject(file, in: pg)
        if isEmpty { return .deleteObject(key) }
        return .putObject(
            key,
            IndexRecord(
                group: pg, version: cut?.version ?? .zero, truncation: cut?.truncation.number ?? .zero,
                value: encoded()))
    }
}

/// What a file has in one group.
public struct FileUsage: Hashable, Sendable {
    public enum Standing: Hashable, Sendable {
        /// Nothing is under way that may change it.
        case settled
        /// Entries of the file are not applied yet, or a cut has not been carried to all rows.
        case moving
    }
    /// Present blocks, of 4 KiB; all that is applied is counted.
    public var blocks: Int64
    public var standing: Standing
    public init(blocks: Int64, standing: Standing) {
        self.blocks = blocks
        self.standing = standing
    }
}

/// How a file was cut last.
public struct NewestCut: Hashable, Sendable {
    /// Nil: never.
    public private(set) var truncation: TruncationMark?
    public private(set) var kind: RangeDeletion.Kind

    init(truncation: TruncationMark?, kind: RangeDeletion.Kind) {
        self.truncation = truncation
        self.kind = kind
    }

    /// A removal is the last of all; of truncations the one with the greatest number.
    mutating func add(_ other: TruncationMark, _ otherKind: RangeDeletion.Kind) {
        if kind == .removal || other.number == .zero && otherKind == .truncation { return }
        if otherKind == .truncation, let known = truncation, known.number >= other.number { return }
        truncation = other
        kind = otherKind
    }
}

extension Store {
    /// What a file has in a group; nil if its row has to be read first (`readAgain`).
    public func usage(_ pg: PGID, of file: FileID, token: StoreToken) -> FileUsage? {
        guard let state = hotFile(pg, file, token) else { return nil }
        return FileUsage(blocks: state.blocks, standing: isMoving(state) ? .moving : .settled)
    }

    /// A file's last cut in a group, as of all entries that were appended; nil if its row has to be read first (`readAgain`).
    public func newestCut(_ pg: PGID, of file: FileID, token: StoreToken) -> NewestCut? {
        guard let state = hotFile(pg, file, token) else { return nil }
        var found = NewestCut(truncation: state.cut?.truncation, kind: state.cut?.kind ?? .truncation)
        for i in 0..<state.pg.tail.count {
            switch state.pg.tail[i].entry?.body {
            case .write(let write): if write.object.file == file { found.add(write.truncation, .truncation) }
            case .zero(let zero): if zero.object.file == file { found.add(zero.truncation, .truncation) }
            case .deleteRange(let cut): if cut.file == file { found.add(cut.truncation, cut.kind) }
            case .restate, .empty, .namespace, .scrubMark, nil: break
            }
        }
        return found
    }

    /// Nil: it has been asked for, and the caller is told when it is there.
    private func hotFile(_ pg: PGID, _ file: FileID, _ token: StoreToken) -> FileState? {
        guard phase == .running || phase == .closing else { return nil }
        let group = group(pg)
        if let state = hotFile(group, file) { return state }
        request([ContentKey(object: IndexKey.fileObject(file, in: pg), mebibyte: 0)], group, .caller(token))
        return nil
    }

    private func isMoving(_ state: FileState) -> Bool {
        if state.isPurging || state.pg.row.unpurged.contains(state.file) { return true }
        for i in 0..<state.pg.tail.count {
            switch state.pg.tail[i].entry?.body {
            case .write(let write): if write.object.file == state.file { return true }
            case .zero(let zero): if zero.object.file == state.file { return true }
            case .deleteRange(let deletion): if deletion.file == state.file { return true }
            case .restate(let restatement): if restatement.object.file == state.file { return true }
            case .empty, .namespace, .scrubMark, nil: break
            }
        }
        return false
    }
}
