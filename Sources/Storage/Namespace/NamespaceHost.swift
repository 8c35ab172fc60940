import ClusterModel
import DiskIO
import Logging
import NIOCore
import Namespace
import Replication
import Transport
import Wire

/// One fileset's namespace as the loop sees it: collects decided entries and queries of a cycle, and hands them to the
/// namespace thread in one batch (store.md, Namespace rows). Used on its loop only.
///
/// Questions about single inodes and names are answered here where the rows are kept (`RowCache`).
///
/// Invariants:
/// - work is done in the order in which it came here, so a query shows every entry that was decided before it;
/// - the rows kept are those behind the last batch whose outcome was taken, and they answer only while no work that may change
///   rows waits or is under way: then they are the rows that the namespace thread would answer from;
/// - outcomes are taken into the rows kept before anybody hears of them, so no answer is older than a change that was answered;
/// - rows are kept only while the replica serves; a batch that ran without its rows being noted, a part of an export and a
///   failure make all be forgotten.
final class NamespaceHost {
    let fileset: FilesetID
    private let thread: DiskThread
    private let home: CompletionHome
    private let loop: any EventLoop
    /// Nil while its database is damaged, or is being made anew.
    private(set) var unit: ThreadBound<NamespaceUnit>?
    /// For making the applied entries durable, so that the log may be trimmed.
    private(set) var writeAheadLog: DiskFile?
    private var standing: Standing
    /// Counts databases: what comes back from an earlier one is not heard.
    private var generation = 0
    private enum Standing {
        case usable
        /// What it holds has rotted: everything is refused. → `renewing`.
        case damaged
        /// A new database is being made; work waits. → `usable`.
        case renewing
    }
    private var waiting: [NamespaceWork] = []
    private var tickets: [NamespaceTicket: (_ bytes: [UInt8]?, _ showsWriting: Bool) -> Void] = [:]
    private var exports: [NamespaceTicket: (NamespacePart?) -> Void] = [:]
    private var digests: [NamespaceTicket: (RowsFinding?) -> Void] = [:]
    private var lastTicket: UInt64 = 0
    private let cache: SharedRowCache
    private let owner: RowCache.Owner
    /// Work whose outcome is not here and that may change rows.
    private var changesUnderWay = 0
    /// Behind the last batch whose outcome was taken; nil while no rows are kept.
    private var quota: QuotaStanding?
    private var isClosed = false
    private var answered = AnsweredTimes(activation: .zero)
    /// Inodes of which SETATTRs of times are under way, and how many.
    private var settingTimes: [InodeNumber: Int] = [:]

    private(set) var applied: EntryName
    private(set) var usage = FilesetUsage(inodes: 0, bytes: 0)
    private(set) var wantedReservation: InodeNumber?

    /// The cuts that are not finished behind a batch; told before anything that the batch gave.
    var cutsKnown: (([InodeNumber: TruncationNumber]) -> Void)?
    /// Entries through this one are in the rows; the results are encoded `NamespaceResult`s.
    var appliedThrough: ((EntryName, [(entry: EntryName, bytes: [UInt8])]) -> Void)?
    var failed: ((String) -> Void)?
    /// The rows cannot be trusted any more: the replica learns everything anew. Nothing is done until `renew` and `began`.
    var damaged: ((String) -> Void)?
    /// Called when the first work of a cycle has come.
    var workArrived: (() -> Void)?
    /// Whether questions come here, for which rows are kept.
    var serves: (() -> Bool)?

    init(
        fileset: FilesetID, applied: EntryName, thread: DiskThread, home: CompletionHome, loop: any EventLoop,
        unit: ThreadBound<NamespaceUnit>?, writeAheadLog: DiskFile?, cache: SharedRowCache
    ) {
        standing = unit == nil ? .damaged : .usable
        self.fileset = fileset
        self.applied = applied
        self.thread = thread
        self.home = home
        self.loop = loop
        self.unit = unit
        self.writeAheadLog = writeAheadLog
        self.cache = cache
        owner = cache.newOwner()
    }

    /// The database could not be opened, for it has rotted.
    var isDamaged: Bool {
        if case .damaged = standing { true } else { false }
    }

    /// Its database goes, and another is made: what is asked from now on waits for it.
    func renew() -> ThreadBound<NamespaceUnit>? {
        refuseAll()
        standing = .renewing
        defer { unit = nil }
        return unit
    }

    /// The new database is there, with nothing in it.
    func began(_ unit: ThreadBound<NamespaceUnit>, writeAheadLog: DiskFile) {
        self.unit = unit
        self.writeAheadLog = writeAheadLog
        applied = .zero
        standing = .usable
        if !waiting.isEmpty { workArrived?() }
    }

