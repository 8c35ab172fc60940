import ClusterModel
import Wire

/// Who waits for an inode's attributes.
enum HintWaiter {
    case operation(Operation)
    case call(PGCall)
}

/// Which question for attributes serves who asks.
enum HintFreshness {
    /// One that is already under way will do, if it is not older than a hint may be.
    case joining
    /// Only one that is sent after this.
    case after
}

/// What a gateway knows of an inode that it reads or writes.
final class FileState {
    let file: FileID
    var slot = SlotID(index: 0, generation: 0)
    /// Operations that use it.
    var users = 0
    /// Never changes in an inode's life.
    var layout: Layout?

    // The hint.
    var inode: Inode?
    /// When the question was sent that `inode` answers.
    var asOf = Instant(nanoseconds: 0)
    /// When its answer came.
    var learnedAt = Instant(nanoseconds: 0)
    /// The loss number known then: a later loss may have taken an unstable size back.
    var loss = LossNumber.zero
    /// A placement group has shown this number: attributes with a lower one are old.
    var leastTruncation = TruncationNumber.zero
    var isAsking = false
    /// When the question under way was made.
    var askedAt = Instant(nanoseconds: 0)
    var waiters: [HintWaiter] = []
    var nextWaiters: [HintWaiter] = []

    // The limit.
    var isRaising = false
    var raiseWaiters: [WriteOperation] = []

    // The registration as a writer.
    var registration = Registration()

    // The size.
    var extending: Extension?
    var extendWaiters: [Extension.Waiter] = []
    /// A size that is stable at the metadata group, of truncation `stableTruncation`.
    var stableSize: UInt64 = 0
    var stableTruncation = TruncationNumber.zero
    var isTouching = false
    /// Changes of the size through this gateway, one at a time; the first is under way.
    var sizeChanges: [MutateOperation] = []

    /// How its writes are flushed.
    var flushPattern = FlushPattern()

    init(file: FileID) { self.file = file }

    var metadataGroup: PGID { .metadata(file.fileset) }

    var isIdle: Bool {
        users == 0 && !isAsking && !isRaising && extending == nil && !isTouching && registration.isIdle
            && sizeChanges.isEmpty
    }

    /// Breaks the cycles between it and what waits for it.
    func forgetWaiters() {
        waiters.removeAll()
        nextWaiters.removeAll()
        raiseWaiters.removeAll()
        registration.waiters.removeAll()
        registration.settleWaiters.removeAll()
        registration.left = nil
        extendWaiters.removeAll()
        extending = nil
        sizeChanges.removeAll()
    }
}

extension FileState {
    /// Drops who has ended from those that wait: where a group is away for long, they would become more and more.
    func dropEnded() {
        func hasEnded(_ waiter: HintWaiter) -> Bool {
            switch waiter {
            case .operation(let operation): operation.isFinished
            case .call(let call): call.operation?.isFinished ?? false
            }
        }
        waiters.removeAll(where: hasEnded)
        nextWaiters.removeAll(where: hasEnded)
        raiseWaiters.removeAll(where: \.isFinished)
        registration.waiters.removeAll(where: \.isFinished)
        registration.settleWaiters.removeAll(where: \.isFinished)
        extendWaiters.removeAll { $0.write.isFinished }
    }
}

extension GatewayMachine {
    func fileState(_ file: FileID) -> FileState {
        if let known = knownFile(file) { return known }
        evictIdle()
        let state = FileState(file: file)
        state.slot = files.insert(state)
        fileIndex[file] = state.slot
        return state
    }

    func knownFile(_ file: FileID) -> FileState? {
        guard let slot = fileIndex[file] else { return nil }
        return files[slot]
    }

    private func evictIdle() {
        guard files.count >= GatewayLimits.files else { return }
        for _ in 0..<min(GatewayLimits.evictionSteps, files.places) {
            evictionHand = (evictionHand + 1) % files.places
            if let candidate = files.at(evictionHand), candidate.isIdle {
                files.remove(candidate.slot)
                fileIndex[candidate.file] = nil
            }
        }
    }

    // MARK: The hint

    /// The hint's part for data, while it may be used.
    func validHint(of file: FileState) -> FileHint? { validInode(of: file)?.hint }

