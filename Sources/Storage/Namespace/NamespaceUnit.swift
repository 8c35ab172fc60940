import ClusterModel
import DiskIO
import NIOCore
import Namespace
import Replication
import Wire

/// Work of one fileset's namespace on the namespace thread, in order.
enum NamespaceWork: Sendable {
    /// A decided entry; the bytes of its operation, none for entries that are no operation.
    case apply(Entry, ByteBuffer?)
    /// A query, asked behind all that came before it.
    case answer(NamespaceTicket, NamespaceQuestion, asOf: Timestamp)
    /// The kept result of a request that was executed.
    case result(NamespaceTicket, SessionID, RequestNumber)
    /// The next part of an export of all rows; the first one with this number begins it.
    case export(NamespaceTicket, number: UInt64)
    /// The digest of at most so many rows from this key on, as of the last entry applied.
    case digestRows(NamespaceTicket, from: NamespaceKey, limit: Int)
    /// A part of another replica's export; the first one (step 0) drops what is here.
    case install(NamespaceTicket, ByteBuffer, step: UInt32)

    /// The sessions of which something is kept, as numbers.
    case sessions(NamespaceTicket)
    /// What the rows lack through this entry is given up.
    case forgo(NamespaceTicket, through: EntryName)

    /// Whether rows may be others behind it.
    var changesRows: Bool {
        switch self {
        case .apply, .install, .forgo: true
        case .answer, .result, .export, .digestRows, .sessions: false
        }
    }
}

/// Whether the loop keeps the rows that a batch touched.
enum RowKeeping: Sendable {
    case kept
    case forgotten
}

/// A part of an export, as it travels: the horizon of tombstones, then the piece.
struct NamespacePart: Sendable {
    var asOf: EntryName
    var position: ListPosition
    /// Rows in it, and about how many there are in all: most are those of inodes, their names and their places in directories.
    var rows: Int
    var allRows: Int
    var bytes: [UInt8]
}

/// Recognises an answer on the loop.
struct NamespaceTicket: Hashable, Sendable {
    let rawValue: UInt64
}

/// What became of a batch of work.
struct NamespaceOutcomes: Sendable {
    var applied = EntryName.zero
    /// Encoded results of the entries that were applied.
    var results: [(entry: EntryName, bytes: [UInt8])] = []
    /// Encoded answers; nil where there is none to give. `showsWriting`: of a question, that it shows a file with a writer.
    var answers: [(ticket: NamespaceTicket, bytes: [UInt8]?, showsWriting: Bool)] = []
    /// Parts of exports; nil for an export that was forgotten.
    var parts: [(ticket: NamespaceTicket, part: NamespacePart?)] = []
    var digests: [(ticket: NamespaceTicket, found: RowsFinding)] = []
    /// Inodes that were shown with a moving time, and which.
    var moving: [(inodes: [InodeNumber], time: Timestamp)] = []
    /// Cuts that not every data group has yet, behind the batch.
    var unfinishedCuts: [InodeNumber: TruncationNumber] = [:]
    var wantedReservation: InodeNumber?
    var usage = FilesetUsage(inodes: 0, bytes: 0)
    /// Nil where the loop is to forget the rows that it keeps: the batch may have changed others, too.
    var rows: RowUpdates?
    /// Bytes of the database's write-ahead log.
    var logBytes = 0
    /// The disk's use ends (store.md, rule 4).
    var failure: String?
    /// What the rows hold has rotted: nothing is done with them any more.
    var damage: String?
}

/// One fileset's machine with its rows. Used on the namespace thread only.
final class NamespaceUnit {
    private var machine: NamespaceMachine
    private let rows: NamespaceDatabase
    private var exports = ExportsUnderWay(most: StorageLimits.exports)
    private var install: NamespaceInstall?
    /// Whether the batch under way received a part of an export, which replaces rows.
    private var received = false
    /// Nothing is done after a failure: a later entry must never be committed without the one that failed.
    private var failure: String?
    private var damage: String?

    init(fileset: FilesetID, rows: NamespaceDatabase) throws {
        self.rows = rows
        machine = try NamespaceMachine(fileset: fileset, rows: rows)
    }

    var applied: EntryName { machine.applied }

    /// Applies entries in one transaction and answers queries at their places; everything is committed when it returns.
    func run(_ batch: [NamespaceWork], rows keeping: RowKeeping) -> NamespaceOutcomes {
        var outcomes = NamespaceOutcomes()
        if failure != nil || damage != nil {
            outcomes.failure = failure
            outcomes.damage = damage
            return outcomes
        }
        do {
            received = false
            if keeping == .kept { machine.collectRows() }
            for work in batch { try run(work, &outcomes) }
            // Within an install it would be part of that.
            if install == nil { try exports.pruneTombstones(after: batch.count, machine, rows: rows) }
            try machine.commit(rows: rows)
            if keeping == .kept, !received { outcomes.rows = try machine.takeCollectedRows(rows) }
            outcomes.logBytes = rows.database.walBytes
            // An install under way is an open transaction: SQLite refuses a checkpoint within one.
            if install == nil, outcomes.logBytes > StorageLimits.namespaceLogBytes {
                _ = try rows.database.passiveCheckpoint()
            }
        } catch let error as DiskError where error.isDamage {
            damage = "\(error)"
            outcomes.damage = damage
        } catch {
            failure = "the namespace of \(machine.state.fileset): \(error)"
            outcomes.failure = failure
        }
        outcomes.applied = machine.applied
        outcomes.wantedReservation = machine.wantedReservation
        outcomes.unfinishedCuts = machine.unfinishedCuts
        outcomes.usage = machine.state.usage
        return outcomes
    }

