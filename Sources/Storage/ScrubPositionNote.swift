import ClusterModel
import Replication
import Wire

/// What the coordination store keeps of a group's scrub that has not come to its end, so that the next primary, or this node
/// after a restart, goes on there. It is written every 30 s at most, by a node that scrubs one group at a time, and when a scrub
/// is interrupted.
struct ScrubPositionNote: Hashable, Sendable {
    /// When the scrub began, whoever led the group then; by the wall clock.
    var started: Timestamp
    var position: ScrubPosition

    private static let format: UInt8 = 1
    /// Blocks of one object that are named; the others are as bad.
    private static let blocks = 64

    func encoded() -> [UInt8] {
        wireBytes { w in
            w.u8(ScrubPositionNote.format)
            w.i64(started.nanoseconds)
            switch position.place {
            case .objects(let after):
                w.u8(1)
                w.optional(after) { w, name in
                    w.name(name.version)
                    w.object(name.object)
                }
            case .others: w.u8(2)
            case .rows(let from):
                w.u8(3)
                w.blob(from)
            }
            w.list(position.again) { $0.object($1) }
            w.list(position.members) {
                $0.node($1.node)
                $0.u128($1.disk.rawValue)
            }
            w.u64(position.progress.done)
            w.u64(position.progress.bytes)
            let result = position.result
            w.list(result.members) { $0.node($1) }
            for count in [
                result.objects, result.blocks, result.rows, result.lostCount, result.differingCount, result.unsettled,
            ] { w.u64(count) }
            w.list(result.mended) {
                $0.node($1.node)
                $0.u64($1.blocks)
            }
            w.list(result.lost) { w, lost in
                w.object(lost.object)
                w.list(Array(lost.blocks.prefix(ScrubPositionNote.blocks))) { $0.u16($1) }
            }
            w.list(result.differing) { w, difference in
                switch difference.place {
                case .object(let object):
                    w.u8(1)
                    w.object(object)
                case .row(let key):
                    w.u8(2)
                    w.blob(key)
                case .reply(let n):
                    w.u8(3)
                    w.u64(n)
                case .window(let session):
                    w.u8(4)
                    w.u64(session.rawValue)
                }
                w.list(difference.members) { $0.node($1) }
            }
            w.list(result.relearning) { $0.node($1) }
        }
    }

    init(started: Timestamp, position: ScrubPosition) {
        self.started = started
        self.position = position
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        self = try decodeWhole(bytes) { r throws(WireError) in try ScrubPositionNote(from: &r) }
    }

    private init(from r: inout WireReader) throws(WireError) {
        let format = try r.u8()
        if format != ScrubPositionNote.format {
            throw WireError("a scrub's position of format \(format); this program knows \(ScrubPositionNote.format)")
        }
        started = Timestamp(nanoseconds: try r.i64())
        let place: ScrubPosition.Place
        switch try r.u8() {
        case 1:
            place = .objects(
                after: try r.optional { r throws(WireError) in
                    ScrubName(version: try r.name(), object: try r.object())
                })
        case 2: place = .others
        case 3: place = .rows(from: try r.blob(atMost: ReplicaMessageLimits.rowKey))
        case let other: throw WireError("a scrub's position of unknown kind \(other)")
        }
        let limits = ReplicationLimits()
        let again = try r.list(atMost: limits.scrubAgain + limits.objectsPerScrub, elementBytes: 20) {
            r throws(WireError) in try r.object()
        }
        let members = try r.list(atMost: Limits.members, elementBytes: 18) { r throws(WireError) in
            PlacementTarget(node: try r.node(), disk: DiskID(try r.u128()))
        }
        let progress = ScrubProgress(done: try r.u64(), bytes: try r.u64())
        var result = ScrubResult(members: try ScrubPositionNote.nodes(&r))
        result.objects = try r.u64()
        result.blocks = try r.u64()
        result.rows = try r.u64()
        result.lostCount = try r.u64()
        result.differingCount = try r.u64()
        result.unsettled = try r.u64()
        result.mended = try r.list(atMost: Limits.members, elementBytes: 10) { r throws(WireError) in
            ScrubResult.Mended(node: try r.node(), blocks: try r.u64())
        }
        result.lost = try r.list(atMost: limits.scrubbedNames, elementBytes: 24) { r throws(WireError) in
            ScrubResult.Lost(
                object: try r.object(),
                blocks: try r.list(atMost: ScrubPositionNote.blocks, elementBytes: 2) { r throws(WireError) in
                    try r.u16()
                })
        }
        result.differing = try r.list(atMost: limits.scrubbedNames, elementBytes: 9) { r throws(WireError) in
            let place: ScrubResult.Place
            switch try r.u8() {
            case 1: place = .object(try r.object())
            case 2: place = .row(try r.blob(atMost: ReplicaMessageLimits.rowKey))
            case 3: place = .reply(n: try r.u64())
            case 4: place = .window(try r.session())
            case let other: throw WireError("a difference of unknown kind \(other)")
            }
            return ScrubResult.Difference(place: place, members: try ScrubPositionNote.nodes(&r))
        }
        result.relearning = try ScrubPositionNote.nodes(&r)
        position = ScrubPosition(place: place, again: again, members: members, progress: progress, result: result)
    }

    private static func nodes(_ r: inout WireReader) throws(WireError) -> [NodeID] {
        try r.list(atMost: Limits.members, elementBytes: 2) { r throws(WireError) in try r.node() }
    }
}
