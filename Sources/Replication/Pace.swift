import ClusterModel

/// How fast something may go, or went, in bytes a second.
public struct Pace: Hashable, Comparable, Sendable {
    public let bytesPerSecond: UInt64
    public init(bytesPerSecond: UInt64) { self.bytesPerSecond = bytesPerSecond }
    public static func < (a: Pace, b: Pace) -> Bool { a.bytesPerSecond < b.bytesPerSecond }
    public static let zero = Pace(bytesPerSecond: 0)
    public static func mebibytes(_ n: UInt64) -> Pace { Pace(bytesPerSecond: n << 20) }

    /// What was done in that time; at least a microsecond is taken for it.
    public init(_ bytes: UInt64, in span: TimeSpan) {
        let product = bytes.multipliedFullWidth(by: 1_000_000_000)
        let divisor = max(span.nanoseconds, 1000)
        bytesPerSecond = product.high >= divisor ? .max : divisor.dividingFullWidth(product).quotient
    }

    /// How long that many bytes take; a year if they take longer.
    public func time(for bytes: UInt64) -> TimeSpan {
        let longest: UInt64 = 366 * 86_400 * 1_000_000_000
        let product = bytes.multipliedFullWidth(by: 1_000_000_000)
        let divisor = max(bytesPerSecond, 1)
        guard product.high < divisor else { return TimeSpan(nanoseconds: longest) }
        return TimeSpan(nanoseconds: min(divisor.dividingFullWidth(product).quotient, longest))
    }

    /// What can be done in that time.
    public func bytes(in span: TimeSpan) -> UInt64 {
        let product = bytesPerSecond.multipliedFullWidth(by: span.nanoseconds)
        return product.high >= 1_000_000_000 ? .max : UInt64(1_000_000_000).dividingFullWidth(product).quotient
    }

    /// An equal part for each of so many.
    public func shared(among count: Int) -> Pace { Pace(bytesPerSecond: bytesPerSecond / UInt64(max(count, 1))) }
}
