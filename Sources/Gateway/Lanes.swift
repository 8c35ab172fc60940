import ClusterModel
import Wire

/// Requests to placement groups: numbers, targets, copies, retries (replication.md, 1 and 18; traps 9, 17).
extension GatewayMachine {
    /// Sends a request, now or when it can be; its end comes to `ended(_:_:)` once.
    @discardableResult
    func issue(
        _ purpose: CallPurpose, to pg: PGID, _ body: PGRequestBody, _ payload: RequestPayload = .none,
        mark: (file: FileState, mark: TruncationMark)? = nil
    ) -> PGCall {
        let call = PGCall(purpose: purpose, pg: pg, body: body, payload: payload, began: time.now, mark: mark)
        call.slot = calls.insert(call)
        let lane = lane(of: pg)
        lane.add(call)
        heldCount += 1
        heldBytes += payload.byteCount
        if call.isNumbered {
            // In a line only those that somebody waits for get on.
            if case .givenUp = call.interest {
                giveUp(call)
                return call
            }
            lane.wait(call)
            numberWaiting(in: lane)
        } else {
            setState(call, .held)
            dispatch(call)
        }
        return call
    }

    func lane(of pg: PGID) -> PGLane {
        if let index = laneIndex[pg] { return lanes[index] }
        let lane = PGLane(pg: pg)
        laneIndex[pg] = lanes.count
        lanes.append(lane)
        return lane
    }

    private func setState(_ call: PGCall, _ state: PGCall.State) {
        let wasHeld = call.isHeld
        call.state = state
        if wasHeld != call.isHeld {
            heldCount += wasHeld ? -1 : 1
            heldBytes += wasHeld ? -call.payload.byteCount : call.payload.byteCount
        }
    }

    /// What ends meanwhile, and so frees a number, leaves it to the loop that runs.
    func numberWaiting(in lane: PGLane) {
        if lane.isNumbering { return }
        lane.isNumbering = true
        defer { lane.isNumbering = false }
        while let call = nextWaiting(in: lane) {
            guard let number = lane.takeNumber() else {
                if makeRoom(in: lane) { continue }
                return
            }
            lane.dropWaiting(call)
            call.number = number
            setState(call, .held)
            dispatch(call)
        }
    }

    /// Who gets the next number: the first that has not ended and that somebody waits for.
    private func nextWaiting(in lane: PGLane) -> PGCall? {
        while let first = lane.firstWaiting, calls[first.slot] == nil { lane.dropWaiting(first) }
        guard absent > 0 else { return lane.firstWaiting }
        return lane.waitingCalls.first { calls[$0.slot] != nil && $0.interest.isWanted }
    }

    /// Sends a copy to the group's primary, if there is one and no copy is under way to it.
    func dispatch(_ call: PGCall) {
        guard let session, let map else { return }
        switch call.interest {
        case .wanted: break
        case .abandoned: return
        case .givenUp: return giveUp(call)
        }
        guard let record = records[call.pg], let primary = record.primary else { return setState(call, .held) }
        if call.attempt == 0, let (file, mark) = call.mark {
            guard let current = validHint(of: file) else {
                if case .validating = call.state { return }
                setState(call, .validating)
                return ask(file, .call(call), .joining)
            }
            if current.truncation != mark { return end(call, .refused(.truncated(current.truncation))) }
        }
        setState(call, .underWay)
        if call.copies.contains(where: { $0.node == primary }) { return }
        call.attempt += 1
        call.copies.append((call.attempt, primary, time.now))
        if call.sentAt == nil {
            call.sentAt = time.now
            call.lossSeen = lossSeen
        } else {
            counters.resent += 1
        }
        counters.sent += 1
        let request = PGRequest(
            pg: call.pg, session: session, number: call.number, ended: RequestNumber(lane(of: call.pg).ended),
            epoch: record.epoch, mapVersion: map.version, body: call.body)
        effects.append(
            .send(RequestToken(slot: call.slot, attempt: call.attempt), request, payload: call.payload, to: primary))
    }

