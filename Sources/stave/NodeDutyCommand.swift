import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

extension NodeCommand {
    struct Suspend: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have other nodes lead the placement groups of a node, and give it none.",
            discussion: """
                Examples:
                  stave node suspend 2             before work on node 2, or to take load off it
                  stave node suspend 2 --json
                  stave node resume 2
                Its groups are handed over at once; clients wait less than 100 ms for that. Its replicas, its reads and its
                gateway go on. It stays suspended through restarts until it is resumed.
                """)
        @Argument(help: ArgumentHelp("The node's id or name.", valueName: "node")) var node: String
        @Option(
            name: .long,
            help: ArgumentHelp("How long to wait for its groups to be handed over.", valueName: "seconds"))
        var timeout = 10.0
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            guard timeout >= 0, timeout <= 3600 else {
                throw OperatorError(.usage, "--timeout is 0 … 3600 seconds, not \(timeout)")
            }
            let cluster = try cluster.open()
            let id = try cluster.node(node)
            try cluster.setDuty(id, "suspended")
            let begin = Date()
            var left = cluster.led(by: id)
            let before = left.count
            while !left.isEmpty, Date().timeIntervalSince(begin) < timeout {
                usleep(20_000)
                left = cluster.led(by: id)
            }
            let answer = Duty(node: Int(id.rawValue), duty: "suspended", stillLeads: left)
            if output.json {
                try printJSON(answer)
            } else {
                let seconds = String(format: "%.2f", Date().timeIntervalSince(begin))
                print(
                    "Node \(id.rawValue) is suspended; \(before - left.count) groups were handed over in \(seconds) s")
            }
            guard left.isEmpty else {
                throw OperatorError(
                    .stillLeads, "node \(id.rawValue) leads \(left.joined(separator: " ")): no other member can yet")
            }
        }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a suspended node lead placement groups again.",
            discussion: """
                Examples:
                  stave node resume 2
                  stave node resume 2 --json
                The groups that placement gives to it come back a few at a time, once the cluster has been calm for 10 s.
                """)
        @Argument(help: ArgumentHelp("The node's id or name.", valueName: "node")) var node: String
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let cluster = try cluster.open()
            let id = try cluster.node(node)
            try cluster.setDuty(id, "full")
            if output.json {
                return try printJSON(Duty(node: Int(id.rawValue), duty: "full", stillLeads: cluster.led(by: id)))
            }
            print("Node \(id.rawValue) may lead groups again; those that are its own come back within a minute or so")
        }
    }

    struct Duty: Encodable {
        var node: Int
        /// "full" or "suspended".
        var duty: String
        /// Groups that it leads now.
        var stillLeads: [String]
    }
}

extension Cluster {
    /// A node by its id or name.
    func node(_ text: String) throws -> NodeID {
        let found = configuration.nodes.first { "\($0.id.rawValue)" == text || $0.name == text }
        guard let found else {
            throw OperatorError(.nodeUnknown, "\(configuration.name) has no node \"\(text)\"")
        }
        return found.id
    }

    func setDuty(_ id: NodeID, _ duty: String) throws {
        let _: Done = try ask(AdminQuestion(.setDuty, ["node": "\(id.rawValue)", "duty": duty]))
    }

    /// Groups that the node leads, as it says itself; none if it does not answer.
    fileprivate func led(by id: NodeID) -> [String] {
        (try? ask(id, AdminQuestion(.status), NodeReport.self).serving) ?? []
    }
}
