import ClusterModel
import Replication
import Wire

/// Faults, and the end of all faults.
extension Simulator {
    /// A process starts: it opens its disk first.
    func start(_ n: Int) {
        let node = nodes[n]
        node.beginLife()
        for from in nodes.indices where from != n { links[from][n].dead = links[from][n].connection }
        considerUpgrade(node)
        tell("\(node.id) starts, boot \(node.boot)")
        let host = HostedDisk(self, n)
        node.host = host
        host.open()
    }

    /// The disk takes appends: replicas are made of what it has, and join the cluster.
    func opened(_ n: Int) {
        let node = nodes[n]
        guard let host = node.host else { return }
        node.view = records
        for g in groups.indices where failure == nil { self.host(n, g, host.recovered.first { $0.pg == groups[g] }) }
        guard failure == nil else { return }
        node.isOpen = true
        node.isDoubtful = false
        agenda.add(.renew(node: n, life: node.life), at: clock + below(50 * millisecond))
        agenda.add(
            .toNode(node: n, life: node.life, .map(MapFacts(map), nil)), at: clock + below(50 * millisecond))
        for g in groups.indices {
            agenda.add(
                .toNode(node: n, life: node.life, .record(records[g], version(g))),
                at: clock + below(50 * millisecond))
        }
        if scenario.relocates || wantedVersion > 1 { placementChanged(for: n) }
        for other in nodes.indices where other != n && nodes[other].isOpen && links[n][other].downUntil <= clock {
            connect(n, other, after: 5 * millisecond + below(100 * millisecond))
        }
        needsCycleEnd(n)
    }

    /// At once, or within the effects that come next.
    func kill(_ n: Int, restartAfter delay: UInt64) {
        let node = nodes[n]
        guard node.alive else { return }
        tell("\(node.id) is killed")
        node.endLife()
        node.host?.die()
        node.namespace?.kill()
        for other in nodes.indices where other != n { disconnect(n, other) }
        agenda.add(.restart(node: n), at: clock + delay)
    }

    func losePower(_ n: Int, restartAfter delay: UInt64) {
        kill(n, restartAfter: delay)
        guard !isBesideALostDisk(n) else { return }
        let node = nodes[n]
        tell("\(node.id) loses power")
        if !scenario.payloadVoids { node.disk.data.sync() }
        if scenario.logsOutlast { node.disk.writeLogsOut() }
        node.disk.losePower(&random)
        node.namespace?.losePower(&random)
        node.boot += 1
    }

    /// Whether a record that names this node's disk names another one that was lost for good: nothing could go on without an
    /// operator who gives up what both of them may have held.
    private func isBesideALostDisk(_ n: Int) -> Bool {
        records.contains { record in
            record.inSync.contains { $0.node == nodes[n].id }
                && record.inSync.contains { m in
                    let other = nodes[Int(m.node.rawValue) - 1]
                    return other.index != n
                        && (other.isDoubtful || m.disk != other.disk.id
                            || replica(other.index, record.pg)?.group.isAbsent == true)
                }
        }
    }

    func stopCleanly(_ n: Int, restartAfter delay: UInt64) {
        let node = nodes[n]
        guard node.isOpen, node.pausedUntil == nil, let host = node.host, !host.isClosing else { return }
        tell("\(node.id) is closed in order")
        for other in nodes.indices where other != n { disconnect(n, other) }
        let lease = node.lease
        if lease != .none { everyReplica(n) { $0.leaseLapsed(lease, at: $1) } }
        node.lease = .none
        endCycle(n)
        guard node.isOpen else { return }
        node.restartAfter = delay
        host.close()
        needsCycleEnd(n)
    }

    /// The disk is clean: the process ends.
    func closed(_ n: Int) {
        let node = nodes[n]
        tell("\(node.id) is closed")
        node.endLife()
        if chance(50) {
            node.disk.losePower(&random)
            node.namespace?.losePower(&random)
            node.boot += 1
        }
        agenda.add(.restart(node: n), at: clock + node.restartAfter)
    }

