/// Rules for every file of the project.
enum Habits {
    /// Lines of a file of Sources; past them it holds two subjects.
    static let longestFile = 600

    // Written in pieces, so that this file keeps the rule itself.
    static let wordBans: [Ban] = [
        Ban(
            #"\b(FIX"# + #"ME|TO"# + #"DO|XX"# + #"X|HA"# + #"CK)\b"#,
            "unfinished work is not left behind in the code; do it, or plan it in docs/plan.md"),
        Ban("/wo" + "rk/", "a path of somebody's machine; use one relative to the project"),
    ]

    static let codeBans: [Ban] = [
        Ban(#"\btry!"#, "`try!` ends the process; throw, or handle the error"),
        Ban(
            #"\bfatalError\s*\("#,
            "`fatalError` gives no invariant; throw, or use preconditionFailure with the reason why it cannot happen"),
        Ban(#"\bas!"#, "`as!` ends the process; use `as?` and say what else came"),
        Ban(#"\bunowned\(unsafe\)"#, "use `unowned` or `weak`"),
        Ban(#"\bnonisolated\(unsafe\)"#, "hides a race from the compiler; use Atomic, Mutex or LoopBound"),
        Ban(#"@preconcurrency\b"#, "hides a race from the compiler; wrap the value and give the reason"),
    ]

    static func words(_ file: SourceFile) throws -> [Violation] {
        try wordBans.flatMap { try $0.violations(in: file.text, path: file.path) }
    }

    static func calls(_ file: SourceFile) throws -> [Violation] {
        let code = file.code
        return try codeBans.flatMap { try $0.violations(in: code, path: file.path) }
    }

    static func length(_ file: SourceFile) -> [Violation] {
        let count = file.lines.count - (file.text.hasSuffix("\n") ? 1 : 0)
        if count <= longestFile { return [] }
        return [
            Violation(
                path: file.path, line: longestFile,
                sentence: "\(count) lines; past \(longestFile) a file holds two subjects: divide it")
        ]
    }

    /// `@unchecked Sendable` needs its reason in the comment above it: "`@unchecked`: …" or "`@unchecked` because …".
    static func unchecked(_ file: SourceFile) throws -> [Violation] {
        let code = file.code.components(separatedBy: "\n")
        let lines = file.lines
        var found: [Violation] = []
        for (index, line) in code.enumerated() where line.contains("@unchecked Sendable") {
            var comment: [String] = []
            var above = index - 1
            while above >= 0 {
                let text = lines[above].trimmingCharacters(in: .whitespaces)
                guard text.hasPrefix("//") || text.hasPrefix("@") else { break }
                comment.insert(text.drop { $0 == "/" }.trimmingCharacters(in: .whitespaces), at: 0)
                above -= 1
            }
            let reason = comment.joined(separator: " ").components(separatedBy: "@unchecked").dropFirst().joined()
            if reason.count < 20 {
                found.append(
                    Violation(
                        path: file.path, line: index + 1,
                        sentence: "`@unchecked Sendable` without its reason; say above it what makes it safe: "
                            + "\"`@unchecked Sendable`: …\""))
            }
        }
        return found
    }

    /// Closing any descriptor of a SQLite file drops its locks (POSIX locks belong to the process), so one file each opens
    /// databases, and nobody names the -shm file.
    static let databaseOpeners: Set<String> = [
        "Sources/DiskIO/SQLiteDatabase.swift", "Sources/Coordination/LocalStore.swift",
        "Sources/Coordination/LocalCoordinator.swift",
    ]

    static func databases(_ file: SourceFile) throws -> [Violation] {
        if databaseOpeners.contains(file.path) { return [] }
        return try Ban(
            #"\bsqlite3_open|\bDatabase(Queue|Pool)\s*\("#,
            "a second opener of a database would drop its locks when it closes; use SQLiteDatabase or LocalStore"
        ).violations(in: file.code, path: file.path)
    }

    static let vagueNames: Set<String> = [
        "Misc", "Util", "Utils", "Utilities", "Helper", "Helpers", "Common", "Extensions",
    ]

    static func name(_ path: String) -> [Violation] {
        let parts = path.split(separator: "/").map { $0.split(separator: ".").first.map(String.init) ?? "" }
        let isVague = parts.contains { part in vagueNames.contains { part == $0 } }
        var found: [Violation] = []
        if isVague {
            found.append(Violation(path: path, line: 1, sentence: "a name that says nothing; name the one subject"))
        }
        let kinds = [".swift", ".c", ".h", ".modulemap"]
        if path.hasPrefix("Sources/"), !kinds.contains(where: { path.hasSuffix($0) }) {
            found.append(Violation(path: path, line: 1, sentence: "Sources holds source files only; words go to docs"))
        }
        return found
    }

    static let topLevel: Set<String> = [
        "Package.swift", "Sources", "Tests", "cluster-configs", "tools", "README.md", "LICENSE", "CHANGELOG.md", "docs",
        // Made by the package manager, not kept (.gitignore).
        "Package.resolved",
    ]

    static func topLevel(_ names: [String]) -> [Violation] {
        names.filter { !$0.hasPrefix(".") && !topLevel.contains($0) }.map {
            Violation(path: $0, line: 1, sentence: "no place for it at the top; put it into one of the folders there")
        }
    }
}
