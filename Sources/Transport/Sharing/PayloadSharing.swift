import ClusterModel
import Logging
import Wire

/// The arenas that this node lends payloads in: its own, and those of others that it has mapped. Used on the transport's loop.
///
/// Invariants:
/// - a region is lent only to a peer that has said it can read the region's arena, and stays until that peer returns it;
/// - when a connection is lost with regions out, their arena is never written again: the peer may be stopped only, and go on
///   reading. The own arena is then retired and another one offered; the owner of another is told before its regions return;
/// - a mapping is given up only when no peer can name it any more.
final class PayloadSharing {
    private(set) var own: SharedArena
    private var mapped: [ArenaID: (mapping: SharedMapping, owner: NodeID)] = [:]
    /// Given up, and still named by what these peers may have sent before they heard of it.
    private var leaving: [(mapping: SharedMapping, peers: Set<NodeID>)] = []
    private let logger: Logger

    /// Nil where memory files do not exist.
    init?(logger: Logger) {
        self.logger = logger
        do {
            own = try PayloadSharing.arena()
        } catch {
            logger.notice("payloads go through sockets only: \(error)")
            return nil
        }
    }

    private static func arena() throws(SharedMapping.Refusal) -> SharedArena {
        let id = ArenaID(UInt128.random(in: 1 ... .max))
        return SharedArena(try SharedMapping.create(id: id, length: TransportLimits.arenaBytes))
    }

    // MARK: Lending

    /// The payload in memory that a peer with these arenas can read; nil if it must go through the socket.
    func region(of handle: PayloadHandle, in payloads: PayloadTable, readable: Set<ArenaID>) -> SharedRegion? {
        guard handle.length >= TransportLimits.sharedPayload, let payload = payloads.payload(of: handle) else {
            return nil
        }
        if let region = payload.region, readable.contains(region.mapping.id) { return region }
        guard readable.contains(own.mapping.id), let region = own.region(payload) ?? own.copy(payload) else {
            return nil
        }
        payloads.replace(handle, by: Payload(region))
        return region
    }

    /// A connection is lost with regions of these arenas out.
    func lost(_ arenas: Set<ArenaID>, _ connections: [NodeID: NodeConnection]) {
        for arena in arenas {
            if arena == own.mapping.id {
                retire(connections)
            } else if let owner = mapped[arena]?.owner {
                connections[owner]?.send(.spoiled(arena))
            }
        }
    }

    private func retire(_ connections: [NodeID: NodeConnection]) {
        own.retire()
        do {
            own = try PayloadSharing.arena()
        } catch {
            logger.warning("payloads go through sockets from now on: \(error)")
            return
        }
        for connection in connections.values { connection.send(own.mapping.offer) }
    }

    // MARK: What others lend

    /// The memory of a lent payload.
    func mapping(_ arena: ArenaID) -> SharedMapping? {
        if arena == own.mapping.id { return own.mapping }
        return mapped[arena]?.mapping ?? leaving.last { $0.mapping.id == arena }?.mapping
    }

    /// Every arena that this node can read, but its own.
    var readable: [ArenaID] { Array(mapped.keys) }

    func received(_ message: SharingMessage, from node: NodeID, _ connections: [NodeID: NodeConnection]) {
        switch message {
        case .offer(let id, let process, let descriptor, let bytes):
            for old in mapped.filter({ $0.value.owner == node }).keys where old != id { leave(old, connections) }
            if mapped[id] == nil, mapped.count + leaving.count < TransportLimits.arenas {
                do throws(SharedMapping.Refusal) {
                    let mapping = try SharedMapping.open(
                        id, process: process, descriptor: descriptor, length: bytes,
                        atMost: TransportLimits.arenaBytes)
                    mapped[id] = (mapping, node)
                    for connection in connections.values { connection.send(.readable(id)) }
                } catch {
                    logger.notice("payloads of \(node) come through its socket: \(error)")
                }
            }
        case .lastUse(let id):
            for i in leaving.indices where leaving[i].mapping.id == id { leaving[i].peers.remove(node) }
            leaving.removeAll { $0.peers.isEmpty }
        case .spoiled(let id): if id == own.mapping.id { retire(connections) }
        case .readable, .unreadable, .returned: break
        }
    }

    /// A node is gone, and with it what it can name.
    func disconnected(_ node: NodeID, _ connections: [NodeID: NodeConnection]) {
        for i in leaving.indices { leaving[i].peers.remove(node) }
        leaving.removeAll { $0.peers.isEmpty }
        for id in mapped.filter({ $0.value.owner == node }).keys { leave(id, connections) }
    }

    private func leave(_ id: ArenaID, _ connections: [NodeID: NodeConnection]) {
        guard let (mapping, _) = mapped.removeValue(forKey: id) else { return }
        if connections.isEmpty { return }
        leaving.append((mapping, Set(connections.keys)))
        for connection in connections.values { connection.send(.unreadable(id)) }
    }
}
