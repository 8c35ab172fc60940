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
/// Invariant: work is done in the order in which it came here, so a query shows every entry that was decided before it.
final class NamespaceHost {
    let fileset: FilesetID
    private let thread: DiskThread
    private let home: CompletionHome
    private let loop: any EventLoop
    let unit: ThreadBound<NamespaceUnit>
    /// For making the applied entries durable, so that the log may be trimmed.
    let writeAheadLog: DiskFile
    private var waiting: [NamespaceWork] = []
    private var tickets: [NamespaceTicket: ([UInt8]?) -> Void] = [:]
    private var exports: [NamespaceTicket: (NamespacePart?) -> Void] = [:]
    private var lastTicket: UInt64 = 0
    private var clock = NamespaceClock(last: .zero)
    private var answered = AnsweredTimes(activation: .zero)

    private(set) var applied: EntryName
    private(set) var usage = FilesetUsage(inodes: 0, bytes: 0)
    private(set) var wantedReservation: InodeNumber?

    /// Entries through this one are in the rows; the results are encoded `NamespaceResult`s.
    var appliedThrough: ((EntryName, [(entry: EntryName, bytes: [UInt8])]) -> Void)?
    var failed: ((String) -> Void)?
    /// Called when the first work of a cycle has come.
    var workArrived: (() -> Void)?

    init(
        fileset: FilesetID, applied: EntryName, thread: DiskThread, home: CompletionHome, loop: any EventLoop,
        unit: ThreadBound<NamespaceUnit>, writeAheadLog: DiskFile
    ) {
        self.fileset = fileset
        self.applied = applied
        self.thread = thread
        self.home = home
        self.loop = loop
        self.unit = unit
        self.writeAheadLog = writeAheadLog
    }

    func apply(_ entry: Entry, _ bytes: ByteBuffer?) { add(.apply(entry, bytes)) }

    func answer(_ question: ByteBuffer, now: Timestamp, done: @escaping ([UInt8]?) -> Void) {
        add(.answer(ticket(done), question, now: clock.answer(at: now)))
    }

    func keptResult(_ session: SessionID, _ request: RequestNumber, done: @escaping ([UInt8]?) -> Void) {
        add(.result(ticket(done), session, request))
    }

    /// Applied entry (epoch, n), digest and number of all rows behind everything decided so far, as four u64.
    func digest(done: @escaping ([UInt8]?) -> Void) { add(.digest(ticket(done))) }

    /// The operation as it is to be named by the primary (namespace.md: settled times are never earlier than answered ones).
    func fixed(_ operation: NamespaceOperation) -> NamespaceOperation { answered.fixed(operation) }

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

    private func ticket(_ done: @escaping ([UInt8]?) -> Void) -> NamespaceTicket {
        lastTicket += 1
        let ticket = NamespaceTicket(rawValue: lastTicket)
        tickets[ticket] = done
        return ticket
    }

    private func add(_ work: NamespaceWork) {
        if waiting.isEmpty { workArrived?() }
        waiting.append(work)
    }

    var depth: Int { waiting.count }

    /// Hands over what has come, at the end of the loop's cycle.
    func flush() {
        guard !waiting.isEmpty else { return }
        let batch = waiting
        waiting = []
        let owner = LoopBound(self, loop: loop)
        let unit = unit
        let admission = thread.submit(to: home) {
            guard let unit = unit.value else { return nil }
            let outcomes = unit.run(batch)
            return { owner.value.took(outcomes) }
        }
        switch admission {
        case .accepted, .stopped: break
        case .full:
            // The thread is far behind: the work keeps its order and waits for the next cycle.
            waiting = batch + waiting
            loop.assumeIsolated().scheduleTask(in: .milliseconds(5)) { self.flush() }
        }
    }

    private func took(_ outcomes: NamespaceOutcomes) {
        if let failure = outcomes.failure {
            failed?(failure)
            for done in tickets.keys.sorted(by: { $0.rawValue < $1.rawValue }).compactMap({ tickets[$0] }) { done(nil) }
            tickets = [:]
            return
        }
        usage = outcomes.usage
        wantedReservation = outcomes.wantedReservation
        for (inodes, time) in outcomes.moving { answered.answered(inodes, at: time) }
        for (ticket, part) in outcomes.parts { exports.removeValue(forKey: ticket)?(part) }
        if outcomes.applied > applied {
            applied = outcomes.applied
            appliedThrough?(applied, outcomes.results)
        } else {
            // A snapshot may be as of an earlier entry than what it replaced.
            applied = outcomes.applied
        }
        for (ticket, bytes) in outcomes.answers { tickets.removeValue(forKey: ticket)?(bytes) }
    }
}
