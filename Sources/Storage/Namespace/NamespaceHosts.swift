import ClusterModel
import DiskIO
import Logging
import NIOCore
import Namespace
import Store
import Transport

/// The namespaces on one disk: opens their databases on the namespace thread, and makes what they applied durable, so that
/// the log may be trimmed (store.md, Checkpoint). Used on its loop only.
final class NamespaceHosts {
    private let folder: DiskFolder
    private let thread: DiskThread
    private let sync: SyncThread
    private let home: CompletionHome
    private let loop: any EventLoop
    private let cache: SharedRowCache
    private var hosts: [FilesetID: NamespaceHost] = [:]
    private var durable: [FilesetID: EntryName] = [:]
    private var syncing: Set<FilesetID> = []
    private var lastSync = Instant(nanoseconds: 0)
    /// Work that waits for room in the namespace thread's queue, in order.
    private var line = CircularBuffer<Waiting>()
    /// As of the last look for databases of filesets that are gone.
    private var seen = LiveFilesets()

    /// Everything of the fileset's rows through this entry is durable.
    var becameDurable: ((FilesetID, EntryName) -> Void)?
    var failed: ((String) -> Void)?

    private let content: DiskFacts.Content
    private let logger: Logger

    init(
        folder: DiskFolder, thread: DiskThread, sync: SyncThread, home: CompletionHome, loop: any EventLoop,
        content: DiskFacts.Content, cache: SharedRowCache, logger: Logger
    ) {
        self.logger = logger
        self.cache = cache
        self.content = content
        self.folder = folder
        self.thread = thread
        self.sync = sync
        self.home = home
        self.loop = loop
    }

    private struct Waiting {
        var submit: () -> Admission
        /// The thread takes no work any more.
        var refused: () -> Void
    }

    /// Hands work to the namespace thread, behind what waits already: however many replicas a node has, none fails because the
    /// thread is behind. `completion` and `refused` come on the loop, one of them.
    private func submit<Value: Sendable>(
        work: @escaping @Sendable () throws(DiskError) -> Value,
        completion: @escaping @Sendable (Result<Value, DiskError>) -> Void, refused: @escaping () -> Void
    ) {
        let thread = thread
        let home = home
        line.append(
            Waiting(submit: { thread.submit(to: home, work: work, completion: completion) }, refused: refused))
        if line.count == 1 { submitLine() }
    }

    private func submitLine() {
        while let next = line.first {
            switch next.submit() {
            case .accepted: line.removeFirst()
            case .full:
                loop.assumeIsolated().scheduleTask(in: .milliseconds(5)) { self.submitLine() }
                return
            case .stopped:
                line.removeFirst()
                next.refused()
            }
        }
    }

    /// Opens a fileset's database, or makes it if there is none.
    func open(_ fileset: FilesetID, done: @escaping (Result<NamespaceHost, DiskError>) -> Void) {
        if let host = hosts[fileset] { return done(.success(host)) }
        let folder = folder
        let content = content
        let thread = thread
        let owner = LoopBound((self, done), loop: loop)
        submit(
            work: { () throws(DiskError) -> OpenNamespace in
                let name = NamespaceHosts.name(fileset)
                let existence: DiskFile.Existence = try folder.names().contains(name) ? .existing : .new
                do {
                    let rows = try NamespaceDatabase(in: folder, name: name, existence)
                    let log = try rows.database.walFile()
                    // Committed pages that only the page cache has are written anew.
                    if content == .doubtful { _ = try rows.database.passiveCheckpoint() }
                    let unit = try NamespaceUnit(fileset: fileset, rows: rows)
                    let applied = unit.applied
                    return OpenNamespace(unit: ThreadBound(unit, to: thread), applied: applied, log: log)
                } catch let error as DiskError {
                    throw error
                } catch {
                    throw DiskError(.database, path: folder.path + "/" + name, .malformed("\(error)"))
                }
            },
            completion: { result in
                let (hosts, done) = owner.value
                switch result {
                case .success(let opened): done(.success(hosts.add(fileset, opened)))
                case .failure(let error) where error.isDamage:
                    hosts.logger.error("the rows of fileset \(fileset) are damaged: \(error)")
                    done(.success(hosts.add(fileset, nil)))
                case .failure(let error): done(.failure(error))
                }
            },
            refused: {
                done(.failure(DiskError(.open, path: folder.path, .limit("the namespace thread takes no work"))))
            })
    }

