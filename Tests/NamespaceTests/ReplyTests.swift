import ClusterModel
import Namespace
import Testing
import Wire

/// replication.md, 18 and 20: exactly once.
@Suite struct ReplyTests {
    private func remove(_ text: String) -> NamespaceOperation { .remove(directory: .root, name: name(text)) }
    private func identity(_ origin: UInt64, _ request: UInt64) -> CallIdentity {
        CallIdentity(origin: UInt128(origin), request: request)
    }

    @Test("a session is listed from its first request on until it is settled for, whoever opens the rows")
    func sessions() throws {
        var fileset = try TestFileset()
        let file = try fileset.make("a")
        #expect(fileset.machine.sessions.isEmpty)
        try fileset.run(.touchAccessTime(inode: file), session: 9, request: 1)
        try fileset.run(.registerWriter(inode: file, session: SessionID(4)), session: 4, request: 1)
        #expect(fileset.machine.sessions == [SessionID(4), SessionID(9)])
        let opened = try NamespaceMachine(fileset: .root, rows: fileset.rows)
        #expect(opened.sessions == [SessionID(4), SessionID(9)])
        try fileset.run(.settleSession(session: SessionID(4)))
        #expect(fileset.machine.sessions == [SessionID(9)])
        #expect(fileset.count(table: 5) == 0)
    }

    @Test("a request that comes twice is executed once and gets its first answer")
    func request() throws {
        var fileset = try TestFileset()
        _ = try fileset.make("a")
        let first = try fileset.run(remove("a"), session: 3, request: 1)
        let digest = try RowDigest(fileset.rows)
        let again = try fileset.run(remove("a"), session: 3, request: 1)
        #expect(again == first)
        #expect(again.failure == nil)
        #expect(try RowDigest(fileset.rows) == digest)
        #expect(try fileset.machine.keptResult(SessionID(3), RequestNumber(1), rows: fileset.rows) != nil)
        #expect(try fileset.machine.keptResult(SessionID(4), RequestNumber(1), rows: fileset.rows) == nil)
        #expect(try fileset.run(remove("a"), session: 3, request: 2).failure == .notFound)
    }

    @Test("a call that is retransmitted through another gateway gets its first answer, for 120 s")
    func call() throws {
        var fileset = try TestFileset()
        _ = try fileset.make("a")
        let first = try fileset.run(remove("a"), session: 3, request: 1, call: identity(1, 9))
        let again = try fileset.run(remove("a"), session: 4, request: 1, call: identity(1, 9))
        #expect(again == first)
        #expect(try fileset.run(remove("a"), session: 4, request: 1) == first, "also under the second number")
        #expect(try fileset.run(remove("a"), session: 4, request: 2, call: identity(2, 9)).failure == .notFound)
        let executed = fileset.clock
        fileset.clock = Timestamp(nanoseconds: executed.nanoseconds + 114_000_000_000)
        #expect(try fileset.run(remove("a"), session: 4, request: 3, call: identity(1, 9)) == first)
        fileset.clock = Timestamp(nanoseconds: executed.nanoseconds + 121_000_000_000)
        #expect(try fileset.run(remove("a"), session: 4, request: 4, call: identity(1, 9)).failure == .notFound)
    }

    @Test("failures are kept, too")
    func failures() throws {
        var fileset = try TestFileset()
        let first = try fileset.run(remove("a"), session: 3, request: 1, call: identity(1, 1))
        #expect(first.failure == .notFound)
        _ = try fileset.make("a")
        #expect(try fileset.run(remove("a"), session: 5, request: 1, call: identity(1, 1)) == first)
        #expect(try fileset.list(.root).count == 1)
    }

    @Test("a session's window has 256 results; below it nothing is executed")
    func window() throws {
        var fileset = try TestFileset()
        for i in 1...300 { try fileset.run(.recordUsage(bytes: UInt64(i)), session: 3, request: UInt64(i)) }
        #expect(fileset.rows.replyCount == 256)
        #expect(fileset.machine.isBelowWindow(SessionID(3), RequestNumber(44)))
        #expect(!fileset.machine.isBelowWindow(SessionID(3), RequestNumber(45)))
        #expect(try fileset.machine.keptResult(SessionID(3), RequestNumber(45), rows: fileset.rows) != nil)
        try fileset.run(.recordUsage(bytes: 9999), session: 3, request: 44)
        #expect(fileset.machine.state.usage.bytes == 300)
        #expect(fileset.rows.replyCount == 256)
    }

