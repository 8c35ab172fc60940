import DequeModule
import DiskIO
import NIOCore
import Transport

/// One user's jobs for a disk thread, in order. Lives on the disk's loop.
///
/// A thread's queue is bounded, and refuses what is beyond. A store that replays, or learns many groups at once, wants the
/// rows of more small entries than that; what is beyond `atMost` waits here. The store keeps state for each of them, so the
/// bounds of what it has under way bound this line, too.
final class JobLine {
    private let thread: DiskThread
    private let home: CompletionHome
    private let loop: any EventLoop
    private let atMost: Int
    private var underWay = 0
    private var waiting = Deque<() -> Admission>()

    init(thread: DiskThread, home: CompletionHome, loop: any EventLoop, atMost: Int = StorageLimits.jobsInLine) {
        self.thread = thread
        self.home = home
        self.loop = loop
        self.atMost = atMost
    }

    /// `completion` gets the result on the loop, in the order of the jobs. `.full` only if others fill the thread's queue.
    func submit<Value: Sendable>(
        work: @escaping @Sendable () throws(DiskError) -> Value,
        completion: @escaping (Result<Value, DiskError>) -> Void
    ) -> Admission {
        let owner = LoopBound((self, completion), loop: loop)
        let start = { [thread, home] in
            thread.submit(to: home, work: work) { result in
                let (line, completion) = owner.value
                line.ended()
                completion(result)
            }
        }
        if underWay >= atMost || !waiting.isEmpty {
            waiting.append(start)
            advance()
            return .accepted
        }
        let admission = start()
        if admission == .accepted { underWay += 1 }
        return admission
    }

    private func ended() {
        underWay -= 1
        // What waits goes before what the completion asks for.
        advance()
    }

    private func advance() {
        while underWay < atMost, let start = waiting.first {
            switch start() {
            case .accepted:
                waiting.removeFirst()
                underWay += 1
            // Others fill it: tried again when a job ends or comes.
            case .full: return
            // Nobody waits for an answer any more.
            case .stopped: waiting.removeAll()
            }
        }
    }
}
