import ClusterModel

/// Operations that nobody waits for any more: their client has gone, may have asked another gateway since, and may have
/// changed there what they were to change (replication.md, 19; traps 9).
///
/// Invariants:
/// - nothing more of an abandoned operation is sent to a group, not even what was sent before without an outcome;
/// - it ends when nothing of it is under way, and its numbers with it: a copy that is late is below the group's window as soon
///   as the group has heard of a later request;
/// - what the groups have decided goes on to its end: the cut of a truncation, the removal of data, the settlement of a writer.
extension GatewayMachine {
    /// The doors have nobody to answer these to. Each still ends in one `finish` effect.
    public func abandoned(_ ids: Set<OperationID>, at time: GatewayTime) {
        self.time = time
        refuseUnstarted(where: { ids.contains($0.id) })
        var given: [Operation] = []
        for place in 0..<operations.places {
            guard let operation = operations.at(place), ids.contains(operation.id) else { continue }
            operation.isAbandoned = true
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

    /// Somebody waits for this one again, which came once more before it had ended: what is still under way of it counts.
    public func wanted(_ id: OperationID, at time: GatewayTime) {
        self.time = time
        for place in 0..<operations.places {
            guard let operation = operations.at(place), operation.id == id, operation.isAbandoned else { continue }
            operation.isAbandoned = false
            // What has a copy under way to a former primary may have missed the next one.
            for index in lanes.indices {
                for call in lanes[index].active where call.operation === operation {
                    if case .held = call.state { dispatch(call) }
                }
            }
        }
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

    var isAbandoned: Bool { operation?.isAbandoned ?? false }
}
