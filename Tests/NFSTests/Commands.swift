#if canImport(Glibc)
    import Glibc
#endif

/// What a command said, and how it ended.
struct Outcome {
    var status: Int32
    var output: String
}

/// A command that runs. Plain posix_spawn and waitpid: the child belongs to the network namespace of the calling thread,
/// and waiting needs no run loop.
final class Command {
    let process: pid_t
    private let output: Int32

    init(_ words: [String]) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw ClientFailure(description: "no pipe") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
        // Else a child of another test would hold this pipe open.
        for descriptor in ends { posix_spawn_file_actions_addclose(&actions, descriptor) }
        for descriptor in ends { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Threads of dispatch block signals, and a child inherits that.
        var attributes = posix_spawnattr_t()
        var none = sigset_t()
        posix_spawnattr_init(&attributes)
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        defer { posix_spawnattr_destroy(&attributes) }
        var arguments: [UnsafeMutablePointer<CChar>?] = (["env"] + words).map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
        defer { for word in arguments + environment { free(word) } }
        var started: pid_t = 0
        let code = posix_spawn(&started, "/usr/bin/env", &actions, &attributes, &arguments, &environment)
        close(ends[1])
        guard code == 0 else {
            close(ends[0])
            throw ClientFailure(description: "\(words[0]): \(String(cString: strerror(code)))")
        }
        process = started
        output = ends[0]
    }

    /// Waits for the end and for all that was said.
    func end() -> Outcome {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let n = read(output, &piece, piece.count)
            if n <= 0 { break }
            bytes += piece[..<n]
        }
        close(output)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        let exited = status & 0x7f == 0
        return Outcome(status: exited ? status >> 8 & 0xff : 128, output: String(decoding: bytes, as: UTF8.self))
    }

    /// Ends the command.
    func stop() {
        kill(process, SIGTERM)
        _ = end()
    }

    /// Runs a command to its end, for at most a minute.
    static func run(_ words: [String]) throws -> Outcome { try Command(["timeout", "60"] + words).end() }

    /// As above.
    static func run(_ words: String...) throws -> Outcome { try run(words) }

    /// Whether these programs are installed, and we are who may use ports below 1024.
    static func canRun(_ tools: String...) -> Bool {
        getuid() == 0
            && tools.allSatisfy { tool in
                ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"].contains { access($0 + tool, X_OK) == 0 }
            }
    }
}
