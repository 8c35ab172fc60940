import ClusterModel
import Foundation
import ONCRPC
import Testing
import Wire

@testable import NFS

/// A gateway as clients expect it, with its own portmapper, on an address that nothing else uses.
private func withGateway(_ address: String, _ body: (TestGateway) throws -> Void) throws {
    let gateway = try TestGateway(
        address: address, port: 2049,
        portmap: .automatic(runDirectory: NSTemporaryDirectory() + "stave-test-\(getpid())"))
    defer { gateway.stop() }
    #expect(try eventually { try gateway.on { $0.server.portmapPort } == 111 }, "something else holds port 111")
    try body(gateway)
}

private func temporaryFile(_ bytes: [UInt8]) throws -> URL {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("stave-\(getpid())-\(bytes.count)")
    try Data(bytes).write(to: file)
    return file
}

@Suite(.serialized) struct RealClientTests {
    @Test("rpcinfo and showmount find NFS, MOUNT and the export", .enabled(if: Command.canRun("rpcinfo", "showmount")))
    func rpcinfo() throws {
        try withGateway("127.77.0.1") { _ in
            let portmap = try Command.run("rpcinfo", "-p", "127.77.0.1")
            #expect(portmap.status == 0 && portmap.output.contains("100003    3   tcp   2049"), "\(portmap.output)")
            #expect(portmap.output.contains("100005    3   tcp   2049"))
            let rpcbind = try Command.run("rpcinfo", "127.77.0.1")
            #expect(rpcbind.status == 0 && rpcbind.output.contains("127.77.0.1.8.1"), "\(rpcbind.output)")
            for (program, version) in [("100003", "3"), ("100005", "1"), ("100005", "3")] {
                let ping = try Command.run("rpcinfo", "-t", "127.77.0.1", program, version)
                #expect(ping.status == 0, "\(ping.output)")
            }
            let datagram = try Command.run("rpcinfo", "-u", "127.77.0.1", "100000", "2")
            #expect(datagram.status == 0, "\(datagram.output)")
            let exports = try Command.run("showmount", "-e", "127.77.0.1")
            #expect(exports.status == 0 && exports.output.contains("/images 127.0.0.0/8"), "\(exports.output)")
            let mounts = try Command.run("showmount", "-a", "127.77.0.1")
            #expect(mounts.status == 0, "\(mounts.output)")
        }
    }

    @Test("libnfs copies, lists and reads files", .enabled(if: Command.canRun("nfs-cp", "nfs-ls", "nfs-cat")))
    func libnfs() throws {
        try withGateway("127.77.0.2") { gateway in
            let data = (0..<700_001).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
            let file = try temporaryFile(data)
            defer { try? FileManager.default.removeItem(at: file) }
            let copied = try Command.run("nfs-cp", file.path, "nfs://127.77.0.2/images/copy")
            #expect(copied.status == 0, "\(copied.output)")
            let listed = try Command.run("nfs-ls", "nfs://127.77.0.2/images")
            #expect(
                listed.status == 0 && listed.output.contains("copy") && listed.output.contains("700001"),
                "\(listed.output)")
            let back = FileManager.default.temporaryDirectory.appendingPathComponent("stave-back-\(getpid())")
            defer { try? FileManager.default.removeItem(at: back) }
            let returned = try Command.run("nfs-cp", "nfs://127.77.0.2/images/copy", back.path)
            #expect(returned.status == 0, "\(returned.output)")
            #expect(try Data(contentsOf: back) == Data(data))
            let cat = try Command.run("nfs-cat", "nfs://127.77.0.2/images/copy")
            #expect(cat.status == 0)
        }
    }

    @Test(
        "qemu-img creates, converts, compares, checks and benchmarks images",
        .enabled(if: Command.canRun("qemu-img", "qemu-io")))
    func qemu() throws {
        try withGateway("127.77.0.3") { gateway in
            func good(_ command: String...) throws {
                let outcome = try Command.run(command)
                #expect(outcome.status == 0, "\(command.joined(separator: " ")): \(outcome.output)")
            }
            let url = "nfs://127.77.0.3/images"
            try good("qemu-img", "create", "-f", "raw", "\(url)/a.raw", "64M")
            try good(
                "qemu-io", "-f", "raw", "-c", "write -P 7 4097 1048577", "-c", "read -P 7 4097 1048577", "\(url)/a.raw")
            try good("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "\(url)/a.raw", "\(url)/a.qcow2")
            try good("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "\(url)/a.raw", "\(url)/a.qcow2")
            try good("qemu-img", "check", "\(url)/a.qcow2")
            try good("qemu-img", "info", "\(url)/a.qcow2")
            for depth in ["1", "16"] {
                try good(
                    "qemu-img", "bench", "-w", "-c", "2000", "-d", depth, "-s", "4096", "-f", "raw", "\(url)/a.raw")
                try good("qemu-img", "bench", "-c", "2000", "-d", depth, "-s", "4096", "-f", "raw", "\(url)/a.raw")
            }
            try good(
                "qemu-img", "bench", "-w", "-c", "200", "-d", "4", "--flush-interval", "10", "-s", "65536", "-f", "raw",
                "\(url)/a.raw")
            #expect(try gateway.on { $0.files.executed["commit"] ?? 0 } > 0)
        }
    }
}
