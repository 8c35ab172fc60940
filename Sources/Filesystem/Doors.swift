import ClusterModel
import Gateway
import NIOCore
import Wire

/// The operations of every door, each of which is one request to the gateway machine and one shape of its answer.
extension ClusterFilesystem {
    public func lookup(
        _ context: CallContext, directory: FileID, name: FileName, done: @escaping Reply<LookupResult>
    ) {
        ask(.lookup, context, .lookup(directory: directory, name: name), done) { Self.found($0) }
    }

    public func parent(_ context: CallContext, directory: FileID, done: @escaping Reply<LookupResult>) {
        ask(.parent, context, .parent(directory: directory), done) { Self.found($0) }
    }

    public func attributes(_ context: CallContext, of file: FileID, done: @escaping Reply<Inode>) {
        ask(.attributes, context, .attributes(file), done) { answer in
            if case .inode(let inode) = answer { inode } else { nil }
        }
    }

    public func setAttributes(
        _ context: CallContext, of file: FileID, changes: AttributeChanges, guardTime: Timestamp?,
        done: @escaping Reply<NamespaceResult>
    ) {
        ask(.setAttributes, context, .setAttributes(file, changes, guardTime: guardTime), done) { Self.result($0) }
    }

    public func access(
        _ context: CallContext, to file: FileID, rights: AccessRights,
        done: @escaping Reply<(AccessRights, FileAttributes)>
    ) {
        ask(.access, context, .access(file, rights), done) { answer in
            if case .access(let rights, let attributes) = answer { (rights, attributes) } else { nil }
        }
    }

    public func readSymbolicLink(
        _ context: CallContext, of file: FileID, done: @escaping Reply<([UInt8], FileAttributes)>
    ) {
        ask(.readSymbolicLink, context, .readSymbolicLink(file), done) { answer in
            if case .symbolicLink(let target, let attributes) = answer { (target, attributes) } else { nil }
        }
    }

    public func read(
        _ context: CallContext, from file: FileID, offset: UInt64, count: Int, done: @escaping Reply<ReadResult>
    ) {
        ask(.read, context, .read(file, offset: offset, count: count), done) { [self] answer in
            guard case .read(let pieces, let end) = answer else { return nil }
            let bytes = assemble(pieces)
            metrics.read(bytes: bytes.readableBytes)
            return ReadResult(data: bytes, end: end == .reached ? .reached : .notReached)
        }
    }

    public func write(
        _ context: CallContext, to file: FileID, offset: UInt64, data: ByteBuffer, durability: WriteDurability,
        done: @escaping Reply<WriteResult>
    ) {
        // The payload's handle is its operation's number.
        let id = nextID()
        let request = FileRequest.write(
            file, offset: offset, PayloadHandle(id: id, length: data.readableBytes),
            zeros: ZeroScan.runs(in: data, at: offset), durability)
        ask(.write, context, request, id: id, payload: data, done) { [self] answer in
            guard case .written(let count, let stamp) = answer else { return nil }
            metrics.wrote(bytes: count)
            return WriteResult(count: count, stamp: stamp)
        }
    }

    public func commit(
        _ context: CallContext, file: FileID, offset: UInt64, count: UInt64, done: @escaping Reply<CommitResult>
    ) {
        ask(.commit, context, .commit(file, offset: offset, count: count), done) { answer in
            if case .committed(let stamp) = answer { CommitResult(stamp: stamp) } else { nil }
        }
    }

    public func create(
        _ context: CallContext, in directory: FileID, name: FileName, file: NewFile, attributes: AttributeChanges,
        done: @escaping Reply<NamespaceResult>
    ) {
        ask(.create, context, .create(directory: directory, name, file, attributes), done) { Self.result($0) }
    }

    public func remove(
        _ context: CallContext, in directory: FileID, name: FileName, done: @escaping Reply<NamespaceResult>
    ) {
        ask(.remove, context, .remove(directory: directory, name), done) { Self.result($0) }
    }

    public func removeDirectory(
        _ context: CallContext, in directory: FileID, name: FileName, done: @escaping Reply<NamespaceResult>
    ) {
        ask(.removeDirectory, context, .removeDirectory(directory: directory, name), done) { Self.result($0) }
    }

    public func rename(
        _ context: CallContext, from directory: FileID, name: FileName, to newDirectory: FileID, newName: FileName,
        done: @escaping Reply<NamespaceResult>
    ) {
        ask(.rename, context, .rename(from: directory, name, to: newDirectory, newName), done) { Self.result($0) }
    }

    public func link(
        _ context: CallContext, file: FileID, in directory: FileID, name: FileName,
        done: @escaping Reply<NamespaceResult>
    ) {
        ask(.link, context, .link(file, directory: directory, name), done) { Self.result($0) }
    }

    public func list(
        _ context: CallContext, directory: FileID, cookie: UInt64, limit: Int, detail: ListDetail,
        done: @escaping Reply<ListResult>
    ) {
        let request = FileRequest.list(directory: directory, cookie: cookie, limit: limit, detail)
        ask(.list, context, request, done) { answer in
            guard case .entries(let entries, let directory, let end) = answer else { return nil }
            return ListResult(entries: entries, directory: directory, end: end)
        }
    }

    public func usage(_ context: CallContext, of file: FileID, done: @escaping Reply<FilesystemUsage>) {
        ask(.usage, context, .usage(file), done) { [self] answer in
            guard case .usage(let used, let quota) = answer else { return nil }
            let copies = UInt64(max(service.view.map.policy.copies, 1))
            let (total, free) = service.capacity
            // Inodes are bounded by space only: as many as blocks.
            let block = UInt64(Geometry.blockSize)
            var (totalBytes, freeBytes) = (total / copies, free / copies)
            // A quota is the size of the fileset, as far as the disks have room for it.
            if let most = quota.bytes {
                freeBytes = min(freeBytes, most > used.bytes ? most - used.bytes : 0)
                totalBytes = used.bytes + freeBytes
            }
            var freeInodes = free / copies / block
            if let most = quota.inodes { freeInodes = min(freeInodes, most > used.inodes ? most - used.inodes : 0) }
            return FilesystemUsage(
                totalBytes: totalBytes, freeBytes: freeBytes, availableBytes: freeBytes,
                totalInodes: used.inodes + freeInodes, freeInodes: freeInodes)
        }
    }

    /// `shape` gives nil for an answer of another kind, which the machine never gives.
    private func ask<T>(
        _ kind: OperationKind, _ context: CallContext, _ request: FileRequest, id: UInt64? = nil,
        payload: ByteBuffer? = nil, _ done: @escaping Reply<T>, _ shape: @escaping (FileAnswer) -> T?
    ) {
        begin(kind, context, request, id: id, payload: payload) { result in
            switch result {
            case .success(let answer):
                guard let value = shape(answer) else { preconditionFailure("each request has one kind of answer") }
                done(.success(value))
            case .failure(.namespace(let failure)): done(.failure(.namespace(failure)))
            case .failure(.unavailable): done(.failure(.unavailable))
            case .failure(.ioError): done(.failure(.ioError))
            }
        }
    }

    private static func found(_ answer: FileAnswer) -> LookupResult? {
        if case .found(let inode, let directory) = answer {
            LookupResult(inode: inode, directory: directory)
        } else {
            nil
        }
    }

    private static func result(_ answer: FileAnswer) -> NamespaceResult? {
        if case .result(let result) = answer { result } else { nil }
    }
}
