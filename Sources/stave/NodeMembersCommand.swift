import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

extension NodeCommand {
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a node into the cluster that the configuration describes and the cluster has not.",
            discussion: """
                Write the node into the configuration first, as the others are; then:
                  stave node add 4                 makes its disks, adds it to the map, starts it
                  stave node add 4 --wait 600      and waits until it holds its share
                Its disks' folders must be absent or empty. About one in N + 1 of the replicas move to it, while clients go on.
                """)
        @Argument(help: ArgumentHelp("The node's id or name.", valueName: "node")) var node: String
        @OptionGroup var moving: MovingOptions
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            try moving.check()
            let cluster = try cluster.open()
            let id = try cluster.node(node)
            let lock = try ClusterCommand.lock(cluster)
            defer { withExtendedLifetime(lock) {} }
            guard let described = cluster.configuration.node(id) else { return }
            let map = try cluster.ask(try cluster.anyNode(except: id), AdminQuestion(.map), MapReport.self)
            let isNew = !map.nodes.contains { $0.id == Int(id.rawValue) }
            if isNew {
                umask(0o077)
                let disks = try cluster.makeDisks(described.disks, of: id, map)
                let _: Done = try cluster.ask(
                    try cluster.anyNode(except: id),
                    AdminQuestion(
                        .addNode,
                        [
                            "node": "\(id.rawValue)", "name": described.name, "address": described.address,
                            "roles": "\(described.roles.rawValue)", "domain": try json(described.failureDomain),
                            "disks": try json(disks),
                        ]))
                say("==> Node \(id.rawValue) is in the map")
            } else {
                say("==> Node \(id.rawValue) is in the cluster already")
            }
            try cluster.startAndAwait(id)
            try moving.report(cluster, output) { $0.placement.contains { $0.node == Int(id.rawValue) } }
        }
    }

    struct Drain: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have other nodes hold and lead what a node holds, so that it can be removed.",
            discussion: """
                Examples:
                  stave node drain 3               begins; again, it shows how far it is
                  stave node drain 3 --wait 3600   waits until the node holds nothing
                  stave node resume 3              changes one's mind
                  stave node remove 3              when it is empty
                The number of copies never falls by it. A node that is gone for good is drained in the same way: its groups are
                copied from their other members.
                """)
        @Argument(help: ArgumentHelp("The node's id or name.", valueName: "node")) var node: String
        @OptionGroup var moving: MovingOptions
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            try moving.check()
            let cluster = try cluster.open()
            let id = try cluster.node(node)
            try cluster.setDuty(id, "draining")
            try moving.report(cluster, output) { $0.names(Int(id.rawValue)) }
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a node that was drained out of the cluster for good, and stop it.",
            discussion: """
                Examples:
                  stave node drain 3 --wait 3600 && stave node remove 3
                  stave node remove 3 --wipe       removes the folders of its disks, too
                Take it out of the configuration afterwards. Its id may be used again.
                """)
        @Argument(help: ArgumentHelp("The node's id or name.", valueName: "node")) var node: String
        @Flag(help: "Remove the folders of its disks.") var wipe = false
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let cluster = try cluster.open()
            let id = try cluster.node(node)
            let lock = try ClusterCommand.lock(cluster)
            defer { withExtendedLifetime(lock) {} }
            let other = try cluster.anyNode(except: id)
            let map = try cluster.ask(other, AdminQuestion(.map), MapReport.self)
            let disks = map.disks.filter { $0.node == Int(id.rawValue) }
            if let known = map.nodes.first(where: { $0.id == Int(id.rawValue) }) {
                guard known.duty == "draining" || disks.isEmpty else {
                    throw OperatorError(
                        .refused,
                        "node \(id.rawValue) holds replicas; `stave node drain \(id.rawValue)` moves them away first")
                }
                let left = try GroupView.all(cluster).filter { $0.names(known.id) }
                guard left.isEmpty else {
                    throw OperatorError(
                        .refused,
                        "node \(id.rawValue) still belongs to \(left.count) groups (\(left[0].group) …); wait until it is empty"
                    )
                }
                cluster.launcher.stop([id]) { id, outcome in
                    if outcome != .wasNotRunning { say("    node \(id.rawValue) has ended") }
                }
                try remove(id, cluster, other)
            }
            if wipe {
                for disk in disks where FileManager.default.fileExists(atPath: disk.path) {
                    try FileManager.default.removeItem(atPath: disk.path)
                    say("    \(disk.path) is removed")
                }
            }
            if output.json { return try printJSON(Removed(node: Int(id.rawValue), disks: disks.map(\.path))) }
            print("Node \(id.rawValue) has left the cluster; take it out of \(cluster.file)")
        }

        struct Removed: Encodable {
            var node: Int
            /// Folders of its disks, on the machine that it ran on.
            var disks: [String]
        }

        /// A node that was killed has a lease for some seconds more.
        private func remove(_ id: NodeID, _ cluster: Cluster, _ other: NodeID) throws {
            var refusal: OperatorError?
            let isRemoved = try holds(within: 15, every: 250) {
                do throws(OperatorError) {
                    let _: Done = try cluster.ask(other, AdminQuestion(.removeNode, ["node": "\(id.rawValue)"]))
                    return true
                } catch {
                    guard error.code == .nodeNotRunning else { throw error }
                    refusal = error
                    return false
                }
            }
            if !isRemoved, let refusal { throw refusal }
        }
    }
}

