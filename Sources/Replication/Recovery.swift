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
        for entry in r.entries {
            // Of an older epoch: the tables are of the group's log, behind which this one was about to begin anew.
            guard entry.name.n > history.end.n, entry.name.epoch >= history.end.epoch else { continue }
            history.append(entry.name)
            let displaced = windows.record(
                entry.session, entry.request, entry: entry.name, stamp: entry.lossNumber)
            clock.saw(entry.time)
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
        if decided == .zero { return }
        // The tables may know of more than what the store takes for decided. What a learner's log has beyond its complete part
        // need not be of the group's log, which the tables may tell of already; and its rows of a namespace take nothing before
        // the snapshot is in.
        if !state.learning {
            emit(.decided(through: decided))
        } else if !pg.isMetadata,
            let through = state.completeHistory.name(at: min(decided.n, state.completeThrough.n))
        {
            emit(.decided(through: through))
        }
    }
}
