import ClusterModel
import DiskIO
import Foundation
import NIOCore
import NIOPosix
import Namespace
import Testing
import Transport
import Wire

@testable import Storage

/// The host with its thread and its database: answers from the rows kept on the loop are those of the thread.
@Suite struct NamespaceHostTests {
    @Test(
        "questions among entries, waiting and under way, are answered as of the entries before them",
        arguments: [(1, 1500), (2, 6000), (3, 1 << 20), (4, 1 << 20)])
    func random(seed: UInt64, limit: Int) async throws {
        let bench = try await Bench(limit: limit)
        try await bench.onLoop { $0.asksAtOnce = 3 }
        var random = SplitMix64(seed: seed)
        for round in 0..<400 {
            let (step, rest) = (random.next(), random.below(3))
            try await bench.onLoop { $0.randomStep(seed: step) }
            if rest == 0 { try await eventually("all is answered") { try await bench.onLoop { $0.isIdle() } } }
            let wrong = try await bench.onLoop { $0.wrong }
            try #require(wrong == nil, "seed \(seed), round \(round): \(wrong ?? "")")
        }
        try await eventually("all is answered") { try await bench.onLoop { $0.isIdle() } }
        let (wrong, counters) = try await bench.onLoop { ($0.wrong, $0.cache.counters) }
        #expect(wrong == nil, "seed \(seed): \(wrong ?? "")")
        #expect(counters.hits > 100 && counters.misses > 20 && counters.behind > 100, "\(counters)")
        try await bench.close()
    }

    @Test("whoever is told of a change and asks at once is shown it, from the rows kept")
    func atOnce() async throws {
        let bench = try await Bench()
        let file = try await bench.apply(.create(directory: .root, name: name("a"), file: .regular(.guarded)))
        let inode = try #require(file?.inode?.attributes.file.inode)
        let looked = NamespaceQuery.lookup(directory: .root, name: name("a"))
        let renamed = NamespaceQuery.lookup(directory: .root, name: name("b"))
        guard case .found(let found, _) = try await bench.atOnce(looked) else {
            Issue.record("the file that was made is not found")
            return
        }
        #expect(found.attributes.file.inode == inode)
        _ = try await bench.apply(.setAttributes(inode: inode, changes: AttributeChanges(mode: 0o600), guardTime: nil))
        guard case .inode(let changed) = try await bench.atOnce(.attributes(inode: inode)) else {
            Issue.record("the file that was changed is not found")
            return
        }
        #expect(changed.attributes.mode == 0o600)
        _ = try await bench.apply(.rename(from: .root, name: name("a"), to: .root, newName: name("b")))
        #expect(try await bench.atOnce(looked) == .failed(.notFound))
        guard case .found = try await bench.atOnce(renamed) else {
            Issue.record("the file that was renamed is not found")
            return
        }
        _ = try await bench.apply(.remove(directory: .root, name: name("b")))
        #expect(try await bench.atOnce(renamed) == .failed(.notFound))
        #expect(try await bench.atOnce(.attributes(inode: inode)) == .failed(.stale))
        // Nothing was asked of the thread.
        #expect(try await bench.onLoop { $0.cache.counters } == RowCacheCounters(hits: 6, misses: 0, behind: 0))
        try await bench.close()
    }

    @Test("a moving time that was answered from the rows kept is not undone by a settlement")
    func movingTime() async throws {
        let bench = try await Bench()
        let file = try await bench.apply(.create(directory: .root, name: name("a"), file: .regular(.guarded)))
        let inode = try #require(file?.inode?.attributes.file.inode)
        _ = try await bench.apply(.registerWriter(inode: inode, session: SessionID(1)))
        guard case .inode(let shown) = try await bench.atOnce(.attributes(inode: inode)) else {
            Issue.record("the file that is written is not found")
            return
        }
        let before = Timestamp(nanoseconds: shown.attributes.modificationTime.nanoseconds - 1)
        let settled = try await bench.onLoop {
            $0.host.fixed(.settle(inode: inode, session: SessionID(1), modified: before))
        }
        let later = Timestamp(nanoseconds: shown.attributes.modificationTime.nanoseconds + 1)
        #expect(settled == .settle(inode: inode, session: SessionID(1), modified: later))
        try await bench.close()
    }

