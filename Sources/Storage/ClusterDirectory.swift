import CSupport
import ClusterModel
import Coordination
import DiskIO
import Logging
import NIOCore
import Replication
import Transport
import Wire

/// The cluster map and all records as the coordination store has them, kept up to date by a watch, and changed by
/// compare-and-set. Used on its event loop only.
///
/// Invariants:
/// - what it shows of a key never goes back to an older revision;
/// - a watch that has lost its place is followed by reading everything (traps 15);
/// - a record that cannot be read ends the directory's use (`failed`): nobody goes on with what was before it;
/// - a proposal's outcome is reported once, and never as lost while it may still have won (replication.md, 6).
public final class ClusterDirectory {
    private let coordinator: any Coordinator
    private let loop: any EventLoop
    private let logger: Logger
    public private(set) var view: ClusterView
    /// The revision of each record and of the map, for compare-and-set.
    private var mapRevision: KeyVersion
    private var recordRevisions: [PGID: KeyVersion] = [:]
    /// Disks that failed and have not learned everything anew.
    private(set) var diskNotes: [DiskID: DiskNote] = [:]
    /// The last change of each note, its removal included.
    private var noteRevisions: [DiskID: Revision] = [:]
    /// What each group's last scrub found, with its last change.
    private(set) var scrubNotes: [PGID: ScrubNote] = [:]
    private var scrubRevisions: [PGID: Revision] = [:]
    /// Where scrubs stood that have not come to their end, with the last change.
    private(set) var scrubPositions: [PGID: ScrubPositionNote] = [:]
    private var positionRevisions: [PGID: Revision] = [:]
    /// Groups of which a position is being written: while the store is away, one waits and no more.
    private var positionsChanging: Set<PGID> = []
    /// Those that wait for the transaction under way.
    private var proposals: [Proposed] = []
    /// Transactions with proposals that have no outcome yet: one, or its parts.
    private var transactions = 0
    /// Authenticates file handles.
    public let handleKey: [UInt8]
    private var watch: Watch?
    /// Everything through this revision is known here.
    private var known: Revision
    private var awaited: [(revision: Revision, done: () -> Void)] = []
    private var reading = Reading.idle
    /// Called when the read under way ends; those of `later` when its successor does.
    private var waiters: [() -> Void] = []
    private var later: [() -> Void] = []

