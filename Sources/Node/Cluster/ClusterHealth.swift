import Admin
import ClusterModel
import Foundation

/// What a cluster lacks to serve everything, asked of its nodes.
public struct ClusterHealth: Sendable {
    public var reports: [NodeReport] = []
    /// Nodes that do not answer, with why.
    public var silent: [(id: NodeID, reason: String)] = []
    /// Groups that no node serves; nil while no node answers.
    public var unserved: Int?
    public var groupCount: Int { reports.first?.groupCount ?? 0 }
    /// Gateways whose NFS port takes no connection.
    public var deafGateways: [NodeID] = []

    /// Gateways that have no session yet: they hold what clients ask.
    public var waitingGateways: [NodeID] = []

    public var isHealthy: Bool {
        silent.isEmpty && unserved == 0 && deafGateways.isEmpty && waitingGateways.isEmpty
    }

    /// Asks every node once; each may take `timeout` seconds.
    public static func check(_ configuration: ClusterConfiguration, timeout: Int = 2) -> ClusterHealth {
        var health = ClusterHealth()
        for node in configuration.nodes {
            do {
                let client = try AdminClient(path: configuration.socketPath(of: node.id), timeout: timeout)
                let report = try client.ask(AdminQuestion(.status), NodeReport.self)
                health.reports.append(report)
                if report.session == nil, node.roles.contains(.interface) { health.waitingGateways.append(node.id) }
            } catch {
                health.silent.append((node.id, "\(error)"))
                continue
            }
            if node.roles.contains(.interface), !answers(node.address, configuration.limits.nfsPort) {
                health.deafGateways.append(node.id)
            }
        }
        if let newest = health.reports.max(by: { $0.mapVersion < $1.mapVersion }) {
            let served = Set(health.reports.flatMap(\.serving))
            health.unserved = max(newest.groupCount - served.count, 0)
        }
        return health
    }

    /// One line for people who wait.
    public var progress: String {
        var parts: [String] = []
        if !silent.isEmpty {
            parts.append(
                "waiting for node\(silent.count == 1 ? "" : "s") \(silent.map { "\($0.id.rawValue)" }.joined(separator: ", "))"
            )
        }
        if let unserved { parts.append("\(groupCount - unserved) of \(groupCount) placement groups serve") }
        if !deafGateways.isEmpty {
            parts.append("gateways not open: \(deafGateways.map { "\($0.rawValue)" }.joined(separator: ", "))")
        }
        if !waitingGateways.isEmpty {
            parts.append(
                "gateways without a session: \(waitingGateways.map { "\($0.rawValue)" }.joined(separator: ", "))")
        }
        return parts.joined(separator: "; ")
    }

    /// Whether something accepts TCP connections at an IPv4 address of this machine.
    public static func answers(_ address: String, _ port: Int) -> Bool {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var time = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = UInt16(port).bigEndian
        guard inet_pton(AF_INET, address, &target.sin_addr) == 1 else { return false }
        return withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        } == 0
    }
}
