import ClusterModel
import Storage

/// What accepting the loss of a group's lost members would open: which replica the group goes on with, and what that lacks. Two
/// operators who look at the same cluster get the same plan.
public struct LossPlan: Codable, Hashable, Sendable {
    public var group: String
    public var epoch: UInt64
    public var lossNumber: UInt64
    /// The node whose replica is taken; what that has ("whole", "rebooted", "old" or "incomplete"), and the last entry of it.
    public var survivor: Int
    public var content: String
    public var endEpoch: UInt64
    public var endNumber: UInt64
    /// Nodes whose members stay beside it.
    public var keeps: [Int]
    /// Members that are given up, as the survivor sees them.
    public var givesUp: [OtherMemberReport]
    /// Of these, nodes that are here or were a short while ago: they are given up by name only.
    public var toBeNamed: [Int]

    /// Whether something that was flushed is lost for sure, or may be.
    public var losesFlushed: Bool { content == "old" || content == "incomplete" }

    /// Whether it says the same to an operator, but for the group's name and how far its log reaches.
    public func isLike(_ other: LossPlan) -> Bool {
        survivor == other.survivor && content == other.content && keeps == other.keeps && lossNumber == other.lossNumber
            && givesUp.map(\.node) == other.givesUp.map(\.node) && givesUp.map(\.state) == other.givesUp.map(\.state)
    }

    /// Whether who has confirmed the other one has confirmed this: the same content, and nobody else is given up.
    public func isCovered(by other: LossPlan) -> Bool {
        survivor == other.survivor && content == other.content
            && givesUp.allSatisfy { m in other.givesUp.contains { $0.node == m.node } }
    }

    public enum Outcome: Hashable, Sendable {
        case plan(LossPlan)
        /// Enough members are here: nothing is to be given up.
        case enough
        /// No node that answers has anything of the group.
        case nothingLeft
        /// The node that was asked for has nothing of it, or does not answer.
        case nothingThere(Int)
    }

    /// From what the nodes that answer report of one group. `chosen`: the node whose replica the operator wants.
    public static func make(_ reports: [(node: Int, report: GroupReport)], chosen: Int?) -> Outcome {
        guard let newest = reports.map(\.report).max(by: { $0.epoch < $1.epoch }) else { return .nothingLeft }
        let candidates = reports.filter { $0.report.replica?.hasContent ?? false }
        // A primary's log is the truth already, and nobody else can claim beside it.
        let primary = candidates.first { $0.report.replica?.role == "primary" && $0.report.epoch == newest.epoch }
        let best = primary ?? candidates.max { isBefore($0, $1) }
        var taken = best
        if let chosen, best?.node != chosen {
            guard let wanted = candidates.first(where: { $0.node == chosen }) else { return .nothingThere(chosen) }
            taken = wanted
        }
        guard let taken, let replica = taken.report.replica else { return .nothingLeft }
        let stay =
            switch replica.content {
            case "whole": ["whole"]
            case "rebooted": ["whole", "rebooted"]
            default: [String]()
            }
        let members = replica.members ?? []
        let keeps = members.filter { stay.contains($0.state) }.map(\.node)
        if replica.content == "whole" || replica.content == "rebooted", keeps.count + 1 >= newest.leastMembers ?? 1 {
            return .enough
        }
        let givesUp = members.filter { !keeps.contains($0.node) }
        let answering = reports.filter { $0.report.replica?.hasContent ?? false }.map(\.node)
        let toBeNamed = givesUp.filter { m in
            switch m.state {
            case "away": (m.secondsAway ?? 0) < 60 || answering.contains(m.node)
            case "catching up", "unasked", "out of use": true
            default: false
            }
        }
        return .plan(
            LossPlan(
                group: newest.group, epoch: newest.epoch, lossNumber: newest.lossNumber, survivor: taken.node,
                content: replica.content ?? "nothing", endEpoch: replica.endEpoch ?? 0,
                endNumber: replica.endNumber ?? 0, keeps: keeps,
                givesUp: givesUp, toBeNamed: toBeNamed.map(\.node)))
    }

    /// Content that lacks nothing first, the greatest end of it, and of equal ones the lowest node.
    private static func isBefore(
        _ a: (node: Int, report: GroupReport), _ b: (node: Int, report: GroupReport)
    ) -> Bool {
        guard let x = a.report.replica, let y = b.report.replica else { return a.report.replica == nil }
        return (-rank(x.content), x.endEpoch ?? 0, x.endNumber ?? 0, b.node) < (
            -rank(y.content), y.endEpoch ?? 0, y.endNumber ?? 0, a.node
        )
    }

