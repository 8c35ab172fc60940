import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Glibc
import Logging
import Node
import Wire

struct NodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "Run a node; list, add, suspend, drain and remove nodes.",
        discussion: """
            Examples:
              stave node --config cluster-configs/three-nodes.yaml --id 1    run node 1 until SIGTERM or SIGINT
              stave node list                                                all nodes, and how they are
              stave node suspend 2                                           other nodes lead its groups
              stave node resume 2                                            it leads its own again
              stave node add 4                                               the configuration has it, the cluster has not
              stave node drain 3                                             other nodes take over what it holds
              stave node remove 3                                            when it is empty
            `stave cluster up` starts the nodes of a cluster on this machine; run one yourself only to debug it.
            """,
        subcommands: [Run.self, List.self, Add.self, Suspend.self, Resume.self, Drain.self, Remove.self],
        defaultSubcommand: Run.self)

    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run one node in this process until SIGTERM or SIGINT.")

        @Option(name: .long, help: ArgumentHelp("The cluster's configuration.", valueName: "file"))
        var config: String

        @Option(name: .long, help: ArgumentHelp("The node's id in it.", valueName: "number"))
        var id: UInt16

        @Option(name: .long, help: "What to log: trace, debug, info, notice, warning, error or critical.")
        var logLevel: String = "info"

        @Option(
            name: .long,
            help: ArgumentHelp(
                "Speak no later version of the protocol between nodes: for tests of versions side by side.",
                valueName: "version", visibility: .hidden))
        var newestProtocol: UInt16 = ProtocolVersion.newest.rawValue

        func run() throws {
            guard let version = ProtocolVersion(rawValue: newestProtocol) else {
                throw OperatorError(
                    .usage,
                    "this program speaks protocols \(ProtocolVersion.oldest.rawValue) to \(ProtocolVersion.newest.rawValue), not \(newestProtocol)"
                )
            }
            guard let level = Logger.Level(rawValue: logLevel) else {
                throw OperatorError(.usage, "\"\(logLevel)\" is no level of the log")
            }
            let cluster = try Cluster(file: config)
            let node = NodeID(id)
            guard cluster.configuration.node(node) != nil else {
                throw OperatorError(.nodeUnknown, "\(cluster.configuration.name) has no node \(id)")
            }
            // Sockets and files of a node are its user's alone.
            umask(0o077)
            try cluster.launcher.prepareFolders()
            let lock = try NodeLock(of: node, at: cluster.configuration.lockPath(of: node))
            let file = cluster.configuration.processPath(of: node)
            // One that was started before there were locks has this only.
            if let other = NodeProcessFile.running(at: file), other.process != getpid() {
                throw OperatorError(.refused, "node \(id) runs already, as process \(other.process)")
            }
            try NodeProcessFile.write(to: file)
            defer {
                unlink(file)
                withExtendedLifetime(lock) {}
            }
            LoggingSystem.bootstrap(StreamLogHandler.standardError)
            MetricsRegistry.bootstrap()
            var logger = Logger(label: "node-\(id)")
            logger.logLevel = level
            try NodeProcess.run(
                configuration: cluster.configuration, id: node, newestProtocol: version, logger: logger)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the nodes and how they are.",
            discussion: "Example:\n  stave node list --json | jq '.[] | select(.state != \"running\")'")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        struct Line: Encodable {
            var id: Int
            var name: String
            var address: String
            var roles: [String]
            var state: String
            /// "full", "suspended" or "draining"; nil while no node answers.
            var duty: String?
            var process: Int?
            var lease: UInt32?
            var session: UInt64?
            var serving: Int?
        }

        func run() throws {
            let cluster = try cluster.open()
            let (reports, silent) = cluster.askAll(AdminQuestion(.status), NodeReport.self)
            let newest = reports.map(\.answer).max { $0.mapVersion < $1.mapVersion }
            let lines = cluster.configuration.nodes.map { node -> Line in
                let report = reports.first { $0.id == node.id }?.answer
                let process = cluster.launcher.running(node.id)
                let state: String =
                    if report != nil { "running" } else if let process, process.isStopped {
                        "stopped by a signal"
                    } else if process != nil {
                        "silent: \(silent.first { $0.id == node.id }?.reason ?? "no answer")"
                    } else if newest?.isMember(Int(node.id.rawValue)) == false {
                        "not in the cluster: `stave node add` takes it in"
                    } else { "not running" }
                return Line(
                    id: Int(node.id.rawValue), name: node.name, address: node.address, roles: node.roles.words,
                    state: state,
                    duty: newest.map { $0.duty(of: Int(node.id.rawValue)) },
                    process: report?.process ?? process.map { Int($0.process) }, lease: report?.lease,
                    session: report?.session,
                    serving: report?.serving.count)
            }
            if output.json { return try printJSON(lines) }
            var table = Table("id", "name", "address", "roles", "process", "lease", "session", "primary of", "state")
            for line in lines {
                table.add(
                    "\(line.id)", line.name, line.address, line.roles.joined(separator: ","), text(line.process),
                    text(line.lease),
                    text(line.session), line.serving.map { "\($0) groups" } ?? "-",
                    line.duty == nil || line.duty == "full" ? line.state : "\(line.state), \(line.duty ?? "")")
            }
            print(table.text)
        }
    }
}

extension NodeReport {
    /// Whether the cluster has the node; the configuration may have others.
    func isMember(_ node: Int) -> Bool { members?.contains { $0.node == node } ?? true }

    /// "full", "suspended" or "draining".
    func duty(of node: Int) -> String { members?.first { $0.node == node }?.duty ?? "full" }
    func nodes(of duty: String) -> [Int] { (members ?? []).filter { $0.duty == duty }.map(\.node) }
}

func text<T>(_ value: T?) -> String { value.map { "\($0)" } ?? "-" }

extension NodeRoles {
    var words: [String] {
        [(NodeRoles.storage, "storage"), (.interface, "interface"), (.management, "management")].filter {
            contains($0.0)
        }.map(\.1)
    }
}
