import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

struct ScrubCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scrub",
        abstract: "Read all replicas, check every block against its checksum, mend what is bad, and compare them.",
        discussion: """
            Clients go on meanwhile: copies are compared as of the same entry of their group's log, and asked again while they
            change. A block that does not match its checksum is written anew with what another replica holds under that checksum;
            nothing else is ever changed. Copies that differ although every block of them matches are reported, and left alone.
            The exit code is 0 only if in the end every group has all its copies, every block matches its checksum, and all
            copies agree.

            Examples:
              stave scrub
              stave scrub --pg d3 --pg m1
              stave scrub --json | jq '.groups[] | select(.agrees | not)'
            """)
    @Option(name: .long, help: ArgumentHelp("Only this group; may be given several times.", valueName: "group")) var pg:
        [String] = []
    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var output: OutputOptions

    struct Answer: Encodable {
        var agrees: Bool
        var groups: [Group]
        var objects: Int
        var blocks: Int
        /// Bad blocks, on all copies together, that were written anew.
        var mended: Int
    }

    struct Group: Encodable {
        var group: String
        var agrees: Bool
        var members: [Int]
        /// Copies that the group should have.
        var wanted: Int
        var objects: Int
        var blocks: Int
        /// By node: bad blocks that were written anew.
        var mended: [Int: Int]
        /// What is wrong, in words.
        var faults: [String]
        var differing: [ObjectComparison]
        var rows: ReplicaComparison.Rows?
    }

    func run() throws {
        let cluster = try cluster.open()
        for name in pg where PGID(name) == nil {
            throw OperatorError(.usage, "\"\(name)\" is no group; they are called d0, d1 … and m1 …")
        }
        var views = try GroupView.all(cluster)
        if !pg.isEmpty {
            for name in pg where !views.contains(where: { $0.group == name }) {
                throw OperatorError(.notFound, "there is no group \(name)")
            }
            views = views.filter { pg.contains($0.group) }
        }
        let begin = Date()
        var last = begin
        var answer = Answer(agrees: true, groups: [], objects: 0, blocks: 0, mended: 0)
        for (i, view) in views.enumerated() {
            let group = try scrub(view, cluster)
            answer.groups.append(group)
            answer.objects += group.objects
            answer.blocks += group.blocks
            answer.mended += group.mended.values.reduce(0, +)
            if !group.agrees { answer.agrees = false }
            if !output.json, !group.agrees || !group.mended.isEmpty { print(text(group)) }
            if Date().timeIntervalSince(last) > 1 {
                last = Date()
                say(
                    "    \(i + 1) of \(views.count) groups, \(answer.objects) objects, \(size(UInt64(answer.blocks * Geometry.blockSize))) per copy"
                )
            }
        }
        if output.json {
            try printJSON(answer)
        } else {
            let what =
                "\(views.count) groups, \(answer.objects) objects, \(size(UInt64(answer.blocks * Geometry.blockSize))) per copy, \(String(format: "%.1f", Date().timeIntervalSince(begin))) s"
            if answer.mended > 0 {
                print("\(answer.mended) bad blocks were written anew with what other replicas hold.")
            }
            print(answer.agrees ? "All replicas agree (\(what))." : "REPLICAS DO NOT AGREE (\(what)).")
        }
        if !answer.agrees {
            let bad = answer.groups.filter { !$0.agrees }
            throw OperatorError(
                .scrubDiffers,
                "\(bad.count) of \(views.count) groups: \(bad.prefix(8).map(\.group).joined(separator: ", "))")
        }
    }

    private func scrub(_ view: GroupView, _ cluster: Cluster) throws -> Group {
        var group = Group(
            group: view.group, agrees: true, members: view.inSync, wanted: view.placement.count, objects: 0, blocks: 0,
            mended: [:], faults: [],
            differing: [])
        if view.inSync.count < view.placement.count {
            group.faults.append("\(view.inSync.count) of \(view.placement.count) copies are in sync")
        }
        let comparison = ReplicaComparison(cluster, group: view.group, members: view.inSync.map { NodeID(UInt16($0)) })
        do throws(any Error) {
            if PGID(view.group)?.isMetadata == true {
                let rows = try comparison.rows()
                group.rows = rows
                if !rows.agrees { group.faults.append("the rows differ") }
            } else {
                var names = try comparison.names()[...]
                while !names.isEmpty {
                    for result in try comparison.compare(Array(names.prefix(ReplicaComparison.objectsAtOnce))) {
                        group.objects += 1
                        group.blocks += result.copies.first?.blocks ?? 0
                        if !result.agrees { group.differing.append(result) }
                        for copy in result.copies where copy.mended > 0 {
                            group.mended[copy.node, default: 0] += copy.mended
                        }
                    }
                    names = names.dropFirst(ReplicaComparison.objectsAtOnce)
                }
            }
        } catch let error as OperatorError {
            group.faults.append(error.message)
        }
        group.agrees = group.faults.isEmpty && group.differing.isEmpty
        return group
    }

    private func text(_ group: Group) -> String {
        var said = group.faults
        if said.isEmpty, !group.differing.isEmpty { said.append("\(group.differing.count) objects differ") }
        for (node, count) in group.mended.sorted(by: { $0.key < $1.key }) {
            said.append("node \(node): \(count) bad blocks mended")
        }
        var lines = ["\(group.group): " + said.joined(separator: "; ")]
        for object in group.differing.prefix(16) { lines.append("  \(object.object.description): \(object.summary)") }
        if group.differing.count > 16 { lines.append("  … and \(group.differing.count - 16) more") }
        if let rows = group.rows, !rows.agrees {
            for copy in rows.copies {
                lines.append(
                    "  node \(copy.node): \(copy.rows.rows) rows as of \(copy.rows.asOf), digest \(copy.rows.digest)")
            }
        }
        return lines.joined(separator: "\n")
    }
}
