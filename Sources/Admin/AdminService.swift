import CSupport
import ClusterModel
import Dispatch
import Filesystem
import Glibc
import NIOCore
import Storage
import Wire

/// Answers the command line's questions in a node's process. Used on the node's event loop only.
///
/// Whoever can connect to the node's socket (mode 0600) administers the cluster: files are used as the superuser.
public final class AdminService {
    let node: StorageNode
    let filesystem: ClusterFilesystem
    /// The record of a group that a map change creates (a new fileset's).
    let firstRecord: (PGID, ClusterMap) -> PGRecord
    private let registry: MetricsRegistry
    /// Gives the portmapper's port up for so many seconds; nil on a node that is no gateway.
    public var portmapRelease: ((Int64) -> PortmapRelease)?
    private let started = cs_boot_time_ms()

    public init(
        node: StorageNode, filesystem: ClusterFilesystem, registry: MetricsRegistry = .process,
        firstRecord: @escaping (PGID, ClusterMap) -> PGRecord
    ) {
        self.node = node
        self.filesystem = filesystem
        self.registry = registry
        self.firstRecord = firstRecord
    }

    typealias Answer<T> = (Result<T, AdminFailure>) -> Void

    /// One question; `done` is called once.
    public func answer(_ text: AdminText, done: @escaping (AdminText) -> Void) {
        let question: AdminQuestion
        do {
            question = try AdminCoding.decode(AdminQuestion.self, text.json)
        } catch {
            return Self.reply(
                Result<Done, AdminFailure>.failure(AdminFailure(.invalid, "the question cannot be read: \(error)")),
                done)
        }
        let arguments = AdminArguments(question.arguments)
        do throws(AdminFailure) {
            try run(question.command, arguments, done)
        } catch {
            Self.reply(Result<Done, AdminFailure>.failure(error), done)
        }
    }

    private func run(
        _ command: AdminCommand, _ arguments: AdminArguments, _ done: @escaping (AdminText) -> Void
    ) throws(AdminFailure) {
        switch command {
        case .status: tellAside(report(), done)
        case .map: tellAside(mapReport(), done)
        case .groups: tellAside(groupReports(), done)
        case .waits: tellAside(waits(), done)
        case .acceptLoss: try acceptLoss(arguments) { Self.reply($0, done) }
        case .upgrade: upgrade { Self.reply($0, done) }
        case .setDuty: try setDuty(arguments) { Self.reply($0, done) }
        case .addNode: try addNode(arguments) { Self.reply($0, done) }
        case .removeNode: try removeNode(arguments) { Self.reply($0, done) }
        case .addDisk: try addDisk(arguments) { Self.reply($0, done) }
        case .replaceDisk: try replaceDisk(arguments) { Self.reply($0, done) }
        case .setDiskDuty: try setDiskDuty(arguments) { Self.reply($0, done) }
        case .removeDisk: try removeDisk(arguments) { Self.reply($0, done) }
        case .createFileset: try createFileset(arguments) { Self.reply($0, done) }
        case .deleteFileset: try deleteFileset(arguments) { Self.reply($0, done) }
        case .createExport: try createExport(arguments) { Self.reply($0, done) }
        case .deleteExport: try deleteExport(arguments) { Self.reply($0, done) }
        case .look: try look(arguments) { Self.reply($0, done) }
        case .list: try list(arguments) { Self.reply($0, done) }
        case .read: try read(arguments) { Self.reply($0, done) }
        case .create: try create(arguments) { Self.reply($0, done) }
        case .write: try write(arguments) { Self.reply($0, done) }
        case .makeFolder: try makeFolder(arguments) { Self.reply($0, done) }
        case .remove: try remove(arguments) { Self.reply($0, done) }
        case .locate: try locate(arguments) { Self.reply($0, done) }
        case .releasePortmap:
            let seconds: Int64 = try arguments.number("seconds")
            guard (1...3600).contains(seconds) else { throw AdminFailure(.invalid, "seconds is 1 … 3600") }
            Self.reply(.success(portmapRelease?(seconds) ?? .notHeld), done)
        case .scrubBegin: Self.reply(.success(try scrubBegin(arguments)), done)
        case .scrubStop: Self.reply(.success(try scrubStop(arguments)), done)
        case .scrubObjects: try scrubObjects(arguments) { Self.reply($0, done) }
        }
    }

