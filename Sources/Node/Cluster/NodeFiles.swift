import ClusterModel
import Foundation

/// Which process runs a node, as its process file says: the id, and the start time that tells it from a later process with
/// the same id.
public struct NodeProcessFile: Hashable, Sendable {
    public var process: Int32
    /// Clock ticks from the boot to the process's start (proc(5), stat, field 22).
    public var startTicks: UInt64

    /// What the file says, if that process still runs; nil otherwise.
    public static func running(at path: String) -> NodeProcessFile? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count == 2, let process = Int32(fields[0]), process > 0, let ticks = UInt64(fields[1]),
            startTicks(of: process) == ticks
        else { return nil }
        return NodeProcessFile(process: process, startTicks: ticks)
    }

    /// Writes the file for this process.
    public static func write(to path: String) throws {
        try Data(own().utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    /// Writes the same to the beginning of an open file, which `path` names for errors.
    static func write(to descriptor: Int32, path: String) throws {
        let text = Array(try own().utf8)
        guard pwrite(descriptor, text, text.count, 0) == text.count else {
            throw OperatorError(.nodeFailed, "\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
    }

    private static func own() throws -> String {
        let process = getpid()
        guard let ticks = startTicks(of: process) else {
            throw OperatorError(.nodeFailed, "/proc/\(process)/stat cannot be read: is /proc mounted?")
        }
        return "\(process) \(ticks)\n"
    }

    /// Nil for a process that is not there, or has ended and was not waited for yet.
    public static func startTicks(of process: Int32) -> UInt64? {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        // Behind the name in parentheses: state is field 3, the start time field 22.
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return UInt64(fields[19])
    }

    /// Whether it is stopped (SIGSTOP, or a debugger).
    public var isStopped: Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return false }
        return text[text.index(after: end)...].split(separator: " ").first.map { $0 == "T" || $0 == "t" } ?? false
    }
}

/// The cluster that this user started last, so that commands need not name it.
public enum LastCluster {
    /// ${XDG_STATE_HOME:-$HOME/.local/state}/stave/current
    public static func path(_ environment: [String: String]) -> String? {
        if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") { return "\(state)/stave/current" }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return "\(home)/.local/state/stave/current"
    }

    /// The absolute path of its configuration; nil if none was started.
    public static func read(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
        guard let path = path(environment), let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            return nil
        }
        let name = text.trimmingCharacters(in: .whitespacesAndNewlines)
        return name.hasPrefix("/") ? name : nil
    }

    /// Remembers a configuration. A user without a home folder has to name it each time.
    public static func write(
        _ configuration: String, _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        guard let path = path(environment) else { return }
        let folder = (path as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data((configuration + "\n").utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    /// Forgets it, if it is this one.
    public static func forget(
        _ configuration: String, _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) {
        if read(environment) == configuration, let path = path(environment) {
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}
