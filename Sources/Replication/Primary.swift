import ClusterModel
import Wire

/// Serving requests: admission, naming, deciding, answering (replication.md, 1 to 5).
extension PlacementGroup {
    // MARK: Requests

    /// A client's request has come. `checksums` has one per whole block for a write that is aligned to blocks, and is empty
    /// otherwise. Every token is answered exactly once.
    public func requestArrived(_ token: RequestToken, _ request: PGRequest, checksums: [UInt32] = [], at now: Moment) {
        self.now = now
        guard role == .primary, lease == reign.lease, let record else {
            if holds(token, request, checksums) { return }
            refuse(token, request, .notPrimary(role == .primary ? nil : record))
            return
        }
        if request.epoch > record.epoch {
            emit(.readRecord)
            refuse(token, request, .notPrimary(nil))
            return
        }
        if request.epoch < record.epoch {
            refuse(token, request, .newerEpoch(record))
            return
        }
        guard let map else {
            refuse(token, request, .unavailable)
            return
        }
        if request.mapVersion > map.version {
            mark(.newerMapAwaited)
            askMap(request.mapVersion)
            wait(token, request, checksums)
            return
        }
        admit(token, request, checksums, map)
    }

    func admit(_ token: RequestToken, _ request: PGRequest, _ checksums: [UInt32], _ map: MapFacts) {
        guard map.isLive(request.session) else {
            refuse(token, request, .sessionEnded(map.version))
            return
        }
        if isGone(request, map) {
            refuse(token, request, .removed)
            return
        }
        switch request.body {
        case .write, .zero, .deleteRange, .mutate:
            // What must not wait goes past what does: it is small, and there is one at a time for each file and gateway.
            let isFree =
                request.mayWait ? reign.waiting.isEmpty && canName(request) : reign.serving && !isDraining
            guard isFree else {
                wait(token, request, checksums)
                return
            }
            take(token, request, checksums)
        case .read(let range, let truncation), .readVersion(let range, let truncation):
            if mustAsk(range.object.file) {
                askBeforeRead(
                    WaitingRequest(token: token, request: request, checksums: checksums, since: now.now),
                    range.object.file)
                return
            }
            if let refusal = turnedBack(range.object.file, truncation) {
                refuse(token, request, refusal)
                return
            }
            readWhenFenced(token, request, checksums)
        case .query: readWhenFenced(token, request, checksums)
        case .flush:
            guard reign.serving, !isDraining else {
                wait(token, request, checksums)
                return
            }
            flush(token, request)
        }
    }

    func wait(_ token: RequestToken, _ request: PGRequest, _ checksums: [UInt32]) {
        guard request.mayWait, reign.waiting.count < limits.waitingRequests else {
            refuse(token, request, .unavailable)
            return
        }
        reign.waiting.append(WaitingRequest(token: token, request: request, checksums: checksums, since: now.now))
    }

    /// Who sent a request sends it again when no answer comes: each copy would wait here beside the others, with its payload,
    /// for as long as a member is away.
    func refuseWhatWaitsLong() {
        if mutated(.copiesPileUp) { return }
        let patience = limits.waitingPatience
        func isOld(_ since: Instant) -> Bool { now.now >= since + patience }
        for w in reign.waiting where isOld(w.since) { refuse(w.token, w.request, .unavailable) }
        reign.waiting.removeAll { isOld($0.since) }
        for w in reign.reads where isOld(w.since) { refuse(w.token, w.request, .unavailable) }
        reign.reads.removeAll { isOld($0.since) }
        for j in reign.joined where isOld(j.since) { refuse(j.token, .unavailable) }
        reign.joined.removeAll { isOld($0.since) }
        for f in reign.flushes where isOld(f.since) { refuse(f.token, .unavailable) }
        reign.flushes.removeAll { isOld($0.since) }
    }

    private func canName(_ request: PGRequest) -> Bool {
        reign.serving && !isDraining && tail.count + reign.parked.count < limits.entriesInFlight
            && reign.bytesInFlight < limits.bytesInFlight
    }

