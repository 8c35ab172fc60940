import CSupport
import ClusterModel
import Foundation
import GRDB
import Synchronization

/// How the local coordinator is opened.
public struct LocalCoordinatorOptions: Sendable {
    /// The SQLite file. Beside it live `-journal` and `.changed`.
    public var path: String
    /// Where the lease file is; nil for /run/stave (root), $XDG_RUNTIME_DIR, or /dev/shm. The same for every process of
    /// a cluster.
    public var leaseFolder: String?
    /// nil for this machine's boot id.
    public var boot: BootID?
    /// The same for every process of a cluster.
    public var terms: LeaseTerms
    /// Called on the coordinator's own thread, must return at once.
    public var report: @Sendable (CoordinationEvent) -> Void
    public init(
        path: String, leaseFolder: String? = nil, boot: BootID? = nil, terms: LeaseTerms = LeaseTerms(),
        report: @escaping @Sendable (CoordinationEvent) -> Void = { _ in }
    ) {
        self.path = path
        self.leaseFolder = leaseFolder
        self.boot = boot
        self.terms = terms
        self.report = report
    }
}

/// Coordination of the processes of one machine: records in one SQLite file, leases in one mapped file. Any of the
/// processes may be killed or stopped at any instant.
///
/// Only nodes and mounts open a store, one coordinator each.
public final class LocalCoordinator: Coordinator {
    public let cluster: ClusterID
    private let worker: LocalWorker
    private let silentUntil: SilenceEnd

    private final class SilenceEnd: Sendable {
        let nanoseconds = Atomic<UInt64>(0)
    }

    public var servingAllowedFrom: Instant {
        Instant(nanoseconds: silentUntil.nanoseconds.load(ordering: .acquiring))
    }

    /// Opens the store at `options.path`, which must have been created. Throws `absent`, `foreign`, or what the system says.
    public init(_ options: LocalCoordinatorOptions) throws(CoordinationError) {
        let boot: BootID
        if let given = options.boot { boot = given } else { boot = try LeaseClock.boot() }
        let holderWatch = StoppedHolderWatch(
            path: options.path, duration: options.terms.duration, report: options.report)
        let store = try LocalStore(path: options.path, patience: LockPatience(holderWatch: holderWatch))
        let header: LocalStore.Header
        switch store.transact(.deferred, { try LocalStore.header($0) }) {
        case .made(let read): header = read
        case .notMade(let error), .unknown(let error): throw error
        }
        cluster = header.cluster
        let silentUntil = SilenceEnd()
        self.silentUntil = silentUntil
        let leases = try LocalLeases(
            cluster: header.cluster, boot: boot, folder: options.leaseFolder ?? LocalLeases.defaultFolder(),
            terms: options.terms, holderWatch: holderWatch,
            publishSilence: { silentUntil.nanoseconds.store($0.nanoseconds, ordering: .releasing) })
        leases.adopt(header.leaseFile)
        _ = try leases.currentFile()
        worker = try LocalWorker(
            store: store, leases: leases, signal: try ChangeSignal(store: options.path), report: options.report)
        worker.start()
    }

    deinit { worker.submit(.close({})) }

