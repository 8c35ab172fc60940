import ClusterModel

/// The 64 bits that are a lease, changed by compare-exchange only: 24 bits of lease number, 40 bits of expiry in ms of
/// the boot-time clock (34 years).
///
/// Invariants:
/// - The number in a word only grows.
/// - A revoked word (expiry 0) is never renewed; only a greater number replaces it.
struct LeaseWord: Hashable, Sendable {
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }

    static let unused = LeaseWord(rawValue: 0)
    static let greatestExpiry: UInt64 = (1 << 40) - 1

    /// `expiry` is cut off at 2^40 − 1 ms.
    init(number: LeaseNumber, expiry: UInt64) {
        rawValue =
            UInt64(number.rawValue & CoordinationLimits.greatestLeaseNumber) << 40 | min(expiry, Self.greatestExpiry)
    }

    static func revoked(_ number: LeaseNumber) -> LeaseWord { LeaseWord(number: number, expiry: 0) }

    var number: LeaseNumber { LeaseNumber(UInt32(rawValue >> 40)) }
    /// In ms of CLOCK_BOOTTIME; 0 once it is revoked.
    var expiry: UInt64 { rawValue & Self.greatestExpiry }
    var isRevoked: Bool { rawValue != 0 && expiry == 0 }

    /// What this word says about the lease `number` that was given this word at `drawn` (ms), for leases of `duration` ms.
    func state(of number: LeaseNumber, drawn: UInt64, duration: UInt64) -> LeaseWordState {
        // A holder that died between drawing its number and writing it leaves the word behind the record.
        if self.number < number { return .notWritten(until: drawn + duration) }
        if self.number > number || isRevoked { return .ended }
        return .held(until: expiry)
    }
}

/// What a lease word says about a lease number.
enum LeaseWordState: Equatable {
    /// Drawn, and its holder has not yet written it; counts as held until then (ms).
    case notWritten(until: UInt64)
    case held(until: UInt64)
    case ended
}

/// The process that a lease word belongs to: 22 bits of process id (the kernel's greatest is 2^22), 42 bits of its start
/// time in clock ticks since boot, so that a process id that is used again does not pass for its predecessor.
struct ProcessWord: Hashable, Sendable {
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(process: Int32, started: UInt64) {
        rawValue = UInt64(UInt32(bitPattern: process) & 0x3f_ffff) << 42 | (started & ((1 << 42) - 1))
    }
}