    /// What was asked is not answered by this database any more.
    private func refuseAll() {
        generation += 1
        changesUnderWay = 0
        waiting = []
        forgetRows()
        let (answers, parts, rows) = (tickets, exports, digests)
        (tickets, exports, digests) = ([:], [:], [:])
        for ticket in answers.keys.sorted(by: { $0.rawValue < $1.rawValue }) { answers[ticket]?(nil, false) }
        for ticket in parts.keys.sorted(by: { $0.rawValue < $1.rawValue }) { parts[ticket]?(nil) }
        for ticket in rows.keys.sorted(by: { $0.rawValue < $1.rawValue }) { rows[ticket]?(nil) }
    }

    func apply(_ entry: Entry, _ bytes: ByteBuffer?) { add(.apply(entry, bytes)) }

    /// As of the time, which is the primary's clock's. `done` may be called at once, and is told whether the answer shows a file
    /// with a registered writer.
    func answer(
        _ question: ByteBuffer, asOf time: Timestamp, done: @escaping (_ bytes: [UInt8]?, _ showsWriting: Bool) -> Void
    ) {
        let question = try? question.decoded { r throws(WireError) in try NamespaceQuestion(from: &r) }
        guard let question else { return done(nil, false) }
        if let (answer, showsWriting) = keptAnswer(question, time) { return done(answer, showsWriting) }
        add(.answer(newTicket(done), question, asOf: time))
    }

    /// From the rows kept, if they are all that it takes.
    private func keptAnswer(_ question: NamespaceQuestion, _ time: Timestamp) -> (bytes: [UInt8], showsWriting: Bool)? {
        guard question.query.isPoint else { return nil }
        guard changesUnderWay == 0 else {
            cache.wasBehind()
            return nil
        }
        guard let quota,
            let reply = cache.rows.answer(question, of: fileset, owner: owner, quota: quota, at: time)
        else {
            cache.missed()
            return nil
        }
        cache.hit()
        if !reply.moving.isEmpty { answered.answered(reply.moving, at: time) }
        return (wireBytes(reply.answer.encode), reply.showsWriting)
    }

    /// Its database goes: nothing is kept of it any more.
    func close() {
        isClosed = true
        forgetRows()
    }

    private func forgetRows() {
        if quota == nil { return }
        quota = nil
        cache.rows.removeAll(of: owner)
    }

    private func keepRows(_ updates: RowUpdates?) {
        guard let updates, !isClosed else { return forgetRows() }
        cache.rows.update(updates, of: owner)
        quota = updates.quota
    }

    func keptResult(_ session: SessionID, _ request: RequestNumber, done: @escaping ([UInt8]?) -> Void) {
        add(.result(ticket(done), session, request))
    }

    /// The digest of at most so many rows from this key on, behind everything handed over so far; nil after a failure.
    func digest(from key: NamespaceKey, limit: Int, done: @escaping (RowsFinding?) -> Void) {
        lastTicket += 1
        let ticket = NamespaceTicket(rawValue: lastTicket)
        digests[ticket] = done
        add(.digestRows(ticket, from: key, limit: limit))
    }

    /// The operation as it is to be named by the primary (namespace.md: settled times are never earlier than answered ones). Nil
    /// where that hangs on a SETATTR that is under way, or on a row that is not here and is being read: whoever sent the operation
    /// sends it again.
    func fixed(_ operation: NamespaceOperation) -> NamespaceOperation? {
        guard case .settle(let inode, let session, let modified, _) = operation else { return operation }
        if settingTimes[inode] != nil { return nil }
        let registration =
            quota == nil ? .unknown : cache.rows.registration(of: session, in: inode, owner: owner)
        switch registration {
        // What was overruled changes nothing, and must not be raised above the SETATTR.
        case .registered(let overruled?) where modified <= overruled: return operation
        case .unknown where answered.reachesBack(inode, modified):
            let question = NamespaceQuestion(
                credentials: .superuser, session: .none, query: .attributes(inode: inode))
            add(.answer(ticket { _ in }, question, asOf: .zero))
            return nil
        case .registered, .none, .unknown: return answered.fixed(operation)
        }
    }

    /// A SETATTR of times has come to the primary; `setTimes` when it has been answered.
    func setsTimes(of inode: InodeNumber) { settingTimes[inode, default: 0] += 1 }

    func setTimes(of inode: InodeNumber) {
        guard let count = settingTimes[inode] else { return }
        settingTimes[inode] = count > 1 ? count - 1 : nil
    }

    /// This node's reign over the group begins: what earlier primaries answered is not known here.
    func reignBegan(at time: Timestamp) { answered = AnsweredTimes(activation: time) }