    /// The node lives on without its replicas, and comes back later with what it must learn anew. Only where every group has
    /// another whole replica: else nothing could go on before an operator gives up what was lost.
    private func failSync(_ n: Int, restartAfter delay: UInt64) {
        let node = nodes[n]
        guard node.isOpen, node.pausedUntil == nil, !node.lostItsDisk, let host = node.host, !host.isClosing,
            groups.indices.allSatisfy({ g in
                records[g].inSync.contains { m in
                    m.node != node.id && isWhole(m, groups[g])
                }
            })
        else { return }
        tell("a sync of \(node.id) fails")
        let lease = node.lease
        if lease != .none { everyReplica(n) { $0.leaseLapsed(lease, at: $1) } }
        node.lease = .none
        for replica in node.replicas { replica.settle() }
        guard node.isOpen else { return }
        host.fail()
        node.collectSituations()
        node.isDoubtful = true
        node.lostItsDisk = true
        node.replicas = []
        node.dirty = []
        node.completions = []
        node.disk.losePower(&random)
        node.namespace?.losePower(&random)
        for other in nodes.indices where other != n {
            for pg in groups { sayGone(n, pg, to: nodes[other].id) }
        }
        agenda.add(.kill(node: n), at: clock + delay)
    }

    /// As `StorageNode` says it of a disk that is out of use.
    func sayGone(_ n: Int, _ pg: PGID, to node: NodeID) {
        send(n, ReplicaMessage(pg: pg, epoch: .zero, body: .gone), to: node)
    }

    func pause(_ n: Int, _ length: UInt64) {
        guard nodes[n].alive, nodes[n].pausedUntil == nil else { return }
        tell("\(nodes[n].id) is stopped for \(length / millisecond) ms")
        nodes[n].pausedUntil = clock + length
        agenda.add(.thaw(node: n), at: clock + length)
        if length > second {
            for other in nodes.indices where other != n {
                agenda.add(.silence(other, of: n, until: clock + length), at: clock + second + below(200 * millisecond))
                agenda.add(.spoke(other, of: n), at: clock + length + below(100 * millisecond))
            }
        }
    }

    func thaw(_ n: Int) {
        guard let until = nodes[n].pausedUntil, clock >= until else { return }
        nodes[n].pausedUntil = nil
        tell("\(nodes[n].id) goes on")
    }

    /// Each fault has its own numbers, so that one can be left out and the others stay what they are.
    func fault() {
        guard !healing else { return }
        let saved = random
        random = SplitMix64(seed: StableHash.combine(seed, UInt64(faultCount)))
        defer { random = saved }
        let kind = scenario.faults[random.below(scenario.faults.count)]
        let n = random.below(nodes.count)
        agenda.add(.fault, at: clock + 50 * millisecond + below(chance(40) ? 400 * millisecond : 4 * second))
        faultCount += 1
        if scenario.withoutFaults.contains(faultCount) { return }
        counts["\(kind)", default: 0] += 1
        tell("fault \(faultCount): \(kind)")
        account.began(kind, until: happen(kind, to: n))
    }

