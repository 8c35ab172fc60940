import Foundation
import Testing

@testable import Node

/// Runs the program itself, with a cluster of its own on ports that need no privileges.
private final class Installation {
    let folder: String
    let configuration: String
    /// The program lies beside the test bundle.
    static let program =
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .appendingPathComponent("stave").path

    struct Outcome {
        var code: Int32
        var output: String
        var errors: String
    }

    init(nodes: Int, firstAddress: Int, port: Int) throws {
        // A short path: sockets lie below it.
        folder = "/tmp/stave-\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        configuration = folder + "/cluster.yaml"
        var text = "name: command-test\ndata: \(folder)/data\nplacement: { dataGroups: 8 }\n"
        text += "replication: { copies: \(min(nodes, 3)) }\nlimits: { nfsPort: \(port), portmapPort: 0 }\nnodes:\n"
        for id in 1...nodes {
            text += "  - { id: \(id), address: 127.0.0.\(firstAddress + id), disks: [{ path: node-\(id)/disk }] }\n"
        }
        text += "exports: [{ path: /images, clients: [127.0.0.0/8], squash: none }]\n"
        try text.write(toFile: configuration, atomically: true, encoding: .utf8)
    }

    deinit {
        _ = try? run("cluster", "wipe", "--yes", configuration)
        try? FileManager.default.removeItem(atPath: folder)
    }

    @discardableResult
    func run(_ arguments: String...) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.program)
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        environment["XDG_STATE_HOME"] = folder + "/state"
        process.environment = environment
        // Files, not pipes: what is long fills a pipe before it is read.
        let paths = ["\(folder)/out-\(UUID().uuidString)", "\(folder)/err-\(UUID().uuidString)"]
        for path in paths { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        process.standardOutput = FileHandle(forWritingAtPath: paths[0])
        process.standardError = FileHandle(forWritingAtPath: paths[1])
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        let texts = try paths.map { try String(contentsOfFile: $0, encoding: .utf8) }
        return Outcome(code: process.terminationStatus, output: texts[0], errors: texts[1])
    }

    func succeed(_ arguments: String..., place: SourceLocation = #_sourceLocation) throws -> String {
        let outcome = try runAll(arguments)
        #expect(
            outcome.code == 0, "stave \(arguments.joined(separator: " ")): \(outcome.errors)\(outcome.output)",
            sourceLocation: place)
        return outcome.output
    }

    private func runAll(_ arguments: [String]) throws -> Outcome {
        switch arguments.count {
        case 1: try run(arguments[0])
        case 2: try run(arguments[0], arguments[1])
        case 3: try run(arguments[0], arguments[1], arguments[2])
        case 4: try run(arguments[0], arguments[1], arguments[2], arguments[3])
        default: try run(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4])
        }
    }

    func json(_ arguments: String...) throws -> Any {
        let outcome = try runAll(arguments + ["--json"])
        return try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
    }

    func process(_ id: Int) throws -> Int32 {
        let text = try String(contentsOfFile: "\(folder)/data/run/node-\(id).pid", encoding: .utf8)
        return try #require(Int32(text.split(separator: " ")[0]))
    }
}

@Suite(.serialized) struct StaveCommandTests {
    @Test("One cluster goes through its life: up, files, scrub, a killed node, up again, bit rot, down, wipe")
    func life() throws {
        let it = try Installation(nodes: 3, firstAddress: 150, port: 20491)
        let first = try it.succeed("cluster", "up", it.configuration)
        #expect(first.contains("nfs-ls"))
        #expect(try it.run("cluster", "status").code == 0)

        // Every node runs under its name, in a session of its own.
        let second = try it.process(2)
        let command = try String(contentsOfFile: "/proc/\(second)/cmdline", encoding: .utf8)
        #expect(command.hasPrefix("stave\0node\0--config\0"))
        #expect(getsid(second) == second)

        // Files go in and come out as they are.
        let bytes = Data((0..<6_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 11) })
        try bytes.write(to: URL(fileURLWithPath: it.folder + "/in"))
        _ = try it.succeed("fs", "cp", it.folder + "/in", "cluster:/images/file")
        _ = try it.succeed("fs", "cp", "cluster:/images/file", it.folder + "/out")
        #expect(try Data(contentsOf: URL(fileURLWithPath: it.folder + "/out")) == bytes)
        _ = try it.succeed("fs", "mkdir", "/images/folder")
        #expect(try it.succeed("fs", "ls", "/images").contains("folder"))
        #expect(try it.run("fs", "stat", "/images/none").code == 3)
        #expect(try it.run("fs", "rm", "/images").code == 1)

