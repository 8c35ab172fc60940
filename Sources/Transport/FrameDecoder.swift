import ClusterModel
import NIOCore
import Wire

/// Cuts the byte stream of a connection into frames. A payload is copied once, into a buffer of its own size, so that no
/// small payload keeps a large read buffer alive.
struct FrameDecoder {
    private var head: FrameHead?
    /// Bytes of a head or header that arrived in part.
    private var partial = ByteBuffer()
    private var message: (kind: UInt8, header: ByteBuffer)?
    private var payload = ByteBuffer()
    private let allocator = ByteBufferAllocator()

    /// Takes what arrived and calls `deliver` for each whole frame.
    mutating func feed(
        _ input: ByteBuffer, deliver: (UInt8, ByteBuffer, ByteBuffer?) throws -> Void
    ) throws {
        var input = input
        while true {
            if let message, let head {
                let missing = head.payloadLength - payload.readableBytes
                let take = min(missing, input.readableBytes)
                if take > 0 { payload.writeImmutableBuffer(input.readSlice(length: take) ?? ByteBuffer()) }
                if payload.readableBytes < head.payloadLength { return }
                self.message = nil
                self.head = nil
                let whole = payload
                payload = ByteBuffer()
                try deliver(message.kind, message.header, whole)
                continue
            }
            if let head {
                guard let header = take(head.headerLength, from: &input) else { return }
                if head.payloadLength == 0 {
                    self.head = nil
                    try deliver(head.kind, header, nil)
                } else {
                    message = (head.kind, header)
                    payload = allocator.buffer(capacity: head.payloadLength)
                }
                continue
            }
            guard let bytes = take(FrameHead.size, from: &input) else { return }
            head = try bytes.withUnsafeReadableBytes { try FrameHead($0) }
        }
    }

    /// `count` bytes in one piece, from what was kept and `input`; nil, keeping all of it, if there are fewer.
    private mutating func take(_ count: Int, from input: inout ByteBuffer) -> ByteBuffer? {
        if partial.readableBytes == 0, let slice = input.readSlice(length: count) { return slice }
        let missing = count - partial.readableBytes
        let taken = min(missing, input.readableBytes)
        if let slice = input.readSlice(length: taken) { partial.writeImmutableBuffer(slice) }
        if partial.readableBytes < count { return nil }
        let whole = partial
        partial = ByteBuffer()
        return whole
    }
}
