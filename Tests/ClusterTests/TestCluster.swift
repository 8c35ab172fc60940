import Admin
import ClusterModel
import DiskIO
import Foundation
import Node
import Wire

/// What a test of processes could not go on with.
struct ClusterFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A cluster of real node processes in a temporary folder, on loopback addresses of its own (127.0.40 to 127.0.254); it ends
/// with the object.
final class TestCluster {
    /// Of one node.
    struct NodeShape {
        var id: UInt16
        var roles: String?
        var domain: String?
        var disks = 1
    }

    private(set) var configuration: ClusterConfiguration
    let folder: String
    private var launcher: NodeLauncher
    private let net: Int
    private let text: String
    private var processes: [NodeID: Int32] = [:]

    var nodes: [NodeID] { configuration.nodes.map(\.id) }
    func address(_ node: UInt16) -> String { configuration.node(NodeID(node))?.address ?? "" }

    /// Beside the test bundle, as the package builds both.
    static let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .appendingPathComponent("stave").path

    static func nodes(_ count: UInt16) -> [NodeShape] { (1...count).map { NodeShape(id: $0) } }

    /// Creates the cluster and starts it. `net` is the third number of its addresses: different ones may run side by side.
    init(
        _ shapes: [NodeShape], copies: Int, net: Int, portmapper: Int = 0,
        semantics: UInt32 = ClusterMap.newestSemantics
    ) throws {
        folder = "/tmp/stave-cluster-\(getpid())-\(net)"
        try? FileManager.default.removeItem(atPath: folder)
        self.net = net
        text = """
            name: test-\(net)
            data: \(folder)
            replication: { copies: \(copies) }
            placement: { dataGroups: 16 }
            limits: { portmapPort: \(portmapper), diskBytes: 8GiB }
            exports: [{ path: /images, clients: [127.0.0.0/8], squash: none }]
            nodes:

            """
        let file = folder + ".yaml"
        try Data((text + Self.lines(shapes, net)).utf8).write(to: URL(fileURLWithPath: file))
        configuration = try ClusterConfiguration.load(file: file)
        launcher = NodeLauncher(configuration: configuration, file: file, program: Self.program)
        _ = try ClusterCreation.create(configuration, boot: try BootClock.bootID(), semantics: semantics)
        try start()
    }

    /// Changes the configuration, as an operator does with an editor.
    func describe(_ shapes: [NodeShape]) throws {
        let file = folder + ".yaml"
        try Data((text + Self.lines(shapes, net)).utf8).write(to: URL(fileURLWithPath: file))
        configuration = try ClusterConfiguration.load(file: file)
        launcher = NodeLauncher(configuration: configuration, file: file, program: Self.program)
    }

    private static func lines(_ shapes: [NodeShape], _ net: Int) -> String {
        var text = ""
        for shape in shapes {
            text += "  - { id: \(shape.id), address: 127.0.\(net).\(10 + shape.id)"
            if let roles = shape.roles { text += ", roles: [\(roles)]" }
            if let domain = shape.domain { text += ", failureDomain: [\(domain)]" }
            let disks = (0..<shape.disks).map { "{ path: node-\(shape.id)/disk-\($0) }" }
            if !disks.isEmpty { text += ", disks: [\(disks.joined(separator: ", "))]" }
            text += " }\n"
        }
        return text
    }

    deinit {
        for process in processes.values {
            kill(process, SIGKILL)
            kill(process, SIGCONT)
            waitpid(process, nil, 0)
        }
        // Those that commands have started are nobody's children here.
        for node in nodes {
            if let process = NodeProcessFile.running(at: configuration.processPath(of: node))?.process {
                kill(process, SIGKILL)
            }
        }
        try? FileManager.default.removeItem(atPath: folder)
        try? FileManager.default.removeItem(atPath: folder + ".yaml")
    }

    // MARK: Processes

    /// Starts what does not run, and waits until everything serves. Gives the seconds it took.
    @discardableResult
    func start(within seconds: Double = 60) throws -> Double {
        let begin = Date()
        for node in nodes where processes[node] == nil { processes[node] = try launcher.start(node) }
        try wait("everything serves", within: seconds) { health().isHealthy }
        return Date().timeIntervalSince(begin)
    }

    /// Starts one node and waits for nothing; it speaks no later version of the protocol than this one, if one is named.
    func launch(_ node: UInt16, newestProtocol: ProtocolVersion? = nil) throws {
        let options = newestProtocol.map { ["--newest-protocol", "\($0.rawValue)"] } ?? []
        processes[NodeID(node)] = try launcher.start(NodeID(node), options: options)
    }

