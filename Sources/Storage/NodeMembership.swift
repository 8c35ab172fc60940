import ClusterModel
import Coordination
import Logging
import NIOCore
import Transport

/// This node's lease and session: takes a lease, lists a session under it in the map, and does both anew when the lease has
/// lapsed. Used on its event loop only.
///
/// Invariants:
/// - a session belongs to one lease number; when that has lapsed, the session is over and is never used again;
/// - `leaseTaken` comes before `sessionOpened`, and `leaseLapsed` ends both.
public final class NodeMembership {
    private let node: NodeID
    private let coordinator: any Coordinator
    private let directory: ClusterDirectory
    private let loop: any EventLoop
    private let hasProgress: @Sendable () -> Bool
    private let logger: Logger
    private var state = State.out

    public private(set) var lease: HeldLease?
    public private(set) var session: SessionID?

    public var leaseTaken: ((LeaseNumber) -> Void)?
    public var leaseLapsed: ((LeaseNumber, LapseReason) -> Void)?
    public var sessionOpened: ((SessionID) -> Void)?

    private enum State {
        case out
        case joining
        case member
        case left
    }

    public init(
        node: NodeID, coordinator: any Coordinator, directory: ClusterDirectory, loop: any EventLoop,
        hasProgress: @escaping @Sendable () -> Bool, logger: Logger
    ) {
        self.node = node
        self.coordinator = coordinator
        self.directory = directory
        self.loop = loop
        self.hasProgress = hasProgress
        self.logger = logger
    }

    /// Whether the lease is valid beyond doubt now: asked last, as an answer leaves (traps 21).
    public var isSurelyValid: Bool { lease?.isSurelyValid ?? false }

    public func join() {
        guard case .out = state else { return }
        state = .joining
        let owner = LoopBound(self, loop: loop)
        let request = LeaseRequest(owner: LeaseOwner("\(node)"), hasProgress: hasProgress) { number, reason in
            owner.value.lapsed(number, reason)
        }
        coordinator.takeLease(request, on: loop.executor) { owner.value.took($0) }
    }

    private func took(_ result: Result<HeldLease, CoordinationError>) {
        guard case .joining = state else {
            if case .success(let lease) = result { lease.release() }
            return
        }
        switch result {
        case .success(let lease):
            self.lease = lease
            state = .member
            logger.info("holds \(lease.number)")
            leaseTaken?(lease.number)
            openSession(under: lease.number)
        case .failure(let error):
            logger.warning("no lease: \(error)")
            state = .out
            joinLater()
        }
    }

    private func joinLater() {
        loop.assumeIsolated().scheduleTask(in: .milliseconds(200)) { self.join() }
    }

    /// Lays the lease down, with every role under it, and takes a new one: so others can claim at once what this node cannot
    /// serve any more.
    func startOver() {
        guard case .member = state, let lease else { return }
        lease.release()
        lapsed(lease.number, .revoked)
    }

    private func lapsed(_ number: LeaseNumber, _ reason: LapseReason) {
        guard lease?.number == number else { return }
        logger.warning("\(number) has lapsed: \(reason)")
        lease = nil
        session = nil
        leaseLapsed?(number, reason)
        guard case .member = state else { return }
        state = .out
        join()
    }

    /// Lists a new session for this node; the node's earlier ones go in the same change: their leases have ended.
    private func openSession(under number: LeaseNumber) {
        var opened = SessionID.none
        directory.changeMap(
            { [node] map in
                // It may be tried again long after: a session of a later lease stays.
                guard self.lease?.number == number else { return nil }
                var map = map
                if let own = map.sessions.first(where: { $0.node == node && $0.lease == number }) {
                    opened = own.id
                    return nil
                }
                map.sessions.removeAll { $0.node == node }
                map.lastSession = SessionID(map.lastSession.rawValue + 1)
                opened = map.lastSession
                map.sessions.append(Session(id: opened, node: node, lease: number))
                return (map, [])
            },
            done: { result in
                guard self.lease?.number == number else { return }
                switch result {
                case .success:
                    self.session = opened
                    self.logger.info("serves clients as session \(opened)")
                    self.sessionOpened?(opened)
                case .failure(let error):
                    self.logger.warning("no session: \(error)")
                    self.loop.assumeIsolated().scheduleTask(in: .milliseconds(200)) {
                        if self.lease?.number == number { self.openSession(under: number) }
                    }
                }
            })
    }

    /// The map has changed. A session that it does not list is refused everywhere, whatever took it out: the node opens another.
    func mapChanged(_ map: ClusterMap) {
        guard let session, let lease, !map.isLive(session) else { return }
        logger.warning("the map has lost session \(session); another one is opened")
        self.session = nil
        openSession(under: lease.number)
    }

    /// Takes sessions out of the map whose leases have ended, so that nothing of theirs is executed any more.
    public func dropSession(_ session: Session, done: @escaping (Bool) -> Void) {
        directory.changeMap(
            leasesEnded: [session.lease],
            { map in
                guard map.isLive(session.id) else { return nil }
                var map = map
                map.sessions.removeAll { $0.id == session.id }
                return (map, [])
            },
            done: { result in
                if case .success = result { done(true) } else { done(false) }
            })
    }

    /// Lays everything down in order: the session leaves the map, then the lease ends.
    public func leave(done: @escaping () -> Void) {
        state = .left
        guard let lease, let session else {
            self.lease?.release()
            self.lease = nil
            return done()
        }
        self.session = nil
        directory.changeMap(
            { map in
                guard map.isLive(session) else { return nil }
                var map = map
                map.sessions.removeAll { $0.id == session }
                return (map, [])
            },
            done: { _ in
                lease.release()
                self.lease = nil
                done()
            })
    }
}
