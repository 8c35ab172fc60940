import Foundation
import Simulation

/// Leaves out one rule after the other, and shows which seed and which check found it. Each in a process of its own: a machine that
/// traps without a rule has shown it, too.
struct MutantSearch {
    let workers: Int
    /// Those whose name has this in it.
    let only: String?
    /// How many seeds each, if not as many as its own entry says.
    let seeds: UInt64?

    #if DEBUG || STAVE_MUTANTS
        func run() async -> Bool {
            let named = Mutant.all.filter { only.map($0.name.contains) ?? true }
            for mutant in named {
                if let test = mutant.test { print("by test \(mutant.name) (\(mutant.rule)): \(test)") }
            }
            let chosen = named.filter { $0.test == nil }
            var missed = 0
            await withTaskGroup(of: (text: String, isFound: Bool).self) { group in
                var next = 0
                func add() {
                    guard next < chosen.count else { return }
                    let mutant = chosen[next]
                    next += 1
                    group.addTask { inAProcess(mutant) }
                }
                for _ in 0..<workers { add() }
                while let found = await group.next() {
                    add()
                    if !found.isFound { missed += 1 }
                    print(found.text)
                    fflush(nil)
                }
            }
            print(
                "\(chosen.count - missed) of \(chosen.count) mutants found, \(named.count - chosen.count) by tests only"
            )
            return missed == 0
        }

        /// What `look` of a process says, or how it ended.
        private func inAProcess(_ mutant: Mutant) -> (text: String, isFound: Bool) {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            process.arguments = ["--mutants", "--mutant", mutant.name] + (seeds.map { ["--seeds", "\($0)"] } ?? [])
            let (output, complaints) = (Pipe(), Pipe())
            process.standardOutput = output
            process.standardError = complaints
            do { try process.run() } catch { return ("missed  \(mutant.name): \(error)", false) }
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            let trap = String(decoding: complaints.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            if process.terminationReason == .uncaughtSignal {
                let seeds = trap.split(separator: "\n").last { $0.contains("trapped") } ?? "a machine trapped"
                return ("found   \(mutant.name) (\(mutant.rule)): \(seeds)", true)
            }
            return (text.trimmingCharacters(in: .newlines), process.terminationStatus == 0)
        }

        /// Looks for the seed that finds the mutant of this name, one after the other.
        static func look(_ name: String, seeds: UInt64?) -> Bool {
            guard let mutant = Mutant.all.first(where: { $0.name == name }) else {
                say("there is no mutant of this name")
                return false
            }
            guard let found = mutant.find(seeds: seeds, begin: Traps.begin, end: Traps.end) else {
                print(
                    "missed  \(mutant.name) (\(mutant.rule)): \(seeds ?? mutant.seeds) seeds from \(mutant.firstSeed)")
                return false
            }
            print("found   \(mutant.name) (\(mutant.rule)): seed \(found.seed): \(found.failure)")
            return true
        }
    #else
        func run() async -> Bool {
            say("this build has no mutations: tools/simulate makes one that has")
            return false
        }
        static func look(_ name: String, seeds: UInt64?) -> Bool { false }
    #endif
}
