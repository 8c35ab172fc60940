import ClusterModel
import Coordination

/// Where things stand in the coordination store: "map", and "pg/d…" or "pg/m…" for each placement group.
public enum ClusterKeys {
    public static let map = Key("map")
    public static let records = Key("pg/")
    public static func record(_ pg: PGID) -> Key { Key("pg/\(pg)") }

    /// 16 random bytes that authenticate file handles, the same at every gateway, drawn when the cluster is created.
    public static let handleKey = Key("handle-key")

    /// The group that a key of `records` names.
    static func group(of key: Key) -> PGID? {
        guard key.hasPrefix(records) else { return nil }
        return PGID(String(decoding: key.bytes.dropFirst(records.bytes.count), as: UTF8.self))
    }
}
