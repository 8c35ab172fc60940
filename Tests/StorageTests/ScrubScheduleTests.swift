import ClusterModel
import Replication
import Testing
import Wire

@testable import Storage

extension ScrubSchedule {
    fileprivate mutating func nextGroup(
        leading groups: [PGID], last: (PGID) -> Timestamp?, at time: Timestamp
    ) -> PGID? { next(leading: groups, last: last, at: time)?.pg }
}

/// When which group is scrubbed, and what is kept of it.
struct ScrubScheduleTests {
    static let groups = (0..<4).map { PGID.data($0) }
    static let day: Int64 = 86_400_000_000_000

    static func at(_ days: Double) -> Timestamp { Timestamp(nanoseconds: Int64(days * Double(day)) + day * 20_000) }

    static func result() -> ScrubResult { ScrubResult(members: [NodeID(1), NodeID(2)]) }

    private func fortnightly() -> ScrubSchedule {
        var schedule = ScrubSchedule()
        schedule.period = .seconds(14 * 86_400)
        return schedule
    }

    /// Groups in the order of their scrubs, each ended at once, looked at every hour from `from` to `to`.
    private func run(
        _ schedule: inout ScrubSchedule, from: Double, to: Double, last: inout [PGID: Timestamp]
    ) -> [PGID] {
        var order: [PGID] = []
        var time = from
        while time < to {
            let now = Self.at(time)
            let known = last
            if let pg = schedule.nextGroup(leading: Self.groups, last: { known[$0] }, at: now) {
                order.append(pg)
                last[pg] = now
                schedule.ended(pg, .finished(Self.result()), at: now)
            }
            time += 1.0 / 24
        }
        return order
    }

    @Test("groups that never were are scrubbed within a day, and then each once in a period")
    func periods() {
        var schedule = fortnightly()
        var last: [PGID: Timestamp] = [:]
        #expect(Set(run(&schedule, from: 0, to: 1.3, last: &last)) == Set(Self.groups))
        #expect(run(&schedule, from: 1.3, to: 13.9, last: &last).isEmpty)
        #expect(run(&schedule, from: 13.9, to: 15.5, last: &last).count == Self.groups.count)
    }

    @Test("a node that restarts knows from the record when each group was scrubbed last")
    func restart() {
        var schedule = fortnightly()
        var last: [PGID: Timestamp] = [:]
        for pg in Self.groups { last[pg] = Self.at(-3) }
        #expect(run(&schedule, from: 0, to: 10.9, last: &last).isEmpty)
        #expect(run(&schedule, from: 10.9, to: 11.5, last: &last).count == Self.groups.count)
    }

    @Test("a clock that is set back leaves no group without a scrub")
    func clockSetBack() {
        var schedule = fortnightly()
        var last: [PGID: Timestamp] = [:]
        for pg in Self.groups {
            last[pg] = Self.at(900)
            schedule.ended(pg, .interrupted("the primary reigns no more", nil), at: Self.at(900))
        }
        #expect(Set(run(&schedule, from: 0, to: 1.3, last: &last)) == Set(Self.groups))
    }

    /// A text that cannot be read again would stop every node that reads the record.
    @Test("a finding with a long path is kept shortened", arguments: [10, 1024, 1025, 5000])
    func longFinding(_ count: Int) throws {
        let text = String(repeating: "名", count: count / 3) + "x"
        let shown = ScrubNote.shortened(text)
        #expect(shown.utf8.count <= StorageLimits.scrubFinding)
        #expect((shown == text) == (text.utf8.count <= StorageLimits.scrubFinding))
    }

