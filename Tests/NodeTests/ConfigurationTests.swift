import ClusterModel
import Foundation
import Testing

@testable import Node

/// The least that is a cluster.
private let least = """
    name: test
    data: /srv/stave
    nodes:
      - id: 1
        address: 127.0.0.11
        disks: [{ path: one }]
    replication:
      copies: 1
    """

private func parse(_ text: String) throws(ConfigurationError) -> ClusterConfiguration {
    try ClusterConfiguration.parse(text, file: "test.yaml", environment: ["HOME": "/home/u"])
}

/// The fault of a text; fails the test if there is none.
private func fault(_ text: String, _ place: SourceLocation = #_sourceLocation) -> ConfigurationError? {
    do throws(ConfigurationError) {
        _ = try parse(text)
        Issue.record("it was accepted", sourceLocation: place)
        return nil
    } catch {
        return error
    }
}

@Suite struct ConfigurationTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("cluster-configs").path

    @Test(
        "Every example under cluster-configs is accepted",
        arguments: ["one-node", "three-nodes", "five-nodes-two-racks", "sonas-lab"])
    func examples(name: String) throws {
        let configuration = try ClusterConfiguration.load(file: "\(Self.folder)/\(name).yaml")
        #expect(configuration.name == name)
        #expect(configuration.exports.map(\.path) == ["/images"])
    }

    @Test("The examples are all there is: a new one must be tested too") func noOthers() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder).sorted()
        #expect(names == ["five-nodes-two-racks.yaml", "one-node.yaml", "sonas-lab.yaml", "three-nodes.yaml"])
    }

    @Test("What is left out has the documented value") func standards() throws {
        let configuration = try parse(least)
        #expect(configuration.dataGroupCount == 64)
        #expect(configuration.layout == .standard)
        #expect(configuration.limits.nfsPort == 2049)
        #expect(configuration.limits.portmapPort == 111)
        #expect(configuration.scrub.days == 14)
        #expect(configuration.limits.diskBytes == nil)
        #expect(configuration.recovery.latencyRise == 100)
        #expect(configuration.recovery.floor.bytesPerSecond == 8 << 20)
        #expect(configuration.nodes[0].roles == [.storage, .interface, .management])
        #expect(configuration.nodes[0].name == "node-1")
        #expect(configuration.nodes[0].disks == [DiskConfiguration(path: "/srv/stave/one", weight: 1)])
        #expect(configuration.socketPath(of: NodeID(1)) == "/srv/stave/run/node-1.sock")
    }

    @Test("Sonas-lab keeps management, interface and storage apart") func sonas() throws {
        let configuration = try ClusterConfiguration.load(file: "\(Self.folder)/sonas-lab.yaml")
        for node in configuration.nodes { #expect(node.disks.isEmpty == !node.roles.contains(.storage)) }
        #expect(configuration.nodes.filter { $0.roles == .interface }.count == 2)
    }

    /// A text, the line and the key that its fault names, and words that must stand in what was found and expected.
    struct Mistake: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        var line: Int
        var key: String
        var found: String
        var expected: String
        var testDescription: String { name }
    }

    static func changed(_ from: String, _ to: String) -> String {
        precondition(least.contains(from), "the text to replace is in the least configuration")
        return least.replacingOccurrences(of: from, with: to)
    }

    static let mistakes: [Mistake] = [
        Mistake(
            name: "no name", text: changed("name: test\n", ""), line: 1, key: "name", found: "nothing", expected: "name"
        ),
        Mistake(
            name: "a name with a slash", text: changed("name: test", "name: a/b"), line: 1, key: "name",
            found: "\"a/b\"", expected: "letters"),
        Mistake(
            name: "an unknown key", text: least + "\ncolour: blue\n", line: 9, key: "colour", found: "unknown key",
            expected: "nodes"),
        Mistake(
            name: "an unknown key of a node", text: changed("    address: 127.0.0.11", "    adress: 127.0.0.11"),
            line: 4, key: "nodes[0].address", found: "nothing", expected: "IPv4"),
        Mistake(
            name: "a key too many in a disk", text: changed("{ path: one }", "{ path: one, size: 3 }"), line: 6,
            key: "nodes[0].disks[0].size", found: "unknown key", expected: "path"),
        Mistake(
            name: "a relative data folder", text: changed("/srv/stave", "srv/stave"), line: 2, key: "data",
            found: "srv/stave", expected: "absolute"),
        Mistake(
            name: "a data folder whose sockets are too long",
            text: changed("/srv/stave", "/" + String(repeating: "x", count: 120)), line: 0, key: "data", found: "xxx",
            expected: "shorter"),
        Mistake(
            name: "an address that is none", text: changed("127.0.0.11", "127.0.0"), line: 5, key: "nodes[0].address",
            found: "127.0.0", expected: "IPv4"),
        Mistake(
            name: "an address of another machine", text: changed("127.0.0.11", "10.0.0.1"), line: 5,
            key: "nodes[0].address", found: "10.0.0.1", expected: "etcd"),
        Mistake(
            name: "a node number out of range", text: changed("id: 1", "id: 0"), line: 4, key: "nodes[0].id",
            found: "\"0\"", expected: "65535"),
        Mistake(
            name: "a role that is none", text: changed("    address:", "    roles: [cook]\n    address:"), line: 5,
            key: "nodes[0].roles[0]", found: "cook", expected: "storage"),
        Mistake(
            name: "no role", text: changed("    address:", "    roles: []\n    address:"), line: 5,
            key: "nodes[0].roles", found: "no role", expected: "storage"),
        Mistake(
            name: "a storage node without disks", text: changed("    disks: [{ path: one }]\n", ""), line: 4,
            key: "nodes[0].disks", found: "no disks", expected: "disks"),
        Mistake(
            name: "a disk on a node that stores nothing",
            text: changed("    address:", "    roles: [interface]\n    address:"), line: 7, key: "nodes[0].disks",
            found: "disks", expected: "none"),
        Mistake(
            name: "a disk without a path", text: changed("{ path: one }", "{ weight: 2 }"), line: 6,
            key: "nodes[0].disks[0].path", found: "nothing", expected: "folder"),
        Mistake(
            name: "a weight of nothing", text: changed("{ path: one }", "{ path: one, weight: 0 }"), line: 6,
            key: "nodes[0].disks[0].weight", found: "\"0\"", expected: "1 …"),
        Mistake(
            name: "too many copies", text: changed("copies: 1", "copies: 2"), line: 8, key: "replication.copies",
            found: "2 copies", expected: "at most as many"),
        Mistake(
            name: "six copies", text: changed("copies: 1", "copies: 6"), line: 8, key: "replication.copies",
            found: "\"6\"", expected: "1 … 5"),
        Mistake(
            name: "more in sync than copies", text: changed("copies: 1", "copies: 1\n  minInSync: 2"), line: 9,
            key: "replication.minInSync", found: "2", expected: "1 … 1"),
        Mistake(
            name: "a number of groups that is no power of two", text: least + "\nplacement: { dataGroups: 24 }\n",
            line: 9, key: "placement.dataGroups", found: "24", expected: "power of two"),
        Mistake(
            name: "a stripe unit that is no size", text: least + "\nlayout: { stripeUnit: large }\n", line: 9,
            key: "layout.stripeUnit", found: "large", expected: "64KiB"),
        Mistake(
            name: "a stripe unit that is no power of two", text: least + "\nlayout: { stripeUnit: 96KiB }\n", line: 9,
            key: "layout.stripeUnit", found: "98304", expected: "power of two"),
        Mistake(
            name: "too many objects in a stripe", text: least + "\nlayout: { stripeCount: 65 }\n", line: 9,
            key: "layout.stripeCount", found: "65", expected: "64"),
        Mistake(
            name: "a port that is none", text: least + "\nlimits: { nfsPort: 70000 }\n", line: 9, key: "limits.nfsPort",
            found: "70000", expected: "65535"),
        Mistake(
            name: "a disk bound that is too small", text: least + "\nlimits: { diskBytes: 1MiB }\n", line: 9,
            key: "limits.diskBytes", found: "1MiB", expected: "bytes"),
        Mistake(
            name: "a rise of latency that is none", text: least + "\nrecovery: { latencyRise: 5 }\n", line: 9,
            key: "recovery.latencyRise", found: "5", expected: "10 … 1000"),
        Mistake(
            name: "a floor of recovery that ends nothing", text: least + "\nrecovery: { floor: 100KiB }\n", line: 9,
            key: "recovery.floor", found: "100KiB", expected: "bytes"),
        Mistake(
            name: "a period of scrubs that is too long", text: least + "\nscrub: { days: 366 }\n", line: 9,
            key: "scrub.days",
            found: "366", expected: "365"),
        Mistake(
            name: "etcd", text: least + "\ncoordination: { etcd: [10.0.0.1] }\n", line: 9, key: "coordination.etcd",
            found: "etcd", expected: "local"),
        Mistake(
            name: "virtual addresses", text: least + "\nvirtualAddresses: [10.0.0.9]\n", line: 9,
            key: "virtualAddresses", found: "virtual addresses", expected: "do not exist yet"),
        Mistake(
            name: "an export without clients", text: least + "\nexports: [{ path: /a }]\n", line: 9,
            key: "exports[0].clients", found: "nothing", expected: "127.0.0.0/8"),
        Mistake(
            name: "an export for nobody", text: least + "\nexports: [{ path: /a, clients: [] }]\n", line: 9,
            key: "exports[0].clients", found: "nobody", expected: "at least one"),
        Mistake(
            name: "a client that is no network", text: least + "\nexports: [{ path: /a, clients: [host.example] }]\n",
            line: 9, key: "exports[0].clients[0]", found: "host.example", expected: "10.1.0.0/16"),
        Mistake(
            name: "an export path without a slash", text: least + "\nexports: [{ path: a, clients: [127.0.0.1] }]\n",
            line: 9, key: "exports[0].path", found: "\"a\"", expected: "/images"),
        Mistake(
            name: "an export path with dots", text: least + "\nexports: [{ path: /a/../b, clients: [127.0.0.1] }]\n",
            line: 9, key: "exports[0].path", found: "/a/../b", expected: "without . or .."),
        Mistake(
            name: "two exports of one name",
            text: least + "\nexports:\n- { path: /a, clients: [127.0.0.1] }\n- { path: /a, clients: [127.0.0.1] }\n",
            line: 11, key: "exports[1].path", found: "again", expected: "once"),
        Mistake(
            name: "a squash that is none",
            text: least + "\nexports: [{ path: /a, clients: [127.0.0.1], squash: some }]\n", line: 9,
            key: "exports[0].squash", found: "some", expected: "none, root, all"),
        Mistake(
            name: "a mode that is not octal",
            text: least + "\nexports: [{ path: /a, clients: [127.0.0.1], mode: 99 }]\n", line: 9,
            key: "exports[0].mode", found: "99", expected: "octal"),
        Mistake(
            name: "nodes that are no list", text: "name: test\ndata: /srv\nnodes: all\n", line: 3, key: "nodes",
            found: "all", expected: "a list"),
        Mistake(
            name: "no nodes", text: "name: test\ndata: /srv\nreplication: { copies: 1 }\nnodes: []\n", line: 4,
            key: "nodes", found: "no node", expected: "at least one"),
        Mistake(
            name: "a list instead of keys", text: "- a\n- b\n", line: 1, key: "", found: "a list", expected: "keys"),
    ]

    @Test("A mistake is told with file, line, key, what was found and what is expected", arguments: mistakes)
    func mistake(_ mistake: Mistake) {
        guard let fault = fault(mistake.text) else { return }
        #expect(fault.file == "test.yaml")
        #expect(fault.line == mistake.line)
        #expect(fault.key == mistake.key)
        #expect(fault.found.contains(mistake.found), "found: \(fault.found)")
        #expect(fault.expected.contains(mistake.expected), "expected: \(fault.expected)")
        #expect(fault.description.contains("test.yaml"))
    }

    @Test("Two nodes with one number, address or disk are refused, naming the second") func doubles() {
        func two(_ second: String) -> String { least + "\n" + "colour: x\n" }
        _ = two
        let base = least.replacingOccurrences(of: "replication:\n  copies: 1", with: "")
        let one = fault(
            base + "  - { id: 1, address: 127.0.0.12, disks: [{ path: two }] }\nreplication: { copies: 1 }\n")
        #expect(one?.key == "nodes[1].id")
        let two = fault(
            base + "  - { id: 2, address: 127.0.0.11, disks: [{ path: two }] }\nreplication: { copies: 1 }\n")
        #expect(two?.key == "nodes[1].address")
        let three = fault(
            base + "  - { id: 2, address: 127.0.0.12, disks: [{ path: one }] }\nreplication: { copies: 1 }\n")
        #expect(three?.found.contains("/srv/stave/one") == true)
    }

    @Test("A key that stands twice is refused with its line") func doubledKey() {
        let fault = fault(least + "\nname: other\n")
        #expect(fault?.line ?? 0 > 0)
        #expect(fault?.expected == "YAML" || fault?.key == "name")
    }

    @Test("Text that is no YAML is refused with the line where it ends being YAML") func noYAML() {
        let fault = fault("name: test\nnodes: [\n  - }\n")
        #expect(fault?.expected == "YAML")
        #expect(fault?.line ?? 0 > 1)
    }

    @Test("An empty file is refused") func empty() { #expect(fault("")?.found == "an empty file") }

    @Test("Only interface nodes serve NFS: a cluster without one is refused") func noGateway() {
        let fault = fault(Self.changed("    address:", "    roles: [storage]\n    address:"))
        #expect(fault?.found == "no node with the role interface")
    }

    @Test("A file that is not there is refused by its name") func absent() {
        #expect(throws: ConfigurationError.self) { try ClusterConfiguration.load(file: "/nonexistent/x.yaml") }
    }

    @Test("No truncation and no changed byte of a configuration crashes the parser") func damage() {
        let text = Array(least.utf8)
        for length in 0..<text.count { _ = try? parse(String(decoding: text[..<length], as: UTF8.self)) }
        var state: UInt64 = 0x5eed
        for _ in 0..<2000 {
            var changed = text
            for _ in 0..<3 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                changed[Int(state >> 33) % changed.count] = UInt8(truncatingIfNeeded: state >> 24) & 0x7f
            }
            _ = try? parse(String(decoding: changed, as: UTF8.self))
        }
    }
}
