import ClusterModel
import DiskIO
import Foundation

/// Brings a whole cluster up on this machine: creates it if it does not exist, starts what does not run, waits until all
/// of it serves.
public struct ClusterStart {
    public let launcher: NodeLauncher
    /// Told of each step, for people.
    public let told: (String) -> Void

    public init(launcher: NodeLauncher, told: @escaping (String) -> Void) {
        self.launcher = launcher
        self.told = told
    }

    public enum Creation: Sendable {
        case created
        case existed
    }

    /// Creates the cluster if nothing of it exists; refuses any mixture.
    public func createIfAbsent() throws -> Creation {
        let configuration = launcher.configuration
        switch ClusterCreation.standing(configuration) {
        case .complete: return .existed
        case .absent:
            told("Creating the cluster \(configuration.name) in \(configuration.dataFolder)")
            let boot: BootID
            do { boot = try BootClock.bootID() } catch {
                throw OperatorError(.nodeFailed, "this machine's boot id: \(error)")
            }
            do {
                _ = try ClusterCreation.create(configuration, boot: boot)
            } catch let error as OperatorError {
                throw error
            } catch let error as DiskError {
                throw OperatorError(.diskFailed, "\(error)")
            } catch {
                throw OperatorError(.coordinationFailed, "\(error)")
            }
            return .created
        case .mixed:
            // Its error names what is there and what is missing.
            _ = try ClusterCreation.create(configuration, boot: BootID(0))
            return .existed
        }
    }

    /// Starts the nodes that do not run, and gives those.
    public func startMissing() throws -> [(id: NodeID, process: Int32)] {
        var started: [(id: NodeID, process: Int32)] = []
        for node in launcher.configuration.nodes {
            if let process = launcher.running(node.id), process.isStopped {
                told("Node \(node.id.rawValue) was stopped by a signal: kill -CONT \(process.process) lets it go on")
            }
        }
        for node in launcher.configuration.nodes where launcher.running(node.id) == nil {
            let process = try launcher.start(node.id)
            told("Started node \(node.id.rawValue) (process \(process))")
            started.append((node.id, process))
        }
        return started
    }

    /// Waits until everything serves, at most `seconds`.
    public func awaitHealth(_ started: [(id: NodeID, process: Int32)], seconds: Double) throws {
        let begin = Date()
        var last = ""
        var lastTold = begin
        while true {
            for (id, process) in started where NodeLauncher.hasEnded(process) && launcher.running(id) == nil {
                throw OperatorError(
                    .nodeFailed,
                    "node \(id.rawValue) ended while it was starting; the end of \(launcher.configuration.logPath(of: id)):\n"
                        + launcher.logEnd(id).map { "    | \($0)" }.joined(separator: "\n"))
            }
            let health = ClusterHealth.check(launcher.configuration)
            if health.isHealthy { return }
            let now = Date()
            let since = now.timeIntervalSince(lastTold)
            if (health.progress != last && since > 0.5) || since > 5 {
                last = health.progress
                lastTold = now
                told("\(Int(now.timeIntervalSince(begin))) s: \(last)")
            }
            if now.timeIntervalSince(begin) > seconds { throw unhealthy(health, Int(seconds)) }
            usleep(100_000)
        }
    }

    private func unhealthy(_ health: ClusterHealth, _ seconds: Int) -> OperatorError {
        var text = "after \(seconds) s the cluster is not healthy: \(health.progress)"
        let silent = health.silent.first?.id ?? health.deafGateways.first ?? launcher.configuration.nodes.first?.id
        if let id = silent {
            text += "\n  the end of \(launcher.configuration.logPath(of: id)):\n"
            text += launcher.logEnd(id).map { "    | \($0)" }.joined(separator: "\n")
        }
        for report in health.reports {
            for wait in report.waiting.prefix(3) {
                text += "\n  node \(report.node): \(wait.group ?? wait.who) waits for \(wait.reason)"
            }
        }
        return OperatorError(.notHealthy, text)
    }
}
