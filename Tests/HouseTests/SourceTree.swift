import Foundation

/// One text file of the project.
struct SourceFile: Sendable {
    /// From the project's folder, "Sources/Store/Log.swift".
    let path: String
    let text: String
    /// The text with comments and string literals blanked out, line breaks kept.
    let code: String

    init(path: String, text: String) {
        self.path = path
        self.text = text
        code = Code.withoutWords(text)
    }

    var lines: [String] { text.components(separatedBy: "\n") }
    /// The folder below Sources or Tests, "Store"; empty for files elsewhere.
    var target: String {
        let parts = path.split(separator: "/")
        return parts.count > 2 && (parts[0] == "Sources" || parts[0] == "Tests") ? String(parts[1]) : ""
    }
}

/// A rule that was broken: where, and what to do instead.
struct Violation: Hashable, CustomStringConvertible {
    var path: String
    var line: Int
    var sentence: String
    var description: String { "\(path):\(line): \(sentence)" }
}

/// The project's files, read relative to this file.
enum SourceTree {
    static let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
    }

    static func isExecutable(_ path: String) -> Bool {
        FileManager.default.isExecutableFile(atPath: root.appendingPathComponent(path).path)
    }

    static func read(_ path: String) throws -> SourceFile {
        SourceFile(path: path, text: try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8))
    }

    static func topLevel() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.path).sorted()
    }

    /// The paths of all files below `folder`, sorted; hidden ones are left out.
    static func paths(_ folder: String) -> [String] {
        let base = root.appendingPathComponent(folder)
        guard let found = FileManager.default.enumerator(atPath: base.resolvingSymlinksInPath().path) else { return [] }
        var paths: [String] = []
        for case let name as String in found {
            let isHidden = name.split(separator: "/").contains { $0.hasPrefix(".") }
            var isFolder: ObjCBool = false
            let path = base.appendingPathComponent(name).path
            guard !isHidden, FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue
            else { continue }
            paths.append(folder + "/" + name)
        }
        return paths.sorted()
    }

    static func swiftFiles(_ folder: String) throws -> [SourceFile] {
        try paths(folder).filter { $0.hasSuffix(".swift") }.map(read)
    }

    /// Every source, read once for all tests.
    static let sources = Result { try swiftFiles("Sources") }
}

/// What is code in a Swift file, and what is words.
enum Code {
    private enum State {
        case code
        case lineComment
        case blockComment(depth: Int)
        case string(pounds: Int, isMultiline: Bool)
    }

    static func withoutWords(_ text: String) -> String {
        let input = Array(text.utf8)
        var output: [UInt8] = []
        output.reserveCapacity(input.count)
        var state = State.code
        var i = 0
        func starts(_ word: String, at index: Int) -> Bool {
            input[index...].starts(with: word.utf8)
        }
        func blank(_ count: Int) {
            for k in i..<min(i + count, input.count) { output.append(input[k] == 0x0A ? 0x0A : 0x20) }
            i += count
        }
        while i < input.count {
            switch state {
            case .code:
                if starts("//", at: i) {
                    state = .lineComment
                    blank(2)
                } else if starts("/*", at: i) {
                    state = .blockComment(depth: 1)
                    blank(2)
                } else if input[i] == 0x22 || input[i] == 0x23 {
                    var pounds = 0
                    while i + pounds < input.count, input[i + pounds] == 0x23 { pounds += 1 }
                    if i + pounds < input.count, input[i + pounds] == 0x22 {
                        let isMultiline = starts("\"\"\"", at: i + pounds)
                        state = .string(pounds: pounds, isMultiline: isMultiline)
                        blank(pounds + (isMultiline ? 3 : 1))
                    } else {
                        output += input[i..<i + pounds]
                        i += pounds
                    }
                } else {
                    output.append(input[i])
                    i += 1
                }
            case .lineComment:
                if input[i] == 0x0A { state = .code }
                blank(1)
            case .blockComment(let depth):
                if starts("/*", at: i) {
                    state = .blockComment(depth: depth + 1)
                    blank(2)
                } else if starts("*/", at: i) {
                    state = depth == 1 ? .code : .blockComment(depth: depth - 1)
                    blank(2)
                } else {
                    blank(1)
                }
            case .string(let pounds, let isMultiline):
                let marks = String(repeating: "#", count: pounds)
                if starts("\\" + marks, at: i) {
                    blank(2 + pounds)
                } else if starts((isMultiline ? "\"\"\"" : "\"") + marks, at: i) {
                    state = .code
                    blank((isMultiline ? 3 : 1) + pounds)
                } else {
                    blank(1)
                }
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
