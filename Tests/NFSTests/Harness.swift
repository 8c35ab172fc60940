import ClusterModel
import Filesystem
import Logging
import NIOCore
import NIOPosix
import ONCRPC
import Wire

@testable import NFS

#if canImport(Glibc)
    import Glibc
#endif

/// The cluster's loss number as a test sets it.
final class TestLossNumbers: LossNumberSource {
    var number = LossNumber(1)
    /// How often the number was asked for.
    private(set) var questions = 0
    var lossNumber: LossNumber {
        questions += 1
        return number
    }
    var lastRise: NIODeadline?
}

/// A gateway on loopback over a file system in memory, with the export /images.
final class TestGateway: Sendable {
    struct Parts {
        let server: NFSServer
        let files: MemoryFilesystem
        let lossNumbers: TestLossNumbers
    }

    let group: MultiThreadedEventLoopGroup
    let parts: NIOLoopBound<Parts>
    let port: Int
    let images: FileID
    private let logs: LogLines

    static let key = HandleKey([UInt8](0..<16)) ?? { preconditionFailure("16 bytes are a key") }()

    static func export(
        _ images: FileID, id: UInt32 = 1, path: String = "/images", clients: [String] = ["127.0.0.0/8"],
        squash: Squash = .none, access: Export.Access = .readWrite, verifierBlind: Bool = false
    ) -> Export {
        Export(
            id: ExportID(id), path: path, root: images, clients: clients, squash: squash, access: access,
            verifierBlind: verifierBlind)
    }

    init(address: String = "127.0.0.1", port: Int = 0, portmap: NFSServerConfiguration.Portmapper = .none) throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let logs = LogLines()
        self.logs = logs
        let made = try loop.submit { () -> NIOLoopBound<(Parts, FileID)> in
            let files = MemoryFilesystem(eventLoop: loop)
            var images = MemoryFilesystem.root
            for name in ["images", "images2", "secret"] {
                guard let name = FileName(name) else { continue }
                files.create(
                    CallContext(credentials: .superuser), in: MemoryFilesystem.root, name: name, file: .directory,
                    attributes: AttributeChanges(mode: 0o777)
                ) { result in
                    if case .success(let made) = result, let inode = made.inode, name.description == "images" {
                        images = inode.attributes.file
                    }
                }
            }
            let lossNumbers = TestLossNumbers()
            let server = NFSServer(
                configuration: NFSServerConfiguration(
                    address: address, port: port, handleKey: TestGateway.key, portmap: portmap),
                filesystem: files, exports: [TestGateway.export(images)], lossNumbers: lossNumbers,
                logger: Logger(label: "test", factory: { _ in CapturingLog(lines: logs) }))
            return NIOLoopBound(
                (Parts(server: server, files: files, lossNumbers: lossNumbers), images), eventLoop: loop)
        }.wait()
        let (parts, images) = try loop.submit { (NIOLoopBound(made.value.0, eventLoop: loop), made.value.1) }.wait()
        self.parts = parts
        self.images = images
        try loop.flatSubmit { parts.value.server.start() }.wait()
        self.port = try loop.submit { parts.value.server.port ?? 0 }.wait()
    }

    /// Runs on the gateway's loop.
    func on<T: Sendable>(_ body: @escaping @Sendable (Parts) throws -> T) throws -> T {
        let parts = self.parts
        return try group.next().submit { try body(parts.value) }.wait()
    }

    func setExports(_ exports: [Export]) throws { try on { $0.server.setExports(exports) } }

    func stop() {
        let parts = self.parts
        try? group.next().flatSubmit { parts.value.server.stop() }.wait()
        try? group.syncShutdownGracefully()
    }

    var logLines: [String] { logs.all }
}

/// A gateway of its own, and a client that has mounted it.
func session(_ body: (TestGateway, RawClient, NFS3.FileHandle) throws -> Void) throws {
    let gateway = try TestGateway()
    defer { gateway.stop() }
    let client = try RawClient(port: gateway.port)
    try body(gateway, client, client.mounted())
}

extension TestGateway {
    enum Held {
        case writes
        case all
    }

    /// These are not answered before `release`, and who waits for one is sent away at the next tick.
    func sendAway(_ held: Held) throws {
        try on {
            switch held {
            case .writes: $0.files.holdsWrites = true
            case .all: $0.files.holdsAll = true
            }
            $0.server.gateway.patience = .zero
        }
    }
}

/// Waits for a condition, for at most a minute.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let start = time(nil)
    while time(nil) - start < 60 {
        if try condition() { return true }
        usleep(2000)
    }
    return false
}

final class LogLines: @unchecked Sendable {
    // Guarded by the mutex; Logger's handlers may be used from any thread.
    private var lines: [String] = []
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    init() { pthread_mutex_init(mutex, nil) }
    deinit { mutex.deallocate() }
    func add(_ line: String) {
        pthread_mutex_lock(mutex)
        lines.append(line)
        pthread_mutex_unlock(mutex)
    }
    var all: [String] {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return lines
    }
}

struct CapturingLog: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .debug
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { lines.add("\(event.level): \(event.message)") }
}
