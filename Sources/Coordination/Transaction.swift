import ClusterModel

/// A condition of a transaction. All must hold, or nothing is changed.
public enum Comparison: Hashable, Sendable {
    /// The key has exactly this version (or is absent).
    case version(Key, KeyVersion)
    /// The lease with this number has ended for good. A lease that has merely run out counts once it has been revoked
    /// (`Coordinator.revoke`); `LeaseNumber.none` has always ended.
    case leaseEnded(LeaseNumber)
}

/// A change of a transaction.
public enum Change: Hashable, Sendable {
    case put(Key, [UInt8])
    /// Deleting a key that does not exist changes nothing.
    case delete(Key)

    public var key: Key {
        switch self {
        case .put(let key, _), .delete(let key): key
        }
    }
}

/// Conditions and changes that are made together or not at all. No key may be changed twice.
public struct Transaction: Hashable, Sendable {
    public var comparisons: [Comparison]
    public var changes: [Change]
    public init(comparisons: [Comparison], changes: [Change]) {
        self.comparisons = comparisons
        self.changes = changes
    }

    /// Throws the reason why no store would take it: a bound of `CoordinationLimits`, or a key that is changed twice.
    public func validate() throws(CoordinationError) {
        guard comparisons.count <= CoordinationLimits.operationsPerTransaction,
            changes.count <= CoordinationLimits.operationsPerTransaction
        else {
            throw .invalid(
                "a transaction of \(comparisons.count) comparisons and \(changes.count) changes, at most "
                    + "\(CoordinationLimits.operationsPerTransaction) of each are taken")
        }
        for case .version(let key, _) in comparisons { try key.validate() }
        var bytes = 0
        var changed = Set<Key>()
        for change in changes {
            try change.key.validate()
            guard changed.insert(change.key).inserted else { throw .invalid("\(change.key) is changed twice") }
            bytes += change.key.bytes.count
            if case .put(let key, let value) = change {
                guard value.count <= CoordinationLimits.valueBytes else {
                    throw .invalid("\(value.count) bytes for \(key), at most \(CoordinationLimits.valueBytes) are kept")
                }
                bytes += value.count
            }
        }
        guard bytes <= CoordinationLimits.transactionBytes else {
            throw .invalid("a transaction of \(bytes) bytes, at most \(CoordinationLimits.transactionBytes) are taken")
        }
    }
}

extension Key {
    func validate() throws(CoordinationError) {
        guard (1...CoordinationLimits.keyBytes).contains(bytes.count) else {
            throw .invalid("a key of \(bytes.count) bytes, 1 … \(CoordinationLimits.keyBytes) are taken")
        }
    }
}

/// What became of a transaction.
public enum TransactionOutcome: Hashable, Sendable {
    /// Every condition held, all changes are made and durable. A transaction without effect gives the present revision.
    case won(Revision)
    /// A condition did not hold, nothing was changed.
    case lost(LostTransaction)
    /// It may have been made or not: only reading tells. Until then both must be reckoned with (traps 18).
    case unknown(CoordinationError)
    /// It was surely not made; it may be sent again.
    case refused(CoordinationError)
}

/// Why a transaction lost, read in the same instant.
public struct LostTransaction: Hashable, Sendable {
    public var revision: Revision
    /// Every key that was compared, in that order, with what is there now (nil: absent).
    public var current: [Current]
    /// The compared leases that have not ended.
    public var leasesNotEnded: [LeaseNumber]

    public struct Current: Hashable, Sendable {
        public var key: Key
        public var entry: KeyValue?
        public init(key: Key, entry: KeyValue?) {
            self.key = key
            self.entry = entry
        }
    }

    public init(revision: Revision, current: [Current], leasesNotEnded: [LeaseNumber]) {
        self.revision = revision
        self.current = current
        self.leasesNotEnded = leasesNotEnded
    }
}

/// The decision about a transaction, apart from the store it is made in.
enum TransactionVerdict: Equatable {
    case holds
    case fails(leasesNotEnded: [LeaseNumber])

    /// Asks `version` for each compared key and `leaseEnded` for each compared lease.
    static func of(
        _ comparisons: [Comparison], version: (Key) throws -> KeyVersion, leaseEnded: (LeaseNumber) throws -> Bool
    ) rethrows -> TransactionVerdict {
        var holds = true
        var notEnded: [LeaseNumber] = []
        for comparison in comparisons {
            switch comparison {
            case .version(let key, let expected):
                if try version(key) != expected { holds = false }
            case .leaseEnded(let number):
                if try !leaseEnded(number) {
                    holds = false
                    notEnded.append(number)
                }
            }
        }
        return holds ? .holds : .fails(leasesNotEnded: notEnded)
    }
}
