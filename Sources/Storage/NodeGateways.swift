import ClusterModel
import DiskIO
import NIOCore
import Wire

/// The object layer as this node's gateway sees it.
extension StorageNode: PGService {
    public func payloadBuffer(capacity: Int) -> ByteBuffer { transport.payloadBuffer(capacity: capacity) }

    public var eventLoop: any EventLoop { loop }
    public var view: ClusterView { directory.view }
    public var session: SessionID? { membership.session }
    public func leaseIsSurelyValid() -> Bool { membership.isSurelyValid }

    public func send(_ request: PGRequest, payload: ByteBuffer?, to node: NodeID, done: @escaping (PGOutcome) -> Void) {
        var request = request
        request.payload = payload.map(payloads.add)
        if node == localNode {
            self.request(request) { [unowned self] response in
                let bytes = response.payload.flatMap(payloads.bytes)
                if let payload = response.payload { payloads.drop(payload) }
                done(.answered(response, payload: bytes))
            }
            return
        }
        // To a silent node nothing is sent again and again: the sender pauses, and asks here anew.
        guard transport.isConnected(to: node), peers.isHeard(node) else {
            if let payload = request.payload { payloads.drop(payload) }
            return done(.unknown)
        }
        let id = exchanges.begin(with: node, at: BootClock.now()) { answer in
            switch answer {
            case .response(let response, let bytes): done(.answered(response, payload: bytes))
            case .flushed, .lost: done(.unknown)
            }
        }
        transport.send(.request(id, request), to: node)
        if let payload = request.payload { payloads.drop(payload) }
    }

    public func flush(
        _ groups: [FlushTarget], session: SessionID, mapVersion: MapVersion, on node: NodeID,
        done: @escaping (FlushAnswer?) -> Void
    ) {
        if node == localNode { return flush(groups, session, mapVersion, reply: done) }
        guard transport.isConnected(to: node), peers.isHeard(node) else { return done(nil) }
        let id = exchanges.begin(with: node, at: BootClock.now()) { answer in
            switch answer {
            case .flushed(let answer): done(answer)
            case .response, .lost: done(nil)
            }
        }
        transport.send(.flush(id, session, mapVersion, groups), to: node)
    }

    public func readLocal(
        _ range: ObjectRange, _ truncation: TruncationMark, in pg: PGID, epoch: Epoch, through name: EntryName,
        done: @escaping ((data: ByteBuffer, presence: Presence)?) -> Void
    ) {
        guard let replica = replicas[pg] else { return done(nil) }
        counters.localReads += 1
        replica.readLocally(range, truncation, epoch: epoch, through: name) { [unowned self] result in
            if result == nil { counters.localReadsMissed += 1 }
            done(result)
        }
    }

    public func refresh(atLeast version: MapVersion) { directory.barrier { [unowned self] in viewChanged?() } }

    /// Of the nodes that can be heard.
    public var capacity: (total: UInt64, free: UInt64) {
        let total = peers.standings.reduce(disks.reduce(0) { $0 + $1.space.total }) { $0 + $1.standing.totalBytes }
        let free = peers.standings.reduce(disks.reduce(0) { $0 + $1.space.admissible }) { $0 + $1.standing.freeBytes }
        return (total, free)
    }
}
