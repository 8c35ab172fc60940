import ClusterModel
import Wire

/// A question to a metadata group; with a second one where a junction is crossed, or a name leads to a file that is written here.
///
/// Times of files that this gateway writes are asked for as anybody else is told them: exact when it has settled, moving while
/// its writes are under way. So all that clients see of a file's times is told by one clock.
final class QueryOperation: Operation {
    /// What is asked next, after the first question gave a directory's attributes.
    enum Second {
        case none
        /// The attributes of what the name, or "..", leads to.
        case attributes(of: FileID)
    }

    let target: FileID
    let query: NamespaceQuery
    let second: Second
    /// Whose registration is settled before the question is asked.
    let settles: FileState?
    private var isSent = false
    private var directory: FileAttributes?
    /// What a name led to, which is written here: the registration is settled, then its attributes are asked for.
    private var found: (file: FileState, inode: Inode)?

    init(
        id: OperationID, caller: Caller, began: Instant, target: FileID, query: NamespaceQuery, second: Second = .none,
        settles: FileState? = nil
    ) {
        self.target = target
        self.query = query
        self.second = second
        self.settles = settles
        super.init(id: id, caller: caller, began: began)
    }

    override var fileState: FileState? { settles }

    override func advance(_ gateway: GatewayMachine) {
        if isFinished || isSent { return }
        let fileset = found?.file.file.fileset ?? target.fileset
        guard gateway.liveFileset(fileset) != nil else {
            return gateway.finish(self, .failure(.namespace(.stale)))
        }
        if let file = found?.file ?? settles, !gateway.isSettled(file, for: self) { return }
        isSent = true
        ask(fileset, found.map { .attributes(inode: $0.file.file.inode) } ?? query, gateway)
    }

    override func giveUp(_ gateway: GatewayMachine) { if !isSent { super.giveUp(gateway) } }

    private func ask(_ fileset: FilesetID, _ query: NamespaceQuery, _ gateway: GatewayMachine) {
        gateway.question(.query(self), fileset, query, as: caller.credentials, from: .none)
    }

    func answered(_ answer: Result<NamespaceAnswer, FileFailure>, _ call: PGCall, _ gateway: GatewayMachine) {
        switch answer {
        case .failure(.namespace(.stale)):
            // The name has led to it, whatever became of it since.
            guard let found, let directory else { return gateway.finish(self, .failure(.namespace(.stale))) }
            gateway.finish(self, .success(.found(found.inode, directory: directory)))
        case .failure(let failure): gateway.finish(self, .failure(failure))
        case .success(let answer): take(answer, call, gateway)
        }
    }

    private func take(_ answer: NamespaceAnswer, _ call: PGCall, _ gateway: GatewayMachine) {
        switch answer {
        case .found(let inode, let directory):
            gateway.learn(inode, from: call)
            if let file = gateway.writtenHere(inode.attributes.file) {
                self.directory = directory
                found = (file, inode)
                isSent = false
                return advance(gateway)
            }
            gateway.finish(self, .success(.found(inode, directory: directory)))
        case .inode(let inode):
            gateway.learn(inode, from: call)
            gateway.wasShown(inode.attributes)
            if let directory {
                gateway.finish(self, .success(.found(inode, directory: directory)))
            } else {
                gateway.finish(self, .success(.inode(inode)))
            }
        case .access(let rights, let attributes):
            guard case .attributes(let file) = second else {
                gateway.wasShown(attributes)
                return gateway.finish(self, .success(.access(rights, attributes)))
            }
            guard rights.contains(.lookup) else { return gateway.finish(self, .failure(.namespace(.accessDenied))) }
            directory = attributes
            ask(file.fileset, .attributes(inode: file.inode), gateway)
        case .symbolicLink(let target, let attributes):
            gateway.finish(self, .success(.symbolicLink(target, attributes)))
        case .entries(let entries, let directory, let end):
            let covered = gateway.junctions(in: target)
            let shown = entries.map { entry in
                var entry = entry
                // Another fileset is joined there: a client that took the folder below it would write where nobody looks. And of
                // what is written here whoever wants the times asks for them.
                let file = FileID(fileset: target.fileset, inode: entry.inode)
                if covered.contains(entry.name.bytes) || gateway.writtenHere(file) != nil { entry.details = nil }
                return entry
            }
            gateway.finish(self, .success(.entries(shown, directory: directory, end)))
        case .usage(let usage, let quota): gateway.finish(self, .success(.usage(usage, quota)))
        // A failure comes as such.
        case .failed, .deletions, .measurable, .allocation:
            gateway.counters.malformed += 1
            gateway.finish(self, .failure(.ioError))
        }
    }
}

/// A change of the namespace. One that cuts a file is answered when every group of the cut range has it; one that
/// removes a file is answered at once, and the objects go behind it (namespace.md).
final class MutateOperation: Operation {
    enum State {
        case new
        /// Another change of this file's size is under way at this gateway.
        case queued
        /// An earlier cut of the file, which nobody finished, is completed first.
        case completing
        /// Its turn has come, again.
        case due
        case sent
        case cutting(NamespaceResult)
        /// It is done; attributes are asked for that are not behind what clients have been told.
        case showing(NamespaceResult)
    }

