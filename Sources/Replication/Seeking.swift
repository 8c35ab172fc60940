import ClusterModel
import Wire

/// A search for blocks that the own disk has lost.
struct BlockSearch {
    var token: WorkToken
    var wanted: WantedBlocks
    var since: Instant
    /// Who is being asked, and since when.
    var asked: NodeID?
    var askedAt: Instant
    /// Who has answered for good.
    var tried: [NodeID] = []
}

/// Blocks that the own disk has lost, sought from replicas that hold them (store.md, rule 5).
///
/// Invariants:
/// - only in-sync members are asked, and only a replica that lacks nothing answers: never a learner;
/// - what comes is as good as its checksum: the shell verifies it, and what does not hold is asked of the next member;
/// - a search ends: when all is found, when every in-sync member has answered, or after `searchPatience`; who has said that
///   its replica is out of use has answered.
extension PlacementGroup {
    /// The own disk has blocks that do not match their checksums; then `blocksFound` any number of times, and `searchEnded`.
    public func blocksLost(_ wanted: WantedBlocks, at now: Moment) -> WorkToken {
        self.now = now
        lastWork += 1
        let token = WorkToken(lastWork)
        guard searches.count < limits.searches else {
            emit(.searchEnded(token))
            return token
        }
        searches.append(BlockSearch(token: token, wanted: wanted, since: now.now, asked: nil, askedAt: now.now))
        askNext(token)
        return token
    }

    private func askNext(_ token: WorkToken) {
        guard let i = searches.firstIndex(where: { $0.token == token }) else { return }
        let search = searches[i]
        let left = (record?.inSync ?? []).map(\.node).filter { node in
            node != local.node && !search.tried.contains(node) && !isGone(node)
        }
        guard search.wanted.wanted != 0, !left.isEmpty, now.now - search.since < limits.searchPatience else {
            searches.remove(at: i)
            emit(.searchEnded(token))
            return
        }
        searches[i].asked = nil
        searches[i].askedAt = now.now
        let ready = left.filter { node in
            isPresent(node)
                && (role != .primary || reign.members.contains { $0.node == node && $0.isComplete })
        }
        guard let node = ready.first(where: { $0 == record?.primary }) ?? ready.first else { return }
        searches[i].asked = node
        send(
            .askBlocks(BlocksAsk(request: token.rawValue, wanted: search.wanted, decided: decided)), to: node,
            epoch: record?.epoch)
    }

    /// Who does not answer, or could not be asked, is asked again, or another in its place.
    func searchesTicked() {
        for search in searches where now.now - search.askedAt >= limits.retry {
            // One who answers late does so in vain only if somebody else is asked meanwhile.
            if search.asked == nil || now.now - search.askedAt >= limits.searchStep { askNext(search.token) }
        }
    }

    func searchesLost(_ node: NodeID) {
        // Those that were waiting for somebody to ask may have been waiting for this one.
        for search in searches where search.asked == node || search.asked == nil { askNext(search.token) }
    }

    /// Its node lives, and nothing that it holds can be had.
    private func isGone(_ node: NodeID) -> Bool { peers.contains { $0.node == node && $0.isReachable && $0.isGone } }

    func blocksArrived(from node: NodeID, _ given: BlocksGiven) {
        guard let i = searches.firstIndex(where: { $0.token.rawValue == given.request && $0.asked == node }) else {
            drop(given.payload)
            return
        }
        searches[i].asked = nil
        searches[i].askedAt = now.now
        switch given.standing {
        case .notReady: drop(given.payload)
        case .ready:
            searches[i].tried.append(node)
            if let payload = given.payload, given.content & ~searches[i].wanted.wanted == 0 {
                emit(.blocksFound(searches[i].token, searches[i].wanted.only(given.content), payload))
                drop(payload)
            } else {
                drop(given.payload)
                askNext(searches[i].token)
            }
        }
    }

    /// What was found of a search's blocks and held its checksums.
    public func blocksTaken(_ token: WorkToken, _ good: UInt64, at now: Moment) {
        self.now = now
        guard let i = searches.firstIndex(where: { $0.token == token }) else { return }
        searches[i].wanted = searches[i].wanted.only(~good)
        askNext(token)
    }

    // MARK: Giving

    func askBlocksArrived(from node: NodeID, epoch: Epoch, _ ask: BlocksAsk) {
        guard canReadLocally else {
            send(
                .blocks(BlocksGiven(request: ask.request, standing: .notReady, content: 0, payload: nil)), to: node,
                epoch: epoch)
            return
        }
        // What one replica knows to be decided is so for all that have it.
        if role == .follower, ask.decided.n > decided.n, history.contains(ask.decided) {
            announced = ask.decided
            noteDecided()
        }
        emit(.giveBlocks(ask, to: node, epoch: epoch))
    }

    /// What the own disk holds of what was asked for; bit i of `content`: block i of the range.
    public func blocksRead(
        _ ask: BlocksAsk, to node: NodeID, epoch: Epoch, content: UInt64, _ payload: PayloadHandle?, at now: Moment
    ) {
        self.now = now
        // It may have become a learner while it read.
        let isReady = canReadLocally
        send(
            .blocks(
                BlocksGiven(
                    request: ask.request, standing: isReady ? .ready : .notReady, content: isReady ? content : 0,
                    payload: isReady ? payload : nil)), to: node, epoch: epoch)
        drop(payload)
    }
}
