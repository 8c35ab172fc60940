import ClusterModel
import Replication
import Wire

extension ScrubNote {
    /// `paths`: of the files in which something was found, as far as they are known; `layout`: of a fileset, for the offsets in
    /// its files.
    init(
        _ result: ScrubResult, started: Timestamp, ended: Timestamp, paths: [FileID: FilePath] = [:],
        layout: (FilesetID) -> Layout?
    ) {
        self.started = started
        self.ended = ended
        standing = result.isClean ? .clean : .faulty
        members = result.members
        mended = result.mended.sorted { $0.node < $1.node }.map { Mended(node: $0.node, blocks: $0.blocks) }
        objects = result.objects
        blocks = result.blocks
        rows = result.rows
        unsettled = result.unsettled
        findings = ScrubNote.findings(of: result, paths, layout)
    }

    /// What an operator should know: which file and where.
    private static func findings(
        of result: ScrubResult, _ paths: [FileID: FilePath], _ layout: (FilesetID) -> Layout?
    ) -> [String] {
        func place(_ object: ObjectID, _ block: Int) -> String {
            let offset = layout(object.file.fileset).map {
                "offset \($0.fileOffset(index: object.index, offset: block * Geometry.blockSize))"
            }
            return "\(offset ?? "an unknown offset") of \(object.file.words(paths[object.file]))"
        }
        func names(_ nodes: [NodeID]) -> String { nodes.map { "\($0.rawValue)" }.joined(separator: ", ") }
        var said: [String] = []
        for lost in result.lost {
            for block in lost.blocks {
                said.append(
                    "block \(block) of \(lost.object) does not match its checksum on any replica: "
                        + "\(Geometry.blockSize) bytes at \(place(lost.object, Int(block))) cannot be read")
            }
        }
        for difference in result.differing {
            switch difference.place {
            case .object(let object):
                said.append(
                    "copies of \(object) on nodes \(names(difference.members)) differ from the primary's (the object begins "
                        + "at \(place(object, 0))), though no other block is bad; nothing was changed")
            case .row(let key):
                said.append(
                    "\(row(key)) on nodes \(names(difference.members)) is not the primary's, though both can be read; "
                        + "nothing was changed")
            case .reply(let n):
                said.append(
                    "the reply that is kept of entry \(n) on nodes \(names(difference.members)) is not the primary's, though "
                        + "both can be read; nothing was changed, and a client that asks again may be answered otherwise "
                        + "there")
            case .window(let session):
                said.append(
                    "what is remembered of the last requests of session \(session.rawValue) on nodes "
                        + "\(names(difference.members)) is not what the primary remembers; nothing was changed, and a request "
                        + "that is sent again may be executed twice there, until the session ends with its gateway")
            }
        }
        if !result.relearning.isEmpty {
            said.append("the copies of nodes \(names(result.relearning)) were proven bad, and are made anew")
        }
        let count = result.lost.reduce(0) { $0 + $1.blocks.count } + result.differing.count
        let more = Int(clamping: result.lostCount + result.differingCount) - result.lost.count - result.differing.count
        let shown = said.suffix(StorageLimits.scrubFindings - 1)
        if count > shown.count || more > 0 {
            return said.prefix(StorageLimits.scrubFindings - 1)
                + ["… and more: \(result.lostCount) objects with lost blocks, \(result.differingCount) that differ"]
        }
        return said
    }

    /// What a row of a namespace is of, by its key (docs/design.md, Namespace).
    private static func row(_ key: [UInt8]) -> String {
        func number(at offset: Int) -> UInt64? {
            key.count >= offset + 8 ? key[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) } : nil
        }
        guard let table = key.first, let first = number(at: 1) else { return "a row" }
        return switch table {
        case 1: "the row of inode \(first)"
        case 2: "the entry \"\(String(decoding: key.dropFirst(9), as: UTF8.self))\" of directory \(first)"
        case 3: "a cookie of directory \(first)"
        case 5: "a writer of inode \(number(at: 9) ?? 0)"
        default: "a row of inode \(first)"
        }
    }
}
