import Foundation
import Testing

/// Shows every violation as a line of its own, and fails if there is one.
private func expectNone(_ violations: [Violation]) {
    let text = violations.map(\.description).joined(separator: "\n")
    #expect(violations.isEmpty, "\(text)")
}

/// The project keeps the rules of its house.
struct HouseTests {
    @Test("Imports go down the floors only, and floors 1 and 2 import nothing from outside")
    func floors() throws {
        let files = try SourceTree.sources.get()
        #expect(files.count > 100, "the sources were not found beside \(SourceTree.root.path)")
        expectNone(try files.flatMap(Floors.violations))
    }

    @Test("Floors 1 and 2 call nothing that differs between two runs")
    func purity() throws {
        let files = try SourceTree.sources.get().filter { Floors.pure.contains($0.target) }
        expectNone(try files.flatMap(Purity.violations))
    }

    @Test("Floors 1 and 2 do not iterate dictionaries and sets")
    func iterations() throws {
        for target in Floors.pure.sorted() {
            expectNone(try Purity.iterations(SourceTree.sources.get().filter { $0.target == target }))
        }
    }

    @Test("No unfinished work and no private paths in sources, tests and tools")
    func words() throws {
        let swift = try SourceTree.sources.get() + SourceTree.swiftFiles("Tests")
        let other = (SourceTree.paths("tools") + SourceTree.paths("cluster-configs") + SourceTree.paths("docs"))
            .compactMap { path in try? SourceTree.read(path) }
        expectNone(try (swift + other).flatMap(Habits.words))
    }

    @Test("No `try!`, no `fatalError`, nothing that hides a race in sources")
    func calls() throws {
        expectNone(try SourceTree.sources.get().flatMap(Habits.calls))
    }

    @Test("Every `@unchecked Sendable` says why it is safe")
    func unchecked() throws {
        expectNone(try SourceTree.sources.get().flatMap(Habits.unchecked))
    }

    @Test("No source file has more than 600 lines")
    func lengths() throws {
        expectNone(try SourceTree.sources.get().flatMap(Habits.length))
    }

    @Test("One file of each kind of database opens it")
    func databases() throws {
        expectNone(try SourceTree.sources.get().flatMap(Habits.databases))
    }

    @Test("Files are named by their subject, and Sources holds sources only")
    func names() {
        expectNone((SourceTree.paths("Sources") + SourceTree.paths("Tests")).flatMap(Habits.name))
    }

    @Test("Nothing lies at the top but what has its place there")
    func topLevel() throws {
        expectNone(Habits.topLevel(try SourceTree.topLevel()))
    }

    @Test("The commands that README and the pages show exist")
    func commands() throws {
        var names: Set<String> = ["help", "--help"]
        for file in try SourceTree.sources.get() where file.target == "stave" {
            names.formUnion(try Ban.captures(#"commandName:\s*"([^"]+)""#, in: file.text))
        }
        for page in try Self.pages() {
            expectNone(
                try Documents.violations(page, subcommands: names, isExecutable: SourceTree.isExecutable))
        }
    }

    @Test("Links between documents lead to files that exist")
    func links() throws {
        expectNone(try Self.pages().flatMap { try Documents.links($0, exists: SourceTree.exists) })
    }

    @Test("Every operator error has a page, and no other code is named anywhere")
    func codes() throws {
        let (known, violations) = try Documents.codes(try SourceTree.read("Sources/Node/OperatorError.swift"))
        expectNone(violations)
        let files = try SourceTree.sources.get() + Self.pages()
        expectNone(try files.flatMap { try Documents.unknownCodes($0, known: known) })
    }

    private static func pages() throws -> [SourceFile] {
        try (["README.md", "CHANGELOG.md"] + SourceTree.paths("docs").filter { $0.hasSuffix(".md") }).map(
            SourceTree.read)
    }
}
