import ClusterModel
import Testing
import Wire

@testable import Replication

/// Cuts of files that a group's marks have forgotten, and its disks have not.
struct ForgottenCutTests {
    private func limits() -> ReplicationLimits {
        var limits = ReplicationLimits()
        limits.fileMarks = 4
        return limits
    }
    private func file(_ n: UInt64) -> FileID { FileID(fileset: .root, inode: InodeNumber(n)) }
    private let truncation = TruncationMark(number: TruncationNumber(1), size: 0)

    private func cut(_ trio: HandoverTests.Trio, _ n: UInt64) {
        trio.change(
            number: n,
            .deleteRange(
                RangeDeletion(
                    file: file(n), truncation: truncation, layout: .standard, kind: .truncation, limit: 1, edge: nil)))
    }

    /// What member 3's disk is to cut when it learns anew from a primary that was told of so many cuts, keeps four in mind at
    /// most, and finds all on its disk.
    private func told(of count: UInt64, _ mutation: Mutation? = nil) throws -> [FileID] {
        let trio = try HandoverTests.Trio(limits: limits())
        var made: [ListedCut] = []
        var cut: [FileID] = []
        trio.disk = { [unowned trio] effect, i in
            switch effect {
            case .listChanges(let after, let token):
                let cuts = made.filter { i == 0 && $0.version > after }
                trio.groups[i].changesListed(token, [], cuts: cuts, at: trio.moment)
            case .findCut(let file, let token): trio.groups[i].cutFound(token, file, nil, at: trio.moment)
            case .restartLog(let after, let cuts):
                #expect(cuts.allSatisfy { $0.version == after })
                cut = cuts.map(\.file)
            case .syncAll(let token): trio.groups[i].installed(token, at: trio.moment)
            default: return .passesOn
            }
            return .done
        }
        trio.begin()
        trio.pass(milliseconds: 1500)
        for group in trio.groups { group.mutation = mutation }
        for n in 1...count {
            self.cut(trio, n)
            made.append(
                ListedCut(
                    version: trio.groups[0].decided, file: file(n), truncation: truncation, kind: .truncation))
        }
        trio.thirdLearnsAnew(seconds: 4)
        return cut
    }

    @Test("A learner is told of all cuts, also of those that the primary's marks have forgotten")
    func forgottenCuts() throws {
        let all = (1...10).map { FileID(fileset: .root, inode: InodeNumber(UInt64($0))) }
        #expect(try told(of: 2) == Array(all.prefix(2)))
        #expect(try Set(told(of: 10)) == Set(all))
        #expect(try told(of: 10, .forgottenCutsUntold).count <= 4)
    }

    /// What a change of file 1 is answered, after so many cuts, of which its own was the first; the disk says what is given.
    private func answer(
        after count: UInt64, _ body: PGRequestBody, disk: TruncationMark?, _ mutation: Mutation? = nil
    ) throws -> (answer: PGResponseBody?, asked: Int) {
        let trio = try HandoverTests.Trio(limits: limits())
        var asked = 0
        trio.disk = { [unowned trio] effect, i in
            guard case .findCut(let file, let token) = effect else { return .passesOn }
            asked += 1
            trio.groups[i].cutFound(token, file, disk.map { ($0, .truncation) }, at: trio.moment)
            return .done
        }
        trio.begin()
        for n in 1...count { cut(trio, n) }
        for group in trio.groups { group.mutation = mutation }
        asked = 0
        trio.change(number: 100, body)
        return (trio.answers.last?.response.body, asked)
    }

    @Test(
        "A change under an older truncation is turned back although the marks have forgotten the cut, and a read, too")
    func olderTruncation() throws {
        let object = ObjectID(file: file(1), index: 0)
        let zero = PGRequestBody.zero(object, BlockRange(first: 0, count: 1), .none, .unstable)
        let read = PGRequestBody.read(ObjectRange(object: object, offset: 0, length: 4096), .none)
        for (body, count, disk, asks) in [
            (zero, 2, nil, 0), (zero, 10, truncation, 1), (read, 2, nil, 0), (read, 10, truncation, 1),
        ] as [(PGRequestBody, UInt64, TruncationMark?, Int)] {
            let found = try answer(after: count, body, disk: disk)
            guard case .refused(.truncated(truncation))? = found.answer else {
                Issue.record("\(body) after \(count) cuts: \(String(describing: found.answer))")
                continue
            }
            #expect(found.asked == asks)
        }
        // One that was never cut, and is known not to have been from then on.
        guard case .written? = try answer(after: 10, zero, disk: nil).answer else {
            Issue.record("a change of a file without a cut is not done")
            return
        }
        guard case .written? = try answer(after: 10, zero, disk: truncation, .forgottenCutsNeverAsked).answer else {
            Issue.record("the mutation changes nothing")
            return
        }
    }
}
