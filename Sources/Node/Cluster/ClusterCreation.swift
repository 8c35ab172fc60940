import ClusterModel
import Coordination
import DiskIO
import Foundation
import Storage
import Wire

/// Making a cluster of a configuration: its disks, and its coordination store with map and records.
///
/// Invariant: a cluster is created only if its coordination store does not exist and every disk folder is absent or empty;
/// in any other mixture nothing is created, and what is missing is named (architecture.md, Coordination).
public enum ClusterCreation {
    public enum Standing: Equatable, Sendable {
        /// Nothing of it exists.
        case absent
        /// The store and every disk exist.
        case complete
        /// Something is missing, something is there.
        case mixed(present: [String], missing: [String])
    }

    /// What of the cluster exists on this machine.
    public static func standing(_ configuration: ClusterConfiguration) -> Standing {
        var present: [String] = []
        var missing: [String] = []
        func note(_ path: String, _ exists: Bool) { if exists { present.append(path) } else { missing.append(path) } }
        switch configuration.coordination {
        case .local(let path): note(path, FileManager.default.fileExists(atPath: path))
        }
        for node in configuration.nodes {
            for disk in node.disks {
                let names = (try? FileManager.default.contentsOfDirectory(atPath: disk.path)) ?? []
                note(disk.path, !names.isEmpty)
            }
        }
        if present.isEmpty { return .absent }
        return missing.isEmpty ? .complete : .mixed(present: present, missing: missing)
    }

    /// Creates it. Throws what an operator can act on. `semantics`: of metadata operations, as an earlier program would have made it.
    public static func create(
        _ configuration: ClusterConfiguration, boot: BootID, semantics: UInt32 = ClusterMap.newestSemantics
    ) throws -> ClusterID {
        switch standing(configuration) {
        case .absent: break
        case .complete: throw OperatorError(.clusterExists, "the cluster \(configuration.name) exists already")
        case .mixed(let present, let missing):
            throw OperatorError(
                .clusterIncomplete,
                "something of the cluster \(configuration.name) exists and something is missing, so nothing was created: "
                    + "there are \(present.joined(separator: ", ")); there are not \(missing.joined(separator: ", "))"
                    + joining(configuration, missing))
        }
        let cluster = ClusterID(random128())
        var map = ClusterMap(cluster: cluster, policy: configuration.policy, dataPGCount: configuration.dataGroupCount)
        map.semantics = semantics
        let files = FileManager.default
        let owner: [FileAttributeKey: Any] = [.posixPermissions: 0o700]
        for folder in [configuration.dataFolder, configuration.runFolder, configuration.dataFolder + "/log"] {
            try files.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: owner)
        }
        for node in configuration.nodes {
            map.nodes.append(
                ClusterNode(
                    id: node.id, name: node.name, address: node.address, roles: node.roles,
                    failureDomain: node.failureDomain))
            for disk in node.disks {
                try files.createDirectory(atPath: disk.path, withIntermediateDirectories: true, attributes: owner)
                let id = DiskID(random128())
                try DiskFormat.format(path: disk.path, cluster: cluster, node: node.id, disk: id, at: now())
                map.disks.append(ClusterDisk(id: id, node: node.id, weight: disk.weight, path: disk.path))
            }
        }
        addFilesets(configuration, to: &map)
        let records = map.placementGroups.map { firstRecord($0, map, boot) }
        var key = [UInt8](repeating: 0, count: 16)
        for i in key.indices { key[i] = UInt8.random(in: 0...255) }
        switch configuration.coordination {
        case .local(let path):
            try LocalCoordinator.createStore(
                at: path, cluster: cluster,
                initial: [.put(ClusterKeys.map, map.encoded()), .put(ClusterKeys.handleKey, key)]
                    + records.map { .put(ClusterKeys.record($0.pg), $0.encoded()) })
        }
        return cluster
    }

    /// A node that has nothing may be one that is to join.
    private static func joining(_ configuration: ClusterConfiguration, _ missing: [String]) -> String {
        let new = configuration.nodes.filter { node in
            !node.disks.isEmpty && node.disks.allSatisfy { missing.contains($0.path) }
        }
        guard let first = new.first, new.count < configuration.nodes.count else { return "" }
        return ". If node \(first.id.rawValue) is to join: start the others without it in the configuration, then "
            + "`stave node add \(first.id.rawValue)`"
    }

    /// The record of a group that was never claimed: who is to hold it holds all of it, which is nothing.
    public static func firstRecord(_ pg: PGID, _ map: ClusterMap, _ boot: BootID) -> PGRecord {
        let targets = Placement.targets(for: pg, map: map, copies: map.policy.copies)
        return PGRecord(
            pg: pg, epoch: Epoch(1), primary: nil, primaryLease: .none,
            inSync: targets.map { Member(node: $0.node, disk: $0.disk, boot: boot) }.sorted { $0.node < $1.node },
            learners: [], placement: targets, lossNumber: .zero)
    }

    /// The root fileset, and one for each export, joined to the root of the tree under the export's name.
    private static func addFilesets(_ configuration: ClusterConfiguration, to map: inout ClusterMap) {
        map.lastFileset = .root
        map.filesets = [Fileset(id: .root, name: "root", layout: configuration.layout, state: .live, junction: nil)]
        for export in configuration.exports {
            map.lastFileset = FilesetID(map.lastFileset.rawValue + 1)
            map.lastExport = ExportID(map.lastExport.rawValue + 1)
            let name = export.path.dropFirst().replacingOccurrences(of: "/", with: "-")
            var fileset = Fileset(
                id: map.lastFileset, name: name, layout: configuration.layout, state: .live,
                junction: Junction(directory: FileID(fileset: .root, inode: .root), name: Array(name.utf8)))
            fileset.rootMode = export.mode
            fileset.rootUID = export.ownerUID
            fileset.rootGID = export.ownerGID
            map.filesets.append(fileset)
            map.exports.append(
                Export(
                    id: map.lastExport, path: export.path, root: FileID(fileset: map.lastFileset, inode: .root),
                    clients: export.clients, squash: export.squash, anonymousUID: export.anonymousUID,
                    anonymousGID: export.anonymousGID, access: export.access, verifierBlind: export.verifierBlind))
        }
    }

    static func random128() -> UInt128 {
        UInt128(UInt64.random(in: 0...UInt64.max)) << 64 | UInt128(UInt64.random(in: 1...UInt64.max))
    }
    private static func now() -> Timestamp {
        Timestamp(nanoseconds: Int64(Date().timeIntervalSince1970 * 1_000_000_000))
    }
}
