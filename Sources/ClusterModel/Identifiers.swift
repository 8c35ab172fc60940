/// A node of the cluster, by the number its configuration gives it (1 … 65,535).
public struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt16
    public init(_ rawValue: UInt16) { self.rawValue = rawValue }
    public static func < (a: NodeID, b: NodeID) -> Bool { a.rawValue < b.rawValue }
    public var description: String { "n\(rawValue)" }
}

/// 128 random bits that name a thing for ever, printed as 32 hexadecimal digits.
public protocol UniqueIdentifier: Hashable, Comparable, Sendable, CustomStringConvertible {
    var rawValue: UInt128 { get }
    init(_ rawValue: UInt128)
}

extension UniqueIdentifier {
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

    public var description: String {
        let digits = String(rawValue, radix: 16)
        return String(repeating: "0", count: 32 - digits.count) + digits
    }

    /// Reads 32 hexadecimal digits, dashes ignored (the form of boot_id and of UUIDs); nil for anything else.
    public init?(hex text: some StringProtocol) {
        let digits = String(text).filter { $0 != "-" }
        guard digits.count == 32, digits.utf8.allSatisfy({ $0 != 0x2B && $0 != 0x2D }),
            let value = UInt128(digits, radix: 16)
        else { return nil }
        self.init(value)
    }
}

/// The cluster, drawn once at its creation.
public struct ClusterID: UniqueIdentifier {
    public let rawValue: UInt128
    public init(_ rawValue: UInt128) { self.rawValue = rawValue }
}

/// A disk, drawn when it is formatted and written into its superblock.
public struct DiskID: UniqueIdentifier {
    public let rawValue: UInt128
    public init(_ rawValue: UInt128) { self.rawValue = rawValue }
}

/// One boot of a machine's kernel (/proc/sys/kernel/random/boot_id). A member that comes back under another
/// one has lost what was not stable.
public struct BootID: UniqueIdentifier {
    public let rawValue: UInt128
    public init(_ rawValue: UInt128) { self.rawValue = rawValue }
}

/// A gateway or a mount as placement groups know it. Never used again once it has left the map; 0 is nobody.
public struct SessionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: SessionID, b: SessionID) -> Bool { a.rawValue < b.rawValue }
    public static let none = SessionID(0)
    public var description: String { "s\(rawValue)" }
}

/// The number of a request within one (session, placement group), counted from 1; 0 for reads, which need none.
public struct RequestNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: RequestNumber, b: RequestNumber) -> Bool { a.rawValue < b.rawValue }
    public static let none = RequestNumber(0)
    public var description: String { "#\(rawValue)" }
}

/// Counts changes of one placement group's record; every change raises it by one.
public struct Epoch: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: Epoch, b: Epoch) -> Bool { a.rawValue < b.rawValue }
    public static let zero = Epoch(0)
    public var next: Epoch { Epoch(rawValue + 1) }
    public var description: String { "e\(rawValue)" }
}

/// The name of a log entry of a placement group: two entries with the same n in different epochs are different
/// entries, so names are compared as pairs, epoch first.
public struct EntryName: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var epoch: Epoch
    public var n: UInt64
    public init(epoch: Epoch, n: UInt64) {
        self.epoch = epoch
        self.n = n
    }
    public static func < (a: EntryName, b: EntryName) -> Bool {
        a.epoch != b.epoch ? a.epoch < b.epoch : a.n < b.n
    }
    /// Before every entry.
    public static let zero = EntryName(epoch: .zero, n: 0)
    public var description: String { "(\(epoch),\(n))" }
}

/// A lease's number, 24 bits, drawn anew whenever a lease is taken; 0 is no lease.
public struct LeaseNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }
    public static func < (a: LeaseNumber, b: LeaseNumber) -> Bool { a.rawValue < b.rawValue }
    public static let none = LeaseNumber(0)
    public var description: String { "lease \(rawValue)" }
}

/// How often, cluster-wide, unstable data was lost by a loss of power. The NFS write verifier.
public struct LossNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: LossNumber, b: LossNumber) -> Bool { a.rawValue < b.rawValue }
    public static let zero = LossNumber(0)
    public var next: LossNumber { LossNumber(rawValue + 1) }
    public var description: String { "loss \(rawValue)" }
}

/// The number of the last change of the cluster map.
public struct MapVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: MapVersion, b: MapVersion) -> Bool { a.rawValue < b.rawValue }
    public static let zero = MapVersion(0)
    public var next: MapVersion { MapVersion(rawValue + 1) }
    public var description: String { "map \(rawValue)" }
}

/// The number of the snapshot that a write comes after; 0 until there are snapshots.
public struct SnapshotNumber: Hashable, Comparable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public static func < (a: SnapshotNumber, b: SnapshotNumber) -> Bool { a.rawValue < b.rawValue }
    public static let zero = SnapshotNumber(0)
}

/// Nanoseconds since 1970-01-01 00:00 UTC, as files carry them.
public struct Timestamp: Hashable, Comparable, Sendable {
    public let nanoseconds: Int64
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    public static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanoseconds < b.nanoseconds }
    public static let zero = Timestamp(nanoseconds: 0)
}

/// An instant of the boot-time clock (CLOCK_BOOTTIME) in nanoseconds, for leases and time-outs; never wall-clock time.
public struct Instant: Hashable, Comparable, Sendable {
    public let nanoseconds: UInt64
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
    public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
    public static func + (a: Instant, b: TimeSpan) -> Instant { Instant(nanoseconds: a.nanoseconds &+ b.nanoseconds) }
    /// The time from `b` to `a`, zero if `b` is the later one.
    public static func - (a: Instant, b: Instant) -> TimeSpan {
        TimeSpan(nanoseconds: a.nanoseconds > b.nanoseconds ? a.nanoseconds - b.nanoseconds : 0)
    }
}

/// A duration in nanoseconds, never negative.
public struct TimeSpan: Hashable, Comparable, Sendable {
    public let nanoseconds: UInt64
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
    public static func milliseconds(_ n: UInt64) -> TimeSpan { TimeSpan(nanoseconds: n * 1_000_000) }
    public static func seconds(_ n: UInt64) -> TimeSpan { TimeSpan(nanoseconds: n * 1_000_000_000) }
    public static func < (a: TimeSpan, b: TimeSpan) -> Bool { a.nanoseconds < b.nanoseconds }
    public static let zero = TimeSpan(nanoseconds: 0)
}
