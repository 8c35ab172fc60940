import ClusterModel
import Wire

/// A flush message that is under way.
struct FlushMessage {
    var commit: CommitOperation
    var node: NodeID
    /// Places in the commit's `groups`, in the message's order.
    var places: [Int]
}

/// Which groups go to which node when all of them are flushed.
struct FlushPlan {
    var metadata: PGID
    var groups: [CommitOperation.Group]
    var messages: [(node: NodeID, places: [Int], targets: [FlushTarget])]
}

/// COMMIT: flushes every data group that the range maps to and the metadata group, whoever wrote there (traps 13), one
/// message per node; the verifier is the highest stamp (replication.md, Loss number).
final class CommitOperation: Operation {
    struct Group {
        var pg: PGID
        var isDone = false
    }

    let file: FileState
    let offset: UInt64
    let count: UInt64
    var groups: [Group] = []
    /// Messages without an answer.
    var underWay: [SlotID] = []
    var remaining = 0
    var stamp = LossNumber.zero
    var tries = 0
    var isPausing = false
    var hasAsked = false
    /// A registration that was decided before the flush was sent is stable after it; the size likewise.
    var registrationStamp: LossNumber?
    var size: (UInt64, TruncationNumber)?

    init(
        id: OperationID, caller: Caller, began: Instant, file: FileState, offset: UInt64, count: UInt64
    ) {
        self.file = file
        self.offset = offset
        self.count = count
        file.flushPattern.flushBegan()
        super.init(id: id, caller: caller, began: began)
    }

    override var fileState: FileState? { file }

    override func hintArrived(_ gateway: GatewayMachine) {
        hasAsked = true
        advance(gateway)
    }

    override func advance(_ gateway: GatewayMachine) {
        guard !isFinished, groups.isEmpty else { return }
        guard let all = gateway.map?.dataPGCount else { return }
        guard let layout = file.layout, let inode = file.inode, let hint = inode.hint else {
            if hasAsked { return gateway.finish(self, .failure(.namespace(.invalid))) }
            return gateway.ask(file, .operation(self), .after)
        }
        // What another gateway has appended a moment ago may lie beyond the hinted end: unless the file is so large that
        // it lies in every group anyway, the size is asked for.
        let first = layout.firstObject(at: offset)
        let end: UInt64
        let (sum, overflow) = offset.addingReportingOverflow(count)
        if count > 0, !overflow {
            end = min(sum, Geometry.maximumFileSize)
        } else if layout.objectCount(fileSize: hint.limit) >= first + UInt64(all) || hasAsked {
            end = hasAsked ? max(inode.attributes.size, offset) : hint.limit
        } else {
            return gateway.ask(file, .operation(self), .after)
        }
        let objects = first..<max(first, layout.objectCount(fileSize: end))
        let isWhole = UInt64(objects.count) >= UInt64(all)
        if isWhole, let plan = gateway.flushPlan, plan.metadata == file.metadataGroup {
            groups = plan.groups
        } else {
            groups = gateway.dataGroups(of: file.file, objects: objects).map { Group(pg: $0) }
            groups.append(Group(pg: file.metadataGroup))
        }
        remaining = groups.count
        if case .registered = file.registration.state { registrationStamp = file.registration.stamp }
        size = (inode.attributes.size, hint.truncation.number)
        gateway.commits.append(self)
        gateway.beginFlushes(of: self, isWhole ? .all : .some)
    }

    override func giveUp(_ gateway: GatewayMachine) {
        gateway.commits.removeAll { $0 === self }
        super.giveUp(gateway)
    }

    func groupFlushed(_ place: Int, _ stamp: LossNumber) {
        if groups[place].isDone { return }
        groups[place].isDone = true
        remaining -= 1
        self.stamp = max(self.stamp, stamp)
    }

    func finish(_ gateway: GatewayMachine) {
        if let registrationStamp, case .registered = file.registration.state,
            file.registration.stamp == registrationStamp, stamp == registrationStamp
        {
            file.registration.isStable = true
        }
        if let (size, truncation) = size, file.loss >= stamp {
            if truncation > file.stableTruncation || (truncation == file.stableTruncation && size > file.stableSize) {
                file.stableTruncation = truncation
                file.stableSize = size
            }
        }
        gateway.commits.removeAll { $0 === self }
        gateway.finish(self, .success(.committed(stamp)))
    }
}

extension GatewayMachine {
    /// The groups of these objects of a file, ascending; all of them where there are at least as many objects.
    func dataGroups(of file: FileID, objects: Range<UInt64>) -> [PGID] {
        guard let count = map?.dataPGCount, !objects.isEmpty else { return [] }
        if UInt64(objects.count) >= UInt64(count) { return (0..<count).map { PGID.data($0) } }
        var isIn = [Bool](repeating: false, count: Int(count))
        for index in objects { isIn[Int(group(of: ObjectID(file: file, index: index)).rawValue)] = true }
        return (0..<count).filter { isIn[Int($0)] }.map { PGID.data($0) }
    }

