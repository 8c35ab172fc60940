import ClusterModel
import Wire

/// READ: permission and size from the hint; what touches the hinted end asks the metadata group first, what meets an
/// absent block asks again (namespace.md, Attributes before tokens exist); large parts come from the own replica
/// (architecture.md, Reading close to home).
final class ReadOperation: Operation {
    struct Part {
        var length: Int
        var piece: ReadPiece?
    }

    let file: FileState
    let offset: UInt64
    let count: Int
    var parts: [Part] = []
    var outstanding = 0
    var hasSent = false
    /// A question sent after this operation began has been answered.
    var hasAsked = false
    var mustRedo = false
    var sawAbsent = false
    /// What the parts were cut by.
    var truncation = TruncationMark.none
    var end = FileEnd.notReached
    var failure: FileFailure?

    init(
        id: OperationID, caller: Caller, began: Instant, file: FileState, offset: UInt64, count: Int
    ) {
        self.file = file
        self.offset = offset
        self.count = min(max(count, 0), Geometry.maximumTransfer)
        super.init(id: id, caller: caller, began: began)
    }

    override var fileState: FileState? { file }

    override func giveUp(_ gateway: GatewayMachine) {
        failure = failure ?? .unavailable
        advance(gateway)
    }

    override func hintArrived(_ gateway: GatewayMachine) {
        guard gateway.validInode(of: file) == nil else {
            hasAsked = hasAsked || isAskingAnew
            return advance(gateway)
        }
        if !gateway.redoLater(self) { gateway.finish(self, .failure(.ioError)) }
    }
    private var isAskingAnew = false

    override func advance(_ gateway: GatewayMachine) {
        if isFinished || outstanding > 0 { return }
        if let failure { return gateway.finish(self, .failure(failure)) }
        guard let inode = gateway.validInode(of: file) else { return ask(gateway, anew: mustRedo) }
        if hasSent {
            if !mustRedo, sawAbsent, !hasAsked { return ask(gateway, anew: true) }
            if let hint = inode.hint, hint.truncation != truncation { mustRedo = true }
            if !mustRedo { return finish(inode, gateway) }
            reset(gateway)
        }
        send(inode, gateway)
    }

    private func ask(_ gateway: GatewayMachine, anew: Bool) {
        if isAsking { return }
        isAskingAnew = anew
        gateway.ask(file, .operation(self), anew ? .after : .joining)
    }

    private func send(_ inode: Inode, _ gateway: GatewayMachine) {
        guard inode.attributes.kind == .regular, let hint = inode.hint else {
            return gateway.finish(
                self, .failure(.namespace(inode.attributes.kind == .directory ? .isDirectory : .invalid)))
        }
        guard Permission.mayRead(inode.attributes, caller.credentials) else {
            return gateway.finish(self, .failure(.namespace(.accessDenied)))
        }
        let size = inode.attributes.size
        let (last, overflow) = offset.addingReportingOverflow(UInt64(count))
        if overflow || last >= size, !hasAsked { return ask(gateway, anew: true) }
        let length = offset >= size ? 0 : Int(min(UInt64(count), size - offset))
        end = overflow || last >= size ? .reached : .notReached
        truncation = hint.truncation
        hasSent = true
        if length == 0 { return finish(inode, gateway) }
        var ranges: [ObjectRange] = []
        hint.layout.forEachPart(offset: offset, length: length) { index, objectOffset, _, length in
            ranges.append(
                ObjectRange(object: ObjectID(file: file.file, index: index), offset: objectOffset, length: length))
        }
        parts = ranges.map { Part(length: $0.length) }
        outstanding = parts.count
        for (index, range) in ranges.enumerated() {
            let group = gateway.group(of: range.object)
            let isLocal = range.length >= GatewayLimits.localRead && gateway.hasOwnReplica(of: group)
            gateway.issue(
                .readPart(self, part: index), to: group,
                isLocal ? .readVersion(range, hint.truncation) : .read(range, hint.truncation),
                mark: (file, hint.truncation))
        }
    }

    func partEnded(_ index: Int, _ outcome: CallOutcome, _ gateway: GatewayMachine) {
        outstanding -= 1
        switch outcome {
        case .answered(.data(let presence), let content): take(index, presence, content, gateway)
        case .answered(_, let content):
            gateway.drop(content)
            gateway.counters.malformed += 1
            failure = failure ?? .ioError
        case .refused(.truncated(let mark)):
            gateway.forgetHint(file, truncation: mark.number)
            mustRedo = true
        case .refused(.removed):
            file.inode = nil
            failure = failure ?? .namespace(.stale)
        case .refused(let refusal): failure = failure ?? gateway.failure(refusal)
        }
        advance(gateway)
    }

    private func take(_ index: Int, _ presence: Presence, _ content: ReplyContent, _ gateway: GatewayMachine) {
        if presence == .someAbsent { sawAbsent = true }
        switch content {
        case .data(let handle) where handle.length == parts[index].length:
            parts[index].piece = .bytes(handle, length: handle.length)
        case .none where presence == .someAbsent: parts[index].piece = .zeros(parts[index].length)
        case .none, .data, .result, .answer, .malformed:
            gateway.drop(content)
            gateway.counters.malformed += 1
            failure = failure ?? .ioError
        }
    }

    /// Begins anew, with what is known now.
    private func reset(_ gateway: GatewayMachine) {
        for part in parts {
            if case .bytes(let handle, length: _) = part.piece { gateway.effects.append(.drop(handle)) }
        }
        parts = []
        hasSent = false
        mustRedo = false
        sawAbsent = false
        gateway.counters.redone += 1
    }

    override func release(_ gateway: GatewayMachine) {
        for part in parts {
            if case .bytes(let handle, length: _) = part.piece { gateway.effects.append(.drop(handle)) }
        }
        parts = []
    }

    private func finish(_ inode: Inode, _ gateway: GatewayMachine) {
        gateway.finish(self, .success(.read(parts.compactMap(\.piece), end)))
        gateway.touch(file, inode)
    }
}

extension GatewayMachine {
    func group(of object: ObjectID) -> PGID { Placement.group(of: object, groupCount: map?.dataPGCount ?? 1) }

    /// Whether this node has an in-sync replica beside the primary's: the primary's own needs no second step.
    func hasOwnReplica(of group: PGID) -> Bool {
        guard let record = records[group], record.primary != node else { return false }
        return record.inSyncMember(on: node) != nil
    }

    /// The relatime rule: the access time rises when it is not after modification and change, or is a day old. Never
    /// delays the READ, is unstable, and only one is under way.
    func touch(_ file: FileState, _ inode: Inode) {
        let attributes = inode.attributes
        let isDue =
            attributes.accessTime <= attributes.modificationTime || attributes.accessTime <= attributes.changeTime
            || time.wall.nanoseconds &- attributes.accessTime.nanoseconds >= GatewayLimits.accessTimeAge
        guard isDue, !file.isTouching, session != nil else { return }
        file.isTouching = true
        mutate(.touch(file), file.file.fileset, .touchAccessTime(inode: file.file.inode), .unstable)
    }

    func touched(_ file: FileState, _ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ call: PGCall) {
        file.isTouching = false
        // Until the attributes are asked for anew, this one counts.
        file.inode?.attributes.accessTime = time.wall
    }
}
