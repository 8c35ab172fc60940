import Glibc
@_spi(CustomByteBufferAllocator) import NIOCore
import Synchronization

/// The memory of buffers that lie in arenas: a buffer's allocator is told addresses only, so what they stand for is noted here.
///
/// Invariant: an address is noted from before its buffer is made until the buffer's memory is given up, once.
enum ArenaBuffers {
    private static let noted = Mutex<[UInt: @Sendable () -> Void]>([:])

    /// `ended` is called when the buffer there is gone, on whatever thread.
    static func began(_ memory: UnsafeMutableRawBufferPointer, ended: @escaping @Sendable () -> Void) {
        guard let base = memory.baseAddress else { preconditionFailure("memory of an arena has an address") }
        noted.withLock { $0[UInt(bitPattern: base)] = ended }
    }

    /// Buffers that grow move to the heap.
    static let allocator = ByteBufferAllocator(
        allocate: { malloc($0) },
        reallocate: { pointer, oldSize, newSize in
            guard let pointer else { return malloc(newSize) }
            guard let ended = ArenaBuffers.take(pointer) else { return realloc(pointer, newSize) }
            let moved = malloc(newSize)
            moved?.copyMemory(from: pointer, byteCount: min(oldSize, newSize))
            ended()
            return moved
        },
        deallocate: { pointer in
            if let ended = ArenaBuffers.take(pointer) { ended() } else { free(pointer) }
        },
        copy: { target, source, count in target.copyMemory(from: source, byteCount: count) })

    private static func take(_ pointer: UnsafeMutableRawPointer) -> (@Sendable () -> Void)? {
        noted.withLock { $0.removeValue(forKey: UInt(bitPattern: pointer)) }
    }
}
