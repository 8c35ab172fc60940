import Admin
import CSupport
import ClusterModel
import Coordination
import DiskIO
import Dispatch
import Filesystem
import Foundation
import Logging
import NFS
import NIOCore
import NIOPosix
import Storage
import Transport
import Wire

/// One node of a cluster in this process: composes coordination, object layer, file system and NFS door from a
/// configuration, and takes them down in order.
///
/// Everything that serves lives on one event loop; threads beside it wait for disks (architecture.md, Concurrency).
public final class NodeProcess {
    public let configuration: ClusterConfiguration
    public let id: NodeID
    private let newestProtocol: ProtocolVersion
    private let logger: Logger
    private let loop: any EventLoop
    private let group: MultiThreadedEventLoopGroup
    private let progress = ProgressMarks()
    private let patience = StopPatience()
    private let threads: NodeThreads
    private let coordinator: LocalCoordinator
    private let boot: BootID
    private var parts: Parts?
    private var ending = Ending.running
    private var ended: ((OperatorError?) -> Void)?
    private var ticking: RepeatedTask?
    /// Nodes that this one keeps a connection to.
    private var connected: Set<NodeID> = []
    /// Disks that are being opened beside those that the node began with.
    private var openingDisks: Set<DiskID> = []

    /// What serves, made on the loop. It is kept until the loop and its threads have ended (`run` holds this object until
    /// then): whatever comes back late finds its owner, so references to owners may be unowned.
    private struct Parts {
        var directory: ClusterDirectory
        var storage: StorageNode
        var filesystem: ClusterFilesystem?
        var door: NFSServer?
        var losses: LossHistory?
        var exports: [Export]
    }

    private enum Ending {
        case running
        case ending
    }

    /// Opens the coordination store; throws what an operator can act on.
    public init(
        configuration: ClusterConfiguration, id: NodeID, newestProtocol: ProtocolVersion = .newest, logger: Logger
    ) throws {
        guard configuration.node(id) != nil else {
            throw OperatorError(.nodeUnknown, "\(configuration.name) has no node \(id.rawValue)")
        }
        self.configuration = configuration
        self.id = id
        self.newestProtocol = newestProtocol
        self.logger = logger
        do {
            boot = try BootClock.bootID()
            threads = try NodeThreads()
            switch configuration.coordination {
            case .local(let path):
                let logger = logger
                coordinator = try LocalCoordinator(
                    LocalCoordinatorOptions(path: path, report: { logger.warning("coordination: \($0)") }))
            }
        } catch let error as CoordinationError {
            if case .absent = error { throw OperatorError(.clusterAbsent, "\(error)") }
            throw OperatorError(.coordinationFailed, "\(error)")
        }
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        loop = group.next()
    }

