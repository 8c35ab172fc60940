import ClusterModel
import Gateway
import NIOCore
import Wire

/// Bytes behind handles, and what is encoded in them.
extension ClusterFilesystem {
    func keep(_ bytes: ByteBuffer) -> PayloadHandle {
        let handle = PayloadHandle(id: nextID(), length: bytes.readableBytes)
        data[handle.id] = bytes
        return handle
    }

    /// A slice shares the WRITE's memory; operations and questions are small and encoded anew for each copy.
    func bytes(of payload: RequestPayload) -> ByteBuffer? {
        switch payload {
        case .none: return nil
        case .slice(let handle, let offset, let length):
            guard let whole = pending[handle.id]?.payload else {
                preconditionFailure("a WRITE's payload is kept until its operation is answered")
            }
            guard let slice = whole.getSlice(at: whole.readerIndex + offset, length: length) else {
                preconditionFailure("parts of a WRITE lie within its payload")
            }
            return slice
        case .entry(let entry):
            var writer = WireWriter(capacity: 128)
            entry.encode(into: &writer)
            return ByteBuffer(bytes: writer.bytes)
        case .query(let question):
            var writer = WireWriter(capacity: 128)
            question.encode(into: &writer)
            return ByteBuffer(bytes: writer.bytes)
        }
    }

    func content(of response: PGResponse, _ payload: ByteBuffer?) -> ReplyContent {
        switch response.body {
        case .data:
            guard let payload else { return .none }
            return .data(keep(payload))
        case .mutated:
            return decoded(payload) { reader throws(WireError) in .result(try NamespaceResult(from: &reader)) }
        case .answered:
            return decoded(payload) { reader throws(WireError) in .answer(try NamespaceAnswer(from: &reader)) }
        case .written, .version, .flushed, .refused: return .none
        }
    }

    private func decoded(
        _ payload: ByteBuffer?, _ body: (inout WireReader) throws(WireError) -> ReplyContent
    ) -> ReplyContent {
        guard let payload else { return .malformed }
        return payload.withUnsafeReadableBytes { bytes in
            var reader = WireReader(bytes)
            do throws(WireError) {
                let content = try body(&reader)
                try reader.finish()
                return content
            } catch {
                return .malformed
            }
        }
    }

    /// One piece is passed on as it came; several are copied together.
    func assemble(_ pieces: [ReadPiece]) -> ByteBuffer {
        if pieces.count == 1, case .bytes(let handle, let length) = pieces[0], let bytes = data[handle.id],
            let slice = bytes.getSlice(at: bytes.readerIndex, length: length)
        {
            return slice
        }
        var whole = ByteBufferAllocator().buffer(
            capacity: pieces.reduce(0) { total, piece in
                switch piece {
                case .bytes(_, let length), .zeros(let length): return total + length
                }
            })
        for piece in pieces {
            switch piece {
            case .bytes(let handle, let length):
                guard let bytes = data[handle.id], let slice = bytes.getSlice(at: bytes.readerIndex, length: length)
                else { preconditionFailure("a READ's parts are kept until it is answered") }
                whole.writeImmutableBuffer(slice)
            case .zeros(let length): whole.writeRepeatingByte(0, count: length)
            }
        }
        return whole
    }
}
