import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

extension ClusterCommand {
    struct Upgrade: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put into force what a newer program does differently, once all nodes run it.",
            discussion: """
                Nodes of this and the last versions serve together: install the new program, then stop and start one node after
                the other. Until this command the cluster does as the older program did (`stave status` says so). From then
                on an older program cannot serve it any more. It is refused while a node is down or runs an older one.

                Examples:
                  stave cluster upgrade
                  stave cluster upgrade --json
                """)
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        struct Answer: Encodable {
            /// Metadata semantics in force before and now.
            var before: UInt32?
            var semantics: UInt32
        }

        func run() throws {
            let cluster = try cluster.open()
            let report: NodeReport = try cluster.ask(AdminQuestion(.status))
            let _: Done = try cluster.ask(AdminQuestion(.upgrade))
            let answer = Answer(before: report.semantics, semantics: ClusterMap.newestSemantics)
            if output.json { return try printJSON(answer) }
            if report.semantics == answer.semantics {
                print("\(cluster.configuration.name) is up to date: metadata semantics \(answer.semantics)")
            } else {
                let before = report.semantics.map { "\($0)" } ?? "unknown"
                print(
                    "\(cluster.configuration.name) has metadata semantics \(answer.semantics) from now on (before: \(before))"
                )
            }
        }
    }
}