    /// Attributes that are at most a second old and not from before a loss or a truncation that is known since.
    func validInode(of file: FileState) -> Inode? {
        guard let inode = file.inode else { return nil }
        // Who waited for an answer may use it, however slow it was.
        if file !== justLearned {
            guard time.now - file.asOf <= FileHint.lifetime, file.loss >= lossSeen else { return nil }
        }
        if let hint = inode.hint, hint.truncation.number < file.leastTruncation { return nil }
        return inode
    }

    func ask(_ file: FileState, _ waiter: HintWaiter, _ freshness: HintFreshness) {
        if case .operation(let operation) = waiter {
            if operation.isAsking { return }
            operation.isAsking = true
        }
        guard file.isAsking else {
            file.waiters.append(waiter)
            return sendQuestion(file)
        }
        switch freshness {
        // Whoever came later than that may know of a change that the answer does not show (`HeldAnswers`).
        case .joining where time.now - file.askedAt <= FileHint.lifetime: file.waiters.append(waiter)
        case .joining, .after: file.nextWaiters.append(waiter)
        }
    }

    private func sendQuestion(_ file: FileState) {
        file.isAsking = true
        file.askedAt = time.now
        question(
            .hint(file), file.file.fileset, .attributes(inode: file.file.inode), as: .superuser, from: session ?? .none)
    }

    /// `asker`: whose own writes do not make times move.
    func question(
        _ purpose: CallPurpose, _ fileset: FilesetID, _ query: NamespaceQuery, as credentials: Credentials,
        from asker: SessionID
    ) {
        let question = NamespaceQuestion(credentials: credentials, session: asker, query: query)
        issue(purpose, to: .metadata(fileset), .query, .query(question))
    }

    func hintAnswered(_ file: FileState, _ answer: Result<NamespaceAnswer, FileFailure>, _ call: PGCall) {
        file.isAsking = false
        let waiters = file.waiters
        file.waiters = file.nextWaiters
        file.nextWaiters = []
        if !file.waiters.isEmpty { sendQuestion(file) }
        var failure: FileFailure?
        switch answer {
        case .success(.inode(let inode)):
            learn(inode, from: call, file)
            timesSeen(file, inode.attributes)
        case .success: failure = .ioError
        case .failure(let reason): failure = reason
        }
        if failure != nil { file.inode = nil }
        justLearned = file
        defer { justLearned = nil }
        for waiter in waiters {
            switch waiter {
            case .operation(let operation):
                operation.isAsking = false
                if operation.isFinished { continue }
                if let failure { operation.hintFailed(failure, self) } else { operation.hintArrived(self) }
            case .call(let call): validated(call, failure)
            }
        }
    }

    /// Takes attributes that some answer brought, if they are newer than what is known. `call` is the request answered.
    func learn(_ inode: Inode, from call: PGCall) {
        if let file = knownFile(inode.attributes.file) { learn(inode, from: call, file) }
    }

    /// Answers may overtake each other: one whose question was sent after the known ones came is newer; else the
    /// truncation number, the limit and the size tell, which only grow together.
    func learn(_ inode: Inode, from call: PGCall, _ file: FileState) {
        let asked = call.sentAt ?? call.began
        if let known = file.inode, asked < file.learnedAt {
            guard let old = known.hint, let new = inode.hint, file.loss >= lossSeen else { return }
            let isNewer =
                new.truncation.number > old.truncation.number
                || (new.truncation.number == old.truncation.number && new.limit >= old.limit
                    && inode.attributes.size >= known.attributes.size)
            if !isNewer { return }
        }
        file.inode = inode
        file.asOf = asked
        file.learnedAt = time.now
        file.loss = call.lossSeen
        if let hint = inode.hint { file.layout = hint.layout }
    }

    /// A data group knows a newer truncation, or the file is gone: what is known of it is old.
    func forgetHint(_ file: FileState, truncation: TruncationNumber) {
        if truncation > file.leastTruncation { file.leastTruncation = truncation }
        if let hint = file.inode?.hint, hint.truncation.number >= file.leastTruncation { return }
        file.inode = nil
    }
}
