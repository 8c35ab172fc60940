import ClusterModel
import Testing
import Wire

@testable import Replication

struct RequestWindowTests {
    private let session = SessionID(4)

    @Test("a number that was seen is found with its entry and stamp, until the number 256 later takes its place")
    func window() {
        var w = RequestWindows()
        let entry = EntryName(epoch: Epoch(1), n: 9)
        w.record(session, RequestNumber(3), entry: entry, stamp: .zero)
        w.stamp(session, RequestNumber(3), entry: entry, LossNumber(2))
        guard case .known(let slot) = w.find(session, RequestNumber(3)) else {
            Issue.record("not found")
            return
        }
        #expect(slot.entry == entry && slot.stamp == LossNumber(2))
        #expect(w.find(session, RequestNumber(4)) == .new)
        w.record(session, RequestNumber(259), entry: EntryName(epoch: Epoch(1), n: 10), stamp: .zero)
        #expect(w.find(session, RequestNumber(3)) == .below)
    }

    @Test("a request whose content was lost leaves the window, so that its retry is executed")
    func forget() {
        var w = RequestWindows()
        w.record(session, RequestNumber(3), entry: EntryName(epoch: Epoch(1), n: 9), stamp: .zero)
        w.forget(session, RequestNumber(3))
        #expect(w.find(session, RequestNumber(3)) == .new)
    }

    @Test("a lost request that was executed again meanwhile stays known")
    func forgetLate() {
        var w = RequestWindows()
        w.record(session, RequestNumber(3), entry: EntryName(epoch: Epoch(1), n: 9), stamp: .zero)
        w.forget(session, RequestNumber(3), before: EntryName(epoch: Epoch(2), n: 9))
        #expect(w.find(session, RequestNumber(3)) != .new)
        w.forget(session, RequestNumber(3), before: EntryName(epoch: Epoch(2), n: 10))
        #expect(w.find(session, RequestNumber(3)) == .new)
    }

    @Test("a cut entry gives back what it displaced, so that equal logs remember the same")
    func cut() {
        var whole = RequestWindows()
        whole.record(session, RequestNumber(3), entry: EntryName(epoch: Epoch(1), n: 9), stamp: .zero)
        var cut = whole
        let items = [(259, 10), (515, 11)].map { (number: UInt64, n: UInt64) -> LogTail.Item in
            let entry = Entry(
                name: EntryName(epoch: Epoch(1), n: n), body: .empty, session: session, request: RequestNumber(number),
                call: nil, durability: .unstable, lossNumber: .zero, time: .zero, payload: nil)
            let displaced = cut.record(session, entry.request, entry: entry.name, stamp: .zero)
            return LogTail.Item(entry: entry, token: .none, displaced: displaced)
        }
        #expect(cut.find(session, RequestNumber(3)) == .below)
        #expect(cut.findings != whole.findings)
        for item in items.reversed() { cut.takeBack(item) }
        #expect(cut.find(session, RequestNumber(3)) == whole.find(session, RequestNumber(3)))
        #expect(cut.findings == whole.findings)
    }

    @Test("windows and marks survive their codec, and only what the tables are as of travels")
    func tables() throws {
        var w = RequestWindows()
        w.record(session, RequestNumber(1), entry: EntryName(epoch: Epoch(1), n: 5), stamp: LossNumber(1))
        w.record(session, RequestNumber(2), entry: EntryName(epoch: Epoch(1), n: 6), stamp: LossNumber(1))
        var m = FileMarks()
        let file = FileID(fileset: FilesetID(1), inode: InodeNumber(8))
        let mark = FileMarks.Mark(
            truncation: TruncationMark(number: TruncationNumber(3), size: 4096), removed: .truncation)
        m.set(file, mark, limit: 10)
        var h = EpochHistory()
        h.append(EntryName(epoch: Epoch(1), n: 5))
        let tables = ReplicaTables(asOf: EntryName(epoch: Epoch(1), n: 5), history: h, windows: w, marks: m)
        let read = try ReplicaTables(decoding: tables.encoded())
        #expect(read.windows.find(session, RequestNumber(1)) != .new)
        #expect(read.windows.find(session, RequestNumber(2)) == .new)
        #expect(read.marks.newest(file) == mark)
        #expect(read.history == h)
    }

    @Test("a replica's state survives its codec, and no truncation of it is taken")
    func state() throws {
        var s = ReplicaState(boot: BootID(7))
        s.promised = Epoch(4)
        s.formerBoots = [BootID(6)]
        s.lostPower = true
        s.learning = true
        s.completeThrough = EntryName(epoch: Epoch(2), n: 3)
        s.completeHistory.append(EntryName(epoch: Epoch(2), n: 3))
        s.voids = [
            VoidRecord(
                entry: EntryName(epoch: Epoch(2), n: 4),
                object: ObjectID(file: FileID(fileset: FilesetID(1), inode: InodeNumber(2)), index: 3),
                request: LostRequest(session: SessionID(1), request: RequestNumber(2)))
        ]
        let bytes = s.encoded()
        #expect(try ReplicaState(decoding: bytes) == s)
        for end in 0..<bytes.count {
            #expect(throws: WireError.self) { try ReplicaState(decoding: Array(bytes[..<end])) }
        }
    }

    @Test("a mark is replaced only by a later truncation, and a removal by nothing")
    func marks() {
        var m = FileMarks()
        let file = FileID(fileset: FilesetID(1), inode: InodeNumber(8))
        func mark(_ n: UInt64, _ kind: RangeDeletion.Kind) -> FileMarks.Mark {
            FileMarks.Mark(truncation: TruncationMark(number: TruncationNumber(n), size: 0), removed: kind)
        }
        m.set(file, mark(5, .truncation), limit: 10)
        m.set(file, mark(4, .truncation), limit: 10)
        #expect(m.newest(file) == mark(5, .truncation))
        m.set(file, mark(6, .removal), limit: 10)
        m.set(file, mark(7, .truncation), limit: 10)
        #expect(m.newest(file) == mark(6, .removal))
        for i in 100..<200 {
            m.set(FileID(fileset: FilesetID(1), inode: InodeNumber(UInt64(i))), mark(1, .truncation), limit: 10)
        }
        #expect(m.list.count <= 10)
    }
}
