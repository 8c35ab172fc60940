import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

struct DiskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disk", abstract: "Show, add, replace, drain and remove disks.",
        discussion: """
            Examples:
              stave disk list                                     fill, replicas, traffic
              stave disk add 2                                    disks that the configuration has and the cluster has not
              stave disk replace /data/node-2/disk                an empty folder takes the place of a disk that failed
              stave disk drain /data/node-2/disk-b                its replicas go elsewhere
              stave disk remove /data/node-2/disk-b               when it is empty
            """,
        subcommands: [List.self, Add.self, Replace.self, Drain.self, Resume.self, Remove.self],
        defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the disks with their fill, replicas and traffic.",
            discussion: "Example:\n  stave disk list --json | jq '.[] | {path, logSyncMicroseconds}'")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        struct Line: Encodable {
            var node: Int
            var id: String
            /// Nil while the node does not answer, or has not opened it.
            var status: DiskStatus?
            var path: String
            /// "full" or "draining".
            var duty: String
        }

        func run() throws {
            let cluster = try cluster.open()
            let (answers, _) = cluster.askAll(AdminQuestion(.status), NodeReport.self)
            let map = try cluster.ask(AdminQuestion(.map), MapReport.self)
            let lines = map.disks.sorted { ($0.node, $0.path) < ($1.node, $1.path) }.map { disk in
                Line(
                    node: disk.node, id: disk.id,
                    status: answers.first { Int($0.id.rawValue) == disk.node }?.answer.disks.first { $0.id == disk.id },
                    path: disk.path, duty: disk.duty ?? "full")
            }
            if output.json { return try printJSON(lines) }
            var table = Table("node", "disk", "free", "total", "replicas", "written", "log sync", "path", "state")
            for line in lines {
                guard let disk = line.status else {
                    table.add(
                        "\(line.node)", String(line.id.prefix(8)), "-", "-", "-", "-", "-", line.path,
                        "unknown: its node does not answer, or cannot open it")
                    continue
                }
                table.add(
                    "\(line.node)", String(disk.id.prefix(8)), size(disk.freeBytes), size(disk.totalBytes),
                    "\(disk.replicas)",
                    size(disk.bytesWritten),
                    disk.logSyncs == 0 ? "-" : String(format: "%.0f µs", disk.logSyncMicroseconds),
                    disk.path, line.duty == "draining" ? "\(disk.state), draining" : disk.state)
            }
            print(table.text)
            for line in lines {
                guard let disk = line.status else { continue }
                if disk.state.hasPrefix("in use") {
                    guard let failure = disk.earlierFailure else { continue }
                    let text = "\(disk.path) of node \(line.node) learns its content anew, for it failed: \(failure)"
                    print("\n\(OperatorError(.diskLearns, text))")
                } else {
                    print("\n\(OperatorError(.diskFailed, "\(disk.path) of node \(line.node): \(disk.state)"))")
                }
            }
        }
    }
}
