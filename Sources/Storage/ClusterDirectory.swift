import ClusterModel
import Coordination
import Logging
import NIOCore
import Transport
import Wire

/// The cluster map and all records as the coordination store has them, kept up to date by a watch, and changed by
/// compare-and-set. Used on its event loop only.
///
/// Invariants:
/// - what it shows of a key never goes back to an older revision;
/// - a watch that has lost its place is followed by reading everything (traps 15);
/// - a proposal's outcome is reported once, and never as lost while it may still have won (replication.md, 6).
public final class ClusterDirectory {
    private let coordinator: any Coordinator
    private let loop: any EventLoop
    private let logger: Logger
    public private(set) var view: ClusterView
    /// The revision of each record and of the map, for compare-and-set.
    private var mapRevision: KeyVersion
    private var recordRevisions: [PGID: KeyVersion] = [:]
    private var watch: Watch?
    private var reading = Reading.idle
    /// Called when the read under way ends; those of `later` when its successor does.
    private var waiters: [() -> Void] = []
    private var later: [() -> Void] = []

    /// After every change: the groups whose records changed, and whether the map did.
    public var changed: ((_ groups: [PGID], _ map: MapChange) -> Void)?
    /// Nothing can be read any more; the node has to stop.
    public var failed: ((CoordinationError) -> Void)?

    public enum MapChange: Sendable {
        case same
        case newer
    }

    private enum Reading {
        case idle
        case underWay
    }

    /// Reads everything; the directory comes when it is complete.
    public static func open(
        _ coordinator: any Coordinator, on loop: any EventLoop, logger: Logger,
        done: @escaping (Result<ClusterDirectory, CoordinationError>) -> Void
    ) {
        let box = LoopBound(done, loop: loop)
        coordinator.read(.prefix(Key([UInt8]())), on: loop.executor) { result in
            let done = box.value
            switch result {
            case .failure(let error): done(.failure(error))
            case .success(let snapshot):
                do throws(CoordinationError) {
                    let directory = try ClusterDirectory(coordinator, on: loop, logger: logger, snapshot: snapshot)
                    directory.startWatch(after: snapshot.revision)
                    done(.success(directory))
                } catch {
                    done(.failure(error))
                }
            }
        }
    }

    private init(
        _ coordinator: any Coordinator, on loop: any EventLoop, logger: Logger, snapshot: Snapshot
    ) throws(CoordinationError) {
        self.coordinator = coordinator
        self.loop = loop
        self.logger = logger
        guard let entry = snapshot[ClusterKeys.map] else {
            throw .foreign(path: "the coordination store", detail: "it has no cluster map")
        }
        do throws(WireError) {
            let map = try ClusterMap(decoding: entry.value)
            view = ClusterView(
                map: map, data: Array(repeating: nil, count: Int(map.dataPGCount)),
                metadata: Array(repeating: nil, count: map.filesets.count))
        } catch {
            throw .foreign(path: "the coordination store", detail: "\(error)")
        }
        mapRevision = entry.version
        for entry in snapshot.entries { take(entry.key, entry.value, entry.revision) }
    }

    public func close() { watch?.cancel() }

    // MARK: - Reading

    /// Whether the key's state was newer than what is known, and was taken.
    @discardableResult
    private func take(_ key: Key, _ value: [UInt8]?, _ revision: Revision) -> Bool {
        guard let value else { return false }
        do throws(WireError) {
            if key == ClusterKeys.map {
                if case .changed(let known) = mapRevision, known > revision { return false }
                let map = try ClusterMap(decoding: value)
                mapRevision = .changed(revision)
                if map.version <= view.map.version { return false }
                let old = view
                view = ClusterView(
                    map: map, data: (0..<map.dataPGCount).map { old.record(.data($0)) },
                    metadata: map.filesets.map { old.record(.metadata($0.id)) })
                return true
            }
            guard let group = ClusterKeys.group(of: key) else { return false }
            if case .changed(let known)? = recordRevisions[group], known >= revision { return false }
            recordRevisions[group] = .changed(revision)
            view.set(try PGRecord(decoding: value))
            return true
        } catch {
            logger.critical("the coordination store's record \(key) cannot be read: \(error)")
            return false
        }
    }

    private func startWatch(after revision: Revision) {
        let box = LoopBound(self, loop: loop)
        watch = coordinator.watch(Key([UInt8]()), after: revision, on: loop.executor) { box.value.heard($0) }
    }

    private func heard(_ delivery: WatchDelivery) {
        switch delivery {
        case .events(let events): take(events.map { ($0.key, $0.value, $0.revision) })
        case .lostPlace:
            watch = nil
            barrier {}
        case .failed(let error): failed?(error)
        }
    }

    private func take(_ changes: [(Key, [UInt8]?, Revision)]) {
        var groups: [PGID] = []
        var map = MapChange.same
        for (key, value, revision) in changes where take(key, value, revision) {
            if let group = ClusterKeys.group(of: key) { groups.append(group) } else { map = .newer }
        }
        if case .same = map, groups.isEmpty { return }
        changed?(groups, map)
    }

    /// Reads everything by a read that begins after this call, and calls back: what was true before is seen then.
    public func barrier(_ done: @escaping () -> Void) {
        switch reading {
        case .idle:
            waiters.append(done)
            readAll()
        case .underWay: later.append(done)
        }
    }

    private func readAll() {
        reading = .underWay
        let box = LoopBound(self, loop: loop)
        coordinator.read(.prefix(Key([UInt8]())), on: loop.executor) { box.value.readEnded($0) }
    }

