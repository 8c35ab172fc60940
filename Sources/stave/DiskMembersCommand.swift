import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

extension DiskCommand {
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make folders that the configuration has disks of a node, and give them their share.",
            discussion: """
                Write the disk into the configuration first; then:
                  stave disk add 2                 every folder of node 2 that is no disk yet
                The folders must be absent or empty. The node need not be restarted.
                """)
        @Argument(help: ArgumentHelp("The node's id or name.", valueName: "node")) var node: String
        @OptionGroup var moving: MovingOptions
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            try moving.check()
            let cluster = try cluster.open()
            let id = try cluster.node(node)
            let map = try cluster.ask(AdminQuestion(.map), MapReport.self)
            let known = map.disks.filter { $0.node == Int(id.rawValue) }.map(\.path)
            let new = (cluster.configuration.node(id)?.disks ?? []).filter { !known.contains($0.path) }
            guard !new.isEmpty else {
                throw OperatorError(
                    .refused,
                    "the configuration \(cluster.file) has no disk of node \(id.rawValue) that the cluster has not; add it there first"
                )
            }
            umask(0o077)
            let disks = try cluster.makeDisks(new, of: id, map)
            let _: Done = try cluster.ask(
                AdminQuestion(.addDisk, ["node": "\(id.rawValue)", "disks": try json(disks)]))
            try cluster.awaitDisks(disks.map(\.id), of: id)
            try moving.report(cluster, output) { $0.placement.contains { p in disks.contains { $0.id == p.disk } } }
        }
    }

    struct Replace: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put an empty folder in the place of a disk that failed or is worn out.",
            discussion: """
                Examples:
                  stave disk replace /data/node-2/disk                       a new disk is mounted there, or the folder was emptied
                  stave disk replace 3f9c01aa --path /data/node-2/new-disk   by its id; the new one is elsewhere
                  stave disk replace /data/node-2/disk --wait 3600           waits until it has everything
                The new disk gets what the old one had to hold, copied from the other nodes, and nothing else moves. It is refused
                for a disk that has the only whole replica of a group.
                """)
        @Argument(help: ArgumentHelp("The old disk: its folder, or the beginning of its id.", valueName: "disk"))
        var disk: String
        @Option(
            name: .long, help: ArgumentHelp("The new disk's folder; the old one's if left out.", valueName: "folder"))
        var path: String?
        @OptionGroup var moving: MovingOptions
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            try moving.check()
            let cluster = try cluster.open()
            let map = try cluster.ask(AdminQuestion(.map), MapReport.self)
            let old = try Cluster.disk(disk, map)
            let id = NodeID(UInt16(old.node))
            try refuseIfNeeded(old, id, cluster, map)
            if let path, !path.hasPrefix("/") {
                throw OperatorError(.usage, "--path is an absolute folder, not \(path)")
            }
            umask(0o077)
            let described = DiskConfiguration(path: path ?? old.path, weight: UInt32(old.weight))
            let disks = try cluster.makeDisks([described], of: id, map)
            let _: Done = try cluster.ask(
                AdminQuestion(
                    .replaceDisk, ["disk": old.id, "node": "\(id.rawValue)", "disks": try json(disks)]))
            say("==> Disk \(disks[0].id.prefix(8)) at \(described.path) has the place of \(old.id.prefix(8))")
            if let path, path != old.path {
                say("    write \(path) into \(cluster.file) in the place of \(old.path)")
            }
            try cluster.startAndAwait(id)
            try cluster.awaitDisks(disks.map(\.id), of: id)
            try moving.report(cluster, output) { $0.placement.contains { p in disks.contains { $0.id == p.disk } } }
        }

        /// A disk that is in use is one of the copies: without it there must be enough.
        private func refuseIfNeeded(_ old: MapDisk, _ id: NodeID, _ cluster: Cluster, _ map: MapReport) throws {
            let report = try? cluster.ask(id, AdminQuestion(.status), NodeReport.self)
            guard report?.disks.contains(where: { $0.id == old.id && $0.state.hasPrefix("in use") }) == true else {
                return
            }
            let lacking = try GroupView.all(cluster).filter { view in
                view.inSyncDisks.contains(old.id) && view.inSync.count - 1 < map.minInSync
            }
            guard lacking.isEmpty else {
                throw OperatorError(
                    .refused,
                    "the disk is in use, and \(lacking.count) groups would have too few copies without it "
                        + "(\(lacking[0].group) …); wait until `stave pg list` shows all members in sync")
            }
        }
    }

    struct Drain: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have other disks hold what a disk holds, so that it can be removed.",
            discussion: """
                Examples:
                  stave disk drain /data/node-2/disk-b --wait 3600
                  stave disk resume /data/node-2/disk-b               changes one's mind
                  stave disk remove /data/node-2/disk-b               when it is empty
                """)
        @Argument(help: ArgumentHelp("Its folder, or the beginning of its id.", valueName: "disk")) var disk: String
        @OptionGroup var moving: MovingOptions
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            try moving.check()
            let cluster = try cluster.open()
            let found = try cluster.setDuty(ofDisk: disk, "draining")
            try moving.report(cluster, output) { $0.replicas.contains { $0.status.disk == found.id } }
        }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a disk that was drained hold replicas again.",
            discussion: "Example:\n  stave disk resume /data/node-2/disk-b")
        @Argument(help: ArgumentHelp("Its folder, or the beginning of its id.", valueName: "disk")) var disk: String
        @OptionGroup var moving: MovingOptions
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            try moving.check()
            let cluster = try cluster.open()
            let found = try cluster.setDuty(ofDisk: disk, "full")
            try moving.report(cluster, output) { $0.placement.contains { $0.disk == found.id } }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a disk that was drained out of the cluster for good.",
            discussion: """
                Example:
                  stave disk drain /data/node-2/disk-b --wait 3600 && stave disk remove /data/node-2/disk-b
                Its node closes it. Take it out of the configuration afterwards; the folder stays.
                """)
        @Argument(help: ArgumentHelp("Its folder, or the beginning of its id.", valueName: "disk")) var disk: String
        @OptionGroup var cluster: ClusterOptions

        func run() throws {
            let cluster = try cluster.open()
            let found = try Cluster.disk(disk, try cluster.ask(AdminQuestion(.map), MapReport.self))
            let id = NodeID(UInt16(found.node))
            let report = try? cluster.ask(id, AdminQuestion(.status), NodeReport.self)
            if let status = report?.disks.first(where: { $0.id == found.id }),
                status.replicas + (status.remains ?? 0) > 0
            {
                throw OperatorError(
                    .refused,
                    "the disk still has \(status.replicas) replicas, and remains of \(status.remains ?? 0) groups; wait until it is empty"
                )
            }
            let _: Done = try cluster.ask(AdminQuestion(.removeDisk, ["disk": found.id]))
            print("Disk \(found.id.prefix(8)) is the cluster's no more; take \(found.path) out of \(cluster.file)")
        }
    }
}

