import ClusterModel
import Wire

/// Opening a replica from what its disk has.
extension PlacementGroup {
    func recover(_ r: RecoveredReplica, boot: BootID) throws(WireError) {
        state = try ReplicaState(decoding: r.state)
        history = state.history
        mark(.restartedWhileLearning, if: state.learning)
        if let bytes = r.tables {
            let tables = try ReplicaTables(decoding: bytes)
            // The tables' history ends at their entry; the entries that follow tell the rest.
            history = tables.history
            decided = tables.asOf
            windows = tables.windows
            marks = tables.marks
        } else {
            history = EpochHistory()
        }
        let known = r.decided
        // Those of an earlier opening too: the store tells of each only until the state names it.
        let voids = r.voids + state.voids
        for var entry in r.entries {
            guard entry.name.n > history.end.n else { continue }
            // One that was mended is not told of any more; its entry still has no content that anybody could be sent.
            let isMended = entry.name.n > known.n && entry.payload == nil && entry.body.isWrite
            let isVoid = isMended || voids.contains { $0.entry == entry.name }
            let (session, request) = (entry.session, entry.request)
            if isVoid, !mutated(.voidIgnored) {
                // What the entry wrote is gone, and so is its request: a retry must be executed.
                entry.body = .empty
                if !mutated(.lostRequestsStay) {
                    entry.session = .none
                    entry.request = .none
                }
                entry.payload = nil
            }
            history.append(entry.name)
            let displaced = windows.record(session, request, entry: entry.name, stamp: entry.lossNumber)
            if entry.request != request { windows.forget(session, request) }
            if lastTime < entry.time { lastTime = entry.time }
            if entry.name.n <= known.n {
                settle(entry, stamp: nil)
                decided = entry.name
            } else {
                tail.append(entry, token: .none, displaced: displaced)
            }
        }
        if decided.n < known.n, history.end == decided { decided = history.end }
        announced = decided
        appended = history.end
        stable = history.name(at: min(r.stable.n, history.end.n)) ?? decided
        for void in r.voids where !state.voids.contains(void) { state.voids.append(void) }
        if state.boot != boot {
            if r.opening == .clean, !state.lostPower {
                mark(.openedCleanUnderNewBoot)
                state.formerBoots.append(state.boot)
                if state.formerBoots.count > 8 { state.formerBoots.removeFirst() }
                state.boot = boot
                keepState(then: .nothing)
            } else {
                rebooted = true
                stable = history.end
                state.lostPower = true
                keepState(then: .nothing)
            }
        } else if !r.voids.isEmpty {
            keepState(then: .nothing)
        }
        // The shell applies what is decided; a learner's rows cannot take it.
        if !state.learning, decided != .zero { emit(.decided(through: decided)) }
    }
}
