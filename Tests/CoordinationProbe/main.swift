import ClusterModel
import Coordination
import Foundation
import GRDB
import Synchronization

// A process of its own for the tests of Coordination: it is killed and stopped at random while it uses a store.
//
//   CoordinationProbe MODE STORE LEASEFOLDER NAME SEED
//
// It prints one line per fact, at once, and ends when its standard input ends.

/// One line in one write, so that a kill never leaves half of it behind in a buffer.
@Sendable func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(1, bytes, bytes.count)
}

let arguments = CommandLine.arguments
guard arguments.count == 6, let seed = UInt64(arguments[5]) else {
    say("usage: CoordinationProbe MODE STORE LEASEFOLDER NAME SEED")
    exit(2)
}
let (mode, path, folder, name) = (arguments[1], arguments[2], arguments[3], arguments[4])
let queue = DispatchQueue(label: "probe")
let executor: CompletionExecutor = { work in queue.async { work() } }
let terms = LeaseTerms(duration: .milliseconds(600), margin: .milliseconds(100), interval: .milliseconds(100))

Thread.detachNewThread {
    while readLine() != nil {}
    exit(0)
}

func wait<Value: Sendable>(_ start: (@escaping @Sendable (Value) -> Void) -> Void) -> Value {
    let done = DispatchSemaphore(value: 0)
    let box = Mutex<Value?>(nil)
    start { value in
        box.withLock { $0 = value }
        done.signal()
    }
    done.wait()
    guard let value = box.withLock({ $0 }) else { fatalError("the completion stored a value before it signalled") }
    return value
}

struct Random {
    var state: UInt64
    mutating func next(_ bound: UInt64) -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return (z ^ (z >> 31)) % bound
    }
}

func number(_ entry: KeyValue?) -> Int { entry.flatMap { Int(String(decoding: $0.value, as: UTF8.self)) } ?? 0 }
func value(_ number: Int) -> [UInt8] { Array(String(number).utf8) }

let coordinator: LocalCoordinator
do {
    coordinator = try LocalCoordinator(
        .init(path: path, leaseFolder: folder, terms: terms, report: { say("event \($0)") }))
} catch {
    say("failed \(error)")
    exit(1)
}

func takeLease() -> HeldLease? {
    let result: Result<HeldLease, CoordinationError> = wait { done in
        let request = LeaseRequest(
            owner: LeaseOwner(name), hasProgress: { true }, lapsed: { say("lapsed \($0.rawValue) \($1)") })
        coordinator.takeLease(request, on: executor, completion: done)
    }
    switch result {
    case .success(let lease):
        say("lease \(lease.number.rawValue)")
        return lease
    case .failure(let error):
        say("refused \(error)")
        return nil
    }
}

/// Moves amounts between accounts and counts its own transfers in the same transaction.
func transfer() {
    var random = Random(state: seed)
    _ = takeLease()
    let counter = Key("counter/\(name)")
    while true {
        let accounts = [Key("account/\(random.next(8))"), Key("account/\(random.next(8))")]
        if accounts[0] == accounts[1] { continue }
        let read: Result<Snapshot, CoordinationError> = wait {
            coordinator.read(.keys(accounts + [counter]), on: executor, completion: $0)
        }
        guard case .success(let snapshot) = read else { continue }
        let amount = Int(random.next(100))
        let count = number(snapshot[counter]) + 1
        let balances = accounts.map { number(snapshot[$0]) }
        let outcome: TransactionOutcome = wait {
            coordinator.commit(
                Transaction(
                    comparisons: (accounts + [counter]).map { .version($0, snapshot[$0]?.version ?? .absent) },
                    changes: [
                        .put(accounts[0], value(balances[0] - amount)), .put(accounts[1], value(balances[1] + amount)),
                        .put(counter, value(count)),
                    ]),
                on: executor, completion: $0)
        }
        switch outcome {
        case .won: say("won \(count)")
        case .unknown(let error): say("unknown \(error)")
        case .refused(let error): say("refused \(error)")
        case .lost: break
        }
    }
}

