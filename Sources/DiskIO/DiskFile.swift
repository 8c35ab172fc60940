import CSupport
import Glibc

/// An open file of a disk. Every call is positional, so any thread may make it; the descriptor is closed when the last
/// reference goes. Offsets and lengths are bytes.
///
/// Invariant: a failed write or sync fails the disk (`DiskHealth`); nothing is sent to a failed disk.
public final class DiskFile: Sendable {
    /// What `open` may do about existence. Nothing is ever created unless asked for.
    public enum Existence: Sendable {
        /// It must exist.
        case existing
        /// It must not exist and is created.
        case new
    }

    public enum Access: Sendable {
        case read, readWrite
        /// Reads and writes past the page cache; offsets, lengths and memory must be multiples of 4,096.
        case direct
    }

    /// The answer of `readNow`.
    public enum NowRead: Hashable, Sendable {
        /// So many bytes were in the page cache; fewer than asked for only at the end of the file.
        case bytes(Int)
        /// Some of them are not; read on an I/O thread.
        case wouldBlock
    }

    public let path: String
    let name: String
    let descriptor: Int32
    let health: DiskHealth

    init(descriptor: Int32, path: String, name: String, health: DiskHealth) {
        self.descriptor = descriptor
        self.path = path
        self.name = name
        self.health = health
    }

    deinit { _ = cs_close(descriptor) }

    // MARK: Reading

