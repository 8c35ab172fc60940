import Coordination
import NIOCore

extension EventLoop {
    /// Runs completions of other threads on this loop.
    public var executor: CompletionExecutor { { self.execute($0) } }
}
