import ClusterModel
import Wire

/// Reads at the primary: they show what is decided, and what they might miss waits (replication.md, 4 and 7).
extension PlacementGroup {
    /// A session's first answer ends what its predecessor still has under way (replication.md, 1). Members may hold some of that
    /// which this log does not have, until all hold this log; a session that has written here is not the first to be answered.
    func readWhenFenced(_ token: RequestToken, _ request: PGRequest, _ checksums: [UInt32]) {
        guard reign.serving || windows.hasWindow(request.session) || mutated(.readsBeforeFence) else {
            mark(.readWaitsForFence)
            wait(token, request, checksums)
            return
        }
        startRead(token, request)
    }

    private func startRead(_ token: RequestToken, _ request: PGRequest) {
        if !reign.serving || decided.n < reign.fencedThrough, !mutated(.answerReadsOfTheTail),
            let n = lastOfTail(touching: request)
        {
            guard reign.reads.count < limits.waitingRequests else {
                refuse(token, request, .unavailable)
                return
            }
            mark(reign.serving ? .readWaitsForFenced : .readWaitsForTail)
            reign.reads.append(WaitingRead(n: n, token: token, request: request, since: now.now))
            return
        }
        perform(token, request)
    }

    private func perform(_ token: RequestToken, _ request: PGRequest) {
        switch request.body {
        case .read(let range, let truncation):
            emit(.read(ReadTicket(token: token, reign: reign.number, kind: .data, stamp: .zero), range, truncation))
        case .readVersion: answer(token, .version(decided, decidedThrough: decided))
        case .query: ask(token, request, asOf: clock.next(at: now.time), mayAskAgain: true)
        case .write, .zero, .deleteRange, .mutate, .flush: break
        }
    }

    /// A question shows times as of when it came. What fixes times, and was named before the answer, may not be in the rows that
    /// it was read from: whoever was told moving times of that moment would see them go back, or a change without a new time. So
    /// a question that finds a file which is being written, and not all such entries, is asked once more behind them.
    private func ask(_ token: RequestToken, _ request: PGRequest, asOf time: Timestamp, mayAskAgain: Bool) {
        guard let payload = request.payload else {
            refuse(token, request, .invalid)
            return
        }
        emit(.query(ReadTicket(token: token, reign: reign.number, kind: .query, stamp: .zero), payload, asOf: time))
        if mayAskAgain, pg.isMetadata {
            reign.asked.append(AskedQuestion(seen: decided.n, token: token, request: request, asOf: time))
        } else {
            drop(payload)
        }
    }

    /// Whether the question is asked once more, now or when what it waits for is decided.
    private func askedAgain(_ token: RequestToken, showsWriting: Bool) -> Bool {
        guard let i = reign.asked.firstIndex(where: { $0.token == token }) else { return false }
        let asked = reign.asked.remove(at: i)
        guard showsWriting, reign.timesFixedThrough > asked.seen, !mutated(.timesOfTheTailUnseen) else {
            drop(asked.request.payload)
            return false
        }
        mark(.questionWaitsForTimes)
        let again = WaitingRead(
            n: reign.timesFixedThrough, token: token, request: asked.request, since: now.now, asOf: asked.asOf)
        if again.n <= decided.n { perform(again) } else { reign.reads.append(again) }
        return true
    }

    private func perform(_ read: WaitingRead) {
        if let time = read.asOf {
            ask(read.token, read.request, asOf: time, mayAskAgain: false)
        } else {
            perform(read.token, read.request)
        }
    }

    /// While the primary activates, the tail may have been answered by the one before: what it touches waits.
    private func lastOfTail(touching request: PGRequest) -> UInt64? {
        var last: UInt64?
        for k in 0..<tail.count {
            let e = tail[k].entry
            switch request.body {
            case .read(let range, _), .readVersion(let range, _):
                if e.body.touches(range.object, range.blocks) { last = e.name.n }
            case .query: if case .namespace = e.body { last = e.name.n }
            case .write, .zero, .deleteRange, .mutate, .flush: break
            }
        }
        return last
    }

    func releaseReads() {
        let ready = reign.reads.filter { $0.n <= decided.n }
        guard !ready.isEmpty else { return }
        reign.reads.removeAll { $0.n <= decided.n }
        for r in ready { perform(r) }
    }

    /// A read, a query or a kept result has been read. The lease is checked after this, as the answer leaves.
    /// `showsWriting`: the answer to a query shows a file that somebody is registered for as a writer.
    public func readCompleted(
        _ ticket: ReadTicket, _ payload: PayloadHandle?, presence: Presence, showsWriting: Bool = false, at now: Moment
    ) {
        self.now = now
        guard role == .primary, ticket.reign == reign.number, lease == reign.lease else {
            drop(payload)
            refuse(ticket.token, .notPrimary(record))
            return
        }
        if ticket.kind == .query, askedAgain(ticket.token, showsWriting: showsWriting) { return drop(payload) }
        switch ticket.kind {
        case .data: answer(ticket.token, .data(present: presence), payload: payload)
        case .query: answer(ticket.token, .answered, payload: payload)
        case .result: answer(ticket.token, .mutated(stamp: ticket.stamp), payload: payload)
        }
    }

    /// `isOverload`: the disk has too much to do, and may be asked again.
    public func readFailed(_ ticket: ReadTicket, isOverload: Bool = false, at now: Moment) {
        self.now = now
        if ticket.kind == .query, ticket.reign == reign.number { _ = askedAgain(ticket.token, showsWriting: false) }
        refuse(ticket.token, ticket.kind == .data && !isOverload ? .unreadable : .unavailable)
    }
}