        // Each copy is where it is said to be.
        let located = try #require(try it.json("object", "locate", "/images/file", "--verify") as? [String: Any])
        #expect(located["agree"] as? Bool == true)
        let objects = try #require(located["objects"] as? [[String: Any]])
        #expect(objects.count == 4)
        #expect(objects.allSatisfy { ($0["members"] as? [Any])?.count == 3 })
        #expect(try it.run("scrub").code == 0)

        // A killed node is told apart, and comes back by the same command.
        kill(second, SIGKILL)
        while NodeProcessFile.running(at: "\(it.folder)/data/run/node-2.pid") != nil { usleep(1000) }
        #expect(try it.run("cluster", "status").code == 4)
        #expect(try it.succeed("why").contains("node 2"))
        _ = try it.succeed("cluster", "up")
        #expect(try it.process(2) != second)
        #expect(try it.process(1) > 0)
        let deadline = Date().addingTimeInterval(60)
        while try it.run("scrub").code != 0, Date() < deadline { usleep(100_000) }
        #expect(try it.run("scrub").code == 0)

        // A flipped bit on one disk is found, with its node, and mended.
        let data = "\(it.folder)/data/node-3/disk/data"
        let image = try Data(contentsOf: URL(fileURLWithPath: data))
        let place = try #require(image.range(of: bytes[1_048_576..<1_048_640]))
        let file = try #require(FileHandle(forUpdatingAtPath: data))
        try file.seek(toOffset: UInt64(place.lowerBound))
        try file.write(contentsOf: Data([image[place.lowerBound] ^ 1]))
        try file.close()
        let rotten = try it.run("scrub")
        #expect(rotten.code == 0)
        #expect(rotten.output.contains("node 3: 1 bad blocks mended"))
        #expect(try !it.succeed("scrub").contains("mended"))