    /// Runs the node until it is told to stop (SIGTERM, SIGINT) or cannot go on. Called on the main thread.
    public static func run(
        configuration: ClusterConfiguration, id: NodeID, newestProtocol: ProtocolVersion = .newest, logger: Logger
    ) throws {
        cs_keep_large_allocations()
        signal(SIGPIPE, SIG_IGN)
        let process = try NodeProcess(
            configuration: configuration, id: id, newestProtocol: newestProtocol, logger: logger)
        let signals = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            let owner = LoopBound(process, loop: process.loop)
            let deadline = process.deadline
            source.setEventHandler {
                deadline()
                process.loop.execute { owner.value.stop() }
            }
            source.resume()
            return source
        }
        defer { for source in signals { source.cancel() } }
        let finished = DispatchSemaphore(value: 0)
        let outcome = Outcome()
        let owner = LoopBound(process, loop: process.loop)
        process.loop.execute {
            owner.value.start { error in
                outcome.error = error
                finished.signal()
            }
        }
        finished.wait()
        process.patience.wait(for: "its threads to end")
        try process.group.syncShutdownGracefully()
        process.threads.stop()
        process.patience.end()
        if let error = outcome.error { throw error }
    }

    /// Written on the loop before the semaphore is signalled, read after it.
    ///
    /// `@unchecked`: the semaphore orders the two.
    private final class Outcome: @unchecked Sendable {
        var error: OperatorError?
    }

    // MARK: - Starting

    private func start(_ ended: @escaping (OperatorError?) -> Void) {
        self.ended = ended
        let mark = progress.register("loop", now: BootClock.now())
        let loop = loop
        ticking = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(100)) { _ in
            mark.tick(BootClock.now())
        }
        ClusterDirectory.open(coordinator, on: loop, logger: logger) { [self] result in
            switch result {
            case .failure(let error): finish(OperatorError(.coordinationFailed, "\(error)"))
            case .success(let directory): startStorage(directory)
            }
        }
    }

    private func startStorage(_ directory: ClusterDirectory) {
        let progress = progress
        let storage = StorageNode(
            loop: loop, localNode: id, boot: boot, directory: directory, coordinator: coordinator,
            hasProgress: { progress.stalled(now: BootClock.now()).isEmpty }, newestProtocol: newestProtocol,
            logger: logger)
        storage.govern(by: configuration.recovery)
        parts = Parts(directory: directory, storage: storage, exports: directory.view.map.exports)
        guard directory.view.map.node(id) != nil else {
            return finish(
                OperatorError(
                    .nodeUnknown,
                    "the configuration has node \(id.rawValue), the cluster \(configuration.name) has not; "
                        + "`stave node add \(id.rawValue)` adds it"))
        }
        storage.mustStop = { [unowned self] reason in finish(OperatorError(.coordinationFailed, reason)) }
        let path = configuration.socketPath(of: id)
        let owner = LoopBound(self, loop: loop)
        storage.listen(on: .unixSocket(path: path)).whenComplete { result in
            let process = owner.value
            switch result {
            case .failure(let error): process.finish(OperatorError(.portTaken, "cannot listen at \(path): \(error)"))
            case .success:
                // Whoever can connect here administers the cluster.
                chmod(path, 0o600)
                process.startDisks()
            }
        }
    }

    private func startDisks() {
        guard let storage = parts?.storage else { return }
        connectToMembers()
        let plans = firstDisks(storage.view.map).map(plan)
        storage.scrubEvery(configuration.scrub.days.map { .seconds(UInt64($0) * 86_400) })
        storage.start(plans, threads: threads) { [self] result in
            switch result {
            case .failure(let failure): finish(OperatorError(.diskFailed, failure.description))
            case .success:
                storage.membersChanged = { [unowned self] in membersChanged() }
                startDoors(storage)
                membersChanged()
            }
        }
    }

    private func plan(_ path: String) -> DiskPlan {
        var plan = DiskPlan(
            path: path, cluster: parts?.directory.view.map.cluster ?? ClusterID(0), node: id, boot: boot,
            bound: configuration.limits.diskBytes)
        #if DEBUG
            // Tests of processes have no other way in; a release build has none at all.
            plan.faults = ProcessInfo.processInfo.environment["STAVE_DISK_FAULTS"].flatMap { DiskFaults(parsing: $0) }
        #endif
        return plan
    }

    /// The folders of this node's disks. The configuration says where they are; what is new in it is left out, for only
    /// `stave disk add` makes a folder a disk.
    private func firstDisks(_ map: ClusterMap) -> [String] {
        let known = map.disks.filter { $0.node == id }.map(\.path)
        let configured = configuration.node(id)?.disks.map(\.path) ?? []
        let here = configured.filter { path in
            if known.contains(path) || FileManager.default.fileExists(atPath: path + "/superblock") { return true }
            logger.warning("\(path) is in the configuration and no disk of the cluster: `stave disk add` makes it one")
            return false
        }
        return here.isEmpty ? known : here
    }

    // MARK: - Members

    private func connectToMembers() {
        guard let parts else { return }
        for node in parts.directory.view.map.nodes where node.id != id && !connected.contains(node.id) {
            connected.insert(node.id)
            parts.storage.connect(to: node.id, at: .unixSocket(path: configuration.socketPath(of: node.id)))
        }
        for gone in connected.filter({ parts.directory.view.map.node($0) == nil }) {
            connected.remove(gone)
            parts.storage.forget(gone)
        }
    }

    /// Nodes or disks have come or gone.
    private func membersChanged() {
        guard let parts, case .running = ending else { return }
        guard parts.directory.view.map.node(id) != nil else {
            return finish(OperatorError(.nodeUnknown, "node \(id.rawValue) was removed from the cluster"))
        }
        connectToMembers()
        for disk in parts.storage.unopenedDisks where !openingDisks.contains(disk.id) {
            openingDisks.insert(disk.id)
            parts.storage.openDisk(plan(disk.path), threads: threads) { [self] result in
                openingDisks.remove(disk.id)
                if case .failure(let failure) = result { logger.error("disk \(disk.id) cannot be used: \(failure)") }
            }
        }
    }

    private func startDoors(_ storage: StorageNode) {
        guard let node = configuration.node(id), var parts else { return }
        let filesystem = ClusterFilesystem(service: storage, seed: UInt64(id.rawValue) &* 0x9e37_79b9_7f4a_7c15)
        parts.filesystem = filesystem
        self.parts = parts
        started(filesystem, storage)
        guard node.roles.contains(.interface) else {
            logger.info("node \(id.rawValue) runs")
            return
        }
        guard let key = HandleKey(parts.directory.handleKey) else {
            return finish(OperatorError(.coordinationFailed, "the key for file handles is not 16 bytes"))
        }
        let losses = LossHistory(view: { storage.view })
        let door = NFSServer(
            configuration: NFSServerConfiguration(
                address: node.address, port: configuration.limits.nfsPort, handleKey: key, portmap: portmap),
            filesystem: filesystem, exports: parts.exports, lossNumbers: losses, logger: logger)
        self.parts?.door = door
        self.parts?.losses = losses
        filesystem.sessionEnded = { [weak door] session in
            door?.closeConnections(because: "session \(session) has ended")
        }
        let earlier = storage.viewChanged
        storage.viewChanged = { [unowned self] in
            earlier?()
            viewChanged()
        }
        let owner = LoopBound(self, loop: loop)
        door.start().whenComplete { result in
            let process = owner.value
            switch result {
            case .success: process.logger.info("node \(process.id.rawValue) serves NFS at \(node.address)")
            case .failure(let error):
                process.finish(
                    OperatorError(
                        .portTaken,
                        "cannot serve NFS at \(node.address):\(process.configuration.limits.nfsPort): \(error)"))
            }
        }
    }

    private var portmap: NFSServerConfiguration.Portmapper {
        switch configuration.limits.portmapPort {
        case 0: .none
        case 111: .automatic(runDirectory: geteuid() == 0 ? "/run/stave" : configuration.runFolder)
        case let port: .builtIn(port: port)
        }
    }

    private func viewChanged() {
        guard let parts else { return }
        let exports = parts.directory.view.map.exports
        if exports != parts.exports {
            self.parts?.exports = exports
            parts.door?.setExports(exports)
        }
    }

    /// The file system is there: what administers the node is connected here.
    private func started(_ filesystem: ClusterFilesystem, _ storage: StorageNode) {
        let boot = boot
        let service = AdminService(node: storage, filesystem: filesystem) { ClusterCreation.firstRecord($0, $1, boot) }
        service.portmapRelease = { [unowned self] seconds in
            guard let door = parts?.door, door.portmapPort != nil else { return .notHeld }
            door.makeRoomForRpcbind(for: .seconds(seconds))
            return .released
        }
        let paths = PathSearch(filesystem) { [unowned storage] in storage.view.map.filesets }
        storage.pathFinder = { paths.find($0, done: $1) }
        storage.adminQuestion = { service.answer($0, done: $1) }
    }

    // MARK: - Stopping

    /// Begins the time that a stop may take; from any thread, for the event loop may be what hangs.
    private var deadline: @Sendable () -> Void {
        let (patience, threads, id, logger) = (patience, threads, id, logger)
        return {
            patience.begin { seconds, step in
                let calls = threads.threadsInCalls
                let inside = calls.isEmpty ? "" : " (inside a system call: \(calls.joined(separator: ", ")))"
                let error = OperatorError(
                    .stopHangs, "node \(id.rawValue) has not stopped within \(seconds) s: it waits for \(step)\(inside)"
                )
                logger.critical("\(error)")
                _exit(1)
            }
        }
    }

    private func stop() {
        guard case .running = ending else { return }
        logger.info("node \(id.rawValue) stops")
        finish(nil)
    }

    /// Takes everything down, the doors first; then `ended` is told.
    private func finish(_ error: OperatorError?) {
        guard case .running = ending else { return }
        ending = .ending
        deadline()
        patience.wait(for: "NFS connections to close")
        if let error { logger.critical("\(error)") }
        let owner = LoopBound((self, error), loop: loop)
        // The others hear of it while clients are let go.
        if error == nil { parts?.storage.announceDeparture() }
        let closed = parts?.door?.stop() ?? loop.makeSucceededVoidFuture()
        closed.whenComplete { _ in
            let (process, error) = owner.value
            guard let storage = process.parts?.storage else { return process.closeCoordination(error) }
            let patience = process.patience
            storage.stop(waitsFor: { patience.wait(for: $0) }, done: { process.closeCoordination(error) })
        }
    }

    private func closeCoordination(_ error: OperatorError?) {
        patience.wait(for: "the coordination store to close")
        parts?.directory.close()
        let owner = LoopBound((self, error), loop: loop)
        let loop = loop
        coordinator.close(on: { loop.execute($0) }) {
            let (process, error) = owner.value
            process.ticking?.cancel()
            process.ended?(error)
            process.ended = nil
        }
    }
}