/// Claims the one role "primary" whenever the lease of its holder has ended, and prints each instant at which it would
/// have served under it.
func claim() {
    let key = Key("primary")
    var lease: HeldLease?
    while true {
        usleep(2000)
        if lease == nil || lease?.hasEnded == true { lease = takeLease() }
        guard let lease else { continue }
        let read: Result<Snapshot, CoordinationError> = wait {
            coordinator.read(.keys([key]), on: executor, completion: $0)
        }
        guard case .success(let snapshot) = read else { continue }
        let fields =
            snapshot[key].map { String(decoding: $0.value, as: UTF8.self).split(separator: " ") } ?? ["0", "0"]
        let (epoch, holder) = (Int(fields[0]) ?? 0, LeaseNumber(UInt32(fields[1]) ?? 0))
        if holder == lease.number {
            // The record is read again only now and then, as a primary does.
            for _ in 0..<20 {
                let now = LeaseClock.now
                guard lease.isSurelyValid(at: now) else { break }
                say("serve \(epoch) \(now.nanoseconds)")
                usleep(1000)
            }
            continue
        }
        let state: Result<LeaseState, CoordinationError> = wait {
            coordinator.revoke(holder, on: executor, completion: $0)
        }
        guard case .success(.ended) = state else { continue }
        let outcome: TransactionOutcome = wait {
            coordinator.commit(
                Transaction(
                    comparisons: [.version(key, snapshot[key]?.version ?? .absent), .leaseEnded(holder)],
                    changes: [.put(key, Array("\(epoch + 1) \(lease.number.rawValue)".utf8))]),
                on: executor, completion: $0)
        }
        if case .won = outcome { say("claimed \(epoch + 1) \(lease.number.rawValue)") }
    }
}

/// Stops itself inside a transaction that locks everybody out.
func stopInside() throws {
    _ = takeLease()
    var configuration = Configuration()
    configuration.busyMode = .timeout(10)
    let connection = try DatabaseQueue(path: path, configuration: configuration)
    try connection.inDatabase { db in
        try db.execute(sql: "BEGIN EXCLUSIVE; UPDATE store SET revision = revision + 1000")
        say("stopping")
        raise(SIGSTOP)
        try db.execute(sql: "COMMIT")
    }
    say("went on")
    pause()
}

func hold() {
    _ = takeLease()
    while true { pause() }
}

/// Lets every write beyond the file's present size fail, puts more than fits, and goes on.
func writeError() {
    func put(_ text: String, _ bytes: Int) -> TransactionOutcome {
        let changes: [Change] = [
            .put(Key("small"), Array(text.utf8)), .put(Key("large"), Array(repeating: 7, count: bytes)),
        ]
        return wait { coordinator.commit(Transaction(comparisons: [], changes: changes), on: executor, completion: $0) }
    }
    say("before \(put("before", 10))")
    var status = stat()
    _ = stat(path, &status)
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: rlim_t(status.st_size), rlim_max: rlim_t.max)
    setrlimit(__rlimit_resource_t(1), &limit)
    say("during \(put("during", 200_000))")
    limit.rlim_cur = rlim_t.max
    setrlimit(__rlimit_resource_t(1), &limit)
    say("after \(put("after", 10))")
}

/// Prints what things cost: the median of `count` runs, in nanoseconds.
func measure() {
    func report(_ what: String, _ count: Int, _ body: () -> Void) {
        var times: [UInt64] = []
        for _ in 0..<count {
            let start = LeaseClock.now
            body()
            times.append((LeaseClock.now - start).nanoseconds)
        }
        say("\(what): \(times.sorted()[count / 2]) ns, worst \(times.max() ?? 0)")
    }
    let record = [UInt8](repeating: 1, count: 200)
    func change(_ i: Int) -> Change { .put(Key("pg/\(i)"), record) }
    func commit(_ changes: [Change]) {
        let outcome: TransactionOutcome = wait {
            coordinator.commit(Transaction(comparisons: [], changes: changes), on: executor, completion: $0)
        }
        if case .won = outcome { return }
        say("not won: \(outcome)")
    }
    report("one record", 200) { commit([change(0)]) }
    report("64 records in one transaction", 50) { commit((0..<64).map(change)) }
    report("64 transactions sent together", 50) {
        let group = DispatchGroup()
        for i in 0..<64 {
            group.enter()
            let transaction = Transaction(comparisons: [], changes: [change(i)])
            coordinator.commit(transaction, on: executor) { _ in group.leave() }
        }
        group.wait()
    }
    report("64 records one by one", 10) { for i in 0..<64 { commit([change(i)]) } }
    report("read of 64 records", 200) {
        let _: Result<Snapshot, CoordinationError> = wait {
            coordinator.read(.prefix(Key("pg/")), on: executor, completion: $0)
        }
    }
    guard let lease = takeLease() else { return }
    report("revoke of a live lease", 200) {
        let _: Result<LeaseState, CoordinationError> = wait {
            coordinator.revoke(lease.number, on: executor, completion: $0)
        }
    }
    var valid = 0
    var now = LeaseClock.now
    report("a million isSurelyValid(at:)", 11) {
        for _ in 0..<1_000_000 where lease.isSurelyValid(at: now) { valid += 1 }
        now = LeaseClock.now
    }
    report("a million isSurelyValid", 11) { for _ in 0..<1_000_000 where lease.isSurelyValid { valid += 1 } }
    say("\(valid) of 22000000 valid")
}

switch mode {
case "write-error": writeError()
case "measure": measure()
case "transfer": transfer()
case "claim": claim()
case "stop-inside": try stopInside()
case "hold": hold()
default:
    say("unknown mode \(mode)")
    exit(2)
}
