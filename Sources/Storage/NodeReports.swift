import ClusterModel
import DiskIO
import Replication
import Store

/// One disk of this node, for status.
public struct DiskReport: Sendable {
    public var id: DiskID
    public var path: String
    /// Why it is out of use; nil while it serves.
    public var failure: String?
    /// Why it failed, if it did and has not learned everything anew since.
    public var note: DiskNote?
    /// What its store waits for; nil for nothing.
    public var waitingFor: String?
    /// Bytes, before replication.
    public var totalBytes: UInt64
    public var freeBytes: UInt64
    /// Bytes of slots that are given, with those that a checkpoint will free.
    public var takenBytes: UInt64
    /// Groups that have moved away and whose content is still here.
    public var remains: Int
    /// Bytes of log that a recovery would read now.
    public var logBytes: Int
    public var metrics: DiskMetrics
}

/// How full this node's queues are, and what its connections have carried since its start.
public struct NodeLoad: Sendable, Hashable {
    /// Requests of clients to groups of this node that have no answer yet.
    public var waitingRequests: Int
    /// Requests of this node to others that have no answer yet.
    public var waitingExchanges: Int
    /// Bytes of payloads held.
    public var payloadBytes: Int
    public var sentBytes: UInt64
    public var receivedBytes: UInt64
    public var lentBytes: UInt64
    public var arenaBytes: Int
    public var sentMessages: UInt64
    public var receivedMessages: UInt64
    /// Entries and queries that wait for the namespace thread.
    public var namespaceWork: Int
    /// Bytes of rows of namespaces kept on the loop, and what they answered.
    public var rowCacheBytes: Int
    public var rowCache: RowCacheCounters
}

extension StorageNode {
    /// Its disks, in the order of the configuration, those last that cannot be opened.
    public var diskReports: [DiskReport] {
        let opened = disks.map { disk in
            DiskReport(
                id: disk.id, path: disk.path, failure: disk.failure, note: directory.diskNotes[disk.id],
                waitingFor: disk.waitingFor,
                totalBytes: disk.space.total, freeBytes: disk.space.admissible,
                takenBytes: disk.takenBytes, remains: disk.remains.count, logBytes: disk.logBytes,
                metrics: disk.metrics)
        }
        let unusable = unusableDisks.map { disk in
            DiskReport(
                id: disk.id, path: disk.path, failure: "it cannot be opened: \(disk.reason)",
                note: directory.diskNotes[disk.id], waitingFor: nil, totalBytes: 0, freeBytes: 0, takenBytes: 0,
                remains: 0, logBytes: 0, metrics: DiskMetrics())
        }
        return opened + unusable
    }

    /// The last events, oldest first.
    public var recentEvents: [EventLog.Event] { events.events }

    /// Bytes that namespaces on this node's replicas hold, by fileset: what `fileset list` shows.
    public func usage(of fileset: FilesetID) -> (inodes: UInt64, bytes: UInt64)? {
        guard let namespace = host(.metadata(fileset))?.namespace else { return nil }
        return (namespace.usage.inodes, namespace.usage.bytes)
    }

    /// The record of every group, as far as this node knows.
    public var records: [PGRecord] { directory.view.map.placementGroups.compactMap { directory.view.record($0) } }

    public var lease: LeaseNumber? { membership.lease?.number }
    public var bootID: BootID { boot }

    /// Changes the map for an operator by compare-and-set, within `StorageLimits.operatorPatience`, and puts the records of the
    /// groups that the change creates. `change` gives nil when nothing is to be done; it may be called several times.
    public func changeMap(
        leasesEnded: [LeaseNumber] = [],
        _ change: @escaping (ClusterMap) -> (ClusterMap, records: [PGRecord])?,
        done: @escaping (Result<ClusterMap, StorageFailure>) -> Void
    ) {
        let until = moment().now + StorageLimits.operatorPatience
        directory.changeMap(leasesEnded: leasesEnded, until: until, change) { result in
            switch result {
            case .success(let map): done(.success(map))
            case .failure(let error):
                done(
                    .failure(
                        StorageFailure(
                            "the coordination store did not say that it made the change; look again: \(error)")))
            }
        }
    }
}
