import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how the cluster is: nodes, groups, capacity, events, metrics.",
        discussion: """
            Examples:
              stave status
              stave status --json | jq '.nodes[].metrics.latencies[] | {name, labels, p99Microseconds}'
              stave status --json | jq .amplification
            With --json it gives all counters, gauges and latency histograms of each node.
            """)
    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var output: OutputOptions

    struct Answer: Encodable {
        var name: String
        var configuration: String
        var isHealthy: Bool
        var copies: Int
        var minInSync: Int
        var groups: Int
        var groupsServing: Int
        var groupsLearning: Int
        /// What is left to copy to learners, on all nodes together.
        var recovery: RecoverySummary
        var totalBytes: UInt64
        var freeBytes: UInt64
        var lossNumber: UInt64
        var mapVersion: UInt64
        /// Since the nodes' starts: bytes that clients wrote, that all disks wrote, and the latter per byte and copy.
        var clientBytesWritten: UInt64
        var diskBytesWritten: UInt64
        var amplification: Double?
        var cpuSeconds: Double
        var nodesSilent: [SilentNode]
        /// They lead no group that another node can lead.
        var nodesSuspended: [Int]
        /// Their replicas go to other nodes.
        var nodesDraining: [Int]
        var nodes: [NodeReport]
    }

    struct SilentNode: Encodable {
        var id: Int
        var state: String
    }

    func run() throws {
        let cluster = try cluster.open()
        let (reports, silent) = cluster.askAll(AdminQuestion(.status), NodeReport.self)
        if reports.isEmpty {
            throw OperatorError(
                .nodeNotRunning, "no node of \(cluster.configuration.name) answers (\(silent.first?.reason ?? ""))")
        }
        let answer = summary(cluster, reports.map(\.answer), silent)
        if output.json { return try printJSON(answer) }
        print(text(answer, cluster))
    }

    private func summary(
        _ cluster: Cluster, _ reports: [NodeReport], _ silent: [(id: NodeID, reason: String)]
    ) -> Answer {
        let policy = cluster.configuration.policy
        let newest = reports.newest
        let silent = silent.filter { newest?.isMember(Int($0.id.rawValue)) ?? true }
        let groups = reports.map(\.groupCount).max() ?? 0
        let serving = Set(reports.flatMap(\.serving)).count
        let written = reports.reduce(0) { $0 + $1.metrics.gateway.writtenBytes }
        let disk = reports.reduce(0) { $0 + $1.metrics.diskBytesWritten }
        return Answer(
            name: cluster.configuration.name, configuration: cluster.file,
            isHealthy: silent.isEmpty && serving == groups && reports.allSatisfy { $0.session != nil },
            copies: policy.copies, minInSync: policy.minInSync, groups: groups, groupsServing: serving,
            groupsLearning: Set(reports.flatMap(\.learning)).count, recovery: RecoverySummary(reports.map(\.recovery)),
            totalBytes: reports.map(\.totalBytes).max() ?? 0,
            freeBytes: reports.map(\.freeBytes).min() ?? 0, lossNumber: reports.map(\.lossNumber).max() ?? 0,
            mapVersion: reports.map(\.mapVersion).max() ?? 0, clientBytesWritten: written, diskBytesWritten: disk,
            amplification: written == 0 ? nil : Double(disk) / Double(written) / Double(policy.copies),
            cpuSeconds: reports.reduce(0) { $0 + $1.metrics.cpuSeconds },
            nodesSilent: silent.map { id, reason in
                let process = cluster.launcher.running(id)
                return SilentNode(
                    id: Int(id.rawValue),
                    state: process == nil ? "not running" : process?.isStopped == true ? "stopped by a signal" : reason)
            }, nodesSuspended: newest?.nodes(of: "suspended") ?? [],
            nodesDraining: newest?.nodes(of: "draining") ?? [], nodes: reports)
    }

    private func scrubs(_ nodes: [NodeReport]) -> String {
        guard let overview = nodes.newest?.scrubs else { return "unknown" }
        var said: [String] = []
        if let oldest = overview.oldest {
            let when = Date(timeIntervalSince1970: Double(oldest) / 1e9).formatted(.iso8601)
            said.append("every group that was scrubbed was so since \(when)")
        }
        if overview.never > 0 { said.append("\(overview.never) groups never were") }
        if !overview.faulty.isEmpty {
            said.append("NOT CLEAN: \(overview.faulty.prefix(8).joined(separator: ", ")) (`stave pg show`)")
        }
        let running = nodes.compactMap(\.scrubs.running)
        if !running.isEmpty { said.append("under way: \(running.joined(separator: ", "))") }
        return said.joined(separator: "; ")
    }

    private func text(_ answer: Answer, _ cluster: Cluster) -> String {
        var lines = ["\(answer.name): \(answer.isHealthy ? "healthy" : "NOT HEALTHY")"]
        lines.append(
            "  groups    \(answer.groupsServing) of \(answer.groups) serve, \(answer.groupsLearning) have a learner; \(answer.copies) copies, at least \(answer.minInSync) in sync"
        )
        if answer.recovery.groups > 0 { lines.append("  recovery  \(words(answer.recovery))") }
        lines.append("  capacity  \(size(answer.freeBytes)) free of \(size(answer.totalBytes)), as clients see it")
        lines.append("  losses    \(answer.lossNumber) of unflushed data by loss of power")
        var traffic =
            "  traffic   \(size(answer.clientBytesWritten)) written by clients, \(size(answer.diskBytesWritten)) by disks"
        if let amplification = answer.amplification {
            traffic += String(format: " (%.2f per byte and copy)", amplification)
        }
        lines.append(traffic)
        let newest = answer.nodes.newest
        let deleting = newest?.deletingFilesets ?? []
        if !deleting.isEmpty {
            lines.append("  deleted   \(deleting.joined(separator: ", ")): `stave fileset list` shows what is left")
        }
        lines.append("  scrub     \(scrubs(answer.nodes))")
        if let now = newest?.semantics, let known = newest?.newestSemantics, now < known {
            lines.append(
                "  upgrade   metadata semantics \(now) of \(known): `stave cluster upgrade`, once all nodes run this program"
            )
        }
        var table = Table(
            "  node", "address", "roles", "lease", "session", "primary of", "waiting", "memory", "CPU s", "state")
        for node in cluster.configuration.nodes {
            let id = Int(node.id.rawValue)
            if let report = answer.nodes.first(where: { $0.node == id }) {
                table.add(
                    "  \(id)", node.address, node.roles.words.joined(separator: ","), stave.text(report.lease),
                    stave.text(report.session),
                    "\(report.serving.count)", "\(report.waiting.count)", size(report.metrics.residentBytes),
                    String(format: "%.1f", report.metrics.cpuSeconds),
                    "running" + duty(id, answer))
            } else {
                let state = answer.nodesSilent.first { $0.id == id }?.state ?? "not in the cluster"
                table.add(
                    "  \(id)", node.address, node.roles.words.joined(separator: ","), "-", "-", "-", "-", "-", "-",
                    state + duty(id, answer))
            }
        }
        lines += ["", table.text]
        // That a group began to serve is no news for people; --json has it.
        let events = answer.nodes.flatMap { report in
            report.events.filter { !$0.text.hasPrefix("serving") }.map { (report.node, $0) }
        }.sorted {
            $0.1.time < $1.1.time
        }
        if !events.isEmpty { lines += ["", "  the last events:"] }
        for line in collapsed(events).suffix(8) { lines.append(line) }
        for node in answer.nodes where node.metrics.groups.badBlocks > 0 {
            let groups = node.metrics.groups
            lines.append(
                "  node \(node.node) met \(groups.badBlocks) blocks that do not match their checksums; \(groups.mendedBlocks) are mended, \(groups.lostBlocks) are lost on all replicas"
            )
        }
        for node in answer.nodes {
            for disk in node.disks where !disk.state.hasPrefix("in use") {
                lines.append("  \(disk.path) of node \(node.node) is out of use: \(disk.state) (stave explain ST1011)")
            }
        }
        if !answer.isHealthy {
            lines += ["", "  `stave why` tells what waits for what; `stave cluster up` starts what is not running"]
        }
        return lines.joined(separator: "\n")
    }

    private func duty(_ id: Int, _ answer: Answer) -> String {
        if answer.nodesSuspended.contains(id) { return ", suspended" }
        return answer.nodesDraining.contains(id) ? ", draining" : ""
    }

    /// The same of many groups of a node is one line.
    private func collapsed(_ events: [(Int, EventReport)]) -> [String] {
        var lines: [(node: Int, text: String, time: Int64, subjects: [String])] = []
        for (node, event) in events {
            if let last = lines.lastIndex(where: { $0.node == node && $0.text == event.text }) {
                lines[last].subjects.append(event.subject)
                lines[last].time = event.time
            } else {
                lines.append((node, event.text, event.time, [event.subject]))
            }
        }
        return lines.sorted { $0.time < $1.time }.map { line in
            let subject =
                line.subjects.count == 1
                ? line.subjects[0] : "\(line.subjects.count) times, last \(line.subjects.last ?? "")"
            return "  \(date(line.time))  node \(line.node)  \(subject): \(line.text)"
        }
    }
}

