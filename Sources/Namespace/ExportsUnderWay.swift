import ClusterModel

/// The exports of a namespace that are under way, and what they need of tombstones.
///
/// Invariants:
/// - an export needs the tombstones of entries behind its beginning and no others, for its learner has nothing: so those of
///   entries through the beginning of the oldest one are dropped, whoever applies the entries, bit by bit;
/// - what a replica has dropped shows in nothing but `tombstoneHorizon`: rows and their digests are the same;
/// - numbers only rise: an export that is not under way and is no later one was forgotten. Its learner begins anew, for
///   another beginning would leave rows there that were removed meanwhile.
public struct ExportsUnderWay: Sendable {
    private struct Running {
        var number: UInt64
        var export: NamespaceExport
        /// The last entry in the rows when its last piece was made.
        var asked: UInt64
    }

    private let most: Int
    private var running: [Running] = []
    private var last: UInt64 = 0

    /// `most`: exports at once; beyond it the oldest is forgotten.
    public init(most: Int) { self.most = most }

    /// The next piece of an export of all rows; the first one with this number begins it. What has been applied must be
    /// committed. Nil for an export that was forgotten.
    public mutating func next(
        _ number: UInt64, _ machine: NamespaceMachine, rows: some NamespaceRowReader,
        limit: Int = NamespaceLimits.exportPiece
    ) throws -> (scope: ExportScope, piece: ExportPiece)? {
        if !running.contains(where: { $0.number == number }) {
            guard number > last else { return nil }
            last = number
            if running.count >= most { running.removeFirst() }
            let export = try NamespaceExport(after: 0, changedByLearner: [], rows: rows)
            running.append(Running(number: number, export: export, asked: machine.applied.n))
        }
        guard let i = running.firstIndex(where: { $0.number == number }) else {
            preconditionFailure("the export was appended above if it was not there")
        }
        running[i].asked = machine.applied.n
        let piece = try running[i].export.next(machine, rows: rows, limit: limit)
        let scope = running[i].export.scope
        if piece.state != nil { running.remove(at: i) }
        return (scope, piece)
    }

    /// Drops some of the tombstones that nobody needs, before the batch is committed. `entries`: of the batch. More are dropped
    /// than they can leave, so that there are never many, and not so many that the batch takes long.
    public mutating func pruneTombstones(
        after entries: Int, _ machine: NamespaceMachine, rows: some NamespaceRows
    ) throws {
        // What changes nothing else is no transaction.
        guard machine.isAhead else { return }
        let applied = machine.applied.n
        running.removeAll { applied > $0.asked + NamespaceLimits.exportPatience }
        let through = running.map(\.export.begun).min() ?? applied
        try rows.pruneTombstones(
            through: through,
            atMost: NamespaceLimits.tombstoneStep + NamespaceLimits.tombstonesPerEntry * entries)
    }

    /// Forgets all: the rows are others now.
    public mutating func removeAll() { running = [] }
}
