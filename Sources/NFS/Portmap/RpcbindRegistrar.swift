import CTirpc
import Logging
import ONCRPC

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps NFS and MOUNT registered with the machine's running rpcbind, through libtirpc. Its calls block, so they are made
/// on a thread of their own, never on an event loop.
///
/// Invariants:
/// - rpcbind keeps one address per program: all gateways of the machine register the same port on all addresses;
/// - each gateway holds a shared lock on one file while it is registered; who can have it alone is the last, and only he
///   unregisters. (flock gives a lock up before it takes the stronger one, so of several that stop at once one succeeds.)
struct RpcbindRegistrar: Sendable {
    let port: UInt16
    let runDirectory: String

    /// What a check found.
    enum Outcome: Sendable {
        /// All was there.
        case registered
        /// Something was missing and is there now.
        case registeredNow
        /// The running rpcbind did not take it.
        case refused
    }

    /// Looks at what rpcbind says, and registers what is missing.
    /// - Parameter host: IPv4, the first byte in the highest place: where rpcbind is asked.
    func ensure(host: UInt32) -> Outcome {
        let missing = PortmapResponder.services.filter {
            registeredPort(of: $0, host: host) != port
        }
        if missing.isEmpty { return .registered }
        for program in missing {
            // A registration of another port, left behind by another server, must go first.
            _ = ctirpc_unregister(program.number, program.version, "tcp")
            guard ctirpc_register(program.number, program.version, "tcp", port) else { return .refused }
        }
        return .registeredNow
    }

    /// The port that the portmapper at this address names, 0 for none.
    func registeredPort(of program: RPCProgram, host: UInt32) -> UInt16 {
        ctirpc_port(host.bigEndian, program.number, program.version)
    }

    /// Takes all registrations back.
    func withdraw() {
        for program in PortmapResponder.services { _ = ctirpc_unregister(program.number, program.version, "tcp") }
    }

    private var lockPath: String { "\(runDirectory)/portmap-\(port).lock" }

    /// Opens the lock file and takes the shared lock; nil when the directory cannot be written.
    func enter() -> Int32? {
        _ = mkdir(runDirectory, 0o755)
        let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_SH | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// Gives the lock up, and the registrations if nobody else has it.
    func leave(_ descriptor: Int32) {
        if isLast(descriptor) { withdraw() }
        close(descriptor)
    }

    /// Whether no other gateway of the machine holds the lock; he who asks no longer shares it.
    func isLast(_ descriptor: Int32) -> Bool { flock(descriptor, LOCK_EX | LOCK_NB) == 0 }

    /// Gives the lock up and nothing else, since no rpcbind is there to unregister from.
    func release(_ descriptor: Int32) { close(descriptor) }
}