    /// Goes on with requests that waited, in their order, as far as it can.
    func admitWaiting() {
        guard !reign.waiting.isEmpty, role == .primary, let map else { return }
        var left: [WaitingRequest] = []
        var i = 0
        let all = reign.waiting
        reign.waiting = []
        while i < all.count {
            let w = all[i]
            i += 1
            if w.request.mapVersion > map.version {
                left.append(w)
                continue
            }
            switch w.request.body {
            case .write, .zero, .deleteRange, .mutate:
                if !canName(w.request) {
                    left.append(w)
                    continue
                }
            case .flush:
                if !reign.serving || isDraining {
                    left.append(w)
                    continue
                }
            case .read, .readVersion, .query: break
            }
            admit(w.token, w.request, w.checksums, map)
            guard role == .primary else { return }
        }
        reign.waiting = left + reign.waiting
    }

    /// A truncation that the request does not know of, or a removal.
    func turnedBack(_ file: FileID, _ truncation: TruncationMark) -> PGRefusal? {
        guard !marks.isEmpty, let mark = marks.newest(file) else { return nil }
        if mark.removed == .removal { return .removed }
        return mark.truncation.number > truncation.number ? .truncated(mark.truncation) : nil
    }

    /// Takes a change: a duplicate gets the first answer; edges are completed; the rest is named.
    private func take(_ token: RequestToken, _ request: PGRequest, _ checksums: [UInt32]) {
        guard request.number != .none, isWellFormed(request, checksums) else {
            refuse(token, request, .invalid)
            return
        }
        if duplicateAnswered(token, request) { return }
        if let range = blocksTouched(request), mustPark(request, range.file, range.object, range.blocks) {
            mark(.writeHeldBackForPiece, if: holdsBack(range.file, range.object, range.blocks))
            park(token, request, checksums)
            return
        }
        guard knowsCut(of: request) else { return refuse(token, request, .unavailable) }
        nameRequest(token, request, request.payload, checksums, edge: nil)
    }

    private func isWellFormed(_ request: PGRequest, _ checksums: [UInt32]) -> Bool {
        switch request.body {
        case .write(let range, _, _):
            let aligned = range.offset % Geometry.blockSize == 0 && range.length % Geometry.blockSize == 0
            return !pg.isMetadata && range.length > 0 && range.length <= Geometry.maximumTransfer && range.offset >= 0
                && range.offset + range.length <= Geometry.objectSize && request.payload?.length == range.length
                && (!aligned || checksums.count == range.blocks.count)
        case .zero(_, let blocks, _, _):
            return !pg.isMetadata && blocks.first >= 0 && blocks.count > 0 && blocks.end <= Geometry.blocksPerObject
        case .deleteRange: return !pg.isMetadata
        case .mutate: return pg.isMetadata && request.payload != nil
        case .read, .readVersion, .query, .flush: return true
        }
    }

    /// Whether the request was a duplicate, which is dealt with: answered with the first answer, or joined to it.
    func duplicateAnswered(_ token: RequestToken, _ request: PGRequest) -> Bool {
        if mutated(.noRequestWindow) { return false }
        switch windows.find(request.session, request.number) {
        case .new:
            if request.number < request.ended {
                refuse(token, request, .belowWindow)
                return true
            }
            if request.ended != .none,
                request.number.rawValue - request.ended.rawValue >= UInt64(ReplicationLimits.window)
            {
                refuse(token, request, .beyondWindow)
                return true
            }
            if windows.sessionCount >= limits.sessions, !windows.hasWindow(request.session) {
                refuse(token, request, .unavailable)
                return true
            }
            return false
        case .below:
            refuse(token, request, .belowWindow)
            return true
        case .known(let slot):
            drop(request.payload)
            mark(.duplicateAfterFailover, if: slot.entry.epoch < reign.epoch)
            if slot.entry.n > decided.n {
                mark(.duplicateJoined)
                reign.joined.append((slot.entry.n, token, now.now))
            } else {
                answerKept(token, session: request.session, number: request.number, slot)
            }
            return true
        }
    }

    private func answerKept(
        _ token: RequestToken, session: SessionID, number: RequestNumber, _ slot: RequestWindows.Slot
    ) {
        if pg.isMetadata {
            let ticket = ReadTicket(token: token, reign: reign.number, kind: .result, stamp: slot.stamp)
            emit(.fetchResult(ticket, session, number, slot.entry))
        } else {
            answer(token, .written(stamp: slot.stamp))
        }
    }

