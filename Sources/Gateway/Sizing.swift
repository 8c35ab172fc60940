import ClusterModel
import Wire

/// Size, limit (namespace.md, Size, limit, truncation; traps 34 and 35).
///
/// A size entry under way, the only one of its inode.
struct Extension {
    /// A write whose data is acknowledged and that waits for the size.
    struct Waiter {
        var write: WriteOperation
        var size: UInt64
        var truncation: TruncationNumber
        var durability: Durability
    }
    var size: UInt64
    var truncation: TruncationNumber
    var durability: Durability
}

extension GatewayMachine {
    // MARK: Limit

    /// True when data may be sent up to `end`; else the limit is being raised, and `write` is advanced afterwards.
    func limitCovers(_ end: UInt64, _ hint: FileHint, _ file: FileState, for write: WriteOperation) -> Bool {
        if hint.limit >= end { return true }
        if !file.raiseWaiters.contains(where: { $0 === write }) { file.raiseWaiters.append(write) }
        if file.isRaising { return false }
        file.isRaising = true
        let ahead = min(end, GatewayLimits.limitAhead)
        let limit = min(end + ahead, Geometry.maximumFileSize)
        mutate(.raiseLimit(file), file.file.fileset, .raiseLimit(inode: file.file.inode, limit: limit), .stable)
        return false
    }

    func limitRaised(
        _ file: FileState, _ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ call: PGCall
    ) {
        file.isRaising = false
        let waiters = file.raiseWaiters
        file.raiseWaiters = []
        if let failure = failure(of: result) {
            for write in waiters { write.fail(failure, self) }
            return
        }
        if case .success((let result, _)) = result {
            if let inode = result.inode {
                learn(inode, from: call, file)
                timesSeen(file, inode.attributes)
            } else {
                file.inode = nil
            }
        }
        for write in waiters where !write.isFinished { write.advance(self) }
    }

    // MARK: Size

    /// Whether the size is known to be decided (and stable, if asked) at `size` or more; `stamp` is the highest of the
    /// write's parts: a size that was learned before that loss may have been lost with it.
    func sizeCovers(
        _ size: UInt64, _ truncation: TruncationNumber, _ durability: Durability, stamp: LossNumber, _ file: FileState
    ) -> Bool {
        if durability == .stable { return file.stableTruncation == truncation && file.stableSize >= size }
        guard let inode = file.inode, let hint = inode.hint, file.loss >= max(stamp, lossSeen) else { return false }
        return hint.truncation.number == truncation && inode.attributes.size >= size
    }

    /// The write is advanced when the size is decided.
    func extend(_ file: FileState, _ waiter: Extension.Waiter) {
        file.extendWaiters.append(waiter)
        if file.extending == nil { sendExtension(file) }
    }

    private func sendExtension(_ file: FileState) {
        guard let first = file.extendWaiters.first else { return }
        var next = Extension(size: first.size, truncation: first.truncation, durability: first.durability)
        for waiter in file.extendWaiters.dropFirst() {
            if waiter.truncation > next.truncation {
                next.truncation = waiter.truncation
                next.size = waiter.size
            } else if waiter.truncation == next.truncation {
                next.size = max(next.size, waiter.size)
            }
            if waiter.durability == .stable { next.durability = .stable }
        }
        file.extending = next
        mutate(
            .extend(file), file.file.fileset,
            .extend(inode: file.file.inode, size: next.size, truncation: next.truncation), next.durability)
    }

    func extended(_ file: FileState, _ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ call: PGCall) {
        guard let sent = file.extending else { return }
        file.extending = nil
        let waiters = file.extendWaiters
        file.extendWaiters = []
        if let failure = failure(of: result) {
            for waiter in waiters { waiter.write.fail(failure, self) }
            return
        }
        guard case .success((let result, let stamp)) = result else { return }
        if let inode = result.inode {
            call.lossSeen = stamp
            learn(inode, from: call, file)
            file.registration.rowTime = inode.attributes.modificationTime
            if sent.durability == .stable, let hint = inode.hint {
                file.stableTruncation = hint.truncation.number
                file.stableSize = inode.attributes.size
            }
        }
        var served: [WriteOperation] = []
        for waiter in waiters {
            // A write of an older truncation was cut by the newer one: it comes before it.
            let isServed =
                waiter.truncation < sent.truncation
                || (waiter.truncation == sent.truncation && waiter.size <= sent.size
                    && (waiter.durability == .unstable || sent.durability == .stable))
            if isServed {
                waiter.write.sizeDecided(stamp)
                served.append(waiter.write)
            } else {
                file.extendWaiters.append(waiter)
            }
        }
        sendExtension(file)
        for write in served where !write.isFinished { write.advance(self) }
    }
}
