import ClusterModel
import Wire

/// One range deletion that this gateway executes.
final class DeletionWork {
    let deletion: RangeDeletion
    /// The operation that is answered when every group has it.
    let operation: MutateOperation?
    var groups: [PGID] = []
    var next = 0
    var underWay = 0
    var failure: FileFailure?

    init(_ deletion: RangeDeletion, for operation: MutateOperation?) {
        self.deletion = deletion
        self.operation = operation
    }
}

/// Range deletions in execution, and those behind their answers that wait (namespace.md, Removal).
struct Deletions {
    /// The look at one fileset whose metadata primary is this node.
    struct Poll {
        var fileset: FilesetID
        var after = InodeNumber(0)
        var isAsking = false
        /// Rows of the look before: only one that is seen twice is taken up, for its own gateway may be at it.
        var seen: [RangeDeletion] = []
    }
    var running: [DeletionWork] = []
    var waiting: [DeletionWork] = []
    var polls: [Poll] = []

    func knows(_ deletion: RangeDeletion) -> Bool {
        running.contains { $0.deletion.isSame(deletion) } || waiting.contains { $0.deletion.isSame(deletion) }
    }
}

extension RangeDeletion {
    fileprivate func isSame(_ other: RangeDeletion) -> Bool {
        file == other.file && truncation.number == other.truncation.number && kind == other.kind
    }
}

extension GatewayMachine {
    /// Sends the deletion to the groups of its range. With an operation at once, and the operation is told; without one
    /// in its turn.
    func execute(_ deletion: RangeDeletion, for operation: MutateOperation?) {
        let work = DeletionWork(deletion, for: operation)
        if operation == nil {
            if deletions.waiting.count >= GatewayLimits.waitingDeletions { return }
            deletions.waiting.append(work)
            return startWaitingDeletions()
        }
        startDeletion(work)
    }

    private func startWaitingDeletions() {
        while !deletions.waiting.isEmpty,
            deletions.running.count(where: { $0.operation == nil }) < GatewayLimits.backgroundDeletions
        {
            startDeletion(deletions.waiting.removeFirst())
        }
    }

    private func startDeletion(_ work: DeletionWork) {
        deletions.running.append(work)
        work.groups = groups(of: work.deletion)
        if work.groups.isEmpty { return endDeletion(work) }
        sendDeletions(work)
    }

    /// The groups that may hold bytes which the deletion cuts: of the objects from the cut to the limit.
    func groups(of deletion: RangeDeletion) -> [PGID] {
        let from = deletion.kind == .removal ? 0 : deletion.truncation.size
        if deletion.limit <= from, deletion.kind == .truncation { return [] }
        let first = deletion.layout.firstObject(at: from)
        let end = deletion.layout.objectCount(fileSize: deletion.limit)
        return dataGroups(of: deletion.file, objects: first..<max(first, end))
    }

    private func sendDeletions(_ work: DeletionWork) {
        while work.next < work.groups.count, work.underWay < GatewayLimits.deletionRequests, work.failure == nil {
            let group = work.groups[work.next]
            work.next += 1
            work.underWay += 1
            issue(.deleteRange(work), to: group, .deleteRange(work.deletion))
        }
    }

    func rangeDeleted(_ work: DeletionWork, _ outcome: CallOutcome) {
        work.underWay -= 1
        switch outcome {
        case .answered(.written, _): break
        // The group holds a newer truncation or the removal, which this one cannot come after.
        case .refused(.truncated), .refused(.removed): break
        case .answered:
            counters.malformed += 1
            work.failure = work.failure ?? .ioError
        case .refused(let refusal): work.failure = work.failure ?? failure(refusal)
        }
        sendDeletions(work)
        if work.underWay == 0 { endDeletion(work) }
    }

    private func endDeletion(_ work: DeletionWork) {
        deletions.running.removeAll { $0 === work }
        if work.failure == nil {
            let deletion = work.deletion
            // Unstable: a lost one leaves a row that is executed once more.
            mutate(
                .finishDeletion, deletion.file.fileset,
                .finishRangeDeletion(inode: deletion.file.inode, truncation: deletion.truncation.number), .unstable)
        }
        work.operation?.cutEnded(work.failure, self)
        startWaitingDeletions()
    }

    // MARK: What dead gateways left

    /// Looks at each fileset whose metadata primary is this node.
    func pollDeletions() {
        timers.set(.pollDeletions, at: time.now + GatewayLimits.deletionPoll)
        guard session != nil, let map else { return }
        for fileset in map.filesets
        where fileset.state == .live && records[.metadata(fileset.id)]?.primary == node {
            let index: Int
            if let known = deletions.polls.firstIndex(where: { $0.fileset == fileset.id }) {
                index = known
            } else {
                index = deletions.polls.count
                deletions.polls.append(Deletions.Poll(fileset: fileset.id))
            }
            if deletions.polls[index].isAsking { continue }
            deletions.polls[index].isAsking = true
            question(
                .pendingDeletions(fileset.id), fileset.id,
                .pendingDeletions(after: deletions.polls[index].after, limit: GatewayLimits.deletionRows),
                as: .superuser,
                from: session ?? .none)
        }
    }

    func pendingDeletionsCame(_ fileset: FilesetID, _ answer: Result<NamespaceAnswer, FileFailure>) {
        guard let index = deletions.polls.firstIndex(where: { $0.fileset == fileset }) else { return }
        deletions.polls[index].isAsking = false
        guard case .success(.deletions(let rows)) = answer else { return }
        let seen = deletions.polls[index].seen
        var fresh: [RangeDeletion] = []
        for row in rows.prefix(GatewayLimits.deletionRows) where !deletions.knows(row) {
            if seen.contains(where: { $0.isSame(row) }) { execute(row, for: nil) } else { fresh.append(row) }
        }
        deletions.polls[index].seen = fresh
        // A full page without news: what lies behind it has its turn.
        let isFull = rows.count >= GatewayLimits.deletionRows
        if fresh.isEmpty {
            deletions.polls[index].after = isFull ? rows.last?.file.inode ?? InodeNumber(0) : InodeNumber(0)
        }
    }
}
