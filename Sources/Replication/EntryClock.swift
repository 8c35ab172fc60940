import ClusterModel

/// The primary's clock: the times of its entries rise, and each is later than any that a question before it was answered with,
/// whatever steps the node's clock makes. In that way a time that an entry fixes is later than what others saw before it.
struct EntryClock {
    private var last = Timestamp.zero

    /// The time of an entry that is being named: max(now, last + 1 ns).
    mutating func name(at now: Timestamp) -> Timestamp {
        last = max(now, Timestamp(nanoseconds: last.nanoseconds + 1))
        return last
    }

    /// The time to answer a question with, as the moving time of files that are being written.
    mutating func question(at now: Timestamp) -> Timestamp {
        last = max(now, last)
        return last
    }

    /// An entry of that time is in the log.
    mutating func saw(_ time: Timestamp) { last = max(last, time) }
}