extension Cluster {
    /// A disk of the map by its folder or the beginning of its id.
    static func disk(_ text: String, _ map: MapReport) throws(OperatorError) -> MapDisk {
        let found = map.disks.filter { $0.path == text || text.count >= 4 && $0.id.hasPrefix(text.lowercased()) }
        guard let first = found.first else {
            throw OperatorError(.notFound, "there is no disk \"\(text)\"; `stave disk list` shows them")
        }
        guard found.count == 1 else {
            throw OperatorError(.usage, "\(found.count) disks are called \"\(text)\"; use more of the id")
        }
        return first
    }

    /// Has a disk drain, or hold replicas again; gives the disk.
    fileprivate func setDuty(ofDisk text: String, _ duty: String) throws -> MapDisk {
        let found = try Cluster.disk(text, try ask(AdminQuestion(.map), MapReport.self))
        let _: Done = try ask(AdminQuestion(.setDiskDuty, ["disk": found.id, "duty": duty]))
        return found
    }

    /// Waits until the node uses these disks; a node that does not run uses them when it starts.
    func awaitDisks(_ ids: [String], of node: NodeID) throws {
        guard launcher.running(node) != nil else { return }
        let areUsed = holds(within: 30) {
            guard let report = try? ask(node, AdminQuestion(.status), NodeReport.self) else { return false }
            return ids.allSatisfy { id in report.disks.contains { $0.id == id && $0.state.hasPrefix("in use") } }
        }
        guard areUsed else {
            throw OperatorError(
                .diskFailed,
                "node \(node.rawValue) does not use the new disk after 30 s; its log is \(configuration.logPath(of: node))"
            )
        }
    }
}
