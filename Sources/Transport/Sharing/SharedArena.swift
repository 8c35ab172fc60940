@_spi(CustomByteBufferAllocator) import NIOCore
import Synchronization
import Wire

/// The memory in which this process lends payloads to others of its machine.
///
/// Invariants:
/// - a granule is written only between being taken and being lent, and is taken again only when the last region in it was
///   given back by everybody;
/// - a retired arena gives out nothing more: what was lent to a process that was lost may still be read there.
final class SharedArena: Sendable {
    let mapping: SharedMapping
    private let granules: Mutex<Granules>

    private struct Granules {
        var taken: [Bool]
        var isRetired = false

        /// The first free run, so that memory which was used lately is used again.
        mutating func take(_ count: Int) -> Int? {
            var run = 0
            for i in taken.indices {
                run = taken[i] ? 0 : run + 1
                guard run == count else { continue }
                for k in i + 1 - count...i { taken[k] = true }
                return i + 1 - count
            }
            return nil
        }
    }

    init(_ mapping: SharedMapping) {
        self.mapping = mapping
        granules = Mutex(
            Granules(
                taken: Array(
                    repeating: false, count: (mapping.length - SharedMapping.headerBytes) / SharedMapping.granule)))
    }

    /// The payload's bytes in shared memory; nil when there is no room.
    func copy(_ payload: Payload) -> SharedRegion? {
        let needed = (payload.count + SharedMapping.granule - 1) / SharedMapping.granule
        guard needed > 0,
            let first = granules.withLock({ $0.isRetired ? nil : $0.take(needed) })
        else { return nil }
        let start = SharedMapping.headerBytes + first * SharedMapping.granule
        let range = start..<start + payload.count
        let target = mapping.writableBytes(range)
        payload.withBytes(0..<payload.count) { parts in
            var at = 0
            for part in parts {
                UnsafeMutableRawBufferPointer(rebasing: target[at..<at + part.count]).copyMemory(from: part)
                at += part.count
            }
        }
        return SharedRegion(mapping, range) { [self] in
            granules.withLock { for k in first..<first + needed { $0.taken[k] = false } }
        }
    }

    // MARK: Buffers

    /// An empty buffer in shared memory, for bytes that may be lent; nil when there is no room. If it must grow, it moves out.
    func buffer(capacity: Int) -> ByteBuffer? {
        let needed = (capacity + SharedMapping.granule - 1) / SharedMapping.granule
        guard needed > 0, let first = granules.withLock({ $0.isRetired ? nil : $0.take(needed) }) else { return nil }
        let start = SharedMapping.headerBytes + first * SharedMapping.granule
        let memory = mapping.writableBytes(start..<start + needed * SharedMapping.granule)
        ArenaBuffers.began(memory) { [self] in
            granules.withLock { for k in first..<first + needed { $0.taken[k] = false } }
        }
        return ByteBuffer(takingOwnershipOf: memory, allocator: ArenaBuffers.allocator, readerIndex: 0, writerIndex: 0)
    }

    /// The payload's bytes where they are, if they lie in this arena in one buffer.
    func region(_ payload: Payload) -> SharedRegion? {
        guard let buffer = payload.buffer else { return nil }
        return buffer.withUnsafeReadableBytes { bytes in
            guard let range = mapping.range(of: bytes) else { return nil }
            return SharedRegion(mapping, range) { withExtendedLifetime(buffer) {} }
        }
    }

    func retire() { granules.withLock { $0.isRetired = true } }

    /// Bytes that are taken now.
    var takenBytes: Int { granules.withLock { $0.taken.count { $0 } } * SharedMapping.granule }
}
