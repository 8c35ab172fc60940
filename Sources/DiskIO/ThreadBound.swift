/// A value that lives on one disk thread, such as a SQLite connection: made there, used there, given back there.
///
/// `@unchecked Sendable`: `value` is reached only after the check that the caller is on that one thread.
public final class ThreadBound<Value>: @unchecked Sendable {
    private let thread: DiskThread
    private var stored: Value?

    /// Binds a value to `thread`, which must have one thread only; called on it.
    public init(_ value: sending Value, to thread: DiskThread) {
        precondition(thread.marks.count == 1, "a value can be bound to a single thread only")
        precondition(thread.isCurrent, "a bound value is made on its own thread")
        self.thread = thread
        stored = value
    }

    /// The value; nil after `release`. On the value's thread only.
    public var value: Value? {
        precondition(thread.isCurrent, "a value bound to disk thread \(thread.name) was used on another thread")
        return stored
    }

    /// Lets go of the value, on its thread.
    public func release() {
        precondition(thread.isCurrent, "a value bound to disk thread \(thread.name) was released on another thread")
        stored = nil
    }
}