    // MARK: Naming

    /// Names a change and sends it on its way. Session, map version and marks are checked here, not at admission: the
    /// request may have waited. A named entry is never refused.
    func nameRequest(
        _ token: RequestToken, _ request: PGRequest, _ payload: PayloadHandle?, _ checksums: [UInt32], edge: BlockWrite?
    ) {
        guard let map else {
            refuse(token, request, .unavailable)
            return
        }
        // A primary's own cut has no session; requests that come from outside without one are turned back at admission.
        if !mutated(.sessionCheckedAtAdmission), request.session != .none, !map.isLive(request.session) {
            mark(.sessionEndedWhileWaiting)
            drop(payload == request.payload ? nil : payload)
            refuse(token, request, .sessionEnded(map.version))
            return
        }
        if isGone(request, map) {
            drop(payload == request.payload ? nil : payload)
            refuse(token, request, .removed)
            return
        }
        let body: EntryBody
        let durability: Durability
        var call: CallIdentity?
        var cost = payload?.length ?? 0
        switch request.body {
        case .write(let range, let truncation, let d):
            if let refusal = turnedBack(range.object.file, truncation) {
                drop(payload == request.payload ? nil : payload)
                refuse(token, request, refusal)
                return
            }
            body = .write(
                BlockWrite(object: range.object, blocks: range.blocks, checksums: checksums, truncation: truncation))
            durability = d
        case .zero(let object, let blocks, let truncation, let d):
            if let refusal = turnedBack(object.file, truncation) {
                refuse(token, request, refusal)
                return
            }
            body = .zero(BlockZero(object: object, blocks: blocks, truncation: truncation))
            durability = d
            cost = 0
        case .deleteRange(var deletion):
            deletion.edge = edge
            body = .deleteRange(deletion)
            durability = .stable
            cost = 0
        case .mutate(let d, let c):
            body = .namespace
            durability = d
            call = c
            if !request.takesSpace { cost = 0 }
        case .read, .readVersion, .query, .flush: return
        }
        if cost > 0, !hasRoom(cost) {
            drop(payload == request.payload ? nil : payload)
            refuse(token, request, .noSpace)
            return
        }
        // A request whose edges were completed has new bytes.
        if payload != request.payload { drop(request.payload) }
        name(
            body, payload, durability, token: token, session: request.session, number: request.number, call: call,
            fixesTimes: request.fixesTimes)
        advanceDecided()
    }

    /// Space is checked before the entry is named, for every member's disk.
    private func hasRoom(_ bytes: Int) -> Bool {
        let wanted = UInt64(bytes + reign.bytesInFlight)
        if room < wanted { return false }
        for m in reign.members where m.isNeeded && m.room < wanted {
            mark(.memberWithoutRoom)
            return false
        }
        return true
    }

    func name(
        _ body: EntryBody, _ payload: PayloadHandle?, _ durability: Durability, token: RequestToken = .none,
        session: SessionID = .none, number: RequestNumber = .none, call: CallIdentity? = nil, fixesTimes: Bool = false
    ) {
        let previous = history.end
        let name = EntryName(epoch: reign.epoch, n: previous.n + 1)
        let entry = Entry(
            name: name, body: body, session: session, request: number, call: call, durability: durability,
            lossNumber: presentStamp, time: clock.next(at: now.time), payload: payload)
        history.append(name)
        let displaced = windows.record(session, number, entry: name, stamp: entry.lossNumber)
        tail.append(entry, token: token, displaced: displaced)
        if fixesTimes { reign.timesFixedThrough = name.n }
        marks.sequence(entry)
        if scrub != nil { scrubOvertaken(by: body, name.n) }
        reign.bytesInFlight += payload?.length ?? 0
        emit(.append(entry, durability))
        for i in reign.members.indices where reign.members[i].phase == .streaming {
            sendEntry(entry, previous: previous, to: i)
        }
        if durability == .stable { beginProbes(through: name.n) }
        tellDecidedByEntry()
    }

