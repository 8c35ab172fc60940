import Testing

private func file(_ target: String, _ text: String) -> SourceFile {
    SourceFile(path: "Sources/\(target)/A.swift", text: text)
}

/// Every rule of the house finds a small sample that breaks it, and lets one pass that does not.
struct RuleTests {
    @Test("Comments and strings are no code, and lines keep their numbers")
    func stripping() {
        let text = """
            let a = "Date( \\" // x" // Date(
            /* Date( /* nested */
            Date( */ let b = #"Date( " "#
            let c = #function + \"\"\"
            Date(
            \"\"\"
            Date()
            """
        let code = Code.withoutWords(text).split(separator: "\n", omittingEmptySubsequences: false)
        #expect(code.count == 7)
        #expect(code.enumerated().filter { $1.contains("Date(") }.map(\.offset) == [6])
        #expect(code[3].contains("#function"))
    }

    @Test(
        "An import upwards, sideways or of an unknown target is found",
        arguments: [
            ("Store", "import Storage"), ("Store", "import Replication"), ("Wire", "import ONCRPC"),
            ("ClusterModel", "import Wire"), ("NFS", "@testable import Node"), ("Storage", "import struct NFS.Answer"),
            ("Gateway", "public import Filesystem"), ("Attic", "import Wire"),
        ])
    func upwards(target: String, text: String) throws {
        #expect(try Floors.violations(file(target, text)).count == 1)
    }

    @Test(
        "An import from outside is found on the pure floors only",
        arguments: [
            "import Foundation", "import NIOCore", "import Glibc", "import Synchronization",
            "@preconcurrency import Dispatch",
        ])
    func outside(text: String) throws {
        for target in Floors.pure { #expect(try Floors.violations(file(target, text)).count == 1) }
        #expect(try Floors.violations(file("Storage", text)).isEmpty)
    }

    @Test("Imports that go down are allowed")
    func downwards() throws {
        #expect(try Floors.violations(file("Store", "import ClusterModel\nimport Wire\n// import Foundation")).isEmpty)
    }

    @Test(
        "Each banned call is found once, with its replacement",
        arguments: [
            "let a = Date()", "let a = UUID()", "let a = Int.random(in: 0..<9)", "let a = b.shuffled()",
            "var h = Hasher()", "let a = b.hashValue", "let a = ObjectIdentifier(b)", "Task { b() }",
            "Task.detached { b() }",
            "func a() async {}", "let a: Double = 1", "let a = log2(b)", "let a = sqrt(b)",
            "let a = ContinuousClock.now",
            "print(a)",
        ])
    func impure(text: String) throws {
        let found = try Purity.violations(file("Store", "// Date()\n" + text))
        #expect(found.map(\.line) == [2])
        #expect(found.allSatisfy { $0.sentence.contains(";") })
    }

    @Test(
        "What only looks like a banned call passes",
        arguments: [
            "let update = 1", "case .log(segment)", "func hash(into hasher: inout Hasher) {}", "let a = \"Date()\"",
            "case log(SegmentNumber)", "taskCount += 1", "lastUUID(b)", "self.log(b)",
        ])
    func pure(text: String) throws {
        #expect(try Purity.violations(file("Store", text)).isEmpty)
    }

    @Test(
        "Iterating a dictionary or a set is found",
        arguments: [
            "var d: [Int: String] = [:]\nfor x in d {}", "var d: [A.B: [C]] = [:]\nfor (k, v) in self.d where k > 1 {}",
            "let d = Set<Int>()\nfor x in d {}", "let d: Set<Int>\nfor x in a.d {}",
            "var d = [Int: A]()\nfor x in d.keys {}",
            "var d: [Int: A]\nlet a = d.values.map { $0 }", "var d: Set<Int>\nlet a = d.first",
            "var d: [Int: A]\nd.forEach {}",
        ])
    func iteration(text: String) throws {
        #expect(try Purity.iterations([file("Store", text)]).map(\.line) == [2])
    }

    @Test(
        "Iterating an array, or a dictionary's sorted keys, passes",
        arguments: [
            "var d: [Int]\nfor x in d {}", "var d: [Int: A]\nfor x in d.keys.sorted() {}",
            "var d: [Int: A]\nlet a = d[1]",
            "var d: [Int: A]\nfor x in d[1]!.list {}", "var d: Set<Int>\nif d.contains(1) {}",
        ])
    func ordered(text: String) throws {
        #expect(try Purity.iterations([file("Store", text)]).isEmpty)
    }

    @Test("Unfinished work and private paths are found, also in comments")
    func words() throws {
        for word in ["// FIX" + "ME", "/* TO" + "DO: later */", "let a = \"/wo" + "rk/main\""] {
            #expect(try Habits.words(file("Store", word)).count == 1)
        }
        #expect(try Habits.words(file("Store", "let todos = 1 // mastodon")).isEmpty)
    }

    @Test(
        "Calls that end the process or hide a race are found",
        arguments: [
            "let a = try! b()", "fatalError()", "let a = b as! C", "nonisolated(unsafe) var a = 1",
            "@preconcurrency import Dispatch",
        ])
    func calls(text: String) throws {
        #expect(try Habits.calls(file("Storage", text)).count == 1)
        #expect(try Habits.calls(file("Storage", "// " + text)).isEmpty)
    }

    @Test("`@unchecked Sendable` passes only with its reason above it")
    func unchecked() throws {
        let type = "final class A: @unchecked Sendable {}"
        #expect(try Habits.unchecked(file("Storage", type)).count == 1)
        #expect(
            try Habits.unchecked(
                file("Storage", "/// A thing that is shared by several threads at once, somehow.\n" + type)
            ).count == 1)
        #expect(try Habits.unchecked(file("Storage", "/// `@unchecked Sendable`: safe.\n" + type)).count == 1)
        let reason = "/// `@unchecked Sendable`: the state is reached only with the mutex held by the caller.\n"
        #expect(try Habits.unchecked(file("Storage", reason + type)).isEmpty)
        #expect(try Habits.unchecked(file("Storage", reason + "\n" + type)).count == 1)
    }

