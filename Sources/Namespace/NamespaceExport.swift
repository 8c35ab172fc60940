import ClusterModel
import Wire

/// A part of what a learner is sent (replication.md, 13). All parts together are the rows as of one n.
public struct ExportPiece: Hashable, Sendable {
    /// To be put or deleted, in this order.
    public var rows: [ChangedRow]
    public var replies: [KeptReply]
    /// The encoded `FilesetState`, in the last piece only: everything sent is as of its `applied`.
    public var state: [UInt8]?
    public init(rows: [ChangedRow] = [], replies: [KeptReply] = [], state: [UInt8]? = nil) {
        self.rows = rows
        self.replies = replies
        self.state = state
    }
}

/// What an export covers.
public enum ExportScope: Hashable, Sendable {
    /// What changed after entry n, the fork point.
    case changes(after: UInt64)
    /// Everything, because tombstones that the learner would need are gone, or because it has nothing. The learner empties
    /// its rows first; `horizon` becomes its tombstone horizon: tombstones of entries through it are not sent.
    case everything(horizon: UInt64)
}

/// Sends a learner what it lacks, between batches, piece by piece, while the primary goes on.
///
/// Rows are sent in the order of their versions. A row that changes after it was sent gets a greater version, and so is
/// sent again; the last piece is the one that reaches the end, and then the rows are those of the state that it carries:
/// as of one n, though no read transaction was held open (one connection can hold none while it writes).
///
/// Replies are sent in the order of their entries. What replaces one has a later entry, and so is sent, too, and replaces it at
/// the learner; only the end of a session's window changes replies that were sent. Those are sent once more before the last
/// piece ends: as they are now, or as a reply that nothing finds.
public struct NamespaceExport: Sendable {
    public let scope: ExportScope
    /// The last entry in the rows at its beginning, for an export of everything; else the fork. Tombstones of later entries
    /// must stay until it has ended.
    public let begun: UInt64
    private var position: ChangePosition
    private var reply: UInt64 = 0
    private var extra: Queue<NamespaceKey>
    /// Replies that were sent, by the session whose window had them; at most as many as there are replies, 8 bytes each.
    private var sent: [SessionID: [UInt64]] = [:]
    /// Replies that the end of a window has changed since they were sent.
    private var again = Queue<UInt64>()

    /// `fork`: the n of the last entry that both have, 0 for a learner that has nothing. `changedByLearner`: the keys that
    /// the learner itself changed after it (`changedKeys`).
    public init(after fork: UInt64, changedByLearner: [NamespaceKey], rows: some NamespaceRowReader) throws {
        let horizon = try rows.tombstoneHorizon()
        extra = Queue()
        if fork == 0 || fork < horizon {
            begun = max(horizon, try rows.state().map { try FilesetState($0).applied.n } ?? 0)
            scope = .everything(horizon: begun)
            position = .after(version: 0)
        } else {
            begun = fork
            scope = .changes(after: fork)
            position = .after(version: fork)
            for key in changedByLearner { extra.append(key) }
        }
    }

    /// The next piece: at most `limit` bytes (1 … `NamespaceLimits.exportPiece`) and one row or reply more.
    public mutating func next(
        _ machine: NamespaceMachine, rows: some NamespaceRowReader, limit: Int = NamespaceLimits.exportPiece
    ) throws -> ExportPiece {
        var piece = ExportPiece()
        var bytes = 0
        func isFull() -> Bool { bytes >= limit }
        while !isFull(), let key = extra.popFirst() {
            let row = try rows.rows(from: key, below: NamespaceKey(bytes: key.bytes + [0]), limit: 1).first
            // What the primary does not have is deleted; its version is of no weight here.
            piece.rows.append(ChangedRow(key: key, version: row?.version ?? machine.applied.n, value: row?.value))
            bytes += key.bytes.count + (row?.value.count ?? 0)
        }
        while !isFull() {
            let changes = try rows.changes(after: position, limit: 256)
            for change in changes where !isFull() {
                position = ChangePosition(version: change.version, key: change.key)
                // The learner never had a row that was deleted before.
                if change.value == nil, change.version <= begun { continue }
                piece.rows.append(change)
                bytes += change.key.bytes.count + (change.value?.count ?? 0)
            }
            if changes.count < 256 { break }
        }
        while !isFull() {
            let replies = try rows.replies(after: reply, limit: 256)
            for kept in replies where !isFull() {
                piece.replies.append(kept)
                reply = kept.n
                bytes += kept.bytes.count
                let session = try ReplyRow(kept.bytes).session
                if session != .none { sent[session, default: []].append(kept.n) }
            }
            if replies.count < 256 { break }
        }
        for session in sent.keys.sorted() where !machine.windows.has(session) {
            for n in sent.removeValue(forKey: session) ?? [] { again.append(n) }
        }
        while !isFull(), let n = again.popFirst() {
            let row = try rows.reply(n) ?? ReplyRow.ofNobody.encoded()
            piece.replies.append(KeptReply(n: n, bytes: row))
            bytes += row.count
        }
        if !isFull() { piece.state = machine.state.encoded() }
        return piece
    }

