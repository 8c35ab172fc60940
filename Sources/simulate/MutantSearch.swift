import Foundation
import Simulation

/// Leaves out one rule after the other, and shows which seed and which check found it.
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
            var missed: [String] = []
            await withTaskGroup(of: (Int, Mutant.Finding?).self) { group in
                var next = 0
                func add() {
                    guard next < chosen.count else { return }
                    let i = next
                    next += 1
                    group.addTask { (i, chosen[i].find(seeds: seeds)) }
                }
                for _ in 0..<workers { add() }
                while let (i, found) = await group.next() {
                    add()
                    let mutant = chosen[i]
                    if let found {
                        print("found   \(mutant.name) (\(mutant.rule)): seed \(found.seed): \(found.failure)")
                    } else {
                        print(
                            "missed  \(mutant.name) (\(mutant.rule)): \(seeds ?? mutant.seeds) seeds from \(mutant.firstSeed)"
                        )
                        missed.append(mutant.name)
                    }
                    fflush(nil)
                }
            }
            print(
                "\(chosen.count - missed.count) of \(chosen.count) mutants found, \(named.count - chosen.count) by tests only"
            )
            return missed.isEmpty
        }
    #else
        func run() async -> Bool {
            say("this build has no mutations: tools/simulate makes one that has")
            return false
        }
    #endif
}