    private static func rank(_ content: String?) -> Int {
        ["whole", "rebooted", "old", "incomplete"].firstIndex { $0 == content } ?? 4
    }
}

extension ReplicaStatus {
    fileprivate var hasContent: Bool { content.map { $0 != "nothing" } ?? false }

    init(_ standing: ReplicaStanding) {
        let end = standing.content.end
        self.init(
            disk: "\(standing.disk)", role: "\(standing.role)", isServing: standing.isServing,
            isLearning: standing.isLearning, catchUps: standing.catchUps.map(CatchUpReport.init),
            decidedEpoch: standing.decided.epoch.rawValue,
            decidedNumber: standing.decided.n,
            content: standing.content.name(mayLackUnflushed: standing.mayLackUnflushed),
            endEpoch: end.epoch.rawValue, endNumber: end.n,
            members: standing.members.map { OtherMemberReport($0.member, $0.standing) },
            waiting: standing.waiting?.plainWords)
    }
}

extension OtherMemberReport {
    init(_ member: Member, _ standing: MemberStanding) {
        self.init(node: Int(member.node.rawValue), disk: "\(member.disk)", state: "whole")
        switch standing {
        case .whole(let end), .rebooted(let end):
            if case .rebooted = standing { state = "rebooted" }
            endEpoch = end.epoch.rawValue
            endNumber = end.n
        case .catchingUp: state = "catching up"
        case .learning: state = "learning"
        case .nothing: state = "nothing"
        case .outOfUse: state = "out of use"
        case .unasked: state = "unasked"
        case .away(let time):
            state = "away"
            secondsAway = Double(time.nanoseconds) / 1e9
        }
    }
}

extension ReplicaContent {
    func name(mayLackUnflushed: Bool) -> String {
        switch self {
        case .whole: mayLackUnflushed ? "rebooted" : "whole"
        case .old: "old"
        case .incomplete: "incomplete"
        case .nothing: "nothing"
        }
    }

    var end: EntryName {
        switch self {
        case .whole(let end), .old(let end), .incomplete(let end): end
        case .nothing: .zero
        }
    }
}

extension LossRefusal {
    /// Refusals that pass by themselves are told as such: the command asks again.
    var failure: AdminFailure {
        switch self {
        case .changed: AdminFailure(.unavailable, "the group's record has changed meanwhile")
        case .primary(let node):
            AdminFailure(.unavailable, "node \(node.rawValue) leads the group, or its lease has not ended yet")
        case .enough:
            // What was asked a moment ago may just have come true.
            AdminFailure(.unavailable, "enough members of the group are here: nothing is to be given up")
        case .notNow:
            AdminFailure(
                .unavailable, "this node has no lease, is about to stop, or a change of the record is under way")
        case .unasked(let nodes):
            AdminFailure(.unavailable, "\(plainNames(nodes)) has not said yet what it has of the group")
        case .better(let node):
            AdminFailure(.refused, "the replica on node \(node.rawValue) is here, and has more")
        case .mayReturn(let nodes):
            AdminFailure(
                .refused,
                "\(plainNames(nodes)) is here, or was a minute ago, and may bring its member back: it is given up by name "
                    + "only (--lost)")
        case .content(.nothing): AdminFailure(.refused, "this node has nothing of the group")
        case .content: AdminFailure(.refused, "this node's content of the group lacks something (--incomplete)")
        }
    }
}

extension AdminService {
    func acceptLoss(_ arguments: AdminArguments, _ done: @escaping Answer<Done>) throws(AdminFailure) {
        let pg = try arguments.group("group")
        let epoch = Epoch(try arguments.number("epoch", UInt64.self))
        let content: LossDemand.Demanded =
            switch try arguments.text("content") {
            case "whole": .whole
            case "any": .any
            case let other: throw AdminFailure(.invalid, "content is whole or any, not \"\(other)\"")
            }
        var named: [NodeID] = []
        for part in try arguments.text("lost").split(separator: ",") {
            guard let id = UInt16(part), named.count < 1024 else {
                throw AdminFailure(.invalid, "lost is a list of nodes such as 2,3, not \"\(part)\"")
            }
            named.append(NodeID(id))
        }
        if let refusal = node.acceptLoss(
            of: pg, LossDemand(epoch: epoch, content: content, named: named.sorted()))
        {
            throw refusal.failure
        }
        done(.success(Done()))
    }
}