    private func sendEntry(_ entry: Entry, previous: EntryName, to i: Int) {
        reign.members[i].sent = entry.name.n
        if reign.members[i].owes == nil { reign.members[i].owes = now.now }
        send(
            .append(Append(entry: entry, previous: previous, decided: decided, stamp: reign.stamp)),
            to: reign.members[i].node)
    }

    /// Sends every entry of the tail that this member does not have, on a new connection or a new log.
    func sendTail(to i: Int, after n: UInt64) {
        reign.members[i].sent = n
        reign.members[i].owes = nil
        for k in 0..<tail.count where tail[k].entry.name.n > n {
            let entry = tail[k].entry
            let previous = history.name(at: entry.name.n - 1) ?? .zero
            sendEntry(entry, previous: previous, to: i)
        }
    }

    // MARK: Deciding

    /// The stamp of what is decided now.
    var presentStamp: LossNumber { max(map?.lossNumber ?? .zero, record?.lossNumber ?? .zero) }

    func acknowledged(from node: NodeID, epoch: Epoch, _ a: Acknowledgement) {
        guard role == .primary, epoch == reign.epoch,
            let i = reign.members.firstIndex(where: { $0.node == node }), reign.members[i].attempt == a.attempt,
            history.contains(a.appended), reign.members[i].phase == .streaming
        else { return }
        if a.appended.n > reign.members[i].appended {
            reign.members[i].appended = a.appended.n
            reign.members[i].owes = a.appended.n >= reign.members[i].sent ? nil : now.now
        }
        if a.stable.n > reign.members[i].stable {
            reign.members[i].stable = min(a.stable.n, history.end.n)
            probeMoved(i)
        }
        reign.members[i].room = a.room
        advanceDecided()
        if !reign.flushes.isEmpty { answerFlushes() }
    }

    /// The last n that is appended, and stable, on every needed member.
    var agreed: (appended: UInt64, stable: UInt64) {
        var a = appended.n
        var s = stable.n
        for m in reign.members where m.isNeeded {
            if !m.isComplete { return (0, 0) }
            a = min(a, m.appended)
            s = min(s, m.stable)
        }
        if mutated(.answerBeforeLastBackup) {
            let backups = reign.members.filter { $0.isNeeded && $0.isComplete }.map(\.appended).sorted()
            if backups.count >= 2 { a = min(appended.n, backups[1]) } else { a = appended.n }
        }
        if mutated(.stableAfterAppendOnly) { s = a }
        return (a, s)
    }

    func advanceDecided() {
        guard role == .primary, reign.promised, !tail.isEmpty else { return }
        let (limit, stableLimit) = agreed
        guard limit > decided.n else { return }
        // Entries of earlier epochs are decided only together with one of this epoch.
        if limit < reign.first { return }
        var count = 0
        while count < tail.count {
            let e = tail[count].entry
            if e.name.n > limit || e.durability == .stable && e.name.n > stableLimit { break }
            count += 1
        }
        if count == 0 || tail[count - 1].entry.name.n < reign.first { return }
        decide(count)
    }

    private func decide(_ count: Int) {
        let stamp = presentStamp
        if stamp != reign.stamp {
            // What was decided before has another stamp: tell it first.
            if reign.told.n < decided.n { tellDecided() }
            reign.stamp = stamp
        }
        decided = tail[count - 1].entry.name
        announced = decided
        emit(.decided(through: decided))
        for _ in 0..<count {
            let item = tail.removeFirst()
            let entry = item.entry
            settle(entry, stamp: stamp)
            reign.bytesInFlight -= entry.payload?.length ?? 0
            if !reign.catchUps.isEmpty { noteDecision(of: entry.body) }
            if item.token != .none {
                if pg.isMetadata {
                    reign.applying.append((entry.name.n, item.token, stamp))
                } else {
                    answer(item.token, .written(stamp: stamp))
                }
            }
            drop(entry.payload)
            if !reign.joined.isEmpty { answerJoined(entry, stamp: stamp) }
        }
        if reign.decidedDue == nil { reign.decidedDue = now.now + limits.decidedDelay }
        if !reign.serving { considerServing() }
        if !reign.pieceReads.isEmpty { startPieceReads() }
        abandonOvertaken()
        if !reign.parked.isEmpty { retryParked() }
        if !reign.reads.isEmpty { releaseReads() }
        if !reign.waiting.isEmpty { admitWaiting() }
    }

