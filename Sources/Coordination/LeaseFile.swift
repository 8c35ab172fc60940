import CSupport
import ClusterModel
import Foundation
import Synchronization

/// A random name of one lease file, recorded in the store.
struct LeaseFileID: UniqueIdentifier {
    let rawValue: UInt128
    init(_ rawValue: UInt128) { self.rawValue = rawValue }
}

/// The mapped file of lease words. Layout, in the machine's byte order (a file never leaves its machine and boot):
///
///     0     "STAVELSE", format 1 (8 bytes), file id (16), boot id (16), count of word pairs ever written (8)
///     4096  65,536 pairs of {lease word, process word}, 16 bytes each
///
/// Invariants:
/// - Words are read and changed by atomic operations only; a process that stops or dies leaves nothing locked.
/// - A file is complete before it gets its name (link(2)), and its header never changes then.
///
/// `@unchecked Sendable`: the mapping lives as long as the object, what is written after the mapping is atomic.
final class LeaseFile: @unchecked Sendable {
    let path: String
    let id: LeaseFileID
    let boot: BootID
    private let base: UnsafeMutableRawPointer
    private let inode: FileIdentity

    private static let magic: UInt64 = 0x5354_4156_454c_5345
    private static let format: UInt64 = 1
    private static let headerBytes = 4096
    private static let length = headerBytes + CoordinationLimits.leaseWords * 16
    private static let writtenOffset = 48

    /// Which file a path leads to.
    struct FileIdentity: Equatable {
        var device: UInt64
        var inode: UInt64

        /// nil if there is no such file (or it cannot be looked at, which is no better).
        init?(path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            self.init(status)
        }
        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }
    }

    /// Maps the file at `path`; nil if there is none or it is not a complete lease file.
    static func open(path: String) throws(CoordinationError) -> LeaseFile? {
        let descriptor = cs_openat(cs_at_fdcwd, path, O_RDWR | cs_o_nofollow, 0)
        if descriptor == -ENOENT { return nil }
        guard descriptor >= 0 else { throw .system("cannot open the lease file \(path) (error \(-descriptor))") }
        defer { _ = cs_close(descriptor) }
        guard cs_file_size(descriptor) == Int64(length) else { return nil }
        do throws(CoordinationError) {
            return try LeaseFile(path: path, descriptor: descriptor)
        } catch {
            // Damaged, or another program's: one is made anew, and those who hold leases in the old one are waited for.
            if case .foreign = error { return nil }
            throw error
        }
    }

    /// Makes a file and gives it its name; whatever had this name is unlinked. The caller holds the store's write lock,
    /// so nobody else makes one now.
    static func make(path: String, id: LeaseFileID, boot: BootID) throws(CoordinationError) -> LeaseFile {
        let temporary = path + ".new"
        _ = cs_unlinkat(cs_at_fdcwd, temporary)
        let descriptor = cs_openat(cs_at_fdcwd, temporary, O_RDWR | O_CREAT | O_EXCL | cs_o_nofollow, 0o600)
        guard descriptor >= 0 else { throw .system("cannot create the lease file \(temporary) (error \(-descriptor))") }
        defer {
            _ = cs_close(descriptor)
            _ = cs_unlinkat(cs_at_fdcwd, temporary)
        }
        // Its pages are there before it is mapped: a full file system refuses now, and kills nobody at a word's first use.
        var result = cs_fallocate(descriptor, 0, 0, Int64(length))
        if result == -EOPNOTSUPP { result = cs_ftruncate(descriptor, Int64(length)) }
        if result >= 0 {
            var header = [magic, format]
            header += [id.rawValue, boot.rawValue].flatMap {
                [UInt64(truncatingIfNeeded: $0 >> 64), UInt64(truncatingIfNeeded: $0)]
            }
            result = header.withUnsafeBytes { Int32(cs_pwrite(descriptor, $0.baseAddress, $0.count, 0)) }
        }
        guard result >= 0 else { throw .system("cannot write the lease file \(temporary) (error \(-result))") }
        _ = cs_unlinkat(cs_at_fdcwd, path)
        guard link(temporary, path) == 0 else {
            throw .system("cannot give the new lease file its name \(path) (error \(errno))")
        }
        return try LeaseFile(path: path, descriptor: descriptor)
    }

    private init(path: String, descriptor: Int32) throws(CoordinationError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw .system("cannot look at the lease file \(path) (error \(errno))")
        }
        var code: Int32 = 0
        guard let base = cs_map_shared(descriptor, Self.length, &code) else {
            throw .system("cannot map the lease file \(path) (error \(code))")
        }
        let header = UnsafeRawPointer(base)
        func word(_ index: Int) -> UInt64 { header.load(fromByteOffset: index * 8, as: UInt64.self) }
        guard word(0) == Self.magic, word(1) == Self.format else {
            _ = cs_unmap(base, Self.length)
            throw .foreign(path: path, detail: "it is not a lease file of format \(Self.format)")
        }
        self.path = path
        self.base = base
        inode = FileIdentity(status)
        id = LeaseFileID(UInt128(word(2)) << 64 | UInt128(word(3)))
        boot = BootID(UInt128(word(4)) << 64 | UInt128(word(5)))
    }

    deinit { _ = cs_unmap(base, Self.length) }

    /// Whether the path still leads to the mapped file.
    var isStillAtPath: Bool { FileIdentity(path: path) == inode }

    // MARK: words

    private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    private func offset(_ index: Int) -> Int {
        precondition(
            (0..<CoordinationLimits.leaseWords).contains(index), "word indexes are bounded when they are drawn")
        return Self.headerBytes + index * 16
    }

    func word(_ index: Int) -> LeaseWord {
        LeaseWord(rawValue: atomic(offset(index)).pointee.load(ordering: .sequentiallyConsistent))
    }

    /// Changes a word if it is still `expected`; gives what was there.
    func exchange(_ index: Int, expected: LeaseWord, desired: LeaseWord) -> (exchanged: Bool, original: LeaseWord) {
        let result = atomic(offset(index)).pointee.compareExchange(
            expected: expected.rawValue, desired: desired.rawValue, ordering: .sequentiallyConsistent)
        return (result.exchanged, LeaseWord(rawValue: result.original))
    }

    func process(_ index: Int) -> ProcessWord {
        ProcessWord(rawValue: atomic(offset(index) + 8).pointee.load(ordering: .sequentiallyConsistent))
    }

    /// Says whose the words at `index` are; before the first lease is written there.
    func claim(_ index: Int, process: ProcessWord) {
        atomic(Self.writtenOffset).pointee.max(UInt64(index) + 1, ordering: .sequentiallyConsistent)
        atomic(offset(index) + 8).pointee.store(process.rawValue, ordering: .sequentiallyConsistent)
    }

    /// Indexes at and beyond this one were never claimed (and their pages are not there yet).
    var claimedCount: Int {
        Int(
            min(
                atomic(Self.writtenOffset).pointee.load(ordering: .sequentiallyConsistent),
                UInt64(CoordinationLimits.leaseWords)))
    }

    /// Ends the lease `number` at `index` if it has run out at `now`.
    func revoke(_ number: LeaseNumber, index: Int, drawn: UInt64, duration: UInt64, now: UInt64) -> LeaseWordState {
        while true {
            let word = word(index)
            let state = word.state(of: number, drawn: drawn, duration: duration)
            switch state {
            case .ended: return .ended
            case .held(let until), .notWritten(let until):
                guard until < now else { return state }
                if exchange(index, expected: word, desired: .revoked(number)).exchanged { return .ended }
            }
        }
    }
}