    @Test("a call is kept though its request has left the session's window, and a request though its call expired")
    func independent() throws {
        var fileset = try TestFileset()
        fileset.clock = time(3000)
        for i in 1...300 {
            let change = fileset.next(
                .recordUsage(bytes: UInt64(i)), session: 3, request: UInt64(i), call: identity(1, UInt64(i)))
            fileset.clock = time(3000)
            _ = try fileset.machine.apply(change, rows: fileset.rows)
        }
        #expect(fileset.rows.replyCount == 300)
        #expect(try fileset.machine.keptResult(identity(1, 1), at: time(3001), rows: fileset.rows) != nil)
        fileset.clock = time(4000)
        for _ in 0..<5 { try fileset.run(.recordUsage(bytes: 1)) }
        #expect(fileset.rows.replyCount == 256)
        #expect(try fileset.machine.keptResult(SessionID(3), RequestNumber(300), rows: fileset.rows) != nil)
    }

    @Test("numbers may arrive out of order within the window")
    func order() throws {
        var fileset = try TestFileset()
        for i in [5, 2, 9, 1, 250, 3] {
            try fileset.run(.recordUsage(bytes: UInt64(i)), session: 3, request: UInt64(i))
            #expect(fileset.machine.state.usage.bytes == UInt64(i))
        }
    }

    @Test("an origin keeps its newest 4,096 calls, all origins together 65,536")
    func bounds() throws {
        var fileset = try TestFileset()
        fileset.clock = time(5000)
        func call(_ origin: UInt64, _ request: UInt64) throws {
            let change = fileset.next(.recordUsage(bytes: request), call: identity(origin, request))
            // All within the same 120 s.
            fileset.clock = time(5000)
            _ = try fileset.machine.apply(change, rows: fileset.rows)
        }
        func isKept(_ origin: UInt64, _ request: UInt64) throws -> Bool {
            try fileset.machine.keptResult(identity(origin, request), at: time(5000), rows: fileset.rows) != nil
        }
        for i in 1...4100 { try call(1, UInt64(i)) }
        #expect(try !isKept(1, 4))
        #expect(try isKept(1, 5))
        #expect(fileset.rows.replyCount == 4096)
        for origin in 2...17 { for i in 1...4000 { try call(UInt64(origin), UInt64(i)) } }
        #expect(fileset.rows.replyCount == 65_536)
        #expect(try !isKept(1, 2564))
        #expect(try isKept(17, 4000))
    }

    @Test("what expired is pruned by later entries, and its rows go")
    func pruned() throws {
        var fileset = try TestFileset()
        for i in 1...100 { try fileset.run(.recordUsage(bytes: 1), call: identity(1, UInt64(i))) }
        #expect(fileset.rows.replyCount == 100)
        fileset.clock = Timestamp(nanoseconds: fileset.clock.nanoseconds + 121_000_000_000)
        try fileset.run(.recordUsage(bytes: 1))
        #expect(fileset.rows.replyCount == 36)
        try fileset.run(.recordUsage(bytes: 1))
        #expect(fileset.rows.replyCount == 0)
    }

    @Test("a digest has what can still be found, and is the same before and after rows of expired calls have gone")
    func digest() throws {
        var fileset = try TestFileset()
        for i in 1...300 { try fileset.run(.recordUsage(bytes: UInt64(i)), session: 3, request: UInt64(i)) }
        for i in 1...100 { try fileset.run(.recordUsage(bytes: 1), call: identity(1, UInt64(i))) }
        func digest(_ machine: NamespaceMachine, after n: UInt64 = 0, limit: Int = 100_000) throws -> ReplyDigest {
            try machine.replyDigest(after: n, limit: limit, rows: fileset.rows)
        }
        #expect(try digest(fileset.machine).count == 356)
        #expect(try digest(fileset.machine) == digest(NamespaceMachine(fileset: .root, rows: fileset.rows)))
        fileset.clock = Timestamp(nanoseconds: fileset.clock.nanoseconds + 121_000_000_000)
        try fileset.run(.recordUsage(bytes: 1))
        let kept = try digest(fileset.machine)
        #expect(kept.count == 256 && fileset.rows.replyCount == 292)
        try fileset.run(.recordUsage(bytes: 1))
        #expect(fileset.rows.replyCount == 256)
        #expect(try digest(fileset.machine) == kept)
        // In parts.
        var n: UInt64 = 0
        var counts: [Int] = []
        while true {
            let part = try digest(fileset.machine, after: n, limit: 100)
            counts.append(part.count)
            guard let end = part.end else { break }
            n = end
        }
        #expect(counts == [100, 100, 56])
        // One that is another, or is missing.
        let some = try #require(fileset.rows.replies(after: 0, limit: 1).first)
        fileset.rows.putReply(some.n, some.bytes.dropLast() + [some.bytes[some.bytes.count - 1] ^ 1])
        #expect(try digest(fileset.machine) != kept)
        fileset.rows.deleteReply(some.n)
        #expect(try digest(fileset.machine) != kept)
    }

