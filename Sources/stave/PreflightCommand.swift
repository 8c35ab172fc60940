import ArgumentParser
import Foundation
import Node

struct PreflightCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preflight", abstract: "Check whether this machine can run a cluster, and print each fix.",
        discussion: """
            Looks at addresses, ports, rpcbind, folders, memory and clients' packages; changes nothing. The exit code is 0
            unless something stands in the way; warnings do not.

            Examples:
              stave preflight cluster-configs/three-nodes.yaml
              stave preflight --json | jq '.[] | select(.verdict != "good") | .fix'
            """)
    @Argument(
        help: ArgumentHelp("The configuration; without it, the cluster that was started last.", valueName: "config"))
    var config: String?
    @OptionGroup var output: OutputOptions

    func run() throws {
        let cluster = try ClusterCommand.open(config)
        let checks = Preflight(cluster.launcher).run()
        if output.json {
            try printJSON(checks)
        } else {
            for check in checks {
                let mark =
                    switch check.verdict {
                    case .good: "ok     "
                    case .warning: "warning"
                    case .bad: "FAILED "
                    }
                print("\(mark)  \(check.name): \(check.found)")
                if let fix = check.fix { print("           fix: \(fix)") }
            }
        }
        let bad = checks.filter { $0.verdict == .bad }
        if !bad.isEmpty { throw OperatorError(.preflight, "\(bad.map(\.name).joined(separator: ", "))") }
    }
}