    private struct OpenNamespace: Sendable {
        var unit: ThreadBound<NamespaceUnit>
        var applied: EntryName
        var log: DiskFile
    }

    private static func name(_ fileset: FilesetID) -> String { "m\(fileset.rawValue)" }

    /// What cannot be trusted any more is kept beside, for who wants to look at it; one such database of a fileset.
    private static let damagedSuffix = ".damaged"

    /// The fileset's rows cannot be trusted any more, and it is durable that they are learned anew: an empty database takes
    /// their place.
    func renew(_ fileset: FilesetID) {
        guard let host = hosts[fileset] else { return }
        let old = host.renew()
        durable[fileset] = .zero
        let folder = folder
        let thread = thread
        let owner = LoopBound((self, host), loop: loop)
        submit(
            work: { () throws(DiskError) -> OpenNamespace in
                old?.release()
                let name = NamespaceHosts.name(fileset)
                let names = try folder.names()
                // The database goes last: with it nothing refers to the others.
                for file in ["-wal", "-shm", "-journal", ""].map({ name + $0 }) where names.contains(file) {
                    let kept = file + NamespaceHosts.damagedSuffix
                    if names.contains(kept) { try folder.remove(kept) }
                    try folder.rename(file, to: kept)
                }
                try folder.sync()
                do {
                    let rows = try NamespaceDatabase(in: folder, name: name, .new)
                    let log = try rows.database.walFile()
                    let unit = try NamespaceUnit(fileset: fileset, rows: rows)
                    return OpenNamespace(unit: ThreadBound(unit, to: thread), applied: .zero, log: log)
                } catch let error as DiskError {
                    throw error
                } catch {
                    throw DiskError(.database, path: folder.path + "/" + name, .malformed("\(error)"))
                }
            },
            completion: { result in
                let (hosts, host) = owner.value
                switch result {
                case .success(let opened):
                    guard hosts.hosts[fileset] === host else { return }
                    host.began(opened.unit, writeAheadLog: opened.log)
                case .failure(let error): hosts.failed?("\(error)")
                }
            },
            refused: { [weak self] in self?.failed?("the namespace thread takes no work") })
    }

    private func add(_ fileset: FilesetID, _ opened: OpenNamespace?) -> NamespaceHost {
        let host = NamespaceHost(
            fileset: fileset, applied: opened?.applied ?? .zero, thread: thread, home: home, loop: loop,
            unit: opened?.unit, writeAheadLog: opened?.log, cache: cache)
        hosts[fileset] = host
        // What was found may have been committed by a process that was killed, and never synced.
        durable[fileset] = .zero
        return host
    }

    func tick(_ now: Instant) {
        guard now - lastSync >= StorageLimits.namespaceSyncInterval else { return }
        lastSync = now
        for fileset in hosts.keys.sorted() { sync(fileset) {} }
    }

    /// Makes all that was applied so far durable.
    func makeDurable(_ done: @escaping () -> Void) {
        var left = hosts.count
        if left == 0 { return done() }
        for fileset in hosts.keys.sorted() {
            sync(fileset) {
                left -= 1
                if left == 0 { done() }
            }
        }
    }

