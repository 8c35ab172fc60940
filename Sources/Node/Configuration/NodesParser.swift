import ClusterModel

#if canImport(Glibc)
    import Glibc
#endif

extension ClusterConfiguration {
    static func nodes(_ root: ConfigurationNode, data: String) throws(ConfigurationError) -> [NodeConfiguration] {
        let list = try root.required("nodes", "a list of nodes")
        var nodes: [NodeConfiguration] = []
        var disks: [String: String] = [:]
        for element in try list.elements() {
            let idNode = try element.required("id", "a number, 1 … 65535, different for each node")
            let id = NodeID(UInt16(try idNode.integer(1...65535, "a node's number")))
            if nodes.contains(where: { $0.id == id }) {
                throw idNode.error(found: "\(id.rawValue), which another node has", expected: "a number of its own")
            }
            let addressNode = try element.required("address", "an IPv4 address")
            let address = try addressNode.string("an IPv4 address")
            guard isIPv4(address) else {
                throw addressNode.error(found: addressNode.described, expected: "an IPv4 address such as 127.0.0.11")
            }
            guard address.hasPrefix("127.") else {
                throw addressNode.error(
                    found: address,
                    expected:
                        "an address of 127.0.0.0/8: nodes on several machines need etcd coordination, which does not exist yet"
                )
            }
            if nodes.contains(where: { $0.address == address }) {
                throw addressNode.error(found: "\(address), which another node has", expected: "an address of its own")
            }
            let name = try element.optional("name")?.string("a name") ?? "node-\(id.rawValue)"
            let roles = try roles(element)
            let domain = try element.optional("failureDomain")
            let levels =
                try domain.map { d throws(ConfigurationError) in try strings(d, "a domain, outermost first", atMost: 8)
                } ?? []
            let own = try self.disks(element, data: data, roles: roles)
            for disk in own {
                if let other = disks.updateValue(name, forKey: disk.path) {
                    throw element.error(
                        found: "the disk \(disk.path), which \(other) has",
                        expected: "a folder of its own for each disk")
                }
            }
            try element.finish()
            nodes.append(
                NodeConfiguration(id: id, name: name, address: address, roles: roles, failureDomain: levels, disks: own)
            )
        }
        if nodes.isEmpty { throw list.error(found: "no node", expected: "at least one") }
        if nodes.count > 1024 { throw list.error(found: "\(nodes.count) nodes", expected: "at most 1024") }
        if !nodes.contains(where: { $0.roles.contains(.interface) }) {
            throw list.error(found: "no node with the role interface", expected: "at least one: it serves NFS")
        }
        return nodes.sorted { $0.id < $1.id }
    }

    private static func roles(_ element: ConfigurationNode) throws(ConfigurationError) -> NodeRoles {
        guard let node = try element.optional("roles") else { return [.storage, .interface, .management] }
        var roles: NodeRoles = []
        for role in try node.elements() {
            roles.formUnion(
                try role.choice([
                    ("storage", NodeRoles.storage), ("interface", .interface), ("management", .management),
                ]))
        }
        if roles.isEmpty {
            throw node.error(found: "no role", expected: "storage, interface, management or several of them")
        }
        return roles
    }

    private static func disks(
        _ element: ConfigurationNode, data: String, roles: NodeRoles
    ) throws(ConfigurationError) -> [DiskConfiguration] {
        guard let node = try element.optional("disks") else {
            if roles.contains(.storage) {
                throw element.error(
                    found: "no disks", expected: "disks for a node with the role storage", key: "\(element.key).disks")
            }
            return []
        }
        if !roles.contains(.storage) {
            throw node.error(found: "disks", expected: "none: the node has not the role storage")
        }
        var disks: [DiskConfiguration] = []
        for disk in try node.elements() {
            let path = try disk.required("path", "the disk's folder").string("a folder")
            let weight = try disk.optional("weight")?.integer(1...1_048_576, "a weight") ?? 1
            try disk.finish()
            disks.append(
                DiskConfiguration(path: path.hasPrefix("/") ? path : "\(data)/\(path)", weight: UInt32(weight)))
        }
        if disks.isEmpty || disks.count > 16 {
            throw node.error(found: "\(disks.count) disks", expected: "1 … 16 disks")
        }
        return disks
    }

