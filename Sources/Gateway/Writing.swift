import ClusterModel
import Wire

/// WRITE: hint and permission, limit, data and registration side by side, size, answer (namespace.md).
final class WriteOperation: Operation {
    struct Part {
        enum State {
            case waiting
            case sent
            case done(LossNumber)
        }
        var object: ObjectID
        var offset: Int
        /// From the payload's begin.
        var delta: Int
        var length: Int
        var isZero: Bool
        var state = State.waiting
        /// The truncation number that it was last sent with.
        var truncation = TruncationNumber.zero
    }
    /// What the write waits for after its data.
    enum SizeState {
        case unknown
        case asked
        case decided(LossNumber?)
    }

    let file: FileState
    let offset: UInt64
    let payload: PayloadHandle
    let zeros: [ZeroRun]
    let durability: Durability
    /// At least `durability` (`FlushPattern`).
    let dataDurability: Durability
    var parts: [Part] = []
    var outstanding = 0
    var isUnderWay = false
    /// A data group knew a newer truncation than the hint.
    var mustAskAnew = false
    var registration: LossNumber?
    /// A registration in its caller's name was sent.
    var hasRegistered = false
    var size = SizeState.unknown
    var failure: FileFailure?
    /// A group has executed a part of it, or may have.
    private var mayHaveLanded = false

    init(
        id: OperationID, caller: Caller, began: Instant, file: FileState, offset: UInt64, payload: PayloadHandle,
        zeros: [ZeroRun], durability: Durability
    ) {
        self.file = file
        self.offset = offset
        self.payload = payload
        self.zeros = zeros
        self.durability = durability
        dataDurability =
            switch durability {
            case .unstable: file.flushPattern.writeBegan()
            case .stable: .stable
            }
        super.init(id: id, caller: caller, began: began)
    }

    override var fileState: FileState? { file }
    private var end: UInt64 { offset &+ UInt64(payload.length) }

    override func hintArrived(_ gateway: GatewayMachine) {
        // The metadata group is behind what a data group has shown: only time helps.
        guard gateway.validInode(of: file) == nil else { return advance(gateway) }
        if !gateway.redoLater(self) { fail(.ioError, gateway) }
    }

    override func hintFailed(_ failure: FileFailure, _ gateway: GatewayMachine) { fail(failure, gateway) }

    override func giveUp(_ gateway: GatewayMachine) { fail(.unavailable, gateway) }

    /// Ends the write once nothing of it is under way any more.
    func fail(_ reason: FileFailure, _ gateway: GatewayMachine) {
        if failure == nil { failure = reason }
        advance(gateway)
    }

    func sizeDecided(_ stamp: LossNumber) { size = .decided(stamp) }

    override func advance(_ gateway: GatewayMachine) {
        if isFinished { return }
        if failure == nil {
            // Parts may end, and fail, while others are sent.
            let reason = sendParts(gateway)
            failure = failure ?? reason
            if isFinished { return }
        }
        if outstanding > 0 || (isAsking && failure == nil) { return }
        if let failure { return finish(.failure(failure), gateway) }
        guard parts.allSatisfy(\.isDone), isUnderWay || payload.length == 0 else { return }
        if payload.length == 0 { return finish(.success(.written(count: 0, gateway.lossSeen)), gateway) }
        guard isRegistered(gateway), isSized(gateway) else { return }
        var stamp = registration ?? gateway.lossSeen
        for part in parts { if case .done(let part) = part.state { stamp = min(stamp, part) } }
        if case .decided(let size?) = size { stamp = min(stamp, size) }
        finish(.success(.written(count: payload.length, stamp)), gateway)
    }

    private func finish(_ result: Result<FileAnswer, FileFailure>, _ gateway: GatewayMachine) {
        if isUnderWay { gateway.writeEnded(file) }
        gateway.finish(self, result)
        if case .failure = result, mayHaveLanded { gateway.leftData(self) }
    }

    /// Sends what has not been sent, as soon as hint, permission and limit allow. Gives why the write fails, if it does.
    private func sendParts(_ gateway: GatewayMachine) -> FileFailure? {
        if !parts.isEmpty, !parts.contains(where: \.isWaiting) { return nil }
        guard let inode = gateway.validInode(of: file) else {
            gateway.ask(file, .operation(self), mustAskAnew ? .after : .joining)
            mustAskAnew = false
            return nil
        }
        guard inode.attributes.kind == .regular, let hint = inode.hint else {
            return .namespace(inode.attributes.kind == .directory ? .isDirectory : .invalid)
        }
        guard Permission.mayWrite(inode.attributes, caller.credentials) else { return .namespace(.accessDenied) }
        if payload.length == 0 { return nil }
        if hint.quota == .exceeded, mayAllocate(inode.attributes) { return .namespace(.quotaExceeded) }
        let (last, overflow) = offset.addingReportingOverflow(UInt64(payload.length))
        if overflow || last > Geometry.maximumFileSize { return .namespace(.fileTooBig) }
        guard gateway.limitCovers(end, hint, file, for: self) else { return nil }
        if parts.isEmpty { cut(hint.layout) }
        if !isUnderWay {
            isUnderWay = true
            gateway.writeBegan(file)
        }
        // Beside the data: nobody may learn of the answer and see old times, but data may be seen with old times before.
        _ = isRegistered(gateway)
        let toSend = parts.indices.filter { parts[$0].isWaiting }
        outstanding += toSend.count
        for index in toSend {
            parts[index].state = .sent
            parts[index].truncation = hint.truncation.number
        }
        for index in toSend { send(index, hint, gateway) }
        return nil
    }