    /// What may be long is written on another thread: clients' requests wait for what is done on the loop.
    private func tellAside<T: Codable & Sendable>(_ value: T, _ done: @escaping (AdminText) -> Void) {
        let loop = filesystem.eventLoop
        let waiting = NIOLoopBound(done, eventLoop: loop)
        Self.writing.async {
            let text = Self.text(.success(value))
            loop.execute { waiting.value(text) }
        }
    }
    private static let writing = DispatchQueue(label: "stave.admin")

    private static func reply<T: Codable & Sendable>(_ result: Result<T, AdminFailure>, _ done: (AdminText) -> Void) {
        done(text(result))
    }

    private static func text<T: Codable & Sendable>(_ result: Result<T, AdminFailure>) -> AdminText {
        let reply: AdminReply<T> =
            switch result {
            case .success(let value): .value(value)
            case .failure(let failure): .failure(failure)
            }
        let json: [UInt8]
        do {
            json = try AdminCoding.encode(reply)
        } catch {
            return AdminText(
                json: Array(#"{"error":{"kind":"unavailable","message":"the answer cannot be written"}}"#.utf8))
        }
        if json.count > Limits.adminBytes - 64 {
            return AdminText(json: Array(#"{"error":{"kind":"refused","message":"the answer is too long"}}"#.utf8))
        }
        return AdminText(json: json)
    }

    // MARK: - Standing

    private func report() -> NodeReport {
        let map = node.view.map
        let own = map.node(node.localNode)
        let standings = node.standings
        let capacity = node.capacity
        let copies = UInt64(max(map.policy.copies, 1))
        return NodeReport(
            node: Int(node.localNode.rawValue), name: own?.name ?? "", address: own?.address ?? "",
            roles: own?.roles.names ?? [],
            members: map.nodes.map { NodeMember(node: Int($0.id.rawValue), duty: $0.duty.name) },
            process: Int(getpid()),
            uptimeSeconds: Double(cs_boot_time_ms() - started) / 1000, cluster: "\(map.cluster)",
            boot: "\(node.bootID)",
            mapVersion: map.version.rawValue, semantics: map.semantics, newestSemantics: ClusterMap.newestSemantics,
            lossNumber: map.lossNumber.rawValue, lease: node.lease?.rawValue,
            session: node.session?.rawValue, serving: standings.filter(\.isServing).map { "\($0.pg)" },
            waiting: waits(),
            learning: standings.filter(\.isLearning).map { "\($0.pg)" }, recovery: RecoverySummary(standings),
            groupCount: map.placementGroups.count,
            filesetCount: map.filesets.count,
            deletingFilesets: map.filesets.filter { $0.state == .deleting }.map(\.name),
            peersHeard: map.nodes.filter { node.isHeard($0.id) }.map { Int($0.id.rawValue) },
            totalBytes: capacity.total / copies, freeBytes: capacity.free / copies, disks: diskStatuses(standings),
            events: node.recentEvents.suffix(32).map {
                EventReport(time: $0.time.nanoseconds, subject: $0.subject.text, text: String($0.text.prefix(500)))
            }, scrubs: scrubOverview(), metrics: metrics())
    }

    private func diskStatuses(_ standings: [ReplicaStanding]) -> [DiskStatus] {
        node.diskReports.map { disk in
            let m = disk.metrics
            func mean(_ sum: UInt64, _ count: UInt64) -> Double { count == 0 ? 0 : Double(sum) / Double(count) / 1000 }
            return DiskStatus(
                id: "\(disk.id)", path: disk.path,
                state: disk.failure ?? (disk.note == nil ? "in use" : "in use, learns its content anew"),
                earlierFailure: disk.note?.reason, totalBytes: disk.totalBytes,
                freeBytes: disk.freeBytes, takenBytes: disk.takenBytes, remains: disk.remains,
                replicas: standings.filter { $0.disk == disk.id }.count,
                logHeldBytes: disk.logBytes, logWrites: m.logWrites,
                logBytes: m.logBytes, logSyncs: m.logSyncs,
                logWriteMicroseconds: mean(m.logWriteNanoseconds, m.logWrites),
                logSyncMicroseconds: mean(m.logSyncNanoseconds, m.logSyncs), dataSyncs: m.dataSyncs,
                slotBytes: m.slotBytes,
                copiedBlocks: m.copiedBlocks, rowWrites: m.rowWrites, readBytes: m.readBytes,
                readsFromCache: m.readsFromCache,
                readsFromDisk: m.readsFromDisk, bytesWritten: m.bytesWritten)
        }
    }

    private func metrics() -> NodeMetrics {
        let gateway = filesystem.counters
        let load = node.load
        let storage = node.counters
        return NodeMetrics(
            cpuSeconds: ProcessUsage.cpuSeconds(), residentBytes: ProcessUsage.residentBytes(),
            gateway: GatewayMetrics(
                sent: gateway.sent, resent: gateway.resent, refused: gateway.refused, malformed: gateway.malformed,
                redone: gateway.redone, localReads: gateway.localReads,
                localReadsMissed: node.counters.localReadsMissed, flushMessages: gateway.flushMessages,
                waiting: filesystem.waits().reduce(0) { $0 + $1.requests },
                writtenBytes: registry.total("stave_filesystem_written_bytes"),
                readBytes: registry.total("stave_filesystem_read_bytes")),
            transport: TransportMetrics(
                sentBytes: load.sentBytes, receivedBytes: load.receivedBytes, lentBytes: load.lentBytes,
                arenaBytes: load.arenaBytes, sentMessages: load.sentMessages,
                receivedMessages: load.receivedMessages, waiting: load.waitingExchanges),
            groups: GroupMetrics(
                requests: storage.requests, overloaded: storage.overloaded, badBlocks: storage.badBlocks,
                mendedBlocks: storage.mendedBlocks, lostBlocks: storage.lostBlocks, scrubs: storage.scrubs,
                scrubFindings: storage.scrubFindings,
                waiting: load.waitingRequests, payloadBytes: load.payloadBytes, namespaceWork: load.namespaceWork,
                rowCacheHits: load.rowCache.hits, rowCacheMisses: load.rowCache.misses,
                rowCacheBehind: load.rowCache.behind, rowCacheBytes: load.rowCacheBytes),
            diskBytesWritten: node.diskReports.reduce(0) { $0 + $1.metrics.bytesWritten },
            counters: registry.counters(),
            gauges: registry.gauges(), latencies: registry.latencies())
    }

    /// What waits here for what.
    private func waits() -> [WaitReport] {
        var waits: [WaitReport] = []
        if node.session == nil {
            waits.append(
                WaitReport(
                    group: nil, who: "gateway",
                    reason: "this node has no session: it has no lease, or the map has not taken it yet"))
        }
        let isSuspended = node.view.map.node(node.localNode)?.duty.leads == false
        for standing in node.standings {
            if let reason = standing.waiting {
                waits.append(
                    WaitReport(
                        group: "\(standing.pg)", who: "replica", reason: reason.plainWords,
                        seconds: standing.waitingFor.map { Double($0.nanoseconds) / 1e9 }))
            } else if standing.isServing, isSuspended {
                waits.append(
                    WaitReport(
                        group: "\(standing.pg)", who: "replica",
                        reason: "another member in sync that could lead it, for this node is suspended; `stave pg show "
                            + "\(standing.pg)` shows where the others are (stave explain ST1030)"))
            }
        }
        waits += recoveryWaits()
        let now = FilesystemClock.system().now
        for wait in filesystem.waits() {
            waits.append(
                WaitReport(
                    group: wait.pg.map { "\($0)" }, who: "gateway", reason: wait.reason.plainWords,
                    requests: wait.requests,
                    bytes: wait.bytes, seconds: Double((now - wait.since).nanoseconds) / 1e9))
        }
        for standing in node.slowMembers {
            waits.append(WaitReport(group: nil, who: "node", reason: standing.inWords))
        }
        for disk in node.diskReports {
            if let failure = disk.failure {
                waits.append(
                    WaitReport(
                        group: nil, who: "disk", reason: "\(disk.path) is out of use: \(failure) (stave explain ST1011)"
                    ))
                continue
            }
            if let note = disk.note {
                waits.append(
                    WaitReport(
                        group: nil, who: "disk",
                        reason:
                            "\(disk.path) failed earlier (\(note.reason)) and learns its content anew from other nodes "
                            + "(stave explain ST1018)"))
            }
            if let reason = disk.waitingFor {
                waits.append(WaitReport(group: nil, who: "disk", reason: "\(disk.path) waits for \(reason)"))
            }
        }
        return waits
    }

    private func groupReports() -> [GroupReport] {
        let view = node.view
        let standings = Dictionary(node.standings.map { ($0.pg, $0) }, uniquingKeysWith: { first, _ in first })
        return view.map.placementGroups.compactMap { pg in
            guard let record = view.record(pg) else { return nil }
            return GroupReport(
                group: "\(pg)", epoch: record.epoch.rawValue, primary: record.primary.map { Int($0.rawValue) },
                inSync: record.inSync.map { Int($0.node.rawValue) }, inSyncDisks: record.inSync.map { "\($0.disk)" },
                learners: record.learners.map { Int($0.node.rawValue) },
                placement: record.placement.map { PlaceReport(node: Int($0.node.rawValue), disk: "\($0.disk)") },
                lossNumber: record.lossNumber.rawValue,
                leastMembers: min(view.map.policy.minInSync, record.inSync.count),
                replica: standings[pg].map(ReplicaStatus.init),
                scrub: node.scrubNote(pg).map(ScrubSummary.init), scrubbing: scrubStatus(pg),
                filesetScrub: filesetScrub(pg))
        }
    }

    private func mapReport() -> MapReport {
        let map = node.view.map
        return MapReport(
            version: map.version.rawValue, cluster: "\(map.cluster)", lossNumber: map.lossNumber.rawValue,
            copies: map.policy.copies, minInSync: map.policy.minInSync, dataGroups: Int(map.dataPGCount),
            nodes: map.nodes.map {
                MapNode(
                    id: Int($0.id.rawValue), name: $0.name, address: $0.address, roles: $0.roles.names,
                    failureDomain: $0.failureDomain, duty: $0.duty.name)
            },
            disks: map.disks.map {
                MapDisk(
                    id: "\($0.id)", node: Int($0.node.rawValue), weight: Int($0.weight), path: $0.path,
                    duty: $0.duty.name)
            },
            sessions: map.sessions.map {
                MapSession(id: $0.id.rawValue, node: Int($0.node.rawValue), lease: $0.lease.rawValue)
            },
            filesets: map.filesets.map(filesetReport), exports: map.exports.map(exportReport))
    }

    func filesetReport(_ fileset: Fileset) -> FilesetReport {
        let usage = node.usage(of: fileset.id)
        return FilesetReport(
            id: Int(fileset.id.rawValue), name: fileset.name, state: fileset.state == .live ? "live" : "deleting",
            group: "\(PGID.metadata(fileset.id))", stripeUnit: fileset.layout.stripeUnit,
            stripeCount: fileset.layout.stripeCount,
            junction: fileset.junction.map { String(decoding: $0.name, as: UTF8.self) },
            parentFileset: fileset.junction.map { Int($0.directory.fileset.rawValue) },
            parentInode: fileset.junction.map(\.directory.inode.rawValue), inodes: usage?.inodes, bytes: usage?.bytes)
    }

    func exportReport(_ export: Export) -> ExportReport {
        ExportReport(
            id: Int(export.id.rawValue), path: export.path, fileset: Int(export.root.fileset.rawValue),
            inode: export.root.inode.rawValue, clients: export.clients, squash: export.squash.name,
            access: export.access.name,
            anonymousUID: export.anonymousUID, anonymousGID: export.anonymousGID, verifierBlind: export.verifierBlind)
    }
}
