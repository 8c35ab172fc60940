import NIOCore

/// The bytes of a payload: in one buffer, in the parts that the socket gave, in order, or in memory that other processes read, too. What copies or sends bytes takes them
/// part by part; only what must see them side by side joins them.
public struct Payload: Sendable {
    private var parts: Parts
    /// Bytes in all.
    public private(set) var count: Int
    /// The last part is a buffer of the payload's own, made by `append(copyOf:)`.
    private var ownsLast = false

    private enum Parts: Sendable {
        case one(ByteBuffer)
        case many([ByteBuffer])
        case shared(SharedRegion)
    }

    /// The buffer's readable bytes.
    public init(_ bytes: ByteBuffer) {
        parts = .one(bytes)
        count = bytes.readableBytes
    }

    public init() { self.init(ByteBuffer()) }

    /// The bytes of the region, which stay there.
    init(_ region: SharedRegion) {
        parts = .shared(region)
        count = region.range.count
    }

    /// The one buffer that the bytes lie in, if there is one.
    var buffer: ByteBuffer? { if case .one(let buffer) = parts { buffer } else { nil } }
    /// Where the bytes lie in shared memory, if they do.
    var region: SharedRegion? { if case .shared(let region) = parts { region } else { nil } }

    /// Adds a part behind the others, which stays in its buffer.
    mutating func append(_ bytes: ByteBuffer) {
        switch parts {
        case .one(let first): parts = count == 0 ? .one(bytes) : .many([first, bytes])
        case .many(var list):
            parts = .one(ByteBuffer())
            list.append(bytes)
            parts = .many(list)
        case .shared(let region): parts = .many([ByteBuffer(bytes: region.bytes), bytes])
        }
        count += bytes.readableBytes
        ownsLast = false
    }

    /// Adds bytes by copying them; into the last part if that was copied, too. A new part gets `room` bytes.
    mutating func append(copyOf bytes: ByteBuffer, room: Int) {
        if !ownsLast {
            append(ByteBufferAllocator().buffer(capacity: room))
            ownsLast = true
        }
        switch parts {
        case .one(var last):
            parts = .one(ByteBuffer())
            last.writeImmutableBuffer(bytes)
            parts = .one(last)
        case .many(var list):
            parts = .one(ByteBuffer())
            list[list.count - 1].writeImmutableBuffer(bytes)
            parts = .many(list)
        case .shared: preconditionFailure("a part of the payload's own was appended just now")
        }
        count += bytes.readableBytes
    }

    /// Puts all bytes into one buffer, if they are in parts; shared memory is copied and kept.
    mutating func join() -> ByteBuffer {
        switch parts {
        case .one(let bytes): return bytes
        case .shared: return joined
        case .many:
            self = Payload(joined)
            return joined
        }
    }

    /// All bytes in one buffer: a copy, if they are in parts or in shared memory.
    public var joined: ByteBuffer {
        switch parts {
        case .one(let bytes): return bytes
        case .shared(let region): return ByteBuffer(bytes: region.bytes)
        case .many(let list):
            var whole = ByteBufferAllocator().buffer(capacity: count)
            for part in list { whole.writeImmutableBuffer(part) }
            return whole
        }
    }

    /// Each part, in order; shared memory as a copy.
    public func forEachPart(_ body: (ByteBuffer) -> Void) {
        switch parts {
        case .one(let bytes): body(bytes)
        case .shared: body(joined)
        case .many(let list): for part in list { body(part) }
        }
    }

    /// The memory of a range of the payload's bytes, side by side or in parts, for the time of the call.
    public func withBytes<E: Error>(
        _ range: Range<Int>, _ body: ([UnsafeRawBufferPointer]) throws(E) -> Void
    ) throws(E) {
        precondition(range.upperBound <= count, "a range lies within its payload")
        var found: [UnsafeRawBufferPointer] = []
        switch parts {
        case .one(let bytes): try Payload.collect([bytes], 0, range, &found, body)
        case .many(let list): try Payload.collect(list, 0, range, &found, body)
        case .shared(let region):
            try body([UnsafeRawBufferPointer(rebasing: region.bytes[range])])
            // The memory may be given out again when the last reference is gone.
            withExtendedLifetime(region) {}
        }
    }

    /// Goes down part by part, so that the memory of all is valid at once.
    private static func collect<E: Error>(
        _ parts: [ByteBuffer], _ i: Int, _ range: Range<Int>, _ found: inout [UnsafeRawBufferPointer],
        _ body: ([UnsafeRawBufferPointer]) throws(E) -> Void
    ) throws(E) {
        guard i < parts.count, !range.isEmpty else { return try body(found) }
        let length = parts[i].readableBytes
        if range.lowerBound >= length {
            return try collect(
                parts, i + 1, range.lowerBound - length..<range.upperBound - length, &found, body)
        }
        var failure: E?
        parts[i].withUnsafeReadableBytes { raw in
            let end = min(range.upperBound, length)
            found.append(UnsafeRawBufferPointer(rebasing: raw[range.lowerBound..<end]))
            do throws(E) {
                try collect(parts, i + 1, 0..<range.upperBound - end, &found, body)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}
