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
            Clients go on meanwhile: the primary of each group puts marks into the group's log, and all members tell what they
            hold as of a mark. A block that does not match its checksum is written anew with what another replica holds under
            that checksum. Copies that differ although every block of them matches are reported, and left alone.
            The exit code is 0 only if in the end every group has all its copies, every block matches its checksum, and all
            copies agree.

            The cluster does the same by itself (scrub.days in its configuration); `stave pg show` tells what the last scrub of
            a group has found, and how far the one under way is.

            Examples:
              stave scrub
              stave scrub --pg d3 --pg m1
              stave scrub --fileset golden --wait 3600
              stave scrub --background     only asks for it
              stave scrub --stop           ends what is under way or was asked for
              stave scrub --json | jq '.groups[] | select(.agrees | not)'
            """)
    @Option(name: .long, help: ArgumentHelp("Only this group; may be given several times.", valueName: "group")) var pg:
        [String] = []
    @Option(
        name: .long,
        help: ArgumentHelp("Only what belongs to this fileset, its metadata group included.", valueName: "name"))
    var fileset: String?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Wait so long at most; exit code 4 if it is not done then, and it goes on. Without it: until it is done.",
            valueName: "seconds"))
    var wait: Double?
    @Flag(help: "Only ask for it, and do not wait.") var background = false
    @Flag(help: "End scrubs that are under way or were asked for.") var stop = false
    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var output: OutputOptions

    /// Seconds that a group may be without a node that takes its scrub on.
    static let patience = 30.0

    struct Answer: Encodable {
        var agrees: Bool
        /// Nil: everything.
        var fileset: String?
        var groups: [Group]
        var objects: UInt64
        var blocks: UInt64
        var rows: UInt64
        /// Bad blocks, on all copies together, that were written anew.
        var mended: UInt64
    }

    struct Group: Encodable {
        var group: String
        var agrees: Bool
        var members: [Int]
        /// Copies that the group should have.
        var wanted: Int
        var objects: UInt64
        var blocks: UInt64
        var rows: UInt64
        /// By node: bad blocks that were written anew.
        var mended: [Int: UInt64]
        /// What is wrong, in words.
        var faults: [String]
        /// Nothing is wrong with the copies that were compared.
        var comparedAgree: Bool
    }

    func validate() throws {
        if background, stop { throw ValidationError("--background and --stop exclude each other.") }
        if background || stop, wait != nil { throw ValidationError("--wait is for scrubs that are waited for.") }
        if let wait, !(0...31_536_000).contains(wait) {
            throw ValidationError("--wait is 0 … 31536000 seconds, not \(wait).")
        }
    }

    func run() throws {
        let cluster = try cluster.open()
        for name in pg where PGID(name) == nil {
            throw OperatorError(.usage, "\"\(name)\" is no group; they are called d0, d1 … and m1 …")
        }
        let views = try GroupView.all(cluster)
        for name in pg where !views.contains(where: { $0.group == name }) {
            throw OperatorError(.notFound, "there is no group \(name)")
        }
        let chosen = try scope(cluster)
        let names = views.map(\.group).filter { (pg.isEmpty || pg.contains($0)) && chosen?.holds($0) ?? true }
        if let chosen, names.isEmpty {
            throw OperatorError(.notFound, "fileset \(chosen.name) has nothing in \(pg.joined(separator: ", "))")
        }
        if stop { return try end(names, cluster) }
        if background { return try begin(names, chosen, cluster) }
        let began = Date()
        let answer = try results(names, chosen, cluster)
        if output.json {
            try printJSON(answer)
        } else {
            let what =
                "\(names.count) groups, \(answer.objects) objects, \(size(answer.blocks * UInt64(Geometry.blockSize))) per copy, \(answer.rows) rows, \(String(format: "%.1f", Date().timeIntervalSince(began))) s"
            if answer.mended > 0 {
                print("\(answer.mended) bad blocks were written anew with what other replicas hold.")
            }
            let verdict =
                answer.agrees
                ? "All replicas agree"
                : answer.groups.allSatisfy(\.comparedAgree) ? "NOT ALL COPIES WERE COMPARED" : "REPLICAS DO NOT AGREE"
            print("\(verdict) (\(what)).")
        }
        if !answer.agrees {
            let bad = answer.groups.filter { !$0.agrees }
            throw OperatorError(
                .scrubDiffers,
                "\(bad.count) of \(names.count) groups: \(bad.prefix(8).map(\.group).joined(separator: ", "))")
        }
    }

    // MARK: Asking

    /// The fileset that --fileset names.
    private struct Scope {
        var name: String
        var id: Int
        /// Of its metadata.
        var group: String

        func holds(_ group: String) -> Bool { group == self.group || PGID(group)?.isMetadata == false }

        /// What a scrub for it has found in a group.
        func result(_ view: GroupView) -> [ScrubSummary] {
            view.group == group
                ? view.scrub.map { [$0] } ?? [] : view.filesetScrubs.filter { $0.fileset == id }.map(\.scrub)
        }
    }

    private func scope(_ cluster: Cluster) throws -> Scope? {
        guard let name = fileset else { return nil }
        let filesets = try cluster.ask(AdminQuestion(.map), MapReport.self).filesets
        guard let found = filesets.first(where: { $0.name == name }) else {
            throw OperatorError(
                .notFound, "there is no fileset \(name); there are \(filesets.map(\.name).joined(separator: ", "))")
        }
        if found.state != "live" { throw OperatorError(.refused, "the fileset \(name) is \(found.state)") }
        return Scope(name: name, id: found.id, group: found.group)
    }

    private func ask(_ command: AdminCommand, _ names: [String], _ scope: Scope?, _ cluster: Cluster) -> [ScrubBegun] {
        var arguments = ["groups": names.joined(separator: " ")]
        if command == .scrubBegin { arguments["fileset"] = scope?.name }
        return cluster.askAll(AdminQuestion(command, arguments), ScrubBegun.self).answers.map(\.answer)
    }

    private func begin(_ names: [String], _ scope: Scope?, _ cluster: Cluster) throws {
        let begun = ask(.scrubBegin, names, scope, cluster).flatMap(\.groups)
        if begun.isEmpty { throw OperatorError(.refused, "no node leads these groups now") }
        if output.json { return try printJSON(begun) }
        print("\(begun.count) of \(names.count) groups will be scrubbed; `stave pg show` tells the results.")
    }

    private func end(_ names: [String], _ cluster: Cluster) throws {
        let ended = ask(.scrubStop, names, nil, cluster).flatMap(\.groups)
        if output.json { return try printJSON(ended) }
        print("\(ended.count) scrubs were ended.")
    }

    /// Asks for all, and again for those that lost their primary meanwhile, until each has come to its end.
    private func results(_ names: [String], _ scope: Scope?, _ cluster: Cluster) throws -> Answer {
        let deadline = wait.map { Date().addingTimeInterval($0) }
        var answer = Answer(agrees: true, fileset: fileset, groups: [], objects: 0, blocks: 0, rows: 0, mended: 0)
        // By group: when its scrub was taken on; and since when nobody has.
        var taken: [String: Int64] = [:]
        var idle: [String: Date] = [:]
        var open = names
        var told = Date()
        while !open.isEmpty {
            let missing = open.filter { taken[$0] == nil }
            if !missing.isEmpty {
                for begun in ask(.scrubBegin, missing, scope, cluster) {
                    for group in begun.groups { taken[group] = begun.time }
                }
            }
            usleep(100_000)
            let views = try GroupView.all(cluster)
            for view in views where open.contains(view.group) {
                let result: Group
                let found = scope?.result(view) ?? view.scrub.map { [$0] } ?? []
                if let time = taken[view.group], let scrub = found.first(where: { $0.started >= time }) {
                    result = group(view, scrub)
                } else if view.scrubbing.contains(where: { $0.state != "interrupted" }) {
                    idle[view.group] = nil
                    continue
                } else {
                    let since = idle[view.group] ?? Date()
                    idle[view.group] = since
                    guard Date().timeIntervalSince(since) > Self.patience else {
                        // Its primary may have gone, or another may have stopped it.
                        if Date().timeIntervalSince(since) > 1 { taken[view.group] = nil }
                        continue
                    }
                    result = lost(view)
                }
                open.removeAll { $0 == view.group }
                answer.groups.append(result)
                answer.objects += result.objects
                answer.blocks += result.blocks
                answer.rows += result.rows
                answer.mended += result.mended.values.reduce(0, +)
                if !result.agrees { answer.agrees = false }
                if !output.json, !result.agrees || !result.mended.isEmpty { print(text(result)) }
            }
            open.removeAll { name in !views.contains { $0.group == name } }
            if let deadline, Date() > deadline, !open.isEmpty {
                throw OperatorError(
                    .scrubUnfinished,
                    "\(open.count) of \(names.count) groups are not compared yet (\(open.prefix(8).joined(separator: ", ")))"
                )
            }
            if Date().timeIntervalSince(told) > 1, !output.json {
                told = Date()
                let bytes = views.filter { open.contains($0.group) }.flatMap(\.scrubbing).reduce(0) { $0 + $1.bytes }
                say(
                    "    \(names.count - open.count) of \(names.count) groups, \(answer.objects) objects, \(size(answer.blocks * UInt64(Geometry.blockSize) + bytes)) per copy"
                )
            }
        }
        answer.groups.sort { names.firstIndex(of: $0.group) ?? 0 < names.firstIndex(of: $1.group) ?? 0 }
        return answer
    }

    // MARK: Results

    private func group(_ view: GroupView, _ scrub: ScrubSummary) -> Group {
        var group = Group(
            group: view.group, agrees: true, members: scrub.members, wanted: view.placement.count,
            objects: scrub.objects, blocks: scrub.blocks, rows: scrub.rows, mended: scrub.mended,
            faults: scrub.findings, comparedAgree: scrub.isClean && scrub.findings.isEmpty)
        if scrub.members.count < view.placement.count {
            group.faults.append(
                "\(scrub.members.count) of \(view.placement.count) copies were compared: the others are not in sync, or "
                    + "their nodes speak an older protocol")
        }
        group.agrees = scrub.isClean && group.faults.isEmpty
        return group
    }

    private func lost(_ view: GroupView) -> Group {
        let reason = view.scrubbing.compactMap(\.interruption).first
        return Group(
            group: view.group, agrees: false, members: [], wanted: view.placement.count, objects: 0, blocks: 0, rows: 0,
            mended: [:], faults: ["no node has scrubbed it (\(reason ?? "nobody leads it"))"], comparedAgree: false)
    }

    private func text(_ group: Group) -> String {
        var said: [String] = []
        for (node, count) in group.mended.sorted(by: { $0.key < $1.key }) {
            said.append("node \(node): \(count) bad blocks mended")
        }
        said += group.faults
        guard said.count > 1 else { return "\(group.group): \(said.first ?? "not clean")" }
        return "\(group.group):\n" + said.map { "  \($0)" }.joined(separator: "\n")
    }
}

extension ScrubSummary {
    /// In one line, for people.
    var line: String {
        let when = Date(timeIntervalSince1970: Double(ended) / 1e9).formatted(.iso8601)
        let bytes = size(blocks * UInt64(Geometry.blockSize))
        var text = "last scrub \(when): \(isClean ? "all copies agree" : "NOT CLEAN")"
        text += rows > 0 ? ", \(rows) rows" : ", \(objects) objects, \(bytes) per copy"
        text += " on nodes \(members.map(String.init).joined(separator: ", "))"
        let count = mended.values.reduce(0, +)
        if count > 0 { text += ", \(count) bad blocks mended" }
        if unsettled > 0 { text += ", \(unsettled) changed too often to be compared" }
        return text
    }
}

extension ScrubStatus {
    var line: String {
        switch state {
        case "waiting": return "a scrub waits for its turn"
        case "running":
            var text = "scrub under way for \(String(format: "%.0f", seconds)) s: \(done) looked at, \(size(bytes))"
            if total > 0, bytes > 0 {
                text += " of \(size(total))"
                if seconds > 1 {
                    let rate = Double(bytes - min(bytes, earlierBytes ?? 0)) / seconds
                    let left = Double(total > bytes ? total - bytes : 0) / max(rate, 1)
                    text += ", \(size(UInt64(rate))) a second, \(String(format: "%.0f", left)) s left"
                }
            }
            return text
        default: return "the last scrub was interrupted: \(interruption ?? "nobody knows why")"
        }
    }
}
