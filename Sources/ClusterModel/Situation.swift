/// Rare situations, marked where the machines meet them (`mark`): a campaign of the simulator that never comes to one of them
/// shows nothing about the rule there (`tools/simulate --coverage`). Marks cost nothing in a release build of Stave.
public enum Situation: UInt8, CaseIterable, Sendable {
    case unknownOutcomeHadWon
    case unknownOutcomeStillOpen
    case unknownOutcomeHadLost
    case promotionOfUnknownOutcome
    case refusedAfterUnknown
    case removedThoughConnected
    case newBootOfCleanMember
    case waitsAtLeastSize
    case removalWhileActivating
    case replacedAtLeastSize
    case promotionWhileActivating
    case claimVoidWithoutLease
    case claimNamesAbsentMember
    case reignOverWithOpenRequests
    case mapIsLastToActivate
    case learnerTakenInAfterPowerLoss
    case membersDroppedAfterPowerLoss
    case keptBootSparesTheLoss
    case voidRestated
    case voidElsewhereOnly
    case oldEpochRefused
    case streamRefusedWhileClaiming
    case deposedByAttach
    case divergentTailCut
    case attachedWhileAppending
    case restatedLate
    case removalWouldLeaveTooFewWhole
    case removedWhileBehind
    case voidEndsCompleteness
    case gapInTheStream
    case oldStreamRefused
    case restartedWhileLearning
    case openedCleanUnderNewBoot
    case shorterForkWhileLearning
    case learnerAppliesWhatBothHave
    case learnerChangedOtherKeys
    case objectRemovedAtLearner
    case forkBeyondDecided
    case cutsListedForLearner
    case forgottenCutFound
    case pieceReadAnew
    case lastPieceOutdated
    case earlyPieceSent
    case earlyPieceOvertaken
    case catchUpAbandoned
    case recordedMemberLearned
    case newerMapAwaited
    case duplicateAfterFailover
    case duplicateJoined
    case sessionEndedWhileWaiting
    case readWaitsForTail
    case readWaitsForFence
    case readWaitsForFenced
    case questionWaitsForTimes
    case flushWaits
    case writeHeldBackForPiece
    case largeRecordVoid
    case learnersPieceLost
    case logTornAtItsEnd
    case readMeetsMovedBlock
    case recordsWaitForSlots
    case learnerPromotedWhilePrimaryDies
    case claimMadeAfterDeath
    case removalMadeAfterDeath
    case answerStoppedByLease
    case slowMemberKeptOut
    case successorLostItsContent
    case remainsNamedAgain
    case emptyDiskInAMembersPlace
    case foreignCutErased
    case cutBeyondTheDecided
    case formerPrimaryLostItsContent
    case erasedDiskLeavesTrace
    case learnerNotPlacedAnyMore
    case lateRequestOfFencedSession
    case readBesideThePrimary
    case memberWithoutRoom
    case diskGoneBesideLivingNode
    case membersKeptAtAcceptedLoss
    case incompleteContentTaken
    case scrubGoesOn

