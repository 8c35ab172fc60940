import ClusterModel
import Replication
import Wire

/// The coordination store: records change by compare-and-set, answers come late, get lost, or the request lands after its
/// sender was told that the outcome is unknown. Leases end for others only after they have ended for their holder.
extension Simulator {
    static let leaseDuration = 3 * second
    static let leaseMargin = 500 * millisecond

    func toCoordinator(_ request: CoordinatorRequest, _ n: Int) {
        let away = nodes[n].awayFromCoordinatorUntil > clock
        if case .propose(_, let life, let proposal) = request {
            if away {
                answerNode(n, life, .ended(proposal.token, .refused), after: 50 * millisecond)
                return
            }
            if !healing, chance(scenario.unknownOutcomes) {
                // Told as unknown; made later, soon, or never.
                answerNode(n, life, .ended(proposal.token, .unknown), after: below(300 * millisecond))
                switch random.below(3) {
                case 0: break
                case 1: agenda.add(.coordinator(request), at: clock + below(20 * millisecond))
                default: agenda.add(.coordinator(request), at: clock + below(4 * second))
                }
                return
            }
        } else if away {
            // Reads are tried until they succeed.
            agenda.add(.coordinator(request), at: nodes[n].awayFromCoordinatorUntil + below(5 * millisecond))
            return
        }
        agenda.add(.coordinator(request), at: clock + 500_000 + below(chance(5) ? 200 * millisecond : 8 * millisecond))
    }

    private func answerNode(_ n: Int, _ life: Int, _ answer: CoordinatorAnswer, after delay: UInt64? = nil) {
        agenda.add(
            .toNode(node: n, life: life, answer), at: clock + (delay ?? 300_000 + below(10 * millisecond)))
    }

    var version: RecordVersion { RecordVersion(recordVersion) }

    func coordinate(_ request: CoordinatorRequest) {
        switch request {
        case .propose(let n, let life, let p):
            let endedWell = p.requiresEnded.map { hasEnded($0) } ?? true
            let raiseWell = p.raisesLossNumber.map { $0 == map.lossNumber } ?? true
            guard p.expected == version, endedWell, raiseWell else {
                answerNode(n, life, .ended(p.token, .lost(record, version)))
                return
            }
            recordVersion += 1
            let before = record
            record = p.record
            mix(record.epoch.rawValue &* 7 &+ UInt64(record.inSync.count))
            tell(
                "record \(record.epoch): primary \(record.primary.map(\.description) ?? "none"), in-sync \(record.inSync), "
                    + "loss \(record.lossNumber.rawValue)")
            if record.epoch != before.epoch.next { fail("an epoch was left out") }
            let least = min(map.policy.minInSync, before.inSync.count)
            if record.inSync.count < least { fail("the in-sync set fell below \(least): \(record.inSync)") }
            answerNode(n, life, .ended(p.token, .won(version)))
            if p.raisesLossNumber != nil {
                map.lossNumber = map.lossNumber.next
                mapChanged()
            }
            for other in nodes.indices where nodes[other].alive {
                answerNode(
                    other, nodes[other].life, .record(record, version),
                    after: 300_000 + below(chance(10) ? 2 * second : 20 * millisecond))
            }
        case .readRecord(let n, let life): answerNode(n, life, .record(record, version))
        case .readMap(let n, let life, let token): answerNode(n, life, .map(MapFacts(map), token))
        case .askLease(let n, let life, let number):
            if hasEnded(number) { answerNode(n, life, .leaseEnded(number)) }
        }
    }

    /// Whether the lease has ended; one that has run out is revoked by the question.
    private func hasEnded(_ number: LeaseNumber) -> Bool {
        if number == .none { return true }
        let i = Int(number.rawValue) - 1
        if !leases[i].revoked, clock >= leases[i].until { leases[i].revoked = true }
        return leases[i].revoked
    }

    /// A change of the map travels to all, to each in its own time.
    func mapChanged() {
        map.version = map.version.next
        for n in nodes.indices where nodes[n].alive {
            answerNode(
                n, nodes[n].life, .map(MapFacts(map), nil), after: below(chance(10) ? 3 * second : 50 * millisecond))
        }
    }

    func answerArrived(_ n: Int, _ answer: CoordinatorAnswer) {
        switch answer {
        case .ended(let token, let outcome): withGroup(n) { $0.proposalEnded(token, outcome, at: moment) }
        case .record(let record, let version): withGroup(n) { $0.recordRead(record, version, at: moment) }
        case .map(let facts, let token):
            withGroup(n) { group in
                if let token { group.mapRead(token, facts, at: moment) } else { group.mapChanged(facts, at: moment) }
            }
        case .leaseEnded(let number): withGroup(n) { $0.leaseSeenEnded(number, at: moment) }
        }
    }

    // MARK: Leases

    /// Renews, or finds that the lease has lapsed, if only for an instant, and takes a new one.
    func renew(_ n: Int) {
        let away = nodes[n].awayFromCoordinatorUntil > clock
        if nodes[n].lease != .none {
            let i = Int(nodes[n].lease.rawValue) - 1
            if clock >= nodes[n].leaseUntil || leases[i].revoked {
                let old = nodes[n].lease
                nodes[n].lease = .none
                tell("\(nodes[n].id) lost \(old)")
                withGroup(n) { $0.leaseLapsed(old, at: moment) }
            } else if !away {
                leases[i].until = clock + Simulator.leaseDuration
                nodes[n].leaseUntil = clock + Simulator.leaseDuration - Simulator.leaseMargin
            }
        }
        if nodes[n].lease == .none, !away {
            leases.append(Lease(until: clock + Simulator.leaseDuration))
            let number = LeaseNumber(UInt32(leases.count))
            nodes[n].lease = number
            nodes[n].leaseUntil = clock + Simulator.leaseDuration - Simulator.leaseMargin
            withGroup(n) { $0.leaseTaken(number, at: moment) }
        }
        agenda.add(.renew(node: n, life: nodes[n].life), at: clock + 500 * millisecond)
    }
}
