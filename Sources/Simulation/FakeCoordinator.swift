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
                answerNode(n, life, .ended(proposal.record.pg, proposal.token, .refused), after: 50 * millisecond)
                return
            }
            switch directed(proposal: proposal, by: n) {
            case .landing(let at):
                answerNode(
                    n, life, .ended(proposal.record.pg, proposal.token, .unknown), after: below(20 * millisecond))
                agenda.add(.coordinator(request), at: at)
                return
            case .refused:
                answerNode(
                    n, life, .ended(proposal.record.pg, proposal.token, .refused), after: below(50 * millisecond))
                return
            case nil: break
            }
            if !healing, chance(scenario.unknownOutcomes) {
                // Told as unknown; made later, soon, or never.
                answerNode(
                    n, life, .ended(proposal.record.pg, proposal.token, .unknown), after: below(300 * millisecond))
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
        let slowness = clock < coordinatorSlowUntil ? below(3 * second) : 0
        agenda.add(
            .coordinator(request),
            at: clock + 500_000 + below(chance(5) ? 200 * millisecond : 8 * millisecond) + slowness)
    }

    func answerNode(_ n: Int, _ life: Int, _ answer: CoordinatorAnswer, after delay: UInt64? = nil) {
        agenda.add(
            .toNode(node: n, life: life, answer), at: clock + (delay ?? 300_000 + below(10 * millisecond)))
    }

    func version(_ g: Int) -> RecordVersion { RecordVersion(recordVersions[g]) }

    func coordinate(_ request: CoordinatorRequest) {
        switch request {
        case .propose(let n, let life, let p):
            let pg = p.record.pg
            guard let g = groups.firstIndex(of: pg) else { return fail("a proposal for \(pg), which is not there") }
            let endedWell = p.requiresEnded.map { hasEnded($0) } ?? true
            let raiseWell = p.raisesLossNumber.map { $0 == map.lossNumber } ?? true
            guard p.expected == version(g), endedWell, raiseWell else {
                answerNode(n, life, .ended(pg, p.token, .lost(records[g], version(g))))
                return
            }
            recordVersions[g] += 1
            let before = records[g]
            #if DEBUG || STAVE_MUTANTS
                if recordsBefore.isEmpty { recordsBefore = groups.map { _ in nil } }
                recordsBefore[g] = before
            #endif
            let record = p.record
            if !isLife(n, life) { markMadeAfterDeath(of: nodes[n].id, before, record) }
            records[g] = record
            mix(record.epoch.rawValue &* 7 &+ UInt64(record.inSync.count))
            tell(
                "record of \(pg) \(record.epoch): primary \(record.primary.map(\.description) ?? "none"), in-sync "
                    + "\(record.inSync), loss \(record.lossNumber.rawValue)")
            if record.epoch != before.epoch.next { fail("an epoch was left out") }
            let least = min(map.policy.minInSync, before.inSync.count)
            let isAccepted = destruction.survivors.contains { nodes[$0].id == record.primary }
            if record.inSync.count < least, !isAccepted {
                fail("the in-sync set fell below \(least): \(record.inSync)")
            }
            answerNode(
                n, life, .ended(pg, p.token, .won(version(g))),
                after: answersHeldUntil[n] > clock ? answersHeldUntil[n] - clock : nil)
            if record.primaryLease != before.primaryLease { claimedAt = clock }
            directed(made: record, after: before, by: n)
            if p.raisesLossNumber != nil {
                // Of a loss that an operator accepts it is known whether it was one of power; a survivor may claim by itself, too.
                if destruction.accepted.remove(g) == nil { lossesOfPower += 1 }
                map.lossNumber = map.lossNumber.next
                mapChanged()
            }
            for other in nodes.indices where hears(other) {
                answerNode(
                    other, nodes[other].life, .record(record, version(g)),
                    after: 300_000 + below(chance(10) ? 2 * second : 20 * millisecond) + watchDelay)
            }
        case .readRecord(let n, let life):
            for g in groups.indices { answerNode(n, life, .record(records[g], version(g))) }
        case .readMap(let n, let life, let pg, let token): answerNode(n, life, .map(MapFacts(map), (pg, token)))
        case .askLease(let n, let life, let number):
            if hasEnded(number) { answerNode(n, life, .leaseEnded(number)) }
        case .readAll(let n, let life): if isLife(n, life) { tellAll(n) }
        }
    }

    /// How all stands.
    func tellAll(_ n: Int) {
        let life = nodes[n].life
        for g in groups.indices { answerNode(n, life, .record(records[g], version(g)), after: millisecond) }
        answerNode(n, life, .map(MapFacts(map), nil), after: millisecond)
        answerNode(n, life, .placement(wanted, version: wantedVersion), after: millisecond)
    }

    /// Whether a change reaches the node's watches.
    func hears(_ n: Int) -> Bool { nodes[n].isOpen && clock >= nodes[n].watchesLostUntil }

    private func markMadeAfterDeath(of proposer: NodeID, _ before: PGRecord, _ after: PGRecord) {
        if after.primaryLease != before.primaryLease {
            situations.insert(.claimMadeAfterDeath)
        } else if after.inSync.contains(where: { m in !before.inSync.contains { $0.node == m.node } }) {
            situations.insert(.learnerPromotedWhilePrimaryDies)
        } else if after.inSync.count < before.inSync.count {
            situations.insert(.removalMadeAfterDeath)
        }
    }

    /// Whether the lease has ended; one that has run out is revoked by the question.
    private func hasEnded(_ number: LeaseNumber) -> Bool {
        if number == .none { return true }
        let i = Int(number.rawValue) - 1
        if !leases[i].revoked, clock >= leases[i].until { leases[i].revoked = true }
        return leases[i].revoked
    }

    #if DEBUG || STAVE_MUTANTS
        /// A store whose last commit is lost with power.
        func recordsGoBack() {
            guard scenario.mutation == .recordGoesBack else { return }
            for (g, before) in recordsBefore.enumerated() {
                if let before { records[g] = before }
            }
        }
    #endif

    var watchDelay: UInt64 { clock < watchesLateUntil ? below(8 * second) : 0 }

    /// A change of the map travels to all, to each in its own time.
    func mapChanged() {
        map.version = map.version.next
        for n in nodes.indices where hears(n) {
            answerNode(
                n, nodes[n].life, .map(MapFacts(map), nil),
                after: below(chance(10) ? 3 * second : 50 * millisecond) + watchDelay)
        }
    }

    func answerArrived(_ n: Int, _ answer: CoordinatorAnswer) {
        switch answer {
        case .ended(let pg, let token, let outcome):
            replica(n, pg)?.event { $0.proposalEnded(token, outcome, at: $1) }
        case .record(let record, let version):
            replica(n, record.pg)?.event { $0.recordRead(record, version, at: $1) }
            replica(n, record.pg)?.lookAtRows()
            viewed(n, record)
        case .map(let facts, let asked):
            if let (pg, token) = asked {
                replica(n, pg)?.event { $0.mapRead(token, facts, at: $1) }
            } else {
                everyReplica(n) { $0.mapChanged(facts, at: $1) }
                for replica in nodes[n].replicas where replica.pg.isMetadata && replica.group.isServing {
                    replica.sessionsEnded()
                }
            }
        case .leaseEnded(let number): everyReplica(n) { $0.leaseSeenEnded(number, at: $1) }
        case .placement(let targets, let version): placementHeard(n, targets, version)
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
                everyReplica(n) { $0.leaseLapsed(old, at: $1) }
            } else if !away {
                leases[i].until = clock + Simulator.leaseDuration
                nodes[n].leaseUntil = clock + span(n, Simulator.leaseDuration - Simulator.leaseMargin)
            }
        }
        if nodes[n].lease == .none, !away, !(nodes[n].host?.isClosing ?? true) {
            leases.append(Lease(until: clock + Simulator.leaseDuration))
            let number = LeaseNumber(UInt32(leases.count))
            nodes[n].lease = number
            nodes[n].leaseUntil = clock + span(n, Simulator.leaseDuration - Simulator.leaseMargin)
            everyReplica(n) { $0.leaseTaken(number, at: $1) }
        }
        agenda.add(.renew(node: n, life: nodes[n].life), at: clock + span(n, 500 * millisecond))
    }
}
