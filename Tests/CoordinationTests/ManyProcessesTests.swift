import ClusterModel
import Foundation
import Testing

@testable import Coordination

/// Several processes on one store, killed and stopped at any instant (traps 23).
@Suite("Many processes", .serialized) struct ManyProcessesTests {
    @Test(
        "killed and stopped anywhere, no transaction is lost or half done and the others go on",
        arguments: [11, 12] as [UInt64])
    func transfers(seed: UInt64) async throws {
        var random = SplitMix64(state: seed)
        let folder = try TestFolder()
        try folder.create(initial: (0..<8).map { .put("account/\($0)", "1000") })
        let names = (0..<3).map { "p\($0)" }
        var probes = try names.map {
            try ProbeProcess("transfer", in: folder, name: $0, seed: .random(in: 0...999, using: &random))
        }
        var past: [ProbeProcess] = []
        try await eventually("all of them transfer") { probes.allSatisfy { $0.lines(beginning: "won").count > 5 } }

        for round in 0..<24 {
            try await Task.sleep(for: .milliseconds(Int.random(in: 5...120, using: &random)))
            for index in probes.indices where !probes[index].isAlive {
                past.append(probes[index])
                probes[index] = try ProbeProcess(
                    "transfer", in: folder, name: names[index], seed: .random(in: 0...999, using: &random))
            }
            let victim = Int.random(in: 0..<3, using: &random)
            let others = probes.indices.filter { $0 != victim }
            let before = others.map { probes[$0].lines(beginning: "won").count }
            if round % 3 == 0 {
                probes[victim].signal(SIGSTOP)
                // Longer than a lease and a stopped holder's second of grace: it may be killed meanwhile.
                try await eventually("seed \(seed): the others go on beside a stopped process") {
                    zip(others, before).allSatisfy { probes[$0].lines(beginning: "won").count > $1 + 3 }
                }
                probes[victim].signal(SIGCONT)
            } else {
                probes[victim].signal(SIGKILL)
                try await eventually("seed \(seed): the others go on beside a killed process") {
                    zip(others, before).allSatisfy { probes[$0].lines(beginning: "won").count > $1 + 3 }
                }
            }
        }
        for probe in probes { probe.signal(SIGKILL) }
        try await eventually("all are dead") { probes.allSatisfy { !$0.isAlive } }

        let store = try folder.open()
        let accounts = try await store.read(.prefix(Key("account/")))
        #expect(accounts.entries.count == 8)
        #expect(accounts.entries.reduce(0) { $0 + (Int(String(decoding: $1.value, as: UTF8.self)) ?? 0) } == 8000)
        for name in names {
            let mine = (past + probes).filter { $0.name == name }
            let won = mine.flatMap { $0.lines(beginning: "won ") }.compactMap { Int($0.dropFirst(4)) }
            let counter = Int(try await store.value(Key("counter/\(name)")) ?? "") ?? 0
            #expect(Set(won).count == won.count, "seed \(seed): a number was won twice by \(name)")
            #expect(counter >= won.max() ?? 0, "seed \(seed): \(name) was told of a transaction that is not there")
            #expect(mine.flatMap { $0.lines(beginning: "unknown") }.isEmpty)
        }
    }