    @Test("the end of a session ends its window, but not the calls that came through it")
    func sessionEnd() throws {
        var fileset = try TestFileset()
        try fileset.run(.recordUsage(bytes: 1), session: 3, request: 1)
        try fileset.run(.recordUsage(bytes: 2), session: 3, request: 2, call: identity(1, 1))
        try fileset.run(.settleSession(session: SessionID(3)))
        #expect(fileset.rows.replyCount == 1)
        #expect(try fileset.machine.keptResult(SessionID(3), RequestNumber(2), rows: fileset.rows) == nil)
        #expect(try fileset.machine.keptResult(identity(1, 1), at: fileset.clock, rows: fileset.rows) != nil)
        let reopened = try NamespaceMachine(fileset: .root, rows: fileset.rows)
        #expect(try reopened.keptResult(SessionID(3), RequestNumber(2), rows: fileset.rows) == nil)
        #expect(try reopened.keptResult(identity(1, 1), at: fileset.clock, rows: fileset.rows) != nil)
    }

    @Test("what had left a session's window when the session ended makes no new window at whoever opens the rows then")
    func noWindowOfTheGone() throws {
        var fileset = try TestFileset()
        fileset.clock = time(3000)
        for i in 1...600 {
            let change = fileset.next(
                .recordUsage(bytes: UInt64(i)), session: 3, request: UInt64(i), call: identity(1, UInt64(i)))
            // All within the same 120 s.
            fileset.clock = time(3000)
            _ = try fileset.machine.apply(change, rows: fileset.rows)
        }
        try fileset.run(.settleSession(session: SessionID(3)))
        let reopened = try NamespaceMachine(fileset: .root, rows: fileset.rows)
        #expect(reopened.sessions.isEmpty)
        let one = try fileset.machine.replyDigest(after: 0, limit: 1000, rows: fileset.rows)
        #expect(try reopened.replyDigest(after: 0, limit: 1000, rows: fileset.rows) == one)
        #expect(one.count == 600)
        // Nothing is left when the calls have expired, there either.
        fileset.machine = reopened
        fileset.clock = Timestamp(nanoseconds: fileset.clock.nanoseconds + 121_000_000_000)
        for _ in 0..<12 { try fileset.run(.recordUsage(bytes: 1)) }
        #expect(fileset.rows.replyCount == 0)
    }

    @Test("after a restart the windows are those from before", arguments: [1, 2, 3])
    func restart(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var fileset = try TestFileset()
        var numbers: [UInt64: UInt64] = [:]
        for _ in 0..<3000 {
            let session = UInt64(1 + random.below(3))
            numbers[session, default: 0] += 1
            let call = random.below(3) == 0 ? nil : identity(UInt64(random.below(3)), UInt64(random.below(500)))
            try fileset.run(
                .recordUsage(bytes: 1), session: session, request: numbers[session] ?? 1, call: call)
            if random.below(200) == 0 {
                fileset.clock = Timestamp(nanoseconds: fileset.clock.nanoseconds + 60_000_000_000)
            }
        }
        let reopened = try NamespaceMachine(fileset: .root, rows: fileset.rows)
        for session in UInt64(1)...3 {
            for number in 1...(numbers[session] ?? 1) {
                let before = try fileset.machine.keptResult(
                    SessionID(session), RequestNumber(number), rows: fileset.rows)
                #expect(
                    try reopened.keptResult(SessionID(session), RequestNumber(number), rows: fileset.rows) == before)
            }
        }
        for origin in UInt64(0)..<3 {
            for request in UInt64(0)..<500 {
                let call = identity(origin, request)
                let before = try fileset.machine.keptResult(call, at: fileset.clock, rows: fileset.rows)
                #expect(try reopened.keptResult(call, at: fileset.clock, rows: fileset.rows) == before, "seed \(seed)")
            }
        }
    }

    @Test("an entry out of turn and one of an unknown meaning stop the replica; a replayed one does nothing")
    func turns() throws {
        var fileset = try TestFileset()
        let change = fileset.next(.recordUsage(bytes: 5))
        var early = change
        early.name.n += 1
        #expect(throws: NamespaceFault.outOfOrder(applied: fileset.machine.applied, next: early.name)) {
            try fileset.machine.apply(early, rows: fileset.rows)
        }
        #expect(try fileset.machine.apply(change, rows: fileset.rows) != nil)
        #expect(try fileset.machine.apply(change, rows: fileset.rows) == nil)
        try fileset.machine.skip(EntryName(epoch: Epoch(2), n: change.name.n + 1))
        try fileset.machine.commit(rows: fileset.rows)
        var strange = fileset.next(.recordUsage(bytes: 6))
        strange.name = EntryName(epoch: Epoch(2), n: change.name.n + 2)
        let unknown = FilesetState.semantics.upperBound + 1
        strange.entry.semantics = unknown
        #expect(throws: NamespaceFault.unknownSemantics(unknown)) {
            try fileset.machine.apply(strange, rows: fileset.rows)
        }
    }
}
