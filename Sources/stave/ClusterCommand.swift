import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

struct ClusterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster", abstract: "Create, start, stop and remove a whole cluster on this machine.",
        discussion: """
            Examples:
              stave cluster up cluster-configs/three-nodes.yaml    create it if need be, start it, wait until it serves
              stave cluster status                                 is it healthy? (exit code 0 or 4)
              stave cluster upgrade                                after all nodes run a newer program
              stave cluster down                                   stop it; the data stays
              stave cluster wipe --yes                             stop it and remove its data for good
            """,
        subcommands: [Up.self, Down.self, Status.self, Upgrade.self, Wipe.self])

    /// The cluster that a command of this kind names: the argument, else the last one.
    static func open(_ config: String?) throws -> Cluster {
        if let config { return try Cluster(file: config) }
        guard let last = LastCluster.read() else {
            throw OperatorError(.noCluster, "no cluster was started here last, and no configuration was named")
        }
        return try Cluster(file: last)
    }

    struct Up: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start a cluster, and create it before if nothing of it exists.",
            discussion: """
                Starts the nodes that do not run and waits until every placement group and every gateway serves. Running it
                again starts what is missing and harms nothing. If part of the cluster exists and part is missing (a disk is
                not mounted), it creates nothing and names what is missing.

                Example:
                  stave cluster up cluster-configs/three-nodes.yaml
                """)
        @Argument(help: ArgumentHelp("The configuration.", valueName: "config"))
        var config: String?
        @Option(name: .long, help: ArgumentHelp("Seconds to wait until it is healthy.", valueName: "seconds"))
        var wait: Double = 60

        func run() throws {
            let cluster = try ClusterCommand.open(config)
            let lock = try ClusterCommand.lock(cluster)
            defer { withExtendedLifetime(lock) {} }
            let start = ClusterStart(launcher: cluster.launcher) { say("==> \($0)") }
            let begin = Date()
            // What is created is its user's alone.
            umask(0o077)
            _ = try start.createIfAbsent()
            try LastCluster.write(cluster.file)
            let started = try start.startMissing()
            if started.isEmpty { say("==> All nodes of \(cluster.configuration.name) run already") }
            try start.awaitHealth(started, seconds: wait)
            say(
                String(
                    format: "==> %@ is healthy (%.1f s)", cluster.configuration.name, Date().timeIntervalSince(begin)))
            warnOfPortmapper(cluster.configuration)
            print(NextSteps.text(cluster.configuration))
        }

        /// QEMU's driver asks the portmapper for the port: where none answers, nfs:// does not work.
        private func warnOfPortmapper(_ configuration: ClusterConfiguration) {
            guard configuration.limits.portmapPort == 111, configuration.limits.nfsPort == 2049 else { return }
            let deaf = configuration.nodes.filter {
                $0.roles.contains(.interface) && !ClusterHealth.answers($0.address, 111)
            }
            guard let first = deaf.first else { return }
            say(
                "warning: nothing answers on port 111 of \(first.address), so QEMU's nfs:// does not find the gateway; "
                    + "`stave preflight` tells why")
        }
    }

    /// Taken by what starts, stops or removes a cluster.
    static func lock(_ cluster: Cluster) throws -> ClusterLock {
        try ClusterLock(configuration: cluster.file) {
            say("==> Waiting for another command that works on \(cluster.configuration.name)")
        }
    }

    struct Down: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop a cluster and keep its data.",
            discussion: "Example:\n  stave cluster down cluster-configs/three-nodes.yaml")
        @Argument(
            help: ArgumentHelp("The configuration; without it, the cluster that was started last.", valueName: "config")
        )
        var config: String?

        func run() throws {
            let cluster = try ClusterCommand.open(config)
            let lock = try ClusterCommand.lock(cluster)
            defer { withExtendedLifetime(lock) {} }
            ClusterCommand.stop(cluster)
        }
    }

    static func stop(_ cluster: Cluster) {
        let ids = cluster.configuration.nodes.map(\.id)
        let running = ids.filter { cluster.launcher.running($0) != nil }
        if running.isEmpty { return say("==> No node of \(cluster.configuration.name) runs") }
        say(
            "==> Stopping \(running.count) node\(running.count == 1 ? "" : "s") of \(cluster.configuration.name) (their disks are made clean)"
        )
        cluster.launcher.stop(ids) { id, outcome in
            switch outcome {
            case .wasNotRunning: break
            case .stopped: say("    node \(id.rawValue) has ended")
            case .killed:
                say(
                    "warning: node \(id.rawValue) did not end within 30 s and was killed; its log is \(cluster.configuration.logPath(of: id))"
                )
            }
        }
    }

    struct Wipe: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop a cluster and remove its data, for good.",
            discussion: "Example:\n  stave cluster wipe --yes cluster-configs/three-nodes.yaml")
        @Argument(
            help: ArgumentHelp("The configuration; without it, the cluster that was started last.", valueName: "config")
        )
        var config: String?
        @Flag(name: .long, help: "Do not ask.")
        var yes = false

        func run() throws {
            let cluster = try ClusterCommand.open(config)
            let removal = ClusterRemoval(cluster.configuration)
            if removal.paths.isEmpty { return say("==> Nothing of \(cluster.configuration.name) exists") }
            if !yes {
                guard isatty(0) == 1 else {
                    throw OperatorError(.refused, "wiping removes all data of \(cluster.configuration.name); say --yes")
                }
                say(
                    "This removes all data of \(cluster.configuration.name):\n"
                        + removal.paths.map { "  \($0)" }.joined(separator: "\n"))
                say("Type the cluster's name to go on:")
                guard readLine() == cluster.configuration.name else {
                    throw OperatorError(.refused, "nothing was removed")
                }
            }
            let lock = try ClusterCommand.lock(cluster)
            defer { withExtendedLifetime(lock) {} }
            ClusterCommand.stop(cluster)
            try ClusterRemoval(cluster.configuration).run()
            LastCluster.forget(cluster.file)
            say("==> Removed the data of \(cluster.configuration.name)")
        }
    }

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say whether a cluster is healthy: exit code 0 if all of it serves, 4 if not.",
            discussion: "Example:\n  stave cluster status --json")
        @Argument(
            help: ArgumentHelp("The configuration; without it, the cluster that was started last.", valueName: "config")
        )
        var config: String?
        @OptionGroup var output: OutputOptions

        struct Answer: Encodable {
            var name: String
            var configuration: String
            var isHealthy: Bool
            var nodesRunning: [Int]
            var nodesSilent: [Int]
            var groups: Int
            var groupsUnserved: Int?
            var gatewaysDeaf: [Int]
        }

        func run() throws {
            let cluster = try ClusterCommand.open(config)
            let health = ClusterHealth.check(cluster.configuration)
            let answer = Answer(
                name: cluster.configuration.name, configuration: cluster.file, isHealthy: health.isHealthy,
                nodesRunning: health.reports.map(\.node), nodesSilent: health.silent.map { Int($0.id.rawValue) },
                groups: health.groupCount, groupsUnserved: health.unserved,
                gatewaysDeaf: health.deafGateways.map { Int($0.rawValue) })
            if output.json {
                try printJSON(answer)
            } else {
                print("\(answer.name): \(health.isHealthy ? "healthy" : "not healthy"); \(health.progress)")
                for (id, reason) in health.silent { print("  node \(id.rawValue): \(reason)") }
            }
            if !health.isHealthy { throw ExitCode(4) }
        }
    }
}