    /// Sends what is not under way to its group's primary, one message per node.
    func sendFlushes(of commit: CommitOperation) {
        guard let session, let map else { return }
        guard liveFileset(commit.file.file.fileset) != nil else {
            commits.removeAll { $0 === commit }
            return finish(commit, .failure(.namespace(.stale)))
        }
        commit.isPausing = false
        for (node, places, targets) in messages(of: commit) {
            send(places, targets, of: commit, to: node, session, map.version)
        }
    }

    enum FlushExtent {
        case some
        case all
    }

    /// The first messages of a commit. Those of a whole file are the same from one commit to the next, as long as the records
    /// are.
    func beginFlushes(of commit: CommitOperation, _ extent: FlushExtent) {
        guard extent == .all, let session, let map, liveFileset(commit.file.file.fileset) != nil else {
            return sendFlushes(of: commit)
        }
        if flushPlan?.metadata != commit.file.metadataGroup {
            let messages = messages(of: commit)
            // One of a group without a primary is not the same later.
            guard messages.reduce(0, { $0 + $1.places.count }) == commit.groups.count else {
                return sendFlushes(of: commit)
            }
            flushPlan = FlushPlan(
                metadata: commit.file.metadataGroup, groups: commit.groups, messages: messages)
        }
        for (node, places, targets) in flushPlan?.messages ?? [] {
            send(places, targets, of: commit, to: node, session, map.version)
        }
    }

    /// What is neither flushed nor under way to its group's primary, by node.
    private func messages(of commit: CommitOperation) -> [(node: NodeID, places: [Int], targets: [FlushTarget])] {
        let underWay = commit.underWay.compactMap { flushes[$0] }
        var messages: [(node: NodeID, places: [Int], targets: [FlushTarget])] = []
        for (place, group) in commit.groups.enumerated() where !group.isDone {
            guard let record = records[group.pg], let primary = record.primary,
                !underWay.contains(where: { $0.node == primary && $0.places.contains(place) })
            else { continue }
            let target = FlushTarget(pg: group.pg, epoch: record.epoch)
            if let index = messages.firstIndex(where: { $0.node == primary }) {
                messages[index].places.append(place)
                messages[index].targets.append(target)
            } else {
                messages.append((primary, [place], [target]))
            }
        }
        return messages
    }

    private func send(
        _ places: [Int], _ targets: [FlushTarget], of commit: CommitOperation, to node: NodeID, _ session: SessionID,
        _ version: MapVersion
    ) {
        let slot = flushes.insert(FlushMessage(commit: commit, node: node, places: places))
        commit.underWay.append(slot)
        counters.flushMessages += 1
        effects.append(.flush(FlushToken(slot: slot), targets, session: session, version, to: node))
    }

    func flushEnded(_ token: FlushToken, _ answer: FlushAnswer?) {
        guard let message = flushes.remove(token.slot) else { return }
        let commit = message.commit
        commit.underWay.removeAll { $0 == token.slot }
        if commit.isFinished { return }
        switch answer {
        case .all(let stamp):
            sawStamp(stamp)
            for place in message.places { commit.groupFlushed(place, stamp) }
        case .each(let responses) where responses.count == message.places.count:
            for (place, response) in zip(message.places, responses) {
                switch response.body {
                case .flushed(let stamp):
                    sawStamp(stamp)
                    commit.groupFlushed(place, stamp)
                case .refused(.sessionEnded(let version)): return sessionRefused(version)
                case .refused(.newerEpoch(let record)), .refused(.notPrimary(.some(let record))): adopt(record)
                case .refused(.notPrimary(.none)): effects.append(.refresh(atLeast: map?.version ?? .zero))
                case .refused: break
                case .written, .data, .version, .mutated, .answered: counters.malformed += 1
                }
            }
        case .each, nil: break
        }
        if commit.isFinished { return }
        if commit.remaining == 0 { return commit.finish(self) }
        if commit.isPausing { return }
        commit.isPausing = true
        commit.tries += 1
        timers.set(.resendFlush(commit), at: time.now + pause(after: commit.tries))
    }

    /// A record of `pg` is newer: commits that wait for it ask its primary.
    func reconsiderFlushes(_ pg: PGID) {
        for commit in commits where commit.groups.contains(where: { $0.pg == pg && !$0.isDone }) {
            sendFlushes(of: commit)
        }
    }
}

extension Layout {
    /// The first object of the set that byte `offset` lies in: no object before it has a byte at or after `offset`.
    func firstObject(at offset: UInt64) -> UInt64 {
        offset / (UInt64(stripeCount) * UInt64(Geometry.objectSize)) * UInt64(stripeCount)
    }
}
