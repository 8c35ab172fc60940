import Foundation
import Testing

/// Mutations are for the simulator: nothing that can be run as Stave is ever built with them.
enum Mutations {
    static let condition = "STAVE_MUTANTS"

    /// What the package is, as the package manager reads Package.swift.
    struct Manifest: Decodable {
        struct Target: Decodable {
            struct Setting: Decodable {
                struct Kind: Decodable {
                    struct Value: Decodable { var _0: String }
                    var define: Value?
                }
                var kind: Kind
            }
            var name: String
            var type: String
            var settings: [Setting]
        }
        var targets: [Target]
        var withMutations: [String] {
            targets.filter { t in t.settings.contains { $0.kind.define?._0 == Mutations.condition } }.map(\.name)
        }
    }

    static func manifest(environment: [String: String]) throws -> Manifest {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "stave-manifest-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "swift", "package", "--package-path", SourceTree.root.path, "--scratch-path", folder.path, "dump-package",
        ]
        process.environment = ProcessInfo.processInfo.environment.filter { $0.key != "STAVE_SIMULATE" }
            .merging(environment) { $1 }
        let out = Pipe()
        process.standardOutput = out
        process.standardError = FileHandle.nullDevice
        try process.run()
        let bytes = try out.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return try JSONDecoder().decode(Manifest.self, from: bytes)
    }

    /// Fields that hold a mutation or marks, in a file that does not guard them: an optimised Stave would have them.
    static func unguarded(_ file: SourceFile) -> [Violation] {
        var found: [Violation] = []
        var guarded: [Bool] = []
        for (index, line) in file.code.components(separatedBy: "\n").enumerated() {
            let text = line.trimmingCharacters(in: .whitespaces)
            if text.hasPrefix("#if") {
                guarded.append(text == "#if DEBUG || \(condition)")
            } else if text.hasPrefix("#else") || text.hasPrefix("#elseif") {
                if !guarded.isEmpty { guarded[guarded.count - 1] = false }
            } else if text.hasPrefix("#endif") {
                _ = guarded.popLast()
            } else if text.contains("var mutation"), !guarded.contains(true) {
                found.append(
                    Violation(
                        path: file.path, line: index + 1,
                        sentence: "a rule could be left out in a release build; put it under #if DEBUG || \(condition)")
                )
            }
        }
        return found
    }
}

struct MutationRules {
    @Test("The package has mutations only without Stave, and Stave only without mutations")
    func manifests() throws {
        let product = try Mutations.manifest(environment: [:])
        #expect(product.targets.contains { $0.name == "stave" })
        #expect(product.withMutations.isEmpty, "\(product.withMutations) would be built with mutations")
        let simulator = try Mutations.manifest(environment: ["STAVE_SIMULATE": "1"])
        #expect(simulator.withMutations.contains("Replication"))
        let executables = simulator.targets.filter { $0.type == "executable" }.map(\.name)
        #expect(executables == ["simulate"], "with mutations, \(executables) could be run")
    }

    @Test("What leaves a rule out exists in debug builds and in the simulator only")
    func guards() throws {
        let files = try SourceTree.sources.get()
        let violations = files.flatMap(Mutations.unguarded)
        let text = violations.map(\.description).joined(separator: "\n")
        #expect(violations.isEmpty, "\(text)")
        #expect(files.contains { $0.code.contains("var mutation") }, "the mutations were not found")
    }

    @Test("An unguarded mutation is found, one in the branch of release builds too")
    func samples() {
        func count(_ text: String) -> Int {
            Mutations.unguarded(SourceFile(path: "Sources/Replication/A.swift", text: text)).count
        }
        #expect(count("public var mutation: Mutation?") == 1)
        #expect(count("#if DEBUG || STAVE_MUTANTS\nvar mutation: Int?\n#endif") == 0)
        #expect(count("#if DEBUG || STAVE_MUTANTS\n#else\nvar mutation: Int?\n#endif") == 1)
        #expect(count("#if os(Linux)\nvar mutation: Int?\n#endif") == 1)
    }
}
