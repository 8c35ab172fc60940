import Synchronization

/// Fails the disk of a thread that is inside one call for too long. The time is counted in the watchdog's own ticks, a
/// late tick counting as one, so that a process or machine that was stopped for a minute does not fail healthy disks:
/// the watchdog was stopped as well.
public final class Watchdog: Sendable {
    private struct Watched {
        let mark: CallMark
        var count: UInt64 = 0
        var ticks = 0
    }

    private struct State {
        var threads: [Watched] = []
        var disks: [UInt64: DiskHealth] = [:]
        var isStopping = false
    }

    private let state: Monitor<State>
    private let ticksToFail: Int
    private let thread = Mutex<NativeThread?>(nil)

    /// A call that lasts `ticksToFail` ticks fails its disk.
    public init(ticksToFail: Int = DiskLimits.stuckTicks) {
        self.ticksToFail = ticksToFail
        state = Monitor(State())
    }

    /// Watches threads, for as long as the watchdog lives.
    public func watch(_ marks: [CallMark]) {
        state.withLock { state in state.threads += marks.map { Watched(mark: $0) } }
    }

    /// Names a disk whose calls can be failed.
    public func watch(_ disk: DiskHealth) { state.withLock { $0.disks[disk.number] = disk } }

    /// Forgets a disk that is closed.
    public func forget(_ disk: DiskHealth) { state.withLock { $0.disks[disk.number] = nil } }

    /// One tick; called by the watchdog's thread, or by a test instead of it. Gives the names of the threads whose call
    /// has just reached the limit.
    @discardableResult
    public func tick() -> [String] {
        let stuck: [(name: String, disk: DiskHealth?)] = state.withLock { state in
            var stuck: [(String, DiskHealth?)] = []
            for index in state.threads.indices {
                let mark = state.threads[index].mark
                let count = mark.count
                let subject = mark.subject
                // Even: in no call. Changed: another call. Changed while we looked: the subject may be another's.
                guard count % 2 == 1, count == state.threads[index].count, mark.count == count else {
                    state.threads[index].count = count
                    state.threads[index].ticks = 0
                    continue
                }
                state.threads[index].ticks += 1
                if state.threads[index].ticks == ticksToFail { stuck.append((mark.name, state.disks[subject])) }
            }
            return stuck
        }
        for (name, disk) in stuck { disk?.fail(DiskError(.thread, path: name, .stuck)) }
        return stuck.map(\.name)
    }

    /// The threads that are inside a call now, by name, for "what hangs?".
    public var threadsInCalls: [String] {
        state.withLock { $0.threads.filter { $0.mark.count % 2 == 1 }.map(\.mark.name) }
    }

    /// Starts the watchdog's own thread, a tick every 500 ms. Once.
    public func start() throws(DiskError) {
        let started = try NativeThread(name: "watchdog") { [state, weak self] in
            while state.wait(milliseconds: DiskLimits.watchdogTick, { $0.isStopping ? true : nil }) == nil {
                guard let self else { return }
                self.tick()
            }
        }
        thread.withLock { thread in
            precondition(thread == nil, "a watchdog is started once")
            thread = started
        }
    }

    /// Ends the thread.
    public func stop() {
        state.withLock { $0.isStopping = true }
        state.wakeAll()
        thread.withLock { $0 }?.join()
    }

    deinit {
        state.withLock { $0.isStopping = true }
        state.wakeAll()
    }
}
