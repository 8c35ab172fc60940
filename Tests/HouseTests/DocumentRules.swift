import Foundation

/// What the documents promise.
enum Documents {
    /// The commands of `tools` and of `stave` that a page shows, with where.
    static func commands(_ page: SourceFile) throws -> [(line: Int, words: [String])] {
        var found: [(line: Int, words: [String])] = []
        for (index, line) in page.lines.enumerated() {
            for command in try Ban.captures(
                #"(?:^|[`\s(])((?:tools/|\.build/release/stave |stave )[a-z][^`#|]*)"#, in: line)
            {
                let isCode = line.hasPrefix("    ") || line.contains("`" + command) || line.hasPrefix("tools/")
                if isCode { found.append((index + 1, command.split(separator: " ").map(String.init))) }
            }
        }
        return found
    }

    static func violations(
        _ page: SourceFile, subcommands: Set<String>, isExecutable: (String) -> Bool
    ) throws -> [Violation] {
        try commands(page).compactMap { line, words in
            if words[0].hasPrefix("tools/") {
                let tool = words[0].trimmingCharacters(in: .punctuationCharacters.subtracting(["/"]))
                if tool.hasPrefix("tools/lib") || isExecutable(tool) { return nil }
                return Violation(path: page.path, line: line, sentence: "\(tool) is no command; name one that exists")
            }
            let verb = words.count > 1 ? words[1] : ""
            if subcommands.contains(verb) { return nil }
            return Violation(
                path: page.path, line: line, sentence: "`stave \(verb)` is no command; name one that exists")
        }
    }

    /// Links to files that are not there. `exists` takes a path from the project's folder.
    static func links(_ page: SourceFile, exists: (String) -> Bool) throws -> [Violation] {
        let folder = page.path.split(separator: "/").dropLast().map(String.init)
        return try page.lines.enumerated().flatMap { index, line in
            try Ban.captures(#"\]\(([^)\s]+)\)"#, in: line).compactMap { target -> Violation? in
                let path = target.split(separator: "#", omittingEmptySubsequences: false).first.map(String.init) ?? ""
                if path.isEmpty || path.contains("://") { return nil }
                var parts = folder
                for part in path.split(separator: "/") where part != "." {
                    if part == ".." { _ = parts.popLast() } else { parts.append(String(part)) }
                }
                if exists(parts.joined(separator: "/")) { return nil }
                return Violation(
                    path: page.path, line: index + 1, sentence: "a link to \(target), which does not exist")
            }
        }
    }

    /// The codes of `OperatorError` and whether each has a whole page: title, cause and next step.
    static func codes(_ source: SourceFile) throws -> (numbers: Set<String>, violations: [Violation]) {
        let cases = try Ban.captures(#"^\s*case (\w+) = \d+"#, in: source.text)
        let numbers = try Ban.captures(#"^\s*case \w+ = (\d+)"#, in: source.text)
        var found: [Violation] = []
        if cases.isEmpty { found.append(Violation(path: source.path, line: 1, sentence: "no codes were found")) }
        for name in cases {
            let page =
                #"case \."# + name + #":\s*Page\(\s*title:\s*"[^"]+",\s*cause:\s*"[^"]+"[\s\S]*?next:\s*"[^"]+""#
            if try Ban(page, "").violations(in: source.text, path: source.path).isEmpty {
                found.append(
                    Violation(
                        path: source.path, line: 1, sentence: "\(name) has no page with title, cause and next step"))
            }
        }
        return (Set(numbers.map { "ST" + $0 }), found)
    }

    /// Codes that a file names and that do not exist.
    static func unknownCodes(_ file: SourceFile, known: Set<String>) throws -> [Violation] {
        try file.lines.enumerated().flatMap { index, line in
            try Ban.captures(#"\b(ST\d{4})\b"#, in: line).filter { !known.contains($0) }.map {
                Violation(path: file.path, line: index + 1, sentence: "\($0) is no code of OperatorError")
            }
        }
    }
}
