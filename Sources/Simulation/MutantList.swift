#if DEBUG || STAVE_MUTANTS
    extension Mutant {
        /// One for each mutation.
        public static let all: [Mutant] = [
            Mutant(
                name: "answers before the last backup has the entry", rule: "replication.md 3; traps.md 4",
                mutation: .answerBeforeLastBackup, firstSeed: 1),
            Mutant(
                name: "counts a removal as won when it is sent", rule: "replication.md 6; traps.md 4",
                mutation: .removalTakenAsWon, firstSeed: 1, theme: .leases, test: "LeftOutRuleTests/removal"),
            Mutant(
                name: "takes a promotion of unknown outcome for failed", rule: "replication.md 15; traps.md 18",
                mutation: .unknownPromotionTakenAsFailed, firstSeed: 1, theme: .promotions),
            Mutant(
                name: "keeps a tail that nobody else has", rule: "replication.md 7; traps.md 6",
                mutation: .keepDivergentTail, firstSeed: 1, theme: .claims),
            Mutant(
                name: "serves before all members hold the log", rule: "replication.md 7",
                mutation: .serveBeforeAllHoldTheLog, firstSeed: 1, theme: .claims),
            Mutant(
                name: "answers reads of its tail while it activates", rule: "replication.md 7; traps.md 3",
                mutation: .answerReadsOfTheTail, firstSeed: 1, theme: .leases),
            Mutant(
                name: "reads for new sessions while it activates", rule: "replication.md 1, 7",
                mutation: .readsBeforeFence, firstSeed: 70650, theme: .claims, test: "LeftOutRuleTests/fence"),
            Mutant(
                name: "claims before the other lease has ended", rule: "replication.md 7",
                mutation: .claimWithoutLeaseEnd, firstSeed: 1, theme: .leases),
            Mutant(
                name: "shrinks the set below the least number", rule: "replication.md 6; traps.md 19",
                mutation: .belowMinInSync, firstSeed: 1),
            Mutant(
                name: "removes a whole member where one stays that is not", rule: "replication.md 6",
                mutation: .removesLastWhole, firstSeed: 1, theme: .outages, test: "LeftOutRuleTests/lastWhole"),
            Mutant(
                name: "promotes with pieces missing", rule: "replication.md 15; traps.md 8",
                mutation: .promoteWithPiecesMissing, firstSeed: 1, theme: .learning),
            Mutant(
                name: "proposes a promotion before it needs the learner", rule: "replication.md 15; traps.md 8",
                mutation: .promoteWithoutNeedingLearner, firstSeed: 1, theme: .promotions),
            Mutant(
                name: "promotes what is not synced", rule: "replication.md 15; traps.md 8", mutation: .promoteNotSynced,
                firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "compares nodes only, not boots", rule: "replication.md 9; traps.md 5",
                mutation: .membershipByNode, firstSeed: 1, theme: .outages),
            Mutant(
                name: "answers stable writes after the append", rule: "replication.md 3",
                mutation: .stableAfterAppendOnly, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "does not raise the loss number", rule: "replication.md 9; traps.md 12",
                mutation: .lossNumberNotRaised, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "keeps no request window", rule: "replication.md 18; traps.md 9", mutation: .noRequestWindow,
                firstSeed: 1),
            Mutant(
                name: "acknowledges an epoch before the promise is durable", rule: "replication.md 4",
                mutation: .promiseNotDurable, firstSeed: 1, test: "ClaimTests/promiseBeforeAnswer"),
            Mutant(
                name: "lets complete-through follow the log", rule: "replication.md 11; traps.md 8",
                mutation: .completeThroughFollowsLog, firstSeed: 1, theme: .learning),
            Mutant(
                name: "fetches only what the primary changed", rule: "replication.md 11; traps.md 57",
                mutation: .oneSidedChanges, firstSeed: 1, theme: .outages),
            Mutant(
                name: "leaves the request windows behind", rule: "replication.md 14; traps.md 63",
                mutation: .windowLeftBehind, firstSeed: 1, theme: .promotions),
            Mutant(
                name: "reads the map before its claim has won", rule: "replication.md 7; traps.md 62",
                mutation: .mapReadBeforeClaim, firstSeed: 1, theme: .claims,
                test: "LeftOutRuleTests/mapIsRead"),
            Mutant(
                name: "answers without looking at its lease", rule: "replication.md 5; traps.md 1",
                mutation: .leaseNotChecked, firstSeed: 1, theme: .claims),
            Mutant(
                name: "checks sessions when requests are admitted only", rule: "replication.md 2",
                mutation: .sessionCheckedAtAdmission, firstSeed: 1, theme: .claims, test: "LeftOutRuleTests/sessionEnds"
            ),
            Mutant(
                name: "answers a question with the times that an entry before it has not fixed yet",
                rule: "namespace.md, Attributes before tokens exist", mutation: .timesOfTheTailUnseen, firstSeed: 1,
                test: "QuestionTests/timesOfTheTail"),
            Mutant(
                name: "applies what is not decided", rule: "replication.md 4; traps.md 6", mutation: .applyUndecided,
                firstSeed: 1, test: "LeftOutRuleTests/applies"),
            Mutant(
                name: "copies what was lost with power once only", rule: "replication.md 9",
                mutation: .voidsOnceOnly, firstSeed: 1, theme: .powerLosses, test: "PowerLossTests/learnLost"),
            Mutant(
                name: "names its first entry before the members are here", rule: "replication.md 3",
                mutation: .namesFirstAtOnce, firstSeed: 1, test: "LeftOutRuleTests/emptyReign"),
            Mutant(
                name: "keeps every copy of a request that waits", rule: "replication.md 6; traps.md 17",
                mutation: .copiesPileUp, firstSeed: 1, test: "LeftOutRuleTests/copies"),
            Mutant(
                name: "ignores void records", rule: "replication.md 9; store.md 2; traps.md 58", mutation: .voidIgnored,
                firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "lets the shortest log claim after a loss of power", rule: "replication.md 9",
                mutation: .shortestLogClaims, firstSeed: 1, theme: .outages, test: "PowerLossTests/longestLog"),
            Mutant(
                name: "takes a stream while its claim is under way", rule: "replication.md 9",
                mutation: .streamAcceptedWhileClaiming, firstSeed: 1, theme: .claims,
                test: "ClaimTests/streamWhileClaiming"),
            Mutant(
                name: "reads pieces over undecided entries", rule: "replication.md 12; traps.md 63",
                mutation: .pieceOverUndecided, firstSeed: 1, theme: .contention),
            Mutant(
                name: "takes a piece for the last one although the object grew", rule: "replication.md 12",
                mutation: .lastPieceTrusted, firstSeed: 1, theme: .contention, test: "LastPieceTests/growsBehind"),
            Mutant(
                name: "takes for complete what a learner holds undecided", rule: "replication.md 11",
                mutation: .forkBeyondDecided, firstSeed: 1, theme: .learning, test: "LeftOutRuleTests/fork"),
            Mutant(
                name: "counts what a member's log is still to get", rule: "replication.md 3, 4",
                mutation: .countsUnwritten, firstSeed: 1, theme: .contention, test: "LeftOutRuleTests/attachedAnew"),
            Mutant(
                name: "names a change before the truncation that it knows of", rule: "namespace.md, Size; traps.md 34",
                mutation: .namesBeforeCut, firstSeed: 20016, theme: .rot, test: "LeftOutRuleTests/unknownCut"),
            Mutant(
                name: "tells a learner of the cuts that the marks know only", rule: "replication.md 12",
                mutation: .forgottenCutsUntold, firstSeed: 1, theme: .learning),
            Mutant(
                name: "takes a cut that was forgotten for none", rule: "traps.md 34",
                mutation: .forgottenCutsNeverAsked, firstSeed: 1, theme: nil),
            Mutant(
                name: "waits for a replica whose disk is out of use", rule: "replication.md 6", mutation: .goneUnheard,
                firstSeed: 1, theme: .failedSyncs),
            Mutant(
                name: "answers after it sent the handover", rule: "replication.md 8; traps.md 56",
                mutation: .answersAfterHandover, firstSeed: 1, theme: .handovers),
            Mutant(
                name: "repairs with the primary's copy whatever its checksum", rule: "store.md 5",
                mutation: .giveWhateverThereIs, firstSeed: 1, theme: .rot, test: "HeldBlocksTests/byChecksum"),
            Mutant(
                name: "compares numbers of entries without their epochs", rule: "replication.md, Names; traps.md 7",
                mutation: .comparesNumbersOnly, firstSeed: 1, theme: .claims, test: "LeftOutRuleTests/numbers"),
            Mutant(
                name: "acknowledges what is not written", rule: "replication.md 3; traps.md 5",
                mutation: .acknowledgesBeforeWritten, firstSeed: 1, test: "LeftOutRuleTests/acknowledges"),
            Mutant(
                name: "goes on when its lease came back", rule: "architecture.md, Leases; traps.md 55",
                mutation: .lapseIgnored, firstSeed: 1, theme: .leases),
            Mutant(
                name: "activates under a newer lease than its claim's", rule: "replication.md 7; traps.md 55",
                mutation: .activatesUnderNewerLease, firstSeed: 1, theme: .claims, test: "LeftOutRuleTests/newerLease"),
            Mutant(
                name: "answers requests that a void record lost", rule: "replication.md 18; traps.md 58",
                mutation: .lostRequestsStay, firstSeed: 1, theme: .powerLosses, test: "PowerLossTests/lostRequest"),
            Mutant(
                name: "promotes through what is decided", rule: "replication.md 15; traps.md 63",
                mutation: .promotesThroughDecided, firstSeed: 1, theme: .promotions, test: "LeftOutRuleTests/finish"),
            Mutant(
                name: "changes rows before their records are stable", rule: "store.md 1",
                mutation: .rowsBeforeStable, firstSeed: 1, theme: .outages),
            Mutant(
                name: "keeps records in a store that forgets its last change with power", rule: "traps.md 11",
                mutation: .recordGoesBack, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "writes in place before the log is stable", rule: "store.md 1; traps.md 25",
                storeMutation: .writesInPlaceBeforeLog, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "marks slots that are not synced", rule: "store.md 2; traps.md 59",
                storeMutation: .marksSlotsUnsynced, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "copies small parts of a large record whose slots are not synced",
                rule: "store.md 2; traps.md 59",
                storeMutation: .copiesPartsOfUnsynced, firstSeed: 1_605_374_831, test: "RuleTests/partsOfVoidRecords"),
            Mutant(
                name: "relies on an index that was not synced", rule: "store.md, recovery",
                storeMutation: .reliesOnUnsyncedRows, firstSeed: 1, theme: .powerLosses, test: "RuleTests/unsyncedRows"),
            Mutant(
                name: "reads what waits to be written over", rule: "store.md 1",
                storeMutation: .readsBehindHeldCut, firstSeed: 1, test: "HeldCutTests/reads"),
            Mutant(
                name: "forgets with its log what waits behind a deletion", rule: "replication.md 11",
                storeMutation: .restartDropsWaiting, firstSeed: 1, test: "HeldCutTests/restart"),
            Mutant(
                name: "keeps tables of what the log may lose", rule: "store.md, checkpoints",
                storeMutation: .tablesBeforeLog, firstSeed: 1, theme: .powerLosses, test: "RuleTests/tables"),
            Mutant(
                name: "fills removed files again in a replay", rule: "store.md, tombstones",
                storeMutation: .replayFillsRemoved, firstSeed: 63421, test: "RemovedFileTests/mutant"),
            Mutant(
                name: "deletes objects with rows that nobody has looked at", rule: "store.md, tombstones",
                storeMutation: .deletesWithUnknownRows, firstSeed: 1, test: "CarriedCutTests/goneMeanwhile"),
            Mutant(
                name: "forgets a truncation of before a start", rule: "store.md, tombstones; traps.md 34",
                storeMutation: .forgetsCutsOfBefore, firstSeed: 1, theme: .contention,
                test: "CarriedCutTests/afterAStart"),
            Mutant(
                name: "takes cuts of a log for logged that are not", rule: "store.md 6",
                storeMutation: .unloggedForgotten, firstSeed: 1, theme: .learning, test: "CarriedCutTests/unlogged"),
            Mutant(
                name: "takes a record for void that later ones cover", rule: "store.md 2; traps.md 59",
                storeMutation: .voidThoughCovered, firstSeed: 1, theme: .powerLosses, test: "RuleTests/covered"),
            Mutant(
                name: "takes a piece's cuts for its whole row's", rule: "replication.md 12",
                storeMutation: .pieceTellsOfWholeRow, firstSeed: 70185, theme: .relocations,
                test: "RuleTests/cutOfARowInPieces"),
            Mutant(
                name: "stops all groups of a disk while one holds its log up", rule: "decisions/011",
                storeMutation: .logStaysWithinBound, firstSeed: 1, test: "FullLogTests/bound"),
            Mutant(
                name: "forgets lost pieces when it opens again", rule: "store.md 2",
                storeMutation: .lostPiecesForgotten,
                firstSeed: 1, test: "LostPieceTests/openedAgain"),
            Mutant(
                name: "takes all cuts of a learner at once", rule: "store.md, Bounds",
                storeMutation: .learnersCutsPileUp,
                firstSeed: 1, test: "HeldCutTests/learnersCuts"),
            Mutant(
                name: "takes a log that lost records for a torn one", rule: "store.md 3; traps.md 27",
                storeMutation: .corruptTakenForTorn, firstSeed: 1, theme: .rot, test: "RuleTests/corruptIsNotTorn"),
            Mutant(
                name: "replays before it marks slots", rule: "store.md, Allocation; traps.md 60",
                storeMutation: .replayLeavesSlotsUnmarked, firstSeed: 1),
            Mutant(
                name: "gives freed slots again at once", rule: "store.md, Pending; traps.md 61",
                storeMutation: .freedAtOnce, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "gives slots again under their readers", rule: "store.md, Pending; traps.md 61",
                storeMutation: .freedUnderReaders, firstSeed: 1, test: "RuleTests/slotsUnderReaders"),
            Mutant(
                name: "leaves the clean mark when it appends", rule: "replication.md 9; traps.md 69",
                storeMutation: .cleanMarkStays, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "trims what a database has not kept", rule: "store.md, Checkpoint; traps.md 32",
                storeMutation: .trimsWhatIsNotDurable, firstSeed: 1, theme: .powerLosses),
            Mutant(
                name: "takes a block that moved for a bad one", rule: "store.md 5; traps.md 66",
                storeMutation: .mismatchTakenAtOnce, firstSeed: 1, test: "RuleTests/movedBlock"),
            Mutant(
                name: "reads without verifying", rule: "store.md 5; traps.md 28",
                storeMutation: .readsUnverified, firstSeed: 1, theme: .rot),
            Mutant(
                name: "keeps cuts that the group does not have", rule: "replication.md 10", mutation: .foreignCutStays,
                firstSeed: 1, theme: .destructions),
            Mutant(
                name: "judges a learner's cuts by what is decided", rule: "replication.md 10",
                mutation: .cutsJudgedEarly,
                firstSeed: 1, test: "LostCutTests/cutOfTheTail"),
            Mutant(
                name: "keeps the lease of a group that it cannot lead", rule: "replication.md 8",
                mutation: .formerPrimaryKeepsLease, firstSeed: 1, theme: .handovers,
                test: "HandoverTests/refusedAndDamaged"),
            Mutant(
                name: "judges a learner's cuts by their names alone", rule: "replication.md 10",
                mutation: .cutsJudgedByName, firstSeed: 1, test: "LostCutTests/renamedCut"),
            Mutant(
                name: "compares copies as of different entries", rule: "replication.md 17", mutation: .scrubWithoutMark,
                firstSeed: 1, test: "ScrubTests/withoutMark"),
            Mutant(
                name: "does not look again at what a member did not answer", rule: "replication.md 17",
                mutation: .scrubForgetsWindow, firstSeed: 1, theme: .rot, test: "ScrubTests/memberGone"),
            Mutant(
                name: "compares with learners", rule: "replication.md 17", mutation: .scrubAsksLearners, firstSeed: 1,
                theme: .learning, test: "ScrubTests/learner"),
        ]
    }
#endif
