import ClusterModel
import DiskIO
import Replication
import Wire

/// How far a node is on its way out.
struct Departure {
    var since: Instant
    /// Everything that others can do without this node has been given to them, or the patience is over.
    var done: (() -> Void)?

    /// Longer than the others wait before they let this node go: only then it is known who else leaves.
    static let grace = TimeSpan.milliseconds(200)
    /// What has not been handed over by then stays: the leases' end sees to it.
    static let patience = TimeSpan.seconds(3)
}

/// Which groups of this node go to other nodes: to where placement wants them, or away while it stands down.
extension StorageNode {
    private var isSuspended: Bool { directory.view.map.node(localNode)?.duty.leads == false }

    /// Hands over what is due; often while this node stands down, else twice a second.
    func balancePrimaries(_ now: Instant) {
        let hurries = isSuspended || departure != nil
        guard hurries || now - lastBalance >= StorageLimits.balanceInterval else { return }
        lastBalance = now
        for replica in orderedReplicas { replica.lookAtWaits(now) }
        if let departure, now < departure.since + Departure.grace { return }
        let candidates = orderedReplicas.compactMap(\.group.handoverCandidate)
        let underWay = orderedReplicas.filter(\.group.isHandingOver).count
        for c in balancer.choose(candidates, underWay: underWay, at: now) {
            replicas[c.pg]?.event { $0.handoverWanted(to: c.to, at: $1) }
        }
    }

    /// Puts a change of a node's duty among the events.
    public func noteDuty(of node: NodeID, _ duty: ClusterNode.Duty) {
        let words =
            switch duty {
            case .full: "resumed"
            case .suspended: "suspended"
            case .draining: "drained"
            }
        note(.node, "node \(node.rawValue) is \(words)")
    }

    /// Tells all that this node is about to stop: it leads nothing new, and is let go as a member where enough are left.
    public func announceDeparture() {
        guard departure == nil else { return }
        let now = moment().now
        departure = Departure(since: now)
        for replica in orderedReplicas { replica.event { $0.leavingBegan(at: $1) } }
        let standing = standing(now)
        for peer in peers.connected { transport.send(.alive(standing), to: peer.node) }
        transport.flush()
        settle()
    }

    /// Gives to others what they can do, if that was announced; `done` is called once, at the latest after `Departure.patience`.
    func depart(done: @escaping () -> Void) {
        guard departure != nil, ticking != nil else { return done() }
        departure?.done = done
        watchDeparture(moment().now)
    }

    func watchDeparture(_ now: Instant) {
        guard let departure, let done = departure.done else { return }
        // Who stays hears of it within the grace; where nobody does, there is nobody to give anything to.
        let isLast = !peers.connected.contains { peers.isHeard($0.node) && !peers.isLeaving($0.node) }
        let isEarly = now < departure.since + Departure.grace
        let isDone = isLast || !isEarly && !orderedReplicas.contains { $0.group.holdsLeaving }
        guard isDone || now >= departure.since + Departure.patience else { return }
        self.departure?.done = nil
        done()
    }

    /// A node has said that it is about to stop.
    func heardIntent(_ node: NodeID, _ intent: NodeStanding.Intent) {
        guard case .leaving = intent else { return }
        for replica in orderedReplicas { replica.event { $0.peerLeaving(node, at: $1) } }
    }
}