    /// A record of `pg` is newer: what waits for it goes out, and what is under way to another node is sent once more.
    func reconsider(_ pg: PGID) {
        guard let index = laneIndex[pg] else { return }
        let active = lanes[index].active
        for call in active where calls[call.slot] != nil {
            switch call.state {
            case .held, .pausing, .underWay: dispatch(call)
            case .waitingForNumber, .validating, .local: break
            }
        }
    }

    func pauseEnded(_ slot: SlotID, attempt: UInt32) {
        guard let call = calls[slot], call.attempt == attempt, case .pausing = call.state else { return }
        dispatch(call)
    }

    /// The hint that an unsent request waited for is here, or there will be none.
    func validated(_ call: PGCall, _ failure: FileFailure?) {
        guard calls[call.slot] != nil, case .validating = call.state else { return }
        guard failure == nil else { return end(call, .refused(.removed)) }
        setState(call, .held)
        dispatch(call)
    }

    // MARK: What became of copies

    func callAnswered(_ token: RequestToken, _ response: PGResponse, _ content: ReplyContent) {
        guard let call = calls[token.slot] else { return drop(content) }
        if let copy = call.copies.first(where: { $0.attempt == token.attempt }) { call.sentAt = copy.at }
        call.copies.removeAll { $0.attempt == token.attempt }
        guard case .refused(let refusal) = response.body else {
            // Whoever answers has decided it under a lease that was valid then: any copy's answer holds.
            return received(call, response.body, content)
        }
        counters.refused += 1
        let isNewest = token.attempt == call.attempt
        switch refusal {
        case .sessionEnded(let version): sessionRefused(version)
        case .notPrimary(let record):
            if let record { adopt(record) } else { effects.append(.refresh(atLeast: map?.version ?? .zero)) }
            retry(call)
        case .newerEpoch(let record):
            adopt(record)
            retry(call)
        case .unavailable, .beyondWindow: retry(call)
        case .truncated, .removed, .belowWindow, .noSpace, .invalid, .unreadable:
            // A former primary's opinion decides nothing while a copy is under way to its successor.
            if isNewest { return end(call, .refused(refusal)) }
            giveUp(call)
            // Without a copy nothing else would bring it on.
            if call.copies.isEmpty { retry(call) }
        }
    }

    func callLost(_ token: RequestToken) {
        guard let call = calls[token.slot] else { return }
        call.copies.removeAll { $0.attempt == token.attempt }
        retry(call)
    }

    /// Sends the request again, under the same number, after a pause.
    private func retry(_ call: PGCall) {
        guard calls[call.slot] != nil else { return }
        if case .givenUp = call.interest { return giveUp(call) }
        guard case .underWay = call.state else { return }
        if let fileset = call.pg.fileset, liveFileset(fileset) == nil { return endOfGone(call) }
        // The newest copy may already be with the newest primary.
        if let primary = records[call.pg]?.primary, call.copies.contains(where: { $0.node == primary }) { return }
        call.tries += 1
        setState(call, .pausing)
        if case .abandoned = call.interest { return numberWaiting(in: lane(of: call.pg)) }
        timers.set(.resend(call.slot, attempt: call.attempt), at: time.now + pause(after: call.tries))
    }

    private func received(_ call: PGCall, _ body: PGResponseBody, _ content: ReplyContent) {
        if case .local = call.state { return drop(content) }
        if case .version(let version, decidedThrough: _) = body, case .readVersion(let range, let mark) = call.body,
            let epoch = records[call.pg]?.epoch
        {
            setState(call, .local)
            call.attempt += 1
            counters.localReads += 1
            effects.append(
                .readLocal(
                    RequestToken(slot: call.slot, attempt: call.attempt), range, mark, pg: call.pg, epoch,
                    through: version))
            return
        }
        end(call, .answered(body, content))
    }

