import ClusterModel
import Foundation
import Storage
import Wire

/// A disk in a question that adds one.
public struct DiskArgument: Codable, Hashable, Sendable {
    public var id: String
    public var path: String
    public var weight: UInt32
    public init(id: DiskID, path: String, weight: UInt32) {
        self.id = "\(id)"
        self.path = path
        self.weight = weight
    }
}

/// Nodes and disks that come and go: changes of the map, made by whichever node is asked.
extension AdminService {
    func addNode(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let id = NodeID(try arguments.number("node", UInt16.self))
        let name = try arguments.short("name")
        let address = try arguments.short("address")
        let roles = NodeRoles(rawValue: try arguments.number("roles", UInt8.self))
        let domain = try arguments.list("domain", String.self)
        guard id.rawValue > 0, domain.count <= Limits.failureDomainLevels else {
            throw AdminFailure(
                .invalid, "a node has an id from 1 on, and at most \(Limits.failureDomainLevels) domains")
        }
        let disks = try Self.disks(try arguments.list("disks", DiskArgument.self), of: id)
        let node = ClusterNode(id: id, name: name, address: address, roles: roles, failureDomain: domain)
        change({ map throws(ClusterMap.Refusal) in try map.adding(node, disks) }, done)
    }

    func addDisk(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let id = NodeID(try arguments.number("node", UInt16.self))
        let disks = try Self.disks(try arguments.list("disks", DiskArgument.self), of: id)
        change(
            { map throws(ClusterMap.Refusal) in
                var map = map
                for disk in disks { map = try map.adding(disk) }
                return map
            }, done)
    }

    /// What is noted of the old disk's failure stays: should that disk come back one day, nothing on it counts.
    func replaceDisk(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let old = try arguments.disk("disk")
        let id = NodeID(try arguments.number("node", UInt16.self))
        guard let new = try Self.disks(try arguments.list("disks", DiskArgument.self), of: id).first else {
            throw AdminFailure(.invalid, "the new disk is missing")
        }
        let only = ClusterMap.onlyOn(old, records: node.records)
        if !only.isEmpty {
            throw AdminFailure(
                .refused,
                "disk \(old) has the only whole replica of \(only.count) groups (\(only[0]) …); bring the other members back "
                    + "first, or give them up with `stave pg accept-loss`")
        }
        change({ map throws(ClusterMap.Refusal) in try map.replacing(old, by: new) }, done)
    }

    func setDiskDuty(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let disk = try arguments.disk("disk")
        let text = try arguments.text("duty")
        guard let duty = ClusterDisk.Duty(name: text) else {
            throw AdminFailure(.invalid, "a disk's duty is full or draining, not \"\(text)\"")
        }
        change({ map throws(ClusterMap.Refusal) in try map.changing(disk, to: duty) }, done)
    }

    func removeDisk(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let disk = try arguments.disk("disk")
        change({ [node] map throws(ClusterMap.Refusal) in try map.removing(disk, records: node.records) }, done)
    }

    /// Its process must have ended: a session under a lease that has not ended stands in the way.
    func removeNode(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let id = NodeID(try arguments.number("node", UInt16.self))
        if id == node.localNode { throw AdminFailure(.refused, "node \(id.rawValue) was asked to remove itself") }
        let leases = node.view.map.sessions.filter { $0.node == id }.map(\.lease)
        change(
            leasesEnded: leases,
            { [node] map throws(ClusterMap.Refusal) in
                if map.sessions.contains(where: { $0.node == id && !leases.contains($0.lease) }) {
                    throw ClusterMap.Refusal("node \(id.rawValue) has just started; stop it first")
                }
                return try map.removing(id, records: node.records)
            }, done)
    }

    private static func disks(_ arguments: [DiskArgument], of node: NodeID) throws(AdminFailure) -> [ClusterDisk] {
        guard arguments.count <= 16 else {
            throw AdminFailure(.invalid, "a node has at most 16 disks, not \(arguments.count)")
        }
        var disks: [ClusterDisk] = []
        for argument in arguments {
            guard let id = DiskID(hex: argument.id) else {
                throw AdminFailure(.invalid, "\"\(argument.id)\" is no disk's id")
            }
            guard argument.path.hasPrefix("/"), argument.path.utf8.count <= Limits.text,
                (1...1_048_576).contains(argument.weight)
            else {
                throw AdminFailure(.invalid, "a disk has an absolute path and a weight of 1 … 1048576")
            }
            disks.append(ClusterDisk(id: id, node: node, weight: argument.weight, path: argument.path))
        }
        return disks
    }

    /// Changes the map, unless the change is refused or the map's bounds are reached.
    func change(
        leasesEnded: [LeaseNumber] = [],
        _ change: @escaping (ClusterMap) throws(ClusterMap.Refusal) -> ClusterMap, _ done: @escaping Answer<Done>
    ) {
        var refusal: String?
        node.changeMap(
            leasesEnded: leasesEnded,
            { map in
                refusal = nil
                do throws(ClusterMap.Refusal) {
                    let changed = try change(map)
                    if changed.nodes.count > Limits.nodes || changed.disks.count > Limits.disks {
                        refusal = "a cluster has at most \(Limits.nodes) nodes and \(Limits.disks) disks"
                        return nil
                    }
                    return changed == map ? nil : (changed, [])
                } catch {
                    refusal = error.description
                    return nil
                }
            },
            done: { result in
                if let refusal { return done(.failure(AdminFailure(.refused, refusal))) }
                switch result {
                case .success: done(.success(Done()))
                case .failure(let failure): done(.failure(AdminFailure(.unavailable, failure.description)))
                }
            })
    }
}

extension AdminArguments {
    /// A name or address.
    fileprivate func short(_ name: String) throws(AdminFailure) -> String {
        let text = try text(name)
        guard !text.isEmpty, text.utf8.count <= Limits.text else {
            throw AdminFailure(.invalid, "\(name) has 1 … \(Limits.text) bytes")
        }
        return text
    }

    fileprivate func disk(_ name: String) throws(AdminFailure) -> DiskID {
        let text = try text(name)
        guard let id = DiskID(hex: text) else { throw AdminFailure(.invalid, "\"\(text)\" is no disk's id") }
        return id
    }

    /// A JSON list.
    fileprivate func list<T: Decodable>(_ name: String, _ type: T.Type) throws(AdminFailure) -> [T] {
        let text = try text(name)
        do {
            return try AdminCoding.decode([T].self, Array(text.utf8))
        } catch {
            throw AdminFailure(.invalid, "\(name) cannot be read: \(error)")
        }
    }
}