    /// Gives when it is over, about.
    private func happen(_ kind: Scenario.Fault, to n: Int) -> UInt64 {
        var over = clock + second
        let back = chance(50) ? 50 * millisecond + below(300 * millisecond) : 300 * millisecond + below(6 * second)
        switch kind {
        case .kill:
            over = clock + back
            if chance(15) {
                for i in nodes.indices { kill(i, restartAfter: 50 * millisecond + below(2 * second)) }
            } else if chance(50) {
                kill(n, restartAfter: back)
            } else if nodes[n].alive, nodes[n].stepsToLive == nil {
                // In the middle of a cycle.
                nodes[n].stepsToLive = random.below(60)
                nodes[n].restartAfter = back
            }
        case .killAgain:
            // One node again and again, while the others go on.
            over = clock
            for _ in 0..<2 + random.below(4) {
                agenda.add(.kill(node: n), at: over)
                over += 150 * millisecond + below(1500 * millisecond)
            }
        case .powerLoss:
            losePower(n, restartAfter: back)
            over = clock + back
        case .powerLossOfAll:
            #if DEBUG || STAVE_MUTANTS
                recordsGoBack()
            #endif
            for i in nodes.indices {
                let back = 50 * millisecond + below(4 * second)
                losePower(i, restartAfter: back)
                over = max(over, clock + back)
            }
        case .powerCut:
            // All at about the same time, each in the middle of what it does.
            for i in nodes.indices where nodes[i].alive {
                let back = 50 * millisecond + below(chance(20) ? 15 * second : 4 * second)
                nodes[i].stepsToLive = random.below(40)
                nodes[i].cutsPower = true
                nodes[i].restartAfter = back
                over = max(over, clock + back)
                agenda.add(
                    .cutPower(node: i, life: nodes[i].life, restartAfter: back), at: clock + below(20 * millisecond))
            }
        case .cleanRestart:
            over = clock + back
            if chance(30) {
                for i in nodes.indices { stopCleanly(i, restartAfter: 50 * millisecond + below(2 * second)) }
            } else if scenario.balances, chance(70) {
                leave(n, restartAfter: back)
            } else {
                stopCleanly(n, restartAfter: back)
            }
        case .pause:
            let length = 100 * millisecond + below(chance(50) ? 1 * second : 8 * second)
            pause(n, length)
            over = clock + length
        case .pauseAcrossLease:
            // Ends about when the lease does.
            for i in nodes.indices where i == n || chance(25) {
                let length = 2300 * millisecond + below(1500 * millisecond)
                pause(i, length)
                over = max(over, clock + length)
            }
        case .reset: reset(n)
        case .partition:
            let length = 100 * millisecond + below(6 * second)
            for other in nodes.indices where other != n && (chance(60) || nodes.count == 2) {
                partition(n, other, length)
            }
            over = clock + length
        case .oneWayPartition:
            let length = 300 * millisecond + below(5 * second)
            stall(n, length)
            over = clock + length
        case .slowLink:
            for other in nodes.indices where other != n && chance(60) {
                links[n][other].slowUntil = clock + below(5 * second)
                links[other][n].slowUntil = clock + below(5 * second)
                over = max(links[n][other].slowUntil, links[other][n].slowUntil)
            }
        case .coordinatorAway:
            over = clock + below(6 * second)
            nodes[n].awayFromCoordinatorUntil = over
        case .coordinatorGone:
            let length = chance(50) ? below(3 * second) : 2 * second + below(8 * second)
            over = clock + length
            for i in nodes.indices {
                nodes[i].awayFromCoordinatorUntil = max(
                    nodes[i].awayFromCoordinatorUntil, over + below(300 * millisecond))
            }
        case .coordinatorSlow:
            over = clock + below(5 * second)
            coordinatorSlowUntil = over
        case .watchesLost:
            over = clock + below(3 * second)
            nodes[n].watchesLostUntil = over
            agenda.add(.coordinator(.readAll(node: n, life: nodes[n].life)), at: over)
        case .watchesLate:
            over = clock + below(6 * second)
            watchesLateUntil = over
        case .clockStep: nodes[n].wallOffset = Int64(below(7200 * second)) - Int64(3600 * second)
        case .newSession: replaceSession(random.below(sessions.count))
        case .checkpoint:
            if nodes[n].isOpen, nodes[n].pausedUntil == nil {
                nodes[n].host?.store.requestCheckpoint()
                needsCycleEnd(n)
            }
        case .failedSync:
            over = clock + back + below(8 * second)
            failSync(n, restartAfter: over - clock)
        case .relocate:
            relocate()
            over = clock + 5 * second
        case .replaceDisk:
            replaceDisk(n, restartAfter: back)
            over = clock + back
        case .wornDisk:
            over = clock + 4 * second + below(8 * second)
            nodes[n].slowUntil = over
        case .handover: handOver()
        case .suspend:
            suspend(n, map.nodes[n].duty == .full ? .suspended : .full)
            over = clock + 5 * second
        case .slowDisk:
            over = clock + below(4 * second)
            nodes[n].slowUntil = over
        case .fullDisk:
            over = clock + below(5 * second)
            nodes[n].fullUntil = over
            nodes[n].disk.capacityBytes = UInt64(nodes[n].disk.dataSlots * Geometry.slotSize)
        case .starvedLease: over = starveLease()
        case .backupReboots: over = rebootBackup()
        case .longOutage: over = longOutage()
        case .frozenPrimary: over = freezePrimary()
        case .checkpointCut: over = cutCheckpoints()
        case .directed, .rot, .clockDrift: break
        }
        return over
    }

