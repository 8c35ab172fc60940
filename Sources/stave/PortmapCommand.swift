import Admin
import ArgumentParser
import ClusterModel
import Node

struct PortmapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "portmap", abstract: "Let gateways and a starting rpcbind share port 111.",
        subcommands: [Release.self])

    struct Release: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give port 111 up for a while, so that rpcbind can be started.",
            discussion: """
                Where no rpcbind runs, each gateway answers port 111 of its address itself. An rpcbind that is started beside
                that stays without IPv4 TCP for good. So let go first, then start it; the gateways register with it when the
                time is over. Where rpcbind did not come, they answer themselves again.

                Example:
                  stave portmap release && systemctl start rpcbind
                """)
        @Option(name: .long, help: ArgumentHelp("For how long, 1 … 3600.", valueName: "seconds")) var seconds = 30
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        struct Line: Encodable {
            var node: Int
            var address: String
            var outcome: String
        }

        func run() throws {
            guard (1...3600).contains(seconds) else { throw OperatorError(.usage, "--seconds is 1 … 3600") }
            let cluster = try cluster.open()
            var lines: [Line] = []
            for node in cluster.configuration.nodes where node.roles.contains(.interface) {
                let outcome = try cluster.ask(
                    node.id, AdminQuestion(.releasePortmap, ["seconds": "\(seconds)"]), PortmapRelease.self)
                lines.append(Line(node: Int(node.id.rawValue), address: node.address, outcome: outcome.rawValue))
            }
            if output.json { return try printJSON(lines) }
            for line in lines {
                print(
                    line.outcome == PortmapRelease.released.rawValue
                        ? "node \(line.node): port 111 of \(line.address) is free for \(seconds) s; start rpcbind now"
                        : "node \(line.node): does not hold port 111 of \(line.address)")
            }
        }
    }
}
