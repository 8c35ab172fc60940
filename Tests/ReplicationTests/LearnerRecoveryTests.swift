import ClusterModel
import Testing
import Wire

@testable import Replication

/// A learner's process that starts again before it has learned all.
struct LearnerRecoveryTests {
    /// A learner whose disk takes entries through 4 for decided, and has 5 and 6 in its log too. Its tables are of a later
    /// checkpoint.
    private func recovered(
        _ pg: PGID, complete: UInt64, tables asOf: UInt64, of epoch: UInt64 = 2
    ) throws -> (decided: EntryName?, state: ReplicaState) {
        func name(_ n: UInt64, _ epoch: UInt64 = 2) -> EntryName { EntryName(epoch: Epoch(epoch), n: n) }
        func history(_ n: UInt64, _ epoch: UInt64 = 2) -> EpochHistory {
            var history = EpochHistory()
            history.append(name(n, epoch))
            return history
        }
        var state = ReplicaState(boot: BootID(1))
        state.promised = Epoch(2)
        state.learning = true
        state.completeThrough = name(complete)
        state.completeHistory = history(complete)
        let entries = (1...UInt64(6)).map { n in
            Entry(
                name: name(n), body: .empty, durability: .unstable, lossNumber: .zero,
                time: Timestamp(nanoseconds: Int64(n)))
        }
        let tables = ReplicaTables(
            asOf: name(asOf, epoch), history: history(asOf, epoch), windows: RequestWindows(), marks: FileMarks())
        let recovered = RecoveredReplica(
            state: state.encoded(), tables: tables.encoded(), entries: entries, decided: name(4), stable: name(6),
            voids: [], opening: .crashed)
        let local = Member(node: NodeID(1), disk: DiskID(1), boot: BootID(2))
        let group = try PlacementGroup(
            pg: pg, local: local, recovered: recovered, at: Moment(now: Instant(nanoseconds: 1), time: .zero))
        var effects: [ReplicaEffect] = []
        group.takeEffects(into: &effects)
        let told: [EntryName] = effects.compactMap { if case .decided(let through) = $0 { through } else { nil } }
        #expect(told.count < 2)
        let states: [[UInt8]] = effects.compactMap {
            if case .writeState(let state, _, _) = $0 { state } else { nil }
        }
        return (told.first, try ReplicaState(decoding: try #require(states.last)))
    }

    private func decided(
        _ pg: PGID, complete: UInt64, tables asOf: UInt64, of epoch: UInt64 = 2
    ) throws -> EntryName? {
        try recovered(pg, complete: complete, tables: asOf, of: epoch).decided
    }

    /// Seed 3522359435: nobody names the entry to the store any more, the log begins anew behind it, and what it wrote is
    /// neither applied nor learned.
    @Test("What a learner's tables know to be decided is decided in its store")
    func tables() throws {
        #expect(try decided(.data(1), complete: 5, tables: 5)?.n == 5)
    }

    @Test("What a learner's log has behind its complete part need not be of the group's log")
    func beyond() throws {
        #expect(try decided(.data(1), complete: 5, tables: 6)?.n == 5)
        #expect(try decided(.data(1), complete: 6, tables: 5)?.n == 5)
        // Its log was about to begin anew, as the group's own goes on.
        let name = try decided(.data(1), complete: 5, tables: 4, of: 3)
        #expect(name == EntryName(epoch: Epoch(2), n: 4))
    }

    @Test("A learner's rows of a namespace take nothing before the snapshot")
    func namespace() throws {
        #expect(try decided(.metadata(FilesetID(1)), complete: 5, tables: 5) == nil)
    }

    /// The restart of its log was not in it yet when power was lost.
    @Test("A learner's old log is no continuation of the log that its tables tell of")
    func oldLog() throws {
        // What is kept of it can be read again.
        let state = try recovered(.data(1), complete: 5, tables: 4, of: 3).state
        #expect(state.history.end == EntryName(epoch: Epoch(3), n: 4))
    }

    @Test("A replica without content is one after a restart, too, whatever it has promised")
    func absent() throws {
        let local = Member(node: NodeID(2), disk: DiskID(2), boot: BootID(2))
        let moment = Moment(now: Instant(nanoseconds: 1), time: .zero)
        let group = try PlacementGroup(pg: .data(1), local: local, recovered: nil, at: moment)
        var record = PGRecord(
            pg: .data(1), epoch: Epoch(4), primary: NodeID(1), primaryLease: LeaseNumber(7),
            inSync: [Member(node: NodeID(1), disk: DiskID(1), boot: BootID(1)), local],
            learners: [], placement: [1, 2].map { PlacementTarget(node: NodeID($0), disk: DiskID(UInt128($0))) },
            lossNumber: .zero)
        record.epoch = Epoch(4)
        group.recordRead(record, RecordVersion(1), at: moment)
        group.peerConnected(PeerFacts(node: NodeID(1), boot: BootID(1)), at: moment)
        group.messageArrived(
            from: NodeID(1),
            ReplicaMessage(
                pg: group.pg, epoch: Epoch(4),
                body: .attach(Attach(attempt: 1, record: record, history: [EpochSpan(epoch: Epoch(3), last: 9)]))),
            at: moment)
        var effects: [ReplicaEffect] = []
        group.takeEffects(into: &effects)
        let states: [[UInt8]] = effects.compactMap {
            if case .writeState(let state, _, _) = $0 { state } else { nil }
        }
        let recovered = RecoveredReplica(
            state: try #require(states.last), tables: nil, entries: [], decided: .zero, stable: .zero, voids: [],
            opening: .crashed)
        let again = try PlacementGroup(pg: .data(1), local: local, recovered: recovered, at: moment)
        #expect(again.isAbsent)
    }
}
