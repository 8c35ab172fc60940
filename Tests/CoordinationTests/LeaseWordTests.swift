import ClusterModel
import Testing

@testable import Coordination

@Suite("Lease words") struct LeaseWordTests {
    @Test("a word holds 24 bits of number and 40 bits of expiry") func packing() {
        let greatest = LeaseNumber(CoordinationLimits.greatestLeaseNumber)
        for number in [LeaseNumber(1), LeaseNumber(0x80_0001), greatest] {
            for expiry in [1, 1 << 39, LeaseWord.greatestExpiry] as [UInt64] {
                let word = LeaseWord(number: number, expiry: expiry)
                #expect(word.number == number && word.expiry == expiry && !word.isRevoked)
            }
        }
        #expect(LeaseWord(number: greatest, expiry: .max).expiry == LeaseWord.greatestExpiry)
        #expect(LeaseWord(number: greatest, expiry: .max).number == greatest)
        #expect(
            LeaseWord.revoked(LeaseNumber(3)).isRevoked && LeaseWord.revoked(LeaseNumber(3)).number == LeaseNumber(3))
        #expect(!LeaseWord.unused.isRevoked)
    }

    @Test("a number has ended if it was revoked or replaced, not if it only ran out") func states() {
        let number = LeaseNumber(7)
        func state(_ word: LeaseWord) -> LeaseWordState { word.state(of: number, drawn: 1000, duration: 600) }
        #expect(state(LeaseWord(number: number, expiry: 5)) == .held(until: 5))
        #expect(state(.revoked(number)) == .ended)
        #expect(state(LeaseWord(number: LeaseNumber(8), expiry: 5)) == .ended)
        #expect(state(.revoked(LeaseNumber(8))) == .ended)
        #expect(state(.unused) == .notWritten(until: 1600))
        #expect(state(.revoked(LeaseNumber(6))) == .notWritten(until: 1600))
        #expect(state(LeaseWord(number: LeaseNumber(6), expiry: 9999)) == .notWritten(until: 1600))
    }

    @Test("a process word tells processes apart by id and start") func processWords() {
        #expect(ProcessWord(process: 4_194_303, started: 1).rawValue >> 42 == 4_194_303)
        #expect(ProcessWord(process: 1, started: 2) != ProcessWord(process: 2, started: 1))
        #expect(ProcessWord(process: 1, started: 2) != ProcessWord(process: 1, started: 3))
    }
}

@Suite("Transactions, without a store") struct TransactionTests {
    @Test("all comparisons must hold, and every lease that has not ended is named") func verdicts() {
        let versions: [String: KeyVersion] = ["a": .changed(Revision(3))]
        func verdict(_ comparisons: [Comparison]) -> TransactionVerdict {
            TransactionVerdict.of(
                comparisons, version: { versions[$0.description] ?? .absent }, leaseEnded: { $0.rawValue < 10 })
        }
        #expect(verdict([]) == .holds)
        #expect(
            verdict([.version("a", .changed(Revision(3))), .version("b", .absent), .leaseEnded(LeaseNumber(9))])
                == .holds)
        #expect(verdict([.version("a", .changed(Revision(2)))]) == .fails(leasesNotEnded: []))
        #expect(verdict([.version("a", .absent)]) == .fails(leasesNotEnded: []))
        #expect(
            verdict([.leaseEnded(LeaseNumber(10)), .leaseEnded(LeaseNumber(1)), .leaseEnded(LeaseNumber(11))])
                == .fails(leasesNotEnded: [LeaseNumber(10), LeaseNumber(11)]))
    }

    @Test("the first key behind a prefix is behind all keys with it and not behind others") func prefixes() {
        #expect(Key("a").firstBehindPrefix == Key("b"))
        #expect(Key([1, 0xff]).firstBehindPrefix == Key([2]))
        #expect(Key([0xff, 0xff]).firstBehindPrefix == nil)
        #expect(Key([]).firstBehindPrefix == nil)
    }

    @Test("a place is lost once deletions behind it may be forgotten") func places() {
        func header(_ revision: Int64, forgotten: Int64) -> LocalStore.Header {
            .init(
                cluster: ClusterID(1), revision: Revision(revision), forgotten: Revision(forgotten), nextLease: 1,
                nextWord: 0,
                leaseFile: nil)
        }
        let whole = LocalStore.Place(revision: Revision(5), key: nil)
        let inside = LocalStore.Place(revision: Revision(5), key: Key("a"))
        #expect(!LocalWatches.isLost(whole, header(9, forgotten: 5)))
        #expect(LocalWatches.isLost(whole, header(9, forgotten: 6)))
        #expect(!LocalWatches.isLost(inside, header(9, forgotten: 4)))
        #expect(LocalWatches.isLost(inside, header(9, forgotten: 5)))
        #expect(LocalWatches.isLost(whole, header(4, forgotten: 0)))
    }
}

