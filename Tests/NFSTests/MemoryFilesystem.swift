import ClusterModel
import Filesystem
import NIOCore
import Wire

/// A file system in memory behind the VFS interface: the slow, obvious one that the door is tested on. Lives on its loop.
final class MemoryFilesystem: VirtualFilesystem {
    func dataBuffer(capacity: Int) -> ByteBuffer { ByteBufferAllocator().buffer(capacity: capacity) }

    final class Node {
        var attributes: FileAttributes
        var parent: FileID
        var entries: [(name: FileName, file: FileID, cookie: UInt64)] = []
        var nextCookie: UInt64 = 3
        var target: [UInt8] = []
        /// Pieces of 64 KiB by number; absent is zero.
        var pieces: [UInt64: [UInt8]] = [:]
        var verifier: UInt64?
        init(_ attributes: FileAttributes, parent: FileID) {
            self.attributes = attributes
            self.parent = parent
        }
    }

    static let pieceBytes: UInt64 = 65536
    let eventLoop: any EventLoop
    private(set) var nodes: [FileID: Node] = [:]
    private var nextInode: UInt64 = 2
    private var clock: Int64 = 1_700_000_000_000_000_000
    private var firstAnswers: [CallIdentity: NamespaceResult] = [:]
    private var waiting: [(asker: ObjectIdentifier?, body: () -> Void)] = []
    private var abandoned: Set<ObjectIdentifier> = []

