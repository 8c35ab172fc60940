import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

extension GroupCommand {
    struct AcceptLoss: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "accept-loss",
            abstract: "Go on with the replicas that are left, for the other members never come back.",
            discussion: """
                Examples:
                  stave pg accept-loss                       all groups that wait for members: says what would be given up, asks
                  stave pg accept-loss d12 --yes             one group, without asking
                  stave pg accept-loss --lost 2 --lost 3     gives up the members on nodes 2 and 3, though they were here a minute ago
                  stave pg accept-loss d12 --incomplete      with a replica that lacks content, if there is no other
                  stave pg accept-loss d12 --incomplete --from 3
                Use it only if the disks of the missing members are destroyed for good. Start every node whose disk may still be
                there first: a group needs no help once enough members are back. Of whole replicas the one with the longest log is
                taken, others that are whole stay members, and whoever is given up learns everything anew should it come back.
                """)
        @Argument(help: ArgumentHelp("A group such as d12 or m1; all that wait, if left out.", valueName: "group"))
        var group: String?
        @Flag(help: "Do not ask.") var yes = false
        @Option(
            name: .long,
            help: ArgumentHelp("A node whose members are given up though they may return.", valueName: "node"))
        var lost: [UInt16] = []
        @Flag(help: "Take replicas that lack content where none is whole.") var incomplete = false
        @Option(name: .long, help: ArgumentHelp("Take the replica of this node.", valueName: "node")) var from: UInt16?
        @OptionGroup var cluster: ClusterOptions
        @OptionGroup var output: OutputOptions

        struct Answer: Encodable {
            var plan: LossPlan
            var isDone: Bool
            /// Of a group that serves again.
            var lossNumber: UInt64?
        }

        func run() throws {
            if let group, PGID(group) == nil {
                throw OperatorError(.usage, "\"\(group)\" is no group; they are called d0, d1 … and m1 …")
            }
            let cluster = try cluster.open()
            let plans = try plans(try GroupView.reports(cluster))
            if plans.isEmpty {
                if output.json { return try printJSON([Answer]()) }
                return print("no group waits for members that are gone")
            }
            if !output.json { print(Self.words(plans)) }
            do {
                try confirm(plans)
            } catch {
                if output.json { try printJSON(plans.map { Answer(plan: $0, isDone: false) }) }
                throw error
            }
            try accept(plans, cluster)
        }

        /// One for each group that is asked for and waits.
        private func plans(_ reports: [String: [(node: Int, report: GroupReport)]]) throws -> [LossPlan] {
            var plans: [LossPlan] = []
            let names = group.map { [$0] } ?? reports.keys.sorted { (PGID($0) ?? .data(0)) < (PGID($1) ?? .data(0)) }
            for name in names {
                guard let reports = reports[name] else { throw OperatorError(.notFound, "there is no group \(name)") }
                switch LossPlan.make(reports, chosen: from.map { Int($0) }) {
                case .plan(let plan): plans.append(plan)
                case .enough:
                    if group != nil {
                        throw OperatorError(
                            .refused, "enough members of \(name) are here, or it serves: nothing is to be given up")
                    }
                case .nothingLeft:
                    if group != nil {
                        throw OperatorError(.nothingLeft, "no node that answers has anything of \(name)")
                    }
                    say("\(name): no node that answers has anything of it (stave explain ST1032)")
                case .nothingThere(let node):
                    throw OperatorError(.nothingLeft, "node \(node) has nothing of \(name), or does not answer")
                }
            }
            return plans
        }

        private func confirm(_ plans: [LossPlan]) throws {
            let toBeNamed = Set(plans.flatMap(\.toBeNamed)).subtracting(lost.map { Int($0) }).sorted()
            guard toBeNamed.isEmpty else {
                throw OperatorError(
                    .notConfirmed,
                    "nothing was changed: \(list(toBeNamed)) is here, or was a minute ago, and may bring back what it has; if its "
                        + "disk is destroyed, say so with " + toBeNamed.map { "--lost \($0)" }.joined(separator: " "))
            }
            if plans.contains(where: \.losesFlushed), !incomplete {
                throw OperatorError(
                    .notConfirmed,
                    "nothing was changed: no whole replica is left of "
                        + plans.filter(\.losesFlushed).map(\.group).joined(separator: ", ")
                        + ", and what was flushed would be lost; to go on with what there is, say --incomplete")
            }
            if yes { return }
            guard isatty(0) == 1, !output.json else {
                throw OperatorError(.notConfirmed, "nothing was changed; say --yes")
            }
            say("Type \"accept loss\" to go on:")
            guard readLine() == "accept loss" else { throw OperatorError(.notConfirmed, "nothing was changed") }
        }

        /// Asks the survivors, again where the group has changed meanwhile or what stands in the way passes, and waits until
        /// each group serves.
        private func accept(_ planned: [LossPlan], _ cluster: Cluster) throws {
            var open = planned
            var done: [Answer] = []
            var last = ""
            let deadline = Date().addingTimeInterval(60)
            while true {
                let reports = try GroupView.reports(cluster)
                var left: [LossPlan] = []
                for plan in open {
                    let ofGroup = reports[plan.group] ?? []
                    if let now = ofGroup.first(where: { $0.report.replica?.isServing == true }),
                        case .enough = LossPlan.make(ofGroup, chosen: nil)
                    {
                        done.append(Answer(plan: plan, isDone: true, lossNumber: now.report.lossNumber))
                        if !output.json {
                            print(
                                "\(plan.group) serves again, led by node \(now.node); members \(list(now.report.inSync)); loss "
                                    + "number \(now.report.lossNumber)")
                        }
                        continue
                    }
                    left.append(plan)
                    guard case .plan(let now) = LossPlan.make(ofGroup, chosen: from.map { Int($0) }) else { continue }
                    guard now.isCovered(by: plan) else {
                        throw OperatorError(
                            .refused,
                            "\(plan.group) is not what it was when the loss was confirmed: give the command again")
                    }
                    do throws(OperatorError) {
                        let _: Done = try cluster.ask(
                            NodeID(UInt16(now.survivor)),
                            AdminQuestion(
                                .acceptLoss,
                                [
                                    "group": now.group, "epoch": "\(now.epoch)",
                                    "content": incomplete ? "any" : "whole",
                                    "lost": lost.map { "\($0)" }.joined(separator: ","),
                                ]))
                    } catch {
                        guard error.code == .nodeNotRunning else { throw error }
                        last = error.message
                    }
                }
                open = left
                if open.isEmpty { break }
                guard Date() < deadline else {
                    if output.json { try printJSON(done + open.map { Answer(plan: $0, isDone: false) }) }
                    throw OperatorError(
                        .notHealthy,
                        "within 60 s these do not serve: \(open.map(\.group).joined(separator: ", "))"
                            + (last.isEmpty ? "" : " (\(last))"))
                }
                usleep(100_000)
            }
            if output.json { try printJSON(done) }
        }

        /// What it opens, once for all groups for which it is the same.
        static func words(_ plans: [LossPlan]) -> String {
            var kinds: [(plan: LossPlan, groups: [LossPlan])] = []
            for plan in plans {
                if let i = kinds.firstIndex(where: { $0.plan.isLike(plan) }) {
                    kinds[i].groups.append(plan)
                } else {
                    kinds.append((plan, [plan]))
                }
            }
            return kinds.map { kind in
                let plan = kind.plan
                var lines = [kind.groups.map(\.group).joined(separator: ", ") + ": what accepting the loss opens"]
                func add(_ title: String, _ text: String) {
                    lines.append("  " + title.padding(toLength: 12, withPad: " ", startingAt: 0) + text)
                }
                let end =
                    kind.groups.count == 1 ? ", its log ends at epoch \(plan.endEpoch), entry \(plan.endNumber)" : ""
                add("goes on", "from node \(plan.survivor): \(contentWords(plan.content))\(end)")
                if !plan.keeps.isEmpty { add("keeps", "\(list(plan.keeps)), whole, too") }
                for member in plan.givesUp { add("gives up", memberWords(member)) }
                if plan.givesUp.isEmpty { add("gives up", "nobody: the record names no other member") }
                add("loses", lossWords(plan.content))
                add(
                    "clients",
                    "the loss number rises above \(plan.lossNumber): NFS clients send unflushed writes again, libnfs gets one I/O "
                        + "error for each file with such writes")
                return lines.joined(separator: "\n")
            }.joined(separator: "\n")
        }

        private static func contentWords(_ content: String) -> String {
            switch content {
            case "whole": "whole"
            case "rebooted": "whole, but its machine lost power"
            case "old": "OLD, it had fallen out of the group"
            default: "INCOMPLETE, it was catching up, or its disk failed"
            }
        }

        private static func lossWords(_ content: String) -> String {
            switch content {
            case "whole":
                "nothing that was acknowledged, if this node has not lost power since; redundancy until others have learned"
            case "rebooted": "what was not flushed before the loss of power"
            case "old": "every write after the end of its log, flushed ones, too"
            default:
                "whatever it lacks, flushed or not: its content is a mixture of older and newer states, what was never copied reads "
                    + "as zeros, and answers to requests under way may be given twice"
            }
        }

        private static func memberWords(_ member: OtherMemberReport) -> String {
            let what =
                switch member.state {
                case "away":
                    "not seen for \(member.secondsAway.map { $0 < 120 ? "\(Int($0)) s" : "\(Int($0 / 60)) min" } ?? "long")"
                case "nothing": "its node is here, and has nothing of the group that counts"
                case "out of use":
                    "its node is here, and does not use that disk, which may hold everything: mount it and start that node again"
                case "catching up": "here, and catching up"
                case "learning": "here, and lacks content"
                case "rebooted": "here, but its machine lost power"
                case "whole": "here, whole"
                default: "here, and has not said what it has"
                }
            return "the member on node \(member.node), disk \(member.disk.prefix(8)): \(what)"
        }
    }
}

private func list(_ nodes: [Int]) -> String {
    (nodes.count == 1 ? "node " : "nodes ") + nodes.map(String.init).joined(separator: ", ")
}
