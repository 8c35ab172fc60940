import Admin
import ArgumentParser
import ClusterModel
import Foundation
import Node

/// Which cluster a command works on.
struct ClusterOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The cluster's configuration; without it, the cluster that was started last.", valueName: "file"))
    var config: String?

    func open() throws -> Cluster {
        if let config { return try Cluster(file: config) }
        guard let last = LastCluster.read() else {
            throw OperatorError(.noCluster, "no cluster was started here, and no --config names one")
        }
        return try Cluster(file: last)
    }
}

/// A cluster as its configuration describes it, with connections to its nodes.
final class Cluster {
    let configuration: ClusterConfiguration
    /// Absolute path of the configuration.
    let file: String
    private var clients: [NodeID: AdminClient] = [:]

    init(file: String) throws {
        self.file = absolutePath(file)
        configuration = try ClusterConfiguration.load(file: self.file)
    }

    var launcher: NodeLauncher { NodeLauncher(configuration: configuration, file: file, program: ownProgram()) }

    /// Asks one node.
    func ask<T: Codable & Sendable>(_ id: NodeID, _ question: AdminQuestion, _ type: T.Type = T.self)
        throws(OperatorError) -> T
    {
        do throws(AdminFailure) {
            return try client(id).ask(question, type)
        } catch {
            throw OperatorError(error, asking: id)
        }
    }

    private func client(_ id: NodeID) throws(AdminFailure) -> AdminClient {
        if let known = clients[id] { return known }
        let client = try AdminClient(path: configuration.socketPath(of: id), timeout: 5)
        // The storage may hold a request while a group fails over.
        try client.setTimeout(60)
        clients[id] = client
        return client
    }

    /// The first node that answers; files are best asked of a gateway.
    func anyNode() throws(OperatorError) -> NodeID {
        if let chosen { return chosen }
        var last: AdminFailure?
        let nodes = configuration.nodes.sorted {
            ($0.roles.contains(.interface) ? 0 : 1, $0.id) < ($1.roles.contains(.interface) ? 0 : 1, $1.id)
        }
        for node in nodes {
            do throws(AdminFailure) {
                _ = try client(node.id)
                chosen = node.id
                return node.id
            } catch {
                last = error
            }
        }
        throw OperatorError(
            .nodeNotRunning, "no node of \(configuration.name) answers (\(last?.description ?? "it has none"))")
    }
    private var chosen: NodeID?

    func ask<T: Codable & Sendable>(_ question: AdminQuestion, _ type: T.Type = T.self) throws(OperatorError) -> T {
        try ask(try anyNode(), question, type)
    }

    /// Asks every node; those that do not answer are told apart.
    func askAll<T: Codable & Sendable>(
        _ question: AdminQuestion, _ type: T.Type = T.self
    ) -> (answers: [(id: NodeID, answer: T)], silent: [(id: NodeID, reason: String)]) {
        var answers: [(id: NodeID, answer: T)] = []
        var silent: [(id: NodeID, reason: String)] = []
        for node in configuration.nodes {
            do throws(AdminFailure) {
                answers.append((node.id, try client(node.id).ask(question, type)))
            } catch {
                silent.append((node.id, error.message))
            }
        }
        return (answers, silent)
    }
}

extension OperatorError {
    init(_ failure: AdminFailure, asking id: NodeID) {
        switch failure.kind {
        case .notFound: self.init(.notFound, failure.message)
        case .refused: self.init(.refused, failure.message)
        case .invalid: self.init(.usage, failure.message)
        case .unavailable: self.init(.nodeNotRunning, "node \(id.rawValue): \(failure.message)")
        }
    }
}

func absolutePath(_ path: String) -> String {
    path.hasPrefix("/") ? path : URL(fileURLWithPath: path).standardizedFileURL.path
}

/// The file of this program, to start nodes from.
func ownProgram() -> String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
}
