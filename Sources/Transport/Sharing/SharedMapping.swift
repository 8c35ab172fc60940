import CSupport
import ClusterModel
import Wire

/// Memory that several processes of one machine have mapped: a sealed memory file, which its owner writes and others read.
///
///     0       "STAVEMEM" (8), the arena's id (16, highest byte first)
///     65536   granules of 64 KiB, given out by the owner
///
/// Invariants: the file's size never changes, so that no access can fault; a mapping lives as long as somebody refers to it,
/// whatever becomes of the owner.
///
/// `@unchecked Sendable`: address and length never change; who writes where is `SharedArena`'s invariant.
final class SharedMapping: @unchecked Sendable {
    let id: ArenaID
    let length: Int
    fileprivate let base: UnsafeMutableRawPointer
    private let descriptor: Int32

    static let headerBytes = SharedMapping.granule
    static let granule = 64 << 10
    private static let magic: UInt64 = 0x4d45_4d45_5641_5453

    /// Why memory cannot be shared: then payloads go through sockets.
    struct Refusal: Error, CustomStringConvertible {
        var description: String
        init(_ description: String) { self.description = description }
    }

    private init(id: ArenaID, length: Int, base: UnsafeMutableRawPointer, descriptor: Int32) {
        self.id = id
        self.length = length
        self.base = base
        self.descriptor = descriptor
    }

    deinit {
        _ = cs_unmap(base, length)
        _ = cs_close(descriptor)
    }

    /// New memory of this process.
    static func create(id: ArenaID, length: Int) throws(Refusal) -> SharedMapping {
        let descriptor = cs_memory_file("stave-payloads", Int64(length))
        guard descriptor >= 0 else { throw Refusal("no memory file can be made: errno \(-descriptor)") }
        var error: Int32 = 0
        guard let base = cs_map_shared(descriptor, length, &error) else {
            _ = cs_close(descriptor)
            throw Refusal("a memory file cannot be mapped: errno \(error)")
        }
        let mapping = SharedMapping(id: id, length: length, base: base, descriptor: descriptor)
        base.storeBytes(of: magic.littleEndian, as: UInt64.self)
        base.storeBytes(of: id.rawValue.bigEndian, toByteOffset: 8, as: UInt128.self)
        return mapping
    }

    /// What another process offers. Refused unless it is a sealed memory file of that length and name.
    static func open(
        _ id: ArenaID, process: Int32, descriptor: Int32, length: UInt64, atMost bound: Int
    ) throws(Refusal) -> SharedMapping {
        guard process > 0, descriptor >= 0, length > UInt64(headerBytes), length <= UInt64(bound) else {
            throw Refusal("an offer of \(length) bytes of process \(process)")
        }
        let opened = cs_openat(cs_at_fdcwd, "/proc/\(process)/fd/\(descriptor)", 0, 0)
        guard opened >= 0 else { throw Refusal("the memory of process \(process) cannot be opened: errno \(-opened)") }
        var error: Int32 = 0
        guard cs_memory_file_is_sealed(opened) == 1, cs_file_size(opened) == Int64(length),
            let base = cs_map_shared_for_reading(opened, Int(length), &error)
        else {
            _ = cs_close(opened)
            throw Refusal("descriptor \(descriptor) of process \(process) is no sealed memory file of \(length) bytes")
        }
        let mapping = SharedMapping(id: id, length: Int(length), base: base, descriptor: opened)
        guard base.loadUnaligned(as: UInt64.self) == magic.littleEndian,
            UInt128(bigEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt128.self)) == id.rawValue
        else { throw Refusal("the memory file of process \(process) is not the one that was offered") }
        return mapping
    }

    /// For `SharingMessage.offer`.
    var offer: SharingMessage {
        .offer(id, process: cs_process_id(), descriptor: descriptor, bytes: UInt64(length))
    }

    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.lowerBound >= 0 && range.upperBound <= length, "a region lies within its arena")
        return UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// Where these bytes lie, if all of them do here.
    func range(of bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        guard let first = bytes.baseAddress, first >= UnsafeRawPointer(base) else { return nil }
        let offset = first - UnsafeRawPointer(base)
        return offset + bytes.count <= length ? offset..<offset + bytes.count : nil
    }

    /// By the owner only, where nobody reads.
    func writableBytes(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        precondition(range.lowerBound >= 0 && range.upperBound <= length, "a region lies within its arena")
        return UnsafeMutableRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }
}

/// Bytes in shared memory that nobody changes as long as anybody refers to them. Says when the last reference in this process
/// is gone.
public final class SharedRegion: Sendable {
    let mapping: SharedMapping
    let range: Range<Int>
    private let ended: @Sendable () -> Void

    init(_ mapping: SharedMapping, _ range: Range<Int>, ended: @escaping @Sendable () -> Void) {
        self.mapping = mapping
        self.range = range
        self.ended = ended
    }

    deinit { ended() }

    /// Valid as long as the region is referred to.
    var bytes: UnsafeRawBufferPointer { mapping.bytes(range) }
}
