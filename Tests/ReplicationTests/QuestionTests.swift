import ClusterModel
import Testing
import Wire

@testable import Replication

/// Questions about a namespace beside entries that fix times.
struct QuestionTests {
    typealias Trio = HandoverTests.Trio

    /// What was asked of the rows at the first member, oldest first.
    private final class Rows {
        var asked: [(ticket: ReadTicket, asOf: Timestamp)] = []
        var isStuck = false
    }

    /// A metadata group that serves, whose backups write nothing while `isStuck`.
    private func serving() throws -> (Trio, Rows) {
        let trio = try Trio(pg: .metadata(.root))
        let rows = Rows()
        trio.disk = { effect, member in
            switch effect {
            case .query(let ticket, _, let time):
                rows.asked.append((ticket, time))
                return .done
            case .append, .sync: return rows.isStuck && member != 0 ? .done : .passesOn
            default: return .passesOn
            }
        }
        trio.begin()
        #expect(trio.groups[0].isServing)
        return (trio, rows)
    }

    private func change(_ trio: Trio, number: UInt64, fixesTimes: Bool) {
        var request = PGRequest(
            pg: trio.pg, session: SessionID(1), number: RequestNumber(number), ended: .none, epoch: trio.record.epoch,
            mapVersion: MapVersion(1), body: .mutate(.stable, nil), payload: PayloadHandle(id: number, length: 10))
        request.fixesTimes = fixesTimes
        trio.groups[0].requestArrived(RequestToken(number), request, at: trio.moment)
        trio.settle()
    }

    private func ask(_ trio: Trio, token: UInt64) {
        let request = PGRequest(
            pg: trio.pg, session: SessionID(1), number: .none, ended: .none, epoch: trio.record.epoch,
            mapVersion: MapVersion(1), body: .query, payload: PayloadHandle(id: 100 + token, length: 10))
        trio.groups[0].requestArrived(RequestToken(token), request, at: trio.moment)
        trio.settle()
    }

    private func read(_ trio: Trio, _ ticket: ReadTicket, showsWriting: Bool) {
        trio.groups[0].readCompleted(
            ticket, PayloadHandle(id: 200, length: 10), presence: .complete, showsWriting: showsWriting, at: trio.moment
        )
        trio.settle()
    }

    /// The appends that were held back are told as written.
    private func free(_ trio: Trio, _ rows: Rows) {
        rows.isStuck = false
        let last = trio.groups[0].lastNamed
        for i in [1, 2] {
            trio.groups[i].logAppended(through: last, at: trio.moment)
            trio.groups[i].logStable(through: last, at: trio.moment)
        }
        trio.settle()
    }

    @Test(
        "A question that finds a writer beside an undecided settlement is asked again behind it, as of when it came",
        arguments: [nil, .timesOfTheTailUnseen] as [Mutation?])
    func timesOfTheTail(_ mutation: Mutation?) throws {
        let (trio, rows) = try serving()
        #if DEBUG
            trio.groups[0].mutation = mutation
        #endif
        rows.isStuck = true
        change(trio, number: 1, fixesTimes: true)
        ask(trio, token: 50)
        let first = try #require(rows.asked.last)
        trio.pass(milliseconds: 5, only: 0)
        read(trio, first.ticket, showsWriting: true)
        #expect((trio.answers.count == 0) == (mutation == nil), "the times that the entry fixes are not in the rows")
        guard mutation == nil else { return }
        #expect(rows.asked.count == 1)
        free(trio, rows)
        #expect(rows.asked.count == 2)
        let again = try #require(rows.asked.last)
        #expect(again.asOf == first.asOf, "what is named meanwhile is later than what is shown")
        read(trio, again.ticket, showsWriting: true)
        #expect(trio.answers.last?.response.body == .answered)
    }

    @Test("So is one that is answered only after a settlement was named that came later")
    func settlementBeforeTheAnswer() throws {
        let (trio, rows) = try serving()
        ask(trio, token: 50)
        let first = try #require(rows.asked.last)
        change(trio, number: 1, fixesTimes: true)
        let before = trio.answers.count
        read(trio, first.ticket, showsWriting: true)
        #expect(trio.answers.count == before && rows.asked.count == 2)
        let again = try #require(rows.asked.last)
        #expect(again.asOf == first.asOf)
        read(trio, again.ticket, showsWriting: true)
        #expect(trio.answers.count == before + 1)
    }

