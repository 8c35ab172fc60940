import ClusterModel
import Foundation
import Testing

@testable import Node

private final class Folder {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/stave-node-tests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite struct NodeFilesTests {
    @Test("A process file names the process that wrote it, as long as that runs") func own() throws {
        let folder = try Folder()
        try NodeProcessFile.write(to: folder.path + "/pid")
        let read = NodeProcessFile.running(at: folder.path + "/pid")
        #expect(read?.process == getpid())
        #expect(read?.isStopped == false)
    }

    @Test("A process that has the id of an earlier one is not taken for it") func reuse() throws {
        let folder = try Folder()
        let ticks = try #require(NodeProcessFile.startTicks(of: getpid()))
        try "\(getpid()) \(ticks - 1)\n".write(toFile: folder.path + "/pid", atomically: true, encoding: .utf8)
        #expect(NodeProcessFile.running(at: folder.path + "/pid") == nil)
    }

    @Test("Garbage in a process file is nobody", arguments: ["", "x y", "1", "-1 5", "1 2 3", "99999999999 1"])
    func garbage(text: String) throws {
        let folder = try Folder()
        try text.write(toFile: folder.path + "/pid", atomically: true, encoding: .utf8)
        #expect(NodeProcessFile.running(at: folder.path + "/pid") == nil)
    }

    @Test("A node's lock that is held is refused with its holder's name; one that was given up is taken again")
    func lock() throws {
        let folder = try Folder()
        let path = folder.path + "/node-1.lock"
        var first: NodeLock? = try NodeLock(of: NodeID(1), at: path)
        #expect(NodeProcessFile.running(at: path)?.process == getpid())
        let error = #expect(throws: OperatorError.self) { try NodeLock(of: NodeID(1), at: path) }
        #expect(error?.code == .refused && error?.message.contains("process \(getpid())") == true)
        withExtendedLifetime(first) {}
        first = nil
        _ = try NodeLock(of: NodeID(1), at: path)
    }

    @Test("The last cluster is remembered, and forgotten only by its own name") func last() throws {
        let folder = try Folder()
        let environment = ["XDG_STATE_HOME": folder.path]
        #expect(LastCluster.read(environment) == nil)
        try LastCluster.write("/etc/a.yaml", environment)
        #expect(LastCluster.read(environment) == "/etc/a.yaml")
        LastCluster.forget("/etc/b.yaml", environment)
        #expect(LastCluster.read(environment) == "/etc/a.yaml")
        LastCluster.forget("/etc/a.yaml", environment)
        #expect(LastCluster.read(environment) == nil)
    }
}

@Suite struct ClusterCreationTests {
    private func configuration(_ folder: String, nodes: Int = 3) throws -> ClusterConfiguration {
        let lines = (1...nodes).map {
            "  - { id: \($0), address: 127.0.0.\(10 + $0), disks: [{ path: node-\($0)/disk }] }"
        }
        return try ClusterConfiguration.parse(
            "name: t\ndata: \(folder)/c\nplacement: { dataGroups: 4 }\nreplication: { copies: \(min(nodes, 3)) }\nnodes:\n"
                + lines.joined(separator: "\n") + "\nexports: [{ path: /images, clients: [127.0.0.0/8] }]\n",
            file: "t.yaml",
            environment: [:])
    }

    @Test("A cluster is created once, and then it is complete") func create() throws {
        let folder = try Folder()
        let configuration = try configuration(folder.path)
        #expect(ClusterCreation.standing(configuration) == .absent)
        _ = try ClusterCreation.create(configuration, boot: BootID(1))
        #expect(ClusterCreation.standing(configuration) == .complete)
        #expect { try ClusterCreation.create(configuration, boot: BootID(1)) } throws: { error in
            (error as? OperatorError)?.code == .clusterExists
        }
    }

    @Test("Nothing is created where one disk is missing, and what is missing is named", arguments: [1, 2, 3])
    func mixture(missing: Int) throws {
        let folder = try Folder()
        let configuration = try configuration(folder.path)
        _ = try ClusterCreation.create(configuration, boot: BootID(1))
        let path = configuration.nodes[missing - 1].disks[0].path
        try FileManager.default.removeItem(atPath: path)
        #expect { try ClusterCreation.create(configuration, boot: BootID(1)) } throws: { error in
            guard let error = error as? OperatorError else { return false }
            return error.code == .clusterIncomplete && error.message.contains(path)
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("Nothing is created over disks whose coordination store is missing") func noStore() throws {
        let folder = try Folder()
        let configuration = try configuration(folder.path)
        _ = try ClusterCreation.create(configuration, boot: BootID(1))
        guard case .local(let path) = configuration.coordination else { return }
        try FileManager.default.removeItem(atPath: path)
        guard case .mixed(_, let missing) = ClusterCreation.standing(configuration) else {
            Issue.record("the mixture was not seen")
            return
        }
        #expect(missing == [path])
    }

    @Test("A wipe removes all of a cluster and nothing beside it") func wipe() throws {
        let folder = try Folder()
        let configuration = try configuration(folder.path)
        let cluster = try ClusterCreation.create(configuration, boot: BootID(1))
        #expect(ClusterRemoval(configuration).names(cluster))
        try "mine".write(toFile: configuration.dataFolder + "/notes", atomically: true, encoding: .utf8)
        try ClusterRemoval(configuration).run()
        #expect(ClusterCreation.standing(configuration) == .absent)
        #expect(ClusterRemoval(configuration).paths.isEmpty)
        #expect(FileManager.default.fileExists(atPath: configuration.dataFolder + "/notes"))
        _ = try ClusterCreation.create(configuration, boot: BootID(1))
    }

    @Test("A new group's record lists the disks that should hold it as in sync: all of nothing is there") func record()
        throws
    {
        let folder = try Folder()
        let configuration = try configuration(folder.path)
        var map = ClusterMap(cluster: ClusterID(1), policy: configuration.policy, dataPGCount: 4)
        for node in configuration.nodes {
            map.nodes.append(
                ClusterNode(id: node.id, name: node.name, address: node.address, roles: node.roles, failureDomain: []))
            map.disks.append(
                ClusterDisk(id: DiskID(UInt128(node.id.rawValue)), node: node.id, weight: 1, path: node.disks[0].path))
        }
        let record = ClusterCreation.firstRecord(.data(0), map, BootID(7))
        #expect(record.inSync.map(\.node) == [NodeID(1), NodeID(2), NodeID(3)])
        #expect(record.inSync.allSatisfy { $0.boot == BootID(7) })
        #expect(record.primary == nil)
        #expect(record.placement.count == 3)
    }
}