    private func reap(_ node: NodeID) {
        guard let process = processes.removeValue(forKey: node) else { return }
        while waitpid(process, nil, 0) < 0, errno == EINTR {}
    }

    func kill9(_ ids: [UInt16]) {
        let ids = ids.map { NodeID($0) }
        for id in ids { if let process = processes[id] { kill(process, SIGKILL) } }
        for id in ids { reap(id) }
    }

    func kill9() { kill9(nodes.map(\.rawValue)) }

    func send(_ signal: Int32, to node: UInt16) { if let process = processes[NodeID(node)] { kill(process, signal) } }

    func processID(_ node: UInt16) -> Int32? { processes[NodeID(node)] }

    /// Nodes whose processes have ended by themselves, with the ends of their logs.
    var dead: [String] {
        nodes.compactMap { node in
            guard let process = processes[node], NodeProcessFile.startTicks(of: process) == nil else { return nil }
            return "node \(node.rawValue) has ended:\n" + launcher.logEnd(node, lines: 40).joined(separator: "\n")
        }
    }

    /// Waits for a process to end by itself; gives its wait status.
    func awaitEnd(_ node: UInt16, within seconds: Double) throws -> Int32 {
        let id = NodeID(node)
        guard let process = processes[id] else { throw ClusterFailure("node \(node) does not run") }
        var status: Int32 = 0
        try wait("node \(node) ends", within: seconds) { waitpid(process, &status, WNOHANG) == process }
        processes[id] = nil
        return status
    }

    /// SIGTERM to all; gives the seconds until the last has ended.
    func stop(within seconds: Double = 30) throws -> Double {
        let begin = Date()
        for process in processes.values { kill(process, SIGTERM) }
        try wait("all processes end", within: seconds) {
            processes.values.allSatisfy { NodeProcessFile.startTicks(of: $0) == nil }
        }
        for node in nodes { reap(node) }
        return Date().timeIntervalSince(begin)
    }

    /// Waits for a condition, and says what the cluster was like when it did not come.
    func wait(_ what: String, within seconds: Double, _ condition: () throws -> Bool) throws {
        let deadline = Date().addingTimeInterval(seconds)
        while try !condition() {
            if Date() > deadline {
                throw ClusterFailure(
                    "\(what): not within \(seconds) s; \(health().progress) \(dead.joined(separator: "\n"))")
            }
            usleep(50_000)
        }
    }

    // MARK: Questions

    func health() -> ClusterHealth { ClusterHealth.check(configuration, timeout: 1) }

    func ask<T: Codable & Sendable>(
        _ node: NodeID, _ command: AdminCommand, _ arguments: [String: String] = [:], as type: T.Type
    ) throws -> T {
        let client = try AdminClient(path: configuration.socketPath(of: node), timeout: 10)
        return try client.ask(AdminQuestion(command, arguments), T.self)
    }

    func status(_ node: UInt16) throws -> NodeReport { try ask(NodeID(node), .status, as: NodeReport.self) }

    /// Groups whose record does not have all copies in sync.
    func lacking(asking node: UInt16 = 1) -> [String]? {
        guard let groups = try? ask(NodeID(node), .groups, as: [GroupReport].self) else { return nil }
        return groups.filter { $0.inSync.count < configuration.policy.copies }.map(\.group)
    }

    /// Groups that are led by nobody, or by another node than the one that placement names first.
    func ledByOthers(asking node: UInt16 = 1) -> [String]? {
        guard let groups = try? ask(NodeID(node), .groups, as: [GroupReport].self) else { return nil }
        return groups.filter { $0.primary != $0.placement.first?.node }.map(\.group)
    }

    /// Waits until every group has all its copies. Gives the seconds it took.
    @discardableResult
    func awaitAllInSync(asking node: UInt16 = 1, within seconds: Double) throws -> Double {
        let begin = Date()
        try wait("all groups have all copies", within: seconds) { lacking(asking: node)?.isEmpty == true }
        return Date().timeIntervalSince(begin)
    }

    /// Compares all replicas, byte by byte through their checksums. Gives what differs.
    func scrub() throws -> String? {
        let outcome = try Command.run([Self.program, "scrub", "--config", folder + ".yaml"], seconds: 120)
        return outcome.status == 0 ? nil : outcome.output
    }
}
