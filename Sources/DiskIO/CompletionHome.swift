/// Where completions run: an executor hook of the caller's, `eventLoop.execute` for instance. Completions for the same
/// home that become ready together run in one hop, in the order in which their jobs ended.
public final class CompletionHome: Sendable {
    let execute: @Sendable (@escaping @Sendable () -> Void) -> Void

    /// `execute` runs its argument later, on the caller's executor, each argument once and in order.
    public init(_ execute: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void) {
        self.execute = execute
    }
}

/// The answer to a request for work.
public enum Admission: Hashable, Sendable {
    case accepted
    /// The queue is at its bound; nothing was kept of the request.
    case full
    /// The thread has been stopped; nothing was kept of the request.
    case stopped
}

/// Completions that wait for their hop. Used by one thread.
struct Outbox {
    private var waiting: [(home: CompletionHome, completions: [@Sendable () -> Void])] = []

    var isEmpty: Bool { waiting.isEmpty }

    mutating func add(_ completion: @escaping @Sendable () -> Void, for home: CompletionHome) {
        for index in waiting.indices where waiting[index].home === home {
            waiting[index].completions.append(completion)
            return
        }
        waiting.append((home, [completion]))
    }

    mutating func deliver() {
        for (home, completions) in waiting {
            home.execute { for completion in completions { completion() } }
        }
        waiting.removeAll(keepingCapacity: true)
    }
}
