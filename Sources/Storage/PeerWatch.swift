import ClusterModel
import Wire

/// When each connected node was last heard, and what it said of itself.
///
/// A stopped process keeps its connections: its silence is what tells.
struct PeerWatch {
    private struct Peer {
        var node: NodeID
        var hello: BootID
        var spoken: ProtocolVersion
        var connection: UInt64
        var lastHeard: Instant
        var isSilent = false
        var standing: NodeStanding?
    }
    private var peers: [Peer] = []
    private var lastConnection: UInt64 = 0
    private var lastCheck: Instant?

    /// What changed for one node.
    enum Change: Hashable {
        case fellSilent(NodeID)
        case spoke(NodeID)
    }

    mutating func connected(_ node: NodeID, boot: BootID, spoken: ProtocolVersion, at now: Instant) {
        peers.removeAll { $0.node == node }
        lastConnection += 1
        peers.append(
            Peer(node: node, hello: boot, spoken: spoken, connection: lastConnection, lastHeard: now))
        peers.sort { $0.node < $1.node }
    }

    mutating func disconnected(_ node: NodeID) { peers.removeAll { $0.node == node } }

    mutating func heard(_ node: NodeID, at now: Instant) -> Change? {
        guard let i = peers.firstIndex(where: { $0.node == node }) else { return nil }
        peers[i].lastHeard = now
        guard peers[i].isSilent else { return nil }
        peers[i].isSilent = false
        return .spoke(node)
    }

    mutating func told(_ node: NodeID, _ standing: NodeStanding) {
        guard let i = peers.firstIndex(where: { $0.node == node }) else { return }
        // Usage is told less often than the rest.
        let usage = standing.usage ?? peers[i].standing?.usage
        peers[i].standing = standing
        peers[i].standing?.usage = usage
    }

    /// The nodes that have been silent for too long now.
    mutating func check(at now: Instant, silence: TimeSpan) -> [Change] {
        // While this loop stood still itself, nothing could be heard: that is not their silence.
        if let lastCheck, now - lastCheck > TimeSpan(nanoseconds: silence.nanoseconds / 4) {
            for i in peers.indices { peers[i].lastHeard = min(now, peers[i].lastHeard + (now - lastCheck)) }
        }
        lastCheck = now
        var changes: [Change] = []
        for i in peers.indices where !peers[i].isSilent && now - peers[i].lastHeard >= silence {
            peers[i].isSilent = true
            changes.append(.fellSilent(peers[i].node))
        }
        return changes
    }

    var connected: [(node: NodeID, boot: BootID, spoken: ProtocolVersion)] {
        peers.map { ($0.node, $0.hello, $0.spoken) }
    }
    /// Tells one connection to a node from the next; nil without one.
    func connection(to node: NodeID) -> UInt64? { peers.first { $0.node == node }?.connection }
    func isConnected(_ node: NodeID) -> Bool { peers.contains { $0.node == node } }
    func isHeard(_ node: NodeID) -> Bool { peers.contains { $0.node == node && !$0.isSilent } }
    /// It has said that it is about to stop.
    func isLeaving(_ node: NodeID) -> Bool { peers.contains { $0.node == node && $0.standing?.intent == .leaving } }
    /// Ascending by node.
    var standings: [(node: NodeID, standing: NodeStanding)] {
        peers.compactMap { peer in peer.standing.map { (peer.node, $0) } }
    }
}