    @Test("after a change of the primary a settlement is raised to its activation, unless a SETATTR has overruled it")
    func settlementOfBefore() async throws {
        let bench = try await Bench()
        let name = NamespaceOperation.create(directory: .root, name: name("a"), file: .regular(.guarded))
        let made = try await bench.apply(name)
        let inode = try #require(made?.inode?.attributes.file.inode)
        let (early, activation) = (Timestamp(nanoseconds: 1), Timestamp(nanoseconds: 1_000_000_000_000))
        func settled(_ session: UInt64, _ modified: Timestamp) async throws -> NamespaceOperation? {
            try await bench.onLoop {
                $0.host.fixed(.settle(inode: inode, session: SessionID(session), modified: modified))
            }
        }
        func settlement(_ session: UInt64, _ modified: Timestamp) -> NamespaceOperation {
            .settle(inode: inode, session: SessionID(session), modified: modified)
        }
        _ = try await bench.apply(.registerWriter(inode: inode, session: SessionID(1)))
        _ = try await bench.apply(
            .setAttributes(
                inode: inode, changes: AttributeChanges(modificationTime: .to(Timestamp(nanoseconds: 7))),
                guardTime: nil))
        _ = try await bench.apply(.registerWriter(inode: inode, session: SessionID(2)))
        try await bench.onLoop { $0.host.reignBegan(at: activation) }
        #expect(try await settled(1, early) == settlement(1, early))
        let raised = Timestamp(nanoseconds: activation.nanoseconds + 1)
        #expect(try await settled(2, early) == settlement(2, raised))
        // Later than the SETATTR, though before the activation.
        #expect(try await settled(1, Timestamp(nanoseconds: 900_000_000_000)) == settlement(1, raised))
        // Where the row is not here it is read first.
        try await bench.onLoop { $0.cache.rows = RowCache(limit: 1 << 20) }
        #expect(try await settled(1, early) == nil)
        try await bench.onLoop { $0.host.flush() }
        try await eventually("the row is here") { try await settled(1, early) != nil }
        #expect(try await settled(1, early) == settlement(1, early))
        #expect(try await settled(2, early) == settlement(2, raised), "nobody was shown the time of that reading")
        // A SETATTR that is under way may overrule it.
        try await bench.onLoop { $0.host.setsTimes(of: inode) }
        #expect(try await settled(2, early) == nil)
        try await bench.onLoop { $0.host.setTimes(of: inode) }
        #expect(try await settled(2, early) == settlement(2, raised))
        try await bench.close()
    }

    @Test("a replica that does not serve keeps no rows, and has none of before when it serves again")
    func notServing() async throws {
        let bench = try await Bench()
        _ = try await bench.apply(.create(directory: .root, name: name("a"), file: .regular(.guarded)))
        #expect(try await bench.onLoop { $0.cache.rows.count } > 0)
        try await bench.onLoop { $0.serves = false }
        _ = try await bench.apply(.remove(directory: .root, name: name("a")))
        #expect(try await bench.onLoop { $0.cache.rows.bytes } == 0)
        try await bench.onLoop { $0.serves = true }
        let query = NamespaceQuery.lookup(directory: .root, name: name("a"))
        #expect(try await bench.ask(query) == .failed(.notFound))
        #expect(try await bench.atOnce(query) == .failed(.notFound))
        #expect(try await bench.onLoop { $0.cache.counters.misses } == 1)
        try await bench.close()
    }

    @Test("an export that is installed makes all rows be forgotten, and what it brought is shown")
    func installed() async throws {
        let source = try await Bench()
        _ = try await source.apply(.create(directory: .root, name: name("theirs"), file: .regular(.guarded)))
        let learner = try await Bench()
        let ours = NamespaceQuery.lookup(directory: .root, name: name("ours"))
        _ = try await learner.apply(.create(directory: .root, name: name("ours"), file: .regular(.guarded)))
        guard case .found = try await learner.atOnce(ours) else {
            Issue.record("the file that was made is not found")
            return
        }
        let parts = try await source.export()
        for (step, part) in parts.enumerated() { try await learner.install(part, step: UInt32(step)) }
        #expect(try await learner.onLoop { $0.cache.rows.bytes } == 0)
        #expect(try await learner.ask(ours) == .failed(.notFound))
        guard case .found = try await learner.ask(.lookup(directory: .root, name: name("theirs"))) else {
            Issue.record("what was installed is not found")
            return
        }
        try await source.close()
        try await learner.close()
    }

