import ClusterModel
import DiskIO
import NIOCore

/// Reads an entry's payload from the log and from slots, and verifies it. For an I/O thread.
struct PayloadReading: Sendable {
    /// Of an entry of blocks; nil for opaque payloads.
    let object: ObjectID?
    let firstBlock: Int
    let pieces: [(file: DiskFile, offset: Int64, length: Int, checksums: [UInt32])]

    /// Nil if a piece cannot be read or does not match.
    func read() -> ByteBuffer? {
        var whole = ByteBufferAllocator().buffer(capacity: pieces.reduce(0) { $0 + $1.length })
        var block = firstBlock
        for piece in pieces {
            var sound = false
            whole.writeWithUnsafeMutableBytes(minimumWritableBytes: piece.length) { raw in
                let part = UnsafeMutableRawBufferPointer(rebasing: raw[..<piece.length])
                do throws(DiskError) {
                    try piece.file.readExactly(into: part, at: piece.offset)
                } catch {
                    return 0
                }
                let bytes = UnsafeRawBufferPointer(part)
                if let object {
                    sound = BlockChecksums.firstMismatch(object, first: block, piece.checksums, bytes) == nil
                    block += piece.length / Geometry.blockSize
                } else {
                    sound = piece.checksums == [CRC32C.hardware.checksum(bytes)]
                }
                return piece.length
            }
            if !sound { return nil }
        }
        return whole
    }
}

extension EntryBody {
    /// The object whose blocks the payload holds; nil for opaque payloads.
    var object: ObjectID? {
        switch self {
        case .write(let write): write.object
        case .deleteRange(let deletion): deletion.edge?.object
        case .empty, .zero, .restate, .namespace, .scrubMark: nil
        }
    }

    var firstBlock: Int {
        switch self {
        case .write(let write): write.blocks.first
        case .deleteRange(let deletion): deletion.edge?.blocks.first ?? 0
        case .empty, .zero, .restate, .namespace, .scrubMark: 0
        }
    }
}
