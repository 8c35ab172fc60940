import ClusterModel
import Wire

/// What each request of a door becomes.
extension GatewayMachine {
    func makeOperation(_ id: OperationID, _ request: FileRequest, _ caller: Caller) -> Operation {
        switch request {
        case .lookup(let directory, let name):
            if let fileset = junction(at: directory, name.bytes) {
                return query(
                    id, caller, directory, .access(inode: directory.inode, rights: .lookup),
                    .attributes(of: FileID(fileset: fileset.id, inode: .root)))
            }
            return query(id, caller, directory, .lookup(directory: directory.inode, name: name))
        case .parent(let directory):
            guard directory.inode == .root else {
                return query(id, caller, directory, .parent(directory: directory.inode))
            }
            let outer = map?.fileset(directory.fileset)?.junction?.directory ?? directory
            return query(
                id, caller, directory, .access(inode: directory.inode, rights: .lookup), .attributes(of: outer))
        case .attributes(let file):
            return QueryOperation(
                id: id, caller: caller, began: time.now, target: file, query: .attributes(inode: file.inode),
                settles: knownFile(file))
        case .setAttributes(let file, let changes, let guardTime):
            return MutateOperation(
                id: id, caller: caller, began: time.now, target: file,
                operation: .setAttributes(inode: file.inode, changes: changes, guardTime: guardTime),
                file: changes.size != nil ? fileState(file) : knownFile(file))
        case .access(let file, let rights):
            return QueryOperation(
                id: id, caller: caller, began: time.now, target: file,
                query: .access(inode: file.inode, rights: rights), settles: knownFile(file))
        case .readSymbolicLink(let file): return query(id, caller, file, .readSymbolicLink(inode: file.inode))
        case .read(let file, let offset, let count):
            guard liveOrUnknown(file.fileset) else { return decided(id, caller, .failure(.namespace(.stale))) }
            return ReadOperation(
                id: id, caller: caller, began: time.now, file: fileState(file), offset: offset, count: count)
        case .write(let file, let offset, let payload, let zeros, let durability):
            guard liveOrUnknown(file.fileset) else { return decided(id, caller, .failure(.namespace(.stale))) }
            guard payload.length <= Geometry.maximumTransfer, areSound(zeros, offset, payload.length) else {
                return decided(id, caller, .failure(.namespace(.invalid)))
            }
            return WriteOperation(
                id: id, caller: caller, began: time.now, file: fileState(file), offset: offset, payload: payload,
                zeros: zeros, durability: durability)
        case .commit(let file, let offset, let count):
            guard liveOrUnknown(file.fileset) else { return decided(id, caller, .failure(.namespace(.stale))) }
            return CommitOperation(
                id: id, caller: caller, began: time.now, file: fileState(file), offset: offset, count: count)
        case .create(let directory, let name, let file, let attributes):
            if junction(at: directory, name.bytes) != nil { return failed(id, caller, .exists) }
            return mutation(
                id, caller, directory,
                .create(directory: directory.inode, name: name, file: file, attributes: attributes))
        case .remove(let directory, let name):
            if junction(at: directory, name.bytes) != nil { return failed(id, caller, .isDirectory) }
            return mutation(id, caller, directory, .remove(directory: directory.inode, name: name))
        case .removeDirectory(let directory, let name):
            if junction(at: directory, name.bytes) != nil { return failed(id, caller, .notEmpty) }
            return mutation(id, caller, directory, .removeDirectory(directory: directory.inode, name: name))
        case .rename(let from, let name, let to, let newName):
            if from.fileset != to.fileset || junction(at: from, name.bytes) != nil
                || junction(at: to, newName.bytes) != nil
            {
                return failed(id, caller, .crossDevice)
            }
            return mutation(
                id, caller, from, .rename(from: from.inode, name: name, to: to.inode, newName: newName))
        case .link(let file, let directory, let name):
            if file.fileset != directory.fileset { return failed(id, caller, .crossDevice) }
            if junction(at: directory, name.bytes) != nil { return failed(id, caller, .exists) }
            return mutation(id, caller, directory, .link(inode: file.inode, directory: directory.inode, name: name))
        case .list(let directory, let cookie, let limit, let detail):
            return query(
                id, caller, directory,
                .list(directory: directory.inode, cookie: cookie, limit: min(max(limit, 1), 512), detail: detail))
        case .usage(let file): return query(id, caller, file, .usage)
        }
    }

    private func query(
        _ id: OperationID, _ caller: Caller, _ target: FileID, _ query: NamespaceQuery,
        _ second: QueryOperation.Second = .none
    ) -> Operation {
        QueryOperation(id: id, caller: caller, began: time.now, target: target, query: query, second: second)
    }

    private func mutation(
        _ id: OperationID, _ caller: Caller, _ target: FileID, _ operation: NamespaceOperation
    ) -> Operation {
        MutateOperation(id: id, caller: caller, began: time.now, target: target, operation: operation, file: nil)
    }

    private func decided(_ id: OperationID, _ caller: Caller, _ result: Result<FileAnswer, FileFailure>) -> Operation {
        DecidedOperation(id: id, caller: caller, began: time.now, result: result)
    }

    private func failed(_ id: OperationID, _ caller: Caller, _ failure: NamespaceFailure) -> Operation {
        decided(id, caller, .success(.result(NamespaceResult(failure: failure))))
    }

    private func liveOrUnknown(_ id: FilesetID) -> Bool { map == nil || liveFileset(id) != nil }

    /// Ascending, apart, within the payload, and aligned in the file.
    private func areSound(_ zeros: [ZeroRun], _ offset: UInt64, _ length: Int) -> Bool {
        var last = 0
        for run in zeros {
            guard run.offset >= last, run.length > 0, run.length <= length, run.offset <= length - run.length,
                run.length % GatewayLimits.zeroRun == 0,
                (offset &+ UInt64(run.offset)) % UInt64(GatewayLimits.zeroRun) == 0
            else { return false }
            last = run.offset + run.length
        }
        return true
    }
}
