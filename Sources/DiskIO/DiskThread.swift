import CSupport
import Synchronization

/// Threads for calls that may wait for a device, on one bounded queue. With one thread jobs run in the order of their
/// submission, which is what SQLite needs; with more they share the queue.
///
/// A thread takes all that waits for it at each wake-up, and hands completions over in one hop per home when it has
/// done them, or after 200 µs, so that a quick job never waits long for a slow neighbour.
public final class DiskThread: Sendable {
    /// What a job gives back: runs at the job's home.
    public typealias Completion = @Sendable () -> Void

    fileprivate struct Job {
        let home: CompletionHome
        let run: @Sendable () -> Completion?
    }

    fileprivate struct Queue {
        var waiting: [Job] = []
        /// Jobs taken by threads and not done.
        var running = 0
        var isStopping = false
        var highWater = 0
    }

    public let name: String
    private let capacity: Int
    private let queue: Monitor<Queue>
    private let threads: [NativeThread]
    private let jobsDone: Counter

    private final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
    }

    /// Starts `count` threads called `name` (with a number if there are several; at most 15 bytes show).
    public init(name: String, count: Int = 1, capacity: Int = DiskLimits.threadQueue) throws(DiskError) {
        precondition(count >= 1 && capacity >= 1, "a disk thread needs a thread and room for a job")
        self.name = name
        self.capacity = capacity
        let queue = Monitor(Queue())
        let jobsDone = Counter()
        self.queue = queue
        self.jobsDone = jobsDone
        var threads: [NativeThread] = []
        do throws(DiskError) {
            for index in 0..<count {
                threads.append(
                    try NativeThread(name: count == 1 ? name : "\(name)\(index)") {
                        DiskThread.run(queue, share: count) { _ = jobsDone.value.wrappingAdd($0, ordering: .relaxed) }
                    })
            }
        } catch {
            DiskThread.stop(queue, threads)
            throw error
        }
        self.threads = threads
    }

    /// The marks that a watchdog watches, one a thread.
    public var marks: [CallMark] { threads.map(\.mark) }

    /// Jobs that wait or run.
    public var depth: Int { queue.withLock { $0.waiting.count + $0.running } }
    /// The greatest depth so far.
    public var highWater: Int { queue.withLock { $0.highWater } }
    /// Jobs done since the start.
    public var done: UInt64 { jobsDone.value.load(ordering: .relaxed) }

    /// Queues a job; what it returns runs at `home`. Never waits.
    /// `limit`: refused with `.full` when as many wait already; never more than the queue's own bound.
    public func submit(
        to home: CompletionHome, atMost limit: Int = .max, _ job: @escaping @Sendable () -> Completion?
    ) -> Admission {
        let admission: Admission = queue.withLock { queue in
            if queue.isStopping { return .stopped }
            let depth = queue.waiting.count + queue.running
            guard depth < min(capacity, limit) else { return .full }
            queue.waiting.append(Job(home: home, run: job))
            queue.highWater = max(queue.highWater, depth + 1)
            return .accepted
        }
        // Costs no system call when no thread sleeps.
        if admission == .accepted { queue.wakeOne() }
        return admission
    }

    /// Queues work with a result; `completion` gets it at `home`.
    public func submit<Value: Sendable>(
        to home: CompletionHome, work: @escaping @Sendable () throws(DiskError) -> Value,
        completion: @escaping @Sendable (Result<Value, DiskError>) -> Void
    ) -> Admission {
        submit(to: home) {
            let result: Result<Value, DiskError>
            do throws(DiskError) { result = .success(try work()) } catch { result = .failure(error) }
            return { completion(result) }
        }
    }

    /// Whether the caller runs on the (single) thread.
    public var isCurrent: Bool { threads.contains { $0.isCurrent } }

    /// Takes no more jobs, does those that wait, and returns when the threads have ended and every completion was handed
    /// to its home. Not to be called from a job.
    public func stop() { DiskThread.stop(queue, threads) }

    /// Lets the threads do what waits and end by themselves.
    deinit {
        queue.withLock { $0.isStopping = true }
        queue.wakeAll()
    }

    private static func stop(_ queue: Monitor<Queue>, _ threads: [NativeThread]) {
        queue.withLock { $0.isStopping = true }
        queue.wakeAll()
        for thread in threads { thread.join() }
    }

    private static func run(_ queue: Monitor<Queue>, share: Int, done: (UInt64) -> Void) {
        var batch: [Job] = []
        var outbox = Outbox()
        while true {
            let finished = batch.count
            batch.removeAll(keepingCapacity: true)
            done(UInt64(finished))
            queue.withLock { $0.running -= finished }
            let isOver: Bool = queue.wait { queue in
                if queue.waiting.isEmpty { return queue.isStopping ? true : nil }
                let take = share == 1 ? queue.waiting.count : max(1, queue.waiting.count / share)
                if take == queue.waiting.count {
                    swap(&batch, &queue.waiting)
                } else {
                    batch.append(contentsOf: queue.waiting.prefix(take))
                    queue.waiting.removeFirst(take)
                }
                queue.running += take
                return false
            }
            if isOver { return }
            var firstReady: Int64 = 0
            for job in batch {
                guard let completion = job.run() else { continue }
                if outbox.isEmpty { firstReady = cs_boot_time_ns() }
                outbox.add(completion, for: job.home)
                if batch.count > 1, cs_boot_time_ns() - firstReady > DiskLimits.handOverDelay { outbox.deliver() }
            }
            outbox.deliver()
        }
    }
}
