import ClusterModel
import DiskIO
import NIOCore
import Replication
import Transport
import Wire

/// What comes over the connections to other nodes and from the command line.
extension StorageNode: NodeTransportDelegate {
    public func transportHello(_ transport: NodeTransport, for purpose: Hello.Purpose) -> Hello {
        Hello(
            cluster: directory.view.map.cluster, node: localNode, boot: boot, lease: membership.lease?.number ?? .none,
            newestProtocol: newestProtocol.rawValue, mapVersion: directory.view.map.version, purpose: purpose)
    }

    public func transport(
        _ transport: NodeTransport, connected node: NodeID, hello: Hello, spoken: ProtocolVersion
    ) {
        peers.connected(node, boot: hello.boot, spoken: spoken, at: moment().now)
        let facts = PeerFacts(node: node, boot: hello.boot, spoken: spoken)
        for replica in orderedReplicas { replica.event { $0.peerConnected(facts, at: $1) } }
    }

    public func transport(_ transport: NodeTransport, disconnected node: NodeID) {
        // What was meant for this connection is lost with it, and must not go out on the next one.
        settle()
        peers.disconnected(node)
        for replica in orderedReplicas { replica.event { $0.peerDisconnected(node, at: $1) } }
        for waiter in exchanges.lost(node) { waiter(.lost) }
    }

    public func transport(_ transport: NodeTransport, received message: NodeMessage, from node: NodeID) {
        if let change = peers.heard(node, at: BootClock.now()) { peerChanged(change) }
        switch message {
        case .request(let id, let request):
            // A node that restarts counts its exchanges anew: an answer belongs to the connection that asked.
            let connection = peers.connection(to: node)
            self.request(request) { [unowned self] response in
                if peers.connection(to: node) == connection { transport.send(.response(id, response), to: node) }
                if let payload = response.payload { payloads.drop(payload) }
            }
        case .response(let id, let response):
            let bytes = response.payload.flatMap(payloads.bytes)
            if let payload = response.payload { payloads.drop(payload) }
            exchanges.end(id, from: node)?(.response(response, bytes))
        case .flush(let id, let session, let version, let targets):
            let connection = peers.connection(to: node)
            flush(targets, session, version) { [unowned self] answer in
                if peers.connection(to: node) == connection { transport.send(.flushed(id, answer), to: node) }
            }
        case .flushed(let id, let answer): exchanges.end(id, from: node)?(.flushed(answer))
        case .replica(let message):
            guard let replica = replicas[message.pg] else {
                if let payload = message.payload { payloads.drop(payload) }
                answerForFailedDisk(message, to: node)
                return
            }
            replica.event { $0.messageArrived(from: node, message, at: $1) }
        case .alive(let standing):
            peers.told(node, standing)
            heardIntent(node, standing.intent)
            if standing.mapVersion > directory.view.map.version { directory.barrier {} }
        case .slow(let word): paces.told(word, at: moment().now)
        case .hello, .ask, .tell: transport.reset(node)
        }
    }

    public func transport(_ transport: NodeTransport, asked text: AdminText, answer: @escaping (AdminText) -> Void) {
        guard let adminQuestion else { return answer(AdminText(json: Array("{\"error\":\"starting\"}".utf8))) }
        adminQuestion(text, answer)
    }

    public func transportReadCycleEnded(_ transport: NodeTransport) { settle() }
}
