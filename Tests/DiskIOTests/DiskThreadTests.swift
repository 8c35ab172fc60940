import CSupport
import DiskIO
import Dispatch
import Glibc
import Synchronization
import Testing

@Suite struct DiskThreadTests {
    @Test("jobs run in their order on a thread of that name, and completions come in that order")
    func order() throws {
        let thread = try DiskThread(name: "disk-test")
        let home = InlineHome()
        let seen = Recorder<Int>()
        let names = Recorder<String>()
        for index in 0..<200 {
            let admission = thread.submit(to: home.home) {
                if index == 0 {
                    var name = [CChar](repeating: 0, count: 32)
                    _ = cs_get_thread_name(&name, 32)
                    names.record(String(decoding: name.prefix { $0 != 0 }.map { UInt8($0) }, as: UTF8.self))
                }
                return { seen.record(index) }
            }
            #expect(admission == .accepted)
        }
        thread.stop()
        #expect(seen.all == Array(0..<200))
        #expect(names.all == ["disk-test"])
        #expect(thread.done == 200 && thread.depth == 0)
    }

    @Test("completions of jobs that waited together arrive in one hop a home")
    func batching() throws {
        let thread = try DiskThread(name: "disk-test")
        let (first, second) = (InlineHome(), InlineHome())
        let (a, b) = (first.home, second.home)
        let gate = DispatchSemaphore(value: 0)
        let done = Recorder<Int>()
        #expect(
            thread.submit(to: a) {
                gate.wait()
                return nil
            } == .accepted)
        eventually("the first job runs") { thread.depth == 1 }
        for index in 0..<50 {
            #expect(thread.submit(to: index % 2 == 0 ? a : b) { { done.record(index) } } == .accepted)
        }
        gate.signal()
        thread.stop()
        #expect(done.count == 50)
        // At least two hops; a pause of the machine may split a batch after 200 µs.
        #expect(first.hops.load(ordering: .relaxed) + second.hops.load(ordering: .relaxed) < 25)
    }

    @Test("a quick job's completion does not wait for a slow one behind it in the batch")
    func handOverDelay() throws {
        let thread = try DiskThread(name: "disk-test")
        let home = InlineHome().home
        let (start, slow) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let done = Recorder<String>()
        #expect(
            thread.submit(to: home) {
                start.wait()
                return nil
            } == .accepted)
        #expect(thread.submit(to: home) { { done.record("quick") } } == .accepted)
        #expect(
            thread.submit(to: home) {
                usleep(2000)
                return { done.record("middle") }
            } == .accepted)
        #expect(
            thread.submit(to: home) {
                slow.wait()
                return { done.record("slow") }
            } == .accepted)
        start.signal()
        eventually("the quick ones are handed over while the slow one runs") { done.all == ["quick", "middle"] }
        slow.signal()
        thread.stop()
        #expect(done.all == ["quick", "middle", "slow"])
    }

    @Test("a full queue takes nothing more, and takes again when a job is done")
    func bound() throws {
        let thread = try DiskThread(name: "disk-test", capacity: 3)
        let home = InlineHome().home
        let gate = DispatchSemaphore(value: 0)
        let ran = Recorder<Int>()
        let job: @Sendable () -> DiskThread.Completion? = {
            gate.wait()
            ran.record(1)
            return nil
        }
        let started = Recorder<Int>()
        #expect(
            thread.submit(to: home) {
                started.record(1)
                return job()
            } == .accepted)
        eventually("the first job runs") { started.count == 1 }
        // A job that runs counts: what is bounded is what the caller waits for.
        for _ in 0..<2 { #expect(thread.submit(to: home, job) == .accepted) }
        #expect(thread.submit(to: home, job) == .full)
        #expect(thread.highWater == 3)
        for _ in 0..<3 { gate.signal() }
        eventually("the queue is empty") { thread.depth == 0 }
        gate.signal()
        #expect(thread.submit(to: home, job) == .accepted)
        thread.stop()
        #expect(ran.count == 4)
        #expect(thread.submit(to: home, job) == .stopped)
    }

    @Test("two threads work at the same time on one queue")
    func twoThreads() throws {
        let threads = try DiskThread(name: "io", count: 2)
        let home = InlineHome().home
        let (one, two) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let done = Recorder<Int>()
        // Each of the two waits for the other: one thread alone would never finish them.
        #expect(
            threads.submit(to: home) {
                one.signal()
                two.wait()
                return { done.record(1) }
            } == .accepted)
        #expect(
            threads.submit(to: home) {
                two.signal()
                one.wait()
                return { done.record(2) }
            } == .accepted)
        eventually("both are done") { done.count == 2 }
        threads.stop()
        #expect(threads.marks.map(\.name) == ["io0", "io1"])
    }

    @Test("a job's result or error reaches its completion")
    func results() throws {
        let disk = try TestDisk()
        let thread = try DiskThread(name: "disk-test")
        let home = InlineHome().home
        let sizes = Recorder<Result<Int64, DiskError>>()
        try disk.folder.replaceFile("a", with: [1, 2, 3])
        for name in ["a", "b"] {
            let folder = disk.folder
            let admission = thread.submit(
                to: home, work: { () throws(DiskError) -> Int64 in try folder.open(name).size() },
                completion: { sizes.record($0) })
            #expect(admission == .accepted)
        }
        thread.stop()
        #expect(sizes.all.first == .success(3))
        #expect(sizes.all.last == .failure(DiskError(.open, path: disk.folder.path + "/b", .system(ENOENT))))
    }
}

