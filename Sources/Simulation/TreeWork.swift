import ClusterModel
import Replication
import Wire

/// What a client asked of the namespace, and what it was told.
struct TreeObservation {
    enum Question {
        case operation(NamespaceOperation)
        case query(NamespaceQuery)
    }
    var question: Question
    /// Of a call that may come again through another gateway.
    var call: CallIdentity?
    /// Under which it was sent.
    var requests: [LostRequest] = []
    /// An encoded result or answer; nil until it came.
    var answer: [UInt8]?
    /// Of an answer: the last entry in the rows that it was read from.
    var asOf = EntryName.zero

    /// What a simulated replica puts behind an answer.
    static func trailer(_ name: EntryName) -> [UInt8] {
        var w = WireWriter()
        w.name(name)
        return w.bytes
    }

    mutating func answered(_ bytes: [UInt8]) {
        let length = TreeObservation.trailer(.zero).count
        if case .query = question, bytes.count >= length {
            answer = Array(bytes.dropLast(length))
            asOf =
                (try? Array(bytes.suffix(length)).decoded { r throws(WireError) in try r.name() }) ?? .zero
        } else {
            answer = bytes
        }
    }
}

/// What clients have heard of the tree; shared by all, so that they meet.
struct KnownTree {
    private(set) var directories: [InodeNumber] = [.root]
    private(set) var files: [InodeNumber] = []
    private(set) var deletions: [RangeDeletion] = []
    /// Hints of the files.
    private(set) var hints: [InodeNumber: FileHint] = [:]
    private(set) var lastCookie: UInt64 = 0
    var lastCall: UInt64 = 0

    static let names: [FileName] = ["a", "b", "c", "d", "e"].compactMap { FileName($0) }

    mutating func heard(_ inode: Inode) {
        let number = inode.attributes.file.inode
        if inode.attributes.kind == .directory {
            if !directories.contains(number) { directories.append(number) }
            // The root stays; others are forgotten, in order.
            if directories.count > 8 { directories.remove(at: 1) }
        } else {
            if !files.contains(number) { files.append(number) }
            if files.count > 10 { hints[files.removeFirst()] = nil }
            if let hint = inode.hint, files.contains(number) { hints[number] = hint }
        }
    }

    mutating func heard(_ deletion: RangeDeletion) {
        if deletions.count < 64 { deletions.append(deletion) }
    }

    mutating func takeDeletion(_ random: inout SplitMix64) -> RangeDeletion? {
        deletions.isEmpty ? nil : deletions.remove(at: random.below(deletions.count))
    }

    mutating func listed(_ entries: [DirectoryEntry]) {
        if let last = entries.last { lastCookie = last.cookie }
        for entry in entries { if let details = entry.details { heard(details) } }
    }
}

/// Changes of the namespace and questions about it, drawn at random: few names in few directories, so that clients contend.
extension Simulator {
    var metadataPlace: Int { groups.count - 1 }

    func treeWork(_ c: Int) -> Draft {
        let roll = random.below(100)
        if roll < 8 {
            return Draft(
                requests: [(metadataPlace, .flush)],
                observed: Observed(kind: .flush, values: [], start: clock, group: metadataPlace))
        }
        if roll < 38 { return treeQuery(someQuery()) }
        if roll < 46, let again = repeatedCall() { return again }
        let operation = someOperation(sessions[clients[c].session].id)
        var call: CallIdentity?
        if operation.isCall, chance(70) {
            tree.lastCall += 1
            call = CallIdentity(origin: UInt128(random.below(3)), request: tree.lastCall)
        }
        return treeChange(operation, call)
    }

    private func treeChange(_ operation: NamespaceOperation, _ call: CallIdentity?) -> Draft {
        let durability: Durability = chance(scenario.stableWrites) ? .stable : .unstable
        let entry = NamespaceEntry(semantics: map.semantics, credentials: .superuser, operation: operation)
        var observed = Observed(kind: .write, values: [], start: clock, group: metadataPlace)
        observed.durability = durability
        observed.tree = TreeObservation(question: .operation(operation), call: call)
        return Draft(
            requests: [(metadataPlace, .mutate(durability, call))], content: entry.encoded, observed: observed)
    }

    /// A client that heard nothing sends its call again through another gateway, while the first one is still at it.
    private func repeatedCall() -> Draft? {
        let open = clients.compactMap { client -> TreeObservation? in
            guard let work = client.work, let tree = history[work.observed].tree, tree.call != nil else { return nil }
            return tree
        }
        guard !open.isEmpty, case let chosen = open[random.below(open.count)], case .operation(let o) = chosen.question
        else { return nil }
        counts["calls sent twice", default: 0] += 1
        return treeChange(o, chosen.call)
    }

    private func treeQuery(_ query: NamespaceQuery) -> Draft {
        var w = WireWriter()
        NamespaceQuestion(credentials: .superuser, session: .none, query: query).encode(into: &w)
        var observed = Observed(kind: .read, values: [], start: clock, group: metadataPlace)
        observed.tree = TreeObservation(question: .query(query))
        return Draft(requests: [(metadataPlace, .query)], content: w.bytes, observed: observed)
    }

