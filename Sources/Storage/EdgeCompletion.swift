import ClusterModel
import NIOCore
import Replication
import Transport
import Wire

/// Makes whole blocks of an unaligned write: base content of the first and last block, the write's bytes over it.
struct EdgeCompletion {
    let merge: EdgeMerge
    let pg: PGID
    let disk: DiskHost
    let payloads: PayloadTable

    struct Completed {
        var bytes: ByteBuffer
        var checksums: [UInt32]
    }

    /// `done` gets nil when a base block cannot be read.
    func run(_ done: @escaping (Completed?) -> Void) {
        let block = Geometry.blockSize
        // What is in flight is taken now: its handles may be dropped while stored blocks are read.
        let data = merge.payload.flatMap(payloads.bytes) ?? ByteBuffer()
        // Never zeros in place of bytes that are gone.
        if let payload = merge.payload, data.readableBytes != payload.length { return done(nil) }
        let heldHead = held(merge.head)
        let heldTail = held(merge.tail)
        base(merge.head, heldHead, block: merge.blocks.first) { head in
            guard let head else { return done(nil) }
            base(merge.tail, heldTail, block: merge.blocks.end - 1) { tail in
                guard let tail else { return done(nil) }
                var whole = ByteBufferAllocator().buffer(capacity: merge.blocks.byteCount)
                let before = merge.offset - merge.blocks.first * block
                append(head, 0, before, to: &whole)
                whole.writeImmutableBuffer(data)
                let end = before + data.readableBytes
                let after = merge.blocks.byteCount - end
                if merge.payload == nil {
                    // A cut: everything in the block behind it is zero.
                    whole.writeRepeatingByte(0, count: after)
                } else if after > 0 {
                    append(merge.blocks.count == 1 ? head : tail, block - after, after, to: &whole)
                }
                let checksums = whole.withUnsafeReadableBytes {
                    BlockChecksums.compute(merge.object, first: merge.blocks.first, $0)
                }
                done(Completed(bytes: whole, checksums: checksums))
            }
        }
    }

    private func held(_ base: EdgeBase?) -> ByteBuffer? {
        guard case .inFlight(let handle, let offset)? = base, let bytes = payloads.bytes(of: handle) else { return nil }
        return bytes.getSlice(at: bytes.readerIndex + offset, length: Geometry.blockSize)
    }

    private func append(_ base: ByteBuffer, _ offset: Int, _ count: Int, to whole: inout ByteBuffer) {
        guard count > 0 else { return }
        if base.readableBytes == 0 {
            whole.writeRepeatingByte(0, count: count)
        } else if let slice = base.getSlice(at: base.readerIndex + offset, length: count) {
            whole.writeImmutableBuffer(slice)
        }
    }

    /// One block, or nothing for zeros (and where no base is needed).
    private func base(_ base: EdgeBase?, _ held: ByteBuffer?, block: Int, _ done: @escaping (ByteBuffer?) -> Void) {
        switch base {
        case nil, .zero: done(ByteBuffer())
        case .inFlight: done(held)
        case .stored:
            let range = ObjectRange(
                object: merge.object, offset: block * Geometry.blockSize, length: Geometry.blockSize)
            disk.read(pg, range, merge.truncation) { result in
                switch result {
                case .success(let found): done(found.bytes)
                case .failure: done(nil)
                }
            }
        }
    }
}
