/// Changes of what the cluster consists of: nodes and disks come, drain, are replaced, and go.
///
/// Invariants:
/// - after a change there are as many nodes to hold copies as the policy wants, or as there were before it;
/// - a disk is taken out of the map only when it drains, so that placement has moved away what it held;
/// - ids are never used twice.
extension ClusterMap {
    /// Why a change is not made, in one sentence that says what to do.
    public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
        public init(_ description: String) { self.description = description }
    }

    public func adding(_ node: ClusterNode, _ disks: [ClusterDisk]) throws(Refusal) -> ClusterMap {
        if self.node(node.id) != nil { throw Refusal("node \(node.id.rawValue) is in the cluster already") }
        if let other = nodes.first(where: { $0.address == node.address || $0.name == node.name }) {
            throw Refusal(
                "node \(other.id.rawValue) has the name \(other.name) and the address \(other.address): each node has its own"
            )
        }
        if node.roles.contains(.storage) == disks.isEmpty {
            throw Refusal("a node has disks if, and only if, it has the role storage")
        }
        var map = self
        map.nodes.append(node)
        map.nodes.sort { $0.id < $1.id }
        for disk in disks { map = try map.adding(disk) }
        return map
    }

    public func adding(_ disk: ClusterDisk) throws(Refusal) -> ClusterMap {
        guard let node = node(disk.node) else { throw Refusal("there is no node \(disk.node.rawValue)") }
        guard node.roles.contains(.storage) else {
            throw Refusal("node \(disk.node.rawValue) has not the role storage, so it has no disks")
        }
        try demandNew(disk)
        var map = self
        map.disks.append(disk)
        return map
    }

    /// The new disk gets the place of the old one, and so everything that the old one had to hold.
    public func replacing(_ old: DiskID, by new: ClusterDisk) throws(Refusal) -> ClusterMap {
        guard let i = disks.firstIndex(where: { $0.id == old }) else { throw Refusal("there is no disk \(old)") }
        guard disks[i].node == new.node else {
            throw Refusal("disk \(old) belongs to node \(disks[i].node.rawValue), not to node \(new.node.rawValue)")
        }
        var map = self
        map.disks.remove(at: i)
        try map.demandNew(new)
        var disk = new
        disk.place = disks[i].place
        disk.duty = disks[i].duty
        map.disks.insert(disk, at: i)
        return map
    }

    private func demandNew(_ disk: ClusterDisk) throws(Refusal) {
        if let other = disks.first(where: { $0.id == disk.id || $0.place == disk.id }) {
            throw Refusal("disk \(disk.id) is in the cluster already, at \(other.path) of node \(other.node.rawValue)")
        }
        if let other = disks.first(where: { $0.node == disk.node && $0.path == disk.path }) {
            throw Refusal("node \(disk.node.rawValue) has the disk \(other.id) at \(disk.path)")
        }
    }

    /// With the newest metadata semantics in force. `ready`: the nodes whose programs are known to have them. All must be: one that
    /// has not cannot apply what is logged from then on.
    public func upgraded(ready: Set<NodeID>) throws(Refusal) -> ClusterMap {
        if semantics >= ClusterMap.newestSemantics { return self }
        let behind = nodes.map(\.id).filter { !ready.contains($0) }
        guard behind.isEmpty else {
            let names = behind.map { "\($0.rawValue)" }.joined(separator: ", ")
            throw Refusal(
                "these nodes are not heard, or run an earlier program: \(names); start them with this one first, or remove them"
            )
        }
        var map = self
        map.semantics = ClusterMap.newestSemantics
        return map
    }

    public func changing(_ id: NodeID, to duty: ClusterNode.Duty) throws(Refusal) -> ClusterMap {
        guard let i = nodes.firstIndex(where: { $0.id == id }) else { throw Refusal("there is no node \(id.rawValue)") }
        var map = self
        map.nodes[i].duty = duty
        try map.demandHolders(comparedTo: self)
        return map
    }

    public func changing(_ id: DiskID, to duty: ClusterDisk.Duty) throws(Refusal) -> ClusterMap {
        guard let i = disks.firstIndex(where: { $0.id == id }) else { throw Refusal("there is no disk \(id)") }
        var map = self
        map.disks[i].duty = duty
        try map.demandHolders(comparedTo: self)
        // A node holds one replica of a group: between its own disks a group moves by giving that replica up first.
        if duty == .draining, policy.copies == policy.minInSync,
            map.disks.contains(where: { $0.node == disks[i].node && $0.duty == .full })
        {
            throw Refusal(
                "\(policy.copies) copies of which \(policy.minInSync) must be in sync leave no room to move a group between "
                    + "two disks of one node; `stave node drain \(disks[i].node.rawValue)` moves them to other nodes")
        }
        return map
    }

    /// Nodes that placement gives replicas to.
    private var holders: Int {
        nodes.filter { node in
            node.roles.contains(.storage) && node.duty.holds
                && disks.contains { $0.node == node.id && $0.duty == .full }
        }.count
    }

    private func demandHolders(comparedTo before: ClusterMap) throws(Refusal) {
        let left = holders
        if left < policy.copies, left < before.holders {
            throw Refusal(
                "\(left) nodes would be left to hold \(policy.copies) copies, each on a node of its own; add a node first"
            )
        }
    }

    /// `records`: all there are.
    public func removing(_ id: NodeID, records: [PGRecord]) throws(Refusal) -> ClusterMap {
        guard let node = node(id) else { throw Refusal("there is no node \(id.rawValue)") }
        if node.roles.contains(.storage), node.duty != .draining {
            throw Refusal("node \(id.rawValue) holds replicas; `stave node drain \(id.rawValue)` moves them away first")
        }
        let held = records.filter { r in
            (r.inSync + r.learners).contains { $0.node == id } || r.placement.contains { $0.node == id }
        }
        if let first = held.first {
            throw Refusal(
                "node \(id.rawValue) still belongs to \(held.count) groups (\(first.pg) …); wait until it is empty: "
                    + "`stave node drain \(id.rawValue)` shows how far it is")
        }
        if !nodes.contains(where: { $0.id != id && $0.roles.contains(.interface) }) {
            throw Refusal("node \(id.rawValue) is the last one that serves NFS")
        }
        var map = self
        map.nodes.removeAll { $0.id == id }
        map.disks.removeAll { $0.node == id }
        map.sessions.removeAll { $0.node == id }
        return map
    }

    public func removing(_ id: DiskID, records: [PGRecord]) throws(Refusal) -> ClusterMap {
        guard let disk = disk(id) else { throw Refusal("there is no disk \(id)") }
        if disk.duty != .draining {
            throw Refusal("disk \(id) holds replicas; `stave disk drain` moves them away first")
        }
        let held = records.filter { r in
            (r.inSync + r.learners).contains { $0.disk == id } || r.placement.contains { $0.disk == id }
        }
        if let first = held.first {
            throw Refusal("disk \(id) still belongs to \(held.count) groups (\(first.pg) …); wait until it is empty")
        }
        if !disks.contains(where: { $0.id != id && $0.node == disk.node }) {
            throw Refusal(
                "it is the last disk of node \(disk.node.rawValue); `stave node remove \(disk.node.rawValue)` removes both"
            )
        }
        var map = self
        map.disks.removeAll { $0.id == id }
        return map
    }

    /// Groups that would have no whole replica any more without that disk.
    public static func onlyOn(_ disk: DiskID, records: [PGRecord]) -> [PGID] {
        records.filter { r in r.inSync.contains { $0.disk == disk } && r.inSync.allSatisfy { $0.disk == disk } }.map(
            \.pg)
    }
}