    /// Creates the store of a new cluster with these records at revision 1. Never touches anything that exists: throws
    /// `exists`. The store is closed when this returns, and has its name only if it is complete and durable.
    public static func createStore(
        at path: String, cluster: ClusterID, initial: [Change] = []
    ) throws(CoordinationError) {
        try Transaction(comparisons: [], changes: initial).validate()
        guard LeaseFile.FileIdentity(path: path) == nil else { throw .exists(path: path) }
        let temporary = "\(path).creating-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        defer {
            _ = cs_unlinkat(cs_at_fdcwd, temporary)
            _ = cs_unlinkat(cs_at_fdcwd, temporary + "-journal")
        }
        do {
            let queue = try DatabaseQueue(path: temporary, configuration: LocalStore.configuration(patience: nil))
            guard chmod(temporary, 0o600) == 0 else {
                throw CoordinationError.system("cannot protect \(temporary) (error \(errno))")
            }
            try queue.inTransaction(.immediate) { db in
                try LocalStore.initialise(db, cluster: cluster)
                for case .put(let key, let value) in initial {
                    try LocalStore.put(db, key, value, at: Revision(1))
                }
                if !initial.isEmpty { try LocalStore.setRevision(db, Revision(1)) }
                return .commit
            }
            try queue.close()
        } catch let error as CoordinationError {
            throw error
        } catch {
            throw .database("cannot create \(path): \(error)")
        }
        guard link(temporary, path) == 0 else {
            if errno == EEXIST { throw .exists(path: path) }
            throw .system("cannot give the new coordination store its name \(path) (error \(errno))")
        }
        try syncFolder(of: path)
    }

    private static func syncFolder(of path: String) throws(CoordinationError) {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let descriptor = cs_openat(cs_at_fdcwd, folder, O_RDONLY | cs_o_directory, 0)
        guard descriptor >= 0 else { throw .system("cannot open the folder \(folder) (error \(-descriptor))") }
        defer { _ = cs_close(descriptor) }
        let result = cs_fsync(descriptor)
        guard result >= 0 else { throw .system("cannot sync the folder \(folder) (error \(-result))") }
    }

    // MARK: Coordinator

    public func read(
        _ selection: Selection, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<Snapshot, CoordinationError>) -> Void
    ) {
        work(on: executor, completion) { worker in
            var keys: [Key] = []
            if case .keys(let wanted) = selection {
                guard wanted.count <= CoordinationLimits.operationsPerTransaction else {
                    return .failure(.invalid("a read of \(wanted.count) keys"))
                }
                keys = Set(wanted).sorted()
            }
            return Self.result(
                worker.store.transact(.deferred) { db in
                    let revision = try LocalStore.header(db).revision
                    switch selection {
                    case .keys:
                        return Snapshot(
                            revision: revision, entries: try keys.compactMap { try LocalStore.entry(db, $0) })
                    case .prefix(let prefix):
                        return Snapshot(revision: revision, entries: try LocalStore.entries(db, prefix: prefix))
                    }
                })
        }
    }

    public func commit(
        _ transaction: Transaction, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (TransactionOutcome) -> Void
    ) {
        do {
            try transaction.validate()
        } catch {
            return executor { completion(.refused(error)) }
        }
        worker.submit(
            .transaction(.init(transaction: transaction, executor: executor, completion: completion)))
    }

    public func takeLease(
        _ request: LeaseRequest, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<HeldLease, CoordinationError>) -> Void
    ) {
        worker.submit(
            .work(
                { worker in
                    let result = Self.takeLease(request, worker, executor)
                    executor { completion(result.map(\.lease)) }
                    // Only now, so that nobody hears of the lapse of a lease that he does not have yet.
                    if case .success(let keeper) = result { keeper.start() }
                },
                refuse: { error in executor { completion(.failure(error)) } }))
    }

    private static func takeLease(
        _ request: LeaseRequest, _ worker: LocalWorker, _ executor: @escaping CompletionExecutor
    ) -> Result<LeaseKeeper, CoordinationError> {
        guard request.owner.description.utf8.count <= CoordinationLimits.ownerBytes else {
            return .failure(.invalid("an owner's name of over \(CoordinationLimits.ownerBytes) bytes"))
        }
        switch worker.write({ db in try worker.leases.draw(db, owner: request.owner) }) {
        case .made(let drawn):
            do throws(CoordinationError) {
                return .success(try worker.leases.begin(drawn, request: request, executor: executor))
            } catch {
                return .failure(error)
            }
        case .notMade(let error), .unknown(let error):
            return .failure(error)
        }
    }

    public func revoke(
        _ number: LeaseNumber, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<LeaseState, CoordinationError>) -> Void
    ) {
        work(on: executor, completion) { worker in
            do throws(CoordinationError) {
                if let state = try worker.leases.revokeKnown(number) { return .success(state) }
            } catch {
                return .failure(error)
            }
            return Self.withLeaseFile(worker) { db, header, file in
                if let until = worker.leases.silence(header) { return .held(until: until) }
                return try worker.leases.revoke(db, number, header: header, file: file)
            }
        }
    }

    public func leases(
        on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<[LeaseListing], CoordinationError>) -> Void
    ) {
        work(on: executor, completion) { worker in
            Self.withLeaseFile(worker) { db, _, file in try worker.leases.list(db, file: file) }
        }
    }

    public func watch(
        _ prefix: Key, after revision: Revision, on executor: @escaping CompletionExecutor,
        handler: @escaping @Sendable (WatchDelivery) -> Void
    ) -> Watch {
        let shared = LocalWatches.Shared()
        worker.submit(
            .work(
                { worker in
                    worker.watches.add(prefix, after: revision, executor: executor, handler: handler, shared: shared)
                },
                refuse: { error in executor { handler(.failed(error)) } }))
        return Watch(cancellation: { shared.state.withLock { $0.isCancelled = true } })
    }

    public func close(on executor: @escaping CompletionExecutor, completion: @escaping @Sendable () -> Void) {
        worker.submit(.close({ executor { completion() } }))
    }

    // MARK: help

    /// Does `body` on the worker's thread and answers through the executor.
    private func work<Value: Sendable>(
        on executor: @escaping CompletionExecutor,
        _ completion: @escaping @Sendable (Result<Value, CoordinationError>) -> Void,
        _ body: @escaping @Sendable (LocalWorker) -> Result<Value, CoordinationError>
    ) {
        worker.submit(
            .work(
                { worker in
                    let result = body(worker)
                    executor { completion(result) }
                },
                refuse: { error in executor { completion(.failure(error)) } }))
    }

    private static func result<Value>(_ result: LocalStore.Result<Value>) -> Result<Value, CoordinationError> {
        switch result {
        case .made(let value): .success(value)
        case .notMade(let error), .unknown(let error): .failure(error)
        }
    }

    /// Reads with the lease file in force; takes the write lock only if that has to be made anew.
    private static func withLeaseFile<Value>(
        _ worker: LocalWorker, _ body: (Database, LocalStore.Header, LeaseFile) throws -> Value
    ) -> Result<Value, CoordinationError> {
        let quick = worker.store.transact(.deferred) { db -> Value? in
            let header = try LocalStore.header(db)
            worker.leases.adopt(header.leaseFile)
            guard let file = try worker.leases.currentFile() else { return nil }
            return try body(db, header, file)
        }
        switch quick {
        case .made(let value?): return .success(value)
        case .notMade(let error), .unknown(let error): return .failure(error)
        case .made(nil): break
        }
        return result(
            worker.write { db in
                var header = try LocalStore.header(db)
                let file = try worker.leases.ensureFile(db, &header).file
                return try body(db, header, file)
            })
    }
}
