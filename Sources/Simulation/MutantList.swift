#if DEBUG || STAVE_MUTANTS
    extension Mutant {
        /// Those that a few hundred seeds find.
        public static let all: [Mutant] = [
            Mutant(
                name: "answers before the last backup has the entry", rule: "replication.md 3",
                mutation: .answerBeforeLastBackup, firstSeed: 11
            ) {
                $0.nodes = 3
                $0.copies = 3
                $0.faults = [.kill, .pause, .partition, .reset]
            },
            Mutant(
                name: "counts a removal as won when it is sent", rule: "replication.md 6", mutation: .removalTakenAsWon,
                firstSeed: 150
            ) {
                $0.faults = [.pause, .partition, .coordinatorAway, .kill]
                $0.nodes = 3
                $0.copies = 3
            },
            Mutant(
                name: "shrinks the set below the least number", rule: "replication.md 6", mutation: .belowMinInSync,
                firstSeed: 2),
            Mutant(
                name: "promotes with pieces missing", rule: "replication.md 15", mutation: .promoteWithPiecesMissing,
                firstSeed: 18),
            Mutant(
                name: "answers stable writes after the append", rule: "replication.md 3",
                mutation: .stableAfterAppendOnly, firstSeed: 1
            ) {
                $0.faults = [.powerLossOfAll]
            },
            Mutant(
                name: "does not raise the loss number", rule: "replication.md 9", mutation: .lossNumberNotRaised,
                firstSeed: 3
            ) {
                $0.faults = [.powerLossOfAll]
            },
            Mutant(
                name: "waits for a replica whose disk is out of use", rule: "replication.md 6", mutation: .goneUnheard,
                firstSeed: 33),
            Mutant(
                name: "answers after it sent the handover", rule: "replication.md 8", mutation: .answersAfterHandover,
                firstSeed: 1
            ) {
                $0.nodes = 3
                $0.copies = 3
                $0.faults = [.handover]
            },
            Mutant(
                name: "keeps no request window", rule: "replication.md 18", mutation: .noRequestWindow, firstSeed: 4),
            Mutant(
                name: "repairs with the primary's copy whatever its checksum", rule: "store.md 5",
                mutation: .giveWhateverThereIs, firstSeed: 1
            ) {
                $0.rot = .oneDisk
                $0.nodes = 3
                $0.copies = 3
                $0.metadata = false
                $0.dataGroups = 1
                $0.faults = [.pause, .checkpoint]
            },
        ]
    }
#endif
