import ClusterModel

/// The times of a lease. Clocks are boot-time clocks of one rate up to `margin` in `duration`.
public struct LeaseTerms: Hashable, Sendable {
    /// How long a lease lasts from before its renewal was sent.
    public var duration: TimeSpan
    /// How much earlier its holder holds it for ended than others do.
    public var margin: TimeSpan
    /// How often it is renewed.
    public var interval: TimeSpan
    public init(
        duration: TimeSpan = .seconds(3), margin: TimeSpan = .milliseconds(500), interval: TimeSpan = .milliseconds(500)
    ) {
        self.duration = duration
        self.margin = margin
        self.interval = interval
    }
}

/// Who holds a lease, for people and for listings; says nothing about identity.
public struct LeaseOwner: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    /// At most 128 bytes of UTF-8.
    public init(_ description: String) { self.description = description }
}

/// Whether a lease can still be in use.
public enum LeaseState: Hashable, Sendable {
    /// Its holder may act; it has not been renewed beyond this instant, which may have passed: then it can be revoked.
    case held(until: Instant)
    /// Nobody acts under this number any more, ever.
    case ended
}

/// A lease in a listing.
public struct LeaseListing: Hashable, Sendable {
    public var number: LeaseNumber
    public var owner: LeaseOwner
    public var state: LeaseState
    public init(number: LeaseNumber, owner: LeaseOwner, state: LeaseState) {
        self.number = number
        self.owner = owner
        self.state = state
    }
}

/// Why a lease ended for its holder.
public enum LapseReason: Hashable, Sendable {
    /// An event loop did not tick, so it was not renewed.
    case noProgress
    /// The renewal came too late: the process or the machine had been stopped or was overloaded.
    case late
    /// Somebody found it run out and revoked it.
    case revoked
    /// The lease file is not the recorded one any more.
    case leaseFileLost
    /// The holder gave it back.
    case released
}

/// What the caller gives when it takes a lease.
public struct LeaseRequest: Sendable {
    public var owner: LeaseOwner
    /// Asked before each renewal on the renewal's own thread, must answer at once: whether everything that the lease
    /// stands for has moved lately (every event loop ticked within 1 s). While it is false the lease is not renewed.
    public var hasProgress: @Sendable () -> Bool
    /// Called once, through the executor, when the lease has ended for any reason but `release`; every role held under
    /// this number has ended then, and a new lease with a new number has to be taken.
    public var lapsed: @Sendable (LeaseNumber, LapseReason) -> Void
    public init(
        owner: LeaseOwner, hasProgress: @escaping @Sendable () -> Bool,
        lapsed: @escaping @Sendable (LeaseNumber, LapseReason) -> Void
    ) {
        self.owner = owner
        self.hasProgress = hasProgress
        self.lapsed = lapsed
    }
}
