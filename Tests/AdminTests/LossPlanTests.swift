import Admin
import Testing

struct LossPlanTests {
    private func report(
        _ node: Int, _ content: String, _ end: (UInt64, UInt64), role: String = "follower", epoch: UInt64 = 5,
        others: [OtherMemberReport] = [], least: Int = 2
    ) -> (node: Int, report: GroupReport) {
        (
            node,
            GroupReport(
                group: "d0", epoch: epoch, primary: 9, inSync: [1, 2, 3], learners: [], placement: [], lossNumber: 4,
                leastMembers: least,
                replica: ReplicaStatus(
                    disk: "disk\(node)", role: role, isServing: false, isLearning: false, catchUps: [], decidedEpoch: 0,
                    decidedNumber: 0, content: content, endEpoch: end.0, endNumber: end.1, members: others, waiting: nil
                ))
        )
    }

    private func away(_ node: Int, _ seconds: Double = 600) -> OtherMemberReport {
        OtherMemberReport(node: node, disk: "disk\(node)", state: "away", secondsAway: seconds)
    }

    private func plan(_ reports: [(node: Int, report: GroupReport)], chosen: Int? = nil) -> LossPlan? {
        if case .plan(let plan) = LossPlan.make(reports, chosen: chosen) { plan } else { nil }
    }

    @Test("The whole replica with the greatest end goes on, and of equal ones the lowest node")
    func greatest() {
        let all = [
            report(3, "whole", (4, 9), others: [away(1)]), report(2, "whole", (5, 7), others: [away(1)]),
            report(1, "whole", (5, 7), others: [away(2)]),
        ]
        #expect(plan(all)?.survivor == 1)
        #expect(plan(all, chosen: 3)?.survivor == 3)
    }

    @Test("A replica that lacks something goes on only if none is whole, an old one before an incomplete one")
    func incomplete() {
        let all = [
            report(1, "incomplete", (9, 90)), report(2, "rebooted", (1, 1), others: [away(3)]),
            report(3, "nothing", (0, 0)),
            report(4, "old", (1, 1)),
        ]
        #expect(plan(all)?.survivor == 2)
        #expect(plan([all[0], all[2], all[3]])?.survivor == 4)
        #expect(plan([all[0], all[2]]).map(\.losesFlushed) == true)
        #expect(LossPlan.make([all[2]], chosen: nil) == .nothingLeft)
        #expect(LossPlan.make(all, chosen: 3) == .nothingThere(3))
    }

    @Test("A primary goes on before all others, whose claims it would refuse")
    func primary() {
        let all = [
            report(2, "whole", (5, 7), role: "primary", others: [away(3)]),
            report(1, "whole", (5, 9), others: [away(3)]),
        ]
        #expect(plan(all)?.survivor == 2)
    }

    @Test("Nothing is given up while enough members are here")
    func enough() {
        let here = OtherMemberReport(node: 2, disk: "disk2", state: "whole", endEpoch: 5, endNumber: 7)
        #expect(LossPlan.make([report(1, "whole", (5, 7), others: [here, away(3)])], chosen: nil) == .enough)
        let five = LossPlan.make([report(1, "whole", (5, 7), others: [here, away(3)], least: 3)], chosen: nil)
        guard case .plan(let plan) = five else {
            Issue.record("three are needed, and two are here: \(five)")
            return
        }
        #expect(plan.keeps == [2] && plan.givesUp.map(\.node) == [3])
    }

    @Test("Who was here a moment ago, answers the command, catches up, or does not use its disk, is to be named")
    func named() {
        let unused = OtherMemberReport(node: 7, disk: "disk7", state: "out of use")
        let catching = OtherMemberReport(node: 4, disk: "disk4", state: "catching up")
        let gone = OtherMemberReport(node: 5, disk: "disk5", state: "nothing")
        let all = [
            report(1, "whole", (5, 7), others: [away(2, 59), away(3, 61), catching, gone, away(6), unused], least: 3),
            report(6, "incomplete", (5, 7)),
        ]
        #expect(plan(all)?.toBeNamed == [2, 4, 6, 7])
    }

    @Test("What was confirmed covers a later record, and not other content or more members")
    func covered() {
        let before = plan([report(1, "whole", (5, 7), others: [away(2), away(3)])])
        let later = plan([report(1, "whole", (6, 8), epoch: 6, others: [away(2)])])
        let other = plan([report(1, "incomplete", (6, 8), epoch: 6, others: [away(2)])])
        #expect(before.map { b in later.map { $0.isCovered(by: b) } ?? false } == true)
        #expect(later.map { l in before.map { $0.isCovered(by: l) } ?? true } == false)
        #expect(before.map { b in other.map { $0.isCovered(by: b) } ?? true } == false)
    }
}