    /// Reads until `buffer` is full or the file ends; gives the number of bytes. A failed read does not fail the disk:
    /// a bad block is mended from a replica (store.md, rule 5).
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        var done = 0
        while done < buffer.count {
            let at = offset + Int64(done)
            let got = try call(.read, at: at, count: buffer.count - done) { [descriptor] in
                cs_pread(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, at)
            }
            if got == 0 { break }
            done += got
        }
        return done
    }

    /// Fills `buffer`; the file's end before that is an error.
    public func readExactly(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) {
        let got = try read(into: buffer, at: offset)
        guard got == buffer.count else {
            throw DiskError(.read, path: path, .endOfFile(wanted: buffer.count, got: got))
        }
    }

    /// Reads what the page cache holds, without ever waiting for the device (preadv2 with RWF_NOWAIT), so that an event
    /// loop may call it. A file system that cannot say answers `.wouldBlock`.
    public func readNow(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> NowRead {
        var done = 0
        while done < buffer.count {
            try refuseIfFailed(.read)
            var part = iovec(iov_base: buffer.baseAddress.map { $0 + done }, iov_len: buffer.count - done)
            var got = cs_preadv2(descriptor, &part, 1, offset + Int64(done), cs_rwf_nowait)
            if let faults = health.faults,
                let errno = faults.meet(.read, name: name, offset: offset + Int64(done), count: buffer.count - done)
            {
                got = -Int(errno)
            }
            if got == -Int(EAGAIN) || got == -Int(EOPNOTSUPP) { return .wouldBlock }
            if got < 0 { throw DiskError(.read, path: path, .system(Int32(-got))) }
            if got == 0 { break }
            done += got
        }
        return .bytes(done)
    }

    // MARK: Writing

    /// Writes all bytes into the page cache.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            let at = offset + Int64(done)
            let wrote = try call(.write, at: at, count: bytes.count - done) { [descriptor] in
                cs_pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, at)
            }
            try advance(&done, by: wrote)
        }
    }

    /// Writes the parts one after the other from `offset`: one pwritev for up to 1,024 of them.
    public func write(_ parts: [UnsafeRawBufferPointer], at offset: Int64) throws(DiskError) {
        var next = 0
        var position = offset
        while next < parts.count {
            let end = min(next + DiskLimits.vectorParts, parts.count)
            let result: Result<Int, DiskError> = withUnsafeTemporaryAllocation(of: iovec.self, capacity: end - next) {
                vector in
                var total = 0
                for index in next..<end {
                    // pwritev only reads the memory; iovec has no const form.
                    vector.initializeElement(
                        at: index - next,
                        to: iovec(
                            iov_base: UnsafeMutableRawPointer(mutating: parts[index].baseAddress),
                            iov_len: parts[index].count))
                    total += parts[index].count
                }
                do throws(DiskError) {
                    try writeAll(vector, total: total, at: position)
                    return .success(total)
                } catch { return .failure(error) }
            }
            position += Int64(try result.get())
            next = end
        }
    }

    private func writeAll(
        _ vector: UnsafeMutableBufferPointer<iovec>, total: Int, at offset: Int64
    ) throws(DiskError) {
        var first = 0
        var done = 0
        while done < total {
            let at = offset + Int64(done)
            let wrote = try call(.write, at: at, count: total - done) { [descriptor] in
                cs_pwritev2(descriptor, vector.baseAddress.map { $0 + first }, Int32(vector.count - first), at, 0)
            }
            try advance(&done, by: wrote)
            guard done < total else { return }
            var rest = wrote
            while vector[first].iov_len <= rest {
                rest -= vector[first].iov_len
                first += 1
            }
            vector[first].iov_base += rest
            vector[first].iov_len -= rest
        }
    }

    private func advance(_ done: inout Int, by wrote: Int) throws(DiskError) {
        // A regular file never takes 0 of more than 0 bytes; if it does, going on would loop for ever.
        guard wrote > 0 else {
            let error = DiskError(.write, path: path, .system(EIO))
            health.fail(error)
            throw error
        }
        done += wrote
    }

    // MARK: Space

    /// Makes bytes offset ..< offset + length take space on the disk, growing the file. No space is an error that leaves
    /// the disk in use.
    public func allocate(_ offset: Int64, length: Int64) throws(DiskError) {
        _ = try call(.allocate, at: offset, count: Int(length)) { [descriptor] in
            cs_fallocate(descriptor, 0, offset, length)
        }
    }

    /// As `allocate`, but the file's size stays.
    public func reserve(_ offset: Int64, length: Int64) throws(DiskError) {
        _ = try call(.allocate, at: offset, count: Int(length)) { [descriptor] in
            cs_fallocate(descriptor, cs_falloc_keep_size, offset, length)
        }
    }

    /// Gives the space of the range back; it reads as zeros.
    public func punchHole(_ offset: Int64, length: Int64) throws(DiskError) {
        _ = try call(.punch, at: offset, count: Int(length)) { [descriptor] in
            cs_fallocate(descriptor, cs_falloc_keep_size | cs_falloc_punch_hole, offset, length)
        }
    }

    /// Sets the file's size.
    public func truncate(to size: Int64) throws(DiskError) {
        _ = try call(.truncate, at: size, count: 0) { [descriptor] in cs_ftruncate(descriptor, size) }
    }

    /// The file's size.
    public func size() throws(DiskError) -> Int64 {
        try call(.status, at: 0, count: 0) { [descriptor] in cs_file_size(descriptor) }
    }

    /// What the file takes on its file system.
    public func allocatedBytes() throws(DiskError) -> Int64 {
        try call(.status, at: 0, count: 0) { [descriptor] in cs_file_allocated(descriptor) }
    }

    // MARK: Durability

    /// fdatasync: what was written before the call is durable when it returns. Its failure fails the disk.
    public func sync() throws(DiskError) {
        _ = try call(.sync, at: 0, count: 0) { [descriptor] in cs_fdatasync(descriptor) }
    }

    /// Starts writing the range's dirty pages out and does not wait; no durability.
    public func startWriteback(_ offset: Int64, length: Int64) throws(DiskError) {
        _ = try call(.writeback, at: offset, count: Int(length)) { [descriptor] in
            cs_sync_file_range(descriptor, offset, length, cs_sync_range_write)
        }
    }

    /// Writes the range's dirty pages out and waits, so that the next batch does not pile up on it; no durability.
    public func finishWriteback(_ offset: Int64, length: Int64) throws(DiskError) {
        _ = try call(.writeback, at: offset, count: Int(length)) { [descriptor] in
            cs_sync_file_range(
                descriptor, offset, length,
                cs_sync_range_wait_before | cs_sync_range_write | cs_sync_range_wait_after)
        }
    }

    // MARK: The one way down

    private func refuseIfFailed(_ operation: DiskError.Operation) throws(DiskError) {
        if health.hasFailed { throw DiskError(operation, path: path, .diskFailed) }
    }

    /// Makes one call under the thread's call mark, with the injected faults, and turns -errno into an error.
    @inline(__always)
    private func call<Result: FixedWidthInteger & SignedInteger>(
        _ operation: DiskError.Operation, at offset: Int64, count: Int, _ body: () -> Result
    ) throws(DiskError) -> Result {
        try refuseIfFailed(operation)
        cs_call_enter(health.number)
        var result: Result = 0
        if let faults = health.faults, let errno = faults.meet(operation, name: name, offset: offset, count: count) {
            result = Result(-errno)
        } else {
            result = body()
        }
        cs_call_leave()
        guard result >= 0 else {
            let error = DiskError(operation, path: path, .system(Int32(-result)))
            switch operation {
            case .write, .sync, .writeback: health.fail(error)
            case .open, .read, .allocate, .punch, .truncate, .status, .list, .rename, .remove, .lock, .database,
                .commit,
                .checkpoint, .thread:
                break
            }
            throw error
        }
        return result
    }
}
