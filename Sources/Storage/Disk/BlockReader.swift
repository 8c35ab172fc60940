import CSupport
import ClusterModel
import DiskIO
import NIOCore
import Store
import Transport

/// Reads the blocks of a plan into one buffer and verifies each, on the loop if the page cache has them all, else on an I/O
/// thread (store.md, rule 5: every read is verified where the disk is read).
struct BlockReader: Sendable {
    /// One run of blocks in a file, or nothing to read.
    struct Piece: Sendable {
        var file: DiskFile?
        var offset: Int64
        /// Block of the object that the piece begins with, and how many.
        var first: Int
        var count: Int
        var checksums: [UInt32]
        /// The verified bytes, if they are not to be read.
        var held: ByteBuffer?
    }

    let object: ObjectID
    /// In order, without gaps.
    let pieces: [Piece]

    enum Outcome: Sendable {
        case read(ByteBuffer)
        /// Some of it is not in the page cache.
        case wouldBlock
        /// The disk's thread takes no more work.
        case notRead
        /// This block of the object does not match its checksum, or could not be read.
        case mismatch(block: Int)
    }

    private var blockCount: Int { pieces.reduce(0) { $0 + $1.count } }

    /// Never waits for the device.
    func readNow(allocator: ByteBufferAllocator) -> Outcome {
        fill(allocator) { file, raw, offset in
            do throws(DiskError) {
                switch try file.readNow(into: raw, at: offset) {
                case .wouldBlock: return .wouldBlock
                case .bytes(let count): return count == raw.count ? .filled : .short
                }
            } catch {
                return .short
            }
        }
    }

    /// May wait: for an I/O thread.
    func read(allocator: ByteBufferAllocator) -> Outcome {
        fill(allocator) { file, raw, offset in
            do throws(DiskError) {
                return try file.read(into: raw, at: offset) == raw.count ? .filled : .short
            } catch {
                return .short
            }
        }
    }

    /// Every piece by itself; nil for one that does not match or cannot be read. May wait: for an I/O thread.
    func readEach(allocator: ByteBufferAllocator) -> [ByteBuffer?] {
        pieces.map { piece in
            let one = BlockReader(object: object, pieces: [piece])
            if case .read(let bytes) = one.read(allocator: allocator) { return bytes }
            return nil
        }
    }

    private enum Fill {
        case filled
        case short
        case wouldBlock
    }

    private func fill(
        _ allocator: ByteBufferAllocator, _ readPiece: (DiskFile, UnsafeMutableRawBufferPointer, Int64) -> Fill
    ) -> Outcome {
        let size = blockCount * Geometry.blockSize
        var buffer = allocator.buffer(capacity: size)
        var problem: Outcome?
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { raw in
            var at = 0
            for piece in pieces {
                let length = piece.count * Geometry.blockSize
                let part = UnsafeMutableRawBufferPointer(rebasing: raw[at..<at + length])
                at += length
                if let held = piece.held {
                    held.withUnsafeReadableBytes { part.copyMemory(from: $0) }
                    continue
                }
                guard let file = piece.file else {
                    part.initializeMemory(as: UInt8.self, repeating: 0)
                    continue
                }
                switch readPiece(file, part, piece.offset) {
                case .filled: break
                case .wouldBlock:
                    problem = .wouldBlock
                    return 0
                case .short:
                    problem = .mismatch(block: piece.first)
                    return 0
                }
                if let bad = BlockChecksums.firstMismatch(
                    object, first: piece.first, piece.checksums, UnsafeRawBufferPointer(part))
                {
                    problem = .mismatch(block: bad)
                    return 0
                }
            }
            return size
        }
        return problem ?? .read(buffer)
    }
}

/// Checksums of runs of blocks, by the hardware.
enum BlockChecksums {
    static func compute(_ object: ObjectID, first: Int, _ bytes: UnsafeRawBufferPointer) -> [UInt32] {
        let count = bytes.count / Geometry.blockSize
        return [UInt32](unsafeUninitializedCapacity: count) { out, filled in
            withSeeds(object, first: first, count: count) { seeds in
                cs_crc32c_blocks(seeds, bytes.baseAddress, Geometry.blockSize, count, out.baseAddress)
            }
            filled = count
        }
    }

    /// Of bytes that may be in parts: blocks that lie in one part together, one that two share by itself.
    static func compute(_ object: ObjectID, first: Int, _ payload: Payload) -> [UInt32] {
        var sums: [UInt32] = []
        sums.reserveCapacity(payload.count / Geometry.blockSize)
        var pending: UInt32 = 0
        var pendingBytes = 0
        payload.withBytes(0..<payload.count) { parts in
            for part in parts {
                var rest = part
                if pendingBytes > 0 {
                    let count = min(Geometry.blockSize - pendingBytes, rest.count)
                    pending = CRC32C.hardware.update(pending, UnsafeRawBufferPointer(rebasing: rest[..<count]))
                    pendingBytes += count
                    rest = UnsafeRawBufferPointer(rebasing: rest[(rest.startIndex + count)...])
                    if pendingBytes < Geometry.blockSize { continue }
                    sums.append(pending)
                    pendingBytes = 0
                }
                let whole = rest.count / Geometry.blockSize * Geometry.blockSize
                sums += compute(object, first: first + sums.count, UnsafeRawBufferPointer(rebasing: rest[..<whole]))
                if whole == rest.count { continue }
                pending = CRC32C.hardware.update(
                    CRC32C.identitySeed(object, block: first + sums.count),
                    UnsafeRawBufferPointer(rebasing: rest[whole...]))
                pendingBytes = rest.count - whole
            }
        }
        return sums
    }

    /// The first block whose bytes do not match; nil if all do.
    static func firstMismatch(
        _ object: ObjectID, first: Int, _ expected: [UInt32], _ bytes: UnsafeRawBufferPointer
    ) -> Int? {
        let found = compute(object, first: first, bytes)
        if found == expected { return nil }
        for (i, (a, b)) in zip(found, expected).enumerated() where a != b { return first + i }
        return first
    }

    private static func withSeeds(
        _ object: ObjectID, first: Int, count: Int, _ body: (UnsafePointer<UInt32>?) -> Void
    ) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: max(count, 1)) { seeds in
            for i in 0..<count { seeds.initializeElement(at: i, to: CRC32C.identitySeed(object, block: first + i)) }
            body(UnsafePointer(seeds.baseAddress))
        }
    }
}
