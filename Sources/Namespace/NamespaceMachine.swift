import ClusterModel
import Wire

/// One operation of the log, decided.
public struct NamespaceChange: Sendable {
    public var name: EntryName
    /// Fixed by the primary (`EntryClock`).
    public var time: Timestamp
    /// Who sent it and under which number; `.none` for the primary's own operations, whose results are not kept.
    public var session: SessionID
    public var request: RequestNumber
    /// Of a non-idempotent NFS call.
    public var call: CallIdentity?
    public var entry: NamespaceEntry

    public init(
        name: EntryName, time: Timestamp, session: SessionID, request: RequestNumber, call: CallIdentity?,
        entry: NamespaceEntry
    ) {
        self.name = name
        self.time = time
        self.session = session
        self.request = request
        self.call = call
        self.entry = entry
    }
}

/// What became of an operation.
public struct NamespaceOutcome: Hashable, Sendable {
    public enum Origin: Hashable, Sendable {
        case executed
        /// The request or the call had been executed before: this is its first answer.
        case kept
    }
    public var result: NamespaceResult
    /// `result`, encoded: what travels and what is kept.
    public var encoded: [UInt8]
    public var origin: Origin
    public init(result: NamespaceResult, encoded: [UInt8], origin: Origin) {
        self.result = result
        self.encoded = encoded
        self.origin = origin
    }
}

/// A fileset's namespace as a state machine over rows: applies decided operations in the order of the log, and answers
/// queries. Not a value that is copied: one machine works on one set of rows, on one thread.
///
/// Invariants:
/// - the result and the rows depend on the log alone: on no clock, row order, hash or batch boundary;
/// - an entry that is in the rows is not applied again; the entry's effects and its name get into the rows together;
/// - a failed operation changes nothing but the windows of replies;
/// - after `commit` nothing is held back: the rows are the state, and another machine may be made from them.
public struct NamespaceMachine {
    public internal(set) var state: FilesetState
    /// The newest cut of each file that has one which not every data group is known to have: what `HeldAnswers` goes by.
    public internal(set) var unfinishedCuts: [InodeNumber: TruncationNumber] = [:]
    var windows = ReplyWindows()
    var inodes = HeldInodes()
    /// For `takeCollectedRows`.
    var touched = TouchedRows()
    /// The entry that is being applied.
    var now = Timestamp.zero
    var version: UInt64 = 0
    var asker = SessionID.none
    var semantics: UInt32 = 1
    /// Whether `state` has changed since it was last put into the rows.
    private(set) var isAhead = false
    private var dropped: [UInt64] = []

    /// Opens the rows; new ones are empty until `.initialize` is applied.
    public init(fileset: FilesetID, rows: some NamespaceRowReader) throws {
        if let bytes = try rows.state() {
            state = try FilesetState(bytes)
            guard state.fileset == fileset else { throw NamespaceFault.otherFileset(state.fileset) }
        } else {
            state = FilesetState(fileset: fileset)
        }
        unfinishedCuts = try NamespaceMachine.unfinishedCuts(rows)
        var n: UInt64 = 0
        while true {
            let replies = try rows.replies(after: n, limit: 1024)
            guard let last = replies.last else { break }
            for reply in replies {
                let row = try ReplyRow(reply.bytes)
                // An export may have brought replies that left the windows meanwhile: they go with the next entry.
                windows.keep(
                    reply.n, time: row.time, session: row.session, number: row.number, call: row.call, dropped: &dropped
                )
            }
            n = last.n
        }
    }

    /// The last entry in the rows, or in what `commit` will put there.
    public var applied: EntryName { state.applied }

    /// Inode numbers that may be given without a further reservation. Whoever names entries admits no more creations than
    /// this beside those under way.
    public var inodesLeft: UInt64 {
        let next = state.nextInode.rawValue
        return state.reserved.rawValue >= next ? state.reserved.rawValue - next + 1 : 0
    }

    /// The reservation that the primary logs next, stably; nil while enough is left.
    public var wantedReservation: InodeNumber? {
        guard inodesLeft < NamespaceLimits.reservationStep else { return nil }
        let base = max(state.nextInode.rawValue - 1, state.reserved.rawValue)
        return InodeNumber(base + NamespaceLimits.reservationStep)
    }

    /// The encoded result of a request that was executed: a duplicate need not be logged. Nil for one that was not, or
    /// whose result has left the window (`isBelowWindow`).
    public func keptResult(_ session: SessionID, _ request: RequestNumber, rows: some NamespaceRowReader) throws
        -> [UInt8]?
    {
        guard case .kept(let n) = windows.find(session, request) else { return nil }
        return try reply(n, rows)
    }

    /// The encoded result of a call that was executed less than 120 s before `time`.
    public func keptResult(_ call: CallIdentity, at time: Timestamp, rows: some NamespaceRowReader) throws -> [UInt8]? {
        guard let n = windows.find(call, at: time) else { return nil }
        return try reply(n, rows)
    }

    /// Sessions of which something is kept, ascending: whoever registered as a writer is among them. The primary settles for
    /// those that are not live any more.
    public var sessions: [SessionID] { windows.sessions }