    private func run(_ work: NamespaceWork, _ outcomes: inout NamespaceOutcomes) throws {
        switch work {
        case .apply(let entry, let bytes):
            guard case .namespace = entry.body else { return try machine.skip(entry.name) }
            guard let bytes else { throw WireError("entry \(entry.name) without its operation") }
            let operation = try bytes.decoded { r throws(WireError) in try NamespaceEntry(from: &r) }
            let change = NamespaceChange(
                name: entry.name, time: entry.time, session: entry.session, request: entry.request, call: entry.call,
                entry: operation)
            if let outcome = try machine.apply(change, rows: rows) {
                outcomes.results.append((entry.name, outcome.encoded))
            }
        case .answer(let ticket, let question, let time):
            let reply = try machine.answer(question, at: time, rows: rows)
            if !reply.moving.isEmpty { outcomes.moving.append((reply.moving, time)) }
            outcomes.answers.append((ticket, wireBytes(reply.answer.encode), reply.showsWriting))
        case .result(let ticket, let session, let request):
            outcomes.answers.append((ticket, try machine.keptResult(session, request, rows: rows), false))
        case .export(let ticket, let number):
            // What an export shows is committed: it is as of an entry that is in the rows.
            try machine.commit(rows: rows)
            outcomes.parts.append((ticket, try exportNext(number)))
        case .digestRows(let ticket, let from, let limit):
            // The machine keeps inodes that changed until it commits.
            try machine.commit(rows: rows)
            outcomes.digests.append((ticket, try digest(from: from, limit: limit)))
        case .install(let ticket, let bytes, let step):
            try receive(bytes, step: step)
            outcomes.answers.append((ticket, [], false))
        case .sessions(let ticket):
            let sessions = machine.sessions
            outcomes.answers.append(
                (ticket, wireBytes { w in w.list(sessions) { w, s in w.u64(s.rawValue) } }, false))
        case .forgo(let ticket, let name):
            try forgo(through: name)
            outcomes.answers.append((ticket, [], false))
        }
    }

    private func forgo(through name: EntryName) throws {
        if install != nil {
            // What has come of it is half a table.
            received = true
            try NamespaceInstall.abandon(rows: rows)
            install = nil
            machine = try NamespaceMachine(fileset: machine.state.fileset, rows: rows)
        }
        machine.forgo(through: name)
    }

    /// Of rows, or, from their first key on, of kept replies.
    private func digest(from key: NamespaceKey, limit: Int) throws -> RowsFinding {
        if key.bytes.first == ScrubAsk.replies {
            let digest = try machine.replyDigest(after: ScrubAsk.entry(before: key.bytes), limit: limit, rows: rows)
            return RowsFinding(
                asOf: machine.applied, digest: digest.value, count: UInt32(digest.count),
                end: digest.end.map { ScrubAsk.replyKey($0) })
        }
        let digest = try RowDigest(rows, from: key, limit: limit)
        return RowsFinding(
            asOf: machine.applied, digest: digest.value, count: UInt32(digest.count), end: digest.end?.bytes)
    }

    private func exportNext(_ number: UInt64) throws -> NamespacePart? {
        guard let (scope, piece) = try exports.next(number, machine, rows: rows) else { return nil }
        var w = WireWriter(capacity: 1 << 18)
        switch scope {
        case .everything(let horizon): w.u64(horizon)
        case .changes: w.u64(0)
        }
        piece.encode(into: &w)
        return NamespacePart(
            asOf: machine.applied, position: piece.state == nil ? .more : .last, rows: piece.rows.count,
            allRows: 3 * Int(clamping: machine.state.usage.inodes), bytes: w.bytes)
    }

    private func receive(_ bytes: ByteBuffer, step: UInt32) throws {
        received = true
        let (horizon, piece) = try bytes.decoded { r throws(WireError) in
            (try r.u64(), try ExportPiece(from: &r))
        }
        if step == 0 {
            exports.removeAll()
            if install != nil { try NamespaceInstall.abandon(rows: rows) }
            // What came before is a transaction of its own: the end of the batch must not commit half an install.
            try machine.commit(rows: rows)
            install = try NamespaceInstall(.everything(horizon: horizon), rows: rows)
        }
        guard var receiving = install else { throw WireError("a part of an export that never began") }
        if let complete = try receiving.receive(piece, fileset: machine.state.fileset, rows: rows) {
            machine = complete
            install = nil
        } else {
            install = receiving
        }
    }
}
