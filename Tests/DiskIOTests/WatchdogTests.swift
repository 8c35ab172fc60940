import ClusterModel
import DiskIO
import Glibc
import Testing

@Suite struct WatchdogTests {
    @Test("a thread inside one call for ten ticks fails its disk, and that disk only")
    func stuck() throws {
        let stuck = try TestDisk([.init(.write, calls: 1...1, effect: .hold)])
        let other = try TestDisk()
        let file = try stuck.folder.open("data", .new)
        let thread = try DiskThread(name: "io-test")
        let watchdog = Watchdog()
        watchdog.watch(thread.marks)
        watchdog.watch(stuck.health)
        watchdog.watch(other.health)
        #expect(
            thread.submit(to: InlineHome().home) {
                try? file.write([1], at: 0)
                return nil
            } == .accepted)
        eventually("the write is inside its call") { stuck.faults.held == 1 }
        // The first tick sees the call for the first time.
        for _ in 0...9 { #expect(watchdog.tick() == []) }
        #expect(!stuck.health.hasFailed)
        #expect(watchdog.tick() == ["io-test"])
        #expect(stuck.failures.all == [DiskError(.thread, path: "io-test", .stuck)])
        #expect(!other.health.hasFailed)
        #expect(watchdog.tick() == [])
        stuck.faults.release()
        thread.stop()
    }

    @Test("many short calls, one after the other, are not a stuck one")
    func shortCalls() throws {
        let disk = try TestDisk([.init(.write, effect: .hold)])
        let written = Recorder<Int>()
        let file = try disk.folder.open("data", .new)
        let thread = try DiskThread(name: "io-test")
        let watchdog = Watchdog()
        watchdog.watch(thread.marks)
        watchdog.watch(disk.health)
        #expect(
            thread.submit(to: InlineHome().home) {
                for index in 0..<4 {
                    try? file.write([1], at: Int64(index))
                    written.record(index)
                }
                return nil
            } == .accepted)
        for round in 0..<4 {
            eventually("a write is inside its call") { disk.faults.held == 1 && written.count == round }
            for _ in 0..<8 { #expect(watchdog.tick() == []) }
            disk.faults.release()
            eventually("the write is done") { written.count == round + 1 }
        }
        thread.stop()
        #expect(!disk.health.hasFailed)
    }

    @Test("an idle thread is never stuck")
    func idle() throws {
        let thread = try DiskThread(name: "io-test")
        let watchdog = Watchdog()
        watchdog.watch(thread.marks)
        for _ in 0..<50 { #expect(watchdog.tick() == []) }
        thread.stop()
    }

    @Test("the watchdog's own thread ticks, and ends when told")
    func ownThread() throws {
        let disk = try TestDisk([.init(.sync, namePrefix: "data", calls: 1...1, effect: .hold)])
        let file = try disk.folder.open("data", .new)
        let sync = try SyncThread(name: "sync-test")
        let watchdog = Watchdog(ticksToFail: 1)
        watchdog.watch(sync.marks)
        watchdog.watch(disk.health)
        try watchdog.start()
        #expect(sync.request(file, home: InlineHome().home) { _ in } == .accepted)
        eventually("the disk has failed") { disk.health.hasFailed }
        watchdog.stop()
        disk.faults.release()
        sync.stop()
        #expect(disk.failures.all.map(\.cause) == [.stuck])
    }

    @Test("a lease may be renewed only while every loop has ticked within a second")
    func progress() {
        let marks = ProgressMarks()
        func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
        let first = marks.register("loop-0", now: at(5000))
        let second = marks.register("loop-1", now: at(5000))
        #expect(marks.stalled(now: at(6000)) == [])
        first.tick(at(6000))
        #expect(marks.stalled(now: at(6001)) == ["loop-1"])
        second.tick(at(6001))
        #expect(marks.stalled(now: at(7000)) == [])
        #expect(marks.stalled(now: at(7002)) == ["loop-0", "loop-1"])
        marks.remove(second)
        #expect(marks.stalled(now: at(7002)) == ["loop-0"])
    }

    @Test("a buffer pool gives aligned regions up to its bound, and takes back what its last user releases")
    func pool() throws {
        let pool = BufferPool(capacity: 2)
        let first = try #require(pool.take())
        let second = try #require(pool.take())
        #expect(pool.take() == nil)
        #expect(first.bytes.count == 1 << 20)
        #expect(Int(bitPattern: first.bytes.baseAddress) % 4096 == 0)
        first.retain()
        first.release()
        #expect(pool.take() == nil)
        first.release()
        let third = try #require(pool.take())
        #expect(third === first)
        let metrics = pool.metrics
        #expect(metrics.inUse == 2 && metrics.highWater == 2 && metrics.made == 2 && metrics.refusals == 2)
        second.release()
        third.release()
        #expect(pool.metrics.inUse == 0)
    }
}
