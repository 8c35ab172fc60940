import ClusterModel
import Wire

/// What a token of the shell's work stands for.
enum Work {
    // Everyone
    case nothing
    /// It is durable that everything is to be learned anew.
    case contentForgotten
    /// The disk of a fresh replica knows of the group.
    case traced
    /// A follower's promise, or its cut, is durable.
    case attach(attempt: UInt32, epoch: Epoch)
    // Learner
    case markedLearning(attempt: UInt32, epoch: Epoch)
    case tablesKept(attempt: UInt32, epoch: Epoch)
    case ownChanges(attempt: UInt32, epoch: Epoch)
    case installedStep(attempt: UInt32, epoch: Epoch, step: UInt32)
    case installedSnapshot(attempt: UInt32, epoch: Epoch, step: UInt32, ListPosition)
    case syncedAll(attempt: UInt32, epoch: Epoch)
    case clearedLearning(attempt: UInt32, epoch: Epoch)
    // Primary
    /// Rows that lack entries go on as if they had them.
    case rowsForgone(Epoch, under: LeaseNumber)
    /// Content that is not whole, and the beginning of its own log, are stable.
    case tookAsItIs(Epoch, under: LeaseNumber)
    /// What its disk knows of cuts.
    case takenCuts(Epoch, under: LeaseNumber)
    case promisedOwnReign(reign: UInt64)
    case mapBarrier(reign: UInt64)
    /// The store is asked whether it answers, before the reign ends.
    case handover(reign: UInt64, attempt: UInt32)
    case edges(reign: UInt64)
    /// What the disk knows of a file that the marks may have forgotten.
    case findCut(reign: UInt64)
    case changes(reign: UInt64, NodeID, attempt: UInt32)
    /// The cuts that a learner may lack.
    case cuts(reign: UInt64, NodeID, attempt: UInt32)
    case piece(reign: UInt64, NodeID, attempt: UInt32)
    case snapshot(reign: UInt64, NodeID, attempt: UInt32)
    case proposal
}

extension PlacementGroup {
    func workDone(_ work: Work) {
        switch work {
        case .traced: trace = .durable
        case .contentForgotten: emit(.forgetContent)
        case .nothing, .proposal, .mapBarrier, .handover, .edges, .findCut, .changes, .cuts, .piece, .snapshot,
            .ownChanges, .takenCuts:
            break
        case .attach(let attempt, let epoch): attachWorkDone(attempt, epoch)
        case .markedLearning(let attempt, let epoch): markedLearning(attempt, epoch)
        case .tablesKept(let attempt, let epoch): tablesKept(attempt, epoch)
        case .installedStep(let attempt, let epoch, let step): stepInstalled(attempt, epoch, step)
        case .installedSnapshot(let attempt, let epoch, let step, let position):
            snapshotInstalled(attempt, epoch, step, position)
        case .syncedAll(let attempt, let epoch): syncedAll(attempt, epoch)
        case .clearedLearning(let attempt, let epoch): clearedLearning(attempt, epoch)
        case .rowsForgone(let epoch, let number): rowsForgone(epoch, under: number)
        case .tookAsItIs(let epoch, let number): tookAsItIs(epoch, under: number)
        case .promisedOwnReign(let number): ownReignPromised(number)
        }
    }
}
