import ClusterModel

/// The exports of the moment, ready for asking.
struct ExportTable: Sendable {
    /// One export with its client list read.
    struct Entry: Sendable {
        let export: Export
        let components: [[UInt8]]
        let clients: [ClientNetwork]

        func admits(_ client: ClientAddress) -> Bool { clients.contains { $0.contains(client) } }
    }

    /// In the order given.
    let entries: [Entry]
    private let indices: [ExportID: Int]
    /// Client blocks that are none, for the log: whoever they were meant for is refused.
    let unreadable: [String]

    init(_ exports: [Export]) {
        var unreadable: [String] = []
        entries = exports.map { export in
            let clients = export.clients.compactMap { text -> ClientNetwork? in
                if let network = ClientNetwork(text) { return network }
                unreadable.append("\(export.path): \(text)")
                return nil
            }
            return Entry(
                export: export, components: ExportTable.components(Array(export.path.utf8)) ?? [], clients: clients)
        }
        indices = Dictionary(exports.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { $1 })
        self.unreadable = unreadable
    }

    subscript(_ id: ExportID) -> Entry? { indices[id].map { entries[$0] } }

    /// The export that a mount path lies in, the innermost one, and the names from its root down to the path. Names are
    /// compared whole, so "/images2" does not lie in "/images" (traps 48). Nil when there is none or the path climbs.
    func locate(_ path: [UInt8]) -> (entry: Entry, below: [[UInt8]])? {
        guard let components = ExportTable.components(path) else { return nil }
        var best: Entry?
        for entry in entries where components.starts(with: entry.components) {
            if best.map({ $0.components.count < entry.components.count }) ?? true { best = entry }
        }
        return best.map { ($0, Array(components.dropFirst($0.components.count))) }
    }

    /// The names of a path that begins with a slash; nil when it does not, or has "..".
    private static func components(_ path: [UInt8]) -> [[UInt8]]? {
        guard path.first == UInt8(ascii: "/") else { return nil }
        let names = path.split(separator: UInt8(ascii: "/")).map(Array.init).filter { $0 != [UInt8(ascii: ".")] }
        return names.contains([UInt8(ascii: "."), UInt8(ascii: ".")]) ? nil : names
    }
}
