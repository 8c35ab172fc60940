import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

/// A group as its record and all replicas show it.
struct GroupView: Encodable {
    var group: String
    /// "serving", "waiting" or "learning" (serving while a member catches up).
    var state: String
    var epoch: UInt64
    var primary: Int?
    var inSync: [Int]
    /// In the order of `inSync`.
    var inSyncDisks: [String]
    var learners: [Int]
    /// How far learners are, as the primary knows it.
    var catchUps: [CatchUpReport] = []
    var placement: [PlaceReport]
    var lossNumber: UInt64
    var replicas: [Replica]
    /// What its last scrub found.
    var scrub: ScrubSummary?
    /// What nodes say of scrubs that they lead, or that were interrupted.
    var scrubbing: [ScrubStatus] = []
    /// What nodes have found of one fileset's objects.
    var filesetScrubs: [FilesetScrub] = []

    struct Replica: Encodable {
        var node: Int
        var status: ReplicaStatus
    }

    /// What the nodes that answer say of every group.
    static func reports(_ cluster: Cluster) throws -> [String: [(node: Int, report: GroupReport)]] {
        let (answers, silent) = cluster.askAll(AdminQuestion(.groups), [GroupReport].self)
        guard !answers.isEmpty else {
            throw OperatorError(
                .nodeNotRunning, "no node of \(cluster.configuration.name) answers (\(silent.first?.reason ?? ""))")
        }
        var reports: [String: [(node: Int, report: GroupReport)]] = [:]
        for (id, answer) in answers {
            for report in answer { reports[report.group, default: []].append((Int(id.rawValue), report)) }
        }
        return reports
    }

    /// Of every group, from what the nodes that answer say.
    static func all(_ cluster: Cluster) throws -> [GroupView] {
        let (answers, silent) = cluster.askAll(AdminQuestion(.groups), [GroupReport].self)
        guard !answers.isEmpty else {
            throw OperatorError(
                .nodeNotRunning, "no node of \(cluster.configuration.name) answers (\(silent.first?.reason ?? ""))")
        }
        var views: [String: GroupView] = [:]
        var order: [String] = []
        for (id, reports) in answers {
            for report in reports {
                if views[report.group] == nil { order.append(report.group) }
                var view =
                    views[report.group]
                    ?? GroupView(
                        group: report.group, state: "waiting", epoch: 0, primary: nil, inSync: [], inSyncDisks: [],
                        learners: [],
                        placement: [],
                        lossNumber: 0, replicas: [])
                if report.epoch >= view.epoch {
                    view.epoch = report.epoch
                    view.primary = report.primary
                    view.inSync = report.inSync
                    view.inSyncDisks = report.inSyncDisks ?? []
                    view.learners = report.learners
                    view.placement = report.placement
                    view.lossNumber = report.lossNumber
                }
                if let scrub = report.scrub, scrub.started > view.scrub?.started ?? .min { view.scrub = scrub }
                if let status = report.scrubbing { view.scrubbing.append(status) }
                if let scrub = report.filesetScrub { view.filesetScrubs.append(scrub) }
                if let replica = report.replica {
                    view.replicas.append(Replica(node: Int(id.rawValue), status: replica))
                }
                views[report.group] = view
            }
        }
        return order.compactMap { name in
            guard var view = views[name] else { return nil }
            if let primary = view.replicas.first(where: \.status.isServing) {
                view.catchUps = primary.status.catchUps
                view.learners = Set(view.learners + view.catchUps.map(\.node)).sorted()
                view.state = view.learners.isEmpty ? "serving" : "learning"
            }
            return view
        }
    }
}

struct GroupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pg",
        abstract: "Show placement groups: who leads them, who is in sync; go on without lost members.",
        discussion: """
            Examples:
              stave pg list
              stave pg list --json | jq '.[] | select(.state != "serving")'
              stave pg list --json | jq '.[].catchUps[] | {node, stage, copiedObjects, objects, secondsLeft}'
              stave pg show d12            one group with all its replicas (data groups are d0 …, metadata groups m1 …)
            """,
        subcommands: [List.self, Show.self, AcceptLoss.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List all placement groups.")
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let views = try GroupView.all(try cluster.open())
            if output.json { return try printJSON(views) }
            var table = Table("group", "state", "epoch", "primary", "in sync", "learners", "placed on", "left")
            for view in views {
                func names(_ nodes: [Int]) -> String {
                    nodes.isEmpty ? "-" : nodes.map(String.init).joined(separator: ",")
                }
                table.add(
                    view.group, view.state, "\(view.epoch)", text(view.primary), names(view.inSync),
                    names(view.learners),
                    names(view.placement.map(\.node)), left(view.catchUps))
            }
            print(table.text)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one placement group with its replicas.")
        @Argument(help: ArgumentHelp("A group such as d12 or m1.", valueName: "group"))
        var group: String
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            guard PGID(group) != nil else {
                throw OperatorError(.usage, "\"\(group)\" is no group; they are called d0, d1 … and m1 …")
            }
            guard let view = try GroupView.all(try cluster.open()).first(where: { $0.group == group }) else {
                throw OperatorError(.notFound, "there is no group \(group)")
            }
            if output.json { return try printJSON(view) }
            print(
                "\(view.group): \(view.state), epoch \(view.epoch), primary \(text(view.primary)), loss number \(view.lossNumber)"
            )
            var table = Table("  node", "disk", "place", "role", "decided through", "waits for")
            for replica in view.replicas {
                let place =
                    view.inSync.contains(replica.node)
                    ? "in sync" : view.learners.contains(replica.node) ? "learner" : "not a member"
                let status = replica.status
                table.add(
                    "  \(replica.node)", status.disk, place, status.isServing ? "\(status.role), serving" : status.role,
                    "epoch \(status.decidedEpoch), entry \(status.decidedNumber)", status.waiting ?? "-")
            }
            print(table.text)
            for one in view.catchUps { print("  node \(one.node) catches up: \(words(one))") }
            if let scrub = view.scrub {
                print("  \(scrub.line)")
                for finding in scrub.findings { print("    \(finding)") }
            }
            for one in view.filesetScrubs {
                print("  of fileset \(one.fileset): \(one.scrub.line)")
                for finding in one.scrub.findings { print("    \(finding)") }
            }
            for status in view.scrubbing { print("  \(status.line)") }
            for place in view.placement where !view.replicas.contains(where: { $0.node == place.node }) {
                print("  node \(place.node): should hold it on disk \(place.disk), and does not answer")
            }
        }
    }
}
