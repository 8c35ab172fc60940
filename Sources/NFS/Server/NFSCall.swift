import ClusterModel
import Filesystem
import NIOCore
import ONCRPC
import Wire

#if canImport(Glibc)
    import Glibc
#endif

/// One call on its way through the gateway: who waits for it, what it holds, and how it is answered. Lives on the
/// gateway's event loop and is answered exactly once.
final class NFSCall {
    /// Where an answer goes.
    struct Waiter {
        let connection: NFSConnection
        let xid: TransactionID
    }

    /// Which xid a repetition must have.
    enum Match {
        case same
        case any
    }

    private enum State {
        /// Its first client waits; to `sentAway` or `answered`.
        case running
        /// Its first client was told JUKEBOX; to `answered`.
        case sentAway
        case answered
    }

    let gateway: NFSGateway
    let connection: NFSConnection
    let header: RPCCall
    let caller: Caller
    let operation: Operation
    /// The whole record: header and arguments.
    let record: ByteBuffer
    /// Where in the record the arguments begin.
    let argumentsStart: Int
    let arrival: NIODeadline
    private(set) var waiters: [Waiter]
    /// Connections on which clients were told JUKEBOX and are to come again.
    private var awayOn: [NFSConnection] = []
    private var heldBytes: Int
    private var state = State.running
    private var isForBlindExport = false
    /// All who waited have gone, and the file system was told so.
    private(set) var isAbandoned = false
    private var sentAwayAt: NIODeadline?

    init(
        gateway: NFSGateway, connection: NFSConnection, header: RPCCall, caller: Caller, operation: Operation,
        record: ByteBuffer, argumentsStart: Int, heldBytes: Int, arrival: NIODeadline
    ) {
        self.gateway = gateway
        self.connection = connection
        self.header = header
        self.caller = caller
        self.operation = operation
        self.record = record
        self.argumentsStart = argumentsStart
        self.heldBytes = heldBytes
        self.arrival = arrival
        waiters = [Waiter(connection: connection, xid: header.xid)]
    }

    var vfs: any VirtualFilesystem { gateway.vfs }

    /// Whether `other` is this call once more. The stamp of AUTH_SYS (bytes 32 ..< 36 of a record with that flavor) is
    /// left out: it is no part of an identity (replication.md, 19).
    func isRepeated(by other: NFSCall, xid: Match) -> Bool {
        guard record.readableBytes == other.record.readableBytes, argumentsStart == other.argumentsStart else {
            return false
        }
        let start = xid == .same ? 0 : 4
        return record.withUnsafeReadableBytes { a in
            other.record.withUnsafeReadableBytes { b in
                switch header.credential {
                case .none: a[start...].isSame(as: b[start...])
                case .sys:
                    a[start..<32].isSame(as: b[start..<32])
                        && a[36...].isSame(as: b[36...])
                }
            }
        }
    }

    /// A repetition waits too. One answer is enough for a connection that sent the same twice; beyond the bound the one
    /// that came first gives way.
    func join(_ waiter: Waiter) {
        add(waiter)
        awayOn = []
        guard isAbandoned else { return }
        isAbandoned = false
        vfs.wanted(by: ObjectIdentifier(self))
    }

    private func add(_ waiter: Waiter) {
        if waiters.contains(where: { $0.connection === waiter.connection && $0.xid == waiter.xid }) { return }
        if waiters.count >= NFSLimits.waitersPerCall { waiters.removeFirst() }
        waiters.append(waiter)
    }

    /// A connection has ended. True when it was the last on which somebody waits, or was sent away and is to come again.
    func left(_ gone: NFSConnection) -> Bool {
        let isConcerned = waiters.contains { $0.connection === gone } || awayOn.contains { $0 === gone }
        waiters.removeAll { $0.connection === gone }
        awayOn.removeAll { $0 === gone }
        guard isConcerned, waiters.isEmpty, awayOn.isEmpty, state != .answered else { return false }
        isAbandoned = true
        return true
    }

    /// Its clients were sent away before that instant, and none has come again: their connections live, but who asked may not.
    func isOverdue(since instant: NIODeadline) -> Bool {
        guard state == .sentAway, waiters.isEmpty, !isAbandoned else { return false }
        // Whoever is not read cannot be seen to come.
        if awayOn.contains(where: \.isHeldBack) { sentAwayAt = gateway.now }
        guard let sentAwayAt, sentAwayAt < instant else { return false }
        isAbandoned = true
        return true
    }

    /// With the server's own rights.
    var superuser: CallContext { CallContext(credentials: .superuser, asker: ObjectIdentifier(self)) }

    /// The memory that an answer may take beyond what the call itself does, known once the arguments are read.
    func expectAnswer(bytes: Int) {
        heldBytes += bytes
        gateway.took(bytes: bytes, for: connection)
    }

    // MARK: Handles and identity

    /// A file of an export, as this caller may use it.
    struct Target {
        let file: FileID
        let generation: UInt64
        let export: Export
        let context: CallContext
    }

