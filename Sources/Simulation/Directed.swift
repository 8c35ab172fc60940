import ClusterModel
import Replication
import Wire

/// A directed schedule: what is done around a rare moment of the protocol, as data. Faults that come at random times seldom
/// meet the few milliseconds in which a rule matters.
public struct DirectedSchedule: Sendable {
    public enum Occasion: Sendable {
        /// A change of the record is on its way to the coordinator.
        case promotionSent
        case claimSent
        /// The same, by a primary that gives the group up: the subject is its successor.
        case handoverSent
        /// It was made.
        case promotionMade
        case claimMade
        /// A learner begins to catch up.
        case learningBegun
        /// The answer to a large unstable write is on its way; the proposer is the primary.
        case largeWriteAnswered
    }
    public enum Role: Sendable {
        /// Who proposed the change.
        case proposer
        /// Who is promoted, or whose reign a claim ends.
        case subject
        /// The other members.
        case others
        /// The first and the last of all members but the proposer, whoever is the subject.
        case first
        case last
    }
    public enum Action: Sendable {
        /// The proposer is told that the outcome is unknown; the change lands when this is due.
        case landLate
        /// The store is busy: the change is not made, and the proposer is told so.
        case refuse
        /// The change lands, and the proposer hears of it only so much later.
        case answerLate
        case kill(Role)
        case losePower(Role)
        case pause(Role)
        /// Messages from one to the other arrive only after so many milliseconds; too few to count as silence.
        case stall(from: Role, to: Role)
        /// Nothing that is asked of the disk comes back in that time.
        case hangDisk(Role)
        /// The connection between the two ends, and there is soon another.
        case reset(Role, Role)
        /// SQLite cannot read the rows of the group any more.
        case loseRows(Role)
        case replaceSession
    }
    /// Milliseconds after the occasion, and how long it lasts: both drawn between these.
    public struct Step: Sendable {
        var action: Action
        var after: ClosedRange<UInt64>
        var lasts: ClosedRange<UInt64>
        init(_ action: Action, after: ClosedRange<UInt64> = 0...0, lasts: ClosedRange<UInt64> = 0...0) {
            self.action = action
            self.after = after
            self.lasts = lasts
        }
    }
    var occasion: Occasion
    /// How often it is followed.
    var percent: Int
    var steps: [Step]