    @Test("the sessions of which rows keep something are told as of the entries before the question")
    func sessions() async throws {
        let bench = try await Bench()
        #expect(try await bench.sessions() == [])
        _ = try await bench.apply(.registerWriter(inode: .root, session: SessionID(7)), session: 7)
        _ = try await bench.apply(.touchAccessTime(inode: .root), session: 3)
        #expect(try await bench.sessions() == [SessionID(3), SessionID(7)])
        _ = try await bench.apply(.settleSession(session: SessionID(3)))
        #expect(try await bench.sessions() == [SessionID(7)])
        try await bench.close()
    }

    @Test("rows that go on without what they lack drop half an export, and take the entry that follows")
    func forgone() async throws {
        let source = try await Bench()
        _ = try await source.apply(.create(directory: .root, name: name("theirs"), file: .regular(.guarded)))
        let learner = try await Bench()
        _ = try await learner.apply(.create(directory: .root, name: name("ours"), file: .regular(.guarded)))
        let whole = try #require(try await source.export().first)
        let (horizon, piece) = try whole.decoded { r throws(WireError) in (try r.u64(), try ExportPiece(from: &r)) }
        var w = WireWriter()
        w.u64(horizon)
        ExportPiece(rows: piece.rows, replies: [], state: nil).encode(into: &w)
        try await learner.install(ByteBuffer(bytes: w.bytes), step: 0)
        try await learner.forgo(18)
        let end = EntryName(epoch: Epoch(1), n: 20)
        #expect(try await learner.onLoop { $0.host.applied } == end)
        _ = try await learner.apply(.create(directory: .root, name: name("later"), file: .regular(.guarded)))
        for text in ["ours", "later"] {
            guard case .found = try await learner.ask(.lookup(directory: .root, name: name(text))) else {
                Issue.record("\(text) is not found")
                return
            }
        }
        #expect(try await learner.ask(.lookup(directory: .root, name: name("theirs"))) == .failed(.notFound))
        #expect(try await learner.onLoop { $0.failure } == nil)
        try await source.close()
        try await learner.close()
    }

    @Test("a digest that is asked for with entries in front of it is one of the rows as these left them")
    func digestBehindEntries() async throws {
        let bench = try await Bench()
        _ = try await bench.apply(.create(directory: .root, name: name("a"), file: .regular(.guarded)))
        let beside = try await bench.digest(behind: .create(directory: .root, name: name("b"), file: .directory))
        #expect(try await bench.digest() == beside)
        let changed = try await bench.digest(
            behind: .setAttributes(inode: .root, changes: AttributeChanges(mode: 0o700), guardTime: nil))
        #expect(try await bench.digest() == changed)
        #expect(changed != beside)
        try await bench.close()
    }

    @Test("after a failure of the rows nothing is answered and nothing kept")
    func failure() async throws {
        let bench = try await Bench()
        _ = try await bench.apply(.create(directory: .root, name: name("a"), file: .regular(.guarded)))
        #expect(try await bench.onLoop { $0.cache.rows.count } > 0)
        try await bench.onLoop { $0.applyDamaged() }
        try await eventually("the host fails") { try await bench.onLoop { $0.failure != nil } }
        #expect(try await bench.onLoop { $0.cache.rows.bytes } == 0)
        #expect(try await bench.ask(.attributes(inode: .root)) == nil)
        try await bench.close()
    }

    @Test("after many files were made and removed hardly a tombstone is left in the database")
    func tombstones() async throws {
        let bench = try await Bench()
        for round in 0..<40 {
            try await bench.onLoop { bench in
                for i in 0..<10 {
                    bench.submit(.create(directory: .root, name: name("\(round)-\(i)"), file: .regular(.guarded)))
                }
                bench.host.flush()
                for i in 0..<10 { bench.submit(.remove(directory: .root, name: name("\(round)-\(i)"))) }
                bench.host.flush()
            }
        }
        try await eventually("all is applied") { try await bench.onLoop { $0.isIdle() } }
        #expect(try await bench.onLoop { $0.wrong } == nil)
        let left = try await bench.closeAndCountTombstones()
        #expect(left < 40, "of some 1,200")
    }

