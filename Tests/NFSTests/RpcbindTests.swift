import Foundation
import ONCRPC
import Testing

@testable import NFS

/// Runs in a network namespace of its own, so that rpcbind can have port 111. Threads and processes that are made within
/// inherit it.
private func inOwnNetwork(_ body: @escaping @Sendable () throws -> Void) throws {
    nonisolated(unsafe) var failure: (any Error)?
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        defer { done.signal() }
        typealias Unshare = @convention(c) (Int32) -> Int32
        guard let symbol = dlsym(nil, "unshare"), unsafeBitCast(symbol, to: Unshare.self)(0x4000_0000) == 0 else {
            failure = ClientFailure(description: "no network namespace")
            return
        }
        do {
            _ = try Command.run("ip", "link", "set", "lo", "up")
            try body()
        } catch { failure = error }
    }
    done.wait()
    if let failure { throw failure }
}

private func portOfNFS(_ address: String) -> Bool {
    let registrar = RpcbindRegistrar(port: 2049, runDirectory: "/nowhere")
    guard let host = ClientAddress(address) else { return false }
    return registrar.registeredPort(of: .nfs3, host: UInt32(truncatingIfNeeded: host.bits)) == 2049
}

private let canUseRpcbind =
    Command.canRun("rpcbind", "showmount", "ip") && access("/run/rpcbind.sock", F_OK) != 0

@Suite(.serialized) struct RpcbindTests {
    @Test("Of the gateways that hold the lock only the last is the last")
    func last() throws {
        let registrar = RpcbindRegistrar(port: 2049, runDirectory: NSTemporaryDirectory() + "stave-lock-\(getpid())")
        let first = try #require(registrar.enter())
        let second = try #require(registrar.enter())
        #expect(!registrar.isLast(first))
        registrar.release(first)
        #expect(registrar.isLast(second))
        registrar.release(second)
    }

    @Test("Without a place for the lock nothing is registered")
    func noPlace() {
        #expect(RpcbindRegistrar(port: 2049, runDirectory: "/proc/nowhere/x").enter() == nil)
    }

    @Test(
        "With a running rpcbind, gateways register with it, all are found, and only the last one unregisters",
        .enabled(if: canUseRpcbind))
    func registration() throws {
        try inOwnNetwork {
            let rpcbind = try Command(["rpcbind", "-f"])
            defer {
                rpcbind.stop()
                unlink("/run/rpcbind.sock")
            }
            #expect(eventually { access("/run/rpcbind.sock", F_OK) == 0 })
            let directory = NSTemporaryDirectory() + "stave-rpcbind-\(getpid())"
            let gateways = try ["127.77.1.1", "127.77.1.2"].map {
                try TestGateway(address: $0, port: 2049, portmap: .automatic(runDirectory: directory))
            }
            #expect(eventually { portOfNFS("127.77.1.1") && portOfNFS("127.77.1.2") })
            for address in ["127.77.1.1", "127.77.1.2"] {
                // showmount goes where rpcbind sends it, which is 127.0.0.1 for every loopback address.
                #expect(try eventually { try Command.run("showmount", "-e", address).status == 0 }, "\(address)")
            }
            #expect(try gateways[0].on { $0.server.portmapPort } == nil)
            gateways[0].stop()
            #expect(portOfNFS("127.77.1.2"))
            gateways[1].stop()
            #expect(!portOfNFS("127.77.1.2"))
        }
    }
}
