import CSupport
import Glibc

/// A folder of a disk, held open, so that its files are found in it even if the path leads elsewhere meanwhile.
public final class DiskFolder: Sendable {
    public let path: String
    let descriptor: Int32
    public let health: DiskHealth

    /// Opens an existing folder; never creates one: an absent folder is not an empty disk (store.md, rule 7).
    public init(path: String, health: DiskHealth) throws(DiskError) {
        let descriptor = cs_openat(cs_at_fdcwd, path, O_RDONLY | cs_o_directory, 0)
        guard descriptor >= 0 else { throw DiskError(.open, path: path, .system(-descriptor)) }
        self.descriptor = descriptor
        self.path = path
        self.health = health
    }

    /// Creates a folder in this one and makes its name durable.
    public func createFolder(_ name: String) throws(DiskError) -> DiskFolder {
        try plain(name)
        try call(.open, name) { cs_mkdirat(descriptor, name, 0o700) }
        try sync()
        return try DiskFolder(path: path + "/" + name, health: health)
    }

    deinit { _ = cs_close(descriptor) }

    /// Takes the disk for this process (flock, held while the folder is open); `isLocked` is the error if another has it.
    public func lock() throws(DiskError) {
        let result = cs_flock_exclusive(descriptor)
        guard result >= 0 else { throw DiskError(.lock, path: path, .system(-result)) }
    }

    /// Opens a file of this folder.
    public func open(
        _ name: String, _ existence: DiskFile.Existence = .existing, _ access: DiskFile.Access = .readWrite
    ) throws(DiskError) -> DiskFile {
        try plain(name)
        var flags = cs_o_nofollow
        switch access {
        case .read: flags |= O_RDONLY
        case .readWrite: flags |= O_RDWR
        case .direct: flags |= O_RDWR | cs_o_direct
        }
        switch existence {
        case .existing: break
        case .new: flags |= O_CREAT | O_EXCL
        }
        let opened = try call(.open, name) { [flags] in cs_openat(descriptor, name, flags, 0o600) }
        return DiskFile(descriptor: opened, path: path + "/" + name, name: name, health: health)
    }

    /// Makes creations, renames and removals in this folder durable. Its failure fails the disk.
    public func sync() throws(DiskError) {
        try call(.sync, "/") { cs_fsync(descriptor) }
    }

    /// Renames a file within this folder, replacing nothing; durable after `sync`.
    public func rename(_ from: String, to: String) throws(DiskError) {
        try plain(from)
        try plain(to)
        try call(.rename, from) { cs_rename_no_replace(descriptor, from, descriptor, to) }
    }

    /// Removes a file; durable after `sync`.
    public func remove(_ name: String) throws(DiskError) {
        try plain(name)
        try call(.remove, name) { cs_unlinkat(descriptor, name) }
    }

    /// The names in the folder, sorted, without "." and "..".
    public func names() throws(DiskError) -> [String] {
        // A new description, so that two listings do not share one position.
        let opened = cs_openat(descriptor, ".", O_RDONLY | cs_o_directory, 0)
        guard opened >= 0, let stream = fdopendir(opened) else {
            throw DiskError(.list, path: path, .system(opened < 0 ? -opened : errno))
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw DiskError(.list, path: path, .system(errno)) }
                break
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            guard names.count < DiskLimits.folderEntries else {
                throw DiskError(.list, path: path, .limit("more than \(DiskLimits.folderEntries) names"))
            }
            names.append(name)
        }
        return names.sorted()
    }

    /// Replaces a small file as a whole: after a crash it has the old bytes or the new ones. Durable when it returns.
    public func replaceFile(_ name: String, with bytes: [UInt8]) throws(DiskError) {
        guard bytes.count <= DiskLimits.smallFile else {
            throw DiskError(.write, path: path + "/" + name, .limit("\(bytes.count) bytes in a small file"))
        }
        let temporary = name + ".tmp"
        try plain(name)
        do throws(DiskError) { try remove(temporary) } catch { guard error.isMissing else { throw error } }
        let file = try open(temporary, .new)
        try bytes.withDiskBytes { (raw) throws(DiskError) in try file.write(raw, at: 0) }
        try file.sync()
        try call(.rename, temporary) { cs_renameat(descriptor, temporary, descriptor, name) }
        try sync()
    }

    /// The bytes of a small file.
    public func readFile(_ name: String) throws(DiskError) -> [UInt8] {
        let file = try open(name, .existing, .read)
        let size = try file.size()
        guard size <= DiskLimits.smallFile else {
            throw DiskError(.read, path: file.path, .limit("\(size) bytes in a small file"))
        }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        try bytes.withMutableDiskBytes { (raw) throws(DiskError) in try file.readExactly(into: raw, at: 0) }
        return bytes
    }

    /// Free and total bytes of the file system.
    public func space() throws(DiskError) -> (free: UInt64, total: UInt64) {
        var free: UInt64 = 0
        var total: UInt64 = 0
        try call(.status, "/") { cs_filesystem_space(descriptor, &free, &total) }
        return (free, total)
    }

    /// Makes one call under the thread's call mark, with the injected faults, and turns -errno into an error.
    @discardableResult
    private func call(
        _ operation: DiskError.Operation, _ name: String, _ body: () -> Int32
    ) throws(DiskError) -> Int32 {
        let subject = name == "/" ? path : path + "/" + name
        if health.hasFailed { throw DiskError(operation, path: subject, .diskFailed) }
        cs_call_enter(health.number)
        let result: Int32
        if let errno = health.faults?.meet(operation, name: name, offset: 0, count: 0) {
            result = -errno
        } else {
            result = body()
        }
        cs_call_leave()
        guard result < 0 else { return result }
        let error = DiskError(operation, path: subject, .system(-result))
        if operation == .sync { health.fail(error) }
        throw error
    }

    /// Names come from this project's code; one with a slash would leave the folder.
    private func plain(_ name: String) throws(DiskError) {
        guard !name.isEmpty, !name.utf8.contains(0x2F), name != ".", name != ".." else {
            throw DiskError(.open, path: path, .malformed("\"\(name)\" is not a file name"))
        }
    }
}

extension [UInt8] {
    /// `withUnsafeBytes` with a typed error.
    func withDiskBytes<R>(_ body: (UnsafeRawBufferPointer) throws(DiskError) -> R) throws(DiskError) -> R {
        let result: Result<R, DiskError> = withUnsafeBytes { raw in
            do throws(DiskError) { return .success(try body(raw)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    mutating func withMutableDiskBytes<R>(
        _ body: (UnsafeMutableRawBufferPointer) throws(DiskError) -> R
    ) throws(DiskError) -> R {
        let result: Result<R, DiskError> = withUnsafeMutableBytes { raw in
            do throws(DiskError) { return .success(try body(raw)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