/// How commands that move replicas wait and report.
struct MovingOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Wait so long until everything is in place; exit code 4 if it is not.", valueName: "seconds")
    )
    var wait: Double?

    func check() throws {
        if let wait, wait < 0 || wait > 31_536_000 {
            throw OperatorError(.usage, "--wait is 0 … 31536000 seconds, not \(wait)")
        }
    }

    struct Answer: Encodable {
        /// Groups that it is about, and those of them whose replicas are not in place yet.
        var groups: Int
        var moving: Int
    }

    /// Waits if that is wanted, and tells how far it is. `concerned`: the groups that it is about.
    func report(_ cluster: Cluster, _ output: OutputOptions, _ concerned: (GroupView) -> Bool) throws {
        var lastTold = Date()
        // The primaries hear of a change of the map within a moment.
        usleep(300_000)
        var views: [GroupView] = []
        _ = try holds(within: wait ?? 0, every: 250) {
            views = try GroupView.all(cluster)
            let count = views.filter(\.isMoving).count
            if count > 0, Date().timeIntervalSince(lastTold) > 5 {
                lastTold = Date()
                say("    \(count) groups are moving")
            }
            return count == 0
        }
        let answer = Answer(groups: views.filter(concerned).count, moving: views.filter(\.isMoving).count)
        if output.json {
            try printJSON(answer)
        } else if answer.moving == 0 {
            print("Everything is in place; it concerns \(answer.groups) groups now")
        } else {
            print(
                "It concerns \(answer.groups) groups now; \(answer.moving) are moving (`stave pg list`, `stave status` show how far)"
            )
        }
        if wait != nil, answer.moving > 0 {
            throw OperatorError(.stillMoving, "\(answer.moving) groups are not in place yet")
        }
    }
}

extension GroupView {
    /// Whether the record names the node.
    func names(_ node: Int) -> Bool {
        inSync.contains(node) || learners.contains(node) || placement.contains { $0.node == node }
    }

    /// Whether others hold the group than those that should, or nobody serves it.
    var isMoving: Bool {
        Set(inSync) != Set(placement.map(\.node)) || !replicas.contains(where: \.status.isServing)
            || !inSyncDisks.isEmpty && Set(inSyncDisks) != Set(placement.map(\.disk))
    }
}

extension Cluster {
    func anyNode(except id: NodeID) throws(OperatorError) -> NodeID {
        var last = "it has no other"
        for node in configuration.nodes where node.id != id {
            do throws(OperatorError) {
                _ = try ask(node.id, AdminQuestion(.status), NodeReport.self)
                return node.id
            } catch {
                last = error.message
            }
        }
        throw OperatorError(.nodeNotRunning, "no other node of \(configuration.name) answers (\(last))")
    }

    /// Makes folders disks of a node.
    func makeDisks(
        _ disks: [DiskConfiguration], of id: NodeID, _ map: MapReport
    ) throws(OperatorError) -> [DiskArgument] {
        guard let cluster = ClusterID(hex: map.cluster) else {
            throw OperatorError(.refused, "the cluster's id \(map.cluster) cannot be read")
        }
        let known = map.disks.compactMap { DiskID(hex: $0.id) }
        var made: [DiskArgument] = []
        for disk in disks {
            let made1 = try DiskMaking.make(path: disk.path, cluster: cluster, node: id, known: known)
            made.append(DiskArgument(id: made1, path: disk.path, weight: disk.weight))
        }
        return made
    }

    /// Starts a node if it does not run, and waits until it takes part.
    func startAndAwait(_ id: NodeID) throws {
        var process: Int32?
        if launcher.running(id) == nil {
            process = try launcher.start(id)
            say("==> Started node \(id.rawValue) (process \(process ?? 0))")
        }
        let takesPart = try holds(within: 60) {
            if let report = try? ask(id, AdminQuestion(.status), NodeReport.self), report.session != nil { return true }
            if let process, NodeLauncher.hasEnded(process), launcher.running(id) == nil {
                throw OperatorError(
                    .nodeFailed,
                    "node \(id.rawValue) ended while it was starting; the end of \(configuration.logPath(of: id)):\n"
                        + launcher.logEnd(id).map { "    | \($0)" }.joined(separator: "\n"))
            }
            return false
        }
        guard takesPart else {
            throw OperatorError(.notHealthy, "node \(id.rawValue) does not take part after 60 s")
        }
    }
}

/// A value as text of a question.
func json(_ value: some Encodable) throws -> String {
    String(decoding: try AdminCoding.encode(value), as: UTF8.self)
}
