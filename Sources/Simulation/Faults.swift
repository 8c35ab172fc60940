import ClusterModel
import Replication
import Wire

/// Faults, and the end of all faults.
extension Simulator {
    /// A process starts on its disk.
    func start(_ n: Int) {
        nodes[n].life += 1
        nodes[n].alive = true
        nodes[n].pausedUntil = nil
        nodes[n].lease = .none
        nodes[n].leaseUntil = 0
        nodes[n].tokens = [:]
        nodes[n].payloads = [:]
        nodes[n].appendedAt = 0
        nodes[n].stateAt = 0
        nodes[n].tickAt = 0
        nodes[n].syncing = false
        nodes[n].syncWanted = false
        nodes[n].wasServing = false
        tell("\(nodes[n].id) starts, boot \(nodes[n].boot)")
        let boot = BootID(UInt128(nodes[n].boot) << 8 | UInt128(n + 1))
        let local = Member(node: nodes[n].id, disk: DiskID(UInt128(n + 1)), boot: boot)
        let image = nodes[n].disk.present
        var recovered: RecoveredReplica?
        if let state = image.state {
            var entries: [Entry] = []
            var voids: [VoidRecord] = []
            for r in image.log where r.entry.name.n > image.trimmedThrough.n {
                var entry = r.entry
                if entry.payload != nil { entry.payload = r.isVoid ? nil : keep(n, r.content) }
                entries.append(entry)
                if r.isVoid, case .write(let w) = r.entry.body {
                    voids.append(
                        VoidRecord(
                            entry: entry.name, object: w.object,
                            request: LostRequest(session: entry.session, request: entry.request)))
                }
            }
            if !voids.isEmpty { tell("\(nodes[n].id) finds void \(voids.map(\.entry))") }
            recovered = RecoveredReplica(
                state: state, tables: image.tables, entries: entries, decided: image.decided,
                stable: entries.last?.name ?? image.trimmedThrough, voids: voids,
                opening: nodes[n].disk.cleanMark ? .clean : .crashed)
        }
        nodes[n].disk.cleanMark = false
        do {
            let group = try PlacementGroup(pg: record.pg, local: local, recovered: recovered, at: moment)
            #if DEBUG
                group.mutations = scenario.mutations
            #endif
            nodes[n].group = group
        } catch {
            fail("\(nodes[n].id) cannot open its replica: \(error)")
            return
        }
        agenda.add(.renew(node: n, life: nodes[n].life), at: clock + below(50 * millisecond))
        agenda.add(
            .toNode(node: n, life: nodes[n].life, .map(MapFacts(map), nil)), at: clock + below(50 * millisecond))
        agenda.add(
            .toNode(node: n, life: nodes[n].life, .record(record, version)), at: clock + below(50 * millisecond))
        for other in nodes.indices where other != n && nodes[other].alive && links[n][other].downUntil <= clock {
            connect(n, other, after: 5 * millisecond + below(100 * millisecond))
        }
        execute(n)
    }

    func kill(_ n: Int, restartAfter delay: UInt64) {
        guard nodes[n].alive else { return }
        tell("\(nodes[n].id) is killed")
        nodes[n].alive = false
        nodes[n].life += 1
        nodes[n].group = nil
        nodes[n].pausedUntil = nil
        nodes[n].disk.killed(&random)
        for other in nodes.indices where other != n { disconnect(n, other) }
        agenda.add(.restart(node: n), at: clock + delay)
    }

    func losePower(_ n: Int, restartAfter delay: UInt64) {
        if nodes[n].alive {
            kill(n, restartAfter: delay)
        }
        tell("\(nodes[n].id) loses power")
        tell("\(nodes[n].id) had \(nodes[n].disk.present.log.last?.entry.name.description ?? "-")")
        nodes[n].disk.lostPower(&random, voids: scenario.payloadVoids)
        nodes[n].boot += 1
    }