    /// The learner misses what is written while its promotion is under way, and is the one that is left.
    static let lonelyLearner = DirectedSchedule(
        occasion: .promotionSent, percent: 50,
        steps: [
            Step(.stall(from: .proposer, to: .subject), lasts: 600...950),
            Step(.landLate, after: 0...200),
            Step(.kill(.proposer), after: 250...900, lasts: 7000...9000),
            Step(.kill(.others), after: 250...900, lasts: 7000...9000),
        ])
    /// The same, where the change is made at once.
    static let untoldPromotion = DirectedSchedule(
        occasion: .promotionSent, percent: 50,
        steps: [
            Step(.stall(from: .proposer, to: .subject), lasts: 700...950),
            Step(.answerLate, lasts: 500...900),
            Step(.kill(.proposer), after: 200...500, lasts: 7000...9000),
            Step(.kill(.others), after: 200...500, lasts: 7000...9000),
        ])
    /// All lose power as soon as a learner is a member, which is back first.
    static let powerCutAfterPromotion = DirectedSchedule(
        occasion: .promotionMade, percent: 50,
        steps: [
            Step(.losePower(.proposer), after: 0...100, lasts: 1500...4000),
            Step(.losePower(.others), after: 0...100, lasts: 1500...4000),
            Step(.losePower(.subject), after: 0...100, lasts: 50...500),
        ])
    /// Sessions end while the new primary waits for its members.
    static let sessionsEndWhileActivating = DirectedSchedule(
        occasion: .claimMade, percent: 60,
        steps: [
            Step(.stall(from: .proposer, to: .others), lasts: 300...950),
            Step(.replaceSession, after: 1...300),
            Step(.replaceSession, after: 1...600),
        ])
    /// The claim's outcome is late, and whoever reigned before thaws meanwhile.
    static let lateClaim = DirectedSchedule(
        occasion: .claimSent, percent: 50, steps: [Step(.landLate, after: 20...900)])
    /// After a loss of power a member has told of its void records, and is not attached when the last one tells of its own.
    static let awayWhenRestated = DirectedSchedule(
        occasion: .claimMade, percent: 60,
        steps: [
            Step(.stall(from: .first, to: .proposer), lasts: 300...900),
            Step(.reset(.proposer, .last), after: 250...450),
            Step(.reset(.proposer, .last), after: 450...650),
            Step(.reset(.proposer, .last), after: 650...900),
        ])
    /// Power is lost everywhere while no disk has made a large write stable: it is void on each, as far as the logs outlast it.
    static let powerCutAfterLargeWrite = DirectedSchedule(
        occasion: .largeWriteAnswered, percent: 20,
        steps: [
            Step(.losePower(.proposer), after: 0...2, lasts: 100...1500),
            Step(.losePower(.others), after: 0...2, lasts: 100...1500),
        ])
    /// Who agreed to lead finds its rows damaged before the record names it.
    static let successorWithoutRows = DirectedSchedule(
        occasion: .handoverSent, percent: 15,
        steps: [Step(.landLate, after: 20...300), Step(.loseRows(.subject), after: 0...20)])
    /// Who gives its role away finds its rows damaged, and the record goes on naming it.
    static let giverWithoutRows = DirectedSchedule(
        occasion: .handoverSent, percent: 15, steps: [Step(.refuse), Step(.loseRows(.proposer), after: 0...20)])
    /// A learner answers, and its disk does not, for longer than a catch-up without progress is waited for.
    static let hungLearner = DirectedSchedule(
        occasion: .learningBegun, percent: 30, steps: [Step(.hangDisk(.subject), lasts: 31_000...40_000)])
}

extension Simulator {
    /// What a schedule makes of a proposal.
    enum ProposalFate {
        /// Its outcome is told as unknown, and it is made then.
        case landing(at: UInt64)
        case refused
    }

    /// Follows the schedules for a proposal that was sent.
    func directed(proposal: Proposal, by n: Int) -> ProposalFate? {
        guard let g = groups.firstIndex(of: proposal.record.pg) else { return nil }
        let isClaim = proposal.record.primaryLease != records[g].primaryLease
        if isClaim, let successor = proposal.record.primary, successor != nodes[n].id {
            return follow(.handoverSent, g, by: n, subject: successor)
        }
        let added = proposal.record.inSync.first { m in !records[g].inSync.contains { $0.node == m.node } }
        if isClaim { return follow(.claimSent, g, by: n, subject: records[g].primary) }
        guard let added else { return nil }
        return follow(.promotionSent, g, by: n, subject: added.node)
    }

    func directed(made record: PGRecord, after before: PGRecord, by n: Int) {
        guard let g = groups.firstIndex(of: record.pg) else { return }
        if record.primaryLease != before.primaryLease {
            _ = follow(.claimMade, g, by: n, subject: before.primary)
        } else if let added = record.inSync.first(where: { m in !before.inSync.contains { $0.node == m.node } }) {
            _ = follow(.promotionMade, g, by: n, subject: added.node)
        }
    }

    func directed(learning node: NodeID, of pg: PGID, by n: Int) {
        guard let g = groups.firstIndex(of: pg) else { return }
        _ = follow(.learningBegun, g, by: n, subject: node)
    }

    func directed(written work: Client.Work, by n: Int) {
        guard case .write(let range, _, .unstable) = work.body, range.length >= 64 << 10 else { return }
        _ = follow(.largeWriteAnswered, work.g, by: n, subject: nil)
    }