    /// The keys that a replica changed after entry n, tombstones included, for the primary's `changedByLearner`.
    /// At most `limit`; nil when there are more, or when tombstones are gone: then the learner asks for everything.
    public static func changedKeys(
        after n: UInt64, limit: Int, rows: some NamespaceRowReader
    ) throws -> [NamespaceKey]? {
        guard try rows.tombstoneHorizon() <= n else { return nil }
        let changes = try rows.changes(after: .after(version: n), limit: limit + 1)
        return changes.count > limit ? nil : changes.map(\.key)
    }
}

/// Takes an export in, in one transaction: nothing of it is there before the last piece, and all of it after. Until then the
/// learner's old machine is not used on these rows: a commit of its own would end the transaction halfway.
public struct NamespaceInstall: Sendable {
    /// Begins: drops what the pieces will replace.
    public init(_ scope: ExportScope, rows: some NamespaceRows) throws {
        switch scope {
        case .everything(let horizon): try rows.removeEverything(horizon: horizon)
        case .changes: try rows.deleteAllReplies()
        }
    }

    /// Takes in a piece. With the last one everything is committed, and the machine to go on with is returned; the log is
    /// applied to it from its `applied` on.
    public mutating func receive(
        _ piece: ExportPiece, fileset: FilesetID, rows: some NamespaceRows
    ) throws -> NamespaceMachine? {
        for row in piece.rows {
            if let value = row.value {
                try rows.put(row.key, value, version: row.version)
            } else {
                try rows.delete(row.key, version: row.version)
            }
        }
        for reply in piece.replies { try rows.putReply(reply.n, reply.bytes) }
        guard let state = piece.state else { return nil }
        try rows.putState(state)
        try rows.commit()
        return try NamespaceMachine(fileset: fileset, rows: rows)
    }

    /// Gives up: the rows are as they were before.
    public static func abandon(rows: some NamespaceRows) throws { try rows.rollback() }
}

extension ExportPiece {
    /// Appends the wire form.
    public func encode(into w: inout WireWriter) {
        w.list(rows) { w, row in
            w.blob(row.key.bytes)
            w.u64(row.version)
            w.optional(row.value) { w, v in w.blob(v) }
        }
        w.list(replies) { w, reply in
            w.u64(reply.n)
            w.blob(reply.bytes)
        }
        w.optional(state) { w, s in w.blob(s) }
    }

    /// Reads the wire form; what is out of its bounds is refused with a sentence.
    public init(from r: inout WireReader) throws(WireError) {
        let most = NamespaceLimits.exportPiece
        rows = try r.list(atMost: most, elementBytes: 13) { r throws(WireError) in
            ChangedRow(
                key: NamespaceKey(bytes: try r.blob(atMost: NamespaceKey.maximumLength)), version: try r.u64(),
                value: try r.optional { r throws(WireError) in try r.blob(atMost: 1 << 16) })
        }
        replies = try r.list(atMost: most, elementBytes: 12) { r throws(WireError) in
            KeptReply(n: try r.u64(), bytes: try r.blob(atMost: 1 << 16))
        }
        state = try r.optional { r throws(WireError) in try r.blob(atMost: 1 << 12) }
    }
}