    /// Whether the request was answered so long ago that its result is gone.
    public func isBelowWindow(_ session: SessionID, _ request: RequestNumber) -> Bool {
        windows.find(session, request) == .below
    }

    /// Applies the next entry of the log. Nil when it is in the rows already (a replay). After an error, one of the rows'
    /// or a `NamespaceFault`, the machine is not used again: what it holds may be half an entry.
    public mutating func apply(_ change: NamespaceChange, rows: some NamespaceRows) throws -> NamespaceOutcome? {
        guard try advance(to: change.name) else { return nil }
        guard FilesetState.semantics.contains(change.entry.semantics) else {
            throw NamespaceFault.unknownSemantics(change.entry.semantics)
        }
        now = max(change.time, Timestamp(nanoseconds: state.lastTime.nanoseconds + 1))
        state.lastTime = now
        version = change.name.n
        asker = change.session
        semantics = change.entry.semantics
        windows.prune(at: now, dropped: &dropped)

        let outcome: NamespaceOutcome
        var kept: UInt64?
        var isBelow = false
        switch windows.find(change.session, change.request) {
        case .kept(let n): kept = n
        case .below: isBelow = true
        case .new: if let call = change.call { kept = windows.find(call, at: now) }
        }
        if let kept {
            let bytes = try reply(kept, rows)
            outcome = NamespaceOutcome(result: try NamespaceResult(decoding: bytes), encoded: bytes, origin: .kept)
        } else if isBelow {
            // Nobody waits for it: a session sends number k + 256 only when k has ended.
            outcome = NamespaceOutcome(NamespaceResult(failure: .invalid))
        } else {
            outcome = NamespaceOutcome(try execute(change.entry, rows))
        }
        if !isBelow { try keep(outcome, of: change, rows) }
        for n in dropped { try rows.deleteReply(n) }
        dropped.removeAll(keepingCapacity: true)
        return outcome
    }

    /// Passes an entry that is no operation (`.empty`, `.scrubMark`).
    public mutating func skip(_ name: EntryName) throws { _ = try advance(to: name) }

    /// Goes on as if the entries through this one had been applied, for they are given up (replication.md, 10). The next one
    /// follows it.
    public mutating func forgo(through name: EntryName) {
        guard name > state.applied else { return }
        state.applied = name
        isAhead = true
    }

    /// Makes everything applied so far one with the rows. Called at the end of a batch, before its answers go out.
    public mutating func commit(rows: some NamespaceRows) throws {
        guard isAhead else { return }
        try inodes.flush(to: rows)
        try rows.putState(state.encoded())
        try rows.commit()
        isAhead = false
    }

    /// False for an entry that has been applied.
    private mutating func advance(to name: EntryName) throws -> Bool {
        if name <= state.applied { return false }
        guard name.n == state.applied.n + 1 else {
            throw NamespaceFault.outOfOrder(applied: state.applied, next: name)
        }
        state.applied = name
        isAhead = true
        return true
    }

    private mutating func keep(_ outcome: NamespaceOutcome, of change: NamespaceChange, _ rows: some NamespaceRows)
        throws
    {
        let hasNumber = change.session != .none && change.request != .none
        if outcome.origin == .kept, windows.find(change.session, change.request) != .new { return }
        // A call that came back under another number keeps its first age. One that has to wait has no answer yet: it comes
        // again under another number.
        let call = outcome.origin == .kept || outcome.result.failure == .cutUnfinished ? nil : change.call
        guard hasNumber || call != nil else { return }
        let row = ReplyRow(
            time: now, session: change.session, number: change.request, call: call, result: outcome.encoded)
        try rows.putReply(version, row.encoded())
        windows.keep(
            version, time: now, session: change.session, number: change.request, call: call, dropped: &dropped)
    }

    private func reply(_ n: UInt64, _ rows: some NamespaceRowReader) throws -> [UInt8] {
        guard let bytes = try rows.reply(n) else { throw NamespaceFault.missingRow("the reply of entry \(n)") }
        return try ReplyRow(bytes).result
    }

    /// Ends a session's window: its requests are over.
    mutating func endWindow(of session: SessionID, _ rows: some NamespaceRows) throws {
        var anonymous: [UInt64] = []
        windows.end(session, dropped: &dropped, anonymous: &anonymous)
        for n in anonymous {
            guard let bytes = try rows.reply(n) else { throw NamespaceFault.missingRow("the reply of entry \(n)") }
            var row = try ReplyRow(bytes)
            row.session = .none
            row.number = .none
            try rows.putReply(n, row.encoded())
        }
    }
}

extension NamespaceOutcome {
    init(_ result: NamespaceResult) {
        var w = WireWriter(capacity: 512)
        result.encode(into: &w)
        self.init(result: result, encoded: w.bytes, origin: .executed)
    }
}

extension NamespaceResult {
    init(decoding bytes: [UInt8]) throws {
        self = try decodeRow(bytes) { r throws(WireError) in try NamespaceResult(from: &r) }
    }
}