    func localReadEnded(_ token: RequestToken, _ data: (PayloadHandle, Presence)?) {
        guard let call = calls[token.slot], case .local = call.state, call.attempt == token.attempt else {
            if let data { effects.append(.drop(data.0)) }
            return
        }
        if let (handle, presence) = data { return end(call, .answered(.data(present: presence), .data(handle))) }
        guard case .readVersion(let range, let mark) = call.body else { return }
        call.body = .read(range, mark)
        setState(call, .held)
        dispatch(call)
    }

    func drop(_ content: ReplyContent) {
        if case .data(let handle) = content { effects.append(.drop(handle)) }
    }

    // MARK: Ends

    func endOfGone(_ call: PGCall) { end(call, .refused(.removed)) }

    /// Ends a request of an operation that was given up, unless a copy of it, or a read here, is under way.
    func giveUp(_ call: PGCall) {
        guard calls[call.slot] != nil, case .givenUp = call.interest, call.copies.isEmpty else { return }
        if case .local = call.state { return }
        end(call, .refused(.unavailable))
    }

    private func end(_ call: PGCall, _ outcome: CallOutcome) {
        guard calls.remove(call.slot) != nil else { return }
        if call.isHeld {
            heldCount -= 1
            heldBytes -= call.payload.byteCount
        }
        let lane = lane(of: call.pg)
        lane.remove(call)
        if call.number != .none {
            lane.end(call.number)
            numberWaiting(in: lane)
        }
        if case .answered(let body, _) = outcome {
            switch body {
            case .written(let stamp), .mutated(let stamp), .flushed(let stamp): sawStamp(stamp)
            case .data, .version, .answered, .refused: break
            }
        }
        ended(call, outcome)
    }

    private func ended(_ call: PGCall, _ outcome: CallOutcome) {
        switch call.purpose {
        case .query(let operation): operation.answered(answer(outcome), call, self)
        case .mutate(let operation): operation.answered(mutation(outcome), self)
        case .shown(let operation): operation.shown(answer(outcome), self)
        case .readPart(let operation, let part): operation.partEnded(part, outcome, self)
        case .writePart(let operation, let part):
            operation.partEnded(part, outcome, wasSent: call.sentAt != nil, self)
        case .hint(let file): hintAnswered(file, answer(outcome), call)
        case .raiseLimit(let file): limitRaised(file, mutation(outcome), call)
        case .register(let file): writerRegistered(file, mutation(outcome), call)
        case .extend(let file): extended(file, mutation(outcome), call)
        case .settle(let file): settled(file, mutation(outcome), call)
        case .touch(let file): touched(file, mutation(outcome), call)
        case .deleteRange(let work): rangeDeleted(work, outcome)
        case .finishDeletion, .recordFileUsage: break
        case .pendingDeletions(let fileset): pendingDeletionsCame(fileset, answer(outcome))
        case .measure(let work): allocationCame(work, answer(outcome))
        case .measurable(let fileset, let scope): measurableCame(fileset, scope, answer(outcome))
        }
    }

    private func answer(_ outcome: CallOutcome) -> Result<NamespaceAnswer, FileFailure> {
        switch outcome {
        case .answered(.answered, .answer(let answer)):
            if case .failed(let failure) = answer { return .failure(.namespace(failure)) }
            return .success(answer)
        case .answered:
            counters.malformed += 1
            return .failure(.ioError)
        case .refused(let refusal): return .failure(failure(refusal))
        }
    }

    private func mutation(_ outcome: CallOutcome) -> Result<(NamespaceResult, LossNumber), FileFailure> {
        switch outcome {
        case .answered(.mutated(let stamp), .result(let result)): return .success((result, stamp))
        case .answered:
            counters.malformed += 1
            return .failure(.ioError)
        case .refused(let refusal): return .failure(failure(refusal))
        }
    }

    /// What a refusal that ends a request means to its caller.
    func failure(_ refusal: PGRefusal) -> FileFailure {
        switch refusal {
        case .removed: return .namespace(.stale)
        case .noSpace: return .namespace(.noSpace)
        case .unavailable, .sessionEnded: return .unavailable
        case .truncated, .belowWindow, .beyondWindow, .invalid, .unreadable, .notPrimary, .newerEpoch: return .ioError
        }
    }
}
