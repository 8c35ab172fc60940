import ClusterModel

/// A question of a group's primary to its in-sync members, itself included: what do you hold (replication.md, 17)?
public struct ScrubAsk: Hashable, Sendable {
    /// The primary's number; comes back with the answer.
    public var request: UInt64
    /// The scrub mark as of which the answer is wanted. It follows this message in the log; `.zero`: as of any entry.
    public var mark: EntryName
    public var part: Part

    public enum Part: Hashable, Sendable {
        /// A page of the objects that the member knows, by (version, object), from behind this one on; nil at the beginning.
        case names(after: ScrubName?)
        /// What these objects hold.
        case objects([ObjectID], ScrubDepth)
        /// Of a metadata group: at most so many rows, from this key on. Keys from `ScrubAsk.replies` on stand for kept replies.
        case rows(from: [UInt8], limit: UInt16)
        /// What is remembered of the recent requests of each session.
        case windows
    }

    /// Before the number of its entry, eight bytes: the key of a kept reply. No table of a namespace has this number.
    public static let replies: UInt8 = 0xff

    public static func replyKey(_ n: UInt64) -> [UInt8] {
        [replies] + (0..<8).map { UInt8(truncatingIfNeeded: n >> (56 - 8 * UInt64($0))) }
    }

    /// The entry behind which the replies from this key on lie.
    public static func entry(before key: [UInt8]) -> UInt64 {
        let n = key.dropFirst().prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return key.count > 9 || n == 0 ? n : n - 1
    }

    public init(request: UInt64, mark: EntryName, part: Part) {
        self.request = request
        self.mark = mark
        self.part = part
    }
}

/// How closely objects are looked at.
public enum ScrubDepth: UInt8, Hashable, Sendable {
    /// What the index says of them.
    case index = 1
    /// Every block is read and verified, too, and mended if it is bad.
    case blocks = 2
}

/// An object, and the entry that changed it last.
public struct ScrubName: Hashable, Sendable {
    public var version: EntryName
    public var object: ObjectID
    public init(version: EntryName, object: ObjectID) {
        self.version = version
        self.object = object
    }
}

/// What a member answers to a `ScrubAsk`.
public struct ScrubAnswer: Hashable, Sendable {
    public var request: UInt64
    public var content: Content

    public enum Content: Hashable, Sendable {
        /// The member cannot tell now: it is not in sync, or its disk is out of use.
        case notReady
        /// `next`: behind which the next page begins; nil at the end.
        case names([ScrubName], next: ScrubName?)
        /// In the order of the question.
        case objects([ObjectFinding])
        case rows(RowsFinding)
        /// Sessions in order; the member has dropped those that its map, of this version, does not have any more.
        case windows(MapVersion, [WindowFinding])
    }

    public init(request: UInt64, content: Content) {
        self.request = request
        self.content = content
    }
}

/// What a member holds of one object.
public struct ObjectFinding: Hashable, Sendable {
    /// The entry through which everything was applied when the digest was taken.
    public var asOf: EntryName
    /// The entry that changed it last.
    public var version: EntryName
    /// Over the states and checksums of all blocks, as the index has them; 0 for no content.
    public var digest: UInt32
    /// Blocks with content, of which so many were bad and were mended.
    public var blocks: UInt32
    public var mended: UInt32
    public var verdict: Verdict
    /// Blocks that do not match, and that no replica holds under their checksums; the first of them.
    public var lost: [UInt16]

    public enum Verdict: UInt8, Hashable, Sendable {
        /// Nothing is known to be bad: every block matches its checksum, if blocks were read.
        case whole = 1
        /// A block does not, and no replica that may be asked holds it.
        case lost = 2
        /// It moved too often, or the disk takes no more reads: nothing is known.
        case unknown = 3
    }

    public init(
        asOf: EntryName, version: EntryName, digest: UInt32, blocks: UInt32, mended: UInt32 = 0,
        verdict: Verdict = .whole, lost: [UInt16] = []
    ) {
        self.asOf = asOf
        self.version = version
        self.digest = digest
        self.blocks = blocks
        self.mended = mended
        self.verdict = verdict
        self.lost = lost
    }
}

/// What a member holds of a range of rows.
public struct RowsFinding: Hashable, Sendable {
    /// The entry through which everything was applied when the digest was taken.
    public var asOf: EntryName
    /// Over keys, versions and values, in order.
    public var digest: UInt64
    public var count: UInt32
    /// The last key; nil if the range reaches the end of the rows.
    public var end: [UInt8]?
    public init(asOf: EntryName, digest: UInt64, count: UInt32, end: [UInt8]?) {
        self.asOf = asOf
        self.digest = digest
        self.count = count
        self.end = end
    }
}

/// What a member remembers of the recent requests of one session.
public struct WindowFinding: Hashable, Sendable {
    public var session: SessionID
    /// Over the numbers and the entries of its requests.
    public var digest: UInt64
    public init(session: SessionID, digest: UInt64) {
        self.session = session
        self.digest = digest
    }
}

