import ClusterModel
import Namespace
import Testing
import Wire

/// What the cache answers is what the machine would answer; it stays within its bound.
@Suite struct RowCacheTests {
    @Test(
        "random batches and questions are answered with the cache as without it",
        arguments: (1...12).map { seed in (UInt64(seed), [1200, 4000, 20_000, 1 << 20][seed % 4]) })
    func random(seed: UInt64, limit: Int) throws {
        var run = try CachedRun(seed: seed, limit: limit)
        for _ in 1...500 { try run.batch() }
        #expect(run.hits > (limit < 4000 ? 20 : 500), "seed \(seed)")
        #expect(run.misses > 20, "seed \(seed)")
    }

    @Test("a name that was not there is found as soon as its creation is taken in")
    func absentName() throws {
        var kept = try KeptFileset()
        let question = NamespaceQuery.lookup(directory: root, name: name("later"))
        #expect(try kept.ask(question) == .failed(.notFound))
        #expect(kept.cached(question) == .failed(.notFound))
        let inode = try kept.run { try $0.make("later") }
        guard case .found(let found, _) = kept.cached(question) else {
            Issue.record("the created name is not there: \(String(describing: kept.cached(question)))")
            return
        }
        #expect(found.attributes.file.inode == inode)
    }

    @Test("what was renamed and removed is not found under its name any more")
    func removedName() throws {
        var kept = try KeptFileset()
        _ = try kept.run { try $0.make("a") }
        try kept.run { _ = try $0.run(.rename(from: root, name: name("a"), to: root, newName: name("b"))) }
        #expect(kept.cached(.lookup(directory: root, name: name("a"))) == .failed(.notFound))
        guard case .found(let found, _) = kept.cached(.lookup(directory: root, name: name("b"))) else {
            Issue.record("the new name is not there")
            return
        }
        try kept.run { _ = try $0.run(.remove(directory: root, name: name("b"))) }
        #expect(kept.cached(.lookup(directory: root, name: name("b"))) == .failed(.notFound))
        #expect(kept.cached(.attributes(inode: found.attributes.file.inode)) == .failed(.stale))
    }

    @Test("a change is taken in although the machine has let go of the inode meanwhile")
    func notHeldAnyMore() throws {
        var kept = try KeptFileset(limit: 16 << 20)
        try kept.fileset.run(.reserveInodes(through: InodeNumber(10_000)))
        let changed = try kept.fileset.make("changed")
        for i in 0..<NamespaceLimits.heldInodes + 600 { _ = try kept.fileset.make("f\(i)") }
        #expect(try kept.ask(.attributes(inode: changed)) == kept.cached(.attributes(inode: changed)))
        try kept.run { fileset in
            try fileset.run(.setAttributes(inode: changed, changes: AttributeChanges(mode: 0o600), guardTime: nil))
            _ = try fileset.list(root)
            _ = try fileset.list(root)
        }
        guard case .inode(let found) = kept.cached(.attributes(inode: changed)) else {
            Issue.record("a changed inode is not in the cache")
            return
        }
        #expect(found.attributes.mode == 0o600)
    }

    @Test("beyond the bound the least recently used rows go")
    func leastRecentlyUsed() throws {
        var kept = try KeptFileset(limit: 40_000)
        let inodes = try (0..<200).map { try kept.fileset.make("f\($0)") }
        for inode in inodes {
            _ = try kept.ask(.attributes(inode: inode))
            // The first is asked for again and again.
            #expect(kept.cached(.attributes(inode: inodes[0])) != nil)
            #expect(kept.cache.bytes <= 40_000)
        }
        #expect(kept.cache.count < 150 && kept.cache.count > 50)
        #expect(kept.cached(.attributes(inode: inodes[1])) == nil)
        let last = inodes.suffix(kept.cache.count / 2)
        #expect(last.allSatisfy { kept.cached(.attributes(inode: $0)) != nil })
    }

    @Test("a row that is greater than the bound is not kept")
    func tooGreat() throws {
        var kept = try KeptFileset(limit: 100)
        _ = try kept.ask(.attributes(inode: root))
        #expect(kept.cache.count == 0)
        #expect(kept.cache.bytes == 0)
    }

    @Test("owners do not see each other's rows, and one's go without the others'")
    func owners() throws {
        var kept = try KeptFileset()
        let inode = try kept.fileset.make("a")
        _ = try kept.ask(.attributes(inode: inode))
        let bytes = kept.cache.bytes
        let first = kept.owner
        kept.owner = RowCache.Owner(2)
        #expect(kept.cached(.attributes(inode: inode)) == nil)
        _ = try kept.ask(.attributes(inode: inode))
        kept.cache.removeAll(of: first)
        #expect(kept.cache.bytes == bytes)
        #expect(kept.cached(.attributes(inode: inode)) != nil)
        kept.cache.removeAll(of: kept.owner)
        #expect(kept.cache.bytes == 0)
        #expect(kept.cache.count == 0)
    }

    @Test("a listing pushes nothing out")
    func listing() throws {
        var kept = try KeptFileset()
        for i in 0..<20 { _ = try kept.fileset.make("f\(i)") }
        try kept.run { _ = try $0.list(root) }
        #expect(kept.cache.count == 0)
    }
}

/// A fileset with a cache that is given what each batch touched.
private struct KeptFileset {
    var fileset: TestFileset
    var cache: RowCache
    var owner = RowCache.Owner(1)

