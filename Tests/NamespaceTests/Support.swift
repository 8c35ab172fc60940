import ClusterModel
import Namespace
import Testing
import Wire

let root = InodeNumber.root
let alice = Credentials(uid: 1000, gid: 1000, groups: [100])
let bob = Credentials(uid: 1001, gid: 1001, groups: [100, 200])
let carol = Credentials(uid: 1002, gid: 1002)

func name(_ text: String) -> FileName {
    guard let name = FileName(text) else { preconditionFailure("a test's name is a name: \(text)") }
    return name
}

func time(_ seconds: Double) -> Timestamp { Timestamp(nanoseconds: Int64(seconds * 1e9)) }

/// A fileset over sorted arrays, one entry a batch, with a clock that is set by hand.
struct TestFileset {
    let rows = RowArrays()
    var machine: NamespaceMachine
    var clock: Timestamp
    var log: [NamespaceChange] = []

    init(mode: UInt16 = 0o755, initialized: Bool = true) throws {
        machine = try NamespaceMachine(fileset: .root, rows: rows)
        clock = time(1000)
        if initialized { try run(.initialize(FilesetSetup(mode: mode))) }
    }

    /// Applies an operation a second after the one before.
    @discardableResult
    mutating func run(
        _ operation: NamespaceOperation, as caller: Credentials = .superuser, session: UInt64 = 0, request: UInt64 = 0,
        call: CallIdentity? = nil, semantics: UInt32 = FilesetState.semantics.upperBound
    ) throws -> NamespaceResult {
        var change = next(operation, as: caller, session: session, request: request, call: call)
        change.entry.semantics = semantics
        let outcome = try #require(try machine.apply(change, rows: rows))
        try machine.commit(rows: rows)
        return outcome.result
    }

    mutating func next(
        _ operation: NamespaceOperation, as caller: Credentials = .superuser, session: UInt64 = 0, request: UInt64 = 0,
        call: CallIdentity? = nil
    ) -> NamespaceChange {
        clock = Timestamp(nanoseconds: clock.nanoseconds + 1_000_000_000)
        let name = EntryName(epoch: Epoch(1), n: UInt64(log.count) + 1)
        let change = NamespaceChange(
            name: name, time: clock, session: SessionID(session), request: RequestNumber(request), call: call,
            entry: NamespaceEntry(
                semantics: FilesetState.semantics.upperBound, credentials: caller, operation: operation))
        log.append(change)
        return change
    }

    mutating func ask(
        _ query: NamespaceQuery, as caller: Credentials = .superuser, session: UInt64 = 0
    ) throws -> NamespaceAnswer {
        try reply(query, as: caller, session: session).answer
    }

    mutating func reply(
        _ query: NamespaceQuery, as caller: Credentials = .superuser, session: UInt64 = 0
    ) throws -> NamespaceReply {
        let question = NamespaceQuestion(credentials: caller, session: SessionID(session), query: query)
        return try machine.answer(question, at: clock, rows: rows)
    }

    mutating func attributes(_ inode: InodeNumber, session: UInt64 = 0) throws -> FileAttributes {
        guard case .inode(let found) = try ask(.attributes(inode: inode), session: session) else {
            throw NamespaceFailure.stale
        }
        return found.attributes
    }

    mutating func hint(_ inode: InodeNumber) throws -> FileHint {
        guard case .inode(let found) = try ask(.attributes(inode: inode)), let hint = found.hint else {
            throw NamespaceFailure.stale
        }
        return hint
    }

    /// Every entry, page by page.
    mutating func list(_ directory: InodeNumber, page: Int = 512) throws -> [DirectoryEntry] {
        var all: [DirectoryEntry] = []
        while true {
            let cookie = all.last?.cookie ?? 0
            guard
                case .entries(let entries, _, let end) = try ask(
                    .list(directory: directory, cookie: cookie, limit: page, detail: .namesAndInodes))
            else { throw NamespaceFailure.stale }
            all += entries
            if end == .reached { return all }
        }
    }

    /// Makes something and returns its inode number.
    mutating func make(
        _ text: String, _ file: NewFile = .regular(.guarded), in directory: InodeNumber = .root, mode: UInt16 = 0o644,
        as caller: Credentials = .superuser
    ) throws -> InodeNumber {
        let result = try run(
            .create(directory: directory, name: name(text), file: file, attributes: AttributeChanges(mode: mode)),
            as: caller)
        return try #require(result.inode, "create \(text): \(String(describing: result.failure))").attributes.file.inode
    }

    mutating func makeDirectory(
        _ text: String, in directory: InodeNumber = .root, mode: UInt16 = 0o755, as caller: Credentials = .superuser
    ) throws -> InodeNumber { try make(text, .directory, in: directory, mode: mode, as: caller) }

    /// Rows of a table, by its first byte.
    func count(table: UInt8) -> Int {
        rows.rows(from: NamespaceKey(bytes: [table]), below: NamespaceKey(bytes: [table + 1]), limit: Int.max).count
    }
}