    /// What has happened then.
    public var meaning: String {
        switch self {
        case .unknownOutcomeHadWon: "a compare-and-set of unknown outcome turns out to have won"
        case .unknownOutcomeStillOpen:
            "the record is as before, and the earlier sending of unknown outcome may still be made"
        case .unknownOutcomeHadLost: "a compare-and-set of unknown outcome turns out never to have been made"
        case .promotionOfUnknownOutcome:
            "the outcome of a promotion is not known: acknowledgements of both sets are needed"
        case .refusedAfterUnknown: "the store refuses a repetition while an earlier sending may still be made"
        case .removedThoughConnected: "a member is removed that is connected, and learns anew"
        case .newBootOfCleanMember:
            "a member that was closed in order comes back under another boot, which goes into the record first"
        case .waitsAtLeastSize:
            "a member is away, and the set has the least size: writes wait for it, or for its replacement"
        case .removalWhileActivating: "a member is removed while the primary activates"
        case .replacedAtLeastSize: "a learner takes the place of a member that is away in a set of the least size"
        case .promotionWhileActivating: "a learner is promoted by a primary that does not serve yet"
        case .claimVoidWithoutLease: "a claim has won, and is void because its lease lapsed meanwhile"
        case .claimNamesAbsentMember:
            "a claim keeps a member in the record that is not there, for the sake of the least number"
        case .reignOverWithOpenRequests: "a reign ends while requests wait for their entries"
        case .mapIsLastToActivate: "the log is decided before the map has been read after the claim"
        case .learnerTakenInAfterPowerLoss:
            "after a loss of power a member that is learning is taken in, for there are too few without it"
        case .membersDroppedAfterPowerLoss:
            "after a loss of power the claimant drops members of the record that are not back"
        case .keptBootSparesTheLoss: "a member that rebooted finds one that kept its boot, and becomes its learner"
        case .voidRestated: "void records of large writes are restated after a loss of power"
        case .voidElsewhereOnly: "only other members have void records: the primary restates what it still has"
        case .oldEpochRefused: "a member that has promised itself to a later primary refuses an earlier one"
        case .streamRefusedWhileClaiming: "a stream is refused while a claim is under way"
        case .deposedByAttach: "a primary hears of its successor from the successor"
        case .removalWouldLeaveTooFewWhole: "a member is not removed, for too few of the others lack nothing"
        case .removedWhileBehind: "a recorded member that lacks content is removed, and learns without being waited for"
        case .restatedLate: "a member that was not attached when void records were restated copies them when it is"
        case .attachedWhileAppending: "a member is attached anew before its log has all that it was sent"
        case .divergentTailCut: "entries that nobody else has are cut off"
        case .voidEndsCompleteness: "a learner's complete part ends before its first void record"
        case .gapInTheStream: "an entry comes that does not follow the log's end"
        case .oldStreamRefused: "an entry of an earlier primary arrives after the promise to a later one"
        case .restartedWhileLearning: "a replica is opened that was killed while it learned"
        case .openedCleanUnderNewBoot: "a disk that was closed in order is opened under another boot"
        case .shorterForkWhileLearning: "a learner begins anew, at an earlier fork than before"
        case .learnerAppliesWhatBothHave: "a learner applies entries up to the fork that it did not know to be decided"
        case .learnerChangedOtherKeys: "a learner has changed objects after the fork that the primary has not"
        case .objectRemovedAtLearner: "a learner has an object that the primary does not have: it is deleted"
        case .forkBeyondDecided: "a learner's log agrees with the primary's beyond what is decided there"
        case .cutsListedForLearner: "a learner is told of cuts that a primary's file marks may have forgotten"
        case .forgottenCutFound: "a change is of a file whose cut the marks have forgotten, and the disk knows"
        case .pieceReadAnew: "an entry was decided over a piece while it was read: it is read again"
        case .lastPieceOutdated:
            "an object grew behind its last piece while that was read: it is not the last one any more"
        case .earlyPieceSent: "a piece goes early, although an undecided entry touches it"
        case .earlyPieceOvertaken:
            "an early piece is overtaken by the decision of what touches it: the learner begins anew"
        case .catchUpAbandoned: "catching up makes no progress, and begins anew"
        case .recordedMemberLearned: "a member that the record names has learned all it lacked, and needs no promotion"
        case .newerMapAwaited: "a request relies on a newer map than the primary has"
        case .duplicateAfterFailover: "a retry is answered from the window for an entry of an earlier primary"
        case .duplicateJoined: "a retry joins an entry that is not decided yet"
        case .sessionEndedWhileWaiting: "a session ends between a request's admission and its naming"
        case .readWaitsForTail: "a read of a primary that activates waits for its undecided tail"
        case .readWaitsForFence:
            "a read of a session that has not written waits until all members hold the log"
        case .readWaitsForFenced: "a read waits for an undecided entry of a session that has ended"
        case .questionWaitsForTimes:
            "a question shows a file that is written, beside an undecided entry that fixes times: it is asked once more"
        case .flushWaits: "a flush waits for a sync of another member"
        case .writeHeldBackForPiece: "a write waits while a piece that it touches is read for a learner"
        case .largeRecordVoid: "a replay finds the slots of a large record unwritten"
        case .learnersPieceLost: "a learner's piece was lost with power: its object is incomplete, and is learned again"
        case .logTornAtItsEnd: "a log ends in a batch that is there in part"
        case .readMeetsMovedBlock: "a block moved while it was read: the mismatch does not count"
        case .recordsWaitForSlots: "records wait for slots that a checkpoint is to free"
        case .learnerPromotedWhilePrimaryDies: "the promotion of a learner is made after its primary has died"
        case .claimMadeAfterDeath: "a claim is made after its claimant has died"
        case .removalMadeAfterDeath: "a removal is made after its primary has died"
        case .successorLostItsContent:
            "a member that agreed to lead finds its content damaged before the record names it"
        case .slowMemberKeptOut: "a member whose disk is far slower than the others' is let go, or not taken in again"
        case .remainsNamedAgain: "a disk is to hold a group again while it still has remains of it"
        case .foreignCutErased:
            "a learner erases what it has, for a file was cut there by an entry that the group does not have"
        case .formerPrimaryLostItsContent:
            "a primary that gave up its reign finds its content damaged, and the record still names it"
        case .cutBeyondTheDecided:
            "a learner's file was cut by an entry that the primary has not decided yet"
        case .erasedDiskLeavesTrace: "a disk erased what it had, and is known as a learner's before it is attached"
        case .emptyDiskInAMembersPlace: "an empty disk takes the place of one that the record names as in-sync"
        case .learnerNotPlacedAnyMore: "a learner is given up, for placement does not name it any more"
        case .answerStoppedByLease: "an answer is ready, and the lease has ended: it does not leave"
        case .lateRequestOfFencedSession: "a request of an ended session arrives after its successor was served"
        case .membersKeptAtAcceptedLoss: "an operator gives members up, and more than one of the others goes on"
        case .incompleteContentTaken: "an operator has a group go on with a replica that lacks content"
        case .diskGoneBesideLivingNode: "a node lives whose disk is out of use, and says so"
        case .memberWithoutRoom: "a write is refused, for another member's disk has no room"
        case .scrubGoesOn: "a scrub goes on where another one was interrupted"
        case .readBesideThePrimary: "a replica beside the primary serves a read"
        }
    }
}

/// The situations that a run has met.
public struct Situations: Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    public init() {}

    public mutating func insert(_ situation: Situation) {
        let bit = UInt64(1) << UInt64(situation.rawValue & 63)
        if situation.rawValue < 64 { low |= bit } else { high |= bit }
    }
    public mutating func formUnion(_ other: Situations) {
        low |= other.low
        high |= other.high
    }
    public func contains(_ situation: Situation) -> Bool {
        (situation.rawValue < 64 ? low : high) >> UInt64(situation.rawValue & 63) & 1 == 1
    }
}