    /// While true no call of the kind is answered; `release` answers them.
    var holdsWrites = false
    var holdsAll = false
    /// Stamps of WRITE and COMMIT.
    var writeStamp = LossNumber(1)
    var commitStamp = LossNumber(1)
    /// What every call fails with.
    var failure: VFSFailure?
    /// Executions, retransmissions that were recognised not counted.
    private(set) var executed: [String: Int] = [:]
    private(set) var lastCredentials: Credentials?
    private(set) var lastDurability: Durability?
    private(set) var calls = 0

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        nodes[Self.root] = Node(fresh(.directory, mode: 0o755, file: Self.root), parent: Self.root)
    }

    static let root = FileID(fileset: .root, inode: .root)

    func release() {
        holdsWrites = false
        holdsAll = false
        let ready = waiting
        waiting = []
        for one in ready { one.body() }
    }

    func abandoned(by askers: Set<ObjectIdentifier>) { abandoned.formUnion(askers) }
    func wanted(by asker: ObjectIdentifier) { abandoned.remove(asker) }
    /// Of what is held, for which nobody waits, as the door says.
    var heldForNobody: Int { waiting.count { $0.asker.map(abandoned.contains) ?? false } }

    /// Answers the one that has waited longest.
    func releaseOne() {
        guard !waiting.isEmpty else { return }
        waiting.removeFirst().body()
    }

    var held: Int { waiting.count }
    /// The users of all writes, in the order of coming.
    private(set) var writers: [UInt32] = []

    // MARK: Helpers

    private func tick() -> Timestamp {
        clock += 1000
        return Timestamp(nanoseconds: clock)
    }

    private func fresh(_ kind: FileKind, mode: UInt16, file: FileID) -> FileAttributes {
        let now = tick()
        return FileAttributes(
            kind: kind, mode: mode, linkCount: kind == .directory ? 2 : 1, uid: 0, gid: 0,
            size: kind == .directory ? 4096 : 0,
            used: 0, device: DeviceNumber(major: 0, minor: 0), file: file, generation: file.inode.rawValue &* 7919,
            accessTime: now, modificationTime: now, changeTime: now, changeCounter: 1)
    }

    private func run(_ name: String, _ context: CallContext, isWrite: Bool = false, _ body: @escaping () -> Void) {
        calls += 1
        executed[name, default: 0] += 1
        lastCredentials = context.credentials
        if holdsAll || (isWrite && holdsWrites) {
            waiting.append((context.asker, body))
        } else {
            body()
        }
    }

    private func permits(_ node: Node, _ c: Credentials, _ bit: UInt16) -> Bool {
        if c.uid == 0 { return true }
        let a = node.attributes
        let shift: UInt16 = a.uid == c.uid ? 6 : (a.gid == c.gid || c.groups.contains(a.gid)) ? 3 : 0
        return a.mode >> shift & bit == bit
    }

    private func node(_ file: FileID, directory: Bool = false) -> Result<Node, VFSFailure> {
        if let failure { return .failure(failure) }
        guard let node = nodes[file] else { return .failure(.namespace(.stale)) }
        if directory && node.attributes.kind != .directory { return .failure(.namespace(.notDirectory)) }
        return .success(node)
    }

    private func inode(_ node: Node) -> Inode { Inode(attributes: node.attributes, hint: nil) }

    private func change(_ node: Node, _ body: (Node) -> Void) -> DirectoryChange {
        let before = node.attributes
        body(node)
        let now = tick()
        node.attributes.modificationTime = now
        node.attributes.changeTime = now
        node.attributes.changeCounter += 1
        return DirectoryChange(before: before, after: node.attributes)
    }

    /// A namespace change: executed once per identity, the first answer kept.
    private func mutate(
        _ name: String, _ context: CallContext, done: @escaping Reply<NamespaceResult>,
        _ body: @escaping () -> Result<NamespaceResult, VFSFailure>
    ) {
        if let call = context.call, let first = firstAnswers[call] { return done(.success(first)) }
        run(name, context) {
            if let failure = self.failure { return done(.failure(failure)) }
            let result = body()
            if let call = context.call, case .success(let value) = result { self.firstAnswers[call] = value }
            done(result)
        }
    }

    // MARK: The interface

    func lookup(_ context: CallContext, directory: FileID, name: FileName, done: @escaping Reply<LookupResult>) {
        run("lookup", context) {
            done(
                self.node(directory, directory: true).flatMap { parent in
                    guard self.permits(parent, context.credentials, 1) else {
                        return .failure(.namespace(.accessDenied))
                    }
                    guard let entry = parent.entries.first(where: { $0.name == name }),
                        let node = self.nodes[entry.file]
                    else { return .failure(.namespace(.notFound)) }
                    return .success(LookupResult(inode: self.inode(node), directory: parent.attributes))
                })
        }
    }

    func parent(_ context: CallContext, directory: FileID, done: @escaping Reply<LookupResult>) {
        run("parent", context) {
            done(
                self.node(directory, directory: true).flatMap { node in
                    guard self.permits(node, context.credentials, 1) else { return .failure(.namespace(.accessDenied)) }
                    guard let parent = self.nodes[node.parent] else { return .failure(.namespace(.stale)) }
                    return .success(LookupResult(inode: self.inode(parent), directory: node.attributes))
                })
        }
    }

    func attributes(_ context: CallContext, of file: FileID, done: @escaping Reply<Inode>) {
        run("attributes", context) { done(self.node(file).map(self.inode)) }
    }

    func setAttributes(
        _ context: CallContext, of file: FileID, changes: AttributeChanges, guardTime: Timestamp?,
        done: @escaping Reply<NamespaceResult>
    ) {
        mutate("setAttributes", context, done: done) {
            self.node(file).map { node in
                let before = node.attributes
                let same = DirectoryChange(before: before, after: before)
                if let guardTime, guardTime != before.changeTime {
                    return NamespaceResult(failure: .notSynchronized, directory: same)
                }
                if context.credentials.uid != 0 && context.credentials.uid != before.uid {
                    return NamespaceResult(failure: .notPermitted, directory: same)
                }
                self.apply(changes, to: node)
                return NamespaceResult(
                    inode: self.inode(node), directory: DirectoryChange(before: before, after: node.attributes))
            }
        }
    }

    private func apply(_ changes: AttributeChanges, to node: Node) {
        if let mode = changes.mode { node.attributes.mode = mode }
        if let uid = changes.uid { node.attributes.uid = uid }
        if let gid = changes.gid { node.attributes.gid = gid }
        if let size = changes.size, node.attributes.kind == .regular {
            if size < node.attributes.size { cut(node, to: size) }
            node.attributes.size = size
        }
        let now = tick()
        node.attributes.changeTime = now
        switch changes.accessTime {
        case .now: node.attributes.accessTime = now
        case .to(let time): node.attributes.accessTime = time
        case nil: break
        }
        switch changes.modificationTime {
        case .now: node.attributes.modificationTime = now
        case .to(let time): node.attributes.modificationTime = time
        case nil: break
        }
    }

    private func cut(_ node: Node, to size: UInt64) {
        for key in node.pieces.keys {
            let start = key * Self.pieceBytes
            if start >= size {
                node.pieces[key] = nil
            } else if start + Self.pieceBytes > size {
                for i in Int(size - start)..<Int(Self.pieceBytes) { node.pieces[key]?[i] = 0 }
            }
        }
    }

    func access(
        _ context: CallContext, to file: FileID, rights: AccessRights,
        done: @escaping Reply<(AccessRights, FileAttributes)>
    ) {
        run("access", context) {
            done(
                self.node(file).map { node in
                    var granted: AccessRights = []
                    if self.permits(node, context.credentials, 4) { granted.insert(.read) }
                    if self.permits(node, context.credentials, 2) { granted.formUnion([.modify, .extend, .delete]) }
                    if self.permits(node, context.credentials, 1) { granted.formUnion([.lookup, .execute]) }
                    return (granted.intersection(rights), node.attributes)
                })
        }
    }

    func readSymbolicLink(_ context: CallContext, of file: FileID, done: @escaping Reply<([UInt8], FileAttributes)>) {
        run("readlink", context) {
            done(
                self.node(file).flatMap { node in
                    node.attributes.kind == .symbolicLink
                        ? .success((node.target, node.attributes)) : .failure(.namespace(.invalid))
                })
        }
    }

    func read(_ context: CallContext, from file: FileID, offset: UInt64, count: Int, done: @escaping Reply<ReadResult>)
    {
        run("read", context) {
            done(
                self.node(file).flatMap { node in
                    guard self.permits(node, context.credentials, 4) else { return .failure(.namespace(.accessDenied)) }
                    let size = node.attributes.size
                    let end = min(offset + UInt64(count), size)
                    var data = ByteBuffer()
                    var at = min(offset, end)
                    while at < end {
                        let within = Int(at % Self.pieceBytes)
                        let take = min(Int(end - at), Int(Self.pieceBytes) - within)
                        if let piece = node.pieces[at / Self.pieceBytes] {
                            data.writeBytes(piece[within..<within + take])
                        } else {
                            data.writeRepeatingByte(0, count: take)
                        }
                        at += UInt64(take)
                    }
                    return .success(ReadResult(data: data, end: end >= size ? .reached : .notReached))
                })
        }
    }

    func write(
        _ context: CallContext, to file: FileID, offset: UInt64, data: ByteBuffer, durability: WriteDurability,
        done: @escaping Reply<WriteResult>
    ) {
        lastDurability = durability
        writers.append(context.credentials.uid)
        run("write", context, isWrite: true) {
            done(
                self.node(file).flatMap { node in
                    guard self.permits(node, context.credentials, 2) else { return .failure(.namespace(.accessDenied)) }
                    guard node.attributes.kind == .regular else { return .failure(.namespace(.invalid)) }
                    var at = offset
                    var rest = data.readableBytesView
                    while !rest.isEmpty {
                        let within = Int(at % Self.pieceBytes)
                        let part = rest.prefix(Int(Self.pieceBytes) - within)
                        node.pieces[at / Self.pieceBytes, default: [UInt8](repeating: 0, count: Int(Self.pieceBytes))]
                            .replaceSubrange(within..<within + part.count, with: part)
                        at += UInt64(part.count)
                        rest = rest.dropFirst(part.count)
                    }
                    node.attributes.size = max(node.attributes.size, offset + UInt64(data.readableBytes))
                    node.attributes.used = UInt64(node.pieces.count) * Self.pieceBytes
                    node.attributes.modificationTime = self.tick()
                    return .success(WriteResult(count: data.readableBytes, stamp: self.writeStamp))
                })
        }
    }

    func commit(
        _ context: CallContext, file: FileID, offset: UInt64, count: UInt64, done: @escaping Reply<CommitResult>
    ) {
        run("commit", context) { done(self.node(file).map { _ in CommitResult(stamp: self.commitStamp) }) }
    }

    func create(
        _ context: CallContext, in directory: FileID, name: FileName, file: NewFile, attributes: AttributeChanges,
        done: @escaping Reply<NamespaceResult>
    ) {
        mutate("create", context, done: done) {
            self.node(directory, directory: true).map { parent in
                let same = DirectoryChange(before: parent.attributes, after: parent.attributes)
                if let entry = parent.entries.first(where: { $0.name == name }), let node = self.nodes[entry.file] {
                    switch file {
                    case .regular(.unchecked) where node.attributes.kind == .regular:
                        self.apply(attributes, to: node)
                        return NamespaceResult(inode: self.inode(node), directory: same)
                    case .regular(.exclusive(let verifier)) where node.verifier == verifier:
                        return NamespaceResult(inode: self.inode(node), directory: same)
                    case .regular, .directory, .symbolicLink, .device, .fifo, .socket:
                        return NamespaceResult(failure: .exists, directory: same)
                    }
                }
                guard self.permits(parent, context.credentials, 3) else {
                    return NamespaceResult(failure: .accessDenied, directory: same)
                }
                let id = FileID(fileset: directory.fileset, inode: InodeNumber(self.nextInode))
                self.nextInode += 1
                let node: Node
                switch file {
                case .regular(let mode):
                    node = Node(self.fresh(.regular, mode: 0o644, file: id), parent: directory)
                    if case .exclusive(let verifier) = mode { node.verifier = verifier }
                case .directory: node = Node(self.fresh(.directory, mode: 0o755, file: id), parent: directory)
                case .symbolicLink(let target):
                    node = Node(self.fresh(.symbolicLink, mode: 0o777, file: id), parent: directory)
                    node.target = target
                    node.attributes.size = UInt64(target.count)
                case .device(let kind, let device):
                    node = Node(self.fresh(kind, mode: 0o644, file: id), parent: directory)
                    node.attributes.device = device
                case .fifo: node = Node(self.fresh(.fifo, mode: 0o644, file: id), parent: directory)
                case .socket: node = Node(self.fresh(.socket, mode: 0o644, file: id), parent: directory)
                }
                node.attributes.uid = context.credentials.uid
                node.attributes.gid = context.credentials.gid
                self.apply(attributes, to: node)
                self.nodes[id] = node
                let moved = self.change(parent) {
                    $0.entries.append((name, id, $0.nextCookie))
                    $0.nextCookie += 1
                }
                return NamespaceResult(inode: self.inode(node), directory: moved)
            }
        }
    }

    private func takeOut(_ directory: FileID, _ name: FileName, isDirectory: Bool) -> Result<
        NamespaceResult, VFSFailure
    > {
        node(directory, directory: true).map { parent in
            let same = DirectoryChange(before: parent.attributes, after: parent.attributes)
            guard let i = parent.entries.firstIndex(where: { $0.name == name }),
                let node = nodes[parent.entries[i].file]
            else { return NamespaceResult(failure: .notFound, directory: same) }
            if isDirectory != (node.attributes.kind == .directory) {
                return NamespaceResult(failure: isDirectory ? .notDirectory : .isDirectory, directory: same)
            }
            if isDirectory && !node.entries.isEmpty { return NamespaceResult(failure: .notEmpty, directory: same) }
            node.attributes.linkCount -= 1
            if isDirectory || node.attributes.linkCount == 0 { nodes[node.attributes.file] = nil }
            return NamespaceResult(directory: change(parent) { _ = $0.entries.remove(at: i) })
        }
    }

    func remove(_ context: CallContext, in directory: FileID, name: FileName, done: @escaping Reply<NamespaceResult>) {
        mutate("remove", context, done: done) { self.takeOut(directory, name, isDirectory: false) }
    }

    func removeDirectory(
        _ context: CallContext, in directory: FileID, name: FileName, done: @escaping Reply<NamespaceResult>
    ) {
        mutate("removeDirectory", context, done: done) { self.takeOut(directory, name, isDirectory: true) }
    }

    func rename(
        _ context: CallContext, from directory: FileID, name: FileName, to newDirectory: FileID, newName: FileName,
        done: @escaping Reply<NamespaceResult>
    ) {
        mutate("rename", context, done: done) {
            self.node(directory, directory: true).flatMap { from in
                self.node(newDirectory, directory: true).map { to in
                    guard let i = from.entries.firstIndex(where: { $0.name == name }) else {
                        return NamespaceResult(
                            failure: .notFound,
                            directory: DirectoryChange(before: from.attributes, after: from.attributes))
                    }
                    let file = from.entries[i].file
                    let first = self.change(from) { _ = $0.entries.remove(at: i) }
                    let second = self.change(to) {
                        $0.entries.removeAll { $0.name == newName }
                        $0.entries.append((newName, file, $0.nextCookie))
                        $0.nextCookie += 1
                    }
                    self.nodes[file]?.parent = newDirectory
                    return NamespaceResult(directory: first, secondDirectory: from === to ? nil : second)
                }
            }
        }
    }

    func link(
        _ context: CallContext, file: FileID, in directory: FileID, name: FileName,
        done: @escaping Reply<NamespaceResult>
    ) {
        mutate("link", context, done: done) {
            self.node(file).flatMap { node in
                self.node(directory, directory: true).map { parent in
                    if parent.entries.contains(where: { $0.name == name }) {
                        return NamespaceResult(
                            failure: .exists,
                            directory: DirectoryChange(before: parent.attributes, after: parent.attributes))
                    }
                    node.attributes.linkCount += 1
                    let moved = self.change(parent) {
                        $0.entries.append((name, file, $0.nextCookie))
                        $0.nextCookie += 1
                    }
                    return NamespaceResult(inode: self.inode(node), directory: moved)
                }
            }
        }
    }

    func list(
        _ context: CallContext, directory: FileID, cookie: UInt64, limit: Int, detail: ListDetail,
        done: @escaping Reply<ListResult>
    ) {
        precondition((1...512).contains(limit), "the interface asks for 1 to 512 entries")
        run("list", context) {
            done(
                self.node(directory, directory: true).flatMap { node in
                    guard self.permits(node, context.credentials, 4) else { return .failure(.namespace(.accessDenied)) }
                    let rest = node.entries.filter { $0.cookie > cookie }
                    let entries = rest.prefix(limit).map { entry in
                        DirectoryEntry(
                            name: entry.name, inode: entry.file.inode, cookie: entry.cookie,
                            details: detail == .names ? nil : self.nodes[entry.file].map(self.inode))
                    }
                    return .success(
                        ListResult(
                            entries: Array(entries), directory: node.attributes,
                            end: rest.count > limit ? .more : .reached))
                })
        }
    }

    /// As in the cluster it is the fileset's, and does not look at the file.
    func usage(_ context: CallContext, of file: FileID, done: @escaping Reply<FilesystemUsage>) {
        run("usage", context) {
            done(
                .success(
                    FilesystemUsage(
                        totalBytes: 1 << 40, freeBytes: 1 << 39, availableBytes: 1 << 38, totalInodes: 1 << 20,
                        freeInodes: 1 << 19)))
        }
    }
}
