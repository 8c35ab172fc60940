import CSupport
import ClusterModel
import Foundation
import GRDB
import Synchronization

/// The thread that does everything with the local store: requests in their order, transactions that wait together in one
/// SQLite transaction, watches, and twice a second a look whether others changed something.
///
/// `@unchecked Sendable`: what is not in `inbox` is used on the worker's own thread only, once it runs.
final class LocalWorker: @unchecked Sendable {
    struct Pending: Sendable {
        var transaction: Transaction
        var executor: CompletionExecutor
        var completion: @Sendable (TransactionOutcome) -> Void
        func answer(_ outcome: TransactionOutcome) {
            let completion = completion
            executor { completion(outcome) }
        }
    }

    enum Request: Sendable {
        case transaction(Pending)
        /// `refuse` is called instead of `work` if the coordinator is closed.
        case work(@Sendable (LocalWorker) -> Void, refuse: @Sendable (CoordinationError) -> Void)
        case close(@Sendable () -> Void)
    }

    private struct Inbox {
        var requests: [Request] = []
        var isClosed = false
    }

    /// A transaction that finds no other one waiting waits this long for company, and a row of them no longer than
    /// `longestLinger`: what a node decides within one turn of its loop is committed at once.
    private static let linger: Int32 = 1
    private static let longestLinger: TimeSpan = .milliseconds(20)
    private static let pollInterval: TimeSpan = .milliseconds(500)

    let store: LocalStore
    let leases: LocalLeases
    let watches: LocalWatches
    private let signal: ChangeSignal
    private let report: @Sendable (CoordinationEvent) -> Void
    private let wakeDescriptor: Int32
    private let bell: Bell
    private let inbox = Mutex(Inbox())
    private var isClosing: (@Sendable () -> Void)?
    private var isOnlyPolling = false

    init(
        store: LocalStore, leases: LocalLeases, signal: ChangeSignal,
        report: @escaping @Sendable (CoordinationEvent) -> Void
    ) throws(CoordinationError) {
        self.store = store
        self.leases = leases
        self.signal = signal
        self.report = report
        let descriptor = cs_eventfd()
        guard descriptor >= 0 else { throw .system("no eventfd for the coordination store (error \(-descriptor))") }
        wakeDescriptor = descriptor
        let bell = Bell(copyOf: descriptor)
        self.bell = bell
        watches = LocalWatches(wake: { bell.ring() })
    }

    deinit { _ = cs_close(wakeDescriptor) }

    func start() {
        let thread = Thread { self.run() }
        thread.start()
    }

    func submit(_ request: Request) {
        let refusal: CoordinationError? = inbox.withLock { inbox in
            if inbox.isClosed { return .closed }
            if case .close = request {
                inbox.isClosed = true
            } else if inbox.requests.count >= CoordinationLimits.waitingRequests {
                return .overloaded
            }
            inbox.requests.append(request)
            return nil
        }
        guard let refusal else { return bell.ring() }
        switch request {
        case .transaction(let pending): pending.answer(.refused(refusal))
        case .work(_, let refuse): refuse(refusal)
        case .close(let completion): completion()
        }
    }

    // MARK: the thread

    private func run() {
        cs_set_thread_name("stave-coord")
        armSignal()
        _ = store.wasChangedByOthers()
        var nextPoll = LeaseClock.now + Self.pollInterval
        while isClosing == nil {
            let requests = takeRequests()
            if requests.isEmpty {
                let wait = nextPoll - LeaseClock.now
                if waitForSomething(milliseconds: Int32((wait.nanoseconds + 999_999) / 1_000_000)) { lookForChanges() }
            } else {
                handle(gather(requests))
                if waitForSomething(milliseconds: 0) { lookForChanges() }
            }
            if LeaseClock.now >= nextPoll {
                nextPoll = LeaseClock.now + Self.pollInterval
                armSignal()
                lookForChanges()
            }
            watches.deliver(from: store)
        }
        leases.releaseAll()
        watches.endAll(.closed)
        try? store.close()
        isClosing?()
    }

    private func takeRequests() -> [Request] {
        inbox.withLock { inbox in
            defer { inbox.requests = [] }
            return inbox.requests
        }
    }

