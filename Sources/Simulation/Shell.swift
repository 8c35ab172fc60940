import ClusterModel
import Replication
import Wire

/// The loop of a simulated process, and the network between them.
extension Simulator {
    // MARK: Cycles

    /// Whether the process lives on to execute one more effect.
    func mayStep(_ n: Int) -> Bool {
        guard let left = nodes[n].stepsToLive else { return true }
        if left > 0 {
            nodes[n].stepsToLive = left - 1
            return true
        }
        if nodes[n].cutsPower {
            losePower(n, restartAfter: nodes[n].restartAfter)
        } else {
            kill(n, restartAfter: nodes[n].restartAfter)
        }
        return false
    }

    func touched(_ replica: HostedReplica) {
        let node = nodes[replica.n]
        if !replica.isDirty {
            replica.isDirty = true
            node.dirty.append(replica)
        }
        if !node.isSettling { needsCycleEnd(replica.n) }
    }

    /// The cycle's end runs after all that is ready on the loop now was read.
    func needsCycleEnd(_ n: Int) {
        let node = nodes[n]
        guard !node.cycleScheduled else { return }
        node.cycleScheduled = true
        agenda.add(.cycle(node: n, life: node.life), at: clock + (chance(70) ? 0 : below(80_000)))
    }

    func endCycle(_ n: Int) {
        let node = nodes[n]
        node.cycleScheduled = false
        guard let host = node.host else { return }
        let life = node.life
        settle(node, host)
        if node.life == life { host.endCycle() }
        if node.life == life { settle(node, host) }
        if node.life == life {
            for replica in node.replicas { replica.flushNamespace() }
            plan(n)
        }
    }

    /// What the machines have asked for so far is done.
    func settle(_ n: Int) {
        if let host = nodes[n].host { settle(nodes[n], host) }
    }

    private func settle(_ node: Node, _ host: HostedDisk) {
        guard !node.isSettling else { return }
        node.isSettling = true
        defer { node.isSettling = false }
        repeat {
            while host.isAlive, let replica = node.dirty.popLast() {
                replica.isDirty = false
                replica.settle()
            }
            host.settle()
        } while host.isAlive && !node.dirty.isEmpty
    }

    /// When the node's clock is to tick next.
    private func plan(_ n: Int) {
        let node = nodes[n]
        guard node.isOpen else { return }
        var wanted = clock + 150 * millisecond
        for replica in node.replicas { wanted = min(wanted, global(n, replica.group.nextTick.nanoseconds)) }
        wanted = max(wanted, clock + millisecond)
        if node.tickAt <= clock || wanted < node.tickAt {
            node.tickAt = wanted
            agenda.add(.tick(node: n, life: node.life), at: wanted)
        }
    }

    func tick(_ n: Int) {
        let node = nodes[n]
        if clock >= node.tickAt { node.tickAt = 0 }
        for replica in node.replicas where replica.group.nextTick.nanoseconds <= local(n, clock) {
            replica.event { $0.ticked(at: $1) }
        }
        balance(n)
        considerRemains(n)
        judgePaces(n)
        pursueRecovery(n)
        if node.fullUntil != 0, clock >= node.fullUntil { endFullness(n) }
        node.host?.tick()
        if chance(20) { node.disk.writeBack(&random) }
        needsCycleEnd(n)
    }

    func completions(_ n: Int) {
        let ready = nodes[n].completions
        nodes[n].completions = []
        let life = nodes[n].life
        for done in ready where nodes[n].life == life { done() }
        if nodes[n].life == life { needsCycleEnd(n) }
    }

    // MARK: Network

    func send(_ n: Int, _ message: ReplicaMessage, to node: NodeID) {
        let to = Int(node.rawValue) - 1
        guard to < nodes.count, to != n, links[n][to].isUp else { return }
        let spoken = links[n][to].spoken
        if message.body.since > spoken {
            // The node has not heard of this connection yet: what it sends is for the one before.
            if links[to][n].told != links[to][n].connection { return }
            return fail("\(nodes[n].id) sends \(node) what it cannot read: \(message)")
        }
        let bytes = message.payload.flatMap { nodes[n].payloads[$0.id]?.bytes }
        if message.payload != nil, bytes == nil { fail("\(nodes[n].id) sends a payload that it dropped") }
        let link = links[n][to]
        let slowness = clock < link.slowUntil ? below(400 * millisecond) : 0
        let at = max(
            max(clock, link.stalledUntil) + 30_000 + below(chance(2) ? 30 * millisecond : 300_000) + slowness,
            link.lastDelivery + 1)
        links[n][to].lastDelivery = at
        agenda.add(.deliver(from: n, to: to, connection: links[n][to].connection, message, bytes), at: at)
    }

    func deliver(_ from: Int, _ to: Int, _ connection: Int, _ message: ReplicaMessage, _ content: [UInt8]?) {
        guard nodes[to].alive else { return }
        // What an old connection still held may arrive after its end, but seldom, and never at another process.
        if connection <= links[from][to].dead { return }
        if links[from][to].connection != connection || !links[from][to].isUp {
            if connection <= links[from][to].torn { return }
            if !chance(10) {
                links[from][to].torn = connection
                return
            }
        }
        var message = message
        var writer = WireWriter()
        writer.replicaMessage(message)
        mix(UInt64(writer.bytes.count) &* 131 &+ UInt64(to))
        if random.below(8) == 0 {
            let spoken = links[from][to].spoken
            let decoded = writer.bytes.withUnsafeBytes {
                try? NodeMessage(kind: EchoFrame.messageKind, header: $0, payload: message.payload, in: spoken)
            }
            if decoded != .replica(message) { fail("a message does not survive its codec: \(message)") }
        }
        guard let replica = replica(to, message.pg) else {
            let isErasing = nodes[to].host?.erasing.contains(message.pg) ?? false
            if nodes[to].lostItsDisk || isErasing || isOnForeignDisk(to, message.pg) {
                switch message.body {
                case .attach, .askStatus: sayGone(to, message.pg, to: nodes[from].id)
                default: break
                }
            }
            return
        }
        if let content { message.payload = nodes[to].keep(content) }
        replica.event { $0.messageArrived(from: nodes[from].id, message, at: $1) }
    }

    func connect(_ a: Int, _ b: Int, after delay: UInt64) {
        tell("\(nodes[a].id) and \(nodes[b].id) connect")
        for (from, to) in [(a, b), (b, a)] {
            links[from][to].connection += 1
            links[from][to].isUp = true
            links[from][to].spoken = min(nodes[from].newestProtocol, nodes[to].newestProtocol)
            links[from][to].lastDelivery = max(links[from][to].lastDelivery, clock + delay)
            agenda.add(.connected(from, to: to, connection: links[from][to].connection), at: clock + delay)
        }
    }

    func disconnect(_ a: Int, _ b: Int) {
        if links[a][b].isUp { tell("\(nodes[a].id) and \(nodes[b].id) are cut off") }
        for (from, to) in [(a, b), (b, a)] where links[from][to].isUp {
            links[from][to].isUp = false
            agenda.add(.disconnected(to, from: from), at: clock + below(20 * millisecond))
        }
    }
}
