/// A rule that is left out, one at a time, to see that the simulator's checkers find it. A release build of Stave leaves none
/// out: it has no `mutation`.
public enum Mutation: UInt8, CaseIterable, Sendable {
    case answerBeforeLastBackup
    case removalTakenAsWon
    case unknownPromotionTakenAsFailed
    case keepDivergentTail
    case serveBeforeAllHoldTheLog
    case foreignCutStays
    case cutsJudgedEarly
    case cutsJudgedByName
    case formerPrimaryKeepsLease
    case answerReadsOfTheTail
    case readsBeforeFence
    case claimWithoutLeaseEnd
    case belowMinInSync
    case removesLastWhole
    case promoteWithPiecesMissing
    case promoteWithoutNeedingLearner
    case promoteNotSynced
    case membershipByNode
    case stableAfterAppendOnly
    case lossNumberNotRaised
    case noRequestWindow
    case promiseNotDurable
    case completeThroughFollowsLog
    case oneSidedChanges
    case windowLeftBehind
    case mapReadBeforeClaim
    case leaseNotChecked
    case sessionCheckedAtAdmission
    case applyUndecided
    case voidIgnored
    case voidsOnceOnly
    case copiesPileUp
    case namesFirstAtOnce
    case shortestLogClaims
    case streamAcceptedWhileClaiming
    case pieceOverUndecided
    case lastPieceTrusted
    case forkBeyondDecided
    case namesBeforeCut
    case forgottenCutsUntold
    case forgottenCutsNeverAsked
    case goneUnheard
    case answersAfterHandover
    case comparesNumbersOnly
    case acknowledgesBeforeWritten
    case countsUnwritten
    case lapseIgnored
    case activatesUnderNewerLease
    case lostRequestsStay
    case promotesThroughDecided
    case timesOfTheTailUnseen
    /// Of the way to the namespace's rows: entries are handed over when they are decided.
    case rowsBeforeStable
    /// Of the coordination store: a loss of power takes its last change back.
    case recordGoesBack
    case scrubWithoutMark
    case scrubForgetsWindow
    case scrubAsksLearners
    /// Of the shell: lost blocks are taken from whoever is asked first, the primary, whatever their checksums.
    case giveWhateverThereIs
}
