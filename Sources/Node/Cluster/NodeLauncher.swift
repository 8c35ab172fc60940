import CSupport
import ClusterModel
import Foundation

/// Starts and stops the node processes of a configuration on this machine.
public struct NodeLauncher: Sendable {
    public let configuration: ClusterConfiguration
    /// Absolute path of the configuration file.
    public let file: String
    /// Absolute path of the program that runs nodes.
    public let program: String

    public init(configuration: ClusterConfiguration, file: String, program: String) {
        self.configuration = configuration
        self.file = file
        self.program = program
    }

    /// The process of a node; its process file may have been removed under it, the file of its lock tells then.
    public func running(_ id: NodeID) -> NodeProcessFile? {
        NodeProcessFile.running(at: configuration.processPath(of: id))
            ?? NodeProcessFile.running(at: configuration.lockPath(of: id))
    }

    /// Starts a node as a process of its own session, which outlives this one; its output goes to the end of its log. Gives
    /// the process's id. `options`: further words of its command line.
    public func start(_ id: NodeID, options: [String] = []) throws -> Int32 {
        let log = configuration.logPath(of: id)
        try prepareFolders()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // What this process inherited (a pipe of the caller's) must not stay open in a node.
        cs_spawn_close_from(&actions, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        // POSIX_SPAWN_SETSID is 0x80 in glibc's spawn.h, behind a feature macro that the overlay is built without.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | 0x80))
        // The title says what it is: `pgrep -f 'stave node'` finds it.
        let words = ["stave", "node", "--config", file, "--id", "\(id.rawValue)"] + options
        var arguments = words.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        var process: pid_t = 0
        let error = posix_spawn(&process, program, &actions, &attributes, &arguments, environ)
        guard error == 0 else {
            throw OperatorError(.nodeFailed, "\(program) cannot be started: \(String(cString: strerror(error)))")
        }
        return process
    }

    /// Folders of sockets and logs; what holds data is made by creation only.
    public func prepareFolders() throws {
        for folder in [configuration.runFolder, configuration.dataFolder + "/log"] {
            do {
                try FileManager.default.createDirectory(
                    atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            } catch {
                throw OperatorError(.nodeFailed, "the folder \(folder) cannot be made: \(error.localizedDescription)")
            }
        }
    }

    /// Whether a child that `start` made has ended; it is waited for.
    public static func hasEnded(_ process: Int32) -> Bool {
        var status: Int32 = 0
        return waitpid(process, &status, WNOHANG) == process
    }

    /// The last lines of a node's log.
    public func logEnd(_ id: NodeID, lines: Int = 12) -> [String] {
        guard let file = FileHandle(forReadingAtPath: configuration.logPath(of: id)) else { return [] }
        defer { try? file.close() }
        let size = (try? file.seekToEnd()) ?? 0
        try? file.seek(toOffset: size > 16384 ? size - 16384 : 0)
        let data = (try? file.readToEnd()) ?? Data()
        return String(decoding: data, as: UTF8.self).split(separator: "\n").suffix(lines).map(String.init)
    }

    public enum StopOutcome: Sendable, Equatable {
        case wasNotRunning
        case stopped
        /// It did not end in time and was killed: its disks replay their logs at the next start.
        case killed
    }

    /// Asks all nodes to end and waits; kills those that have not ended after `patience` seconds. `told` hears of each as it
    /// ends.
    public func stop(
        _ ids: [NodeID], patience: Double = 30, told: (NodeID, StopOutcome) -> Void
    ) {
        var waiting: [(id: NodeID, process: NodeProcessFile)] = []
        for id in ids {
            guard let process = running(id) else {
                told(id, .wasNotRunning)
                continue
            }
            kill(process.process, SIGTERM)
            // One that is stopped hears of it when it goes on.
            if process.isStopped { kill(process.process, SIGCONT) }
            waiting.append((id, process))
        }
        let deadline = Date().addingTimeInterval(patience)
        var killed: Set<NodeID> = []
        while !waiting.isEmpty {
            waiting.removeAll { id, process in
                guard NodeProcessFile.startTicks(of: process.process) != process.startTicks else { return false }
                try? FileManager.default.removeItem(atPath: configuration.processPath(of: id))
                told(id, killed.contains(id) ? .killed : .stopped)
                return true
            }
            if waiting.isEmpty { return }
            if Date() > deadline {
                for (id, process) in waiting where killed.insert(id).inserted { kill(process.process, SIGKILL) }
            }
            usleep(20_000)
        }
    }
}