    /// After every change: the groups whose records changed, and whether the map did.
    public var changed: ((_ groups: [PGID], _ map: MapChange) -> Void)?
    /// Nothing can be read any more, or what was read cannot be understood; the node has to stop. Called once at most, and
    /// `changed` never after it.
    public var failed: ((CoordinationError) -> Void)?
    private var isBroken = false
    private var complaint: (text: String, at: Instant)?

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
            throw Self.unreadable(entry.key, entry.value, error)
        }
        mapRevision = entry.version
        known = snapshot.revision
        guard let key = snapshot[ClusterKeys.handleKey]?.value, key.count == 16 else {
            throw .foreign(path: "the coordination store", detail: "it has no key for file handles")
        }
        handleKey = key
        for entry in snapshot.entries { _ = try take(entry.key, entry.value, entry.revision) }
    }

    public func close() { watch?.cancel() }

    // MARK: - Reading

    /// Whether the key's state was newer than what is known, and was taken. A record of a later format, or a damaged one,
    /// throws `foreign` and changes nothing.
    private func take(_ key: Key, _ value: [UInt8]?, _ revision: Revision) throws(CoordinationError) -> Bool {
        do throws(WireError) {
            if let disk = ClusterKeys.disk(of: key) {
                if let known = noteRevisions[disk], known >= revision { return false }
                diskNotes[disk] = try value.map { bytes throws(WireError) in try DiskNote(decoding: bytes) }
                noteRevisions[disk] = revision
                return true
            }
            if let group = ClusterKeys.scrubbedGroup(of: key) {
                if let known = scrubRevisions[group], known >= revision { return false }
                // One that cannot be read costs a scrub, and no more.
                scrubNotes[group] = value.flatMap { try? ScrubNote(decoding: $0) }
                scrubRevisions[group] = revision
                return true
            }
            if let group = ClusterKeys.halfScrubbedGroup(of: key) {
                if let known = positionRevisions[group], known >= revision { return false }
                // One that another program has written costs a beginning anew, and no more.
                scrubPositions[group] = value.flatMap { try? ScrubPositionNote(decoding: $0) }
                positionRevisions[group] = revision
                return true
            }
            guard let value else { return false }
            if key == ClusterKeys.map {
                if case .changed(let known) = mapRevision, known >= revision { return false }
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
            view.set(try PGRecord(decoding: value))
            recordRevisions[group] = .changed(revision)
            return true
        } catch {
            throw Self.unreadable(key, value, error)
        }
    }

    private static func unreadable(_ key: Key, _ value: [UInt8]?, _ error: WireError) -> CoordinationError {
        // One that has rotted comes empty.
        let detail =
            value?.isEmpty ?? false
            ? "has rotted; a node that runs writes it anew with the next change of it" : "cannot be read: \(error)"
        return .foreign(path: "the coordination store", detail: "its record \(key) \(detail)")
    }

    private func fail(_ error: CoordinationError) {
        guard !isBroken else { return }
        isBroken = true
        logger.critical("\(error)")
        watch?.cancel()
        failed?(error)
    }

    private func startWatch(after revision: Revision) {
        let box = LoopBound(self, loop: loop)
        watch = coordinator.watch(Key([UInt8]()), after: revision, on: loop.executor) { box.value.heard($0) }
    }

    private func heard(_ delivery: WatchDelivery) {
        switch delivery {
        case .events(let events):
            take(events.map { ($0.key, $0.value, $0.revision) })
            // A full delivery has the last state of each key only, up to its end: what changed before and again behind it is
            // not in it.
            if let last = events.last?.revision, events.count < CoordinationLimits.eventsPerDelivery { knows(last) }
        case .lostPlace:
            watch = nil
            barrier {}
        case .failed(let error): fail(error)
        }
    }

    private func take(_ changes: [(Key, [UInt8]?, Revision)]) {
        guard !isBroken else { return }
        var groups: [PGID] = []
        var map = MapChange.same
        do throws(CoordinationError) {
            for (key, value, revision) in changes {
                guard try take(key, value, revision) else { continue }
                if let group = ClusterKeys.group(of: key) {
                    groups.append(group)
                } else if key == ClusterKeys.map {
                    map = .newer
                }
            }
        } catch {
            return fail(error)
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

    /// Calls back, later, when everything through that change of a record is known here: the watch tells of it, or a read.
    func awaitChange(_ version: RecordVersion, done: @escaping () -> Void) {
        awaited.append((Revision(Int64(version.rawValue)), done))
        loop.assumeIsolated().execute { [self] in knows(known) }
        loop.assumeIsolated().scheduleTask(in: .milliseconds(25)) { [self] in if !awaited.isEmpty { barrier {} } }
    }

    private func knows(_ revision: Revision) {
        known = max(known, revision)
        guard !isBroken, awaited.contains(where: { $0.revision <= known }) else { return }
        let served = awaited.filter { $0.revision <= known }
        awaited.removeAll { $0.revision <= known }
        for one in served { one.done() }
    }

    /// What is tried again is told of once, and every ten seconds while it lasts.
    private func complain(of error: CoordinationError, while what: String) {
        let now = BootClock.now()
        let text = "\(what): \(error)"
        if let complaint, complaint.text == text, now < complaint.at + .seconds(10) { return }
        complaint = (text, now)
        logger.warning("\(text); it is tried again")
    }

    private func readAll() {
        reading = .underWay
        let box = LoopBound(self, loop: loop)
        coordinator.read(.prefix(Key([UInt8]())), on: loop.executor) { box.value.readEnded($0) }
    }

    private func readEnded(_ result: Result<Snapshot, CoordinationError>) {
        switch result {
        case .failure(let error):
            if case .closed = error { return }
            complain(of: error, while: "reading the coordination store")
            loop.assumeIsolated().scheduleTask(in: .milliseconds(200)) { self.readAll() }
        case .success(let snapshot):
            reading = .idle
            take(snapshot.entries.map { ($0.key, $0.value, $0.revision) })
            knows(snapshot.revision)
            if watch == nil { startWatch(after: snapshot.revision) }
            let served = waiters
            waiters = later
            later = []
            if !waiters.isEmpty { readAll() }
            for waiter in served { waiter() }
        }
    }

    // MARK: - Changing

    /// The version of a group's record as last read.
    public func version(of pg: PGID) -> RecordVersion {
        if case .changed(let revision)? = recordRevisions[pg] { return RecordVersion(revision.rawValue) }
        return RecordVersion(0)
    }

    /// Proposes a change of a record. What a turn of the loop proposes goes into one transaction, and so does what comes while
    /// one is under way; if that fails, by halves. An outcome that the store does not tell is told as unknown: the group
    /// proposes the same again until it knows (replication.md, 6).
    func propose(_ proposal: Proposal, done: @escaping (ProposalOutcome) -> Void) {
        proposals.append(Proposed(proposal: proposal, done: done))
        guard proposals.count == 1, transactions == 0 else { return }
        loop.assumeIsolated().execute { [self] in commitWaiting() }
    }

    private func commitWaiting() {
        while transactions == 0, !proposals.isEmpty {
            let batch = ArraySlice(proposals.prefix(ClusterDirectory.proposalsPerTransaction))
            proposals.removeFirst(batch.count)
            commit(batch)
        }
    }

    private struct Proposed {
        var proposal: Proposal
        var done: (ProposalOutcome) -> Void
    }

    /// The store takes 256 comparisons; a proposal has at most two, and the map one.
    private static let proposalsPerTransaction = 120

    private func commit(_ batch: ArraySlice<Proposed>) {
        // A raise names the loss number that it starts from; those that start elsewhere cannot win.
        let present = view.map.lossNumber
        let late = batch.filter { $0.proposal.raisesLossNumber.map { $0 != present } ?? false }
        for one in late { lostByMap(one) }
        let batch = batch.filter { $0.proposal.raisesLossNumber.map { $0 == present } ?? true }
        guard !batch.isEmpty else { return }
        var comparisons: [Comparison] = []
        var changes: [Change] = []
        for one in batch {
            let key = ClusterKeys.record(one.proposal.record.pg)
            comparisons.append(.version(key, .changed(Revision(one.proposal.expected.rawValue))))
            if let lease = one.proposal.requiresEnded, !comparisons.contains(.leaseEnded(lease)) {
                comparisons.append(.leaseEnded(lease))
            }
            changes.append(.put(key, one.proposal.record.encoded()))
        }
        if batch.contains(where: { $0.proposal.raisesLossNumber != nil }) {
            var map = view.map
            map.version = map.version.next
            map.lossNumber = map.lossNumber.next
            map.lossRaised = Timestamp(nanoseconds: cs_wall_time_ns())
            comparisons.append(.version(ClusterKeys.map, mapRevision))
            changes.insert(.put(ClusterKeys.map, map.encoded()), at: 0)
        }
        let box = LoopBound((self, batch, changes), loop: loop)
        transactions += 1
        coordinator.commit(Transaction(comparisons: comparisons, changes: changes), on: loop.executor) { outcome in
            let (directory, batch, changes) = box.value
            directory.transactions -= 1
            directory.ended(batch, changes, outcome)
            directory.commitWaiting()
        }
    }

    private func ended(_ batch: [Proposed], _ changes: [Change], _ outcome: TransactionOutcome) {
        switch outcome {
        case .won(let revision):
            for one in batch { one.done(.won(RecordVersion(revision.rawValue))) }
            take(
                changes.map { change in
                    switch change {
                    case .put(let key, let value): (key, value, revision)
                    case .delete(let key): (key, nil, revision)
                    }
                })
        case .lost(let lost):
            take(lost.current.compactMap { $0.entry.map { ($0.key, $0.value, $0.revision) } })
            if batch.count == 1 { return self.lost(batch[0], lost) }
            let middle = batch.count / 2
            commit(batch[..<middle])
            commit(batch[middle...])
        case .unknown: for one in batch { one.done(.unknown) }
        case .refused: for one in batch { one.done(.refused) }
        }
    }

    private func lost(_ one: Proposed, _ lost: LostTransaction) {
        let key = ClusterKeys.record(one.proposal.record.pg)
        guard let entry = lost.current.first(where: { $0.key == key })?.entry,
            let record = try? PGRecord(decoding: entry.value)
        else { return one.done(.refused) }
        // A transaction that was sent again after an unknown outcome finds its own change.
        if record == one.proposal.record { return one.done(.won(RecordVersion(entry.revision.rawValue))) }
        one.done(.lost(record, RecordVersion(entry.revision.rawValue)))
    }

    /// The map has moved on since the proposal was made: it cannot win as it is.
    private func lostByMap(_ one: Proposed) {
        barrier { [self] in
            let pg = one.proposal.record.pg
            guard let record = view.record(pg) else { return one.done(.refused) }
            // Its own raise is what moved the map on, under an outcome that was not known.
            if record == one.proposal.record { return one.done(.won(version(of: pg))) }
            one.done(.lost(record, version(of: pg)))
        }
    }

    /// Changes the map by `change`, again and again until nobody was faster; `change` gives nil when nothing is to do.
    /// `records` are put for groups that the change creates, those of `removed` go. A store that gives no outcome is asked again
    /// and again, through `until` if that is named: what an operator asked for must not come about long after he has given up.
    public func changeMap(
        leasesEnded: [LeaseNumber] = [], removed: [PGID] = [], until: Instant? = nil,
        _ change: @escaping (ClusterMap) -> (ClusterMap, records: [PGRecord])?,
        done: @escaping (Result<ClusterMap, CoordinationError>) -> Void
    ) {
        guard let (changed, records) = change(view.map) else { return done(.success(view.map)) }
        var map = changed
        map.version = view.map.version.next
        let encoded = map.encoded()
        // What no node could read again would stop them all.
        do throws(WireError) {
            _ = try ClusterMap(decoding: encoded)
        } catch {
            return done(.failure(.invalid("the map would not be readable: \(error)")))
        }
        let changes =
            [Change.put(ClusterKeys.map, encoded)] + records.map { .put(ClusterKeys.record($0.pg), $0.encoded()) }
            + removed.flatMap {
                [
                    .delete(ClusterKeys.record($0)), .delete(ClusterKeys.scrubNote($0)),
                    .delete(ClusterKeys.scrubPosition($0)),
                ]
            }
        let comparisons =
            [Comparison.version(ClusterKeys.map, mapRevision)] + leasesEnded.map { .leaseEnded($0) }
            + records.map { .version(ClusterKeys.record($0.pg), .absent) }
        commit(Transaction(comparisons: comparisons, changes: changes), until: until) { outcome in
            switch outcome {
            case .won(let revision):
                for pg in removed { self.recordRevisions[pg] = nil }
                self.take([(ClusterKeys.map, encoded, revision)])
                self.take(records.map { (ClusterKeys.record($0.pg), $0.encoded(), revision) })
                done(.success(map))
            case .lost(let lost):
                if !lost.leasesNotEnded.isEmpty { return done(.failure(.unknownLease(lost.leasesNotEnded[0]))) }
                self.take(lost.current.compactMap { $0.entry.map { ($0.key, $0.value, $0.revision) } })
                if self.view.map == map { return done(.success(map)) }
                self.changeMap(leasesEnded: leasesEnded, removed: removed, until: until, change, done: done)
            case .refused(let error), .unknown(let error): done(.failure(error))
            }
        }
    }

    // MARK: - Failed disks

    /// Notes that a disk has failed, whatever is noted of it; `done` comes when that is durable, with false if the store takes
    /// nothing any more.
    func noteFailure(of disk: DiskID, _ note: DiskNote, done: @escaping (Bool) -> Void) {
        changeNote(disk, note, comparisons: [], done)
    }

    /// Changes or removes what is noted of a disk, unless it was changed meanwhile: a later failure stands.
    func changeNote(of disk: DiskID, to note: DiskNote?, done: @escaping (Bool) -> Void) {
        guard let known = noteRevisions[disk] else { return done(false) }
        changeNote(disk, note, comparisons: [.version(ClusterKeys.diskNote(disk), .changed(known))], done)
    }

    private func changeNote(
        _ disk: DiskID, _ note: DiskNote?, comparisons: [Comparison], _ done: @escaping (Bool) -> Void
    ) {
        let key = ClusterKeys.diskNote(disk)
        let change = note.map { Change.put(key, $0.encoded()) } ?? .delete(key)
        commit(Transaction(comparisons: comparisons, changes: [change])) { outcome in
            switch outcome {
            case .won(let revision):
                self.take([(key, note?.encoded(), revision)])
                done(true)
            case .lost(let lost):
                self.take(lost.current.compactMap { $0.entry.map { ($0.key, $0.value, $0.revision) } })
                done(false)
            case .refused, .unknown: done(false)
            }
        }
    }

    // MARK: - Scrubs

    /// Keeps what a group's scrub has found. One that is lost is found again by the next.
    func noteScrub(of pg: PGID, _ note: ScrubNote) {
        keep(pg, [(ClusterKeys.scrubNote(pg), note.encoded()), (ClusterKeys.scrubPosition(pg), nil)])
    }

    /// Where a scrub stands that has not come to its end. Who reigns no more may still write it: then a part is looked at
    /// twice.
    func noteScrubPosition(of pg: PGID, _ note: ScrubPositionNote) {
        guard positionsChanging.insert(pg).inserted else { return }
        keep(pg, [(ClusterKeys.scrubPosition(pg), note.encoded())]) { self.positionsChanging.remove(pg) }
    }

    /// Puts and deletes what is kept of a group, as long as it has a record: one that is leaving the cluster leaves nothing
    /// behind.
    private func keep(_ pg: PGID, _ entries: [(key: Key, value: [UInt8]?)], done: @escaping () -> Void = {}) {
        guard let known = recordRevisions[pg], known != .absent else { return done() }
        let changes = entries.map { entry in entry.value.map { Change.put(entry.key, $0) } ?? .delete(entry.key) }
        let comparison = Comparison.version(ClusterKeys.record(pg), known)
        commit(Transaction(comparisons: [comparison], changes: changes)) { outcome in
            switch outcome {
            case .won(let revision):
                self.take(entries.map { ($0.key, $0.value, revision) })
                done()
            case .lost(let lost):
                self.take(lost.current.compactMap { $0.entry.map { ($0.key, $0.value, $0.revision) } })
                let isThere = lost.current.allSatisfy { $0.entry != nil }
                if isThere, self.recordRevisions[pg] != known { return self.keep(pg, entries, done: done) }
                done()
            case .refused, .unknown: done()
            }
        }
    }

    /// Commits, repeating the same transaction while its outcome is unknown or the store is busy, through `until`.
    private func commit(
        _ transaction: Transaction, until: Instant? = nil, done: @escaping (TransactionOutcome) -> Void
    ) {
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
                    directory.complain(of: error, while: "changing the coordination store")
                    if let until, BootClock.now() >= until { return done(outcome) }
                    directory.loop.assumeIsolated().scheduleTask(in: .milliseconds(50)) {
                        directory.commit(transaction, until: until, done: done)
                    }
                }
            }
        }
    }
}