    private func follow(_ occasion: DirectedSchedule.Occasion, _ g: Int, by n: Int, subject: NodeID?)
        -> ProposalFate?
    {
        var fate: ProposalFate?
        for schedule in scenario.schedules
        where !healing && schedule.occasion == occasion && chance(schedule.percent) {
            account.began(.directed, until: clock + second)
            tell("directed: \(occasion)")
            let subject = subject.map { Int($0.rawValue) - 1 }
            let members = records[g].placement.map { Int($0.node.rawValue) - 1 }.filter { $0 != n }
            func who(_ role: DirectedSchedule.Role) -> [Int] {
                switch role {
                case .proposer: [n]
                case .subject: subject.map { [$0] } ?? []
                case .others: members.filter { $0 != subject }
                case .first: members.first.map { [$0] } ?? []
                case .last: members.last.map { [$0] } ?? []
                }
            }
            for step in schedule.steps {
                let at = clock + drawn(step.after)
                let lasts = drawn(step.lasts)
                switch step.action {
                case .landLate: fate = .landing(at: at)
                case .refuse: fate = .refused
                case .answerLate: answersHeldUntil[n] = at + lasts
                case .kill(let role):
                    for i in who(role) {
                        agenda.add(.endProcess(of: i, life: nodes[i].life, power: false, back: lasts), at: at)
                    }
                case .losePower(let role):
                    for i in who(role) {
                        agenda.add(.endProcess(of: i, life: nodes[i].life, power: true, back: lasts), at: at)
                    }
                case .pause(let role): for i in who(role) { agenda.add(.pause(node: i), at: at) }
                case .stall(let from, let to):
                    for a in who(from) { for b in who(to) { stall(from: a, to: b, until: at + lasts) } }
                case .hangDisk(let role): for i in who(role) { nodes[i].hungUntil = at + lasts }
                case .reset(let from, let to):
                    for a in who(from) { for b in who(to) { agenda.add(.reset(a, b), at: at) } }
                case .loseRows(let role):
                    for i in who(role) { agenda.add(.loseRows(node: i, groups[g]), at: at) }
                case .replaceSession: agenda.add(.replaceSession, at: at)
                }
            }
        }
        return fate
    }

    private func stall(from a: Int, to b: Int, until: UInt64) {
        links[a][b].stalledUntil = max(links[a][b].stalledUntil, until)
        // The link may have been stalled for long before: who was silent is heard again when both are over.
        agenda.add(.spoke(b, of: a), at: links[a][b].stalledUntil + below(100 * millisecond))
    }

    private func drawn(_ range: ClosedRange<UInt64>) -> UInt64 {
        (range.lowerBound + below(range.upperBound - range.lowerBound + 1)) * millisecond
    }

    /// Ends a process that a directed fault is for, if it still runs.
    func end(_ n: Int, _ life: Int, losesPower: Bool, back: UInt64) {
        guard !healing, isLife(n, life) else { return }
        if losesPower { losePower(n, restartAfter: back) } else { kill(n, restartAfter: back) }
    }

    /// Only while another member holds all of them.
    func loseRows(_ n: Int, _ pg: PGID) {
        guard !healing, pg.isMetadata, let g = groups.firstIndex(of: pg), let replica = replica(n, pg),
            replica.group.canReadLocally || records[g].primary == nodes[n].id && replica.isWhole,
            records[g].inSync.contains(where: { $0.node != nodes[n].id && isWhole($0, pg) })
        else { return }
        replica.rowsUnreadable()
    }

    // MARK: Faults that are several in a certain order

    /// A primary's lease runs out while it lives: what it logged last reaches nobody, and it is there when another claims.
    func starveLease() -> UInt64 {
        guard let n = primaryOfSomeGroup() else { return clock }
        nodes[n].awayFromCoordinatorUntil = clock + 7 * second
        let from = clock + 1500 * millisecond + below(1200 * millisecond)
        agenda.add(.stallThenReset(node: n, life: nodes[n].life), at: from)
        return clock + 7 * second
    }

    func stallThenReset(_ n: Int, _ life: Int) {
        guard !healing, isLife(n, life) else { return }
        let length = 300 * millisecond + below(600 * millisecond)
        for other in nodes.indices where other != n {
            links[n][other].stalledUntil = clock + length
            agenda.add(.reset(n, other), at: clock + length - 5 * millisecond)
        }
    }

    func reset(_ a: Int, _ b: Int) {
        guard links[a][b].isUp, nodes[a].isOpen, nodes[b].isOpen else { return }
        disconnect(a, b)
        connect(a, b, after: 25 * millisecond + below(100 * millisecond))
    }

