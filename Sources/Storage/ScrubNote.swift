import ClusterModel
import Wire

/// What the coordination store keeps of a group's last scrub that came to its end: so that it is not forgotten with the node
/// that led it, and the next one comes in time.
public struct ScrubNote: Hashable, Sendable {
    /// Wall-clock times.
    public var started: Timestamp
    public var ended: Timestamp
    public var standing: Standing
    /// Who took part from the beginning to the end, and whose bad blocks were mended.
    public var members: [NodeID]
    public var mended: [Mended]
    /// Objects that all members held alike, blocks with content of one copy, rows of a metadata group.
    public var objects: UInt64
    public var blocks: UInt64
    public var rows: UInt64
    /// Objects and ranges of rows that changed too often to be compared.
    public var unsettled: UInt64
    /// What is wrong, for people.
    public var findings: [String]

    public enum Standing: UInt8, Hashable, Sendable {
        /// All copies held and agreed.
        case clean = 1
        case faulty = 2
    }

    public struct Mended: Hashable, Sendable {
        public var node: NodeID
        public var blocks: UInt64
    }

    private static let format: UInt8 = 1

    func encoded() -> [UInt8] {
        wireBytes { w in
            w.u8(ScrubNote.format)
            w.i64(started.nanoseconds)
            w.i64(ended.nanoseconds)
            w.u8(standing.rawValue)
            w.list(members) { $0.u16($1.rawValue) }
            w.list(mended) {
                $0.u16($1.node.rawValue)
                $0.u64($1.blocks)
            }
            for count in [objects, blocks, rows, unsettled] { w.u64(count) }
            // Paths may be longer than what is read again.
            w.list(findings.prefix(StorageLimits.scrubFindings).map(ScrubNote.shortened)) { $0.string($1) }
        }
    }

    /// At most `StorageLimits.scrubFinding` bytes of it, whole characters.
    static func shortened(_ text: String) -> String {
        guard text.utf8.count > StorageLimits.scrubFinding else { return text }
        let mark = "…"
        var kept = text
        while kept.utf8.count > StorageLimits.scrubFinding - mark.utf8.count { kept.removeLast() }
        return kept + mark
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        self = try decodeWhole(bytes) { r throws(WireError) in try ScrubNote(from: &r) }
    }

    private init(from r: inout WireReader) throws(WireError) {
        let format = try r.u8()
        if format != ScrubNote.format {
            throw WireError("a scrub's record of format \(format); this program knows \(ScrubNote.format)")
        }
        started = Timestamp(nanoseconds: try r.i64())
        ended = Timestamp(nanoseconds: try r.i64())
        guard let standing = Standing(rawValue: try r.u8()) else { throw WireError("an unknown outcome of a scrub") }
        self.standing = standing
        members = try r.list(atMost: 64, elementBytes: 2) { r throws(WireError) in NodeID(try r.u16()) }
        mended = try r.list(atMost: 64, elementBytes: 10) { r throws(WireError) in
            Mended(node: NodeID(try r.u16()), blocks: try r.u64())
        }
        objects = try r.u64()
        blocks = try r.u64()
        rows = try r.u64()
        unsettled = try r.u64()
        findings = try r.list(atMost: StorageLimits.scrubFindings, elementBytes: 4) { r throws(WireError) in
            try r.string(atMost: StorageLimits.scrubFinding)
        }
    }
}