    let target: FileID
    let operation: NamespaceOperation
    /// Of a SETATTR.
    let file: FileState?
    private var state = State.new

    init(
        id: OperationID, caller: Caller, began: Instant, target: FileID, operation: NamespaceOperation, file: FileState?
    ) {
        self.target = target
        self.operation = operation
        self.file = file
        super.init(id: id, caller: caller, began: began)
    }

    override var fileState: FileState? { file }

    private var changes: AttributeChanges? {
        if case .setAttributes(_, let changes, _) = operation { changes } else { nil }
    }
    private var changesSize: Bool { changes?.size != nil }

    override func advance(_ gateway: GatewayMachine) {
        if isFinished { return }
        switch state {
        case .sent, .cutting, .completing, .showing: return
        case .due: break
        case .new:
            guard gateway.liveFileset(target.fileset) != nil else {
                return gateway.finish(self, .failure(.namespace(.stale)))
            }
            if changesSize, let file {
                state = .queued
                file.sizeChanges.append(self)
                if file.sizeChanges.count > 1 { return }
            }
        case .queued:
            guard file?.sizeChanges.first === self else { return }
        }
        if operation.fixesTimes, let file, !gateway.isSettled(file, for: self) { return }
        state = .sent
        gateway.mutate(.mutate(self), target.fileset, operation, .stable, as: caller)
    }

    override func giveUp(_ gateway: GatewayMachine) {
        switch state {
        case .new, .queued, .due: finish(.failure(.unavailable), gateway)
        // The request has been given up before; what is decided is carried through.
        case .sent, .cutting, .completing, .showing: break
        }
    }

    func answered(_ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ gateway: GatewayMachine) {
        if operation.fixesTimes, let file = file ?? existing(result, gateway) { gateway.timesSet(file, result) }
        switch result {
        case .failure(let failure): finish(.failure(failure), gateway)
        case .success((let result, _)):
            // What else is known of the inode may come from before this change.
            if let changed = result.inode?.attributes.file, let known = gateway.knownFile(changed) {
                if let hint = result.inode?.hint { gateway.forgetHint(known, truncation: hint.truncation.number) }
                known.inode = nil
            }
            guard let deletion = result.deletion else { return succeed(result, gateway) }
            if result.failure == .cutUnfinished {
                state = .completing
                return gateway.execute(deletion, for: self)
            }
            if let known = gateway.knownFile(deletion.file) { known.inode = nil }
            switch deletion.kind {
            case .truncation:
                state = .cutting(result)
                gateway.execute(deletion, for: self)
            case .removal:
                succeed(result, gateway)
                gateway.execute(deletion, for: nil)
            }
        }
    }

    /// Of a CREATE that found its name, the file that is known here.
    private func existing(
        _ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ gateway: GatewayMachine
    ) -> FileState? {
        guard case .success((let result, _)) = result, let inode = result.inode else { return nil }
        return gateway.knownFile(inode.attributes.file)
    }

    /// Every group of the cut range has the truncation: this operation's, or the one that it had to wait for.
    func cutEnded(_ failure: FileFailure?, _ gateway: GatewayMachine) {
        switch state {
        case .cutting(let result):
            if let failure { finish(.failure(failure), gateway) } else { succeed(result, gateway) }
        case .completing:
            if let failure { return finish(.failure(failure), gateway) }
            // Behind the entry that ends the earlier cut, which went out before.
            state = .due
            if !gateway.redoLater(self) { finish(.failure(.ioError), gateway) }
        case .new, .queued, .due, .sent, .showing: break
        }
    }

    private func succeed(_ result: NamespaceResult, _ gateway: GatewayMachine) {
        guard let inode = result.inode, gateway.isBehindShown(inode) else {
            return finish(.success(.result(result)), gateway)
        }
        state = .showing(result)
        gateway.question(
            .shown(self), target.fileset, .attributes(inode: inode.attributes.file.inode), as: .superuser, from: .none)
    }

    func shown(_ answer: Result<NamespaceAnswer, FileFailure>, _ gateway: GatewayMachine) {
        guard case .showing(var result) = state else { return }
        if case .success(.inode(let inode)) = answer {
            gateway.wasShown(inode.attributes)
            result.inode = inode
        }
        finish(.success(.result(result)), gateway)
    }

    private func finish(_ result: Result<FileAnswer, FileFailure>, _ gateway: GatewayMachine) {
        if changesSize, let file {
            file.sizeChanges.removeAll { $0 === self }
            gateway.finish(self, result)
            file.sizeChanges.first?.advance(gateway)
        } else {
            gateway.finish(self, result)
        }
    }
}

/// An operation whose answer is known when it begins.
final class DecidedOperation: Operation {
    let result: Result<FileAnswer, FileFailure>
    init(id: OperationID, caller: Caller, began: Instant, result: Result<FileAnswer, FileFailure>) {
        self.result = result
        super.init(id: id, caller: caller, began: began)
    }
    override func advance(_ gateway: GatewayMachine) { gateway.finish(self, result) }
}