    /// Zeros need no blocks, nor do bytes over those of a file without holes.
    private func mayAllocate(_ attributes: FileAttributes) -> Bool {
        if zeros.reduce(0, { $0 + $1.length }) == payload.length { return false }
        return attributes.used < attributes.size || end > attributes.size
    }

    private func send(_ index: Int, _ hint: FileHint, _ gateway: GatewayMachine) {
        let part = parts[index]
        let group = gateway.group(of: part.object)
        if part.isZero {
            let blocks = BlockRange(coveringOffset: part.offset, length: part.length)
            gateway.issue(
                .writePart(self, part: index), to: group, .zero(part.object, blocks, hint.truncation, dataDurability),
                mark: (file, hint.truncation))
        } else {
            let range = ObjectRange(object: part.object, offset: part.offset, length: part.length)
            gateway.issue(
                .writePart(self, part: index), to: group, .write(range, hint.truncation, dataDurability),
                .slice(payload, offset: part.delta, length: part.length), mark: (file, hint.truncation))
        }
    }

    /// `wasSent`: a copy of the request has left, ever.
    func partEnded(_ index: Int, _ outcome: CallOutcome, wasSent: Bool, _ gateway: GatewayMachine) {
        outstanding -= 1
        switch outcome {
        case .answered(.written(let stamp), _):
            mayHaveLanded = true
            parts[index].state = .done(stamp)
        case .answered:
            gateway.counters.malformed += 1
            failure = failure ?? .ioError
        case .refused(.truncated(let mark)):
            // It was never named: done again, under a new number, with what the metadata group says now.
            parts[index].state = .waiting
            gateway.forgetHint(file, truncation: mark.number)
            mustAskAnew = true
        case .refused(.removed):
            gateway.forgetHint(file, truncation: .zero)
            file.inode = nil
            failure = failure ?? .namespace(.stale)
        case .refused(let refusal):
            // Given up without an outcome; other refusals are the group's word.
            if refusal == .unavailable, wasSent { mayHaveLanded = true }
            failure = failure ?? gateway.failure(refusal)
        }
        advance(gateway)
    }

    private func isRegistered(_ gateway: GatewayMachine) -> Bool {
        // Asked anew at the end: the data's stamps may have shown a loss that took the registration.
        registration = gateway.registered(file, durability, for: self)
        return registration != nil
    }

    private func isSized(_ gateway: GatewayMachine) -> Bool {
        switch size {
        case .decided: return true
        case .asked: return false
        case .unknown: break
        }
        var newest = TruncationNumber.zero
        var highest = LossNumber.zero
        for part in parts {
            newest = max(newest, part.truncation)
            if case .done(let stamp) = part.state { highest = max(highest, stamp) }
        }
        // What was written under an older truncation was cut by the newer one, or lies below its size.
        var reach: UInt64 = 0
        for part in parts where part.truncation == newest {
            reach = max(reach, offset + UInt64(part.delta + part.length))
        }
        if gateway.sizeCovers(reach, newest, durability, stamp: highest, file) {
            size = .decided(nil)
            return true
        }
        size = .asked
        gateway.extend(
            file, Extension.Waiter(write: self, size: reach, truncation: newest, durability: durability))
        return false
    }

    /// Cuts the payload at objects' borders and at runs of zeros.
    private func cut(_ layout: Layout) {
        var next = 0
        layout.forEachPart(offset: offset, length: payload.length) { index, objectOffset, delta, length in
            let object = ObjectID(file: file.file, index: index)
            var done = 0
            func add(_ count: Int, isZero: Bool) {
                if count == 0 { return }
                parts.append(
                    Part(
                        object: object, offset: objectOffset + done, delta: delta + done, length: count, isZero: isZero)
                )
                done += count
            }
            while next < zeros.count, zeros[next].offset < delta + length {
                let run = zeros[next]
                let lower = max(run.offset, delta)
                let upper = min(run.offset + run.length, delta + length)
                add(lower - (delta + done), isZero: false)
                add(upper - lower, isZero: true)
                // The run goes on in the next object.
                if run.offset + run.length > delta + length { break }
                next += 1
            }
            add(length - done, isZero: false)
        }
    }
}

extension WriteOperation.Part {
    var isDone: Bool { if case .done = state { true } else { false } }
    var isWaiting: Bool { if case .waiting = state { true } else { false } }
}
