import ClusterModel
import Wire

/// What a query gives, and the inodes whose moving times it shows: `AnsweredTimes` is told of them when the answer leaves.
public struct NamespaceReply: Hashable, Sendable {
    public var answer: NamespaceAnswer
    public var moving: [InodeNumber]
    /// Whether it shows an inode with a registered writer, whose times move for others, or are this writer's own.
    public var showsWriting: Bool
}

extension NamespaceMachine {
    /// Answers from the state after the last entry applied, committed or not. `now` is the primary's clock's.
    /// An error is one of the rows' or a `NamespaceFault`: the replica stops.
    public mutating func answer(
        _ question: NamespaceQuestion, at now: Timestamp, rows: some NamespaceRowReader
    ) throws -> NamespaceReply {
        var view = InodeView(fileset: state.fileset, quota: state.quotaStanding, asker: question.session, now: now)
        do {
            let answer = try answer(question.query, question.credentials, &view, rows)
            return NamespaceReply(answer: answer, moving: view.moving, showsWriting: view.showsWriting)
        } catch let failure as NamespaceFailure {
            return NamespaceReply(answer: .failed(failure), moving: [], showsWriting: false)
        }
    }

    private mutating func answer(
        _ query: NamespaceQuery, _ caller: Credentials, _ view: inout InodeView, _ rows: some NamespaceRowReader
    ) throws -> NamespaceAnswer {
        switch query {
        case .lookup, .parent, .attributes, .access, .readSymbolicLink:
            // Moved, for a copy of what is held would be made at the first change.
            var held = HeldRows(inodes: inodes, touched: touched, rows: rows)
            inodes = HeldInodes()
            touched = TouchedRows()
            defer {
                inodes = held.inodes
                touched = held.touched
            }
            guard let answer = try held.answer(query, caller, &view) else {
                preconditionFailure("these are the questions that point rows answer")
            }
            return answer
        case .list(let number, let cookie, let limit, let detail):
            return try list(number, after: cookie, limit, detail, caller, &view, rows)
        case .usage: return .usage(state.usage, state.quota)
        case .pendingDeletions(let after, let limit): return .deletions(try pendingDeletions(after, limit, rows))
        case .measurable(let after, let limit, let scope):
            return try measurable(after, limit, scope, rows)
        // A question for data groups.
        case .allocation: throw NamespaceFailure.invalid
        }
    }

    private mutating func list(
        _ number: InodeNumber, after cookie: UInt64, _ limit: Int, _ detail: ListDetail, _ caller: Credentials,
        _ view: inout InodeView, _ rows: some NamespaceRowReader
    ) throws -> NamespaceAnswer {
        let parent = try existing(number, rows)
        guard parent.kind == .directory else { throw NamespaceFailure.notDirectory }
        guard parent.permits(.read, to: caller) else { throw NamespaceFailure.accessDenied }
        // Attributes are what a lookup would give: without the right to search there are names only.
        let showsInodes = detail == .namesAndInodes && parent.permits(.execute, to: caller)
        let most = min(max(limit, 1), NamespaceLimits.listedEntries)
        var end = ListEnd.reached
        var entries: [DirectoryEntry] = []
        if cookie < UInt64.max {
            let page = try rows.rows(
                from: .cookie(number, cookie + 1), below: .endOfCookies(number), limit: most + 1)
            if page.count > most { end = .more }
            entries.reserveCapacity(min(page.count, most))
            for item in page.prefix(most) {
                let row = try CookieRow(item.value)
                let details = showsInodes ? view.inode(row.inode, try named(row.inode, rows)) : nil
                entries.append(
                    DirectoryEntry(name: row.name, inode: row.inode, cookie: item.key.number(1), details: details))
            }
        }
        return .entries(entries, directory: view.attributes(number, parent), end: end)
    }

    /// Pages end between inodes, so that the next one can begin behind an inode.
    private func pendingDeletions(
        _ after: InodeNumber, _ limit: Int, _ rows: some NamespaceRowReader
    ) throws -> [RangeDeletion] {
        guard after.rawValue < UInt64.max else { return [] }
        let most = min(max(limit, 1), NamespaceLimits.listedEntries)
        let start = NamespaceKey.deletion(InodeNumber(after.rawValue + 1), .zero)
        var page = try rows.rows(from: start, below: .endOfDeletions, limit: most + 1)
        if page.count > most, let next = page.popLast() {
            let cut = next.key.number(0)
            let whole = page.filter { $0.key.number(0) != cut }
            // One inode with more than a page of them: its oldest come first, the others when these are done.
            if !whole.isEmpty { page = whole }
        }
        return try page.map { row in
            try decodeRow(row.value) { r throws(WireError) in try r.rangeDeletion() }
        }
    }
}

/// What the machine holds and the rows beneath, while a question about single inodes and names is answered.
private struct HeldRows<Rows: NamespaceRowReader>: PointRows {
    var inodes: HeldInodes
    var touched: TouchedRows
    let rows: Rows

    mutating func inode(_ number: InodeNumber) throws -> InodeRow? {
        touched.touch(number)
        return try inodes.row(number, rows)
    }

    mutating func entry(_ directory: InodeNumber, _ name: FileName) throws -> EntryRow? {
        let row = try rows.value(of: .entry(directory, name)).map { try EntryRow($0) }
        touched.touch(directory, name, row)
        return row
    }
}