    init(limit: Int = 1 << 20) throws {
        fileset = try TestFileset(mode: 0o777)
        cache = RowCache(limit: limit)
    }

    mutating func run<T>(_ batch: (inout TestFileset) throws -> T) throws -> T {
        fileset.machine.collectRows()
        let result = try batch(&fileset)
        cache.update(try fileset.machine.takeCollectedRows(fileset.rows), of: owner)
        return result
    }

    mutating func ask(_ query: NamespaceQuery) throws -> NamespaceAnswer { try run { try $0.ask(query) } }

    mutating func cached(_ query: NamespaceQuery) -> NamespaceAnswer? {
        let question = NamespaceQuestion(credentials: .superuser, session: .none, query: query)
        return cache.answer(
            question, of: .root, owner: owner, quota: fileset.machine.state.quotaStanding, at: fileset.clock)?.answer
    }
}

/// One history on two sets of rows: one machine answers everything, the other only what its cache cannot.
private struct CachedRun {
    var plain: TestFileset
    var machine: NamespaceMachine
    let rows = RowArrays()
    var cache: RowCache
    var quota = QuotaStanding.within
    let limit: Int
    let owner = RowCache.Owner(1)
    let seed: UInt64
    var random: SplitMix64
    var hits = 0
    var misses = 0
    private var taken = 0

    init(seed: UInt64, limit: Int) throws {
        self.seed = seed
        self.limit = limit
        random = SplitMix64(seed: seed)
        plain = try TestFileset(mode: 0o777)
        machine = try NamespaceMachine(fileset: .root, rows: rows)
        cache = RowCache(limit: limit)
        try follow()
    }

    private mutating func pick<T>(_ list: [T]) -> T { list[random.below(list.count)] }
    private mutating func inode() -> InodeNumber {
        InodeNumber(UInt64(1 + random.below(random.below(4) == 0 ? 80 : 12)))
    }
    private mutating func label() -> FileName { name(pick(["a", "b", "c", "d", "e", "f"])) }

    private mutating func operation() -> NamespaceOperation {
        let session = SessionID(UInt64(1 + random.below(3)))
        switch random.below(13) {
        case 0...3:
            let file: NewFile = pick([
                .regular(.unchecked), .regular(.guarded), .directory, .directory, .symbolicLink(target: [0x61]),
            ])
            return .create(
                directory: inode(), name: label(), file: file,
                attributes: AttributeChanges(mode: pick([0o777, 0o700, 0o711])))
        case 4: return .remove(directory: inode(), name: label())
        case 5: return .removeDirectory(directory: inode(), name: label())
        case 6: return .rename(from: inode(), name: label(), to: inode(), newName: label())
        case 7: return .link(inode: inode(), directory: inode(), name: label())
        case 8: return .registerWriter(inode: inode(), session: session)
        case 9: return .extend(inode: inode(), size: UInt64(random.below(1 << 20)), truncation: .zero)
        case 10: return .settle(inode: inode(), session: session, modified: plain.clock)
        case 11:
            return pick([
                .setQuota(FilesetQuota(bytes: 5)), .setQuota(.unlimited), .recordUsage(bytes: 9),
                .recordUsage(bytes: 0),
                .settleSession(session: session),
            ])
        default:
            return .setAttributes(
                inode: inode(), changes: AttributeChanges(mode: pick([0o700, 0o755]), uid: pick([1000, 1001])),
                guardTime: nil)
        }
    }

    private mutating func query() -> NamespaceQuery {
        switch random.below(9) {
        case 0...2: .lookup(directory: inode(), name: label())
        case 3...4: .attributes(inode: inode())
        case 5: .access(inode: inode(), rights: AccessRights(rawValue: 0x3F))
        case 6: .parent(directory: inode())
        case 7: .readSymbolicLink(inode: inode())
        default: .list(directory: inode(), cookie: 0, limit: 3, detail: .namesAndInodes)
        }
    }

    /// Applies what the plain fileset has done since.
    private mutating func follow() throws {
        for change in plain.log[taken...] { _ = try machine.apply(change, rows: rows) }
        taken = plain.log.count
    }

    /// Some operations with questions between them; each question is first put to the cache if nothing was changed since
    /// the last batch, as the host does.
    mutating func batch() throws {
        var changed = false
        machine.collectRows()
        for _ in 0..<1 + random.below(8) {
            if random.below(4) == 0 {
                try plain.run(operation(), as: pick([.superuser, alice, bob]))
                changed = true
                try follow()
                continue
            }
            let asker = UInt64(random.below(4))
            let question = NamespaceQuestion(
                credentials: pick([.superuser, alice, bob, carol]), session: SessionID(asker), query: query())
            let expected = try plain.machine.answer(question, at: plain.clock, rows: plain.rows)
            if !changed,
                let reply = cache.answer(question, of: .root, owner: owner, quota: quota, at: plain.clock)
            {
                hits += 1
                try #require(reply == expected, "seed \(seed), entry \(taken): \(question)")
            } else {
                misses += 1
                let reply = try machine.answer(question, at: plain.clock, rows: rows)
                try #require(reply == expected, "seed \(seed), entry \(taken): \(question)")
            }
        }
        try machine.commit(rows: rows)
        let updates = try machine.takeCollectedRows(rows)
        cache.update(updates, of: owner)
        quota = updates.quota
        try #require(cache.bytes <= limit)
        if random.below(100) == 0 {
            cache.removeAll(of: owner)
            try #require(cache.bytes == 0)
        }
    }
}
