import ClusterModel

/// Whether somebody waits for an operation's answer.
enum Interest {
    case wanted
    /// Its client has gone, and may come back: nothing is sent. → wanted, givenUp
    case abandoned(since: Instant)
    /// It ends when nothing of it is under way. → wanted, as far as there is still something to be done
    case givenUp
}

/// Operations whose clients have gone: they may have asked another gateway since, and have changed there what these were to
/// change (replication.md, 19; traps 9).
///
/// Invariants:
/// - nothing of an operation is sent to a group while nobody waits for it, not even what was sent before without an outcome;
/// - who comes back in time finds it as he left it: under its numbers, so that nothing is executed twice;
/// - its numbers end with it, at the latest after `GatewayLimits.returnPatience`, and sooner if others need them: a copy that is
///   late is below the group's window as soon as the group has heard of a later request;
/// - what the groups have decided goes on to its end: the cut of a truncation, the removal of data, the settlement of a writer.
extension GatewayMachine {
    /// The doors have nobody to answer these to. Each still ends in one `finish` effect.
    public func abandoned(_ ids: Set<OperationID>, at time: GatewayTime) {
        self.time = time
        refuseUnstarted(where: { ids.contains($0.id) })
        var isAny = false
        for place in 0..<operations.places {
            guard let operation = operations.at(place), ids.contains(operation.id), case .wanted = operation.interest
            else { continue }
            operation.interest = .abandoned(since: time.now)
            isAny = true
        }
        if isAny { timers.set(.giveUpAbandoned, at: time.now + GatewayLimits.returnPatience) }
    }

    /// Somebody waits for this one again, which came once more before it had ended.
    public func wanted(_ id: OperationID, at time: GatewayTime) {
        self.time = time
        for place in 0..<operations.places {
            guard let operation = operations.at(place), operation.id == id else { continue }
            if case .wanted = operation.interest { continue }
            operation.interest = .wanted
            for index in lanes.indices {
                for call in lanes[index].active where call.operation === operation && calls[call.slot] != nil {
                    switch call.state {
                    case .held, .pausing, .underWay: dispatch(call)
                    case .waitingForNumber, .validating, .local: break
                    }
                }
            }
        }
    }

    /// Nobody has come back for some.
    func giveUpAbandoned() {
        var given: [Operation] = []
        for place in 0..<operations.places {
            guard let operation = operations.at(place) else { continue }
            switch operation.interest {
            case .wanted: continue
            case .abandoned(let since): if time.now < since + GatewayLimits.returnPatience { continue }
            case .givenUp: break
            }
            operation.interest = .givenUp
            given.append(operation)
        }
        if given.isEmpty { return }
        // What has no number first: else the end of one that has would only give the next its number.
        for index in lanes.indices {
            let active = lanes[index].active
            for call in active where call.number == .none { giveUp(call) }
            for call in active { giveUp(call) }
        }
        for operation in given where !operation.isFinished { operation.giveUp(self) }
    }

    /// Others need the numbers of a lane. False when nobody has abandoned any.
    func giveUpAbandoned(in lane: PGLane) -> Bool {
        var isAny = false
        for call in lane.active where call.number != .none && call.copies.isEmpty && calls[call.slot] != nil {
            guard let operation = call.operation, case .abandoned = operation.interest else { continue }
            operation.interest = .givenUp
            giveUp(call)
            isAny = true
        }
        return isAny
    }
}

extension PGCall {
    /// The operation that the request is a step of; nil for what a gateway does of its own.
    var operation: Operation? {
        switch purpose {
        case .query(let operation): operation
        case .mutate(let operation), .shown(let operation): operation
        case .readPart(let operation, part: _): operation
        case .writePart(let operation, part: _): operation
        case .hint, .raiseLimit, .register, .extend, .settle, .touch, .deleteRange, .finishDeletion, .pendingDeletions,
            .measure, .measurable, .recordFileUsage:
            nil
        }
    }

    var interest: Interest { operation?.interest ?? .wanted }
}
