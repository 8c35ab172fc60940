import ClusterModel
import Foundation
import Storage
import Yams

/// Reads configuration files. Nothing is started or written while one is read; the first fault ends the reading with
/// file, line, key, what was found and what is expected.
extension ClusterConfiguration {
    /// Greatest size of a configuration file in bytes.
    static let maximumFileSize = 1 << 20

    public static func load(file: String) throws(ConfigurationError) -> ClusterConfiguration {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: file))
        } catch {
            throw ConfigurationError(
                file: file, line: 0, key: "", found: "no readable file",
                expected: "a configuration such as cluster-configs/three-nodes.yaml")
        }
        guard data.count <= maximumFileSize, let text = String(data: data, encoding: .utf8) else {
            throw ConfigurationError(
                file: file, line: 0, key: "", found: "\(data.count) bytes",
                expected: "UTF-8 text of at most \(maximumFileSize) bytes")
        }
        return try parse(text, file: file)
    }

    public static func parse(
        _ text: String, file: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ConfigurationError) -> ClusterConfiguration {
        let document: Yams.Node?
        do {
            document = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw ConfigurationError(
                file: file, line: error.mark?.line ?? 0, key: "", found: "\(error)", expected: "YAML")
        } catch {
            throw ConfigurationError(file: file, line: 0, key: "", found: "\(error)", expected: "YAML")
        }
        guard let document else {
            throw ConfigurationError(
                file: file, line: 1, key: "", found: "an empty file", expected: "name, nodes and exports")
        }
        let root = ConfigurationNode(node: document, file: file, key: "")
        let configuration = try parse(root, environment: environment)
        try root.finish()
        return configuration
    }

    private static func parse(
        _ root: ConfigurationNode, environment: [String: String]
    ) throws(ConfigurationError) -> ClusterConfiguration {
        let nameNode = try root.required("name", "the cluster's name")
        let name = try nameNode.string("1 … 63 letters, digits and dashes")
        guard (1...63).contains(name.utf8.count), name.utf8.allSatisfy({ isNameByte($0) }) else {
            throw nameNode.error(found: nameNode.described, expected: "1 … 63 letters, digits and dashes")
        }
        let data = try folder(root, name: name, environment: environment)
        let coordination = try coordination(root, data: data)
        let policy = try policy(root)
        let groups = try groupCount(root)
        let layout = try layout(root)
        let nodes = try nodes(root, data: data)
        let storage = nodes.filter { !$0.disks.isEmpty }.count
        if policy.copies > storage {
            throw ConfigurationError(
                file: root.file, line: try root.optional("replication")?.node.mark?.line ?? 0,
                key: "replication.copies",
                found: "\(policy.copies) copies for \(storage) storage nodes",
                expected: "at most as many copies as nodes with the role storage")
        }
        let exports = try exports(root)
        let limits = try limits(root)
        let recovery = try recovery(root)
        let scrub = try scrub(root)
        if let virtual = try root.optional("virtualAddresses") {
            throw virtual.error(
                found: "virtual addresses",
                expected: "no such key: virtual IP addresses do not exist yet; clients mount a node's own address")
        }
        let configuration = ClusterConfiguration(
            name: name, dataFolder: data, coordination: coordination, policy: policy, dataGroupCount: groups,
            layout: layout,
            nodes: nodes, exports: exports, limits: limits, recovery: recovery, scrub: scrub)
        // sun_path holds 108 bytes with its NUL (unix(7)).
        if let last = nodes.last, configuration.socketPath(of: last.id).utf8.count > 100 {
            throw ConfigurationError(
                file: root.file, line: 0, key: "data", found: "the folder \(data)",
                expected: "a shorter path: sockets below it may have 107 bytes")
        }
        return configuration
    }

    private static func isNameByte(_ b: UInt8) -> Bool {
        (0x30...0x39).contains(b) || (0x41...0x5A).contains(b) || (0x61...0x7A).contains(b) || b == 0x2D
    }

    private static func absolute(_ path: String, in folder: String) -> String {
        path.hasPrefix("/") ? path : "\(folder)/\(path)"
    }

    private static func folder(
        _ root: ConfigurationNode, name: String, environment: [String: String]
    ) throws(ConfigurationError) -> String {
        if let node = try root.optional("data") {
            let path = try node.string("an absolute folder")
            guard path.hasPrefix("/"), !path.hasSuffix("/") else {
                throw node.error(found: node.described, expected: "an absolute folder without a slash at its end")
            }
            return path
        }
        if let home = environment["STAVE_DATA"], home.hasPrefix("/") { return "\(home)/\(name)" }
        if geteuid() == 0 { return "/var/lib/stave/\(name)" }
        if let home = environment["XDG_DATA_HOME"], home.hasPrefix("/") { return "\(home)/stave/\(name)" }
        return "\(environment["HOME"] ?? "/tmp")/.local/share/stave/\(name)"
    }

    private static func coordination(
        _ root: ConfigurationNode, data: String
    ) throws(ConfigurationError) -> CoordinationConfiguration {
        guard let node = try root.optional("coordination") else { return .local(path: "\(data)/coordination") }
        if let etcd = try node.optional("etcd") {
            throw etcd.error(
                found: "etcd", expected: "local: etcd coordination does not exist yet, so all nodes run on one machine")
        }
        let path = try node.required("local", "the path of the coordination store").string("a path")
        try node.finish()
        return .local(path: absolute(path, in: data))
    }

    private static func policy(_ root: ConfigurationNode) throws(ConfigurationError) -> ReplicationPolicy {
        let node = try root.optional("replication")
        let copies = try node?.optional("copies")?.integer(1...5, "copies") ?? 3
        let least = try node?.optional("minInSync")
        let value = try least?.integer(1...copies, "members that must have a write")
        try node?.finish()
        guard let policy = ReplicationPolicy(copies: Int(copies), minInSync: value.map(Int.init)) else {
            preconditionFailure("both values were checked against their ranges")
        }
        return policy
    }

    private static func groupCount(_ root: ConfigurationNode) throws(ConfigurationError) -> UInt32 {
        let node = try root.optional("placement")
        let count = try node?.optional("dataGroups")
        let value = try count?.integer(1...65536, "a power of two") ?? 64
        try node?.finish()
        if value & (value - 1) != 0, let count {
            throw count.error(found: "\(value)", expected: "a power of two, 1 … 65536")
        }
        return UInt32(value)
    }

    private static func layout(_ root: ConfigurationNode) throws(ConfigurationError) -> Layout {
        let node = try root.optional("layout")
        let unitNode = try node?.optional("stripeUnit")
        let unit = try unitNode?.bytes(65536...4_194_304) ?? 1 << 20
        let count = try node?.optional("stripeCount")?.integer(1...64, "objects in a stripe") ?? 4
        try node?.finish()
        guard let layout = Layout(stripeUnit: Int(unit), stripeCount: Int(count)) else {
            throw (unitNode ?? root).error(found: "\(unit) bytes", expected: "a power of two from 64KiB to 4MiB")
        }
        return layout
    }

    private static func recovery(_ root: ConfigurationNode) throws(ConfigurationError) -> RecoverySettings {
        var settings = RecoverySettings()
        let node = try root.optional("recovery")
        if let rise = try node?.optional("latencyRise") {
            let range = RecoverySettings.latencyRises
            settings.latencyRise = try rise.integer(
                range, "percent by which the clients' p99 may rise for the sake of recovery")
        }
        if let floor = try node?.optional("floor") {
            settings.floor = .init(bytesPerSecond: try floor.bytes(RecoverySettings.floors))
        }
        try node?.finish()
        return settings
    }

    private static func scrub(_ root: ConfigurationNode) throws(ConfigurationError) -> ScrubConfiguration {
        let node = try root.optional("scrub")
        let days = try node?.optional("days")?.integer(
            0...365, "days from one scrub of a group to the next, 0 for none")
        try node?.finish()
        return ScrubConfiguration(days: days == 0 ? nil : Int(days ?? 14))
    }

    private static func limits(_ root: ConfigurationNode) throws(ConfigurationError) -> LimitsConfiguration {
        let node = try root.optional("limits")
        let limits = LimitsConfiguration(
            diskBytes: try node?.optional("diskBytes")?.bytes(256 << 20...UInt64(1) << 50),
            nfsPort: Int(try node?.optional("nfsPort")?.integer(1...65535, "a port") ?? 2049),
            portmapPort: Int(try node?.optional("portmapPort")?.integer(0...65535, "a port, 0 for none") ?? 111))
        try node?.finish()
        return limits
    }
}

extension YamlError {
    /// Where the text stops being YAML, if that is known.
    fileprivate var mark: Mark? {
        switch self {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark
        case .duplicatedKeysInMapping(_, let context): context.mark
        case .no, .memory, .reader, .writer, .emitter, .representer, .dataCouldNotBeDecoded: nil
        }
    }
}
