import DiskIO
import NIOCore
import NIOPosix
import Testing
import Transport

@testable import Storage

struct JobLineTests {
    @Test("A store may want more of a disk thread than its queue holds: the rest waits, and all come in order")
    func moreThanTheQueueHolds() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let thread = try DiskThread(name: "line", capacity: 16)
        let count = 5_000
        let order: [Int] = try await withCheckedThrowingContinuation { done in
            loop.execute {
                let line = JobLine(
                    thread: thread, home: CompletionHome { run in loop.execute(run) }, loop: loop, atMost: 4)
                var ended: [Int] = []
                for i in 0..<count {
                    let admission = line.submit(work: { () throws(DiskError) in i }) { result in
                        if case .success(let i) = result { ended.append(i) }
                        // One job asks for another as a store does.
                        if ended.count == count {
                            _ = line.submit(work: { () throws(DiskError) in }) { _ in done.resume(returning: ended) }
                        }
                    }
                    #expect(admission == .accepted)
                }
            }
        }
        #expect(order == Array(0..<count))
        // A job's completion may come before its thread has counted it as done.
        #expect(thread.highWater <= 8)
        thread.stop()
    }
}