    /// Lets transactions that are on their way come along.
    private func gather(_ first: [Request]) -> [Request] {
        var requests = first
        let started = LeaseClock.now
        while case .transaction = requests.last, LeaseClock.now - started < Self.longestLinger {
            var descriptor = pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)
            _ = cs_eventfd_take(wakeDescriptor)
            var more = takeRequests()
            if more.isEmpty, poll(&descriptor, 1, Self.linger) > 0 { more = takeRequests() }
            if more.isEmpty { break }
            requests += more
        }
        return requests
    }

    /// Whether the signal file was touched.
    private func waitForSomething(milliseconds: Int32) -> Bool {
        var descriptors = [
            pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&descriptors, 2, milliseconds) > 0 else { return false }
        if descriptors[0].revents != 0 { _ = cs_eventfd_take(wakeDescriptor) }
        guard descriptors[1].revents != 0 else { return false }
        signal.drain()
        return true
    }

    private func armSignal() {
        let problem = signal.arm()
        if let problem, !isOnlyPolling { report(.watchesByPollingOnly(problem)) }
        isOnlyPolling = problem != nil
    }

    private func lookForChanges() {
        // A read may have found it out.
        guard store.outOfService == nil else { return watches.changed() }
        guard store.wasChangedByOthers() else { return }
        watches.changed()
        if case .made(let header) = store.transact(.deferred, { try LocalStore.header($0) }) {
            leases.adopt(header.leaseFile)
            // Mapped at once: who waits for the store's lock can judge its holder only with the leases at hand.
            _ = try? leases.currentFile()
        }
    }

    private func handle(_ requests: [Request]) {
        var group: [Pending] = []
        func finishGroup() {
            if !group.isEmpty { commit(group[...]) }
            group = []
        }
        for request in requests {
            switch request {
            case .transaction(let pending):
                group.append(pending)
                if group.count == CoordinationLimits.operationsPerTransaction { finishGroup() }
            case .work(let work, _):
                finishGroup()
                work(self)
            case .close(let completion):
                finishGroup()
                isClosing = completion
            }
        }
        finishGroup()
    }

    // MARK: transactions

    /// Independent transactions in one SQLite transaction, each with its own outcome. If it fails as a whole they are
    /// tried by halves, so that one that cannot be made does not take the others with it.
    private func commit(_ group: ArraySlice<Pending>) {
        let result = write { db in try self.evaluate(group, db) }
        switch result {
        case .made(let outcomes):
            for (pending, outcome) in zip(group, outcomes) { pending.answer(outcome) }
        case .notMade(.busy(let holders)):
            for pending in group { pending.answer(.refused(.busy(holders: holders))) }
        case .notMade(let error):
            if group.count > 1 {
                let middle = group.startIndex + group.count / 2
                commit(group[..<middle])
                commit(group[middle...])
            } else {
                for pending in group { pending.answer(.refused(error)) }
            }
        case .unknown(let error):
            for pending in group { pending.answer(.unknown(error)) }
        }
    }

    private func evaluate(_ group: ArraySlice<Pending>, _ db: Database) throws -> [TransactionOutcome] {
        var header = try LocalStore.header(db)
        let before = header.revision
        var deleted = false
        let outcomes = try group.map { pending in
            try evaluate(pending.transaction, db, &header, deleted: &deleted)
        }
        if header.revision != before { try LocalStore.setRevision(db, header.revision) }
        if deleted { try LocalStore.forgetDeletions(db) }
        return outcomes
    }

    private func evaluate(
        _ transaction: Transaction, _ db: Database, _ header: inout LocalStore.Header, deleted: inout Bool
    ) throws -> TransactionOutcome {
        var file: LeaseFile?
        let comparesLeases = transaction.comparisons.contains { if case .leaseEnded = $0 { true } else { false } }
        if comparesLeases {
            file = try leases.ensureFile(db, &header).file
            if let until = leases.silence(header) { return .refused(.silence(until: until)) }
        }
        let verdict = try TransactionVerdict.of(
            transaction.comparisons, version: { try LocalStore.version(db, $0) },
            leaseEnded: { number in
                guard let file else { return number == .none }
                return try leases.hasEnded(db, number, header: header, file: file)
            })
        switch verdict {
        case .fails(let leasesNotEnded):
            var current: [LostTransaction.Current] = []
            for case .version(let key, _) in transaction.comparisons {
                current.append(.init(key: key, entry: try LocalStore.entry(db, key)))
            }
            return .lost(
                LostTransaction(revision: header.revision, current: current, leasesNotEnded: leasesNotEnded))
        case .holds:
            let next = header.revision.next
            var changed = false
            for change in transaction.changes {
                switch change {
                case .put(let key, let value):
                    try LocalStore.put(db, key, value, at: next)
                    changed = true
                case .delete(let key):
                    if try LocalStore.delete(db, key, at: next) {
                        changed = true
                        deleted = true
                    }
                }
            }
            if changed { header.revision = next }
            return .won(header.revision)
        }
    }

    /// A write transaction; tells watches and other processes about it.
    func write<Value>(_ body: (Database) throws -> Value) -> LocalStore.Result<Value> {
        let silentBefore = leases.record?.silentUntil
        let result = store.transact(.immediate, body)
        switch result {
        case .made:
            if store.lastTransactionWrote {
                watches.changed()
                signal.touch()
            }
            if let record = leases.record, record.silentUntil != silentBefore, record.silentUntil > LeaseClock.now {
                report(.madeLeaseFileAnew(path: record.path, silentUntil: record.silentUntil))
            }
        case .notMade:
            leases.rolledBack()
        case .unknown(let error):
            leases.rolledBack()
            // Whoever watches hears of it: a node whose store is gone must not go on as if nothing changed any more.
            watches.changed()
            report(.outOfService(error))
        }
        return result
    }
}