    @Test(
        "two never serve at the same time, whoever is stopped or killed, and the role goes on",
        arguments: [21, 22] as [UInt64])
    func claims(seed: UInt64) async throws {
        var random = SplitMix64(state: seed)
        let folder = try TestFolder()
        try folder.create()
        var probes = try (0..<3).map { try ProbeProcess("claim", in: folder, name: "p\($0)") }
        var past: [ProbeProcess] = []
        func claims() -> Int { (past + probes).reduce(0) { $0 + $1.lines(beginning: "claimed").count } }
        for round in 0..<8 {
            // Most often the one that serves is hit.
            let begun = LeaseClock.now.nanoseconds
            try await eventually("seed \(seed): somebody serves") { probes.contains { last($0) > begun } }
            let serving = probes.indices.max { last(probes[$0]) < last(probes[$1]) } ?? 0
            let victim = round % 4 == 3 ? Int.random(in: 0..<3, using: &random) : serving
            let isKilled = Bool.random(using: &random)
            probes[victim].signal(isKilled ? SIGKILL : SIGSTOP)
            let hit = LeaseClock.now.nanoseconds
            try await eventually("seed \(seed): another one serves") {
                probes.indices.contains { $0 != victim && last(probes[$0]) > hit }
            }
            if !isKilled { probes[victim].signal(SIGCONT) }
            try await eventually("it is dead or goes on") { !probes[victim].isAlive || !isStopped(probes[victim].pid) }
            for index in probes.indices where !probes[index].isAlive {
                past.append(probes[index])
                probes[index] = try ProbeProcess("claim", in: folder, name: "p\(index)")
            }
            try await Task.sleep(for: .milliseconds(Int.random(in: 50...300, using: &random)))
        }
        for probe in probes { probe.signal(SIGKILL) }
        try await eventually("all are dead") { probes.allSatisfy { !$0.isAlive } }

        var served: [(epoch: Int, at: UInt64)] = []
        for line in (past + probes).flatMap({ $0.lines(beginning: "serve ") }) {
            let fields = line.split(separator: " ")
            served.append((try #require(Int(fields[1])), try #require(UInt64(fields[2]))))
        }
        served.sort { $0.at < $1.at }
        #expect(served.count > 100)
        for (earlier, later) in zip(served, served.dropFirst()) {
            #expect(
                earlier.epoch <= later.epoch, "seed \(seed): epoch \(earlier.epoch) served within epoch \(later.epoch)")
        }
        #expect(claims() > 4)
    }

    @Test("a process that stopped inside a transaction is killed once its lease has ended, and its change is undone")
    func stoppedInside() async throws {
        let folder = try TestFolder()
        try folder.create()
        let events = Collector<CoordinationEvent>()
        let store = try folder.open(report: { events.add($0) })
        let lease = try await store.takeLease()
        let revision = try await store.make([.put("a", "1")])
        let probe = try ProbeProcess("stop-inside", in: folder, name: "stopped")
        try await eventually("it stops") { isStopped(probe.pid) && probe.lines.contains("stopping") }
        let number = LeaseNumber(try #require(UInt32(probe.lines(beginning: "lease ")[0].dropFirst(6))))

        let asked = LeaseClock.now
        #expect(try await store.make([.put("a", "2")]) == revision.next)
        #expect(LeaseClock.now - asked > .seconds(1))
        #expect(LeaseClock.now - asked < .seconds(6))
        #expect(events.all.contains(.killedStoppedHolder(process: probe.pid, leases: [number])))
        try await eventually("it is dead") { !probe.isAlive }
        #expect(try await store.revoke(number) == .ended)
        #expect(lease.isSurelyValid)
    }

    @Test("a stopped process that is not ours and has no lease is not killed; waiting has a bound and names it")
    func foreignHolder() async throws {
        let folder = try TestFolder()
        try folder.create()
        let events = Collector<CoordinationEvent>()
        let store = try folder.open(report: { events.add($0) })
        let lease = try await store.takeLease()
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        shell.arguments = [
            "python3", "-c",
            "import sqlite3,os,signal,sys\nc=sqlite3.connect(sys.argv[1])\nc.execute('BEGIN EXCLUSIVE')\nos.kill(os.getpid(),signal.SIGSTOP)",
            folder.store,
        ]
        try shell.run()
        defer { kill(shell.processIdentifier, SIGKILL) }
        try await eventually("it stops") { isStopped(shell.processIdentifier) }
        #expect(await store.commit([], [.put("a", "1")]) == .refused(.busy(holders: [shell.processIdentifier])))
        #expect(shell.isRunning)
        #expect(events.all.contains(.waitsForStoppedHolder(process: shell.processIdentifier)))
        #expect(lease.isSurelyValid, "renewal waits for no lock")
        kill(shell.processIdentifier, SIGKILL)
        try await store.make([.put("a", "1")])
    }

    @Test("a killed process' lease can be revoked after its duration, not before")
    func killedHolder() async throws {
        let folder = try TestFolder()
        try folder.create()
        let store = try folder.open()
        let probe = try ProbeProcess("hold", in: folder, name: "held")
        try await eventually("it has a lease") { !probe.lines(beginning: "lease ").isEmpty }
        let number = LeaseNumber(try #require(UInt32(probe.lines(beginning: "lease ")[0].dropFirst(6))))
        let killed = LeaseClock.now
        probe.signal(SIGKILL)
        try await store.waitUntilEnded(number)
        let took = LeaseClock.now - killed
        #expect(
            took > TimeSpan(nanoseconds: testTerms.duration.nanoseconds - testTerms.interval.nanoseconds - 50_000_000))
    }

    @Test("a process that was stopped for longer than its lease finds it lapsed, even if nobody revoked it")
    func stoppedHolder() async throws {
        let folder = try TestFolder()
        try folder.create()
        let probe = try ProbeProcess("hold", in: folder, name: "held")
        try await eventually("it has a lease") { !probe.lines(beginning: "lease ").isEmpty }
        probe.signal(SIGSTOP)
        try await Task.sleep(for: .nanoseconds(Int(testTerms.duration.nanoseconds)))
        probe.signal(SIGCONT)
        try await eventually("it notices") { probe.lines(beginning: "lapsed").count == 1 }
        #expect(probe.lines(beginning: "lapsed")[0].hasSuffix("late"))
    }

    @Test("after a failed write the process uses the store no more, and the store is as it was or as it was to be")
    func failedWrite() async throws {
        let folder = try TestFolder()
        try folder.create()
        let probe = try ProbeProcess("write-error", in: folder, name: "p")
        try await eventually("it ends") { !probe.isAlive && !probe.lines(beginning: "after").isEmpty }
        #expect(probe.lines(beginning: "before")[0].contains("won"))
        let during = probe.lines(beginning: "during")[0]
        #expect(during.contains("unknown"), "\(during)")
        #expect(probe.lines(beginning: "after")[0].contains("refused(the coordination store is out of service"))
        #expect(probe.lines(beginning: "event").count == 1)
        let store = try folder.open()
        let (small, large) = (try await store.value(Key("small")), try await store.value(Key("large")))
        #expect((small == "before" && large?.utf8.count == 10) || (small == "during" && large?.utf8.count == 200_000))
        try await store.make([.put("small", "next")])
    }

    private func last(_ probe: ProbeProcess) -> UInt64 {
        probe.lines(beginning: "serve ").last.flatMap { UInt64($0.split(separator: " ")[2]) } ?? 0
    }
}

func isStopped(_ process: pid_t) -> Bool { ProcessStatus(of: process)?.isStopped ?? false }