    private func answerJoined(_ entry: Entry, stamp: LossNumber) {
        let tokens = reign.joined.filter { $0.n == entry.name.n }.map(\.token)
        guard !tokens.isEmpty else { return }
        reign.joined.removeAll { $0.n == entry.name.n }
        for token in tokens {
            answerKept(
                token, session: entry.session, number: entry.request,
                RequestWindows.Slot(number: entry.request, entry: entry.name, stamp: stamp))
        }
    }

    /// Entries carry what is decided; after 5 ms without one it goes by itself.
    private func tellDecidedByEntry() {
        reign.told = decided
        reign.decidedDue = nil
    }

    func tellDecided() {
        for m in reign.members where m.phase == .streaming {
            send(.decided(through: decided, stamp: reign.stamp), to: m.node)
        }
        reign.told = decided
        reign.decidedDue = nil
    }

    // MARK: Answers

    func answer(_ token: RequestToken, _ body: PGResponseBody, payload: PayloadHandle? = nil) {
        emit(
            .answer(
                token, PGResponse(pg: pg, epoch: record?.epoch ?? .zero, body: body, payload: payload),
                under: mutated(.leaseNotChecked) ? .none : reign.lease))
    }

    func refuse(_ token: RequestToken, _ request: PGRequest, _ refusal: PGRefusal) {
        drop(request.payload)
        refuse(token, refusal)
    }

    func refuse(_ token: RequestToken, _ refusal: PGRefusal) {
        emit(
            .answer(
                token, PGResponse(pg: pg, epoch: record?.epoch ?? .zero, body: .refused(refusal)), under: .none))
    }

    /// The namespace rows have taken all entries through this one. Results of entries that no client waits for need not be
    /// given; those that are given belong to the group.
    public func namespaceApplied(through name: EntryName, results: [AppliedResult], at now: Moment) {
        self.now = now
        for result in results {
            guard role == .primary, let first = reign.applying.first, first.n <= result.entry.n,
                let i = reign.applying.firstIndex(where: { $0.n == result.entry.n })
            else {
                drop(result.payload)
                continue
            }
            let waiting = reign.applying.remove(at: i)
            answer(waiting.token, .mutated(stamp: waiting.stamp), payload: result.payload)
        }
        // Whatever else was applied has no result here: the client asks again and gets the kept one.
        while role == .primary, let first = reign.applying.first, first.n <= name.n {
            reign.applying.removeFirst()
            refuse(first.token, .unavailable)
        }
        continueHandover()
    }

    // MARK: Flush

    private func flush(_ token: RequestToken, _ request: PGRequest) {
        drop(request.payload)
        let n = decided.n
        if agreed.stable >= n {
            answer(token, .flushed(stamp: presentStamp))
            return
        }
        // Later flushes of the same entries wait for the same sync; of later ones, for one that is asked for now.
        if !reign.flushes.contains(where: { $0.n >= n }) { askSync(through: decided) }
        mark(.flushWaits, if: stable.n >= n)
        reign.flushes.append((n, token, now.now))
    }

    private func askSync(through name: EntryName) {
        if stable.n < name.n { emit(.sync(through: name)) }
        for m in reign.members where m.phase == .streaming && m.stable < name.n {
            send(.sync(through: name), to: m.node)
        }
        beginProbes(through: name.n)
    }

    func answerFlushes() {
        guard !reign.flushes.isEmpty else { return }
        let s = agreed.stable
        guard reign.flushes.contains(where: { $0.n <= s }) else { return }
        let ready = reign.flushes.filter { $0.n <= s }
        reign.flushes.removeAll { $0.n <= s }
        for f in ready { answer(f.token, .flushed(stamp: presentStamp)) }
    }

    /// After a change of members or a new connection, a sync that is waited for is asked for again.
    func askSyncAgain() {
        if let last = reign.flushes.map(\.n).max(), let name = history.name(at: last) { askSync(through: name) }
    }
}
