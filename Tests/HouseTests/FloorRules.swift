/// The floors of the house and who may import whom (docs/design.md, Floors).
enum Floors {
    /// What a target may import of the project. A target that is not here may not exist.
    static let allowed: [String: Set<String>] = [
        // 0: C
        "CSupport": [], "CTirpc": [],
        // 1: the model and the codecs
        "ClusterModel": [], "Wire": ["ClusterModel"], "ONCRPC": [],
        // 2: pure machines
        "Replication": ["ClusterModel", "Wire"], "Store": ["ClusterModel", "Wire"],
        "Namespace": ["ClusterModel", "Wire"], "Gateway": ["ClusterModel", "Wire"],
        // 3: the outside world. DiskIO executes the rows that Namespace asks for.
        "DiskIO": ["CSupport", "ClusterModel", "Wire", "Namespace"],
        "Transport": ["CSupport", "ClusterModel", "Wire"], "Coordination": ["CSupport", "ClusterModel", "Wire"],
        // 4
        "Storage": [
            "CSupport", "ClusterModel", "Wire", "Replication", "Store", "Namespace", "DiskIO", "Transport",
            "Coordination",
        ],
        // 5
        "Filesystem": ["CSupport", "ClusterModel", "Wire", "Gateway", "Storage"],
        // 6: doors
        "NFS": ["CTirpc", "ClusterModel", "Wire", "ONCRPC", "Filesystem", "Storage"],
        "Admin": ["CSupport", "ClusterModel", "Wire", "Filesystem", "Storage"],
        // 7
        "Node": [
            "CSupport", "ClusterModel", "Wire", "DiskIO", "Transport", "Coordination", "Storage", "Filesystem", "NFS",
            "Admin",
        ],
        // 8
        "stave": ["CSupport", "ClusterModel", "Wire", "Admin", "Node"],
        // Aside
        "Simulation": ["ClusterModel", "Wire", "Replication", "Store", "Namespace", "Gateway"],
        "simulate": ["ClusterModel", "Simulation"],
    ]

    /// Floors 1 and 2: pure, so they import nothing that is not the project's.
    static let pure: Set<String> = ["ClusterModel", "Wire", "ONCRPC", "Replication", "Store", "Namespace", "Gateway"]

    static func violations(_ file: SourceFile) throws -> [Violation] {
        guard let mayImport = allowed[file.target] else {
            return [
                Violation(
                    path: file.path, line: 1, sentence: "the target \(file.target) stands on no floor; give it one")
            ]
        }
        var found: [Violation] = []
        for (index, line) in file.code.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let pattern =
                #"^\s*(?:@\w+(?:\(\w+\))?\s+)*(?:public |internal |private |fileprivate |package )?import\s+"#
                + #"(?:class |enum |struct |func |protocol |typealias |var |let )?(\w+)"#
            guard let module = try Ban.captures(pattern, in: String(line)).first else { continue }
            if allowed[module] != nil {
                if !mayImport.contains(module) {
                    found.append(
                        Violation(
                            path: file.path, line: index + 1,
                            sentence: "\(file.target) imports \(module), which does not stand below it; move what is "
                                + "needed to a lower floor"))
                }
            } else if pure.contains(file.target) {
                found.append(
                    Violation(
                        path: file.path, line: index + 1,
                        sentence: "floors 1 and 2 are pure and do not import \(module); ask a shell by an effect"))
            }
        }
        return found
    }
}
