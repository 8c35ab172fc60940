import ClusterModel
import Simulation
import Store
import Testing

/// Runs one store on a fake disk: the effects wait here and are executed one at a time, in an order that the real shell
/// could have (log writes in order, row effects in order, the rest in any).
final class StoreHost {
    let disk: FakeDisk
    let store: Store
    var random: SplitMix64
    var payloads: [UInt64: [UInt8]] = [:]
    private var nextPayload: UInt64 = 1
    private var nextToken: UInt64 = 1
    private(set) var waiting: [StoreEffect] = []
    var notices: [StoreNotice] = []
    var report: RecoveryReport?
    var corrupt: [PGID] = []
    var isReady = false
    var isClosed = false
    var failure: StoreFailure?
    var appended: [PGID: EntryName] = [:]
    var stable: [PGID: EntryName] = [:]
    var durable: Set<StoreToken> = []
    var readable: Set<StoreToken> = []
    var changePages: [StoreToken: ChangePage] = [:]
    var badBlocks = 0
    var left: Set<PGID> = []
    var tables: [PGID: [UInt8]] = [:]
    var steps = 0
    var clock: UInt64 = 1_000_000_000
    /// Effects of these kinds are kept back.
    var holdCopies = false
    var holdCommits = false
    var holdScans = false
    var holdLoads = false
    /// Checkpoints wait for `giveTables`.
    var holdTables = false
    private(set) var tablesWanted: [PGID]?

    init(
        _ disk: FakeDisk, _ configuration: StoreConfiguration, boot: UInt64, seed: UInt64,
        _ mutation: StoreMutation? = nil
    ) {
        self.disk = disk
        random = SplitMix64(seed: seed)
        store = Store(configuration: configuration, crc: fastChecksum)
        store.mutation = mutation
        store.open(disk.facts(boot: BootID(UInt128(boot))))
        collect()
    }

    func token() -> StoreToken {
        nextToken += 1
        return StoreToken(nextToken)
    }

    func payload(_ bytes: [UInt8]) -> PayloadHandle {
        let handle = PayloadHandle(id: nextPayload, length: bytes.count)
        nextPayload += 1
        payloads[handle.id] = bytes
        return handle
    }

    // MARK: Effects

    func collect() {
        while store.hasEffects {
            for effect in store.takeEffects() {
                switch effect {
                case .notify(let notice): receive(notice)
                case .dropPayload(let handle):
                    precondition(payloads.removeValue(forKey: handle.id) != nil, "a payload is dropped once")
                default: waiting.append(effect)
                }
            }
        }
    }

    private func receive(_ notice: StoreNotice) {
        notices.append(notice)
        switch notice {
        case .recovered(let r): report = r
        case .ready: isReady = true
        case .appended(let pg, let name): appended[pg] = name
        case .stable(let pg, let name): stable[pg] = name
        case .applied: break
        case .durable(let token): durable.insert(token)
        case .readAgain(let token): readable.insert(token)
        case .changes(let token, let page): changePages[token] = page
        case .left(let pg): left.insert(pg)
        case .closed: isClosed = true
        case .tablesWanted(let groups):
            tablesWanted = groups
            if !holdTables { giveTables() }
        case .badBlock: badBlocks += 1
        case .failed(let why): failure = why
        }
    }

    func giveTables() {
        guard let groups = tablesWanted else { return }
        tablesWanted = nil
        store.giveTables(groups.map { ($0, tables[$0] ?? []) })
    }

    private enum Lane: Equatable {
        case log
        case rows
        case any
        case held
    }
    private func lane(_ effect: StoreEffect) -> Lane {
        switch effect {
        case .writeLog: .log
        case .scanRows: holdScans ? .held : .rows
        case .loadRows: holdLoads ? .held : .rows
        case .syncRows: .rows
        case .commitRows: holdCommits ? .held : .rows
        case .copyBlocks: holdCopies ? .held : .any
        case .syncLog, .syncData, .prepareSegment, .removeSegment, .writeSlots, .growData, .readLog, .checkBlocks,
            .dropPayload, .notify:
            .any
        }
    }

    /// Executes one waiting effect; false if there is none.
    @discardableResult
    func step() -> Bool {
        if executeOne() { return true }
        // The end of the cycle: what the completions have made ready goes on.
        store.endOfCycle()
        collect()
        return executeOne()
    }