    @Test("of a database that is closed nothing is kept, nor of what was under way for it")
    func closed() async throws {
        let bench = try await Bench()
        _ = try await bench.apply(.create(directory: .root, name: name("a"), file: .regular(.guarded)))
        try await bench.onLoop { bench in
            bench.submit(.remove(directory: .root, name: name("a")))
            bench.host.flush()
            bench.host.close()
        }
        try await eventually("the entry is applied") { try await bench.onLoop { $0.isIdle() } }
        #expect(try await bench.onLoop { $0.cache.rows.bytes } == 0)
        try await bench.close()
    }
}

private func name(_ text: String) -> FileName {
    guard let name = FileName(text) else { preconditionFailure("a test's name is a name: \(text)") }
    return name
}

extension NamespaceOperation {
    fileprivate static func create(directory: InodeNumber, name: FileName, file: NewFile) -> NamespaceOperation {
        .create(directory: directory, name: name, file: file, attributes: AttributeChanges(mode: 0o755))
    }
}

/// A host on a loop of its own, beside a machine over plain arrays that applies each entry as it is handed to the host.
private struct Bench: Sendable {
    private let state: OnLoop<BenchState>
    private let thread: DiskThread
    private let folder: TestFolder

    init(limit: Int = 1 << 20) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let folder = try TestFolder()
        let thread = try DiskThread(name: "namespace")
        let home = CompletionHome { loop.execute($0) }
        let opened: Opened = try await withCheckedThrowingContinuation { done in
            let admission = thread.submit(
                to: home,
                work: { () throws(DiskError) -> Opened in
                    let files = try DiskFolder(path: folder.path, health: DiskHealth(onFailure: { _ in }))
                    do {
                        let rows = try NamespaceDatabase(in: files, name: "m1", .new)
                        let log = try rows.database.walFile()
                        let unit = try NamespaceUnit(fileset: .root, rows: rows)
                        return Opened(unit: ThreadBound(unit, to: thread), log: log)
                    } catch {
                        throw DiskError(.database, path: folder.path, .malformed("\(error)"))
                    }
                }, completion: { done.resume(with: $0.mapError { $0 as any Error }) })
            if admission != .accepted { done.resume(throwing: Timeout(description: "the thread takes no work")) }
        }
        self.folder = folder
        self.thread = thread
        state = try await loop.submit {
            let cache = SharedRowCache(limit: limit)
            let host = NamespaceHost(
                fileset: .root, applied: .zero, thread: thread, home: home, loop: loop, unit: opened.unit,
                writeAheadLog: opened.log, cache: cache)
            return OnLoop(try BenchState(host, cache), loop: loop)
        }.get()
        _ = try await apply(.initialize(FilesetSetup(mode: 0o777)))
    }

    private struct Opened: Sendable {
        var unit: ThreadBound<NamespaceUnit>
        var log: DiskFile
    }

    func onLoop<T: Sendable>(_ body: @escaping @Sendable (BenchState) -> T) async throws -> T {
        try await state { body($0) }
    }

    /// The result, as soon as it is told.
    func apply(_ operation: NamespaceOperation, session: UInt64 = 0) async throws -> NamespaceResult? {
        let entry = try await onLoop { state in
            let entry = state.submit(operation, session: SessionID(session))
            state.host.flush()
            return entry
        }
        try await eventually("\(operation) is applied") { try await onLoop { $0.host.applied >= entry } }
        return try await onLoop { $0.results[entry] }
    }

    /// What is answered before the call returns.
    func atOnce(_ query: NamespaceQuery) async throws -> NamespaceAnswer? {
        try await onLoop { state in
            let waiting = state.ask(query)
            return waiting.answer
        }
    }

    func ask(_ query: NamespaceQuery) async throws -> NamespaceAnswer? {
        try await onLoop { state in
            state.last = state.ask(query)
            state.host.flush()
        }
        try await eventually("\(query) is answered") { try await onLoop { $0.last?.isAnswered == true } }
        return try await onLoop { $0.last?.answer }
    }

    func export() async throws -> [ByteBuffer] {
        var parts: [ByteBuffer] = []
        while true {
            try await onLoop { state in
                state.part = nil
                state.host.exportNext(1) { state.part = $0 }
                state.host.flush()
            }
            try await eventually("a part comes") { try await onLoop { $0.part != nil } }
            guard let part = try await onLoop({ $0.part }) else { return parts }
            parts.append(ByteBuffer(bytes: part.bytes))
            if part.position == .last { return parts }
        }
    }

    /// The digest of all rows, in one batch with an operation in front of it.
    func digest(behind operation: NamespaceOperation? = nil) async throws -> RowsFinding? {
        try await onLoop { state in
            state.found = nil
            if let operation { state.submit(operation) }
            state.host.digest(from: .least, limit: 1000) { state.found = $0 }
            state.host.flush()
        }
        try await eventually("rows are compared") { try await onLoop { $0.found != nil } }
        return try await onLoop { $0.found }
    }

    func install(_ part: ByteBuffer, step: UInt32) async throws {
        try await onLoop { state in
            state.isInstalled = false
            state.host.install(part, step: step) { state.isInstalled = true }
            state.host.flush()
        }
        try await eventually("a part is installed") { try await onLoop { $0.isInstalled } }
    }

    func sessions() async throws -> [SessionID] {
        try await onLoop { state in
            state.sessions = nil
            state.host.sessions { state.sessions = $0 }
            state.host.flush()
        }
        try await eventually("they are told") { try await onLoop { $0.sessions != nil } }
        return try await onLoop { $0.sessions ?? [] }
    }

    /// So many entries are given up.
    func forgo(_ entries: Int) async throws {
        try await onLoop { state in
            state.isInstalled = false
            state.host.forgo(through: state.passOver(entries)) { state.isInstalled = true }
            state.host.flush()
        }
        try await eventually("they are given up") { try await onLoop { $0.isInstalled } }
    }

    func closeAndCountTombstones() async throws -> Int {
        try await close()
        let files = try DiskFolder(path: folder.path, health: DiskHealth(onFailure: { _ in }))
        let rows = try NamespaceDatabase(in: files, name: "m1", .existing)
        return try rows.changes(after: .after(version: 0), limit: .max).count { $0.value == nil }
    }

    func close() async throws {
        let unit = try await onLoop { $0.host.unit }
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            let admission = thread.submit(to: CompletionHome { $0() }) {
                unit?.release()
                return { done.resume() }
            }
            if admission != .accepted { done.resume(throwing: Timeout(description: "the thread takes no work")) }
        }
        thread.stop()
    }
}

