import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

struct ObjectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "object", abstract: "Show where the bytes of a file lie.",
        discussion: """
            Examples:
              stave object locate /images/vm.img
              stave object locate /images/vm.img --verify        read the bytes on every disk and compare
              stave object locate /images/vm.img --offset 1048576
            """,
        subcommands: [Locate.self])

    struct Locate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show which objects, placement groups and disks hold a file's bytes.",
            discussion: """
                A file is dealt in stripe units to objects of at most 4 MiB; each object belongs to a placement group, and the
                group's members have a copy each. With --verify each member reads its copy, checks every block against its
                checksum, and gives a digest; the exit code is 0 only if all copies agree.
                """)
        @Argument(help: ArgumentHelp("A path in the cluster, such as /images/vm.img.", valueName: "path")) var path:
            String
        @Flag(name: .long, help: "Read and compare the copies on all disks.") var verify = false
        @Option(name: .long, help: ArgumentHelp("Only the object that holds this byte.", valueName: "byte")) var offset:
            UInt64?
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        struct Answer: Encodable {
            var path: String
            var fileset: Int
            var inode: UInt64
            var size: UInt64
            var stripeUnit: Int
            var stripeCount: Int
            var objects: [Object]
            /// With --verify: whether all copies agree.
            var agree: Bool?
        }

        struct Object: Encodable {
            var index: UInt64
            var group: String
            var primary: Int?
            var ranges: [[UInt64]]
            var members: [MemberReport]
            var comparison: ObjectComparison?
        }

        func run() throws {
            let cluster = try cluster.open()
            var answer: Answer?
            var first: UInt64? = 0
            while let from = first {
                let page: LocationReport = try cluster.ask(AdminQuestion(.locate, ["path": path, "first": "\(from)"]))
                first = page.next
                let objects = page.objects.filter { object in
                    offset.map { at in object.ranges.contains { $0[0] <= at && at < $0[0] + $0[1] } } ?? true
                }.map {
                    Object(
                        index: $0.index, group: $0.group, primary: $0.primary, ranges: $0.ranges, members: $0.members)
                }
                if answer == nil {
                    answer = Answer(
                        path: page.path, fileset: page.fileset, inode: page.inode, size: page.size,
                        stripeUnit: page.stripeUnit,
                        stripeCount: page.stripeCount, objects: [])
                }
                answer?.objects += objects
            }
            guard var answer else { return }
            if verify { try check(&answer, cluster) }
            if output.json { try printJSON(answer) } else { print(text(answer, cluster)) }
            if answer.agree == false { throw ExitCode(1) }
        }

        private func check(_ answer: inout Answer, _ cluster: Cluster) throws {
            var agree = true
            for i in answer.objects.indices {
                let object = answer.objects[i]
                let members = object.members.filter { $0.state == "in-sync" }.map { NodeID(UInt16($0.node)) }
                let name = ScrubObject(fileset: UInt32(answer.fileset), inode: answer.inode, index: object.index)
                let comparison = try ReplicaComparison(cluster, group: object.group, members: members).compare([name])[
                    0]
                if !comparison.agrees { agree = false }
                answer.objects[i].comparison = comparison
            }
            answer.agree = agree
        }

        private func text(_ answer: Answer, _ cluster: Cluster) -> String {
            var lines = [
                "\(answer.path): \(size(answer.size)), fileset \(answer.fileset), inode \(answer.inode); stripes of \(answer.stripeCount) x \(size(UInt64(answer.stripeUnit))), \(answer.objects.count) objects"
            ]
            var table = Table(
                "object", "group", "primary", "copies on nodes", "bytes of the file", verify ? "copies" : "")
            var nodes: [Int: Int] = [:]
            for object in answer.objects {
                for member in object.members { nodes[member.node, default: 0] += 1 }
                var ranges = object.ranges.prefix(4).map { "\($0[0])+\(size($0[1]))" }.joined(separator: " ")
                if object.ranges.count > 4 { ranges += " … \(object.ranges.count) units" }
                table.add(
                    "\(object.index)", object.group, stave.text(object.primary),
                    object.members.map { "\($0.node)\($0.state == "learner" ? " (learning)" : "")" }.joined(
                        separator: ","), ranges,
                    object.comparison?.summary ?? "")
            }
            lines.append(table.text)
            lines.append(
                "Copies by node: "
                    + nodes.sorted { $0.key < $1.key }.map { "node \($0.key): \($0.value)" }.joined(separator: ", "))
            for node in cluster.configuration.nodes where nodes[Int(node.id.rawValue)] != nil {
                lines.append("  node \(node.id.rawValue): \(node.disks.map(\.path).joined(separator: ", "))")
            }
            if let agree = answer.agree {
                lines.append(agree ? "All copies agree." : "COPIES DIFFER: see above, and `stave scrub`.")
            }
            return lines.joined(separator: "\n")
        }
    }
}
