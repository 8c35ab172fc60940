import ClusterModel
import ONCRPC
import Testing

@testable import NFS

private func key(_ file: UInt64, client: UInt32 = 1) -> VerifierHistory.Key {
    VerifierHistory.Key(
        client: Caller(address: ClientAddress(v4: client), credential: .none),
        file: FileID(fileset: .root, inode: InodeNumber(file)))
}

/// A COMMIT from its beginning to its verdict.
private func commit(
    _ history: inout VerifierHistory, _ key: VerifierHistory.Key, stamp: UInt64,
    knowledge: VerifierHistory.Knowledge = .sinceOpened, sinceRise: Int64? = nil
) -> VerifierHistory.Verdict {
    let covered = history.commitBegan(key)
    return history.committed(
        key, covered: covered, stamp: LossNumber(stamp), knowledge: knowledge, sinceRise: sinceRise)
}

@Suite struct VerifierHistoryTests {
    @Test("Without a rise no COMMIT fails")
    func noRise() {
        var history = VerifierHistory()
        history.wrote(key(1), stamp: LossNumber(3))
        #expect(commit(&history, key(1), stamp: 3) == .ok)
        #expect(history.count == 0)
    }

    @Test("A write before the rise fails the first COMMIT after it, and only that one")
    func once() {
        var history = VerifierHistory()
        history.wrote(key(1), stamp: LossNumber(3))
        #expect(commit(&history, key(1), stamp: 4, sinceRise: 1) == .lost(LossNumber(4)))
        history.wrote(key(1), stamp: LossNumber(4))
        #expect(commit(&history, key(1), stamp: 4, sinceRise: 2) == .ok)
    }

    @Test("The lowest stamp of the unflushed writes counts, whatever came after it")
    func lowest() {
        var history = VerifierHistory()
        history.wrote(key(1), stamp: LossNumber(3))
        history.wrote(key(1), stamp: LossNumber(4))
        #expect(commit(&history, key(1), stamp: 4) == .lost(LossNumber(4)))
    }

    @Test("Each rise, each file and each client has its own error")
    func separate() {
        var history = VerifierHistory()
        for k in [key(1), key(2), key(1, client: 2)] { history.wrote(k, stamp: LossNumber(3)) }
        #expect(commit(&history, key(1), stamp: 4) == .lost(LossNumber(4)))
        #expect(commit(&history, key(2), stamp: 4) == .lost(LossNumber(4)))
        #expect(commit(&history, key(1, client: 2), stamp: 4) == .lost(LossNumber(4)))
        history.wrote(key(1), stamp: LossNumber(4))
        #expect(commit(&history, key(1), stamp: 5) == .lost(LossNumber(5)))
    }

    @Test("A write answered while a COMMIT is under way is not covered by it")
    func duringCommit() {
        var history = VerifierHistory()
        history.wrote(key(1), stamp: LossNumber(3))
        let covered = history.commitBegan(key(1))
        history.wrote(key(1), stamp: LossNumber(3))
        #expect(
            history.committed(
                key(1), covered: covered, stamp: LossNumber(3), knowledge: .sinceOpened, sinceRise: nil) == .ok)
        #expect(commit(&history, key(1), stamp: 4) == .lost(LossNumber(4)))
    }

    @Test("A COMMIT that failed covers nothing")
    func failedCommit() {
        var history = VerifierHistory()
        history.wrote(key(1), stamp: LossNumber(3))
        let covered = history.commitBegan(key(1))
        history.commitFailed(key(1), covered: covered)
        #expect(commit(&history, key(1), stamp: 4) == .lost(LossNumber(4)))
    }

    @Test("A COMMIT of a part is judged like any other and covers nothing")
    func partial() {
        var history = VerifierHistory()
        history.wrote(key(1), stamp: LossNumber(3))
        #expect(history.partialCommitBegan(key(1)) == LossNumber(3))
        #expect(
            history.committed(
                key(1), covered: LossNumber(3), stamp: LossNumber(3), knowledge: .sinceOpened, sinceRise: nil) == .ok)
        #expect(commit(&history, key(1), stamp: 4) == .lost(LossNumber(4)))
    }

    @Test("Unknown history fails one COMMIT in the ten minutes after a rise, and none later or without a rise")
    func unknown() {
        var history = VerifierHistory()
        #expect(commit(&history, key(1), stamp: 4, knowledge: .unknown, sinceRise: 599) == .lost(LossNumber(4)))
        #expect(commit(&history, key(1), stamp: 4, knowledge: .unknown, sinceRise: 599) == .ok)
        #expect(commit(&history, key(2), stamp: 4, knowledge: .unknown, sinceRise: 600) == .ok)
        #expect(commit(&history, key(3), stamp: 4, knowledge: .unknown, sinceRise: nil) == .ok)
        #expect(commit(&history, key(4), stamp: 0, knowledge: .unknown, sinceRise: 1) == .ok)
        #expect(commit(&history, key(5), stamp: 4, knowledge: .sinceOpened, sinceRise: 1) == .ok)
    }

    @Test("When the table is full of unflushed files, a further file's writes must be made stable")
    func full() {
        var history = VerifierHistory(bound: 2)
        for file in 1...2 as ClosedRange<UInt64> {
            #expect(history.canRecord(key(file)) == true)
            history.wrote(key(file), stamp: LossNumber(1))
        }
        #expect(history.canRecord(key(3)) == false)
        #expect(history.canRecord(key(1)) == true)
        #expect(commit(&history, key(1), stamp: 1) == .ok)
        #expect(history.canRecord(key(3)) == true)
    }
}

@Suite struct AdmissionTests {
    private final class Someone {}

    @Test("At the bound nobody is admitted, and those in line are woken in their order")
    func order() {
        var admission = Admission(callBound: 2, byteBound: 100)
        let people = (0..<3).map { _ in Someone() }
        let ids = people.map { ObjectIdentifier($0) }
        var share = Admission.Share()
        admission.took(calls: 2, bytes: 10, share: &share)
        for id in ids { #expect(admission.admits(id, share: Admission.Share()) == false) }
        #expect(admission.admits(ids[0], share: Admission.Share()) == false)
        #expect(admission.nextInLine() == nil)
        admission.gaveBack(calls: 1, bytes: 5, share: &share)
        admission.left(ids[1])
        #expect(admission.nextInLine() == ids[0])
        #expect(admission.nextInLine() == ids[2])
        #expect(admission.nextInLine() == nil)
    }

    @Test("Bytes bound as calls do")
    func bytes() {
        var admission = Admission(callBound: 2, byteBound: 100)
        let someone = Someone()
        var share = Admission.Share()
        admission.took(calls: 1, bytes: 100, share: &share)
        #expect(admission.admits(ObjectIdentifier(someone), share: share) == false)
        admission.gaveBack(calls: 1, bytes: 100, share: &share)
        #expect(admission.admits(ObjectIdentifier(someone), share: share) == true)
    }

    @Test("One connection cannot take all of the gateway")
    func share() {
        var admission = Admission()
        let (greedy, other) = (Someone(), Someone())
        var share = Admission.Share()
        admission.took(calls: NFSLimits.heldCallsPerConnection, bytes: 0, share: &share)
        #expect(admission.admits(ObjectIdentifier(greedy), share: share) == false)
        #expect(admission.admits(ObjectIdentifier(other), share: Admission.Share()) == true)
    }
}
