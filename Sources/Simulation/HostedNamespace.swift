import ClusterModel
import Namespace
import Replication
import Wire

/// A fileset's namespace machine with its rows, in one simulated process; used by its namespace thread, as `NamespaceUnit` is in
/// production, in the same order.
final class HostedNamespace {
    let rows: FakeDatabase
    private let fileset: FilesetID
    /// Nil while the rows are damaged: nothing is done with them.
    private var machine: NamespaceMachine?
    private var exports = ExportsUnderWay(most: HostedNamespace.mostExports)
    private var install: NamespaceInstall?
    /// The batch under way has brought rows that it does not note.
    private var hasReplacedRows = false

    /// As `StorageLimits.exports`.
    private static let mostExports = 4
    /// Small, so that a few rows are several parts, between which the source goes on.
    private static let partBytes = 700

    init(_ fileset: FilesetID, _ rows: FakeDatabase) throws {
        self.fileset = fileset
        self.rows = rows
        try open()
    }

    private func open() throws {
        do {
            machine = try NamespaceMachine(fileset: fileset, rows: rows)
        } catch is FakeDatabase.Damage {
            machine = nil
        }
    }

    var isDamaged: Bool { machine == nil }
    var applied: EntryName { machine?.applied ?? .zero }
    var inodes: UInt64 { machine?.state.usage.inodes ?? 0 }
    var sessions: [SessionID] { machine?.sessions ?? [] }
    var wantedReservation: InodeNumber? { machine?.wantedReservation }

    /// An empty database takes the place of the damaged one.
    func renew() throws {
        exports.removeAll()
        install = nil
        rows.renew()
        try open()
    }

    /// Work of one cycle in one transaction, and the rows that it touched. Nil: the rows have rotted, and nothing that was done
    /// counts.
    func run(
        _ batch: [(HostedNamespace) throws -> (() -> Void)], keepsRows: Bool
    ) throws -> (outcomes: [() -> Void], updates: RowUpdates?)? {
        guard machine != nil else { return nil }
        do {
            hasReplacedRows = false
            if keepsRows { machine?.collectRows() }
            let outcomes = try batch.map { try $0(self) }
            if let machine, install == nil {
                try exports.pruneTombstones(after: batch.count, machine, rows: rows)
            }
            try machine?.commit(rows: rows)
            let updates = keepsRows && !hasReplacedRows ? try machine?.takeCollectedRows(rows) : nil
            return (outcomes, updates)
        } catch is FakeDatabase.Damage {
            machine = nil
            return nil
        }
    }

    /// What an entry gave, and by which time; nil for one that is no operation, or that the rows have already.
    func apply(_ entry: Entry, _ bytes: [UInt8]?) throws -> (outcome: NamespaceOutcome, time: Timestamp)? {
        guard case .namespace = entry.body else {
            try machine?.skip(entry.name)
            return nil
        }
        guard let bytes else { throw WireError("entry \(entry.name) without its operation") }
        let operation = try bytes.decoded { r throws(WireError) in try NamespaceEntry(from: &r) }
        let change = NamespaceChange(
            name: entry.name, time: entry.time, session: entry.session, request: entry.request, call: entry.call,
            entry: operation)
        guard let outcome = try machine?.apply(change, rows: rows) else { return nil }
        return (outcome, machine?.state.lastTime ?? .zero)
    }

    func answer(_ bytes: [UInt8], at now: Timestamp) throws -> NamespaceReply {
        let question = try bytes.decoded { r throws(WireError) in try NamespaceQuestion(from: &r) }
        guard let reply = try machine?.answer(question, at: now, rows: rows) else { throw FakeDatabase.Damage() }
        return reply
    }

    func keptResult(_ session: SessionID, _ request: RequestNumber) throws -> [UInt8]? {
        try machine?.keptResult(session, request, rows: rows)
    }

