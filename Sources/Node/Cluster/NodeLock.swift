import ClusterModel
import Foundation

/// One process at a time runs a node: a lock (flock) on a file in the cluster's data folder, held until the process ends,
/// however it ends, and taken before the node removes or binds a socket. The file stays: it lies outside the run folder, whose
/// files may be cleaned away while a node runs.
public final class NodeLock {
    private let descriptor: Int32

    /// How long a process that has ended is waited for in seconds: its lock goes with the last of its threads, which may be in
    /// a call of a disk.
    private static let patience = 10.0

    /// Takes the lock and writes into its file which process has it. `path`: of the lock's file, which is made if it is not
    /// there; its folder must be. Throws `.refused` if another process has it.
    public init(of node: NodeID, at path: String) throws {
        let deadline = Date().addingTimeInterval(NodeLock.patience)
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else {
                throw OperatorError(.nodeFailed, "\(path) cannot be opened: \(String(cString: strerror(errno)))")
            }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                if NodeLock.isFile(descriptor, at: path) {
                    self.descriptor = descriptor
                    break
                }
                // Its name went meanwhile: whoever comes next would not find this lock.
                close(descriptor)
                continue
            }
            let error = errno
            close(descriptor)
            guard error == EWOULDBLOCK else {
                throw OperatorError(.nodeFailed, "\(path) cannot be locked: \(String(cString: strerror(error)))")
            }
            let holder = NodeProcessFile.running(at: path)
            guard holder == nil, Date() < deadline else { throw NodeLock.refusal(node, holder, path) }
            usleep(20_000)
        }
        ftruncate(descriptor, 0)
        try NodeProcessFile.write(to: descriptor, path: path)
    }

    deinit { close(descriptor) }

    private static func isFile(_ descriptor: Int32, at path: String) -> Bool {
        var (held, named) = (stat(), stat())
        return fstat(descriptor, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev
            && held.st_ino == named.st_ino
    }

    private static func refusal(_ node: NodeID, _ holder: NodeProcessFile?, _ path: String) -> OperatorError {
        guard let holder else {
            return OperatorError(
                .refused, "node \(node.rawValue) runs already: a process has \(path) locked (`fuser \(path)` names it)")
        }
        return OperatorError(
            .refused,
            "node \(node.rawValue) runs already, as process \(holder.process), which has \(path) locked; if it does not "
                + "answer, end it with `kill \(holder.process)` before another one is started")
    }
}
