import ClusterModel
import NIOCore
import Wire

/// Cuts the byte stream of a connection into frames. Payload bytes that are a good part of the buffer they were read into stay
/// there; others are copied, so that no small payload keeps a large buffer alive.
struct FrameDecoder {
    private var head: FrameHead?
    /// Bytes of a head or header that arrived in part.
    private var partial = ByteBuffer()
    private var message: (kind: UInt8, header: ByteBuffer)?
    private var payload = Payload()

    /// Takes what arrived and calls `deliver` for each whole frame.
    mutating func feed(
        _ input: ByteBuffer, deliver: (UInt8, ByteBuffer, Payload?) throws -> Void
    ) throws {
        var input = input
        while true {
            if let message, let head {
                let missing = head.payloadLength - payload.count
                let take = min(missing, input.readableBytes)
                if take > 0, let part = input.readSlice(length: take) { keep(part, missing: missing) }
                if payload.count < head.payloadLength { return }
                self.message = nil
                self.head = nil
                let whole = payload
                payload = Payload()
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
                    payload = Payload()
                }
                continue
            }
            guard let bytes = take(FrameHead.size, from: &input) else { return }
            head = try bytes.withUnsafeReadableBytes { try FrameHead($0) }
        }
    }

    /// A part of the payload, in its buffer or copied.
    private mutating func keep(_ part: ByteBuffer, missing: Int) {
        let isWorthItsBuffer =
            part.readableBytes >= FrameDecoder.sharedBytes && part.readableBytes * 4 >= part.storageCapacity
        if isWorthItsBuffer {
            payload.append(part)
        } else {
            payload.append(copyOf: part, room: min(missing, 2 * FrameDecoder.sharedBytes))
        }
    }

    /// Fewer bytes are cheaper to copy than to keep apart.
    private static let sharedBytes = 32 << 10

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
