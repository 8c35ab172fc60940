import CSupport
import Synchronization

/// The thread that makes files durable. Invariants:
/// - A request is answered by a sync that began after the request was made.
/// - Requests for one file that arrive while a sync runs share the next one: at most one sync of a file waits.
/// - Files take turns in the order in which they were first asked for, so a stream of log syncs cannot starve the data
///   file, and a log sync waits for at most one sync of each other file.
/// - A failed sync fails the disk, with every request that shared it and all later ones; it is not tried again.
public final class SyncThread: Sendable {
    /// Gets the outcome of the sync that covers the request, at the request's home.
    public typealias Completion = @Sendable (Result<Void, DiskError>) -> Void

    private struct Waiter {
        let home: CompletionHome
        let completion: Completion
    }

    private struct Turn {
        let file: DiskFile
        var waiters: [Waiter]
    }

    private struct Queue {
        /// One a file, in order; few: a log segment or two, a data file and some -wal files a disk.
        var turns: [Turn] = []
        var requests = 0
        var isStopping = false
        var requestsMade: UInt64 = 0
        var syncsMade: UInt64 = 0
    }

    private let capacity: Int
    private let queue: Monitor<Queue>
    private let thread: NativeThread

    public init(name: String, capacity: Int = DiskLimits.syncRequests) throws(DiskError) {
        self.capacity = capacity
        let queue = Monitor(Queue())
        self.queue = queue
        thread = try NativeThread(name: name) { SyncThread.run(queue) }
    }

    public var marks: [CallMark] { [thread.mark] }

    /// Requests that wait, and how many requests and syncs there have been: their quotient is the coalescing.
    public var metrics: (waiting: Int, requests: UInt64, syncs: UInt64) {
        queue.withLock { ($0.requests, $0.requestsMade, $0.syncsMade) }
    }

    /// Asks that everything written to `file` so far be made durable (fdatasync). Never waits.
    public func request(_ file: DiskFile, home: CompletionHome, completion: @escaping Completion) -> Admission {
        let admission: Admission = queue.withLock { queue in
            if queue.isStopping { return .stopped }
            guard queue.requests < capacity else { return .full }
            queue.requests += 1
            queue.requestsMade += 1
            let waiter = Waiter(home: home, completion: completion)
            for index in queue.turns.indices where queue.turns[index].file === file {
                queue.turns[index].waiters.append(waiter)
                return .accepted
            }
            queue.turns.append(Turn(file: file, waiters: [waiter]))
            return .accepted
        }
        if admission == .accepted { queue.wakeOne() }
        return admission
    }

    /// Takes no more requests, makes the syncs that wait, and returns when all are answered. Not from a completion that
    /// runs on the thread itself.
    public func stop() {
        queue.withLock { $0.isStopping = true }
        queue.wakeAll()
        thread.join()
    }

    deinit {
        queue.withLock { $0.isStopping = true }
        queue.wakeAll()
    }

    private static func run(_ queue: Monitor<Queue>) {
        var outbox = Outbox()
        while true {
            // From here on the turn is out of the queue: a request made now gets the next sync.
            let turn: Turn?? = queue.wait { queue in
                guard !queue.turns.isEmpty else { return queue.isStopping ? .some(nil) : nil }
                let turn = queue.turns.removeFirst()
                queue.requests -= turn.waiters.count
                queue.syncsMade += 1
                return .some(turn)
            }
            guard case .some(.some(let turn)) = turn else { return }
            let result: Result<Void, DiskError>
            do throws(DiskError) { result = .success(try turn.file.sync()) } catch { result = .failure(error) }
            for waiter in turn.waiters {
                outbox.add({ waiter.completion(result) }, for: waiter.home)
            }
            outbox.deliver()
        }
    }
}