    @Test(
        "A settlement that cannot be named as it comes is refused, for times are answered meanwhile that it does not know"
    )
    func settlementDoesNotWait() throws {
        let (trio, _) = try serving()
        var request = PGRequest(
            pg: trio.pg, session: SessionID(1), number: RequestNumber(1), ended: .none, epoch: trio.record.epoch,
            mapVersion: MapVersion(9), body: .mutate(.stable, nil), payload: PayloadHandle(id: 1, length: 10))
        for mayWait in [true, false] {
            request.mayWait = mayWait
            let before = trio.answers.count
            trio.groups[0].requestArrived(RequestToken(mayWait ? 60 : 61), request, at: trio.moment)
            trio.settle()
            #expect(trio.answers.count == before + (mayWait ? 0 : 1))
            if !mayWait { #expect(trio.answers.last?.response.body == .refused(.unavailable)) }
        }
    }

    @Test("A settlement is named at once, past changes that wait")
    func settlementPassesWhatWaits() throws {
        let (trio, rows) = try serving()
        rows.isStuck = true
        func send(number: UInt64, mapVersion: UInt64 = 1, mayWait: Bool = true) -> UInt64 {
            var request = PGRequest(
                pg: trio.pg, session: SessionID(1), number: RequestNumber(number), ended: .none,
                epoch: trio.record.epoch,
                mapVersion: MapVersion(mapVersion), body: .mutate(.stable, nil),
                payload: PayloadHandle(id: number, length: 10))
            request.mayWait = mayWait
            let before = trio.groups[0].lastNamed.n
            trio.groups[0].requestArrived(RequestToken(number), request, at: trio.moment)
            trio.settle()
            return trio.groups[0].lastNamed.n - before
        }
        #expect(send(number: 1, mapVersion: 9) == 0)
        #expect(send(number: 2) == 0, "changes keep their order")
        #expect(send(number: 3, mayWait: false) == 1)
    }

    @Test("Other questions are answered at once, and so is one beside entries that fix no times")
    func others() throws {
        let (trio, rows) = try serving()
        rows.isStuck = true
        change(trio, number: 1, fixesTimes: false)
        ask(trio, token: 50)
        read(trio, try #require(rows.asked.last).ticket, showsWriting: true)
        #expect(trio.answers.count == 1)
        change(trio, number: 2, fixesTimes: true)
        ask(trio, token: 51)
        read(trio, try #require(rows.asked.last).ticket, showsWriting: false)
        #expect(trio.answers.count == 2)
    }

    @Test("The payload of a question is dropped once, whether it is asked again, fails, or its reign ends")
    func payloads() throws {
        for end in ["again", "failed", "reign"] {
            let (trio, rows) = try serving()
            var dropped: [PayloadHandle] = []
            let inner = trio.disk
            trio.disk = { effect, member in
                if case .drop(let handle) = effect, member == 0 { dropped.append(handle) }
                return inner(effect, member)
            }
            rows.isStuck = true
            change(trio, number: 1, fixesTimes: true)
            ask(trio, token: 50)
            let handle = PayloadHandle(id: 150, length: 10)
            #expect(!dropped.contains(handle))
            let first = try #require(rows.asked.last)
            switch end {
            case "again":
                read(trio, first.ticket, showsWriting: true)
                free(trio, rows)
                read(trio, try #require(rows.asked.last).ticket, showsWriting: true)
            case "failed":
                trio.groups[0].readFailed(first.ticket, at: trio.moment)
                trio.settle()
            default:
                trio.groups[0].leaseLapsed(trio.lease(0), at: trio.moment)
                trio.settle()
                read(trio, first.ticket, showsWriting: true)
            }
            #expect(dropped.count { $0 == handle } == 1, "\(end)")
            #expect(
                trio.answers.count { if case .answered = $0.response.body { true } else { false } }
                    == (end == "again" ? 1 : 0))
        }
    }

    @Test("An entry is later than every time that a question before it was answered with, whatever the wall clock does")
    func clock() {
        var clock = EntryClock()
        let shown = clock.next(at: Timestamp(nanoseconds: 500))
        #expect(shown == Timestamp(nanoseconds: 500))
        #expect(clock.next(at: Timestamp(nanoseconds: 100)) > shown)
        clock.saw(Timestamp(nanoseconds: 900))
        #expect(clock.next(at: Timestamp(nanoseconds: 200)) == Timestamp(nanoseconds: 901))
        #expect(clock.next(at: Timestamp(nanoseconds: 2000)) == Timestamp(nanoseconds: 2000))
    }
}
