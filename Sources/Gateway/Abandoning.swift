import ClusterModel

/// Whether somebody waits for an operation's answer.
enum Interest {
    case wanted
    /// Its client has gone, and may come back: nothing is sent. → wanted, givenUp
    case abandoned(since: Instant)
    /// It ends when nothing of it is under way. → wanted: what has ended of it stays so
    case givenUp

    var isWanted: Bool { if case .wanted = self { true } else { false } }
}

/// Operations whose clients have gone: they may have asked another gateway since, and have changed there what these were to
/// change (replication.md, 19; traps 9).
///
/// Invariants:
/// - no request that is a step of an operation is sent while nobody waits for it, not even one that was sent before without an
///   outcome; questions, limits, registrations and sizes of files are no such steps;
/// - who comes back in time finds it as he left it: under its numbers, so that nothing is executed twice;
/// - its numbers end with it, after `GatewayLimits.returnPatience`, and the lowest sooner where a window is full and somebody waits
///   for a number: a copy that is late is below the group's window as soon as the group has heard of a later request;
/// - what the groups have decided goes on to its end: the cut of a truncation, the removal of data, the settlement of a writer.
extension GatewayMachine {
    /// The doors have nobody to answer these to. Each still ends in one `finish` effect.
    public func abandoned(_ ids: Set<OperationID>, at time: GatewayTime) {
        self.time = time
        refuseUnstarted(where: { ids.contains($0.id) })
        let before = absent
        for place in 0..<operations.places {
            guard let operation = operations.at(place), ids.contains(operation.id), operation.interest.isWanted
            else { continue }
            operation.interest = .abandoned(since: time.now)
            absent += 1
        }
        if absent == before { return }
        timers.set(.giveUpAbandoned, at: time.now + GatewayLimits.returnPatience)
        for index in lanes.indices { numberWaiting(in: lanes[index]) }
    }

    /// Somebody waits for this one again, which came once more before it had ended.
    public func wanted(_ id: OperationID, at time: GatewayTime) {
        self.time = time
        for place in 0..<operations.places {
            guard let operation = operations.at(place), operation.id == id, !operation.interest.isWanted
            else { continue }
            operation.interest = .wanted
            absent -= 1
            for index in lanes.indices {
                for call in lanes[index].active where call.operation === operation && calls[call.slot] != nil {
                    switch call.state {
                    case .held, .pausing, .underWay: dispatch(call)
                    case .waitingForNumber, .validating, .local: break
                    }
                }
                numberWaiting(in: lanes[index])
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
        for index in lanes.indices { for call in lanes[index].active { giveUp(call) } }
        for operation in given where !operation.isFinished { operation.giveUp(self) }
        for index in lanes.indices { lanes[index].dropWaiting { calls[$0.slot] == nil } }
        for operation in given { operation.fileState?.dropEnded() }
    }

    /// The window of a lane is full, and somebody waits for a number: ends what holds the window's lower end, if nobody waits for
    /// that. False when this frees no number.
    func makeRoom(in lane: PGLane) -> Bool {
        let lowest = lane.ended
        guard absent > 0, let call = lane.active.first(where: { $0.number.rawValue == lowest }),
            !call.interest.isWanted, call.copies.isEmpty
        else { return false }
        call.operation?.interest = .givenUp
        giveUp(call)
        return lane.ended > lowest
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
