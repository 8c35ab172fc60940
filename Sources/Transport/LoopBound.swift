import NIOCore

/// Carries a value of one event loop through `@Sendable` closures of other threads; it can be reached on that loop only.
///
/// `@unchecked` because the compiler cannot see the precondition that makes it safe: every access checks the loop.
public final class LoopBound<Value>: @unchecked Sendable {
    private let loop: any EventLoop
    private let held: Value
    public init(_ value: Value, loop: any EventLoop) {
        held = value
        self.loop = loop
    }
    public var value: Value {
        loop.preconditionInEventLoop()
        return held
    }
}