    private func readEnded(_ result: Result<Snapshot, CoordinationError>) {
        switch result {
        case .failure(let error):
            logger.warning("reading the coordination store failed: \(error)")
            loop.assumeIsolated().scheduleTask(in: .milliseconds(200)) { self.readAll() }
        case .success(let snapshot):
            reading = .idle
            take(snapshot.entries.map { ($0.key, $0.value, $0.revision) })
            if watch == nil { startWatch(after: snapshot.revision) }
            let served = waiters
            waiters = later
            later = []
            if !waiters.isEmpty { readAll() }
            for waiter in served { waiter() }
        }
    }

    // MARK: - Changing

    /// One group's change, to be made if its record still is of `epoch`.
    public struct Proposal {
        public var record: PGRecord
        /// The primary's old lease, which must have ended; `.none` if the change does not depend on it.
        public var endedLease: LeaseNumber
        /// Whether this change raises the cluster's loss number, in the same transaction.
        public var loss: LossChange
        public init(record: PGRecord, endedLease: LeaseNumber, loss: LossChange) {
            self.record = record
            self.endedLease = endedLease
            self.loss = loss
        }
    }

    public enum LossChange: Sendable {
        case same
        case raised
    }

    public enum ProposalOutcome {
        /// The record as it is now stored (with the raised loss number, if it was raised).
        case won(PGRecord)
        /// The record that stands instead.
        case lost(PGRecord?)
        /// Surely not made; it may be proposed again.
        case refused
    }

    /// Proposes a record whose epoch is one more than that of the record it replaces. Repeats a transaction of unknown
    /// outcome until it is known (replication.md, 6).
    public func propose(_ proposal: Proposal, done: @escaping (ProposalOutcome) -> Void) {
        let pg = proposal.record.pg
        guard let known = view.record(pg), known.epoch.next == proposal.record.epoch, let revision = recordRevisions[pg]
        else {
            done(.lost(view.record(pg)))
            return
        }
        var record = proposal.record
        var comparisons: [Comparison] = [.version(ClusterKeys.record(pg), revision)]
        if proposal.endedLease != .none { comparisons.append(.leaseEnded(proposal.endedLease)) }
        var changes: [Change] = []
        if case .raised = proposal.loss {
            var map = view.map
            map.version = map.version.next
            map.lossNumber = map.lossNumber.next
            record.lossNumber = map.lossNumber
            comparisons.append(.version(ClusterKeys.map, mapRevision))
            changes.append(.put(ClusterKeys.map, map.encoded()))
        }
        changes.append(.put(ClusterKeys.record(pg), record.encoded()))
        let transaction = Transaction(comparisons: comparisons, changes: changes)
        commit(transaction) { outcome in
            switch outcome {
            case .won(let revision):
                self.take(
                    changes.map { change in
                        switch change {
                        case .put(let key, let value): (key, value, revision)
                        case .delete(let key): (key, nil, revision)
                        }
                    })
                done(.won(record))
            case .lost(let lost):
                let entry = lost.current.first { $0.key == ClusterKeys.record(pg) }?.entry
                self.take(lost.current.compactMap { $0.entry.map { ($0.key, $0.value, $0.revision) } })
                // A transaction sent again after an unknown outcome finds its own change.
                if entry?.value == record.encoded() { done(.won(record)) } else { done(.lost(self.view.record(pg))) }
            case .refused, .unknown: done(.refused)
            }
        }
    }

    /// Changes the map by `change`, again and again until nobody was faster; `change` gives nil when nothing is to do.
    /// `records` are put for groups that the change creates.
    public func changeMap(
        leasesEnded: [LeaseNumber] = [], _ change: @escaping (ClusterMap) -> (ClusterMap, records: [PGRecord])?,
        done: @escaping (Result<ClusterMap, CoordinationError>) -> Void
    ) {
        guard let (changed, records) = change(view.map) else { return done(.success(view.map)) }
        var map = changed
        map.version = view.map.version.next
        let changes =
            [Change.put(ClusterKeys.map, map.encoded())] + records.map { .put(ClusterKeys.record($0.pg), $0.encoded()) }
        let comparisons =
            [Comparison.version(ClusterKeys.map, mapRevision)] + leasesEnded.map { .leaseEnded($0) }
            + records.map { .version(ClusterKeys.record($0.pg), .absent) }
        commit(Transaction(comparisons: comparisons, changes: changes)) { outcome in
            switch outcome {
            case .won(let revision):
                self.take([(ClusterKeys.map, map.encoded(), revision)])
                self.take(records.map { (ClusterKeys.record($0.pg), $0.encoded(), revision) })
                done(.success(map))
            case .lost(let lost):
                if !lost.leasesNotEnded.isEmpty { return done(.failure(.unknownLease(lost.leasesNotEnded[0]))) }
                self.take(lost.current.compactMap { $0.entry.map { ($0.key, $0.value, $0.revision) } })
                if self.view.map == map { return done(.success(map)) }
                self.changeMap(leasesEnded: leasesEnded, change, done: done)
            case .refused(let error), .unknown(let error): done(.failure(error))
            }
        }
    }

    /// Commits, repeating the same transaction while its outcome is unknown or the store is busy.
    private func commit(_ transaction: Transaction, done: @escaping (TransactionOutcome) -> Void) {
        let box = LoopBound((self, done), loop: loop)
        coordinator.commit(transaction, on: loop.executor) { outcome in
            let (directory, done) = box.value
            switch outcome {
            case .won, .lost: done(outcome)
            case .unknown(let error), .refused(let error):
                switch error {
                case .closed, .outOfService, .invalid: done(outcome)
                case .absent, .exists, .foreign, .busy, .overloaded, .silence, .leasesExhausted, .unknownLease, .system,
                    .database:
                    directory.loop.assumeIsolated().scheduleTask(in: .milliseconds(50)) {
                        directory.commit(transaction, done: done)
                    }
                }
            }
        }
    }
}
