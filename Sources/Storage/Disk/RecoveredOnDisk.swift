import ClusterModel
import NIOCore
import Replication
import Store
import Wire

import struct Wire.VoidRecord

/// What a disk holds of one group, with the payloads that its log still has.
struct RecoveredOnDisk {
    var pg: PGID
    var state: [UInt8]
    var tables: [UInt8]?
    /// Every entry that the log still has, in order; those after `decided` with their payloads.
    var entries: [Entry] = []
    var decided = EntryName.zero
    var stable = EntryName.zero
    var voids: [VoidRecord] = []
    var opening = RecoveredReplica.Opening.crashed
    /// Entries after the decided ones.
    var undecided: [Entry] = []
    /// Decided operations that the namespace's rows may lack.
    var reapply: [(Entry, ByteBuffer?)] = []
    var origin = Origin.found

    enum Origin {
        case found
        /// The group was never claimed.
        case fresh
        /// Log-stable records were lost: whatever is here must be learned anew.
        case corrupt
    }

    static func fresh(_ pg: PGID) -> RecoveredOnDisk {
        RecoveredOnDisk(pg: pg, state: [], tables: nil, origin: .fresh)
    }

    /// The last entry that anything here knows of.
    var end: EntryName { max(decided, max(stable, entries.last?.name ?? .zero)) }

    /// Nil where the replica has to begin as one whose disk has no trace of the group.
    func replica(boot: BootID) -> RecoveredReplica? {
        switch origin {
        case .fresh: .fresh(boot: boot)
        case .corrupt: nil
        case .found:
            state.isEmpty
                ? nil
                : RecoveredReplica(
                    state: state, tables: tables, entries: entries, decided: decided, stable: stable, voids: voids,
                    opening: opening)
        }
    }
}
