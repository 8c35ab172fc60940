import ClusterModel

/// The primary's clock: the times of its entries rise, and so do those that questions between them are answered with as the
/// moving times of files that are being written, whatever steps the node's clock makes. In that way a time that an entry fixes is
/// later than what others saw before it, and no two answers have the same one.
struct EntryClock {
    private var last = Timestamp.zero

    /// The time of an entry that is being named, or of a question that has come: max(now, last + 1 ns).
    mutating func next(at now: Timestamp) -> Timestamp {
        last = max(now, Timestamp(nanoseconds: last.nanoseconds + 1))
        return last
    }

    /// An entry of that time is in the log.
    mutating func saw(_ time: Timestamp) { last = max(last, time) }
}
