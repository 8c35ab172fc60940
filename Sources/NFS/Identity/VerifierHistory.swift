import ClusterModel
import ONCRPC

/// Finds the COMMITs that must fail at clients that never compare write verifiers (replication.md, Loss number). A pure
/// machine: events in, a verdict out.
///
/// Invariants:
/// - a COMMIT of a file with an unflushed write whose stamp is lower than the COMMIT's own fails, once per client, file
///   and rise;
/// - so does, in the ten minutes after a rise, one whose client may have written before it without this gateway knowing:
///   the handle was not given out on the connection that commits. (A client that opened the file on this connection
///   wrote nothing before that this gateway did not see; one that only reconnected did not open it again.)
/// - what is not known when the table is full is not needed: the write is made stable instead.
struct VerifierHistory {
    /// A client and one of its files. Clients behind one address are told apart by machine name and user.
    struct Key: Hashable {
        var client: Caller
        var file: FileID
    }

    /// What the connection of a call knows of the client's past with the file.
    enum Knowledge {
        /// The handle was given out on this connection, or a COMMIT was answered on it.
        case sinceOpened
        /// The connection began with the handle in hand.
        case unknown
    }

    /// What is done with a COMMIT that storage has executed.
    enum Verdict: Hashable {
        case ok
        /// Answer NFS3ERR_IO: data from before the rise to this number may be lost.
        case lost(LossNumber)
    }

    private struct Record {
        /// The lowest stamp of writes that no COMMIT covers yet.
        var unflushed: LossNumber?
        /// The rise for which the client has had its error.
        var told: LossNumber?
    }

    private var records: [Key: Record] = [:]
    private let bound: Int

    init(bound: Int = NFSLimits.verifierHistories) { self.bound = bound }

    /// How full the table is.
    var count: Int { records.count }

    /// Whether an unstable write may be left unstable; when not, it must be made stable.
    mutating func canRecord(_ key: Key) -> Bool {
        if records[key] != nil || records.count < bound { return true }
        records = records.filter { $0.value.unflushed != nil }
        return records.count < bound
    }

    /// An unstable write was answered with this stamp.
    mutating func wrote(_ key: Key, stamp: LossNumber) {
        let before = records[key]?.unflushed
        records[key, default: Record()].unflushed = before.map { min($0, stamp) } ?? stamp
    }

    /// A COMMIT of the whole file goes to storage: it covers what was answered until now. The result comes back with
    /// `committed` or `commitFailed`.
    mutating func commitBegan(_ key: Key) -> LossNumber? {
        guard let record = records[key], let lowest = record.unflushed else { return nil }
        if record.told == nil { records[key] = nil } else { records[key]?.unflushed = nil }
        return lowest
    }

    /// A COMMIT of a part of the file goes to storage: it is judged by all that is unflushed, and covers nothing of it.
    func partialCommitBegan(_ key: Key) -> LossNumber? { records[key]?.unflushed }

    /// The COMMIT of the whole file failed, so that what it covered is still unflushed.
    mutating func commitFailed(_ key: Key, covered: LossNumber?) {
        if let covered { wrote(key, stamp: covered) }
    }

    /// The COMMIT was executed and has this stamp.
    /// - Parameter sinceRise: seconds since the loss number last rose, nil when longer ago than anybody remembers.
    mutating func committed(
        _ key: Key, covered: LossNumber?, stamp: LossNumber, knowledge: Knowledge, sinceRise: Int64?
    ) -> Verdict {
        let precedes = covered.map { $0 < stamp } ?? false
        let mayPrecede: Bool
        switch knowledge {
        case .sinceOpened: mayPrecede = false
        case .unknown: mayPrecede = stamp > .zero && (sinceRise ?? .max) < NFSLimits.unknownHistorySeconds
        }
        guard precedes || mayPrecede, (records[key]?.told ?? .zero) < stamp else { return .ok }
        if records[key] != nil || records.count < bound { records[key, default: Record()].told = stamp }
        return .lost(stamp)
    }
}