@Suite struct SyncThreadTests {
    @Test("requests that arrive while a sync runs share the next one, and none is answered by the running one")
    func coalescing() throws {
        let disk = try TestDisk([.init(.sync, namePrefix: "log", calls: 1...1, effect: .hold)])
        let log = try disk.folder.open("log", .new)
        let thread = try SyncThread(name: "sync-test")
        let home = InlineHome().home
        let answered = Recorder<Int>()
        #expect(thread.request(log, home: home) { _ in answered.record(0) } == .accepted)
        eventually("the first sync is inside its call") { disk.faults.held == 1 }
        for index in 1...100 {
            #expect(thread.request(log, home: home) { _ in answered.record(index) } == .accepted)
        }
        #expect(answered.count == 0)
        disk.faults.add(.init(.sync, namePrefix: "log", calls: 1...1, effect: .hold))
        disk.faults.release()
        eventually("the second sync is inside its call") { disk.faults.held == 1 && thread.metrics.syncs == 2 }
        eventually("the first request is answered") { answered.all == [0] }
        disk.faults.release()
        thread.stop()
        #expect(answered.all == Array(0...100))
        #expect(thread.metrics.syncs == 2 && thread.metrics.requests == 101)
    }

    @Test("files take turns, so that many log syncs do not keep the data file waiting")
    func turns() throws {
        let disk = try TestDisk([.init(.sync, namePrefix: "log", calls: 1...1, effect: .hold)])
        let log = try disk.folder.open("log", .new)
        let data = try disk.folder.open("data", .new)
        let thread = try SyncThread(name: "sync-test")
        let home = InlineHome().home
        let answered = Recorder<String>()
        #expect(thread.request(log, home: home) { _ in answered.record("log") } == .accepted)
        eventually("the first sync is inside its call") { disk.faults.held == 1 }
        #expect(thread.request(data, home: home) { _ in answered.record("data") } == .accepted)
        for _ in 0..<3 { #expect(thread.request(log, home: home) { _ in answered.record("log") } == .accepted) }
        disk.faults.release()
        thread.stop()
        #expect(answered.all == ["log", "data", "log", "log", "log"])
        #expect(thread.metrics.syncs == 3)
    }

    @Test("a failed sync fails all that share it and all later ones, and the disk")
    func failed() throws {
        let disk = try TestDisk([
            .init(.sync, namePrefix: "log", calls: 1...1, effect: .hold),
            .init(.sync, namePrefix: "log", calls: 2...2, effect: .fail(errno: EIO)),
        ])
        let log = try disk.folder.open("log", .new)
        let thread = try SyncThread(name: "sync-test")
        let home = InlineHome().home
        let failed = Recorder<Bool>()
        let completion: SyncThread.Completion = { result in
            switch result {
            case .success: failed.record(false)
            case .failure: failed.record(true)
            }
        }
        #expect(thread.request(log, home: home, completion: completion) == .accepted)
        eventually("the first sync is inside its call") { disk.faults.held == 1 }
        for _ in 0..<2 { #expect(thread.request(log, home: home, completion: completion) == .accepted) }
        disk.faults.release()
        eventually("three are answered") { failed.count == 3 }
        #expect(thread.request(log, home: home, completion: completion) == .accepted)
        thread.stop()
        #expect(failed.all == [false, true, true, true])
        #expect(disk.failures.count == 1)
    }

    @Test("requests beyond the bound are refused")
    func bound() throws {
        let disk = try TestDisk([.init(.sync, namePrefix: "log", calls: 1...1, effect: .hold)])
        let log = try disk.folder.open("log", .new)
        let thread = try SyncThread(name: "sync-test", capacity: 2)
        let home = InlineHome().home
        #expect(thread.request(log, home: home) { _ in } == .accepted)
        eventually("the first sync is inside its call") { disk.faults.held == 1 }
        #expect(thread.request(log, home: home) { _ in } == .accepted)
        #expect(thread.request(log, home: home) { _ in } == .accepted)
        #expect(thread.request(log, home: home) { _ in } == .full)
        disk.faults.release()
        thread.stop()
        #expect(thread.request(log, home: home) { _ in } == .stopped)
    }
}
