import ClusterModel
import Testing
import Wire

@testable import Replication

/// What a scrub finds in the windows of requests and the kept replies.
struct WindowScrubTests {
    typealias Trio = HandoverTests.Trio

    static let session = SessionID(1)

    private func entry(_ n: UInt64) -> EntryName { EntryName(epoch: Epoch(1), n: n) }

    /// All remember the same two requests.
    private func remembering() throws -> Trio {
        let trio = try Trio()
        trio.begin()
        for group in trio.groups {
            for number in 1...2 as ClosedRange<UInt64> {
                group.windows.record(
                    Self.session, RequestNumber(number), entry: entry(number),
                    stamp: LossNumber(group === trio.groups[0] ? 1 : 0))
            }
        }
        return trio
    }

    private func result(_ trio: Trio) throws -> ScrubResult {
        trio.groups[0].beginScrub(at: trio.moment)
        trio.settle()
        ScrubTests.answer(trio) { ask, _ in ScrubTests.finding(ask) }
        return try ScrubTests.result(trio)
    }

    @Test("windows that are the same are found so, whatever members know of the stamps of answers")
    func clean() throws {
        let result = try result(try remembering())
        #expect(result.isClean && result.sessions == 1)
    }

    @Test("a member that has forgotten a request, or knows it under another entry, is named with the session")
    func differing() throws {
        for change in 0..<3 {
            let trio = try remembering()
            switch change {
            case 0: trio.groups[2].windows.forget(Self.session, RequestNumber(2))
            case 1: trio.groups[2].windows.record(Self.session, RequestNumber(2), entry: entry(3), stamp: .zero)
            default: trio.groups[2].windows.removeAll()
            }
            let result = try result(trio)
            #expect(
                result.differing == [ScrubResult.Difference(place: .window(Self.session), members: [NodeID(3)])],
                "change \(change)")
            #expect(!result.isClean && trio.proposals.isEmpty && !trio.groups[2].isLearning)
        }
    }

    @Test("sessions that have ended are not compared: each member drops them in its own time")
    func ended() throws {
        let trio = try remembering()
        trio.groups[1].windows.record(SessionID(2), RequestNumber(1), entry: entry(1), stamp: .zero)
        var map = trio.map
        map.version = map.version.next
        map.lastSession = SessionID(3)
        trio.groups[0].mapChanged(map, at: trio.moment)
        #expect(try result(trio).isClean)
        #expect(trio.groups[1].windows.hasWindow(SessionID(2)))
        trio.groups[1].mapChanged(map, at: trio.moment)
        #expect(!trio.groups[1].windows.hasWindow(SessionID(2)))
    }

    @Test("where a member's map is newer than the primary's, nothing is concluded from a session that is missing there")
    func newerMap() throws {
        let trio = try remembering()
        var map = trio.map
        map.version = map.version.next
        map.liveSessions = []
        trio.groups[1].mapChanged(map, at: trio.moment)
        let result = try result(trio)
        #expect(result.differingCount == 0 && result.unsettled == 1)
    }

    @Test("a session that is newer than a member's map is not dropped when a map comes that does not have it yet")
    func mapBehind() throws {
        let trio = try remembering()
        let group = trio.groups[1]
        group.windows.record(SessionID(7), RequestNumber(1), entry: entry(5), stamp: .zero)
        var map = trio.map
        map.version = map.version.next
        map.lastSession = SessionID(6)
        group.mapChanged(map, at: trio.moment)
        #expect(group.windows.hasWindow(SessionID(7)))
        map.version = map.version.next
        map.lastSession = SessionID(7)
        group.mapChanged(map, at: trio.moment)
        #expect(!group.windows.hasWindow(SessionID(7)))
    }

    @Test("a kept reply that differs is found by its entry, however many are the same")
    func replies() throws {
        let trio = try Trio(pg: .metadata(.root))
        trio.begin()
        trio.groups[0].beginScrub(at: trio.moment)
        trio.settle()
        for _ in 0..<4000 where trio.scrubOutcomes.isEmpty {
            trio.pass(milliseconds: 30)
            let asked = trio.scrubs
            trio.scrubs = []
            for (member, ask, to, epoch) in asked {
                guard case .rows(let from, let limit) = ask.part else { continue }
                var found = RowsFinding(asOf: ask.mark, digest: 0, count: 0, end: nil)
                if from.first == ScrubAsk.replies {
                    // Of entries 10 to 2,000; one member has another reply of entry 777.
                    let first = max(ScrubAsk.entry(before: from) + 1, 10)
                    for n in first..<max(min(first + UInt64(limit), 2001), first) {
                        found.digest = StableHash.combine(found.digest, member == 2 && n == 777 ? 0 : n)
                        found.count += 1
                        if found.count == limit { found.end = ScrubAsk.replyKey(n) }
                    }
                }
                trio.groups[member].scrubRead(
                    ScrubAnswer(request: ask.request, content: .rows(found)), to: to, epoch: epoch, at: trio.moment)
                trio.settle()
            }
        }
        let result = try ScrubTests.result(trio)
        #expect(result.differing == [ScrubResult.Difference(place: .reply(n: 777), members: [NodeID(3)])])
        #expect(result.replies == 1990)
    }

    @Test("keys of replies come in the order of their entries, behind all rows, and go on behind each")
    func keys() {
        var last: [UInt8] = [5, 255, 255, 255, 255, 255, 255, 255, 255, 255]
        for n in [1, 2, 255, 256, 1 << 40, .max] as [UInt64] {
            let key = ScrubAsk.replyKey(n)
            #expect(last.lexicographicallyPrecedes(key))
            #expect(ScrubAsk.entry(before: key + [0]) == n)
            #expect(ScrubAsk.entry(before: key) == n - 1)
            last = key
        }
        #expect(ScrubAsk.entry(before: [ScrubAsk.replies]) == 0)
    }
}