    /// Opens a handle: MAC, export, client list, access and squashing, in this order. A forged one costs no lookup.
    func resolve(_ handle: NFS3.FileHandle) -> Result<Target, NFS3.Status> {
        guard let content = gateway.codec.content(handle) else { return .failure(.badHandle) }
        guard let entry = gateway.exports[content.export] else { return .failure(.stale) }
        guard entry.admits(caller.address) else { return .failure(.access) }
        if entry.export.verifierBlind { isForBlindExport = true }
        switch (operation.permission, entry.export.access) {
        case (.write, .readOnly): return .failure(.readOnly)
        case (.write, .readWrite), (.read, _), (.none, _): break
        }
        let context = CallContext(
            credentials: caller.credentials(in: entry.export), call: identity, asker: ObjectIdentifier(self))
        return .success(
            Target(file: content.file, generation: content.generation, export: entry.export, context: context))
    }

    /// The handle of a file that was found from `target`.
    func handle(_ attributes: FileAttributes, from target: Target) -> NFS3.FileHandle {
        gateway.codec.handle(
            HandleContent(export: target.export.id, file: attributes.file, generation: attributes.generation))
    }

    private var identity: CallIdentity? {
        switch operation.repetition {
        case .harmless: return nil
        case .onceOnly:
            return record.withUnsafeReadableBytes { bytes in
                caller.identity(
                    xid: header.xid, procedure: header.procedure,
                    arguments: UnsafeRawBufferPointer(rebasing: bytes[argumentsStart...]))
            }
        }
    }

    // MARK: Answers

    /// Answers with results, and for READ with data behind them.
    func answer(_ result: some XDRCodable, data: ByteBuffer? = nil) {
        finish(gateway.answer(header.xid, .success, result, data: data))
    }

    /// Answers that the call was not executed.
    func answer(_ acceptance: RPCAcceptance) {
        finish(gateway.answer(header.xid, acceptance, NFS3.Nothing(), data: nil))
    }

    /// Answers a failure of the file system by the status that it has on this wire; a request whose outcome may not be
    /// told ends its connections instead.
    func fail<S, F>(_ failure: VFSFailure, _ form: NFS3.Result<S, F>.Type, _ rest: F) {
        if let status = NFS3.Status(failure) {
            answer(form.failed(status, rest))
        } else {
            abandon()
        }
    }

    /// Closes the connections of those who wait, without an answer: they ask again, of whoever then serves.
    func abandon() {
        for waiter in waiters { waiter.connection.close(because: "storage cannot answer") }
        finish(nil)
    }

    /// Whether its client takes JUKEBOX for what it is. libnfs makes an error of it, and so, one must suppose, do the
    /// clients of an export that is marked as theirs.
    var understandsJukebox: Bool { !caller.isLibnfs && !isForBlindExport }

    /// Tells the clients that wait to come again, and goes on.
    func sendAway() {
        guard state == .running, let away = jukebox else { return }
        state = .sentAway
        gateway.pending.wasSentAway(self)
        deliver(away)
        awayOn = waiters.map(\.connection)
        sentAwayAt = gateway.now
        waiters = []
    }

    private var jukebox: Answer? {
        guard header.program == .nfs3, let procedure = NFS3.Procedure(rawValue: header.procedure) else { return nil }
        let xid = header.xid
        let none = NFS3.CacheData()
        switch procedure {
        case .null: return nil
        case .getattr:
            return gateway.answer(xid, .success, NFS3.GetattrResult.failed(.jukebox, NFS3.Nothing()), data: nil)
        case .lookup, .access, .readlink, .read, .readdir, .readdirplus, .fsstat, .fsinfo, .pathconf:
            return gateway.answer(
                xid, .success, NFS3.LookupResult.failed(.jukebox, NFS3.PostAttributes()), data: nil)
        case .setattr, .write, .create, .mkdir, .symlink, .mknod, .remove, .rmdir, .commit:
            return gateway.answer(xid, .success, NFS3.CacheResult.failed(.jukebox, none), data: nil)
        case .rename:
            return gateway.answer(
                xid, .success, NFS3.RenameResult.failed(.jukebox, NFS3.Renamed(from: none, to: none)), data: nil)
        case .link:
            return gateway.answer(
                xid, .success, NFS3.LinkResult.failed(.jukebox, NFS3.Linked(attributes: nil, directory: none)),
                data: nil)
        }
    }

    private func finish(_ answer: Answer?) {
        precondition(state != .answered, "\(operation.name) is answered once")
        assert(
            answer.map { $0.head.readableBytes <= operation.answerBound } ?? true,
            "an answer of \(operation.name) is greater than its row of the table says")
        let wasAway = state == .sentAway
        state = .answered
        awayOn = []
        gateway.pending.ended(self, sentAway: wasAway, answer: answer, now: gateway.now)
        if let answer { deliver(answer) }
        gateway.finished(self, heldBytes: heldBytes)
        waiters = []
    }

    private func deliver(_ answer: Answer) {
        for waiter in waiters {
            waiter.connection.send(waiter.xid == header.xid ? answer : answer.renumbered(waiter.xid))
        }
    }
}

extension Slice where Base == UnsafeRawBufferPointer {
    /// Equality by memcmp; the plain `elementsEqual` of slices is a loop over bytes.
    fileprivate func isSame(as other: Slice<UnsafeRawBufferPointer>) -> Bool {
        let a = UnsafeRawBufferPointer(rebasing: self)
        let b = UnsafeRawBufferPointer(rebasing: other)
        guard a.count == b.count, let start = a.baseAddress, let otherStart = b.baseAddress else {
            return a.count == b.count
        }
        return memcmp(start, otherStart, a.count) == 0
    }
}