    func digest(from key: [UInt8], limit: Int) throws -> RowsFinding {
        try machine?.commit(rows: rows)
        let digest = try RowDigest(rows, from: NamespaceKey(bytes: key), limit: limit)
        return RowsFinding(
            asOf: applied, digest: digest.value, count: UInt32(digest.count), end: digest.end?.bytes)
    }

    // MARK: Catching up

    /// The next part of an export; the first one with this number begins it. Nil for one that was forgotten.
    func exportNext(_ number: UInt64) throws -> (bytes: [UInt8], asOf: EntryName, position: ListPosition)? {
        try machine?.commit(rows: rows)
        guard let machine else { return nil }
        let next = try exports.next(number, machine, rows: rows, limit: HostedNamespace.partBytes)
        guard let (scope, piece) = next else { return nil }
        var w = WireWriter()
        switch scope {
        case .everything(let horizon): w.u64(horizon)
        case .changes: w.u64(0)
        }
        piece.encode(into: &w)
        return (w.bytes, machine.applied, piece.state == nil ? .more : .last)
    }

    /// What the rows lack through this entry is given up.
    func forgo(through name: EntryName) throws {
        if install != nil {
            hasReplacedRows = true
            try NamespaceInstall.abandon(rows: rows)
            install = nil
            machine = try NamespaceMachine(fileset: fileset, rows: rows)
        }
        machine?.forgo(through: name)
    }

    func receive(_ bytes: [UInt8], step: UInt32) throws {
        hasReplacedRows = true
        let (horizon, piece) = try bytes.decoded { r throws(WireError) in
            (try r.u64(), try ExportPiece(from: &r))
        }
        if step == 0 {
            exports.removeAll()
            if install != nil { try NamespaceInstall.abandon(rows: rows) }
            try machine?.commit(rows: rows)
            install = try NamespaceInstall(.everything(horizon: horizon), rows: rows)
        }
        guard var receiving = install else { throw WireError("a part of an export that never began") }
        if let complete = try receiving.receive(piece, fileset: fileset, rows: rows) {
            machine = complete
            install = nil
        } else {
            install = receiving
        }
    }
}

/// Rows that the loop of a primary keeps and answers from, as `NamespaceHost` does: only while no work that may change rows waits
/// or is under way.
struct KeptRows {
    var changesUnderWay = 0
    /// Counts databases: what comes back from an earlier one is not taken.
    private(set) var generation: Int
    private var cache = RowCache(limit: KeptRows.bytes)
    /// Behind the last batch that was taken; nil while nothing is kept.
    private var quota: QuotaStanding?

    /// Small, so that rows are pushed out.
    private static let bytes = 4_000
    private static let owner = RowCache.Owner(1)

    init(generation: Int = 0) { self.generation = generation }

    mutating func answer(_ bytes: [UInt8], of fileset: FilesetID, at now: Timestamp) -> NamespaceReply? {
        guard changesUnderWay == 0, let quota,
            let question = try? bytes.decoded({ r throws(WireError) in try NamespaceQuestion(from: &r) }),
            question.query.isPoint,
            let reply = cache.answer(question, of: fileset, owner: KeptRows.owner, quota: quota, at: now)
        else { return nil }
        return reply
    }

    mutating func took(_ updates: RowUpdates?, changes: Int, of generation: Int) {
        guard generation == self.generation else { return }
        changesUnderWay -= changes
        if let updates {
            cache.update(updates, of: KeptRows.owner)
            quota = updates.quota
        } else if quota != nil {
            quota = nil
            cache.removeAll(of: KeptRows.owner)
        }
    }
}

extension [UInt8] {
    func decoded<T>(_ body: (inout WireReader) throws(WireError) -> T) throws -> T {
        try withUnsafeBytes { buffer in
            var r = WireReader(buffer)
            let value = try body(&r)
            try r.finish()
            return value
        }
    }
}

extension NamespaceEntry {
    var encoded: [UInt8] {
        var w = WireWriter()
        encode(into: &w)
        return w.bytes
    }
}
