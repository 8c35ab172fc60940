import CSupport
import Glibc
import Synchronization

/// What a watchdog sees of one thread: whether it is inside one call that can hang, and since how many of its own looks.
///
/// `@unchecked Sendable`: owns 64 bytes of memory that are only reached by atomic operations, and freed when no thread
/// and no watchdog has the mark any more.
public final class CallMark: @unchecked Sendable {
    /// The thread's name.
    public let name: String
    let memory: UnsafeMutableRawPointer

    init(name: String) {
        self.name = name
        guard let memory = cs_call_mark_make() else {
            preconditionFailure("64 bytes are refused only to a process that is out of memory")
        }
        self.memory = memory
    }

    deinit { cs_call_mark_free(memory) }

    /// Odd while the thread is inside a call, and counted up at each entry and exit.
    var count: UInt64 { cs_call_mark_count(memory) }
    /// The `DiskHealth.number` of the disk whose call it is.
    var subject: UInt64 { cs_call_mark_subject(memory) }
}

/// A thread of the kernel with a name and a call mark, joined by `join`.
///
/// `@unchecked Sendable`: the handle is written once, before the object is shared, and joining is under a mutex.
final class NativeThread: @unchecked Sendable {
    private final class Start {
        let mark: CallMark
        let body: @Sendable () -> Void
        init(mark: CallMark, body: @escaping @Sendable () -> Void) {
            self.mark = mark
            self.body = body
        }
    }

    let mark: CallMark
    private var handle = pthread_t()
    private let joined = Mutex(false)

    /// Starts `body` on a new thread. `name` shows in ps and top, at most 15 bytes of it.
    init(name: String, body: @escaping @Sendable () -> Void) throws(DiskError) {
        mark = CallMark(name: name)
        let start = Unmanaged.passRetained(Start(mark: mark, body: body))
        let result = pthread_create(
            &handle, nil,
            { context in
                // The reference passed by pthread_create's caller; nil is impossible, it is passed above.
                guard let context else { return nil }
                let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
                cs_set_thread_name(start.mark.name)
                cs_call_mark_set(start.mark.memory)
                start.body()
                cs_call_mark_set(nil)
                return nil
            }, start.toOpaque())
        guard result == 0 else {
            start.release()
            throw DiskError(.thread, path: name, .system(result))
        }
    }

    /// Nobody waits for a thread that was not joined: its resources go when it ends.
    deinit { joined.withLock { if !$0 { pthread_detach(handle) } } }

    var isCurrent: Bool { pthread_equal(pthread_self(), handle) != 0 }

    /// Waits for the thread's end; only once, later calls return when the first has.
    func join() {
        precondition(!isCurrent, "a thread cannot wait for its own end")
        joined.withLock { joined in
            guard !joined else { return }
            pthread_join(handle, nil)
            joined = true
        }
    }
}

/// A mutex with one condition and the state behind it.
///
/// `@unchecked Sendable`: the state is reached only with the mutex held; the two handles have stable addresses.
final class Monitor<State>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    init(_ state: State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func withLock<Result>(_ body: (inout State) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body(&state)
    }

    /// Asks `body` until it gives a value, sleeping in between until `wake`.
    func wait<Result>(_ body: (inout State) -> Result?) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let result = body(&state) { return result }
            pthread_cond_wait(condition, mutex)
        }
    }

    /// As `wait`, but for at most so long; nil when the time is over.
    func wait<Result>(milliseconds: Int64, _ body: (inout State) -> Result?) -> Result? {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        deadline.tv_sec += Int(milliseconds / 1000)
        deadline.tv_nsec += Int(milliseconds % 1000) * 1_000_000
        if deadline.tv_nsec >= 1_000_000_000 {
            deadline.tv_sec += 1
            deadline.tv_nsec -= 1_000_000_000
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let result = body(&state) { return result }
            if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return body(&state) }
        }
    }

    func wakeOne() { pthread_cond_signal(condition) }
    func wakeAll() { pthread_cond_broadcast(condition) }
}