    func endFullness(_ n: Int) {
        nodes[n].fullUntil = 0
        nodes[n].disk.capacityBytes = FakeDisk.capacity
    }

    private func reset(_ n: Int) {
        let other = random.below(nodes.count)
        if n != other, nodes[n].alive, nodes[other].alive, links[n][other].isUp, nodes[n].isOpen, nodes[other].isOpen {
            disconnect(n, other)
            connect(n, other, after: 25 * millisecond + below(200 * millisecond))
        }
    }

    /// What a node sends arrives late, or what is sent to it; the other direction goes on.
    private func stall(_ n: Int, _ length: UInt64) {
        let isSender = chance(50)
        for other in nodes.indices where other != n && chance(70) {
            let (from, to) = isSender ? (n, other) : (other, n)
            links[from][to].stalledUntil = clock + length
            agenda.add(.silence(to, of: from, until: clock + length), at: clock + second + below(200 * millisecond))
            agenda.add(.spoke(to, of: from), at: clock + length + below(100 * millisecond))
        }
    }

    func partition(_ a: Int, _ b: Int, _ length: UInt64) {
        disconnect(a, b)
        links[a][b].downUntil = clock + length
        links[b][a].downUntil = clock + length
        agenda.add(.end, at: clock + length)
        partitions.append((a, b, clock + length))
    }

    /// Links whose time has come are made again.
    func mendLinks() {
        let due = partitions.filter { $0.until <= clock || healing }
        guard !due.isEmpty else { return }
        partitions.removeAll { $0.until <= clock || healing }
        for (a, b, _) in due {
            links[a][b].downUntil = 0
            links[b][a].downUntil = 0
            if nodes[a].isOpen, nodes[b].isOpen, !links[a][b].isUp { connect(a, b, after: 5 * millisecond) }
        }
    }

    /// No more faults: everything runs, is connected and answers; clients finish.
    func mend() {
        tell("no more faults")
        healing = true
        account.healed()
        for n in nodes.indices {
            nodes[n].awayFromCoordinatorUntil = 0
            nodes[n].stepsToLive = nil
            nodes[n].cutsPower = false
            nodes[n].slowUntil = 0
            if clock < nodes[n].hungUntil { nodes[n].host?.hangsNoMore() }
            nodes[n].hungUntil = 0
            endFullness(n)
            for other in nodes.indices { links[n][other].slowUntil = 0 }
            upgradeForGood(n)
            if !nodes[n].alive { start(n) }
            if map.nodes[n].duty == .suspended { suspend(n, .full) }
        }
        coordinatorSlowUntil = 0
        watchesLateUntil = 0
        // Watches begin anew.
        for n in nodes.indices where nodes[n].isOpen {
            nodes[n].watchesLostUntil = 0
            tellAll(n)
        }
        mendLinks()
        disksReturnAt = clock + Simulator.outage
        agenda.add(.end, at: clock + 2 * second)
        beginDestruction()
    }

    /// How long nodes without their disks live on after the last fault, so that the others have to go on beside them.
    private static let outage = 15 * second

    /// By then every group serves that has enough members elsewhere. Nodes that lost their disks come back.
    func returnDisks() {
        guard healing, clock >= disksReturnAt, nodes.contains(where: \.lostItsDisk) else { return }
        for g in groups.indices {
            let whole = records[g].placement.filter { !nodes[Int($0.node.rawValue) - 1].lostItsDisk }
            if whole.count >= map.policy.minInSync, !destruction.isUnderWay,
                !nodes.contains(where: { node in
                    node.replicas.contains { $0.pg == groups[g] && $0.group.isServing }
                })
            {
                fail("\(groups[g]) does not serve beside a disk that is out of use: \(stateOfThings)")
            }
        }
        for n in nodes.indices where nodes[n].lostItsDisk { kill(n, restartAfter: 0) }
    }
}
