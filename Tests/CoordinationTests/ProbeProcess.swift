import Foundation
import Synchronization

/// A CoordinationProbe that runs.
final class ProbeProcess: Sendable {
    let name: String
    let pid: pid_t
    private let input: Pipe
    private let state = Mutex((buffer: [UInt8](), lines: [String]()))
    private let process: Mutex<Process>

    /// Beside the test bundle, as the package builds both.
    private static let executable: URL = {
        let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return own.deletingLastPathComponent().appendingPathComponent("CoordinationProbe")
    }()

    init(_ mode: String, in folder: TestFolder, name: String, seed: UInt64 = 1) throws {
        self.name = name
        let process = Process()
        let (input, output) = (Pipe(), Pipe())
        process.executableURL = Self.executable
        process.arguments = [mode, folder.store, folder.leases, name, String(seed)]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        self.input = input
        pid = process.processIdentifier
        self.process = Mutex(process)
        let reader = output.fileHandleForReading
        Thread.detachNewThread { [weak self] in
            while case let data = reader.availableData, !data.isEmpty { self?.received(data) }
        }
    }

    deinit { kill(pid, SIGKILL) }

    var lines: [String] { state.withLock { $0.lines } }
    func lines(beginning prefix: String) -> [String] { lines.filter { $0.hasPrefix(prefix) } }
    /// As the kernel says now; Foundation notices a death a little later.
    var isAlive: Bool {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = stat.lastIndex(of: ")")
        else { return false }
        return !["Z", "X"].contains(stat[end...].split(separator: " ")[1])
    }
    func signal(_ number: Int32) { kill(pid, number) }

    private func received(_ data: Data) {
        state.withLock { state in
            state.buffer += data
            while let end = state.buffer.firstIndex(of: 10) {
                state.lines.append(String(decoding: state.buffer[..<end], as: UTF8.self))
                state.buffer.removeSubrange(...end)
            }
        }
    }
}