    /// Makes what the fileset's rows hold now durable, whatever is known of them: a snapshot replaces rows without a new
    /// name. `done` comes only if it is.
    func syncRows(_ fileset: FilesetID, _ done: @escaping () -> Void) {
        guard let host = hosts[fileset], let log = host.writeAheadLog else { return }
        let through = host.applied
        let owner = LoopBound((self, done), loop: loop)
        let admission = sync.request(log, home: home) { result in
            let (hosts, done) = owner.value
            switch result {
            case .success:
                hosts.durable[fileset] = through
                hosts.becameDurable?(fileset, through)
                done()
            case .failure(let error): hosts.failed?("\(error)")
            }
        }
        if admission == .full { failed?("the sync thread's queue is full") }
    }

    private func sync(_ fileset: FilesetID, _ done: @escaping () -> Void) {
        guard let host = hosts[fileset], let log = host.writeAheadLog, host.applied > durable[fileset] ?? .zero else {
            return done()
        }
        let through = host.applied
        let owner = LoopBound((self, done), loop: loop)
        let admission = sync.request(log, home: home) { result in
            let (hosts, done) = owner.value
            switch result {
            case .success where hosts.hosts[fileset] == nil: break
            case .success:
                hosts.durable[fileset] = max(hosts.durable[fileset] ?? .zero, through)
                hosts.becameDurable?(fileset, through)
            case .failure(let error): hosts.failed?("\(error)")
            }
            done()
        }
        if admission != .accepted { done() }
    }

    /// Removes databases of filesets that the map does not have any more: of this life, or left by an earlier one.
    func removeGone(_ map: ClusterMap) {
        let live = LiveFilesets(map)
        guard live.hasLost(since: seen) else { return }
        seen = live
        let folder = folder
        let owner = LoopBound(self, loop: loop)
        _ = thread.submit(
            to: home, work: { () throws(DiskError) in try folder.names() },
            completion: { result in
                guard case .success(let names) = result else { return }
                let hosts = owner.value
                let found = names.compactMap { name -> FilesetID? in
                    guard name.first == "m" else { return nil }
                    return UInt32(name.dropFirst().prefix { $0.isNumber }).map { FilesetID($0) }
                }
                hosts.remove(
                    Set(found).filter { live.isGone($0) && map.fileset($0) == nil && hosts.hosts[$0] == nil }.sorted())
            })
    }

    /// Closes the databases of these filesets, if they are open, and removes their files.
    func remove(_ filesets: [FilesetID]) {
        if filesets.isEmpty { return }
        let units = filesets.compactMap { hosts[$0]?.unit }
        for fileset in filesets {
            hosts[fileset]?.close()
            hosts[fileset] = nil
            durable[fileset] = nil
        }
        let folder = folder
        let owner = LoopBound(self, loop: loop)
        submit(
            work: { () throws(DiskError) in
                for unit in units { unit.release() }
                let names = try folder.names()
                for fileset in filesets {
                    // The database goes last: with it nothing refers to the others.
                    for file in ["-wal", "-shm", "-journal", ""].flatMap({ suffix in
                        let file = NamespaceHosts.name(fileset) + suffix
                        return [file + NamespaceHosts.damagedSuffix, file]
                    })
                    where names.contains(file) {
                        try folder.remove(file)
                    }
                }
                try folder.sync()
            },
            completion: { result in
                if case .failure(let error) = result { owner.value.failed?("\(error)") }
            },
            // What is not removed now is found at the next opening.
            refused: {})
    }

    /// Lets go of the databases, on their thread. What waits to be opened is not opened any more.
    func close(_ done: @escaping () -> Void) {
        line.removeAll()
        let units = hosts.keys.sorted().compactMap { hosts[$0]?.unit }
        for fileset in hosts.keys.sorted() { hosts[fileset]?.close() }
        hosts = [:]
        let owner = LoopBound(done, loop: loop)
        let admission = thread.submit(to: home) {
            for unit in units { unit.release() }
            return { owner.value() }
        }
        if admission != .accepted { done() }
    }
}