/// What `cluster up` says at its end.
enum NextSteps {
    static func text(_ configuration: ClusterConfiguration) -> String {
        guard let gateway = configuration.nodes.first(where: { $0.roles.contains(.interface) }) else { return "" }
        let path = configuration.exports.first?.path ?? "/images"
        let port = configuration.limits.nfsPort
        let options = port == 2049 ? "vers=3" : "vers=3,port=\(port),mountport=\(port)"
        let url = "nfs://\(gateway.address)\(path)"
        let suffix = port == 2049 ? "" : "?nfsport=\(port)&mountport=\(port)"
        var lines = ["Next:"]
        if configuration.exports.isEmpty {
            lines.append("  stave export create /images --folder / --clients 127.0.0.0/8    let clients in")
        } else {
            if port == 2049 {
                lines.append("  qemu-img create -f raw \(url)/vm.img 10G")
                lines.append("  qemu-img convert -p -O raw disk.qcow2 \(url)/disk.img")
            }
            lines.append("  nfs-ls '\(url)\(suffix)'")
            lines.append("  mount -t nfs -o \(options),nolock \(gateway.address):\(path) /mnt")
        }
        lines.append("  stave status")
        lines.append("Logs: \(configuration.dataFolder)/log/node-*.log")
        return lines.joined(separator: "\n")
    }
}
