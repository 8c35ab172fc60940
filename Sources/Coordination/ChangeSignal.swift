import CSupport
import ClusterModel
import Foundation

/// The file beside the store that is touched after each commit, so that others need not ask. It only wakes: what has
/// changed is always read from the store, and a lost signal costs half a second (`PRAGMA data_version`).
final class ChangeSignal {
    private let path: String
    private let inotify: Int32
    private var file: Int32 = -1
    private var identity: LeaseFile.FileIdentity?
    private var watch: Int32 = -1
    var descriptor: Int32 { inotify }

    init(store: String) throws(CoordinationError) {
        path = store + ".changed"
        inotify = cs_inotify_open()
        guard inotify >= 0 else { throw .system("no inotify for the coordination store (error \(-inotify))") }
    }

    deinit {
        if file >= 0 { _ = cs_close(file) }
        _ = cs_close(inotify)
    }

    /// Watches the file again if it was removed or replaced; says what is wrong if it cannot be watched.
    func arm() -> String? {
        if file >= 0, let identity, LeaseFile.FileIdentity(path: path) == identity { return nil }
        if file >= 0 { _ = cs_close(file) }
        if watch >= 0 { _ = cs_inotify_unwatch(inotify, watch) }
        watch = -1
        file = cs_openat(cs_at_fdcwd, path, O_RDWR | O_CREAT | cs_o_nofollow, 0o600)
        guard file >= 0 else { return "cannot open \(path) (error \(-file))" }
        identity = LeaseFile.FileIdentity(path: path)
        watch = cs_inotify_watch(inotify, path, cs_in_attrib | cs_in_delete_self | cs_in_move_self)
        return watch >= 0 ? nil : "cannot watch \(path) (error \(-watch))"
    }

    func touch() { if file >= 0 { _ = futimens(file, nil) } }

    /// Takes what inotify has to say; only that it said something matters.
    func drain() {
        var buffer: [UInt8] = Array(repeating: 0, count: 4096)
        while read(inotify, &buffer, buffer.count) == buffer.count {}
    }
}