    private func pick<T>(_ list: [T]) -> T { list[random.below(list.count)] }
    private var someDirectory: InodeNumber { chance(50) ? .root : pick(tree.directories) }
    private var someName: FileName { pick(KnownTree.names) }
    private var someInode: InodeNumber { pick(tree.directories + tree.files) }
    private var someFile: InodeNumber { tree.files.isEmpty ? .root : pick(tree.files) }

    private func someOperation(_ session: SessionID) -> NamespaceOperation {
        let size = UInt64(random.below(4)) * 50_000
        switch random.below(100) {
        case 0..<12: return create(.regular(.guarded), mode: 0o644)
        case 12..<18:
            let attributes = AttributeChanges(mode: 0o644, size: chance(40) ? 0 : nil)
            return .create(
                directory: someDirectory, name: someName, file: .regular(.unchecked), attributes: attributes)
        case 18..<24: return create(.regular(.exclusive(verifier: UInt64(random.below(4)))), mode: nil)
        case 24..<33: return create(.directory, mode: 0o755)
        case 33..<36: return create(.symbolicLink(target: [0x61]), mode: nil)
        case 36..<43: return .link(inode: someFile, directory: someDirectory, name: someName)
        case 43..<55: return .remove(directory: someDirectory, name: someName)
        case 55..<62: return .removeDirectory(directory: someDirectory, name: someName)
        case 62..<76: return .rename(from: someDirectory, name: someName, to: someDirectory, newName: someName)
        case 76..<79:
            return .setAttributes(
                inode: someInode, changes: AttributeChanges(mode: pick([0o600, 0o644, 0o755])), guardTime: nil)
        case 79..<84: return .setAttributes(inode: someFile, changes: AttributeChanges(size: size), guardTime: nil)
        case 84..<86: return .registerWriter(inode: someFile, session: session)
        case 86..<87:
            return .settle(inode: someFile, session: session, modified: Timestamp(nanoseconds: Int64(clock)))
        case 87..<89: return .raiseLimit(inode: someFile, limit: size)
        case 89..<93:
            let file = someFile
            return .extend(inode: file, size: size, truncation: tree.hints[file]?.truncation.number ?? .zero)
        case 93..<95: return .touchAccessTime(inode: someInode)
        default:
            guard let deletion = tree.takeDeletion(&random) else { return create(.regular(.guarded), mode: 0o644) }
            return .finishRangeDeletion(inode: deletion.file.inode, truncation: deletion.truncation.number)
        }
    }

    private func create(_ file: NewFile, mode: UInt16?) -> NamespaceOperation {
        .create(directory: someDirectory, name: someName, file: file, attributes: AttributeChanges(mode: mode))
    }

    private func someQuery() -> NamespaceQuery {
        switch random.below(100) {
        case 0..<45: .lookup(directory: someDirectory, name: someName)
        case 45..<65: .attributes(inode: someInode)
        case 65..<85: someListing(someDirectory)
        case 85..<90: .parent(directory: someDirectory)
        case 90..<93: .readSymbolicLink(inode: someInode)
        case 93..<97: .usage
        default: .pendingDeletions(after: InodeNumber(0), limit: 512)
        }
    }

    private func someListing(_ directory: InodeNumber) -> NamespaceQuery {
        .list(
            directory: directory, cookie: chance(70) ? 0 : tree.lastCookie, limit: chance(50) ? 512 : 2,
            detail: chance(70) ? .namesAndInodes : .names)
    }

    /// The questions at the end, one after the other; nil when all were asked.
    func finalTreeQuery(_ i: Int) -> Draft? {
        let known = tree.directories.count
        if i < known {
            return treeQuery(.list(directory: tree.directories[i], cookie: 0, limit: 512, detail: .namesAndInodes))
        }
        return i == known ? treeQuery(.usage) : nil
    }

    /// An answer came.
    func heard(_ c: Int, _ work: Client.Work, _ bytes: [UInt8]) {
        history[work.observed].tree?.answered(bytes)
        guard let observation = history[work.observed].tree, let answer = observation.answer else { return }
        do {
            switch observation.question {
            case .operation:
                let result = try answer.decoded { r throws(WireError) in try NamespaceResult(from: &r) }
                if let inode = result.inode { tree.heard(inode) }
                if let deletion = result.deletion { tree.heard(deletion) }
            case .query:
                switch try answer.decoded({ r throws(WireError) in try NamespaceAnswer(from: &r) }) {
                case .found(let inode, _), .inode(let inode): tree.heard(inode)
                case .entries(let entries, _, _): tree.listed(entries)
                case .failed, .access, .symbolicLink, .usage, .deletions, .measurable, .allocation: break
                }
            }
        } catch {
            fail("client \(c) cannot read its answer: \(error)")
        }
    }
}

extension NamespaceOperation {
    /// Whether a client's call asks for it that may come again (replication.md, 20); all others are gateways' own.
    fileprivate var isCall: Bool {
        switch self {
        case .create, .setAttributes, .link, .remove, .removeDirectory, .rename: true
        case .raiseLimit, .extend, .registerWriter, .settle, .settleSession, .touchAccessTime, .finishRangeDeletion,
            .reserveInodes, .abandonReservation, .recordFileUsage, .recordUsage, .initialize, .setQuota:
            false
        }
    }
}
