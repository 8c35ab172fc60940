import ClusterModel
import Coordination

/// Where things stand in the coordination store: "map", "pg/d…" or "pg/m…" for each placement group, and
/// "disk/…" for each disk that failed and has not learned everything anew, "scrub/…" for each group's last scrub, and
/// "scrub-position/…" for one that has not come to its end.
public enum ClusterKeys {
    public static let map = Key("map")
    public static let records = Key("pg/")
    public static func record(_ pg: PGID) -> Key { Key("pg/\(pg)") }

    /// 16 random bytes that authenticate file handles, the same at every gateway, drawn when the cluster is created.
    public static let handleKey = Key("handle-key")

    /// Disks whose use a failure has ended, and that have not learned everything anew.
    static let diskNotes = Key("disk/")
    public static func diskNote(_ disk: DiskID) -> Key { Key("disk/\(disk)") }

    /// The disk that a key of `diskNotes` names.
    static func disk(of key: Key) -> DiskID? {
        guard key.hasPrefix(diskNotes) else { return nil }
        return DiskID(hex: String(decoding: key.bytes.dropFirst(diskNotes.bytes.count), as: UTF8.self))
    }

    /// What each group's last scrub found.
    static let scrubNotes = Key("scrub/")
    public static func scrubNote(_ pg: PGID) -> Key { Key("scrub/\(pg)") }

    /// Where each group's scrub stood that has not come to its end.
    static let scrubPositions = Key("scrub-position/")
    static func scrubPosition(_ pg: PGID) -> Key { Key("scrub-position/\(pg)") }

    /// The group that a key of `records` names.
    static func group(of key: Key) -> PGID? { group(of: key, below: records) }
    /// The group that a key of `scrubNotes` names.
    static func scrubbedGroup(of key: Key) -> PGID? { group(of: key, below: scrubNotes) }
    /// The group that a key of `scrubPositions` names.
    static func halfScrubbedGroup(of key: Key) -> PGID? { group(of: key, below: scrubPositions) }

    private static func group(of key: Key, below prefix: Key) -> PGID? {
        guard key.hasPrefix(prefix) else { return nil }
        return PGID(String(decoding: key.bytes.dropFirst(prefix.bytes.count), as: UTF8.self))
    }
}