@Suite("Stopped holders") struct StoppedHolderTests {
    @Test("the lock table gives the holders of a file and not those who wait") func lockTable() {
        let table = """
            1: POSIX  ADVISORY  READ 6967 fe:00:9577998 128 128
            2: POSIX  ADVISORY  WRITE 41 fe:00:77 1073741825 1073741825
            2: -> POSIX  ADVISORY  WRITE 42 fe:00:77 1073741825 1073741825
            3: FLOCK  ADVISORY  WRITE 43 fe:00:77 0 EOF
            4: POSIX  ADVISORY  READ 40 fe:00:77 1073741826 1073742335
            4: POSIX  ADVISORY  READ 40 fe:00:77 1073741830 1073741830
            5: POSIX  ADVISORY  READ -1 fe:00:77 1073741826 1073742335
            broken line
            """
        #expect(LockTable.holders(ofInode: 77, in: table) == [40, 41])
        #expect(LockTable.holders(ofInode: 7, in: table).isEmpty)
    }

    @Test("a process' state and start are read past any name") func status() {
        let rest = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 9876 20 21"
        let stopped = ProcessStatus(stat: "12 (a) R (x) T" + rest)
        #expect(stopped?.isStopped == true && stopped?.started == 9876)
        #expect(ProcessStatus(stat: "12 (T) S" + rest)?.isStopped == false)
        #expect(ProcessStatus(stat: "12 (traced) t" + rest)?.isStopped == false)
        #expect(ProcessStatus(stat: "12 (cut) T 1 2") == nil)
        #expect(ProcessStatus(stat: "") == nil)
    }

    @Test("a process with a lease that has not run out is not judged; run-out ones are revoked first")
    func holderWithLease() throws {
        let folder = try TestFolder()
        let file = try LeaseFile.make(path: folder.path + "/leases", id: LeaseFileID(1), boot: BootID(2))
        let now = Instant(milliseconds: 10_000)
        func set(_ index: Int, process: Int32, _ word: LeaseWord) {
            file.claim(index, process: ProcessWord(process: process, started: 5))
            _ = file.exchange(index, expected: file.word(index), desired: word)
        }
        func ended(_ process: Int32, started: UInt64 = 5) -> [LeaseNumber]? {
            StoppedHolderWatch.endedLeases(of: process, started: started, in: file, now: now)
        }
        set(0, process: 100, LeaseWord(number: LeaseNumber(1), expiry: 9_000))
        set(1, process: 100, .revoked(LeaseNumber(2)))
        set(2, process: 200, LeaseWord(number: LeaseNumber(3), expiry: 9_000))
        set(3, process: 200, LeaseWord(number: LeaseNumber(4), expiry: 11_000))
        #expect(ended(100) == [LeaseNumber(1), LeaseNumber(2)])
        #expect(file.word(0) == .revoked(LeaseNumber(1)))
        #expect(ended(200) == nil)
        #expect(file.word(3) == LeaseWord(number: LeaseNumber(4), expiry: 11_000))
        #expect(ended(200, started: 6) == [], "another process with this id")
        #expect(ended(300) == [])
    }
}
