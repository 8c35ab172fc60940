import ClusterModel
import Wire

/// The files whose handles one connection got, with the names they were opened by. Beyond its bound nothing is
/// remembered: the history of further files is then unknown, which is safe.
struct KnownFiles {
    private var names: [FileID: FileName?] = [:]

    /// A handle was given out.
    mutating func opened(_ file: FileID, name: FileName?) {
        guard names.count < NFSLimits.knownFilesPerConnection || names[file] != nil else { return }
        if let name { names[file] = .some(name) } else if names[file] == nil { names[file] = .some(nil) }
    }

    func contains(_ file: FileID) -> Bool { names[file] != nil }
    func name(of file: FileID) -> FileName? { names[file] ?? nil }
}
