import DiskIO

/// The threads that one node has beside its event loop and its disks' own.
public struct NodeThreads: Sendable {
    /// All namespace databases of the node.
    let namespace: DiskThread
    let watchdog: Watchdog

    public init() throws {
        namespace = try DiskThread(name: "namespace")
        watchdog = Watchdog()
        watchdog.watch(namespace.marks)
        try watchdog.start()
    }

    /// Threads of the node and its disks that are inside a call that can hang, by name.
    public var threadsInCalls: [String] { watchdog.threadsInCalls }

    public func stop() {
        namespace.stop()
        watchdog.stop()
    }
}