        _ = try it.succeed("cluster", "down")
        #expect(try it.run("status").code == 1)
        #expect(try it.run("cluster", "wipe").code == 1, "without --yes and without a terminal nothing is removed")
        #expect(FileManager.default.fileExists(atPath: data))
        _ = try it.succeed("cluster", "wipe", "--yes")
        #expect(!FileManager.default.fileExists(atPath: it.folder + "/data"))
        #expect(try it.run("status").code == 3, "the last cluster is forgotten")
    }

    @Test("Filesets and exports come and go, and refusals say why") func mapChanges() throws {
        let it = try Installation(nodes: 1, firstAddress: 160, port: 20492)
        _ = try it.succeed("cluster", "up", it.configuration)
        _ = try it.succeed("fileset", "create", "golden")
        #expect(try it.run("fileset", "create", "golden").code == 1)
        _ = try it.succeed("fs", "mkdir", "/golden/a")
        _ = try it.succeed("export", "create", "/golden", "--clients", "10.0.0.0/8")
        #expect(try it.run("export", "create", "/golden", "--clients", "10.0.0.0/8").code == 1)
        #expect(try it.run("export", "create", "/x", "--clients", "nobody").code == 2)
        #expect(try it.run("export", "create", "/none", "--clients", "10.0.0.1").code == 3)
        let refused = try it.run("fileset", "delete", "golden")
        #expect(refused.code == 1 && refused.errors.contains("/golden"))
        _ = try it.succeed("export", "delete", "/golden")
        _ = try it.succeed("fileset", "delete", "golden")
        #expect(try it.run("fs", "ls", "/golden").code == 3)
        #expect(try it.run("fileset", "delete", "root").code == 1)

        // What reports, reports to programs too.
        let status = try #require(try it.json("status") as? [String: Any])
        #expect(status["isHealthy"] as? Bool == true)
        let node = try #require((status["nodes"] as? [[String: Any]])?.first)
        let metrics = try #require(node["metrics"] as? [String: Any])
        #expect((metrics["cpuSeconds"] as? Double ?? 0) > 0)
        #expect((metrics["latencies"] as? [Any])?.isEmpty == false)
        for command in [
            ["node", "list"], ["disk", "list"], ["pg", "list"], ["fileset", "list"], ["export", "list"], ["fs", "ls"],
            ["why"],
            ["explain"],
        ] {
            _ = command.count == 1 ? try it.json(command[0]) : try it.json(command[0], command[1])
        }
        _ = try it.json("pg", "show", "m1")
    }

    @Test("A wrong configuration starts nothing and names file, line and key") func wrongConfiguration() throws {
        let it = try Installation(nodes: 1, firstAddress: 170, port: 20493)
        let text = try String(contentsOfFile: it.configuration, encoding: .utf8)
        try text.replacingOccurrences(of: "dataGroups: 8", with: "dataGroups: 7")
            .write(toFile: it.configuration, atomically: true, encoding: .utf8)
        let outcome = try it.run("cluster", "up", it.configuration)
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains("ST1001"))
        #expect(outcome.errors.contains("cluster.yaml:3: placement.dataGroups: found 7; expected a power of two"))
        #expect(!FileManager.default.fileExists(atPath: it.folder + "/data"))
    }

    @Test("A cluster with a missing disk is not created anew, and nothing starts") func missingDisk() throws {
        let it = try Installation(nodes: 1, firstAddress: 180, port: 20494)
        _ = try it.succeed("cluster", "up", it.configuration)
        _ = try it.succeed("cluster", "down", it.configuration)
        try FileManager.default.moveItem(atPath: it.folder + "/data/node-1/disk", toPath: it.folder + "/away")
        let outcome = try it.run("cluster", "up", it.configuration)
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("ST1003") && outcome.errors.contains("node-1/disk"))
        #expect(NodeProcessFile.running(at: it.folder + "/data/run/node-1.pid") == nil)
        try FileManager.default.moveItem(atPath: it.folder + "/away", toPath: it.folder + "/data/node-1/disk")
        _ = try it.succeed("cluster", "up", it.configuration)
    }

    @Test("Two that bring one cluster up at once both succeed, and each node runs once") func twoAtOnce() async throws {
        let it = try Installation(nodes: 3, firstAddress: 210, port: 20497)
        let (program, configuration, folder) = (Installation.program, it.configuration, it.folder)
        let codes = try await withThrowingTaskGroup(of: Int32.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    let process = Process()
                    process.executableURL = URL(fileURLWithPath: program)
                    process.arguments = ["cluster", "up", configuration]
                    process.environment = ["XDG_STATE_HOME": folder + "/state", "HOME": folder]
                    process.standardError = FileHandle.nullDevice
                    process.standardOutput = FileHandle.nullDevice
                    try process.run()
                    process.waitUntilExit()
                    return process.terminationStatus
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes == [0, 0])
        let running = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { name in
            Int(name) != nil
                && (try? String(contentsOfFile: "/proc/\(name)/cmdline", encoding: .utf8))?.contains(configuration)
                    == true
        }
        #expect(running.count == 3)
    }

    @Test("A node that cannot start is told with the end of its log, at once") func takenPort() throws {
        let it = try Installation(nodes: 1, firstAddress: 190, port: 20495)
        let other = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(other) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(20495).bigEndian
        inet_pton(AF_INET, "127.0.0.191", &address.sin_addr)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(other, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(bound == 0 && listen(other, 1) == 0)
        let outcome = try it.run("cluster", "up", it.configuration)
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("ST1006") && outcome.errors.contains("127.0.0.191:20495"))
        #expect(try it.run("preflight", it.configuration).code == 1)
    }

    @Test("Every command helps, and wrong usage has its own exit code") func help() throws {
        let it = try Installation(nodes: 1, firstAddress: 200, port: 20496)
        for words in [
            ["cluster", "up"], ["fs", "cp"], ["object", "locate"], ["pg", "show"], ["fileset", "create"],
            ["export", "create"],
        ] {
            #expect(try it.run(words[0], words[1], "--help").code == 0)
        }
        #expect(try it.run("--help").output.contains("stave explain"))
        #expect(try it.run("dance").code == 2)
        #expect(try it.run("pg", "show").code == 2)
        #expect(try it.run("explain", "ST9999").code == 3)
        #expect(try it.run("status").code == 3, "no cluster was started")
        #expect(try it.run("--generate-completion-script", "bash").output.contains("stave"))
    }
}