    private func executeOne() -> Bool {
        var choices: [Int] = []
        var hasLog = false
        var hasRows = false
        for (i, effect) in waiting.enumerated() {
            switch lane(effect) {
            case .log:
                if !hasLog { choices.append(i) }
                hasLog = true
            case .rows:
                if !hasRows { choices.append(i) }
                hasRows = true
            case .any: choices.append(i)
            case .held:
                switch effect {
                case .commitRows, .scanRows: hasRows = true
                default: break
                }
            }
        }
        guard !choices.isEmpty else { return false }
        let effect = waiting.remove(at: choices[random.below(choices.count)])
        execute(effect)
        steps += 1
        collect()
        return true
    }

    /// Makes the transaction that `holdCommits` keeps back, if there is one.
    func makeHeldCommit() {
        let held = waiting.firstIndex { if case .commitRows = $0 { true } else { false } }
        guard let held else { return }
        execute(waiting.remove(at: held))
        collect()
    }

    func run(limit: Int = 200_000) {
        var n = 0
        while step() {
            n += 1
            if n > limit { Issue.record("effects do not end"); return }
        }
    }

    private func execute(_ effect: StoreEffect) {
        let done = disk.perform(effect) { handle in
            guard let p = payloads[handle.id] else { preconditionFailure("the store has not dropped the payload") }
            return p
        }
        if let done { store.completed(done) }
    }

    // MARK: Driving

    /// Runs until the store takes appends.
    func start() {
        run()
        store.begin(corrupt: corrupt)
        collect()
        run()
    }

    func tick(milliseconds: UInt64) {
        clock += milliseconds * 1_000_000
        store.tick(Instant(nanoseconds: clock))
        collect()
    }

    /// Runs checkpoints until nothing is left to do.
    func settle() {
        for _ in 0..<6 {
            store.requestCheckpoint()
            store.endOfCycle()
            collect()
            run()
        }
    }

    func call(_ body: (Store) -> Void) {
        body(store)
        store.endOfCycle()
        collect()
    }

    /// The group's entry n of epoch 1 comes into the log. Gives its name.
    @discardableResult
    func append(
        _ pg: PGID, _ n: UInt64, _ body: EntryBody, _ bytes: [UInt8]? = nil, _ durability: Durability = .stable
    ) -> EntryName {
        let name = EntryName(epoch: Epoch(1), n: n)
        let entry = Entry(
            name: name, body: body, session: SessionID(2), request: RequestNumber(n), durability: durability,
            lossNumber: .zero, time: .zero, payload: bytes.map { payload($0) })
        call { $0.append(pg, entry) }
        run()
        return name
    }

    // MARK: Reading

    func usage(_ pg: PGID, of file: FileID) -> FileUsage? {
        for _ in 0..<100 {
            let token = token()
            let usage = store.usage(pg, of: file, token: token)
            collect()
            if let usage { return usage }
            while !readable.contains(token), step() {}
        }
        Issue.record("the usage of \(file) does not come")
        return nil
    }

    enum ReadError: Error, Equatable { case bad(block: Int) }

    /// The blocks' bytes; nil for absent ones. Reads again as rule 5 says.
    func read(_ pg: PGID, _ object: ObjectID, _ blocks: BlockRange) throws -> [[UInt8]?] {
        for _ in 0..<100 {
            let token = token()
            let plan = store.read(pg, object, blocks, token: token)
            collect()
            guard let plan else {
                while !readable.contains(token), step() {}
                continue
            }
            var out: [[UInt8]?] = []
            var again = false
            for piece in plan.pieces {
                for i in 0..<piece.blocks.count {
                    let block = piece.blocks.first + i
                    let bytes: [UInt8]
                    switch piece.source {
                    case .absent:
                        out.append(nil)
                        continue
                    case .zero:
                        out.append([UInt8](repeating: 0, count: 4096))
                        continue
                    case .log(let segment, let offset):
                        bytes = disk.segments[segment]?.read(at: offset + i * 4096, count: 4096) ?? []
                    case .data(let offset): bytes = disk.data.read(at: Int(offset) + i * 4096, count: 4096)
                    case .payload(let handle, let offset):
                        bytes = Array((payloads[handle.id] ?? [])[(offset + i * 4096)..<(offset + i * 4096 + 4096)])
                    }
                    if bytes.withUnsafeBytes({ fastChecksum.block(object, block: block, bytes: $0) })
                        != piece.checksums[i]
                    {
                        switch store.verdict(plan, block: block) {
                        case .bad:
                            store.readFinished(plan.ticket)
                            collect()
                            throw ReadError.bad(block: block)
                        case .readAgain: again = true
                        }
                    }
                    out.append(bytes)
                }
            }
            store.readFinished(plan.ticket)
            collect()
            if !again { return out }
        }
        Issue.record("a read does not end")
        return []
    }
}

extension FakeDisk {
    convenience init() { self.init(id: DiskID(7), crc: fastChecksum) }
}

/// Quick in a debug build.
let fastChecksum = CRC32C.quick
