import ClusterModel
import Wire

/// What the coordination store keeps of a disk whose use was ended by a failed write or sync, so that no later process takes
/// what a clean page cache shows for what the medium holds (store.md, rule 4).
///
/// Invariants:
/// - the record is there from the failure until every replica on the disk has learned everything anew;
/// - a disk begins as one that must learn all while it says `failed`, and it says `learning` only when the disk's own log
///   says durably of each of its groups that it must learn.
public struct DiskNote: Hashable, Sendable {
    public enum Stage: UInt8, Hashable, Sendable {
        /// Nothing on the disk can be relied on.
        case failed = 1
        /// The disk is in use again; some of its replicas lack content.
        case learning = 2
    }

    public var stage: Stage
    /// When it failed, wall-clock time.
    public var time: Timestamp
    /// What failed, for people.
    public var reason: String

    public init(stage: Stage, time: Timestamp, reason: String) {
        self.stage = stage
        self.time = time
        self.reason = String(decoding: reason.utf8.prefix(StorageLimits.failureReason), as: UTF8.self)
    }

    private static let format: UInt8 = 1

    func encoded() -> [UInt8] {
        wireBytes { w in
            w.u8(DiskNote.format)
            w.u8(stage.rawValue)
            w.i64(time.nanoseconds)
            w.string(reason)
        }
    }

    init(decoding bytes: [UInt8]) throws(WireError) {
        self = try decodeWhole(bytes) { r throws(WireError) in
            let format = try r.u8()
            if format != DiskNote.format {
                throw WireError("a failed disk's record of format \(format); this program knows \(DiskNote.format)")
            }
            guard let stage = Stage(rawValue: try r.u8()) else { throw WireError("an unknown stage of a failed disk") }
            // A reason that was cut within a character is a few bytes longer once it was repaired.
            return DiskNote(
                stage: stage, time: Timestamp(nanoseconds: try r.i64()),
                reason: try r.string(atMost: StorageLimits.failureReason + 16))
        }
    }
}
