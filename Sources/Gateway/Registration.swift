import ClusterModel
import Wire

/// This gateway's registration as a writer of one inode (namespace.md, Attributes before tokens exist; traps 70).
///
/// Invariants: a settlement is sent only while no write of this gateway to the inode is under way, and no registration is
/// sent before a settlement has ended; so the group never takes a settlement for a later registration.
struct Registration {
    enum State {
        case none
        case registering(Durability)
        case registered
        case settling
    }

    var state = State.none
    var isStable = false
    /// The registration's own stamp: a later loss may have taken an unstable one.
    var stamp = LossNumber.zero
    /// The inode's times or size were set since: what is written from now on must register anew, after that change.
    var isOutdated = false
    /// When that was, the latest time if it is not known: writes that had ended by then do not count any more.
    var overruled = Timestamp.zero
    var writesUnderWay = 0
    var lastWrite = Timestamp.zero
    var lastWriteAt = Instant(nanoseconds: 0)
    /// The latest change time that clients were told since it began.
    var lastShown = Timestamp.zero
    /// The modification time in the rows, where this gateway's own writes do not show, as far as it is known.
    var rowTime: Timestamp?
    var isTimerSet = false
    /// As of the registration.
    var usageMark = UsageMark.zero
    var waiters: [WriteOperation] = []
    /// The last write that failed during a settlement and may have left data, and when it ended.
    var left: (write: WriteOperation, end: Timestamp)?
    /// Reads and changes of attributes that wait for a settlement under way.
    var settleWaiters: [Operation] = []

    var isIdle: Bool {
        if case .none = state {
            return waiters.isEmpty && settleWaiters.isEmpty && writesUnderWay == 0 && left == nil
        }
        return false
    }
}

extension GatewayMachine {
    /// The stamp of the registration if it is as durable as asked, without bound if no loss can take it; nil when `write`
    /// has to wait, and will be advanced.
    func registered(_ file: FileState, _ durability: Durability, for write: WriteOperation) -> LossNumber? {
        let registration = file.registration
        switch registration.state {
        case .registered:
            let mayBeLost = !registration.isStable && registration.stamp < lossSeen
            let isTooWeak = durability == .stable && !registration.isStable
            // Registered by the superuser, or before the mode was set.
            let keepsPrivileges =
                !write.hasRegistered
                && (file.inode.map { Permission.endsPrivileges($0.attributes, write.caller.credentials) } ?? false)
            if !mayBeLost, !isTooWeak, !registration.isOutdated, !keepsPrivileges {
                return registration.isStable ? LossNumber(.max) : registration.stamp
            }
            sendRegistration(file, durability, for: write)
        case .none: sendRegistration(file, durability, for: write)
        case .registering, .settling: break
        }
        if !file.registration.waiters.contains(where: { $0 === write }) { file.registration.waiters.append(write) }
        return nil
    }

    /// In the writer's name: a write by anyone but the superuser ends setuid and setgid.
    private func sendRegistration(_ file: FileState, _ durability: Durability, for write: WriteOperation) {
        guard let session else { return }
        let goesOn = if case .registered = file.registration.state { true } else { false }
        if !goesOn || file.registration.lastWrite <= file.registration.overruled {
            file.registration.lastWrite = .zero
        }
        file.registration.state = .registering(durability)
        file.registration.isOutdated = false
        file.registration.overruled = .zero
        write.hasRegistered = true
        mutate(
            .register(file), file.file.fileset, .registerWriter(inode: file.file.inode, session: session), durability,
            as: Caller(credentials: write.caller.credentials))
    }

    func writerRegistered(
        _ file: FileState, _ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ call: PGCall
    ) {
        let waiters = file.registration.waiters
        file.registration.waiters = []
        if let failure = failure(of: result) {
            file.registration.state = .none
            for write in waiters { write.fail(failure, self) }
            return
        }
        if case .success((let result, let stamp)) = result, case .registering(let durability) = file.registration.state
        {
            file.registration.isStable = durability == .stable
            file.registration.stamp = stamp
            file.registration.usageMark = result.inode?.hint?.usageMark ?? .zero
            if let inode = result.inode { learn(inode, from: call, file) }
            file.registration.rowTime = result.inode?.attributes.modificationTime
        }
        file.registration.state = .registered
        setSettleTimer(file, at: time.now + GatewayLimits.settleAfter)
        for write in waiters where !write.isFinished { write.advance(self) }
    }

    func writeBegan(_ file: FileState) { file.registration.writesUnderWay += 1 }

    func writeEnded(_ file: FileState) {
        file.registration.writesUnderWay -= 1
        file.registration.lastWrite = max(file.registration.lastWrite, time.wall)
        file.registration.lastWriteAt = time.now
        setSettleTimer(file, at: time.now + GatewayLimits.settleAfter)
    }

    private func setSettleTimer(_ file: FileState, at deadline: Instant) {
        if file.registration.isTimerSet { return }
        file.registration.isTimerSet = true
        timers.set(.settle(file), at: deadline)
    }

