import ClusterModel
import Testing
import Wire

@testable import Replication

/// Scrubs that go on where others were interrupted, and scrubs of one fileset.
struct ScrubPositionTests {
    typealias Trio = HandoverTests.Trio

    /// In the order in which members name them; every third one is of another fileset.
    static let names = (1...30 as ClosedRange<UInt64>).map { i in
        let file = FileID(fileset: FilesetID(i % 3 == 0 ? 2 : 1), inode: InodeNumber(100 - i))
        return ScrubName(version: EntryName(epoch: Epoch(2), n: i / 2), object: ObjectID(file: file, index: 0))
    }.sorted { ($0.version, $0.object) < ($1.version, $1.object) }
    static let objects = names.map(\.object)

    private func begun(_ scope: ScrubScope = .whole, from position: ScrubPosition? = nil) throws -> Trio {
        let trio = try Trio()
        trio.begin()
        trio.groups[0].beginScrub(scope, from: position, at: trio.moment)
        trio.settle()
        return trio
    }

    /// Answers questions until the scrub ends, or so many questions of objects were answered; gives the objects that the primary
    /// was asked for.
    @discardableResult
    private func answer(_ trio: Trio, questions: Int = .max, lost: ObjectID? = nil) -> [ObjectID] {
        var asked: [ObjectID] = []
        var marks: [EntryName] = []
        for _ in 0..<2000 where trio.scrubOutcomes.isEmpty {
            trio.pass(milliseconds: 250)
            let open = trio.scrubs
            for (member, ask, to, epoch) in open {
                var content: ScrubAnswer.Content
                switch ask.part {
                case .names(let after):
                    let rest = Self.names.drop { name in
                        after.map { (name.version, name.object) <= ($0.version, $0.object) } ?? false
                    }
                    let page = Array(rest.prefix(8))
                    content = .names(page, next: page.count < rest.count ? page.last : nil)
                case .objects(let objects, let depth):
                    if !marks.contains(ask.mark), marks.count >= questions { return asked }
                    if !marks.contains(ask.mark) { marks.append(ask.mark) }
                    if member == 0, depth == .blocks { asked += objects }
                    content = .objects(
                        objects.map {
                            ScrubTests.finding(ask, verdict: $0 == lost ? .lost : .whole, lost: $0 == lost ? [5] : [])
                        })
                case .rows, .windows: content = .notReady
                }
                trio.scrubs.removeFirst()
                trio.groups[member].scrubRead(
                    ScrubAnswer(request: ask.request, content: content), to: to, epoch: epoch, at: trio.moment)
                trio.settle()
            }
        }
        return asked
    }

    private func interrupted(_ trio: Trio) throws -> ScrubPosition {
        trio.groups[0].stopScrub("enough", at: trio.moment)
        trio.settle()
        guard case .interrupted("enough", let position?)? = trio.scrubOutcomes.last else {
            throw ScrubTests.Unexpected(what: "\(trio.scrubOutcomes)")
        }
        return position
    }

    @Test("a scrub goes on where another one stood, whenever that was, and in the end everything was looked at")
    func goesOn() throws {
        for questions in 0...8 {
            let first = try begun()
            let before = answer(first, questions: questions)
            let position = try interrupted(first)
            #expect(position.progress.done == UInt64(before.count))
            // The next primary, or this node after a restart.
            let second = try begun(from: position)
            let after = answer(second)
            let result = try ScrubTests.result(second)
            #expect((before + after).sorted() == Self.objects.sorted(), "after \(questions) questions")
            #expect(result.objects == 30 && result.isClean && result.members.count == 3)
        }
    }

    @Test("objects that were to be looked at again are so, and what was found before is not forgotten")
    func findings() throws {
        let first = try begun()
        // It is seen three times before it is believed, in the page that it is in.
        let before = answer(first, questions: 2, lost: Self.objects[1])
        let position = try interrupted(first)
        #expect(position.again == [Self.objects[1]] && position.result.lostCount == 0)
        let second = try begun(from: position)
        let after = answer(second, lost: Self.objects[1])
        #expect(Set(before + after) == Set(Self.objects) && after.contains(Self.objects[1]))
        #expect(try ScrubTests.result(second).lost == [ScrubResult.Lost(object: Self.objects[1], blocks: [5])])
        let third = try begun()
        answer(third, questions: 7, lost: Self.objects[1])
        let later = try interrupted(third)
        #expect(later.result.lostCount == 1 && !later.again.contains(Self.objects[1]))
        let fourth = try begun(from: later)
        answer(fourth)
        #expect(try ScrubTests.result(fourth).lostCount == 1)
    }

    @Test(
        "where a member has come that was not compared, a scrub begins anew; where one has gone, it goes on without it")
    func members() throws {
        let first = try begun()
        answer(first, questions: 3)
        var position = try interrupted(first)
        #expect(position.members.count == 3)
        position.members.removeLast()
        position.result.members.removeLast()
        let second = try begun(from: position)
        #expect(answer(second) == Self.objects)
        #expect(try ScrubTests.result(second).members.count == 3)
        position.members += [PlacementTarget(node: NodeID(3), disk: DiskID(33))]
        let third = try begun(from: position)
        #expect(answer(third) == Self.objects)
    }

    @Test("rows go on at the key that was reached")
    func rows() throws {
        let trio = try Trio(pg: .metadata(.root))
        trio.begin()
        let result = ScrubResult(members: [NodeID(1), NodeID(2), NodeID(3)])
        let members = trio.record.inSync.map { PlacementTarget(node: $0.node, disk: $0.disk) }
        let position = ScrubPosition(
            place: .rows(from: [1, 2, 3]), again: [], members: members, progress: ScrubProgress(done: 9), result: result
        )
        trio.groups[0].beginScrub(from: position, at: trio.moment)
        trio.settle()
        trio.pass(milliseconds: 250)
        #expect(trio.scrubs.count == 3)
        for (_, ask, _, _) in trio.scrubs {
            guard case .rows(from: [1, 2, 3], _) = ask.part else { throw ScrubTests.Unexpected(what: "\(ask)") }
        }
        #expect(trio.groups[0].scrubPosition == position)
        // Another group's position, or a damaged one.
        let other = try begun(
            from: ScrubPosition(place: .rows(from: [1]), again: [], members: members, progress: .init(), result: result)
        )
        #expect(answer(other) == Self.objects)
    }

    @Test("a scrub of one fileset looks at its objects only, and has no position of the group")
    func fileset() throws {
        let trio = try begun(.fileset(FilesetID(2)))
        #expect(trio.groups[0].scrubPosition == nil)
        #expect(answer(trio) == Self.objects.filter { $0.file.fileset == FilesetID(2) })
        #expect(try ScrubTests.result(trio).objects == 10)
        let stopped = try begun(.fileset(FilesetID(2)))
        stopped.groups[0].stopScrub("enough", at: stopped.moment)
        stopped.settle()
        #expect(stopped.scrubOutcomes == [.interrupted("enough", nil)])
    }
}