    static func exports(_ root: ConfigurationNode) throws(ConfigurationError) -> [ExportConfiguration] {
        guard let list = try root.optional("exports") else { return [] }
        var exports: [ExportConfiguration] = []
        for element in try list.elements() {
            let pathNode = try element.required("path", "the name that clients mount")
            let path = try pathNode.string("a path such as /images")
            let names = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
            guard path.hasPrefix("/"), path.utf8.count <= 1024, !path.utf8.contains(0),
                names.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255 })
            else {
                throw pathNode.error(
                    found: pathNode.described, expected: "a path such as /images, without . or .. or a slash at its end"
                )
            }
            if exports.contains(where: { $0.path == path }) {
                throw pathNode.error(found: "\(path) again", expected: "each export once")
            }
            let clientsNode = try element.required("clients", "who may mount it, e.g. [127.0.0.0/8]")
            let clients = try strings(clientsNode, "an address or network such as 10.1.0.0/16", atMost: 256)
            for (client, node) in zip(clients, try clientsNode.elements()) where !isNetwork(client) {
                throw node.error(found: node.described, expected: "an IPv4 address or network such as 10.1.0.0/16")
            }
            if clients.isEmpty { throw clientsNode.error(found: "nobody", expected: "at least one address or network") }
            let squash =
                try element.optional("squash")?.choice([("none", Squash.none), ("root", .root), ("all", .all)]) ?? .root
            exports.append(
                ExportConfiguration(
                    path: path, clients: clients, squash: squash,
                    anonymousUID: UInt32(
                        try element.optional("anonymousUID")?.integer(0...4_294_967_294, "a user id") ?? 65534),
                    anonymousGID: UInt32(
                        try element.optional("anonymousGID")?.integer(0...4_294_967_294, "a group id") ?? 65534),
                    access: try element.optional("access")?.choice([
                        ("read-only", Export.Access.readOnly), ("read-write", .readWrite),
                    ])
                        ?? .readWrite,
                    verifierBlind: try element.optional("verifierBlind")?.flag() ?? false,
                    ownerUID: UInt32(try element.optional("ownerUID")?.integer(0...4_294_967_294, "a user id") ?? 0),
                    ownerGID: UInt32(try element.optional("ownerGID")?.integer(0...4_294_967_294, "a group id") ?? 0),
                    mode: try mode(element)))
            try element.finish()
        }
        return exports
    }

    private static func mode(_ element: ConfigurationNode) throws(ConfigurationError) -> UInt16 {
        guard let node = try element.optional("mode") else { return 0o755 }
        guard let mode = UInt16(try node.string("an octal mode such as 0755"), radix: 8), mode <= 0o7777 else {
            throw node.error(found: node.described, expected: "an octal mode such as 0755")
        }
        return mode
    }

    private static func strings(
        _ node: ConfigurationNode, _ expected: String, atMost bound: Int
    ) throws(ConfigurationError) -> [String] {
        let elements = try node.elements()
        if elements.count > bound {
            throw node.error(found: "\(elements.count) elements", expected: "at most \(bound)")
        }
        var result: [String] = []
        for element in elements { result.append(try element.string(expected)) }
        return result
    }

    static func isIPv4(_ text: String) -> Bool {
        var address = in_addr()
        return inet_pton(AF_INET, text, &address) == 1
    }

    /// "a.b.c.d" or "a.b.c.d/n".
    static func isNetwork(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), isIPv4(String(parts[0])) else { return false }
        if parts.count == 1 { return true }
        guard let bits = UInt8(parts[1]) else { return false }
        return bits <= 32
    }
}
