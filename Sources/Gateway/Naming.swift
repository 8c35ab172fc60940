import ClusterModel
import Wire

/// A question to a metadata group; with a second one where a junction is crossed.
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
        guard gateway.liveFileset(target.fileset) != nil else {
            return gateway.finish(self, .failure(.namespace(.stale)))
        }
        if let settles, !gateway.isSettled(settles, for: self) { return }
        isSent = true
        ask(target.fileset, query, gateway)
    }

    private func ask(_ fileset: FilesetID, _ query: NamespaceQuery, _ gateway: GatewayMachine) {
        gateway.question(.query(self), fileset, query, as: caller.credentials)
    }

    func answered(_ answer: Result<NamespaceAnswer, FileFailure>, _ call: PGCall, _ gateway: GatewayMachine) {
        switch answer {
        case .failure(let failure): gateway.finish(self, .failure(failure))
        case .success(let answer): take(answer, call, gateway)
        }
    }

    private func take(_ answer: NamespaceAnswer, _ call: PGCall, _ gateway: GatewayMachine) {
        switch answer {
        case .failed(let failure): gateway.finish(self, .failure(.namespace(failure)))
        case .found(let inode, let directory):
            gateway.learn(inode, from: call)
            gateway.finish(self, .success(.found(gateway.shown(inode, of: call), directory: directory)))
        case .inode(let inode):
            gateway.learn(inode, from: call)
            if let directory {
                gateway.finish(self, .success(.found(gateway.shown(inode, of: call), directory: directory)))
            } else {
                gateway.finish(self, .success(.inode(gateway.shown(inode, of: call))))
            }
        case .access(let rights, let attributes):
            guard case .attributes(let file) = second else {
                return gateway.finish(self, .success(.access(rights, gateway.shown(attributes, of: call))))
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
                // Another fileset is joined there: a client that took the folder below it would write where nobody looks.
                entry.details =
                    covered.contains(entry.name.bytes) ? nil : entry.details.map { gateway.shown($0, of: call) }
                return entry
            }
            gateway.finish(self, .success(.entries(shown, directory: directory, end)))
        case .usage(let usage, let quota): gateway.finish(self, .success(.usage(usage, quota)))
        case .deletions, .measurable, .allocation:
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
        case .sent, .cutting, .completing: return
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

    func answered(
        _ result: Result<(NamespaceResult, LossNumber), FileFailure>, _ call: PGCall, _ gateway: GatewayMachine
    ) {
        if operation.fixesTimes, let file = file ?? existing(result, gateway) { gateway.timesSet(file, result) }
        switch result {
        case .failure(let failure): finish(.failure(failure), gateway)
        case .success((var result, _)):
            result.inode = result.inode.map { gateway.shown($0, of: call) }
            // What else is known of the inode may come from before this change.
            if let changed = result.inode?.attributes.file, let known = gateway.knownFile(changed) {
                if let hint = result.inode?.hint { gateway.forgetHint(known, truncation: hint.truncation.number) }
                known.inode = nil
            }
            guard let deletion = result.deletion else { return finish(.success(.result(result)), gateway) }
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
                finish(.success(.result(result)), gateway)
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
            if let failure { finish(.failure(failure), gateway) } else { finish(.success(.result(result)), gateway) }
        case .completing:
            if let failure { return finish(.failure(failure), gateway) }
            // Behind the entry that ends the earlier cut, which went out before.
            state = .due
            if !gateway.redoLater(self) { finish(.failure(.ioError), gateway) }
        case .new, .queued, .due, .sent: break
        }
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