/// Touched on the loop only.
private final class BenchState {
    final class Waiting {
        var answer: NamespaceAnswer?
        var isAnswered = false
    }

    let host: NamespaceHost
    let cache: SharedRowCache
    private let rows = RowArrays()
    private var machine: NamespaceMachine
    private var clock: Int64 = 0
    private var named = 0
    private var open = 0
    var serves = true
    /// Inodes that are asked for as soon as a change is told.
    var asksAtOnce = 0
    var results: [EntryName: NamespaceResult] = [:]
    var wrong: String?
    var failure: String?
    var last: Waiting?
    var part: NamespacePart?
    var found: RowsFinding?
    var isInstalled = false
    var sessions: [SessionID]?

    init(_ host: NamespaceHost, _ cache: SharedRowCache) throws {
        self.host = host
        self.cache = cache
        machine = try NamespaceMachine(fileset: .root, rows: rows)
        host.serves = { [unowned self] in serves }
        host.failed = { [unowned self] in failure = $0 }
        host.appliedThrough = { [unowned self] _, found in
            for (entry, bytes) in found {
                results[entry] = try? ByteBuffer(bytes: bytes).decoded { r throws(WireError) in
                    try NamespaceResult(from: &r)
                }
            }
            if asksAtOnce == 0 { return }
            for inode in 1...asksAtOnce { ask(.attributes(inode: InodeNumber(UInt64(inode)))) }
        }
    }

    /// Hands over what waits; whether nothing is left.
    func isIdle() -> Bool {
        host.flush()
        return open == 0 && host.depth == 0 && host.applied == machine.applied
    }

