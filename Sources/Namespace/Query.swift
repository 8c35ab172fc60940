import ClusterModel
import Wire

/// What a query gives, and the inodes whose moving times it shows: `AnsweredTimes` is told of them when the answer leaves.
public struct NamespaceReply: Hashable, Sendable {
    public var answer: NamespaceAnswer
    public var moving: [InodeNumber]
    public init(answer: NamespaceAnswer, moving: [InodeNumber]) {
        self.answer = answer
        self.moving = moving
    }
}

extension NamespaceMachine {
    /// Answers from the state after the last entry applied, committed or not. `now` comes from `NamespaceClock.answer`.
    /// An error is one of the rows' or a `NamespaceFault`: the replica stops.
    public mutating func answer(
        _ question: NamespaceQuestion, at now: Timestamp, rows: some NamespaceRowReader
    ) throws -> NamespaceReply {
        var view = View(fileset: state.fileset, quota: state.quotaStanding, asker: question.session, now: now)
        do {
            let answer = try answer(question.query, question.credentials, &view, rows)
            return NamespaceReply(answer: answer, moving: view.moving)
        } catch let failure as NamespaceFailure {
            return NamespaceReply(answer: .failed(failure), moving: [])
        }
    }

    /// How inodes look to the one who asks.
    private struct View {
        var fileset: FilesetID
        var quota: QuotaStanding
        var asker: SessionID
        var now: Timestamp
        var moving: [InodeNumber] = []

        mutating func inode(_ inode: InodeNumber, _ row: InodeRow) -> Inode {
            Inode(attributes: attributes(inode, row), hint: row.hint(quota))
        }

        mutating func attributes(_ inode: InodeNumber, _ row: InodeRow) -> FileAttributes {
            let file = FileID(fileset: fileset, inode: inode)
            guard row.moves(for: asker) else { return row.attributes(of: file) }
            moving.append(inode)
            return row.attributes(of: file, moving: now)
        }
    }

    private mutating func answer(
        _ query: NamespaceQuery, _ caller: Credentials, _ view: inout View, _ rows: some NamespaceRowReader
    ) throws -> NamespaceAnswer {
        switch query {
        case .lookup(let number, let name):
            let parent = try directory(number, for: caller, rows)
            guard let found = try entry(number, name, rows) else { throw NamespaceFailure.notFound }
            let row = try named(found.inode, rows)
            return .found(view.inode(found.inode, row), directory: view.attributes(number, parent))
        case .parent(let number):
            let child = try directory(number, for: caller, rows)
            let row = try named(child.parent, rows)
            return .found(view.inode(child.parent, row), directory: view.attributes(number, child))
        case .attributes(let inode): return .inode(view.inode(inode, try existing(inode, rows)))
        case .access(let inode, let rights):
            let attributes = view.attributes(inode, try existing(inode, rows))
            return .access(attributes.granted(rights, to: caller), attributes)
        case .readSymbolicLink(let inode):
            let row = try existing(inode, rows)
            guard row.kind == .symbolicLink else { throw NamespaceFailure.invalid }
            return .symbolicLink(target: row.target, view.attributes(inode, row))
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
        _ view: inout View, _ rows: some NamespaceRowReader
    ) throws -> NamespaceAnswer {
        let parent = try existing(number, rows)
        guard parent.kind == .directory else { throw NamespaceFailure.notDirectory }
        guard permits(parent, .read, caller) else { throw NamespaceFailure.accessDenied }
        // Attributes are what a lookup would give: without the right to search there are names only.
        let showsInodes = detail == .namesAndInodes && permits(parent, .execute, caller)
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