    private func stopCleanly(_ n: Int, restartAfter delay: UInt64) {
        guard nodes[n].alive, nodes[n].pausedUntil == nil else { return }
        tell("\(nodes[n].id) is closed in order")
        nodes[n].disk.sync()
        nodes[n].disk.cleanMark = true
        nodes[n].alive = false
        nodes[n].life += 1
        nodes[n].group = nil
        if chance(50) { nodes[n].boot += 1 }
        for other in nodes.indices where other != n { disconnect(n, other) }
        agenda.add(.restart(node: n), at: clock + delay)
    }

    func pause(_ n: Int, _ length: UInt64) {
        guard nodes[n].alive, nodes[n].pausedUntil == nil else { return }
        tell("\(nodes[n].id) is stopped for \(length / millisecond) ms")
        nodes[n].pausedUntil = clock + length
        agenda.add(.thaw(node: n), at: clock + length)
        if length > second {
            for other in nodes.indices where other != n {
                agenda.add(.silence(other, of: n), at: clock + second + below(200 * millisecond))
                agenda.add(.spoke(other, of: n), at: clock + length + below(100 * millisecond))
            }
        }
    }

    func thaw(_ n: Int) {
        guard let until = nodes[n].pausedUntil, clock >= until else { return }
        nodes[n].pausedUntil = nil
        tell("\(nodes[n].id) goes on")
    }

    func checkpoint(_ n: Int) {
        guard let group = nodes[n].group, nodes[n].disk.present.state != nil, !group.isLearning else { return }
        let (bytes, through) = group.checkpointTables()
        nodes[n].disk.sync()
        nodes[n].disk.perform(.checkpoint(through, tables: bytes))
        nodes[n].disk.sync()
    }

    func fault() {
        guard !healing else { return }
        let kind = scenario.faults[random.below(scenario.faults.count)]
        let n = random.below(nodes.count)
        let back = chance(50) ? 50 * millisecond + below(300 * millisecond) : 300 * millisecond + below(6 * second)
        counts["\(kind)", default: 0] += 1
        switch kind {
        case .kill:
            if chance(15) {
                for i in nodes.indices { kill(i, restartAfter: 50 * millisecond + below(2 * second)) }
            } else {
                kill(n, restartAfter: back)
            }
        case .powerLoss: losePower(n, restartAfter: back)
        case .powerLossOfAll:
            if chance(50) {
                for i in nodes.indices { losePower(i, restartAfter: 50 * millisecond + below(4 * second)) }
            }
        case .cleanRestart:
            if chance(30) {
                for i in nodes.indices { stopCleanly(i, restartAfter: 50 * millisecond + below(2 * second)) }
            } else {
                stopCleanly(n, restartAfter: back)
            }
        case .pause: pause(n, 100 * millisecond + below(chance(50) ? 1 * second : 8 * second))
        case .reset:
            let other = random.below(nodes.count)
            if n != other, nodes[n].alive, nodes[other].alive, links[n][other].isUp {
                disconnect(n, other)
                connect(n, other, after: 25 * millisecond + below(200 * millisecond))
            }
        case .partition:
            let length = 100 * millisecond + below(6 * second)
            for other in nodes.indices where other != n && (chance(60) || nodes.count == 2) {
                partition(n, other, length)
            }
        case .coordinatorAway: nodes[n].awayFromCoordinatorUntil = clock + below(6 * second)
        case .newSession: replaceSession(random.below(sessions.count))
        case .checkpoint: if nodes[n].alive, nodes[n].pausedUntil == nil { checkpoint(n) }
        }
        agenda.add(.fault, at: clock + 50 * millisecond + below(chance(40) ? 400 * millisecond : 4 * second))
    }

    private func partition(_ a: Int, _ b: Int, _ length: UInt64) {
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
            if nodes[a].alive, nodes[b].alive, !links[a][b].isUp { connect(a, b, after: 5 * millisecond) }
        }
    }

    /// No more faults: everything runs, is connected and answers; clients finish.
    func mend() {
        tell("no more faults")
        healing = true
        for n in nodes.indices {
            nodes[n].awayFromCoordinatorUntil = 0
            if !nodes[n].alive { start(n) }
        }
        mendLinks()
        agenda.add(.end, at: clock + 2 * second)
    }
}
