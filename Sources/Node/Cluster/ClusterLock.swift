import Foundation

/// One command at a time starts, stops or removes a cluster: a lock on its configuration file, given up when the command
/// ends, however it ends. Nodes do not inherit it.
public final class ClusterLock {
    private let descriptor: Int32

    /// Waits for another command that has it; `waiting` is called once if there is one.
    public init(configuration path: String, waiting: () -> Void) throws {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw OperatorError(.configuration, "\(path) cannot be opened: \(String(cString: strerror(errno)))")
        }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return }
        waiting()
        while flock(descriptor, LOCK_EX) != 0 {
            guard errno == EINTR else {
                close(descriptor)
                throw OperatorError(.refused, "\(path) cannot be locked: \(String(cString: strerror(errno)))")
            }
        }
    }

    deinit { close(descriptor) }
}
