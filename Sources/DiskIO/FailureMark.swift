import CSupport
import Glibc

/// A file in the folder of a disk whose use a failed write or sync has ended. It is a second witness, best effort, beside
/// the coordination store's: the page cache of a disk whose sync failed is clean, so nothing else on it tells the next
/// process (store.md, rule 4).
public enum FailureMark {
    static let name = "failed"

    /// Leaves the mark on a thread of its own, which may never come back from such a disk; nobody waits for it.
    public static func leave(in path: String, reason: String) {
        // Let go at once, so detached. Without a thread the coordination store's record has to do.
        _ = try? NativeThread(name: "failure-mark") { write(path, reason) }
    }

    /// A disk that has failed takes no calls through `DiskFolder`: these go past it.
    static func write(_ path: String, _ reason: String) {
        let file = cs_openat(cs_at_fdcwd, path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC | cs_o_nofollow, 0o600)
        guard file >= 0 else { return }
        let bytes = Array(reason.utf8.prefix(DiskLimits.failureReason))
        bytes.withUnsafeBytes { _ = cs_pwrite(file, $0.baseAddress, $0.count, 0) }
        _ = cs_fsync(file)
        _ = cs_close(file)
        let folder = cs_openat(cs_at_fdcwd, path, O_RDONLY | cs_o_directory, 0)
        guard folder >= 0 else { return }
        _ = cs_fsync(folder)
        _ = cs_close(folder)
    }

    /// Why the disk failed earlier; nil without a mark.
    public static func read(from folder: DiskFolder) throws(DiskError) -> String? {
        guard try folder.names().contains(name) else { return nil }
        return String(decoding: try folder.readFile(name).prefix(DiskLimits.failureReason), as: UTF8.self)
    }

    /// Takes the mark away, durably: the disk itself says now that it has to learn.
    public static func remove(from folder: DiskFolder) throws(DiskError) {
        do throws(DiskError) { try folder.remove(name) } catch { if error.isMissing { return } else { throw error } }
        try folder.sync()
    }
}
