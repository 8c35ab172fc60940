import ClusterModel

/// Why the coordination store did not do what was asked. `description` is one sentence for an operator.
public enum CoordinationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no store at this path. A store is made only by creating a cluster.
    case absent(path: String)
    /// There is something at this path already; nothing was touched.
    case exists(path: String)
    /// The file is not a store of a kind that this program knows.
    case foreign(path: String, detail: String)
    /// A request outside the bounds.
    case invalid(String)
    /// Somebody held the store's lock for longer than this process waits.
    case busy(holders: [Int32])
    /// More requests wait than `CoordinationLimits.waitingRequests`.
    case overloaded
    /// The lease file was made anew: until this instant earlier holders may still act, so nobody claims.
    case silence(until: Instant)
    /// No lease number or lease word is left.
    case leasesExhausted(String)
    /// This lease number was never drawn in this store.
    case unknownLease(LeaseNumber)
    /// The system refused something.
    case system(String)
    /// The database refused something.
    case database(String)
    /// An earlier error while writing left it open what is on disk; this process does not use the store any more.
    case outOfService(String)
    /// The coordinator was closed.
    case closed

    public var description: String {
        switch self {
        case .absent(let path):
            "there is no coordination store at \(path): it was removed, not mounted, or the cluster was never created"
        case .exists(let path): "\(path) exists already, so no coordination store was created there"
        case .foreign(let path, let detail): "\(path) is not a coordination store that this program knows: \(detail)"
        case .invalid(let what): "the coordination store does not take \(what)"
        case .busy(let holders):
            holders.isEmpty
                ? "the coordination store stayed locked for too long"
                : "the coordination store stayed locked for too long by process "
                    + holders.map(String.init).joined(separator: ", ")
        case .overloaded: "too many requests wait for the coordination store"
        case .silence: "the lease file was made anew a moment ago, nobody may claim until earlier holders have stopped"
        case .leasesExhausted(let what): "no lease is left: \(what)"
        case .unknownLease(let number): "\(number) was never drawn in this coordination store"
        case .system(let what): what
        case .database(let what): "the coordination store failed: \(what)"
        case .outOfService(let what): "the coordination store is out of service in this process after \(what)"
        case .closed: "the coordination store was closed"
        }
    }
}