    /// A backup loses power and is back before anybody misses it; soon it is the only one that is left.
    func rebootBackup() -> UInt64 {
        guard let n = primaryOfSomeGroup() else { return clock }
        let backups = nodes.indices.filter { $0 != n && nodes[$0].isOpen }
        guard !backups.isEmpty else { return clock }
        let b = backups[random.below(backups.count)]
        losePower(b, restartAfter: 30 * millisecond + below(200 * millisecond))
        let at = clock + 250 * millisecond + below(700 * millisecond)
        for i in nodes.indices where i != b {
            agenda.add(
                .endProcess(of: i, life: nodes[i].life, power: false, back: 6 * second + below(3 * second)),
                at: at + below(50 * millisecond))
        }
        return at + 9 * second
    }

    /// All lose power, and one or two stay away for longer than anybody is waited for.
    func longOutage() -> UInt64 {
        guard nodes.allSatisfy({ $0.isOpen }) else { return clock }
        let absent = random.below(nodes.count)
        let second1 = chance(25) ? random.below(nodes.count) : absent
        var last = clock
        for i in nodes.indices where nodes[i].alive {
            let isAbsent = i == absent || i == second1
            let back = isAbsent ? 62 * second + below(12 * second) : 50 * millisecond + below(3 * second)
            last = max(last, clock + back)
            agenda.add(
                .endProcess(of: i, life: nodes[i].life, power: true, back: back), at: clock + below(20 * millisecond))
        }
        return last
    }

    /// Others claim and write, before it goes on as if nothing had been.
    func freezePrimary() -> UInt64 {
        guard let n = primaryOfSomeGroup() else { return clock }
        let length = 4 * second + below(5 * second)
        pause(n, length)
        return clock + length
    }

    /// All begin a checkpoint, and lose power within its first steps.
    func cutCheckpoints() -> UInt64 {
        var last = clock
        for i in nodes.indices where nodes[i].isOpen && nodes[i].pausedUntil == nil {
            nodes[i].host?.store.requestCheckpoint()
            needsCycleEnd(i)
            let back = 50 * millisecond + below(2 * second)
            last = max(last, clock + back)
            agenda.add(
                .endProcess(of: i, life: nodes[i].life, power: true, back: back), at: clock + below(12 * millisecond))
        }
        return last
    }

    private func primaryOfSomeGroup() -> Int? {
        let g = random.below(groups.count)
        return nodes.indices.first { replica($0, groups[g])?.group.isServing == true && nodes[$0].pausedUntil == nil }
    }

    // MARK: Clients that come late

    /// A gateway that does not know of its session's end goes on: its open request is sent again, to whoever reigns then.
    func haunt(_ c: Int, session: SessionID, number: RequestNumber, mapVersion: MapVersion, _ work: Client.Work) {
        guard scenario.zombies, history[work.observed].kind == .write, number != .none else { return }
        for _ in 0..<8 {
            agenda.add(
                .late(
                    client: c, g: work.g,
                    PGRequest(
                        pg: groups[work.g], session: session, number: number, ended: number, epoch: .zero,
                        mapVersion: mapVersion, body: work.body), work.draft.content), at: clock + below(12 * second))
        }
    }

    /// It also begins something new.
    func haunt(_ c: Int, session: SessionID, number: RequestNumber, mapVersion: MapVersion) {
        guard scenario.zombies, scenario.dataGroups > 0 else { return }
        let draft = aWrite()
        let work = Client.Work(draft: draft, number: number, observed: history.count)
        history.append(draft.observed)
        clients[c].pendingBefore.append((work.observed, work.g))
        haunt(c, session: session, number: number, mapVersion: mapVersion, work)
    }

    func lateRequest(_ c: Int, _ g: Int, _ request: PGRequest, _ content: [UInt8]) {
        guard let primary = records[g].primary else { return }
        var request = request
        request.epoch = records[g].epoch
        // No attempt has this number: whatever the answer is, nobody hears it.
        requestArrived(c, -1, Int(primary.rawValue) - 1, request, content)
    }
}
