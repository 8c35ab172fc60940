import ClusterModel

/// Runs a completion where its caller wants it, e.g. `{ eventLoop.execute($0) }`. Must not run it inline on the thread
/// that calls it if that could block: that thread serves the whole store.
public typealias CompletionExecutor = @Sendable (@escaping @Sendable () -> Void) -> Void

/// What the cluster agrees on: few small records, changed by compare-and-set, and leases. Consensus is not made here but
/// in what stands behind it (one machine's SQLite file, or etcd v3).
///
/// Promises of every implementation, checked by one conformance suite:
/// - A transaction is made as a whole or not at all, and is durable once it has won.
/// - Reads are linearizable: they show every transaction that had won before they were asked for.
/// - A lease number is never given twice. Once `leaseEnded` was true of a number, its holder's
///   `HeldLease.isSurelyValid` is false for ever.
/// - A watch shows the last state of every changed key, in ascending order of revisions; states in between may be left
///   out. It never skips silently: a watch that has lost its place says so and ends.
/// - Every completion is called exactly once, requests of one caller are done in their order.
public protocol Coordinator: AnyObject, Sendable {
    /// The cluster whose store this is.
    var cluster: ClusterID { get }

    /// Before this instant nobody claims anything and nobody serves: holders of a lost lease file may still be acting.
    /// Zero, as long as nothing of the kind happened.
    var servingAllowedFrom: Instant { get }

    /// Reads records as they stand together at one revision.
    func read(
        _ selection: Selection, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<Snapshot, CoordinationError>) -> Void)

    /// Makes a transaction.
    func commit(
        _ transaction: Transaction, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (TransactionOutcome) -> Void)

    /// Takes a lease with a new number and keeps renewing it until it lapses or is released. The completion is given to
    /// the executor before the request's `lapsed` can be.
    func takeLease(
        _ request: LeaseRequest, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<HeldLease, CoordinationError>) -> Void)

    /// Ends that lease if it has run out; tells whether it has ended. Never ends one that has not run out.
    func revoke(
        _ number: LeaseNumber, on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<LeaseState, CoordinationError>) -> Void)

    /// Lists the leases that have not ended, ascending by number, and possibly some that have.
    func leases(
        on executor: @escaping CompletionExecutor,
        completion: @escaping @Sendable (Result<[LeaseListing], CoordinationError>) -> Void)

    /// Tells about every change of keys with this prefix after `revision` (usually that of a snapshot). The handler is
    /// called through the executor, never twice at once, until `lostPlace` or `failed` or the watch is cancelled.
    func watch(
        _ prefix: Key, after revision: Revision, on executor: @escaping CompletionExecutor,
        handler: @escaping @Sendable (WatchDelivery) -> Void
    ) -> Watch

    /// Releases the leases, refuses what still waits, ends the watches, closes the store, and then calls back.
    func close(on executor: @escaping CompletionExecutor, completion: @escaping @Sendable () -> Void)
}

/// What a watch tells.
public enum WatchDelivery: Hashable, Sendable {
    /// Changes, ascending by revision; not empty.
    case events([WatchEvent])
    /// Changes may have been missed: read everything anew and watch from that snapshot's revision. The watch has ended.
    case lostPlace
    /// The store cannot be watched any more. The watch has ended.
    case failed(CoordinationError)
}

/// The state of one key after a change.
public struct WatchEvent: Hashable, Sendable {
    public var key: Key
    /// nil if it was deleted.
    public var value: [UInt8]?
    public var revision: Revision
    public init(key: Key, value: [UInt8]?, revision: Revision) {
        self.key = key
        self.value = value
        self.revision = revision
    }
}

/// A running watch.
public final class Watch: Sendable {
    private let cancellation: @Sendable () -> Void
    public init(cancellation: @escaping @Sendable () -> Void) { self.cancellation = cancellation }

    /// Ends it; a delivery that is on its way may still arrive.
    public func cancel() { cancellation() }
}

/// What an operator should hear about; the coordinator goes on by itself.
public enum CoordinationEvent: Hashable, Sendable {
    /// A stopped process held the store's lock for over a second, its lease had ended, and it was killed.
    case killedStoppedHolder(process: Int32, leases: [LeaseNumber])
    /// A stopped process holds the store's lock and is not killed: its lease has not ended or it cannot be judged.
    case waitsForStoppedHolder(process: Int32)
    /// The lease file was lost or is of another boot and was made anew; nobody claims or serves before that instant.
    case madeLeaseFileAnew(path: String, silentUntil: Instant)
    /// The store is not used any more by this process.
    case outOfService(CoordinationError)
    /// A watch wakes only twice a second: the file it would be woken by cannot be watched.
    case watchesByPollingOnly(String)
}
