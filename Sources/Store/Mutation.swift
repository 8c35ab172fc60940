/// A rule of the disk store that is left out, one at a time, to see that the simulator's checkers find it; as `Mutation` of the
/// replication machine. A release build of Stave leaves none out: it has no `mutation`.
public enum StoreMutation: UInt8, CaseIterable, Sendable {
    /// Rule 1: a checkpoint writes in place before the log through its position is stable.
    case writesInPlaceBeforeLog
    /// Rule 2: a sync says that slots are synced which are not.
    case marksSlotsUnsynced
    /// Rule 2: small parts of a large record go to their slots before its large ones are marked as synced.
    case copiesPartsOfUnsynced
    /// A checkpoint's tables become durable before the log that they tell of.
    case tablesBeforeLog
    /// What a replay writes again to a removed file stays where the index does not know its object.
    case replayFillsRemoved
    /// Objects are deleted though rows of them are not known to be empty.
    case deletesWithUnknownRows
    /// A truncation after a start forgets the one before it that is not carried to all rows.
    case forgetsCutsOfBefore
    /// Checkpoints take cuts and restarts of a log for logged that are not.
    case unloggedForgotten
    /// Recovery relies on rows that only the page cache has, and puts the log before them aside.
    case reliesOnUnsyncedRows
    /// Reads do not wait for what is decided and waits for earlier deletions.
    case readsBehindHeldCut
    /// A log that begins anew forgets what is decided and waits for earlier deletions.
    case restartDropsWaiting
    /// A learner's piece tells of which cuts its whole row has met.
    case pieceTellsOfWholeRow
    /// Lost pieces are known to the opening that found them only.
    case lostPiecesForgotten
    /// Cuts for a learner wait for nothing.
    case learnersCutsPileUp
    /// Rule 2: a large record counts as void where later records were written over it.
    case voidThoughCovered
    /// Rule 3: a log that ends before what is known to be stable passes for torn.
    case corruptTakenForTorn
    /// Slots that records name are not marked before a replay.
    case replayLeavesSlotsUnmarked
    /// A slot that nothing names any more is given again at once.
    case freedAtOnce
    /// … or when the checkpoint is durable, whoever still reads it.
    case freedUnderReaders
    /// Appends leave the clean mark where it is.
    case cleanMarkStays
    /// A log that cannot be trimmed stops all groups of the disk.
    case logStaysWithinBound
    /// The log is trimmed by what was applied to a namespace's rows, not by what is durable there.
    case trimsWhatIsNotDurable
    /// Rule 5: a mismatch is a bad block, although the block moved while it was read.
    case mismatchTakenAtOnce
    /// Rule 5: what is read is not verified. Of whoever executes the store's reads.
    case readsUnverified
}