    @Test("A file of 601 lines is found, one of 600 passes")
    func length() {
        #expect(Habits.length(file("Store", String(repeating: "a\n", count: 601))).count == 1)
        #expect(Habits.length(file("Store", String(repeating: "a\n", count: 600))).isEmpty)
    }

    @Test("A second opener of a database is found")
    func databases() throws {
        #expect(try Habits.databases(file("Storage", "sqlite3_open_v2(path, &db, 0, nil)")).count == 1)
        #expect(try Habits.databases(file("Admin", "let q = try DatabaseQueue(path: p)")).count == 1)
        let opener = SourceFile(path: "Sources/DiskIO/SQLiteDatabase.swift", text: "sqlite3_open_v2(path)")
        #expect(try Habits.databases(opener).isEmpty)
    }

    @Test("Vague names and words among sources are found")
    func names() {
        for path in ["Sources/Store/Utils.swift", "Sources/Store/Misc/A.swift", "Sources/Store/notes.txt"] {
            #expect(Habits.name(path).count == 1)
        }
        #expect(Habits.name("Sources/Store/Log.swift").isEmpty)
        #expect(Habits.name("Tests/WireTests/Corpus/messages.txt").isEmpty)
    }

    @Test("A stranger at the top is found")
    func topLevel() {
        #expect(Habits.topLevel(["notes.txt", ".git", "docs", "Sources"]).map(\.path) == ["notes.txt"])
    }

    @Test("A command that does not exist is found in a page")
    func commands() throws {
        let page = SourceFile(
            path: "README.md",
            text:
                "    tools/up # x\n    tools/fly\nUse `stave status` or `stave swim PATH`.\n    .build/release/stave fs ls /\n"
                + "Stave stave runs; stave is fine.")
        let found = try Documents.violations(page, subcommands: ["status", "fs"]) { $0 == "tools/up" }
        #expect(found.map(\.line) == [2, 3])
    }

    @Test("A link to a file that does not exist is found")
    func links() throws {
        let page = SourceFile(path: "docs/a.md", text: "[x](b.md) [y](../README.md#z) [w](https://a.b)\n[v](c/d.md)")
        let found = try Documents.links(page) { ["docs/b.md", "README.md"].contains($0) }
        #expect(found.map(\.line) == [2])
    }

    @Test("A code without a page, and a code that does not exist, are found")
    func codes() throws {
        let source = SourceFile(
            path: "Sources/Node/OperatorError.swift",
            text: """
                case lost = 1001
                case found = 1002
                case .lost:
                    Page(
                        title: "Lost", cause: "A file " + "was lost.",
                        next: "look for it")
                case .found:
                    Page(title: "Found", cause: "", next: "rejoice")
                """)
        let (known, violations) = try Documents.codes(source)
        #expect(known == ["ST1001", "ST1002"])
        #expect(violations.count == 1 && violations[0].sentence.hasPrefix("found"))
        #expect(try Documents.unknownCodes(file("Node", "// ST1001\n// ST1009"), known: known).map(\.line) == [2])
    }
}