    @discardableResult
    func submit(
        _ operation: NamespaceOperation, as caller: Credentials = .superuser, session: SessionID = .none
    ) -> EntryName {
        named += 1
        let request = session == .none ? RequestNumber.none : RequestNumber(1)
        let name = EntryName(epoch: Epoch(1), n: UInt64(named))
        clock = max(clock + 1, Int64(named) * 1_000_000)
        let time = Timestamp(nanoseconds: clock)
        let entry = NamespaceEntry(semantics: 1, credentials: caller, operation: operation)
        host.apply(
            Entry(
                name: name, body: .namespace, session: session, request: request, durability: .stable,
                lossNumber: .zero, time: time),
            ByteBuffer(bytes: wireBytes(entry.encode)))
        do {
            _ = try machine.apply(
                NamespaceChange(name: name, time: time, session: session, request: request, call: nil, entry: entry),
                rows: rows)
            try machine.commit(rows: rows)
        } catch {
            wrong = "the plain machine failed: \(error)"
        }
        return name
    }

    func passOver(_ entries: Int) -> EntryName {
        named += entries
        let name = EntryName(epoch: Epoch(1), n: UInt64(named))
        machine.forgo(through: name)
        return name
    }

    func applyDamaged() {
        named += 1
        host.apply(
            Entry(
                name: EntryName(epoch: Epoch(1), n: UInt64(named)), body: .namespace, durability: .stable,
                lossNumber: .zero, time: Timestamp(nanoseconds: 0)), ByteBuffer(bytes: [0xFF]))
        host.flush()
    }

    @discardableResult
    func ask(_ query: NamespaceQuery, as caller: Credentials = .superuser) -> Waiting {
        let waiting = Waiting()
        let question = NamespaceQuestion(credentials: caller, session: SessionID(9), query: query)
        let now = Timestamp(nanoseconds: Int64(named) * 1_000_000)
        let expected = try? machine.answer(question, at: now, rows: rows).answer
        open += 1
        host.answer(ByteBuffer(bytes: wireBytes(question.encode)), asOf: now) { [self] bytes, _ in
            open -= 1
            waiting.isAnswered = true
            waiting.answer = bytes.flatMap { bytes in
                try? ByteBuffer(bytes: bytes).decoded { r throws(WireError) in try NamespaceAnswer(from: &r) }
            }
            if waiting.answer != expected, failure == nil, !isInstalled {
                wrong = "\(query): \(String(describing: waiting.answer)) instead of \(String(describing: expected))"
            }
        }
        return waiting
    }

    /// Some entries and questions of one cycle of the loop, handed over or left for the next.
    func randomStep(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        func inode() -> InodeNumber { InodeNumber(UInt64(1 + random.below(10))) }
        func label() -> FileName { name("n\(random.below(5))") }
        func caller() -> Credentials { random.below(2) == 0 ? .superuser : Credentials(uid: 7, gid: 7) }
        for _ in 0..<random.below(10) {
            switch random.below(20) {
            case 0...1:
                submit(
                    .create(
                        directory: inode(), name: label(),
                        file: random.below(2) == 0 ? .directory : .regular(.unchecked)),
                    as: caller())
            case 2: submit(.remove(directory: inode(), name: label()), as: caller())
            case 3: submit(.rename(from: inode(), name: label(), to: inode(), newName: label()), as: caller())
            case 4:
                let changes = AttributeChanges(mode: random.below(2) == 0 ? 0o700 : 0o777)
                submit(.setAttributes(inode: inode(), changes: changes, guardTime: nil))
            case 5: submit(.registerWriter(inode: inode(), session: SessionID(UInt64(1 + random.below(2)))))
            case 6:
                submit(
                    random.below(2) == 0
                        ? .recordUsage(bytes: UInt64(random.below(20)))
                        : .setQuota(FilesetQuota(bytes: UInt64(random.below(20)))))
            case 7...12: ask(.lookup(directory: inode(), name: label()), as: caller())
            case 13...16: ask(.attributes(inode: inode()))
            default: ask(.access(inode: inode(), rights: AccessRights(rawValue: 0x3F)), as: caller())
            }
            if random.below(8) == 0 { host.flush() }
        }
        if random.below(60) == 0 { serves.toggle() }
        if random.below(8) == 0 { serves = true }
        if random.below(4) != 0 { host.flush() }
    }
}