    func settleTimerRang(_ file: FileState) {
        file.registration.isTimerSet = false
        switch file.registration.state {
        case .none, .settling: return
        case .registering: return setSettleTimer(file, at: time.now + GatewayLimits.settleAfter)
        case .registered: break
        }
        // The end of the last write under way sets the timer.
        if file.registration.writesUnderWay > 0 { return }
        let due = file.registration.lastWriteAt + GatewayLimits.settleAfter
        if due > time.now { setSettleTimer(file, at: due) } else { beginSettlement(file, for: .quiet) }
    }

    /// True when attributes may be asked for or set now; else a settlement is under way, and `operation` is advanced
    /// when it has ended.
    func isSettled(_ file: FileState, for operation: Operation) -> Bool {
        switch file.registration.state {
        case .none, .registering: return true
        case .registered:
            if file.registration.writesUnderWay > 0 { return true }
            beginSettlement(file, for: .asked)
        case .settling: break
        }
        file.registration.settleWaiters.append(operation)
        return false
    }

    private func beginSettlement(_ file: FileState, for reason: SettlementReason) {
        file.registration.state = .settling
        measureForSettlement(file, for: reason)
    }

    func sendSettlement(_ file: FileState, _ usage: MeasuredUsage?) {
        guard let session else { return }
        // Stable, for nobody would send it again after a loss, and the registration may be stable.
        mutate(
            .settle(file), file.file.fileset,
            .settle(
                inode: file.file.inode, session: session, modified: file.registration.lastWrite, usage: usage), .stable)
    }

    func settled(_ file: FileState, _ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ call: PGCall) {
        file.registration.state = .none
        file.registration.isStable = false
        file.registration.lastShown = .zero
        file.registration.rowTime = nil
        if case .success((let result, _)) = result, let inode = result.inode { learn(inode, from: call, file) }
        let writers = file.registration.waiters
        let others = file.registration.settleWaiters
        file.registration.waiters = []
        file.registration.settleWaiters = []
        // Before a SETATTR that waits, which comes after what was left.
        if let (write, end) = file.registration.left {
            file.registration.left = nil
            registerLeft(write, at: end)
        }
        for operation in others where !operation.isFinished { operation.advance(self) }
        for write in writers where !write.isFinished { write.advance(self) }
    }

    /// A write has failed, and may have left data: times and usage move for it, too.
    func leftData(_ write: WriteOperation) {
        switch write.file.registration.state {
        case .none: registerLeft(write, at: time.wall)
        // What is settled may be from before it.
        case .settling: write.file.registration.left = (write, time.wall)
        // One that was lost, or was another user's, is asked for anew.
        case .registered: _ = registered(write.file, write.durability, for: write)
        case .registering: break
        }
    }

    private func registerLeft(_ write: WriteOperation, at end: Timestamp) {
        _ = registered(write.file, write.durability, for: write)
        write.file.registration.lastWrite = end
    }

    /// Times or size of the file were set through this gateway, at the time that the result shows.
    func timesSet(_ file: FileState, _ result: Result<(NamespaceResult, LossNumber), FileFailure>) {
        file.registration.isOutdated = true
        switch result {
        case .success((let result, _)) where result.failure != nil: break
        case .success((let result, _)):
            file.registration.overruled = result.inode?.attributes.changeTime ?? Timestamp(nanoseconds: .max)
        case .failure: file.registration.overruled = Timestamp(nanoseconds: .max)
        }
    }

    /// What the rows have, as this gateway is told it. Whoever changed the time may have set it, and overruled this registration:
    /// then times would stand still for others while it writes on. So what is written from now on registers anew.
    func timesSeen(_ file: FileState, _ attributes: FileAttributes) {
        guard case .registered = file.registration.state else { return }
        if let known = file.registration.rowTime, known != attributes.modificationTime {
            file.registration.isOutdated = true
        }
        file.registration.rowTime = attributes.modificationTime
    }

    /// The file, if its times are not settled for this gateway's writes.
    func writtenHere(_ file: FileID) -> FileState? {
        guard let file = knownFile(file) else { return nil }
        if case .none = file.registration.state { return nil }
        return file
    }

    /// Clients are told these attributes, as the metadata primary tells them to all.
    func wasShown(_ attributes: FileAttributes) {
        guard let file = writtenHere(attributes.file) else { return }
        file.registration.lastShown = max(file.registration.lastShown, attributes.changeTime)
    }

    /// Whether clients were told a later time than this one, which the result of a change has: it shows the rows, where this
    /// gateway's own writes do not show.
    func isBehindShown(_ inode: Inode) -> Bool {
        guard let file = writtenHere(inode.attributes.file) else { return false }
        let last = file.registration.lastShown
        return last > file.registration.overruled && last > inode.attributes.modificationTime
    }

    // MARK: Mutations of the gateway's own

    func mutate(
        _ purpose: CallPurpose, _ fileset: FilesetID, _ operation: NamespaceOperation, _ durability: Durability,
        as caller: Caller = Caller(credentials: .superuser)
    ) {
        let entry = NamespaceEntry(
            semantics: map?.semantics ?? 1, credentials: caller.credentials, operation: operation)
        issue(purpose, to: .metadata(fileset), .mutate(durability, caller.call), .entry(entry))
    }

    func failure(of result: Result<(NamespaceResult, LossNumber), FileFailure>) -> FileFailure? {
        switch result {
        case .success((let result, _)): return result.failure.map { .namespace($0) }
        case .failure(let failure): return failure
        }
    }
}