    @Test("without a period nothing is scrubbed but what was asked for, and that comes first")
    func wanted() {
        var schedule = ScrubSchedule()
        #expect(schedule.next(leading: Self.groups, last: { _ in nil }, at: Self.at(100)) == nil)
        schedule.period = .seconds(86_400)
        schedule.want([Self.groups[3]])
        #expect(schedule.standing(Self.groups[3]).stage == .waiting)
        #expect(schedule.nextGroup(leading: Self.groups, last: { _ in Self.at(0) }, at: Self.at(200)) == Self.groups[3])
        #expect(schedule.standing(Self.groups[3]).stage == .running)
        // One at a time.
        #expect(schedule.next(leading: Self.groups, last: { _ in Self.at(0) }, at: Self.at(200)) == nil)
        // Asked for while it runs: once more, for what was already looked at.
        schedule.want([Self.groups[3]])
        schedule.ended(Self.groups[3], .finished(Self.result()), at: Self.at(200))
        #expect(
            schedule.nextGroup(leading: Self.groups, last: { _ in Self.at(199.9) }, at: Self.at(200)) == Self.groups[3])
    }

    @Test("a group that is not led here any more is left to others")
    func notLed() {
        var schedule = ScrubSchedule()
        schedule.want([Self.groups[0], Self.groups[1]])
        #expect(schedule.nextGroup(leading: [Self.groups[1]], last: { _ in nil }, at: Self.at(0)) == Self.groups[1])
        #expect(schedule.standing(Self.groups[0]).stage == nil)
    }

    @Test("a scrub that was interrupted is begun again, but not at once")
    func interrupted() {
        var schedule = fortnightly()
        let one = [Self.groups[0]]
        #expect(schedule.nextGroup(leading: one, last: { _ in Self.at(-20) }, at: Self.at(0)) == one[0])
        schedule.ended(one[0], .interrupted("its primary reigns no more", nil), at: Self.at(0))
        #expect(schedule.standing(one[0]).interruption == "its primary reigns no more")
        #expect(schedule.next(leading: one, last: { _ in Self.at(-20) }, at: Self.at(0.0001)) == nil)
        #expect(schedule.nextGroup(leading: one, last: { _ in Self.at(-20) }, at: Self.at(0.01)) == one[0])
    }

    @Test("a scrub that did not come to its end goes on at once under the next primary, as the one that began then")
    func goesOn() {
        var schedule = fortnightly()
        let open: (PGID) -> Timestamp? = { $0 == Self.groups[2] ? Self.at(-1) : nil }
        let last: (PGID) -> Timestamp? = { _ in Self.at(-13) }
        let next = schedule.next(leading: Self.groups, last: last, open: open, at: Self.at(0))
        #expect(next?.pg == Self.groups[2] && next?.cause == .due)
        #expect(next?.started == Self.at(-1) && next?.since == Self.at(0))
        schedule.runs(from: ScrubProgress(done: 7, bytes: 70))
        #expect(schedule.standing(Self.groups[2]).earlier.bytes == 70)
        #expect(schedule.running?.started == Self.at(-1))
        // Where it has to begin anew, it began now.
        schedule.runs(from: ScrubProgress())
        #expect(schedule.running?.started == Self.at(0))
    }

    @Test("what somebody asked for begins at its beginning, and its position is not kept")
    func askedFor() {
        var schedule = fortnightly()
        schedule.want([Self.groups[2]], .fileset(FilesetID(3)))
        schedule.want([Self.groups[2]])
        schedule.want([Self.groups[2]])
        let open: (PGID) -> Timestamp? = { _ in Self.at(-1) }
        var scopes: [ScrubScope?] = []
        for _ in 0..<2 {
            let next = schedule.next(leading: Self.groups, last: { _ in nil }, open: open, at: Self.at(0))
            #expect(next?.cause == .asked && next?.started == Self.at(0))
            let isDue = schedule.isPositionDue(at: Instant(nanoseconds: 1 << 50))
            #expect(!isDue)
            scopes.append(next?.scope)
            schedule.ended(Self.groups[2], .finished(Self.result()), at: Self.at(0))
        }
        #expect(scopes == [.fileset(FilesetID(3)), .whole])
    }

    @Test("the position of a scrub in the background is kept every half minute, and no more often")
    func positionPace() {
        var schedule = fortnightly()
        _ = schedule.next(leading: Self.groups, last: { _ in Self.at(-20) }, at: Self.at(0))
        let kept = (0..<600).filter {
            schedule.isPositionDue(at: Instant(nanoseconds: 1 << 50) + .milliseconds($0 * 500))
        }
        #expect(kept == stride(from: 0, to: 600, by: 60).map { UInt64($0) })
    }

    @Test("a position survives its coding, whatever was found before it")
    func position() throws {
        var result = Self.result()
        let object = ObjectID(file: FileID(fileset: .root, inode: InodeNumber(77)), index: 2)
        result.objects = 5
        result.blocks = 6
        result.rows = 7
        result.unsettled = 8
        result.mended = [ScrubResult.Mended(node: NodeID(2), blocks: 9)]
        result.lost = [ScrubResult.Lost(object: object, blocks: [3, 900])]
        result.lostCount = 10
        result.differing = [
            ScrubResult.Difference(place: .object(object), members: [NodeID(2)]),
            ScrubResult.Difference(place: .row([1, 2]), members: []),
        ]
        result.differingCount = 11
        result.relearning = [NodeID(1)]
        let name = ScrubName(version: EntryName(epoch: Epoch(3), n: 4), object: object)
        for place in [.objects(after: name), .objects(after: nil), .others, .rows(from: [5, 6])]
            as [ScrubPosition.Place]
        {
            let note = ScrubPositionNote(
                started: Self.at(3),
                position: ScrubPosition(
                    place: place, again: [object], members: [PlacementTarget(node: NodeID(1), disk: DiskID(8))],
                    progress: ScrubProgress(done: 12, bytes: 13), result: result))
            let bytes = note.encoded()
            #expect(try ScrubPositionNote(decoding: bytes) == note)
            for length in bytes.indices {
                #expect(throws: WireError.self) { try ScrubPositionNote(decoding: Array(bytes[..<length])) }
            }
        }
    }

    @Test("what was found survives its coding, and names files and offsets")
    func note() throws {
        var result = Self.result()
        let object = ObjectID(file: FileID(fileset: .root, inode: InodeNumber(77)), index: 0)
        result.lost = [ScrubResult.Lost(object: object, blocks: [3])]
        result.lostCount = 1
        result.differing = [
            ScrubResult.Difference(place: .object(object), members: [NodeID(2)]),
            ScrubResult.Difference(place: .row([1, 0, 0, 0, 0, 0, 0, 0, 9]), members: [NodeID(3)]),
        ]
        result.differingCount = 2
        let note = ScrubNote(result, started: Self.at(0), ended: Self.at(1)) { _ in .standard }
        #expect(try ScrubNote(decoding: note.encoded()) == note)
        #expect(note.standing == .faulty)
        #expect(note.findings.contains { $0.contains("offset 12288 of inode 77 in fileset 1") })
        #expect(note.findings.contains { $0.contains("the row of inode 9 on nodes 3") })
        func named(_ path: FilePath) -> [String] {
            ScrubNote(result, started: Self.at(0), ended: Self.at(1), paths: [object.file: path]) { _ in .standard }
                .findings
        }
        #expect(
            named(.path("/a/b c")).contains { $0.contains("offset 12288 of /a/b c (inode 77 in fileset 1)") })
        #expect(
            named(.none).contains { $0.contains("offset 12288 of a file without a name (inode 77 in fileset 1)") })
    }

    @Test("a scrub that finds more than a record holds is cut short, and says so")
    func longNote() throws {
        var result = Self.result()
        for i in 0..<64 {
            let object = ObjectID(file: FileID(fileset: .root, inode: InodeNumber(UInt64(i))), index: 0)
            result.lost.append(ScrubResult.Lost(object: object, blocks: Array(0..<64)))
        }
        result.lostCount = 1000
        let note = ScrubNote(result, started: Self.at(0), ended: Self.at(1)) { _ in nil }
        #expect(note.findings.count == StorageLimits.scrubFindings)
        #expect(note.findings.last?.contains("1000 objects") == true)
        #expect(try ScrubNote(decoding: note.encoded()) == note)
    }
}