extension ReplicaMessageLimits {
    /// Sessions of one answer: as many as a replica's tables may have.
    public static let scrubSessions = 65_536
    /// Objects that one page of names has: a page of the index, and behind the last one those that the index does not have
    /// yet, which the bytes of dirty rows bound.
    public static let scrubNames = 48_000
    /// Objects that one question names.
    public static let scrubObjects = 16
    /// Lost blocks of an object that a finding names; the others are as bad.
    public static let scrubLost = 64
    /// Rows of one digest: so many are read without anything between.
    public static let scrubRows = 1024
    /// Bytes of a row's key.
    public static let rowKey = 512
}

extension WireWriter {
    mutating func scrubAsk(_ ask: ScrubAsk) {
        u64(ask.request)
        name(ask.mark)
        switch ask.part {
        case .names(let cursor):
            u8(1)
            optional(cursor) { $0.scrubName($1) }
        case .objects(let objects, let depth):
            u8(2)
            list(objects) { $0.object($1) }
            u8(depth.rawValue)
        case .rows(let from, let limit):
            u8(3)
            blob(from)
            u16(limit)
        case .windows: u8(4)
        }
    }

    mutating func scrubAnswer(_ answer: ScrubAnswer) {
        u64(answer.request)
        switch answer.content {
        case .notReady: u8(1)
        case .names(let names, let next):
            u8(2)
            list(names) { $0.scrubName($1) }
            optional(next) { $0.scrubName($1) }
        case .objects(let found):
            u8(3)
            list(found) {
                $0.name($1.asOf)
                $0.name($1.version)
                $0.u32($1.digest)
                $0.u32($1.blocks)
                $0.u32($1.mended)
                $0.u8($1.verdict.rawValue)
                $0.list($1.lost) { $0.u16($1) }
            }
        case .rows(let found):
            u8(4)
            name(found.asOf)
            u64(found.digest)
            u32(found.count)
            optional(found.end) { $0.blob($1) }
        case .windows(let map, let found):
            u8(5)
            u64(map.rawValue)
            list(found) {
                $0.u64($1.session.rawValue)
                $0.u64($1.digest)
            }
        }
    }

    private mutating func scrubName(_ found: ScrubName) {
        name(found.version)
        object(found.object)
    }
}

extension WireReader {
    mutating func scrubAsk() throws(WireError) -> ScrubAsk {
        let request = try u64()
        let mark = try name()
        let part: ScrubAsk.Part
        switch try u8() {
        case 1: part = .names(after: try optional { r throws(WireError) in try r.scrubName() })
        case 2:
            let objects = try list(atMost: ReplicaMessageLimits.scrubObjects, elementBytes: 20) {
                r throws(WireError) in try r.object()
            }
            guard let depth = ScrubDepth(rawValue: try u8()) else { throw WireError("an unknown depth of a scrub") }
            part = .objects(objects, depth)
        case 3:
            let from = try blob(atMost: ReplicaMessageLimits.rowKey)
            let limit = try u16()
            guard limit > 0, limit <= ReplicaMessageLimits.scrubRows else {
                throw WireError("a scrub of \(limit) rows at once")
            }
            part = .rows(from: from, limit: limit)
        case 4: part = .windows
        case let other: throw WireError("a question of a scrub of unknown kind \(other)")
        }
        return ScrubAsk(request: request, mark: mark, part: part)
    }

    mutating func scrubAnswer() throws(WireError) -> ScrubAnswer {
        let request = try u64()
        let content: ScrubAnswer.Content
        switch try u8() {
        case 1: content = .notReady
        case 2:
            let names = try list(atMost: ReplicaMessageLimits.scrubNames, elementBytes: 36) {
                r throws(WireError) in try r.scrubName()
            }
            content = .names(names, next: try optional { r throws(WireError) in try r.scrubName() })
        case 3:
            content = .objects(
                try list(atMost: ReplicaMessageLimits.scrubObjects, elementBytes: 49) { r throws(WireError) in
                    try r.objectFinding()
                })
        case 4:
            content = .rows(
                RowsFinding(
                    asOf: try name(), digest: try u64(), count: try u32(),
                    end: try optional { r throws(WireError) in try r.blob(atMost: ReplicaMessageLimits.rowKey) }))
        case 5:
            let map = MapVersion(try u64())
            content = .windows(
                map,
                try list(atMost: ReplicaMessageLimits.scrubSessions, elementBytes: 16) { r throws(WireError) in
                    WindowFinding(session: try r.session(), digest: try r.u64())
                })
        case let other: throw WireError("an answer to a scrub of unknown kind \(other)")
        }
        return ScrubAnswer(request: request, content: content)
    }

    private mutating func objectFinding() throws(WireError) -> ObjectFinding {
        let asOf = try name()
        let version = try name()
        let digest = try u32()
        let blocks = try u32()
        let mended = try u32()
        guard let verdict = ObjectFinding.Verdict(rawValue: try u8()) else {
            throw WireError("an unknown verdict of a scrub")
        }
        let lost = try list(atMost: ReplicaMessageLimits.scrubLost, elementBytes: 2) { r throws(WireError) in
            try r.u16()
        }
        return ObjectFinding(
            asOf: asOf, version: version, digest: digest, blocks: blocks, mended: mended, verdict: verdict, lost: lost)
    }

    private mutating func scrubName() throws(WireError) -> ScrubName {
        ScrubName(version: try name(), object: try object())
    }
}