struct WhyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why", abstract: "Tell what waits for what, in plain words.",
        discussion: """
            Examples:
              stave why                 everything that waits, by node
              stave why --json
            Replicas wait for leases, for members or for content; gateways for groups; disks for their logs.
            """)
    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var output: OutputOptions

    struct Line: Encodable {
        var node: Int
        var wait: WaitReport
    }

    func run() throws {
        let cluster = try cluster.open()
        let (answers, silent) = cluster.askAll(AdminQuestion(.waits), [WaitReport].self)
        let lines =
            silent.map { id, reason in
                let state: String =
                    if let process = cluster.launcher.running(id) {
                        process.isStopped
                            ? "it was stopped by a signal: kill -CONT \(process.process) lets it go on" : reason
                    } else {
                        "it is not running: `stave cluster up` starts it"
                    }
                return Line(node: Int(id.rawValue), wait: WaitReport(group: nil, who: "node", reason: state))
            } + answers.flatMap { id, waits in waits.map { Line(node: Int(id.rawValue), wait: $0) } }
        if output.json { return try printJSON(lines) }
        // What is under way is not worth a line before it takes longer than usual.
        let slow = lines.filter { ($0.wait.seconds ?? .infinity) >= 0.2 }
        if slow.isEmpty { return print("Nothing waits.") }
        var seen: [(text: String, groups: [String])] = []
        for line in slow {
            var text = "node \(line.node), \(line.wait.who): \(line.wait.reason)"
            if let requests = line.wait.requests {
                text += " (\(requests) requests, \(size(UInt64(line.wait.bytes ?? 0)))"
            }
            if let seconds = line.wait.seconds { text += String(format: ", for %.1f s)", seconds) }
            let group = line.wait.group.map { [$0] } ?? []
            if line.wait.requests == nil, let i = seen.firstIndex(where: { $0.text == text }) {
                seen[i].groups += group
            } else {
                seen.append((text, group))
            }
        }
        for (text, groups) in seen {
            print(groups.isEmpty ? text : "\(text)\n  groups: \(groups.joined(separator: " "))")
        }
    }
}

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Explain an error's code: what it means, why it comes, what to do.",
        discussion: "Examples:\n  stave explain ST1003\n  stave explain            all codes")
    @Argument(help: ArgumentHelp("A code such as ST1003.", valueName: "code"))
    var code: String?
    @OptionGroup var output: OutputOptions

    struct Page: Encodable {
        var code: String
        var title: String
        var cause: String
        var next: String
    }

    func run() throws {
        var codes = OperatorError.Code.allCases
        if let code {
            let number = Int(code.uppercased().hasPrefix("ST") ? String(code.dropFirst(2)) : code)
            guard let number, let known = OperatorError.Code(rawValue: number) else {
                throw OperatorError(.notFound, "there is no code \(code); `stave explain` lists all")
            }
            codes = [known]
        }
        let pages = codes.map { Page(code: $0.name, title: $0.page.title, cause: $0.page.cause, next: $0.page.next) }
        if output.json { return try printJSON(pages) }
        if code == nil {
            var table = Table("code", "meaning")
            for page in pages { table.add(page.code, page.title) }
            return print(table.text)
        }
        for page in pages { print("\(page.code): \(page.title)\n  cause: \(page.cause)\n  next:  \(page.next)") }
    }
}

extension [NodeReport] {
    /// Of the node that knows the newest map.
    fileprivate var newest: NodeReport? { self.max { $0.mapVersion < $1.mapVersion } }
}