    /// The next part of an export of all rows, behind everything decided so far.
    func exportNext(_ number: UInt64, done: @escaping (NamespacePart?) -> Void) {
        lastTicket += 1
        let ticket = NamespaceTicket(rawValue: lastTicket)
        exports[ticket] = done
        add(.export(ticket, number: number))
    }

    func install(_ part: ByteBuffer, step: UInt32, done: @escaping () -> Void) {
        add(.install(ticket { if $0 != nil { done() } }, part, step: step))
    }

    /// The sessions of which the rows keep something, behind everything handed over so far.
    func sessions(done: @escaping ([SessionID]) -> Void) {
        add(
            .sessions(
                ticket { bytes in
                    let found = bytes.flatMap { bytes in
                        try? ByteBuffer(bytes: bytes).decoded { r throws(WireError) in
                            try r.list(atMost: bytes.count, elementBytes: 8) { r throws(WireError) in
                                SessionID(try r.u64())
                            }
                        }
                    }
                    done(found ?? [])
                }))
    }

    func forgo(through name: EntryName, done: @escaping () -> Void) {
        add(.forgo(ticket { if $0 != nil { done() } }, through: name))
    }

    private func ticket(_ done: @escaping ([UInt8]?) -> Void) -> NamespaceTicket {
        newTicket { bytes, _ in done(bytes) }
    }

    private func newTicket(_ done: @escaping (_ bytes: [UInt8]?, _ showsWriting: Bool) -> Void) -> NamespaceTicket {
        lastTicket += 1
        let ticket = NamespaceTicket(rawValue: lastTicket)
        tickets[ticket] = done
        return ticket
    }

    private func add(_ work: NamespaceWork) {
        if isDamaged {
            switch work {
            case .apply: break
            case .answer(let ticket, _, _), .result(let ticket, _, _), .install(let ticket, _, _),
                .sessions(let ticket), .forgo(let ticket, _):
                tickets.removeValue(forKey: ticket)?(nil, false)
            case .export(let ticket, _): exports.removeValue(forKey: ticket)?(nil)
            case .digestRows(let ticket, _, _): digests.removeValue(forKey: ticket)?(nil)
            }
            return
        }
        if waiting.isEmpty { workArrived?() }
        if work.changesRows { changesUnderWay += 1 }
        waiting.append(work)
    }

    var depth: Int { waiting.count }

    /// Hands over what has come, at the end of the loop's cycle.
    func flush() {
        guard !waiting.isEmpty, let unit else { return }
        let batch = waiting
        waiting = []
        let owner = LoopBound(self, loop: loop)
        let generation = generation
        let keeping: RowKeeping = serves?() == true ? .kept : .forgotten
        let changes = batch.count { $0.changesRows }
        let admission = thread.submit(to: home) {
            guard let unit = unit.value else { return nil }
            let outcomes = unit.run(batch, rows: keeping)
            return { owner.value.took(outcomes, changes: changes, of: generation) }
        }
        switch admission {
        case .accepted, .stopped: break
        case .full:
            // The thread is far behind: the work keeps its order and waits for the next cycle.
            waiting = batch + waiting
            loop.assumeIsolated().scheduleTask(in: .milliseconds(5)) { self.flush() }
        }
    }

    private func took(_ outcomes: NamespaceOutcomes, changes: Int, of generation: Int) {
        guard generation == self.generation else { return }
        if let damage = outcomes.damage {
            standing = .damaged
            refuseAll()
            damaged?(damage)
            return
        }
        changesUnderWay -= changes
        keepRows(outcomes.failure == nil ? outcomes.rows : nil)
        if let failure = outcomes.failure {
            failed?(failure)
            for done in tickets.keys.sorted(by: { $0.rawValue < $1.rawValue }).compactMap({ tickets[$0] }) {
                done(nil, false)
            }
            tickets = [:]
            for ticket in digests.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
                digests.removeValue(forKey: ticket)?(nil)
            }
            return
        }
        usage = outcomes.usage
        wantedReservation = outcomes.wantedReservation
        cutsKnown?(outcomes.unfinishedCuts)
        for (inodes, time) in outcomes.moving { answered.answered(inodes, at: time) }
        for (ticket, found) in outcomes.digests { digests.removeValue(forKey: ticket)?(found) }
        for (ticket, part) in outcomes.parts { exports.removeValue(forKey: ticket)?(part) }
        if outcomes.applied > applied {
            applied = outcomes.applied
            appliedThrough?(applied, outcomes.results)
        } else {
            // A snapshot may be as of an earlier entry than what it replaced.
            applied = outcomes.applied
        }
        for answer in outcomes.answers {
            tickets.removeValue(forKey: answer.ticket)?(answer.bytes, answer.showsWriting)
        }
    }
}
