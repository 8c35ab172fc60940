/// What floors 1 and 2 may not do: everything that would make two runs of one history differ.
enum Purity {
    static let bans: [Ban] = [
        Ban(#"\bDate\s*\("#, "no wall clock in a machine; take a Timestamp as a parameter"),
        Ban(
            #"\b(ContinuousClock|SuspendingClock|clock_gettime|gettimeofday|DispatchTime)\b"#,
            "no clock in a machine; take an Instant as a parameter"),
        Ban(#"\bUUID\s*\("#, "no random identifier in a machine; let the shell draw it"),
        Ban(
            #"\b(random|randomElement|shuffled|shuffle)\s*\(|\bSystemRandomNumberGenerator\b|\barc4random"#,
            "no randomness in a machine; take a SplitMix64 whose seed the shell gives"),
        Ban(#"^(?!.*func hash\(into).*\bHasher\b"#, "Hasher differs in each process; use StableHash"),
        Ban(#"\.hashValue\b"#, "hashValue differs in each process; use StableHash"),
        Ban(#"\bObjectIdentifier\s*\("#, "addresses differ in each process; give things a number"),
        Ban(#"\bTask\b(?=\s*(\{|\.|<|\())"#, "no concurrency in a machine; give back an effect"),
        Ban(#"\b(async|await|actor)\b"#, "no concurrency in a machine; give back an effect"),
        Ban(#"\b(Double|Float|Float16|Float80|CGFloat)\b"#, "no floating point; use fixed point, as Placement does"),
        Ban(
            #"(?<![.\w])(?<!case )(log|log2|log10|exp|exp2|pow|sqrt|sin|cos|floor|ceil)\s*\((?!.*->)"#,
            "no libm, whose results differ between machines; use fixed point, as Placement does"),
        Ban(#"\b(print|debugPrint|dump)\s*\("#, "no output in a machine; give back an effect"),
    ]

    static func violations(_ file: SourceFile) throws -> [Violation] {
        let code = file.code
        return try bans.flatMap { try $0.violations(in: code, path: file.path) }
    }

    /// Names that are dictionaries or sets wherever these files declare them. A name that is something else in another
    /// type is judged within the files that declare it so.
    private static func unordered(_ code: String) throws -> (unordered: Set<String>, other: Set<String>) {
        let typed =
            #"\b(?:let|var)\s+(\w+)\s*(?::\s*(?:\[[^\[\]=(]+:[^=]|Set<|Dictionary<)|=\s*(?:Set[<(]|Dictionary[<(]|\[[\w.]+\s*:))"#
        let declared = #"\b(?:let|var)\s+(\w+)\s*(?::|=)"#
        let names = Set(try Ban.captures(typed, in: code))
        return (names, Set(try Ban.captures(declared, in: code)).subtracting(names))
    }

    /// Obvious iterations of dictionaries and sets in the files of one target.
    static func iterations(_ files: [SourceFile]) throws -> [Violation] {
        let codes = files.map(\.code)
        let declared = try codes.map(unordered)
        let elsewhere = declared.reduce(into: Set<String>()) { $0.formUnion($1.other) }
        let everywhere = declared.reduce(into: Set<String>()) { $0.formUnion($1.unordered) }.subtracting(elsewhere)
        var found: [Violation] = []
        for (index, file) in files.enumerated() {
            let names = everywhere.union(declared[index].unordered).sorted()
            if names.isEmpty { continue }
            let name = #"(?:[\w?!]+\.)*(?:"# + names.joined(separator: "|") + ")"
            let sentence = "the order of a Dictionary or Set differs in each process; iterate an array, or sort first"
            let uses =
                #"\bin\s+"# + name + #"(?:\.keys|\.values)?(?:\s+where\b.*)?\s*\{"# + "|" + #"(?<![\w.])"# + name
                + #"(?:\.keys|\.values)?\.(?:map|flatMap|compactMap|forEach|reduce|first\b|min\(|max\(|prefix|dropFirst|joined|enumerated|popFirst)"#
            found += try Ban(uses, sentence).violations(in: codes[index], path: file.path)
        }
        return found
    }
}
